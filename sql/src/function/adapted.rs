//! Functions of DataFusion that agree with Flink's but for what they make of NULL.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Int32Array};
use arrow_buffer::NullBuffer;
use arrow_schema::DataType;
use datafusion::arrow::compute::nullif;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

/// What is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Change {
    /// One NULL among the arguments makes the result NULL.
    NullWins,
    /// A position is an INT, and 0 where nothing is found.
    ZeroIfAbsent,
}

#[derive(Debug)]
struct Adapted {
    function: Arc<ScalarUDF>,
    change: Change,
}

impl PartialEq for Adapted {
    fn eq(&self, other: &Self) -> bool {
        self.function == other.function
    }
}

impl Eq for Adapted {}

impl Hash for Adapted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.hash(state);
    }
}

impl ScalarUDFImpl for Adapted {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        match self.change {
            Change::NullWins => self.function.return_type(arg_types),
            Change::ZeroIfAbsent => Ok(DataType::Int32),
        }
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(arg_types)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match self.change {
            Change::NullWins => self.null_wins(args),
            Change::ZeroIfAbsent => {
                let rows = args.number_rows;
                let Some(lists) = args.args.first().cloned() else {
                    return exec_err!("{} takes an array and an element", self.name());
                };
                let field = args.return_field.as_ref().clone().with_data_type(DataType::UInt64);
                args.return_field = Arc::new(field);
                let found = self.function.invoke_with_args(args)?;
                let constant = matches!(found, ColumnarValue::Scalar(_));
                let found = found.to_array(rows)?;
                let found = found.as_primitive::<UInt64Type>();
                let lists = lists.to_array(rows)?;
                let positions = (0..found.len()).map(|row| {
                    let position = if found.is_valid(row) { found.value(row) as i32 } else { 0 };
                    lists.is_valid(row).then_some(position)
                });
                let positions: ArrayRef = Arc::new(positions.collect::<Int32Array>());
                match constant && !positions.is_empty() {
                    true => ScalarValue::try_from_array(&positions, 0).map(ColumnarValue::Scalar),
                    false => Ok(ColumnarValue::Array(positions)),
                }
            }
        }
    }
}

impl Adapted {
    fn null_wins(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let mut nulls: Option<NullBuffer> = None;
        for arg in &args.args {
            match arg {
                ColumnarValue::Scalar(value) if value.is_null() => {
                    let null = ScalarValue::try_from(args.return_field.data_type())?;
                    return Ok(ColumnarValue::Scalar(null));
                }
                ColumnarValue::Scalar(_) => {}
                ColumnarValue::Array(array) => {
                    nulls = NullBuffer::union(nulls.as_ref(), array.logical_nulls().as_ref());
                }
            }
        }
        match (self.function.invoke_with_args(args)?, nulls) {
            (ColumnarValue::Array(array), Some(nulls)) => {
                let null = BooleanArray::new(!nulls.inner(), None);
                Ok(ColumnarValue::Array(nullif(&array, &null)?))
            }
            (result, _) => Ok(result),
        }
    }
}

/// The functions of this file.
pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    use datafusion::functions::core::{greatest, least};
    use datafusion::functions_nested::concat::array_concat_udf;
    use datafusion::functions_nested::position::array_position_udf;
    [
        (greatest(), Change::NullWins),
        (least(), Change::NullWins),
        (array_concat_udf(), Change::NullWins),
        (array_position_udf(), Change::ZeroIfAbsent),
    ]
    .into_iter()
    .map(|(function, change)| Arc::new(ScalarUDF::new_from_impl(Adapted { function, change })))
    .collect()
}
