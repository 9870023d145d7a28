//! Comma-separated values, one line a record.
//!
//! Split by hand: fields that nobody reads are stepped over without being copied, a quote that is not closed is an
//! error that names its field, and whether a field was quoted is known, so that text can be told from null.

use arrow_schema::{DataType, FieldRef};
use memchr::{memchr, memchr2};

use super::cell::{Cell, Kind};
use super::column::{Column, Values, end_of, sql_type};
use super::fault::{Fault, UnfitTable, quoted};
use super::time::TimestampFormat;

/// Options of the CSV format, named as Flink's without `csv.`. Delimiters are single bytes of ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// Stands between fields.
    pub field_delimiter: u8,
    /// Around fields that hold delimiters; `None`: quotes mean nothing.
    pub quote: Option<u8>,
    /// Before a character that is to mean nothing special.
    pub escape: Option<u8>,
    /// What null is written as. Without it a null is an empty field, and so is an empty text.
    pub null_literal: Option<String>,
    /// Lines that begin with `#` are left out.
    pub allow_comments: bool,
    /// A field that is not of its type is null, a line that is broken is left out (and counted).
    pub ignore_parse_errors: bool,
    /// Stands between the elements of an array and the fields of a row.
    pub array_element_delimiter: String,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            field_delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            null_literal: None,
            allow_comments: false,
            ignore_parse_errors: false,
            array_element_delimiter: ";".to_owned(),
        }
    }
}

/// Reads lines into columns.
#[derive(Debug, Clone)]
pub(super) struct CsvReader {
    options: CsvOptions,
    names: Vec<String>,
    /// The column of each field, if it is wanted.
    targets: Vec<Option<usize>>,
    scratch: Vec<u8>,
}

/// Whether a CSV table can have these fields.
pub(super) fn check(fields: &[FieldRef]) -> Result<(), UnfitTable> {
    let nested = |data_type: &DataType| {
        matches!(data_type, DataType::List(_) | DataType::Map(..) | DataType::Struct(_))
    };
    for field in fields {
        let fits = match field.data_type() {
            DataType::List(item) => !nested(item.data_type()),
            DataType::Struct(fields) => fields.iter().all(|field| !nested(field.data_type())),
            DataType::Map(..) => false,
            _ => true,
        };
        if !fits {
            let (name, of) = (field.name(), sql_type(field.data_type()));
            return Err(UnfitTable(format!(
                "column `{name}` is {of}: CSV has arrays and rows of single values at most; use json"
            )));
        }
    }
    Ok(())
}

/// A field as it stands in the line.
struct Raw<'a> {
    text: &'a [u8],
    quoted: bool,
    /// Whether quotes or escapes in it are to be resolved.
    special: bool,
}

impl CsvReader {
    pub(super) fn new(
        fields: &[FieldRef],
        targets: &[(usize, usize)],
        options: CsvOptions,
    ) -> Result<Self, UnfitTable> {
        check(fields)?;
        let mut columns = vec![None; fields.len()];
        for &(field, column) in targets {
            columns[field] = Some(column);
        }
        let names = fields.iter().map(|field| field.name().clone()).collect();
        Ok(Self { options, names, targets: columns, scratch: Vec::new() })
    }

    pub(super) fn ignores_parse_errors(&self) -> bool {
        self.options.ignore_parse_errors
    }

    /// As `JsonReader::read`. False if the line was a comment.
    #[inline]
    pub(super) fn read(&mut self, line: &[u8], columns: &mut [Column]) -> Result<bool, Fault> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if self.options.allow_comments && line.first() == Some(&b'#') {
            return Ok(false);
        }
        let mut rest = Some(line);
        for index in 0..self.targets.len() {
            let name = &self.names[index];
            let Some(from) = rest else { return self.short(index, columns) };
            let (raw, behind) = split(from, &self.options).map_err(|fault| fault.within(name))?;
            rest = behind;
            if let Some(target) = self.targets[index] {
                let column = &mut columns[target];
                field(&raw, column, &self.options, &mut self.scratch)
                    .map_err(|fault| fault.within(name))?;
            }
        }
        match rest {
            Some(rest) if !self.options.ignore_parse_errors => Err(Fault::new(format!(
                "expected {} fields, found more: {}",
                self.targets.len(),
                quoted(&String::from_utf8_lossy(rest))
            ))),
            _ => Ok(true),
        }
    }

    /// The line has `found` fields, which are too few.
    #[cold]
    fn short(&self, found: usize, columns: &mut [Column]) -> Result<bool, Fault> {
        if !self.options.ignore_parse_errors {
            let expected = self.targets.len();
            let missing = &self.names[found];
            return Err(
                Fault::new(format!("expected {expected} fields, found {found}")).within(missing)
            );
        }
        for (target, name) in self.targets.iter().zip(&self.names).skip(found) {
            if let Some(target) = target {
                columns[*target].push_null().map_err(|fault| fault.within(name))?;
            }
        }
        Ok(true)
    }
}

