//! The bytes of a record as its only column.

use arrow_schema::{DataType, FieldRef};

use super::cell::{Cell, Kind};
use super::column::{Column, Values, sql_type};
use super::fault::{Fault, UnfitTable};

/// Options of the raw format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RawOptions {
    /// Numbers have their least significant byte first.
    pub little_endian: bool,
}

/// Reads the one column, or nothing.
#[derive(Debug, Clone)]
pub(super) struct RawReader {
    target: Option<usize>,
    options: RawOptions,
}

/// Whether a raw table can have these fields.
pub(super) fn check(fields: &[FieldRef]) -> Result<(), UnfitTable> {
    let [field] = fields else {
        return Err(UnfitTable(format!(
            "the format raw takes one column, and there are {}: use json or csv",
            fields.len()
        )));
    };
    match field.data_type() {
        DataType::Utf8
        | DataType::Binary
        | DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64 => Ok(()),
        other => Err(UnfitTable(format!(
            "column `{}` is {}: the format raw takes STRING, BYTES, BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, FLOAT or DOUBLE",
            field.name(),
            sql_type(other)
        ))),
    }
}

impl RawReader {
    pub(super) fn new(
        fields: &[FieldRef],
        targets: &[(usize, usize)],
        options: RawOptions,
    ) -> Result<Self, UnfitTable> {
        check(fields)?;
        Ok(Self { target: targets.first().map(|(_, column)| *column), options })
    }

    /// As `JsonReader::read`.
    pub(super) fn read(&mut self, value: &[u8], columns: &mut [Column]) -> Result<(), Fault> {
        let Some(column) = self.target.and_then(|target| columns.get_mut(target)) else {
            return Ok(());
        };
        macro_rules! number {
            ($values:expr, $type:ty) => {{
                let Ok(bytes) = value.try_into() else { return Err(wrong_size(column, value)) };
                $values.push(match self.options.little_endian {
                    true => <$type>::from_le_bytes(bytes),
                    false => <$type>::from_be_bytes(bytes),
                });
            }};
        }
        match &mut column.values {
            Values::Text(_) => match std::str::from_utf8(value) {
                Ok(_) => return column.push_bytes(value),
                Err(error) => {
                    return Err(Fault::new(format!(
                        "expected UTF-8 text (or declare the column BYTES), found another byte at {}",
                        error.valid_up_to()
                    )));
                }
            },
            Values::Binary(_) => return column.push_bytes(value),
            Values::Bool(values) => match value {
                [byte] => values.append(*byte != 0),
                _ => return Err(wrong_size(column, value)),
            },
            Values::Int8(values) => number!(values, i8),
            Values::Int16(values) => number!(values, i16),
            Values::Int32(values) => number!(values, i32),
            Values::Int64(values) => number!(values, i64),
            Values::Float32(values) => number!(values, f32),
            Values::Float64(values) => number!(values, f64),
            _ => return Err(wrong_size(column, value)),
        }
        column.valid();
        Ok(())
    }
}

fn wrong_size(column: &Column, value: &[u8]) -> Fault {
    Fault::new(format!("expected the bytes of {}, found {} bytes", column.sql_type(), value.len()))
}

/// Appends a value that is not null.
pub(super) fn write(cell: &Cell<'_>, row: usize, options: RawOptions, out: &mut Vec<u8>) {
    macro_rules! number {
        ($value:expr) => {
            match options.little_endian {
                true => out.extend_from_slice(&$value.to_le_bytes()),
                false => out.extend_from_slice(&$value.to_be_bytes()),
            }
        };
    }
    match &cell.kind {
        Kind::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
        Kind::Binary(array) => out.extend_from_slice(array.value(row)),
        Kind::Bool(array) => out.push(array.value(row).into()),
        Kind::Int8(values) => number!(values[row]),
        Kind::Int16(values) => number!(values[row]),
        Kind::Int32(values) => number!(values[row]),
        Kind::Int64(values) => number!(values[row]),
        Kind::Float32(values) => number!(values[row]),
        Kind::Float64(values) => number!(values[row]),
        // No raw table has other types.
        _ => {}
    }
}
