//! What a decoder makes of a topic's records.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::csv::{CsvOptions, CsvReader};
use super::debezium::DebeziumOptions;
use super::fault::UnfitTable;
use super::json::{JsonOptions, JsonReader};
use super::metadata::Metadata;
use super::nginx::NginxReader;
use super::raw::{RawOptions, RawReader};

/// Name of the weight column, which is the last one where rows can be taken back.
pub const WEIGHT: &str = "__weight";

/// How bytes stand for a row.
#[derive(Debug, Clone, PartialEq)]
pub enum TableFormat {
    /// A JSON object.
    Json(JsonOptions),
    /// A line of comma-separated values.
    Csv(CsvOptions),
    /// The bytes are the only column.
    Raw(RawOptions),
    /// A change as Debezium describes it, in JSON.
    DebeziumJson(DebeziumOptions),
    /// A line of nginx's access log, combined or common.
    Nginx,
}

impl TableFormat {
    /// Name in SQL.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::Csv(_) => "csv",
            Self::Raw(_) => "raw",
            Self::DebeziumJson(_) => "debezium-json",
            Self::Nginx => "nginx",
        }
    }

    /// Whether its records can take rows back.
    pub fn retracts(&self) -> bool {
        matches!(self, Self::DebeziumJson(_))
    }
}

/// Where a column's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The field of the record's value with this index.
    Value(usize),
    /// The field of the record's key with this index.
    Key(usize),
    /// What the record carries beside both.
    Metadata(Metadata),
}

/// A column that a decoder makes.
#[derive(Debug, Clone)]
pub struct LayoutColumn {
    /// Its name and type.
    pub field: FieldRef,
    /// Where its values come from.
    pub origin: Origin,
}

/// What the keys of records hold.
#[derive(Debug, Clone)]
pub struct KeyLayout {
    /// How.
    pub format: TableFormat,
    /// All the fields of a key, in order.
    pub fields: Vec<FieldRef>,
}

/// Which columns a decoder makes, of what.
///
/// ```
/// use std::sync::Arc;
/// use arrow_schema::{DataType, Field};
/// use riverrun_operators::format::table::*;
///
/// let price = Arc::new(Field::new("price", DataType::Int64, true));
/// let layout = TableLayout {
///     format: TableFormat::Json(JsonOptions::default()),
///     fields: vec![price.clone()],
///     key: None,
///     columns: vec![
///         LayoutColumn { field: price, origin: Origin::Value(0) },
///         LayoutColumn {
///             field: Arc::new(Field::new("at", DataType::Int64, false)),
///             origin: Origin::Metadata(Metadata::Offset),
///         },
///     ],
///     upsert: false,
/// };
/// assert!(TableDecoder::new(layout).is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct TableLayout {
    /// How the values of records stand for rows.
    pub format: TableFormat,
    /// All the fields of a value, in order, those that are not wanted as well: formats without names count them.
    pub fields: Vec<FieldRef>,
    /// What keys hold; `None` if they are not looked at.
    pub key: Option<KeyLayout>,
    /// The columns that are wanted, in order.
    pub columns: Vec<LayoutColumn>,
    /// A record replaces the earlier one of its key, one without a value removes it. See [`TableDecoder`].
    pub upsert: bool,
}

/// Reads the bytes of a value or of a key into some of the columns.
#[derive(Debug, Clone)]
pub(super) enum Reader {
    Json(JsonReader),
    Csv(CsvReader),
    Raw(RawReader),
    Nginx(NginxReader),
}

impl Reader {
    /// A reader for values of these fields; `targets` has the index of a field and that of its column.
    pub(super) fn new(
        format: &TableFormat,
        fields: &[FieldRef],
        targets: &[(usize, usize)],
    ) -> Result<Self, UnfitTable> {
        let chosen = targets.iter().map(|&(field, column)| (&fields[field], column));
        Ok(match format {
            TableFormat::Json(options) => Self::Json(JsonReader::new(chosen, options.clone())),
            TableFormat::DebeziumJson(options) => {
                Self::Json(JsonReader::new(chosen, options.json.clone()))
            }
            TableFormat::Csv(options) => {
                Self::Csv(CsvReader::new(fields, targets, options.clone())?)
            }
            TableFormat::Raw(options) => Self::Raw(RawReader::new(fields, targets, *options)?),
            TableFormat::Nginx => Self::Nginx(NginxReader::new(chosen)?),
        })
    }
}

impl TableLayout {
    /// Index of the field and of the column, for all columns that come from the value (or from the key).
    pub(super) fn targets(&self, of_key: bool) -> Vec<(usize, usize)> {
        let target = |(column, layout): (usize, &LayoutColumn)| match layout.origin {
            Origin::Value(field) if !of_key => Some((field, column)),
            Origin::Key(field) if of_key => Some((field, column)),
            _ => None,
        };
        self.columns.iter().enumerate().filter_map(target).collect()
    }

    /// For each field of the key, the column of the same name, whatever it comes from.
    pub(super) fn tombstone_targets(&self) -> Vec<(usize, usize)> {
        let Some(key) = &self.key else { return Vec::new() };
        let column = |field: &FieldRef| {
            self.columns.iter().position(|column| column.field.name() == field.name())
        };
        key.fields
            .iter()
            .enumerate()
            .filter_map(|(index, field)| Some((index, column(field)?)))
            .collect()
    }

    /// Whether rows have weights.
    pub fn retracts(&self) -> bool {
        self.upsert || self.format.retracts()
    }

    /// The schema of every batch. Where a record without a value removes a row, all columns but those of the key may be null.
    pub fn schema(&self) -> SchemaRef {
        let keys: Vec<usize> =
            self.tombstone_targets().into_iter().map(|(_, column)| column).collect();
        let field = |(index, column): (usize, &LayoutColumn)| {
            let field = column.field.as_ref().clone();
            let nullable = field.is_nullable() || (self.upsert && !keys.contains(&index));
            Arc::new(field.with_nullable(nullable))
        };
        let mut fields: Vec<FieldRef> = self.columns.iter().enumerate().map(field).collect();
        if self.retracts() {
            fields.push(Arc::new(Field::new(WEIGHT, DataType::Int64, false)));
        }
        Arc::new(Schema::new(fields))
    }
}
