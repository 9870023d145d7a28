//! A format, made of a table's options.

use riverrun_operators::format::table::{
    CsvOptions, DebeziumOptions, JsonOptions, MapNullKey, RawOptions, TableFormat, TimestampFormat,
    UnfitTable,
};

use super::options::Options;
use crate::catalog::Table;
use crate::{Error, Result};

#[derive(Clone, Copy)]
enum Name {
    Json,
    Csv,
    Raw,
    Debezium,
    Nginx,
    Arrow,
}

const NAMES: [(&str, Name); 6] = [
    ("json", Name::Json),
    ("csv", Name::Csv),
    ("raw", Name::Raw),
    ("debezium-json", Name::Debezium),
    ("nginx", Name::Nginx),
    ("arrow", Name::Arrow),
];

/// How a topic holds rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Format {
    /// Each as a record.
    Records(TableFormat),
    /// Many together, as columns.
    Arrow,
}

impl Format {
    /// Name in SQL.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Records(format) => format.name(),
            Self::Arrow => "arrow",
        }
    }

    /// Whether it always says of rows whether they come or go.
    pub(super) fn retracts(&self) -> bool {
        self.of_records().is_some_and(TableFormat::retracts)
    }

    /// Whether it can say of rows whether they come or go.
    pub(super) fn can_retract(&self) -> bool {
        *self == Self::Arrow || self.retracts()
    }

    /// How records stand for rows, if rows are records.
    pub(super) fn of_records(&self) -> Option<&TableFormat> {
        match self {
            Self::Records(format) => Some(format),
            Self::Arrow => None,
        }
    }
}

/// The format of values where rows are lines.
pub(super) fn of_value(options: &Options<'_>) -> Result<TableFormat> {
    match of_topic(options)? {
        Format::Records(format) => Ok(format),
        Format::Arrow => Err(options.wrong(
            "the format arrow is for topics ('connector' = 'riverrun'): lines hold one row each",
        )),
    }
}

/// The format of values: `format`, or `value.format` with options that begin with `value.`.
pub(super) fn of_topic(options: &Options<'_>) -> Result<Format> {
    match (options.text("format"), options.text("value.format")) {
        (Some(_), Some(_)) => {
            Err(options.wrong("'format' and 'value.format' are the same: leave one of them out"))
        }
        (None, Some(_)) => named(options, "value.format", "value."),
        _ => {
            options.required("format", "one of json, csv, raw, debezium-json, nginx, arrow")?;
            named(options, "format", "")
        }
    }
}

/// The format of keys: `key.format`, with options that begin with `key.`.
pub(super) fn of_key(options: &Options<'_>) -> Result<Option<TableFormat>> {
    match options.text("key.format") {
        None => Ok(None),
        Some(_) => match named(options, "key.format", "key.")? {
            Format::Records(format) => Ok(Some(format)),
            Format::Arrow => Err(options.wrong("a key cannot be arrow")),
        },
    }
}

fn named(options: &Options<'_>, key: &str, prefix: &str) -> Result<Format> {
    let Some(name) = options.choice(key, &NAMES)? else {
        return Err(options.wrong(format!("the option '{key}' is missing")));
    };
    Ok(Format::Records(match name {
        Name::Arrow => return Ok(Format::Arrow),
        Name::Json => TableFormat::Json(json(options, &format!("{prefix}json"))?),
        Name::Csv => TableFormat::Csv(csv(options, &format!("{prefix}csv"))?),
        Name::Raw => TableFormat::Raw(raw(options, &format!("{prefix}raw"))?),
        Name::Debezium => {
            let prefix = format!("{prefix}debezium-json");
            let schema_include = options.boolean(&format!("{prefix}.schema-include"), false)?;
            let json = json(options, &prefix)?;
            TableFormat::DebeziumJson(DebeziumOptions { schema_include, json })
        }
        Name::Nginx => TableFormat::Nginx,
    }))
}

