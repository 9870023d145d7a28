//! Columns to JSON records.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float64Type, Int32Type, Int64Type, TimestampMillisecondType, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, StringArray};
use arrow_schema::{DataType, TimeUnit};
use riverrun_dataflow::{Columns, NO_TIMESTAMP, Result, Timestamp};

use crate::format::{ColumnEncoder, RecordOut, rfc3339, write_integer, write_text};

/// A row becomes a JSON object of the chosen columns, in their order; the key is a column's text; the record's timestamp is
/// the event time column's.
///
/// Text, numbers and booleans are written as such, timestamps as RFC 3339 in UTC, nulls as `null`: byte for byte what
/// serde_json writes for a struct with these fields.
///
/// ```
/// use riverrun_operators::columns::ColumnsToJson;
/// let encoder = ColumnsToJson::of(&["window_start", "window_end", "ip", "count"]).keyed_by("ip");
/// ```
#[derive(Debug, Clone)]
pub struct ColumnsToJson {
    names: Vec<String>,
    key: Option<String>,
    /// What stands before each value: `{"window_start":`, `,"window_end":`.
    before: Vec<Vec<u8>>,
    buffer: Vec<u8>,
    times: Vec<TimeText>,
}

const OPERATOR: &str = "json encoder of columns";

impl ColumnsToJson {
    /// Objects of the columns of these names.
    pub fn of(names: &[&str]) -> Self {
        let mut before = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            let mut text = vec![if at == 0 { b'{' } else { b',' }];
            write_text(name, &mut text);
            text.push(b':');
            before.push(text);
        }
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let times = vec![TimeText::default(); names.len()];
        Self { names, key: None, before, buffer: Vec::with_capacity(256), times }
    }

    /// Sets the column, one of text without nulls, whose value is the record's key.
    pub fn keyed_by(mut self, column: &str) -> Self {
        self.key = Some(column.to_owned());
        self
    }
}

impl ColumnEncoder for ColumnsToJson {
    fn describe(&self) -> String {
        format!("json {}", self.names.join(", "))
    }

    fn encode(&mut self, columns: &Columns, out: &mut impl RecordOut) -> Result<()> {
        let mut values = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let array = columns.batch.column_by_name(name);
            let value = array.and_then(Values::of).ok_or_else(|| {
                super::wrong(OPERATOR, format!("a column `{name}` that JSON can say"), columns)
            })?;
            values.push(value);
        }
        let keys = match &self.key {
            Some(key) => Some(super::text_column(OPERATOR, columns, key)?),
            None => None,
        };
        let times = match columns.time_column {
            Some(_) => Some(super::time_column(OPERATOR, columns)?),
            None => None,
        };
        for row in 0..columns.batch.num_rows() {
            self.buffer.clear();
            for ((before, value), time) in self.before.iter().zip(&values).zip(&mut self.times) {
                self.buffer.extend_from_slice(before);
                value.write(row, time, &mut self.buffer);
            }
            self.buffer.extend_from_slice(if values.is_empty() { b"{}" } else { b"}" });
            let timestamp = times.map_or(NO_TIMESTAMP, |times| times.value(row));
            let key = keys.map(|keys| keys.value(row).as_bytes());
            out.push(timestamp, key, Some(&self.buffer))?;
        }
        Ok(())
    }
}

/// A column, its type known.
enum Values<'a> {
    Text(&'a StringArray),
    Integers(&'a [i64], &'a ArrayRef),
    Time(&'a [Timestamp], &'a ArrayRef),
    /// Of a type that is not worth its own loop.
    Other(&'a ArrayRef, fn(&ArrayRef, usize, &mut Vec<u8>)),
}

impl<'a> Values<'a> {
    fn of(array: &'a ArrayRef) -> Option<Self> {
        // Writing to a vector cannot fail.
        macro_rules! number {
            ($type:ty) => {
                Values::Other(array, |array, row, out| {
                    let _ = write!(out, "{}", array.as_primitive::<$type>().value(row));
                })
            };
        }
        Some(match array.data_type() {
            DataType::Utf8 => Values::Text(array.as_string()),
            DataType::Int64 => Values::Integers(array.as_primitive::<Int64Type>().values(), array),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Values::Time(array.as_primitive::<TimestampMillisecondType>().values(), array)
            }
            DataType::Int32 => number!(Int32Type),
            DataType::UInt16 => number!(UInt16Type),
            DataType::UInt32 => number!(UInt32Type),
            DataType::UInt64 => number!(UInt64Type),
            DataType::Float64 => Values::Other(array, |array, row, out| {
                let _ = serde_json::to_writer(out, &array.as_primitive::<Float64Type>().value(row));
            }),
            DataType::Boolean => Values::Other(array, |array, row, out| {
                let _ = write!(out, "{}", array.as_boolean().value(row));
            }),
            DataType::Utf8View => Values::Other(array, |array, row, out| {
                write_text(array.as_string_view().value(row), out);
            }),
            _ => return None,
        })
    }

    #[inline]
    fn write(&self, row: usize, time: &mut TimeText, out: &mut Vec<u8>) {
        let null = match self {
            Values::Text(array) => array.is_null(row),
            Values::Integers(_, array) | Values::Time(_, array) | Values::Other(array, _) => {
                array.is_null(row)
            }
        };
        if null {
            return out.extend_from_slice(b"null");
        }
        match self {
            Values::Text(array) => write_text(array.value(row), out),
            Values::Integers(values, _) => write_integer(values[row], out),
            Values::Time(values, _) => out.extend_from_slice(time.of(values[row])),
            Values::Other(array, write) => write(array, row, out),
        }
    }
}

/// The text of the last timestamp of a column: neighbours are mostly equal.
#[derive(Debug, Clone, Default)]
struct TimeText {
    of: Option<Timestamp>,
    text: Vec<u8>,
}

impl TimeText {
    #[inline]
    fn of(&mut self, time: Timestamp) -> &[u8] {
        if self.of != Some(time) {
            self.of = Some(time);
            self.text.clear();
            self.text.push(b'"');
            rfc3339::write(time, &mut self.text);
            self.text.push(b'"');
        }
        &self.text
    }
}
