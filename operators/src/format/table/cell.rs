//! Columns that are written as text: each array with its type known, once a batch.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Decimal128Array, ListArray, MapArray, StringArray,
    StructArray,
};
use arrow_schema::{DataType, TimeUnit};
use std::io::Write;

use super::column::sql_type;
use super::fault::UnfitTable;
use super::json::write_integer;
use super::time::{self, TimestampFormat};

/// A column of a batch, or of what is nested in one.
pub(crate) struct Cell<'a> {
    array: &'a dyn Array,
    pub(crate) kind: Kind<'a>,
}

/// By type.
pub(crate) enum Kind<'a> {
    Text(&'a StringArray),
    Int64(&'a [i64]),
    Int32(&'a [i32]),
    Int16(&'a [i16]),
    Int8(&'a [i8]),
    Unsigned(Box<dyn Fn(usize) -> u64 + 'a>),
    Bool(&'a BooleanArray),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal(&'a Decimal128Array),
    Date(&'a [i32]),
    /// Time of day in 32 bits: seconds or milliseconds.
    ShortTime(TimeUnit, &'a [i32]),
    /// Time of day in 64 bits.
    Time(TimeUnit, &'a [i64]),
    Timestamp {
        unit: TimeUnit,
        zoned: bool,
        values: &'a [i64],
    },
    Binary(&'a BinaryArray),
    List(&'a ListArray, Box<Cell<'a>>),
    Map(&'a MapArray, Box<Cell<'a>>, Box<Cell<'a>>),
    Row(&'a StructArray, Vec<Cell<'a>>),
}

impl<'a> Cell<'a> {
    /// The array, by its type.
    ///
    /// # Errors
    /// [`UnfitTable`] for a type that cannot be written; `name` is the column's.
    pub(crate) fn of(name: &str, array: &'a ArrayRef) -> Result<Self, UnfitTable> {
        let of = |array: &'a ArrayRef| Cell::of(name, array).map(Box::new);
        let kind = match array.data_type() {
            DataType::Utf8 => Kind::Text(array.as_string()),
            DataType::Int64 => Kind::Int64(array.as_primitive::<Int64Type>().values()),
            DataType::Int32 => Kind::Int32(array.as_primitive::<Int32Type>().values()),
            DataType::Int16 => Kind::Int16(array.as_primitive::<Int16Type>().values()),
            DataType::Int8 => Kind::Int8(array.as_primitive::<Int8Type>().values()),
            DataType::UInt8 => unsigned(array.as_primitive::<UInt8Type>().values()),
            DataType::UInt16 => unsigned(array.as_primitive::<UInt16Type>().values()),
            DataType::UInt32 => unsigned(array.as_primitive::<UInt32Type>().values()),
            DataType::UInt64 => unsigned(array.as_primitive::<UInt64Type>().values()),
            DataType::Boolean => Kind::Bool(array.as_boolean()),
            DataType::Float32 => Kind::Float32(array.as_primitive::<Float32Type>().values()),
            DataType::Float64 => Kind::Float64(array.as_primitive::<Float64Type>().values()),
            DataType::Decimal128(..) => Kind::Decimal(array.as_primitive::<Decimal128Type>()),
            DataType::Date32 => Kind::Date(array.as_primitive::<Date32Type>().values()),
            DataType::Time32(unit @ TimeUnit::Second) => {
                Kind::ShortTime(*unit, array.as_primitive::<Time32SecondType>().values())
            }
            DataType::Time32(unit) => {
                Kind::ShortTime(*unit, array.as_primitive::<Time32MillisecondType>().values())
            }
            DataType::Time64(unit @ TimeUnit::Nanosecond) => {
                Kind::Time(*unit, array.as_primitive::<Time64NanosecondType>().values())
            }
            DataType::Time64(unit) => {
                Kind::Time(*unit, array.as_primitive::<Time64MicrosecondType>().values())
            }
            DataType::Timestamp(unit, zone) => {
                let values: &[i64] = match unit {
                    TimeUnit::Second => array.as_primitive::<TimestampSecondType>().values(),
                    TimeUnit::Millisecond => {
                        array.as_primitive::<TimestampMillisecondType>().values()
                    }
                    TimeUnit::Microsecond => {
                        array.as_primitive::<TimestampMicrosecondType>().values()
                    }
                    TimeUnit::Nanosecond => {
                        array.as_primitive::<TimestampNanosecondType>().values()
                    }
                };
                Kind::Timestamp { unit: *unit, zoned: zone.is_some(), values }
            }
            DataType::Binary => Kind::Binary(array.as_binary()),
            DataType::List(_) => {
                let list = array.as_list();
                Kind::List(list, of(list.values())?)
            }
            DataType::Map(..) => {
                let map = array.as_map();
                Kind::Map(map, of(map.keys())?, of(map.values())?)
            }
            DataType::Struct(fields) => {
                let row = array.as_struct();
                let cells = row.columns().iter().zip(fields);
                let cells = cells
                    .map(|(array, field)| Cell::of(&format!("{name}.{}", field.name()), array));
                Kind::Row(row, cells.collect::<Result<_, _>>()?)
            }
            other => {
                let what = sql_type(other);
                return Err(UnfitTable(format!(
                    "column `{name}` has the type {what}, which cannot be written: cast it"
                )));
            }
        };
        Ok(Self { array: array.as_ref(), kind })
    }

    #[inline]
    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.array.is_null(row)
    }

    /// Appends a value that is neither null nor text nor nested, as text without quotes. False if it is one of these.
    #[inline]
    pub(crate) fn write_plain(
        &self,
        row: usize,
        format: TimestampFormat,
        out: &mut Vec<u8>,
    ) -> bool {
        match &self.kind {
            Kind::Int64(values) => write_integer(values[row], out),
            Kind::Int32(values) => write_integer(values[row].into(), out),
            Kind::Int16(values) => write_integer(values[row].into(), out),
            Kind::Int8(values) => write_integer(values[row].into(), out),
            Kind::Unsigned(value) => {
                // Writing to a vector cannot fail; here and below.
                let _ = write!(out, "{}", value(row));
            }
            Kind::Bool(array) => {
                out.extend_from_slice(if array.value(row) { b"true" } else { b"false" });
            }
            Kind::Float32(values) => match values[row] {
                value if value.is_finite() => drop(serde_json::to_writer(out, &value)),
                value => write_special(value.into(), out),
            },
            Kind::Float64(values) => match values[row] {
                value if value.is_finite() => drop(serde_json::to_writer(out, &value)),
                value => write_special(value, out),
            },
            Kind::Decimal(array) => write_decimal(array.value(row), array.scale(), out),
            Kind::Date(values) => time::write_date(values[row].into(), out),
            Kind::ShortTime(unit, values) => time::write_time(values[row].into(), *unit, out),
            Kind::Time(unit, values) => time::write_time(values[row], *unit, out),
            Kind::Timestamp { unit, zoned, values } => {
                time::write_timestamp(values[row], *unit, *zoned, format, out);
            }
            Kind::Binary(array) => {
                use base64::Engine;
                let text = base64::engine::general_purpose::STANDARD.encode(array.value(row));
                out.extend_from_slice(text.as_bytes());
            }
            Kind::Text(_) | Kind::List(..) | Kind::Map(..) | Kind::Row(..) => return false,
        }
        true
    }

    /// Whether [`Cell::write_plain`] writes what JSON takes for a number or a boolean.
    #[inline]
    pub(crate) fn is_bare(&self, row: usize) -> bool {
        match &self.kind {
            Kind::Int64(_)
            | Kind::Int32(_)
            | Kind::Int16(_)
            | Kind::Int8(_)
            | Kind::Unsigned(_)
            | Kind::Bool(_)
            | Kind::Decimal(_) => true,
            Kind::Float32(values) => values[row].is_finite(),
            Kind::Float64(values) => values[row].is_finite(),
            _ => false,
        }
    }
}

fn unsigned<T: Copy + Into<u64>>(values: &[T]) -> Kind<'_> {
    Kind::Unsigned(Box::new(|row| values[row].into()))
}

/// As Java writes them.
fn write_special(value: f64, out: &mut Vec<u8>) {
    out.extend_from_slice(match value {
        _ if value.is_nan() => b"NaN",
        _ if value > 0.0 => b"Infinity",
        _ => b"-Infinity",
    });
}

/// All digits that the scale has.
fn write_decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    let digits = value.unsigned_abs().to_string();
    if value < 0 {
        out.push(b'-');
    }
    match usize::try_from(scale) {
        Ok(0) => out.extend_from_slice(digits.as_bytes()),
        Ok(scale) => {
            let padded = format!("{digits:0>width$}", width = scale + 1);
            let (whole, fraction) = padded.split_at(padded.len() - scale);
            let _ = write!(out, "{whole}.{fraction}");
        }
        Err(_) => {
            out.extend_from_slice(digits.as_bytes());
            if value != 0 {
                out.extend(std::iter::repeat_n(b'0', usize::from(scale.unsigned_abs())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_have_all_their_digits() {
        let text = |value, scale| {
            let mut out = Vec::new();
            write_decimal(value, scale, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            (text(-5, 2), text(12345, 2), text(7, 0)),
            ("-0.05".into(), "123.45".into(), "7".into())
        );
        assert_eq!(
            (text(7, -2), text(0, -2), text(0, 1)),
            ("700".into(), "0".into(), "0.0".into())
        );
    }
}
