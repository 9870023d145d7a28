//! JSON objects, one a record: straight from the bytes into columns.
//!
//! An object is walked once. A field that the table reads is parsed by its column's type, every other one is skipped. Records of
//! one topic mostly have their fields in one order: which field stood at each place of the last object is remembered, and a key
//! is then found by comparing it with what is expected there.

mod read;
mod scan;
mod write;

pub(super) use read::JsonReader;
pub(super) use scan::Scanner;
pub(super) use write::{JsonCells, JsonWriter};
pub(crate) use write::{write_integer, write_text};

use super::time::TimestampFormat;

/// Options of the JSON format, named as Flink's without `json.`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonOptions {
    /// How timestamps are written.
    pub timestamp_format: TimestampFormat,
    /// A field that is not in the object is an error; otherwise it is null.
    pub fail_on_missing_field: bool,
    /// A field whose value is not of its type is null, a record that is no JSON is left out (and counted).
    pub ignore_parse_errors: bool,
    /// What is written for a null key of a map.
    pub map_null_key: MapNullKey,
    /// Fields that are null are not written.
    pub ignore_null_fields: bool,
}

impl Default for JsonOptions {
    fn default() -> Self {
        Self {
            timestamp_format: TimestampFormat::Sql,
            fail_on_missing_field: false,
            ignore_parse_errors: false,
            map_null_key: MapNullKey::Fail,
            ignore_null_fields: false,
        }
    }
}

/// What becomes of a map's entry whose key is null, which JSON cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MapNullKey {
    /// Writing fails.
    Fail,
    /// The entry is left out.
    Drop,
    /// This is written as its key.
    Literal(String),
}
