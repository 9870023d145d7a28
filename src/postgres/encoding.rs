//! Values as PostgreSQL writes them on the wire, as text and in binary.

use std::fmt::Write;

use arrow_array::{Array, Int64Array, RecordBatch};
use bytes::{BufMut, BytesMut};
use pgwire::api::Type;
use pgwire::api::results::{FieldFormat, FieldInfo};
use pgwire::messages::data::DataRow;

use super::types::postgres_type;
use crate::sql::values::{
    Value, write_date, write_float, write_hex, write_interval, write_json, write_text, write_time,
    write_timestamp,
};

/// Days and seconds from 1970 to 2000, where PostgreSQL begins to count.
const EPOCH_DAYS: i64 = 10_957;
const EPOCH_SECONDS: i64 = EPOCH_DAYS * 86_400;

/// Encodes rows, column by column as `fields` says. With weights, each row has an `op` in front (`+I` or `-D`), and is there
/// as often as its weight says.
pub(super) fn encode(
    rows: &RecordBatch,
    weights: Option<&Int64Array>,
    fields: &[FieldInfo],
    changelog: bool,
) -> Vec<DataRow> {
    let mut encoded = Vec::with_capacity(rows.num_rows());
    let columns = if changelog { fields.get(1..).unwrap_or_default() } else { fields };
    let (mut buffer, mut text) = (BytesMut::new(), String::new());
    for row in 0..rows.num_rows() {
        let weight = weights.map_or(1, |weights| weights.value(row));
        if changelog {
            let op: &[u8] = if weight < 0 { b"-D" } else { b"+I" };
            buffer.put_i32(2);
            buffer.put_slice(op);
        }
        for (column, field) in rows.columns().iter().zip(columns) {
            write_value(&mut buffer, &mut text, column.as_ref(), row, field);
        }
        let one = buffer.split().freeze();
        for _ in 0..weight.unsigned_abs() {
            encoded.push(DataRow::new(BytesMut::from(one.as_ref()), fields.len() as i16));
        }
    }
    encoded
}