/// Takes the first field, and what follows its delimiter; `None` if it was the last one.
#[inline]
fn split<'a>(line: &'a [u8], options: &CsvOptions) -> Result<(Raw<'a>, Option<&'a [u8]>), Fault> {
    let delimiter = options.field_delimiter;
    if options.quote.is_some() && line.first().copied() == options.quote {
        return split_quoted(line, options);
    }
    let mut special = false;
    let mut at = 0;
    let end = match options.escape {
        None => memchr2(delimiter, b'\n', line),
        Some(escape) => loop {
            match memchr2(delimiter, escape, &line[at..]).map(|found| found + at) {
                Some(found) if line[found] == escape => {
                    special = true;
                    at = (found + 2).min(line.len());
                }
                other => break other,
            }
        },
    };
    let end = match end {
        None => return Ok((Raw { text: line, quoted: false, special }, None)),
        Some(end) => end,
    };
    if line[end] != delimiter {
        return Err(Fault::new("expected one line, found a line break outside of quotes"));
    }
    Ok((Raw { text: &line[..end], quoted: false, special }, Some(&line[end + 1..])))
}

fn split_quoted<'a>(
    line: &'a [u8],
    options: &CsvOptions,
) -> Result<(Raw<'a>, Option<&'a [u8]>), Fault> {
    let quote = options.quote.unwrap_or(b'"');
    let mut special = false;
    let mut at = 1;
    loop {
        let found = match options.escape {
            Some(escape) => memchr2(quote, escape, &line[at..]),
            None => memchr(quote, &line[at..]),
        };
        let Some(found) = found.map(|found| found + at) else {
            let text = String::from_utf8_lossy(line);
            return Err(Fault::new(format!(
                "expected a closing quote, found the line's end: {}",
                quoted(&text)
            )));
        };
        if line[found] != quote || line.get(found + 1) == Some(&quote) {
            special = true;
            at = (found + 2).min(line.len());
            continue;
        }
        let raw = Raw { text: &line[1..found], quoted: true, special };
        return match line.get(found + 1) {
            None => Ok((raw, None)),
            Some(byte) if *byte == options.field_delimiter => Ok((raw, Some(&line[found + 2..]))),
            Some(_) => Err(Fault::new(format!(
                "expected `{}` or the line's end behind the closing quote, found {}",
                options.field_delimiter as char,
                quoted(&String::from_utf8_lossy(&line[found + 1..]))
            ))),
        };
    }
}

/// Resolves doubled quotes and escapes.
fn resolve(raw: &Raw<'_>, options: &CsvOptions, out: &mut Vec<u8>) {
    out.clear();
    let mut bytes = raw.text.iter().copied();
    while let Some(byte) = bytes.next() {
        if options.escape == Some(byte) {
            match bytes.next() {
                Some(b'n') => out.push(b'\n'),
                Some(b'r') => out.push(b'\r'),
                Some(b't') => out.push(b'\t'),
                Some(other) => out.push(other),
                None => out.push(byte),
            }
            continue;
        }
        out.push(byte);
        if raw.quoted && options.quote == Some(byte) {
            // The second of two.
            bytes.next();
        }
    }
}

#[inline]
fn field(
    raw: &Raw<'_>,
    column: &mut Column,
    options: &CsvOptions,
    scratch: &mut Vec<u8>,
) -> Result<(), Fault> {
    let bytes = match raw.special {
        false => raw.text,
        true => {
            resolve(raw, options, scratch);
            scratch.as_slice()
        }
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(Fault::expected("UTF-8 text", &String::from_utf8_lossy(bytes)));
    };
    let rows = column.len();
    match value(text, raw.quoted || raw.special, column, options) {
        Err(_) if options.ignore_parse_errors && column.is_nullable() => {
            column.truncate(rows);
            column.push_null()
        }
        result => result,
    }
}

#[inline]
fn value(
    text: &str,
    literal: bool,
    column: &mut Column,
    options: &CsvOptions,
) -> Result<(), Fault> {
    if !literal && is_null(text, column, options) {
        return column.push_null();
    }
    let delimiter = options.array_element_delimiter.as_str();
    match &mut column.values {
        Values::List { ends, item, .. } => {
            if !text.is_empty() {
                for part in text.split(delimiter) {
                    element(part, item, options)?;
                }
            }
            ends.push(end_of(item.len())?);
        }
        Values::Row { fields, columns } => {
            let mut parts = text.split(delimiter);
            for (column, field) in columns.iter_mut().zip(fields.iter()) {
                let part = parts.next().ok_or_else(|| {
                    Fault::new(format!(
                        "expected {} values with {delimiter:?} between them",
                        fields.len()
                    ))
                })?;
                element(part, column, options).map_err(|fault| fault.within(field.name()))?;
            }
            if parts.next().is_some() {
                return Err(Fault::new(format!("expected {} values, found more", fields.len())));
            }
        }
        _ => return column.push_text(text, TimestampFormat::Sql),
    }
    column.valid();
    Ok(())
}

