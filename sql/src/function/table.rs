//! Table functions: zero or more rows for each row.

use std::fmt::Debug;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, UInt32Array};
use arrow_schema::{DataType, Fields};

use crate::{Error, Result};

/// A function that makes a table of its arguments: `SELECT .. FROM t, LATERAL TABLE(f(t.x))`, `CROSS JOIN UNNEST(t.xs)`.
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

/// `UNNEST(array)`, `UNNEST(map)`: a row for each element or entry. The fields of ROW elements become columns.
#[derive(Debug)]
pub(super) struct Unnest;

impl TableFunction for Unnest {
    fn name(&self) -> &str {
        "unnest"
    }

    fn bind(&self, arguments: &[DataType]) -> Result<TableSignature> {
        let [argument] = arguments else {
            let count = arguments.len();
            return Err(Error::invalid(format!(
                "UNNEST takes one ARRAY or MAP, not {count} arguments"
            )));
        };
        let columns = match argument {
            DataType::List(item) => match item.data_type() {
                DataType::Struct(fields) => nullable(fields),
                _ => nullable(&Fields::from(vec![item.as_ref().clone().with_name("element")])),
            },
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => Fields::from(vec![
                    fields[0].as_ref().clone().with_name("key"),
                    fields[1].as_ref().clone().with_name("value"),
                ]),
                other => return Err(not_nested(other)),
            },
            other => return Err(not_nested(other)),
        };
        Ok(TableSignature { arguments: vec![argument.clone()], columns })
    }

    fn rows(&self, arguments: &[ArrayRef]) -> Result<TableRows> {
        let Some(argument) = arguments.first() else {
            return Err(Error::invalid("UNNEST takes one ARRAY or MAP"));
        };
        if let Some(lists) = argument.as_list_opt::<i32>() {
            let (parents, positions) = flattened(lists.offsets(), lists);
            let items = taken(lists.values(), &positions)?;
            let columns = match items.as_struct_opt() {
                None => vec![items],
                // A NULL element is a row of NULLs.
                Some(rows) if rows.null_count() == 0 => rows.columns().to_vec(),
                Some(rows) => {
                    let valid = UInt32Array::new(
                        (0..rows.len() as u32).collect::<Vec<_>>().into(),
                        rows.nulls().cloned(),
                    );
                    rows.columns()
                        .iter()
                        .map(|column| taken(column, &valid))
                        .collect::<Result<_>>()?
                }
            };
            return Ok(TableRows { parents, columns });
        }
        if let Some(maps) = argument.as_map_opt() {
            let (parents, positions) = flattened(maps.offsets(), maps);
            let columns = vec![taken(maps.keys(), &positions)?, taken(maps.values(), &positions)?];
            return Ok(TableRows { parents, columns });
        }
        Err(not_nested(argument.data_type()))
    }
}

fn nullable(fields: &Fields) -> Fields {
    fields.iter().map(|field| field.as_ref().clone().with_nullable(true)).collect()
}

fn not_nested(given: &DataType) -> Error {
    Error::invalid(format!("UNNEST takes an ARRAY or a MAP, not {}", super::type_name(given)))
}

/// For each element its row, and its place among the values.
fn flattened(offsets: &[i32], rows: &dyn Array) -> (UInt32Array, UInt32Array) {
    let count = offsets.last().copied().unwrap_or(0) - offsets.first().copied().unwrap_or(0);
    let mut parents = Vec::with_capacity(count.max(0) as usize);
    let mut positions = Vec::with_capacity(count.max(0) as usize);
    for row in 0..rows.len() {
        if rows.is_valid(row) {
            for position in offsets[row]..offsets[row + 1] {
                parents.push(row as u32);
                positions.push(position as u32);
            }
        }
    }
    (UInt32Array::from(parents), UInt32Array::from(positions))
}

fn taken(values: &ArrayRef, positions: &UInt32Array) -> Result<ArrayRef> {
    arrow_select::take::take(values, positions, None).map_err(|error| Error::io("UNNEST", error))
}

/// The table functions that are always there.
pub(super) fn functions() -> Vec<Arc<dyn TableFunction>> {
    vec![Arc::new(Unnest)]
}
