//! Whether the columns of a topic are those that somebody wants.
//!
//! Columns are found by their names. Types must be the same, but for what is only a name or a promise: what the elements of a list are
//! called, and whether they may be missing. Such arrays have the same buffers, and are handed over under the other type.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, MapArray, StructArray};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Fields, Schema};

use crate::format::table::sql_type;

/// The index in `topic` of each of the columns that are wanted.
///
/// # Errors
/// A sentence that names the column, and both types or what there is.
pub(super) fn places<'a>(
    topic: &Schema,
    wanted: impl IntoIterator<Item = &'a FieldRef>,
) -> Result<Vec<usize>, String> {
    let place = |field: &'a FieldRef| {
        let Some((at, found)) = topic.fields().find(field.name()) else {
            return Err(format!(
                "it has no column `{}`, only {}",
                field.name(),
                names(topic.fields())
            ));
        };
        match same_layout(found.data_type(), field.data_type()) {
            true => Ok(at),
            false => Err(other_type(field, found)),
        }
    };
    wanted.into_iter().map(place).collect()
}

/// Where the values of each of the topic's columns are among those that are to be written.
///
/// # Errors
/// As [`places`]; also for a column that the topic does not have, and one that may be missing where the topic's may not.
pub(super) fn sources(topic: &Schema, written: &Schema) -> Result<Vec<usize>, String> {
    places(topic, written.fields())?;
    let source = |field: &FieldRef| {
        let Some((at, source)) = written.fields().find(field.name()) else {
            return Err(format!(
                "its column `{}` {} gets no values: declare it in the table as well",
                field.name(),
                sql_type(field.data_type())
            ));
        };
        if source.is_nullable() && !field.is_nullable() {
            return Err(format!(
                "its column `{}` is NOT NULL, and the one that is written may be NULL: declare it {} NOT NULL",
                field.name(),
                sql_type(field.data_type())
            ));
        }
        Ok(at)
    };
    topic.fields().iter().map(source).collect()
}

fn names(fields: &Fields) -> String {
    let names = fields.iter().map(|f| format!("`{}` {}", f.name(), sql_type(f.data_type())));
    names.collect::<Vec<_>>().join(", ")
}

fn other_type(declared: &Field, found: &Field) -> String {
    let (is, should) = (sql_type(declared.data_type()), sql_type(found.data_type()));
    format!(
        "column `{}` is declared {is}, and the topic has it as {should}: declare it {should}, or use another topic",
        declared.name()
    )
}

/// Whether arrays of the one type are arrays of the other under another name.
fn same_layout(one: &DataType, other: &DataType) -> bool {
    match (one, other) {
        (DataType::List(one), DataType::List(other)) => {
            same_layout(one.data_type(), other.data_type())
        }
        (DataType::Map(one, _), DataType::Map(other, _)) => {
            match (one.data_type(), other.data_type()) {
                // What the key and the value are called is no part of the type.
                (DataType::Struct(one), DataType::Struct(other)) => {
                    one.len() == other.len()
                        && one
                            .iter()
                            .zip(other)
                            .all(|(one, other)| same_layout(one.data_type(), other.data_type()))
                }
                (one, other) => same_layout(one, other),
            }
        }
        (DataType::Struct(one), DataType::Struct(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| {
                    one.name() == other.name() && same_layout(one.data_type(), other.data_type())
                })
        }
        (one, other) => one == other,
    }
}

/// An array under a type of the same layout.
///
/// # Errors
/// If the layout is another, or the type says that there are no nulls where there are some.
pub(super) fn retyped(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let from = array.data_type();
    if from == to {
        return Ok(array.clone());
    }
    let made: Option<ArrayRef> = match to {
        DataType::List(field) => match array.as_list_opt::<i32>() {
            Some(list) => {
                let values = retyped(list.values(), field.data_type())?;
                let (offsets, nulls) = (list.offsets().clone(), list.nulls().cloned());
                Some(Arc::new(ListArray::try_new(field.clone(), offsets, values, nulls)?))
            }
            None => None,
        },
        DataType::Struct(fields) => match array.as_struct_opt() {
            Some(row) => Some(Arc::new(retyped_row(row, fields)?)),
            None => None,
        },
        DataType::Map(field, sorted) => match (array.as_map_opt(), field.data_type()) {
            (Some(map), DataType::Struct(fields)) => {
                let entries = retyped_row(map.entries(), fields)?;
                let (offsets, nulls) = (map.offsets().clone(), map.nulls().cloned());
                let map = MapArray::try_new(field.clone(), offsets, entries, nulls, *sorted)?;
                Some(Arc::new(map))
            }
            _ => None,
        },
        _ => None,
    };
    made.ok_or_else(|| ArrowError::SchemaError(format!("{from} where {to} should be")))
}

fn retyped_row(row: &StructArray, fields: &Fields) -> Result<StructArray, ArrowError> {
    let columns = row.columns().iter().zip(fields);
    let columns = columns.map(|(column, field)| retyped(column, field.data_type()));
    StructArray::try_new(fields.clone(), columns.collect::<Result<_, _>>()?, row.nulls().cloned())
}
