//! Arrays, maps and rows: how many, which one.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int32Array, StringArray, UInt32Array, new_null_array};
use arrow_buffer::OffsetBuffer;
use arrow_ord::ord::make_comparator;
use arrow_schema::{DataType, SortOptions};
use arrow_select::take::take;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::ScalarUDF;

use super::registry::FunctionContext;
use super::scalar::{Call, Returns, Scalar, any};

/// Where the elements of each row begin and end.
fn offsets(array: &ArrayRef) -> Option<&OffsetBuffer<i32>> {
    match array.data_type() {
        DataType::List(_) => array.as_list_opt::<i32>().map(|lists| lists.offsets()),
        DataType::Map(..) => array.as_map_opt().map(|maps| maps.offsets()),
        _ => None,
    }
}

fn not_nested(call: &Call<'_>, array: &ArrayRef) -> datafusion::common::DataFusionError {
    let given = super::type_name(array.data_type());
    call.wrong(0, format!("is {given}, expected an ARRAY or a MAP"))
}

fn cardinality(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    if array.data_type() == &DataType::Null {
        return Ok(new_null_array(&DataType::Int32, call.rows));
    }
    let offsets = offsets(&array).ok_or_else(|| not_nested(call, &array))?;
    let counts = Int32Array::from_iter_values(offsets.lengths().map(|length| length as i32));
    Ok(Arc::new(Int32Array::new(counts.values().clone(), array.nulls().cloned())))
}

fn element_type(given: &[DataType]) -> Result<DataType> {
    match given {
        [DataType::List(item)] => Ok(item.data_type().clone()),
        [other, ..] => plan_err!("ELEMENT takes an ARRAY, not {}", super::type_name(other)),
        [] => plan_err!("ELEMENT takes an ARRAY"),
    }
}

/// The only element.
fn element(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let lists = array.as_list::<i32>();
    let places = (0..lists.len()).map(|row| match (lists.is_valid(row), lists.value_length(row)) {
        (false, _) | (true, 0) => Ok(None),
        (true, 1) => Ok(Some(lists.value_offsets()[row] as u32)),
        (true, length) => {
            Err(call.wrong(0, format!("has {length} elements, expected at most one")))
        }
    });
    Ok(take(lists.values(), &places.collect::<Result<UInt32Array>>()?, None)?)
}

fn item_type(given: &[DataType], constants: &[Option<&ScalarValue>]) -> Result<DataType> {
    match given {
        [DataType::List(item), index] => match index.is_integer() {
            true => Ok(item.data_type().clone()),
            false => plan_err!(
                "an element of an ARRAY is taken by an integer, not by {}",
                super::type_name(index)
            ),
        },
        [DataType::Map(entries, _), _] => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => Ok(fields[1].data_type().clone()),
            other => plan_err!("{other} is not what the entries of a MAP are"),
        },
        [DataType::Struct(fields), _] => match constants.get(1) {
            Some(Some(ScalarValue::Utf8(Some(name)))) => match fields.find(name) {
                Some((_, field)) => Ok(field.data_type().clone()),
                None => plan_err!("{} has no field '{name}'", super::type_name(&given[0])),
            },
            _ => plan_err!("a field of a ROW is taken by its name, as a string constant"),
        },
        [other, _] => {
            plan_err!(
                "[..] takes from an ARRAY, a MAP or a ROW, not from {}",
                super::type_name(other)
            )
        }
        _ => plan_err!("[..] takes one index or key"),
    }
}

/// `array[index]` from 1, `map[key]`, `row['field']`; NULL where there is none.
fn item(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    if let Some(lists) = array.as_list_opt::<i32>() {
        if let Some(ScalarValue::Int64(Some(index @ ..=0))) = call.constant(1) {
            return Err(call.wrong(1, format!("is {index}; elements count from 1")));
        }
        let indices = arrow_cast::cast(&call.array(1)?, &DataType::Int64)?;
        let indices = indices.as_primitive::<Int64Type>();
        let places = (0..lists.len()).map(|row| {
            if lists.is_null(row) || indices.is_null(row) {
                return None;
            }
            let index = indices.value(row);
            let exists = index >= 1 && index <= i64::from(lists.value_length(row));
            exists.then(|| lists.value_offsets()[row] as u32 + (index - 1) as u32)
        });
        return Ok(take(lists.values(), &places.collect::<UInt32Array>(), None)?);
    }
    if let Some(maps) = array.as_map_opt() {
        let sought = arrow_cast::cast(&call.array(1)?, maps.keys().data_type())?;
        let compare = make_comparator(maps.keys(), &sought, SortOptions::default())?;
        let places = (0..maps.len()).map(|row| {
            if maps.is_null(row) || sought.is_null(row) {
                return None;
            }
            let entries =
                maps.value_offsets()[row] as usize..maps.value_offsets()[row + 1] as usize;
            entries.into_iter().find(|at| compare(*at, row).is_eq()).map(|at| at as u32)
        });
        return Ok(take(maps.values(), &places.collect::<UInt32Array>(), None)?);
    }
    let Some(rows) = array.as_struct_opt() else { return Err(not_nested(call, &array)) };
    let name = call.constant_text(1)?;
    let Some(column) = rows.column_by_name(name) else {
        return Err(call.wrong(1, format!("is '{name}', which the ROW does not have")));
    };
    match rows.nulls() {
        None => Ok(Arc::clone(column)),
        // A field of a NULL row is NULL.
        Some(nulls) => {
            let absent = arrow_array::BooleanArray::new(!nulls.inner(), None);
            Ok(datafusion::arrow::compute::nullif(column, &absent)?)
        }
    }
}

fn type_of(call: &Call<'_>) -> Result<ArrayRef> {
    let name = super::type_name(&call.value(0).data_type());
    Ok(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(name, call.rows))))
}

/// The functions of this file.
pub(super) fn functions(context: &Arc<FunctionContext>) -> Vec<Arc<ScalarUDF>> {
    vec![
        Scalar::new("cardinality", [any("array or map")], Returns::INT, cardinality)
            .build(&[], context),
        Scalar::new("element", [any("array")], Returns::Of(element_type), element)
            .build(&[], context),
        Scalar::new(
            "item",
            [any("collection"), any("index or key")],
            Returns::OfConstants(item_type),
            item,
        )
        .build(&[], context),
        Scalar::new("typeof", [any("value")], Returns::TEXT, type_of).build(&[], context),
    ]
}
