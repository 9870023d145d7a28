//! Values as text: one spelling for tables, CSV and psql.

use std::fmt::Write;

use arrow_array::Array;
use arrow_cast::display::array_value_to_string;
use chrono::{DateTime, NaiveTime};

use super::{Value, write_json};

/// Writes a value as people read it; NULL writes nothing and returns false. Rows, arrays and maps are written as JSON.
pub fn write_text(out: &mut String, array: &dyn Array, row: usize) -> bool {
    match Value::of(array, row) {
        Some(Value::Null) => return false,
        Some(Value::Bool(value)) => *out += if value { "true" } else { "false" },
        Some(Value::Int(value)) => write(out, value),
        Some(Value::UInt(value)) => write(out, value),
        Some(Value::Float(value)) => write_float(out, value.into(), value),
        Some(Value::Double(value)) => write_float(out, value, value),
        Some(Value::Decimal(digits)) => *out += &digits,
        Some(Value::Text(text)) => *out += text,
        Some(Value::Bytes(bytes)) => {
            *out += "0x";
            write_hex(out, bytes);
        }
        Some(Value::Date(days)) => write_date(out, days),
        Some(Value::Time(nanos)) => write_time(out, nanos),
        Some(Value::Timestamp { seconds, nanos, utc }) => {
            write_timestamp(out, seconds, nanos);
            if utc {
                out.push('Z');
            }
        }
        Some(Value::Interval { months, days, nanos }) => write_interval(out, months, days, nanos),
        Some(Value::List(_) | Value::Row(..) | Value::Map(_)) => write_json(out, array, row),
        None => match array_value_to_string(array, row) {
            Ok(text) => *out += &text,
            // A type that cannot even be shown: its name says more than nothing.
            Err(_) => write(out, array.data_type()),
        },
    }
    true
}

/// Writes a field of CSV (RFC 4180), quoted if it has to be.
pub fn write_quoted(out: &mut String, field: &str) {
    if field.contains([',', '"', '\n', '\r']) {
        out.push('"');
        for c in field.chars() {
            if c == '"' {
                out.push('"');
            }
            out.push(c);
        }
        out.push('"');
    } else {
        *out += field;
    }
}

fn write(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

/// A float in the fewest digits that read back as the same: `wide` for what it is, `shown` in its own width.
pub fn write_float(
    out: &mut String,
    wide: f64,
    shown: impl std::fmt::Display + std::fmt::LowerExp,
) {
    if wide.is_nan() {
        *out += "NaN";
    } else if wide.is_infinite() {
        *out += if wide > 0.0 { "Infinity" } else { "-Infinity" };
    } else if wide != 0.0 && !(1e-5..1e15).contains(&wide.abs()) {
        let _ = write!(out, "{shown:e}");
    } else {
        let _ = write!(out, "{shown}");
    }
}

/// Writes bytes in hexadecimal.
pub fn write_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

/// Writes `2015-05-17`.
pub fn write_date(out: &mut String, days: i64) {
    let date = days.checked_mul(86_400).and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    match date {
        Some(date) => write(out, date.format("%Y-%m-%d")),
        None => write(out, days),
    }
}

/// Writes `10:05:00.5`.
pub fn write_time(out: &mut String, nanos: i64) {
    let time = u32::try_from(nanos.div_euclid(1_000_000_000)).ok().and_then(|seconds| {
        NaiveTime::from_num_seconds_from_midnight_opt(
            seconds,
            nanos.rem_euclid(1_000_000_000) as u32,
        )
    });
    match time {
        Some(time) => write(out, time.format("%H:%M:%S")),
        None => write(out, nanos),
    }
    write_fraction(out, nanos.rem_euclid(1_000_000_000) as u32);
}

/// Writes `2015-05-17 10:05:00.5`, as SQL writes a timestamp.
pub fn write_timestamp(out: &mut String, seconds: i64, nanos: u32) {
    match DateTime::from_timestamp(seconds, 0) {
        Some(time) => write(out, time.format("%Y-%m-%d %H:%M:%S")),
        None => write(out, seconds),
    }
    write_fraction(out, nanos);
}

fn write_fraction(out: &mut String, nanos: u32) {
    if nanos > 0 {
        let digits = format!("{nanos:09}");
        out.push('.');
        *out += digits.trim_end_matches('0');
    }
}

/// Writes an interval as PostgreSQL does: `1 mon 2 days 03:04:05.5`.
pub fn write_interval(out: &mut String, months: i32, days: i32, nanos: i64) {
    let mut parts = Vec::new();
    for (number, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        match number {
            0 => {}
            1 => parts.push(format!("1 {unit}")),
            _ => parts.push(format!("{number} {unit}s")),
        }
    }
    if nanos != 0 || parts.is_empty() {
        let sign = if nanos < 0 { "-" } else { "" };
        let (seconds, rest) =
            (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
        let mut clock =
            format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        write_fraction(&mut clock, rest as u32);
        parts.push(clock);
    }
    *out += &parts.join(" ");
}