/// Writes a value with its length in front.
fn write_value(
    out: &mut BytesMut,
    text: &mut String,
    array: &dyn Array,
    row: usize,
    field: &FieldInfo,
) {
    let at = out.len();
    out.put_i32(-1);
    let there = match field.format() {
        FieldFormat::Binary => write_binary(out, array, row, field.datatype()),
        FieldFormat::Text => {
            text.clear();
            let there = write_postgres_text(text, array, row, field.datatype());
            out.put_slice(text.as_bytes());
            there
        }
    };
    if there {
        let length = (out.len() - at - 4) as i32;
        out[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }
}

/// Writes a value in PostgreSQL's own spelling; false for NULL.
pub(super) fn write_postgres_text(
    out: &mut String,
    array: &dyn Array,
    row: usize,
    data_type: &Type,
) -> bool {
    match Value::of(array, row) {
        Some(Value::Null) => return false,
        Some(Value::Bool(value)) => out.push(if value { 't' } else { 'f' }),
        Some(Value::Float(value)) => write_float(out, value.into(), value),
        Some(Value::Double(value)) => write_float(out, value, value),
        Some(Value::Bytes(bytes)) => {
            *out += "\\x";
            write_hex(out, bytes);
        }
        Some(Value::Date(days)) => write_date(out, days),
        Some(Value::Time(nanos)) => write_time(out, nanos),
        Some(Value::Timestamp { seconds, nanos, utc }) => {
            write_timestamp(out, seconds, nanos);
            if utc {
                *out += "+00";
            }
        }
        Some(Value::Interval { months, days, nanos }) => write_interval(out, months, days, nanos),
        Some(Value::List(items)) if *data_type != Type::JSON => {
            let item_type = postgres_type(items.data_type());
            out.push('{');
            let mut item_text = String::new();
            for item in 0..items.len() {
                if item > 0 {
                    out.push(',');
                }
                item_text.clear();
                if write_postgres_text(&mut item_text, items.as_ref(), item, &item_type) {
                    write_item(out, &item_text);
                } else {
                    *out += "NULL";
                }
            }
            out.push('}');
        }
        Some(Value::List(_) | Value::Row(..) | Value::Map(_)) => write_json(out, array, row),
        _ => {
            write_text(out, array, row);
        }
    }
    true
}

/// Writes an item of an array, quoted if it has to be.
fn write_item(out: &mut String, text: &str) {
    let special = |c: char| matches!(c, '{' | '}' | ',' | '"' | '\\') || c.is_whitespace();
    if text.is_empty() || text.eq_ignore_ascii_case("null") || text.contains(special) {
        out.push('"');
        for c in text.chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('"');
    } else {
        *out += text;
    }
}

/// Writes a value in binary; false for NULL.
fn write_binary(out: &mut BytesMut, array: &dyn Array, row: usize, data_type: &Type) -> bool {
    match Value::of(array, row) {
        Some(Value::Null) => return false,
        Some(Value::Bool(value)) => out.put_u8(value.into()),
        Some(Value::Int(value)) => match *data_type {
            Type::INT2 => out.put_i16(value as i16),
            Type::INT4 => out.put_i32(value as i32),
            Type::OID => out.put_u32(value as u32),
            _ => out.put_i64(value),
        },
        Some(Value::UInt(value)) => write_numeric(out, &value.to_string()),
        Some(Value::Float(value)) => out.put_f32(value),
        Some(Value::Double(value)) => out.put_f64(value),
        Some(Value::Decimal(digits)) => write_numeric(out, &digits),
        Some(Value::Text(text)) => out.put_slice(text.as_bytes()),
        Some(Value::Bytes(bytes)) => out.put_slice(bytes),
        Some(Value::Date(days)) => out.put_i32((days - EPOCH_DAYS) as i32),
        Some(Value::Time(nanos)) => out.put_i64(nanos / 1000),
        Some(Value::Timestamp { seconds, nanos, .. }) => {
            let micros = seconds.saturating_sub(EPOCH_SECONDS).saturating_mul(1_000_000);
            out.put_i64(micros.saturating_add(i64::from(nanos / 1000)));
        }
        Some(Value::Interval { months, days, nanos }) => {
            out.put_i64(nanos / 1000);
            out.put_i32(days);
            out.put_i32(months);
        }
        Some(Value::List(items)) if *data_type != Type::JSON => {
            let item_type = postgres_type(items.data_type());
            out.put_i32(i32::from(!items.is_empty()));
            out.put_i32(i32::from(items.null_count() > 0));
            out.put_u32(item_type.oid());
            if !items.is_empty() {
                out.put_i32(items.len() as i32);
                out.put_i32(1);
            }
            for item in 0..items.len() {
                let at = out.len();
                out.put_i32(-1);
                if write_binary(out, items.as_ref(), item, &item_type) {
                    let length = (out.len() - at - 4) as i32;
                    out[at..at + 4].copy_from_slice(&length.to_be_bytes());
                }
            }
        }
        Some(Value::List(_) | Value::Row(..) | Value::Map(_)) => {
            let mut text = String::new();
            write_json(&mut text, array, row);
            out.put_slice(text.as_bytes());
        }
        None => {
            let mut text = String::new();
            write_text(&mut text, array, row);
            out.put_slice(text.as_bytes());
        }
    }
    true
}

/// Writes decimal digits (`-12.340`) as PostgreSQL's NUMERIC: digits to the base of 10000, the weight of the first, the sign,
/// and how many decimal digits are shown behind the point.
fn write_numeric(out: &mut BytesMut, text: &str) {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let padded = whole.len().div_ceil(4) * 4;
    let mut aligned = String::new();
    let _ = write!(aligned, "{whole:0>padded$}{fraction}");
    while !aligned.len().is_multiple_of(4) {
        aligned.push('0');
    }
    let digit = |four: &[u8]| four.iter().fold(0i16, |n, d| n * 10 + i16::from(d - b'0'));
    let digits: Vec<i16> = aligned.as_bytes().chunks(4).map(digit).collect();
    let first = digits.iter().position(|&digit| digit != 0).unwrap_or(digits.len());
    let last = digits.iter().rposition(|&digit| digit != 0).map_or(first, |at| at + 1);
    let digits_kept = &digits[first..last];
    let weight = (padded / 4) as i16 - 1 - first as i16;
    out.put_i16(digits_kept.len() as i16);
    out.put_i16(if digits_kept.is_empty() { 0 } else { weight });
    out.put_u16(if negative && !digits_kept.is_empty() { 0x4000 } else { 0 });
    out.put_i16(fraction.len() as i16);
    for &digit in digits_kept {
        out.put_i16(digit);
    }
}
