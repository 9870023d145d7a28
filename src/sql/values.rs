//! One value of a column, as all faces of SQL see it.

mod json;
mod text;

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, StructArray};
use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};

pub use json::write_json;
pub use text::{
    write_date, write_float, write_hex, write_interval, write_quoted, write_text, write_time,
    write_timestamp,
};

/// A value, borrowed from its column where it can be.
pub enum Value<'a> {
    /// NULL, and every value of a type that has no other.
    Null,
    /// BOOLEAN
    Bool(bool),
    /// TINYINT to BIGINT, and unsigned types up to 32 bits
    Int(i64),
    /// An unsigned 64 bits
    UInt(u64),
    /// FLOAT
    Float(f32),
    /// DOUBLE
    Double(f64),
    /// DECIMAL, in digits
    Decimal(String),
    /// STRING
    Text(&'a str),
    /// BYTES
    Bytes(&'a [u8]),
    /// DATE, in days since 1970
    Date(i64),
    /// TIME, in nanoseconds since midnight
    Time(i64),
    /// TIMESTAMP, or TIMESTAMP_LTZ, which is a moment in UTC
    Timestamp {
        /// Seconds since 1970.
        seconds: i64,
        /// Nanoseconds of the second.
        nanos: u32,
        /// True for TIMESTAMP_LTZ.
        utc: bool,
    },
    /// INTERVAL
    Interval {
        /// Months.
        months: i32,
        /// Days.
        days: i32,
        /// Nanoseconds.
        nanos: i64,
    },
    /// ARRAY
    List(ArrayRef),
    /// ROW: its columns, and which row of them it is
    Row(&'a StructArray, usize),
    /// MAP: the columns of its entries
    Map(StructArray),
}

impl<'a> Value<'a> {
    /// The value of a row. Types that SQL here does not have are shown as Arrow shows them, by the caller's fallback: they
    /// come out as `None`.
    pub fn of(array: &'a dyn Array, row: usize) -> Option<Self> {
        if array.is_null(row) {
            return Some(Self::Null);
        }
        Some(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Bool(array.as_boolean().value(row)),
            DataType::Int8 => Self::Int(array.as_primitive::<Int8Type>().value(row).into()),
            DataType::Int16 => Self::Int(array.as_primitive::<Int16Type>().value(row).into()),
            DataType::Int32 => Self::Int(array.as_primitive::<Int32Type>().value(row).into()),
            DataType::Int64 => Self::Int(array.as_primitive::<Int64Type>().value(row)),
            DataType::UInt8 => Self::Int(array.as_primitive::<UInt8Type>().value(row).into()),
            DataType::UInt16 => Self::Int(array.as_primitive::<UInt16Type>().value(row).into()),
            DataType::UInt32 => Self::Int(array.as_primitive::<UInt32Type>().value(row).into()),
            DataType::UInt64 => Self::UInt(array.as_primitive::<UInt64Type>().value(row)),
            DataType::Float32 => Self::Float(array.as_primitive::<Float32Type>().value(row)),
            DataType::Float64 => Self::Double(array.as_primitive::<Float64Type>().value(row)),
            DataType::Decimal128(..) => {
                Self::Decimal(array.as_primitive::<Decimal128Type>().value_as_string(row))
            }
            DataType::Decimal256(..) => {
                Self::Decimal(array.as_primitive::<Decimal256Type>().value_as_string(row))
            }
            DataType::Utf8 => Self::Text(array.as_string::<i32>().value(row)),
            DataType::LargeUtf8 => Self::Text(array.as_string::<i64>().value(row)),
            DataType::Utf8View => Self::Text(array.as_string_view().value(row)),
            DataType::Binary => Self::Bytes(array.as_binary::<i32>().value(row)),
            DataType::LargeBinary => Self::Bytes(array.as_binary::<i64>().value(row)),
            DataType::BinaryView => Self::Bytes(array.as_binary_view().value(row)),
            DataType::FixedSizeBinary(_) => Self::Bytes(array.as_fixed_size_binary().value(row)),
            DataType::Date32 => Self::Date(array.as_primitive::<Date32Type>().value(row).into()),
            DataType::Date64 => {
                Self::Date(array.as_primitive::<Date64Type>().value(row).div_euclid(86_400_000))
            }
            DataType::Time32(unit) | DataType::Time64(unit) => Self::time(array, row, *unit)?,
            DataType::Timestamp(unit, zone) => Self::timestamp(array, row, *unit, zone.is_some()),
            DataType::Interval(unit) => Self::interval(array, row, *unit),
            DataType::Duration(unit) => {
                let ticks = match unit {
                    TimeUnit::Second => array.as_primitive::<DurationSecondType>().value(row),
                    TimeUnit::Millisecond => {
                        array.as_primitive::<DurationMillisecondType>().value(row)
                    }
                    TimeUnit::Microsecond => {
                        array.as_primitive::<DurationMicrosecondType>().value(row)
                    }
                    TimeUnit::Nanosecond => {
                        array.as_primitive::<DurationNanosecondType>().value(row)
                    }
                };
                let nanos = ticks.saturating_mul(1_000_000_000 / per_second(*unit));
                Self::Interval { months: 0, days: 0, nanos }
            }
            DataType::List(_) => Self::List(array.as_list::<i32>().value(row)),
            DataType::LargeList(_) => Self::List(array.as_list::<i64>().value(row)),
            DataType::FixedSizeList(..) => Self::List(array.as_fixed_size_list().value(row)),
            DataType::Struct(_) => Self::Row(array.as_struct(), row),
            DataType::Map(..) => Self::Map(array.as_map().value(row)),
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                let key = dictionary.normalized_keys()[row];
                return Value::of(dictionary.values().as_ref(), key);
            }
            _ => return None,
        })
    }

    fn time(array: &dyn Array, row: usize, unit: TimeUnit) -> Option<Self> {
        Some(Self::Time(match (array.data_type(), unit) {
            (DataType::Time32(_), TimeUnit::Second) => {
                i64::from(array.as_primitive::<Time32SecondType>().value(row)) * 1_000_000_000
            }
            (DataType::Time32(_), TimeUnit::Millisecond) => {
                i64::from(array.as_primitive::<Time32MillisecondType>().value(row)) * 1_000_000
            }
            (DataType::Time64(_), TimeUnit::Microsecond) => {
                array.as_primitive::<Time64MicrosecondType>().value(row) * 1000
            }
            (DataType::Time64(_), TimeUnit::Nanosecond) => {
                array.as_primitive::<Time64NanosecondType>().value(row)
            }
            _ => return None,
        }))
    }

    fn timestamp(array: &dyn Array, row: usize, unit: TimeUnit, utc: bool) -> Self {
        let ticks = match unit {
            TimeUnit::Second => array.as_primitive::<TimestampSecondType>().value(row),
            TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().value(row),
            TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().value(row),
            TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().value(row),
        };
        let per_second = per_second(unit);
        let rest = ticks.rem_euclid(per_second) * (1_000_000_000 / per_second);
        Self::Timestamp { seconds: ticks.div_euclid(per_second), nanos: rest as u32, utc }
    }

    fn interval(array: &dyn Array, row: usize, unit: IntervalUnit) -> Self {
        match unit {
            IntervalUnit::YearMonth => {
                let months = array.as_primitive::<IntervalYearMonthType>().value(row);
                Self::Interval { months, days: 0, nanos: 0 }
            }
            IntervalUnit::DayTime => {
                let value = array.as_primitive::<IntervalDayTimeType>().value(row);
                let nanos = i64::from(value.milliseconds) * 1_000_000;
                Self::Interval { months: 0, days: value.days, nanos }
            }
            IntervalUnit::MonthDayNano => {
                let value = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                Self::Interval { months: value.months, days: value.days, nanos: value.nanoseconds }
            }
        }
    }
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// The name of a column's type as Flink's SQL has it.
pub fn type_name(field: &Field) -> String {
    fn name(data_type: &DataType) -> String {
        let precision = |unit: &TimeUnit| match unit {
            TimeUnit::Second => 0,
            TimeUnit::Millisecond => 3,
            TimeUnit::Microsecond => 6,
            TimeUnit::Nanosecond => 9,
        };
        match data_type {
            DataType::Boolean => "BOOLEAN".into(),
            DataType::Int8 => "TINYINT".into(),
            DataType::Int16 | DataType::UInt8 => "SMALLINT".into(),
            DataType::Int32 | DataType::UInt16 => "INT".into(),
            DataType::Int64 | DataType::UInt32 => "BIGINT".into(),
            DataType::UInt64 => "DECIMAL(20, 0)".into(),
            DataType::Float16 | DataType::Float32 => "FLOAT".into(),
            DataType::Float64 => "DOUBLE".into(),
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                format!("DECIMAL({precision}, {scale})")
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".into(),
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => "BYTES".into(),
            DataType::Date32 | DataType::Date64 => "DATE".into(),
            DataType::Time32(unit) | DataType::Time64(unit) => format!("TIME({})", precision(unit)),
            DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", precision(unit)),
            DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", precision(unit)),
            DataType::Interval(_) | DataType::Duration(_) => "INTERVAL".into(),
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                format!("ARRAY<{}>", name(item.data_type()))
            }
            DataType::Struct(fields) => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|field| format!("{} {}", field.name(), name(field.data_type())))
                    .collect();
                format!("ROW<{}>", fields.join(", "))
            }
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => {
                    format!("MAP<{}, {}>", name(fields[0].data_type()), name(fields[1].data_type()))
                }
                other => format!("MAP<{other}>"),
            },
            DataType::Dictionary(_, value) => name(value),
            DataType::Null => "NULL".into(),
            other => other.to_string(),
        }
    }
    let name = name(field.data_type());
    if field.is_nullable() { name } else { format!("{name} NOT NULL") }
}

#[cfg(test)]
mod tests;
