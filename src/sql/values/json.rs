//! Values as JSON.

use std::fmt::Write;

use arrow_array::{Array, StructArray};

use super::{Value, write_text};

/// Writes a value as JSON: numbers as numbers (DECIMAL keeps all its digits), rows and maps as objects, arrays as arrays, bytes in
/// hexadecimal, and everything else as the text of [`write_text`].
pub fn write_json(out: &mut String, array: &dyn Array, row: usize) {
    match Value::of(array, row) {
        Some(Value::Null) => *out += "null",
        Some(Value::Bool(_) | Value::Int(_) | Value::UInt(_) | Value::Decimal(_)) => {
            write_text(out, array, row);
        }
        Some(Value::Float(value)) if value.is_finite() => {
            let _ = write!(out, "{value:?}");
        }
        Some(Value::Double(value)) if value.is_finite() => {
            let _ = write!(out, "{value:?}");
        }
        Some(Value::List(items)) => {
            out.push('[');
            for item in 0..items.len() {
                separate(out, item);
                write_json(out, items.as_ref(), item);
            }
            out.push(']');
        }
        Some(Value::Row(columns, row)) => write_object(out, columns, row),
        Some(Value::Map(entries)) => write_map(out, &entries),
        _ => {
            let mut text = String::new();
            write_text(&mut text, array, row);
            write_string(out, &text);
        }
    }
}

/// Writes one row as an object, with the columns' names.
fn write_object(out: &mut String, columns: &StructArray, row: usize) {
    out.push('{');
    for (number, (field, column)) in columns.fields().iter().zip(columns.columns()).enumerate() {
        separate(out, number);
        write_string(out, field.name());
        out.push(':');
        write_json(out, column.as_ref(), row);
    }
    out.push('}');
}

fn write_map(out: &mut String, entries: &StructArray) {
    out.push('{');
    let [keys, values] = entries.columns() else {
        // Arrow's maps have two columns.
        out.push('}');
        return;
    };
    for entry in 0..entries.len() {
        separate(out, entry);
        let mut key = String::new();
        write_text(&mut key, keys.as_ref(), entry);
        write_string(out, &key);
        out.push(':');
        write_json(out, values.as_ref(), entry);
    }
    out.push('}');
}

fn separate(out: &mut String, before: usize) {
    if before > 0 {
        out.push(',');
    }
}

/// Writes a JSON string.
pub(super) fn write_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => *out += "\\\"",
            '\\' => *out += "\\\\",
            '\n' => *out += "\\n",
            '\r' => *out += "\\r",
            '\t' => *out += "\\t",
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
