//! Tables: records as columns of declared types, and back. What SQL's `'format' = ...` names.
//!
//! ```text
//! record --value format--> columns <--key format-- its key
//!                             ^-- offset, partition, timestamp, key, headers, topic
//! ```
//!
//! A [`TableDecoder`] fills growing columns straight from a record's bytes: nothing is made of a field that nobody reads, and no
//! value exists outside of its column. A record that turns out to be broken halfway is taken back by cutting all columns to the rows
//! before it, and handed to [`Rejects`](super::Rejects) with a [`Fault`] that names the field, what was found and what was expected.
//! A [`TableEncoder`] walks the rows of a batch over columns whose types were looked at once.
//!
//! | file | what |
//! |---|---|
//! | `table/layout.rs` | what a decoder makes of what: [`TableLayout`], [`Origin`], [`TableFormat`] |
//! | `table/decoder.rs` | [`TableDecoder`] |
//! | `table/column.rs`, `table/text.rs`, `table/time.rs` | growing columns; text to values; dates and times |
//! | `table/metadata.rs` | what a record carries beside key and value |
//! | `table/json.rs`, `table/csv.rs`, `table/raw.rs`, `table/nginx.rs`, `table/debezium.rs` | the formats |
//! | `table/encoder.rs`, `table/cell.rs` | [`TableEncoder`]; columns that are written as text |
//! | `table/fault.rs` | what is wrong with a record, or with a table |

mod cell;
mod column;
mod csv;
mod debezium;
mod decoder;
mod encoder;
mod fault;
mod json;
mod layout;
mod metadata;
mod nginx;
mod raw;
mod text;
mod time;

pub use column::sql_type;
pub use csv::CsvOptions;
pub use debezium::DebeziumOptions;
pub use decoder::TableDecoder;
pub use encoder::{EncoderLayout, TableEncoder, WriteMode};
pub use fault::{Fault, UnfitTable};
pub use json::{JsonOptions, MapNullKey};
pub use layout::{KeyLayout, LayoutColumn, Origin, TableFormat, TableLayout, WEIGHT};
pub use metadata::Metadata;
pub use raw::RawOptions;
pub use time::TimestampFormat;

pub(crate) use cell::{Cell, Kind};
pub(crate) use json::{write_integer, write_text};

#[cfg(test)]
mod tests;