fn element(text: &str, column: &mut Column, options: &CsvOptions) -> Result<(), Fault> {
    match is_null(text, column, options) {
        true => column.push_null(),
        false => column.push_text(text, TimestampFormat::Sql),
    }
}

/// An empty field is no number, time or boolean; text it is.
fn is_null(text: &str, column: &Column, options: &CsvOptions) -> bool {
    let is_text = matches!(column.values, Values::Text(_) | Values::Binary(_));
    options.null_literal.as_deref() == Some(text) || (text.is_empty() && !is_text)
}

/// Appends a field that may be null.
pub(super) fn write(
    cell: &Cell<'_>,
    row: usize,
    options: &CsvOptions,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let start = out.len();
    let null = options.null_literal.as_deref().unwrap_or_default();
    if cell.is_null(row) {
        out.extend_from_slice(null.as_bytes());
        return Ok(());
    }
    match &cell.kind {
        Kind::List(list, items) => {
            let ends = list.value_offsets();
            for item in ends[row] as usize..ends[row + 1] as usize {
                if item > ends[row] as usize {
                    out.extend_from_slice(options.array_element_delimiter.as_bytes());
                }
                write_element(items, item, options, out)?;
            }
        }
        Kind::Row(_, fields) => {
            for (nth, field) in fields.iter().enumerate() {
                if nth > 0 {
                    out.extend_from_slice(options.array_element_delimiter.as_bytes());
                }
                write_element(field, row, options, out)?;
            }
        }
        Kind::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
        _ => {
            cell.write_plain(row, TimestampFormat::Sql, out);
        }
    }
    let looks_null = options.null_literal.is_some() && out[start..] == *null.as_bytes();
    let special = |byte: &u8| {
        *byte == options.field_delimiter
            || matches!(byte, b'\n' | b'\r')
            || Some(*byte) == options.quote
            || Some(*byte) == options.escape
    };
    if looks_null || out[start..].iter().any(special) || out[start..].starts_with(b"#") {
        protect(start, options, out)?;
    }
    Ok(())
}

fn write_element(
    cell: &Cell<'_>,
    row: usize,
    options: &CsvOptions,
    out: &mut Vec<u8>,
) -> Result<(), Fault> {
    let start = out.len();
    if cell.is_null(row) {
        out.extend_from_slice(options.null_literal.as_deref().unwrap_or_default().as_bytes());
        return Ok(());
    }
    match &cell.kind {
        Kind::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
        _ => {
            cell.write_plain(row, TimestampFormat::Sql, out);
        }
    }
    let delimiter = options.array_element_delimiter.as_bytes();
    if memchr::memmem::find(&out[start..], delimiter).is_some() {
        return Err(Fault::new(format!(
            "{} holds the delimiter of array elements: set another 'csv.array-element-delimiter'",
            quoted(&String::from_utf8_lossy(&out[start..]))
        )));
    }
    Ok(())
}

/// Puts what was written since `start` into quotes, or escapes it where there are none.
#[cold]
fn protect(start: usize, options: &CsvOptions, out: &mut Vec<u8>) -> Result<(), Fault> {
    let text = out.split_off(start);
    if let Some(quote) = options.quote {
        out.push(quote);
        for byte in text {
            if byte == quote {
                out.push(quote);
            } else if Some(byte) == options.escape {
                out.push(byte);
            }
            out.push(byte);
        }
        out.push(quote);
        return Ok(());
    }
    let Some(escape) = options.escape else {
        return Err(Fault::new(format!(
            "{} cannot be written without quotes: leave out 'csv.disable-quote-character', or set 'csv.escape-character'",
            quoted(&String::from_utf8_lossy(&text))
        )));
    };
    // What would be a comment or null without it: an escape of a character that it does not turn into another one.
    let plain = text.iter().position(|byte| !matches!(byte, b'n' | b'r' | b't'));
    for (at, byte) in text.iter().copied().enumerate() {
        match byte {
            b'\n' => out.extend_from_slice(&[escape, b'n']),
            b'\r' => out.extend_from_slice(&[escape, b'r']),
            _ if byte == options.field_delimiter || byte == escape || plain == Some(at) => {
                out.extend_from_slice(&[escape, byte]);
            }
            _ => out.push(byte),
        }
    }
    Ok(())
}
