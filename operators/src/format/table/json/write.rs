//! From a row to a JSON object.

use std::io::Write;

use arrow_array::RecordBatch;

use super::super::cell::{Cell, Kind};
use super::super::fault::{Fault, UnfitTable};
use super::{JsonOptions, MapNullKey};

/// Writes objects of some of a batch's columns.
#[derive(Debug, Clone)]
pub(in crate::format::table) struct JsonWriter {
    options: JsonOptions,
    /// Each field's column, and its name in quotes with the colon.
    fields: Vec<(usize, Vec<u8>)>,
}

/// The columns of a batch, ready to be written.
pub(in crate::format::table) struct JsonCells<'a>(Vec<(&'a [u8], Cell<'a>)>);

impl JsonWriter {
    /// Objects of the columns at these places, with these names.
    pub(in crate::format::table) fn new<'a>(
        fields: impl Iterator<Item = (usize, &'a str)>,
        options: JsonOptions,
    ) -> Self {
        let fields = fields.map(|(column, name)| (column, label(name))).collect();
        Self { options, fields }
    }

    /// Gets a batch ready.
    pub(in crate::format::table) fn cells<'a>(
        &'a self,
        batch: &'a RecordBatch,
    ) -> Result<JsonCells<'a>, UnfitTable> {
        let schema = batch.schema_ref();
        let cell = |(column, label): &'a (usize, Vec<u8>)| {
            let name = schema.field(*column).name();
            Ok((label.as_slice(), Cell::of(name, batch.column(*column))?))
        };
        self.fields.iter().map(cell).collect::<Result<_, _>>().map(JsonCells)
    }

    /// Appends a row as an object.
    #[inline]
    pub(in crate::format::table) fn write(
        &self,
        cells: &JsonCells<'_>,
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        out.push(b'{');
        let mut first = true;
        for (label, cell) in &cells.0 {
            let null = cell.is_null(row);
            if null && self.options.ignore_null_fields {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            out.extend_from_slice(label);
            if null {
                out.extend_from_slice(b"null");
            } else {
                self.value(cell, row, out).map_err(|fault| {
                    fault.within(String::from_utf8_lossy(label).trim_matches(['"', ':']))
                })?;
            }
        }
        out.push(b'}');
        Ok(())
    }

    fn value_or_null(&self, cell: &Cell<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        match cell.is_null(row) {
            true => out.extend_from_slice(b"null"),
            false => self.value(cell, row, out)?,
        }
        Ok(())
    }

    /// A value that is not null.
    #[inline]
    fn value(&self, cell: &Cell<'_>, row: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        match &cell.kind {
            Kind::Text(array) => write_text(array.value(row), out),
            Kind::List(list, items) => {
                let ends = list.value_offsets();
                out.push(b'[');
                for (nth, item) in (ends[row]..ends[row + 1]).enumerate() {
                    if nth > 0 {
                        out.push(b',');
                    }
                    self.value_or_null(items, item as usize, out)?;
                }
                out.push(b']');
            }
            Kind::Map(map, keys, values) => {
                let ends = map.value_offsets();
                out.push(b'{');
                let mut first = true;
                for entry in ends[row] as usize..ends[row + 1] as usize {
                    let before = out.len();
                    if !first {
                        out.push(b',');
                    }
                    if !self.map_key(keys, entry, out)? {
                        out.truncate(before);
                        continue;
                    }
                    first = false;
                    out.push(b':');
                    self.value_or_null(values, entry, out)?;
                }
                out.push(b'}');
            }
            Kind::Row(array, fields) => {
                out.push(b'{');
                let mut first = true;
                for (cell, name) in fields.iter().zip(array.fields()) {
                    let null = cell.is_null(row);
                    if null && self.options.ignore_null_fields {
                        continue;
                    }
                    if !std::mem::take(&mut first) {
                        out.push(b',');
                    }
                    write_text(name.name(), out);
                    out.push(b':');
                    self.value_or_null(cell, row, out)?;
                }
                out.push(b'}');
            }
            _ if cell.is_bare(row) => {
                cell.write_plain(row, self.options.timestamp_format, out);
            }
            _ => {
                out.push(b'"');
                cell.write_plain(row, self.options.timestamp_format, out);
                out.push(b'"');
            }
        }
        Ok(())
    }

    /// A map's key; false if its entry is to be left out.
    fn map_key(&self, keys: &Cell<'_>, entry: usize, out: &mut Vec<u8>) -> Result<bool, Fault> {
        if keys.is_null(entry) {
            match &self.options.map_null_key {
                MapNullKey::Drop => return Ok(false),
                MapNullKey::Literal(literal) => write_text(literal, out),
                MapNullKey::Fail => {
                    return Err(Fault::new(
                        "a map's key is null, which JSON cannot say: set 'json.map-null-key.mode' to DROP or LITERAL",
                    ));
                }
            }
            return Ok(true);
        }
        match &keys.kind {
            Kind::Text(array) => write_text(array.value(entry), out),
            Kind::List(..) | Kind::Map(..) | Kind::Row(..) => {
                return Err(Fault::new("a map's key is nested, which JSON cannot say"));
            }
            _ => {
                out.push(b'"');
                keys.write_plain(entry, self.options.timestamp_format, out);
                out.push(b'"');
            }
        }
        Ok(true)
    }
}

fn label(name: &str) -> Vec<u8> {
    let mut label = Vec::with_capacity(name.len() + 3);
    write_text(name, &mut label);
    label.push(b':');
    label
}

/// Appends a whole number.
#[inline]
pub(crate) fn write_integer(value: i64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends text in quotes, with the escapes that JSON demands and no others.
#[inline]
pub(crate) fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        write_escaped(text, out);
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
}

#[cold]
fn write_escaped(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        let escape = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            0..b' ' => {
                // Writing to a vector cannot fail.
                let _ = write!(out, "\\u{byte:04x}");
                continue;
            }
            _ => {
                out.push(byte);
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', escape]);
    }
}
