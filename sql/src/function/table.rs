//! Table functions: zero or more rows for each row.

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, ListArray, StructArray, UInt32Array};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Fields};
use datafusion::common::{DataFusionError, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::{Error, Result};

/// A function that makes a table of its arguments: `SELECT .. FROM t, LATERAL TABLE(f(t.x)) AS u(a, b)`.
///
/// It is called with the arguments of a whole batch at once and tells, for each row that it makes, which row of the batch it is of.
///
/// ```
/// use std::sync::Arc;
/// use arrow_array::{Array, ArrayRef, Int64Array, UInt32Array, cast::AsArray};
/// use arrow_array::types::Int64Type;
/// use arrow_schema::{DataType, Field, Fields};
/// use riverrun_sql::function::{TableFunction, TableRows, TableSignature};
///
/// /// `countdown(n)`: the rows n, n - 1, ... 1.
/// #[derive(Debug)]
/// struct Countdown;
///
/// impl TableFunction for Countdown {
///     fn name(&self) -> &str {
///         "countdown"
///     }
///     fn bind(&self, _arguments: &[DataType]) -> riverrun_sql::Result<TableSignature> {
///         Ok(TableSignature {
///             arguments: vec![DataType::Int64],
///             columns: Fields::from(vec![Field::new("n", DataType::Int64, false)]),
///         })
///     }
///     fn rows(&self, arguments: &[ArrayRef]) -> riverrun_sql::Result<TableRows> {
///         let mut parents = Vec::new();
///         let mut values = Vec::new();
///         for (row, from) in arguments[0].as_primitive::<Int64Type>().iter().enumerate() {
///             for n in (1..=from.unwrap_or(0)).rev() {
///                 parents.push(row as u32);
///                 values.push(n);
///             }
///         }
///         let columns = vec![Arc::new(Int64Array::from(values)) as ArrayRef];
///         Ok(TableRows { parents: UInt32Array::from(parents), columns })
///     }
/// }
///
/// let rows = Countdown.rows(&[Arc::new(Int64Array::from(vec![Some(2), None, Some(1)]))])?;
/// assert_eq!(rows.parents, UInt32Array::from(vec![0, 0, 2]));
/// # Ok::<(), riverrun_sql::Error>(())
/// ```
pub trait TableFunction: Debug + Send + Sync {
    /// The name by which SQL knows it, in lower case.
    fn name(&self) -> &str;

    /// What it takes and gives when called with arguments of these types.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it does not take them: which, and what it takes instead.
    fn bind(&self, arguments: &[DataType]) -> Result<TableSignature>;

    /// The rows that it makes. Its arguments have the types that [`bind`](Self::bind) told, and one value for each row of a batch.
    ///
    /// # Errors
    /// Whatever a value of the arguments makes impossible; the query fails with it.
    fn rows(&self, arguments: &[ArrayRef]) -> Result<TableRows>;
}

/// What a table function takes and gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSignature {
    /// The types that arguments are cast to, one for each argument.
    pub arguments: Vec<DataType>,
    /// The columns of its rows.
    pub columns: Fields,
}

/// The rows that a table function made of a batch.
#[derive(Debug, Clone)]
pub struct TableRows {
    /// For each row made, the row of the batch that it is of; never null, never falling.
    pub parents: UInt32Array,
    /// The columns, each as long as `parents`.
    pub columns: Vec<ArrayRef>,
}

/// A table function as a scalar one: the rows that it makes of a row are an array of ROWs, which `plan/lateral.rs` takes apart again.
#[derive(Debug)]
struct AsArray {
    function: Arc<dyn TableFunction>,
    signature: Signature,
}

impl PartialEq for AsArray {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.function, &other.function)
    }
}

impl Eq for AsArray {}

impl Hash for AsArray {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name().hash(state);
    }
}

/// The scalar function through which queries call a table function.
pub(super) fn as_array(function: Arc<dyn TableFunction>) -> Arc<ScalarUDF> {
    let signature = Signature::user_defined(Volatility::Immutable);
    Arc::new(ScalarUDF::new_from_impl(AsArray { function, signature }))
}

/// An error of ours inside one of DataFusion's.
fn ours(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl ScalarUDFImpl for AsArray {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> datafusion::common::Result<Vec<DataType>> {
        let bound = self.function.bind(given).map_err(ours)?.arguments;
        if bound.len() != given.len() {
            let (name, takes) = (self.name().to_uppercase(), bound.len());
            let plural = if takes == 1 { "" } else { "s" };
            return plan_err!(
                "{name} takes {takes} argument{plural}, and was given {}",
                given.len()
            );
        }
        Ok(bound)
    }

    fn return_type(&self, given: &[DataType]) -> datafusion::common::Result<DataType> {
        let columns = self.function.bind(given).map_err(ours)?.columns;
        Ok(DataType::List(Arc::new(Field::new_list_field(DataType::Struct(columns), true))))
    }

    fn invoke_with_args(
        &self,
        args: ScalarFunctionArgs,
    ) -> datafusion::common::Result<ColumnarValue> {
        let arguments = ColumnarValue::values_to_arrays(&args.args)?;
        let rows = arguments.first().map_or(args.number_rows, |array| array.len());
        let made = self.function.rows(&arguments).map_err(ours)?;
        let mut counts = vec![0; rows];
        for parent in made.parents.values() {
            match counts.get_mut(*parent as usize) {
                Some(count) => *count += 1,
                None => {
                    let name = self.name().to_uppercase();
                    return exec_err!(
                        "{name} made a row of row {parent}, and there are {rows} rows"
                    );
                }
            }
        }
        let DataType::List(item) = args.return_field.data_type() else {
            return exec_err!("{} does not return an array", self.name());
        };
        let DataType::Struct(columns) = item.data_type() else {
            return exec_err!("{} does not return rows", self.name());
        };
        let values = StructArray::try_new(columns.clone(), made.columns, None)?;
        let offsets = OffsetBuffer::from_lengths(counts);
        let lists = ListArray::try_new(Arc::clone(item), offsets, Arc::new(values), None)?;
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        if constant && lists.len() == 1 {
            return ScalarValue::try_from_array(&lists, 0).map(ColumnarValue::Scalar);
        }
        Ok(ColumnarValue::Array(Arc::new(lists)))
    }
}