fn json(options: &Options<'_>, prefix: &str) -> Result<JsonOptions> {
    let key = |name: &str| format!("{prefix}.{name}");
    // Decimals are always written in plain digits, and there is one parser.
    options.accept(&[&key("encode.decimal-as-plain-number"), &key("decode.json-parser.enabled")]);
    let standards = [("SQL", TimestampFormat::Sql), ("ISO-8601", TimestampFormat::Iso8601)];
    let timestamp_format =
        options.choice(&key("timestamp-format.standard"), &standards)?.unwrap_or_default();
    let fail_on_missing_field = options.boolean(&key("fail-on-missing-field"), false)?;
    let ignore_parse_errors = options.boolean(&key("ignore-parse-errors"), false)?;
    if fail_on_missing_field && ignore_parse_errors {
        return Err(options.wrong(format!(
            "'{}' and '{}' contradict each other: leave one of them out",
            key("fail-on-missing-field"),
            key("ignore-parse-errors")
        )));
    }
    let literal = options.text(&key("map-null-key.literal")).unwrap_or("null").to_owned();
    let modes = [("FAIL", 0), ("DROP", 1), ("LITERAL", 2)];
    let map_null_key = match options.choice(&key("map-null-key.mode"), &modes)? {
        Some(1) => MapNullKey::Drop,
        Some(2) => MapNullKey::Literal(literal),
        _ => MapNullKey::Fail,
    };
    let ignore_null_fields = options.boolean(&key("encode.ignore-null-fields"), false)?;
    Ok(JsonOptions {
        timestamp_format,
        fail_on_missing_field,
        ignore_parse_errors,
        map_null_key,
        ignore_null_fields,
    })
}

fn csv(options: &Options<'_>, prefix: &str) -> Result<CsvOptions> {
    let key = |name: &str| format!("{prefix}.{name}");
    let byte = |name: &str| -> Result<Option<u8>> {
        let Some(text) = options.text(&key(name)) else { return Ok(None) };
        match text.as_bytes() {
            b"\\t" => Ok(Some(b'\t')),
            [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(Some(*byte)),
            _ => Err(options.bad(&key(name), text, "one character of ASCII, or '\\t'")),
        }
    };
    let defaults = CsvOptions::default();
    let quote = byte("quote-character")?;
    let no_quotes = options.boolean(&key("disable-quote-character"), false)?;
    if no_quotes && quote.is_some() {
        return Err(options.wrong(format!(
            "'{}' and '{}' contradict each other: leave one of them out",
            key("quote-character"),
            key("disable-quote-character")
        )));
    }
    let field_delimiter = byte("field-delimiter")?.unwrap_or(defaults.field_delimiter);
    let quote = if no_quotes { None } else { quote.or(defaults.quote) };
    let escape = byte("escape-character")?;
    if quote == Some(field_delimiter)
        || escape == Some(field_delimiter)
        || (escape.is_some() && escape == quote)
    {
        return Err(options.wrong(format!(
            "'{prefix}': the delimiter, the quote and the escape character must differ"
        )));
    }
    let element = options.text(&key("array-element-delimiter"));
    if element == Some("") {
        return Err(options.bad(&key("array-element-delimiter"), "", "at least one character"));
    }
    Ok(CsvOptions {
        field_delimiter,
        quote,
        escape,
        null_literal: options.text(&key("null-literal")).map(str::to_owned),
        allow_comments: options.boolean(&key("allow-comments"), false)?,
        ignore_parse_errors: options.boolean(&key("ignore-parse-errors"), false)?,
        array_element_delimiter: element.map_or(defaults.array_element_delimiter, str::to_owned),
    })
}

fn raw(options: &Options<'_>, prefix: &str) -> Result<RawOptions> {
    let charset = format!("{prefix}.charset");
    options.choice(&charset, &[("UTF-8", ())])?;
    let orders = [("big-endian", false), ("little-endian", true)];
    let little_endian = options.choice(&format!("{prefix}.endianness"), &orders)?;
    Ok(RawOptions { little_endian: little_endian.unwrap_or_default() })
}

/// What a format says about a table.
pub(super) fn unfit(table: &Table) -> impl Fn(UnfitTable) -> Error {
    let name = table.name.clone();
    move |error| Error::invalid(format!("table `{name}`: {error}"))
}
