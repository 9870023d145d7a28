//! The columnar path: what rows go through with the typed DSL, on Arrow columns. SQL uses it as well.
//!
//! ```text
//! topic --decoder--> columns -> timestamps -> combine ==HASH on a column==> window -> JSON --> topic
//! ```
//!
//! | file | what |
//! |---|---|
//! | `columns/stream.rs` | the DSL: [`ColumnStreams`] |
//! | `columns/timestamps.rs` | watermarks from the time column |
//! | `columns/combine.rs`, `columns/counts.rs` | rows counted by (key column, pane) before the HASH edge |
//! | `columns/partitioner.rs` | columns split by the hash of a column |
//! | `columns/window.rs` | counts merged by pane, fired as windows: state and lateness are those of the row path |
//! | `columns/json.rs` | columns to JSON records: [`ColumnsToJson`] |

mod combine;
mod counts;
mod json;
mod partitioner;
mod stream;
mod timestamps;
mod window;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{StringArray, TimestampMillisecondArray};
use riverrun_dataflow::{Columns, Error, Result};

pub use json::ColumnsToJson;
pub use partitioner::ColumnPartitioner;
pub use stream::ColumnStreams;

/// A batch that is not what an operator was built for.
fn wrong(operator: &str, expected: impl Into<String>, columns: &Columns) -> Error {
    let fields = columns.batch.schema_ref().fields().iter();
    let got: Vec<String> = fields.map(|f| format!("{} {}", f.name(), f.data_type())).collect();
    Error::WrongBatch {
        operator: operator.to_owned(),
        expected: expected.into(),
        got: format!("columns ({})", got.join(", ")),
    }
}

/// The column of this name, which must be text without nulls.
fn text_column<'a>(operator: &str, columns: &'a Columns, name: &str) -> Result<&'a StringArray> {
    let column = columns.batch.column_by_name(name).and_then(|column| column.as_string_opt());
    column
        .filter(|column| arrow_array::Array::null_count(*column) == 0)
        .ok_or_else(|| wrong(operator, format!("a column `{name}` of text without nulls"), columns))
}

/// The event time column, which must be without nulls.
fn time_column<'a>(operator: &str, columns: &'a Columns) -> Result<&'a TimestampMillisecondArray> {
    let column = columns.time_column.and_then(|index| columns.batch.columns().get(index));
    column
        .and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>())
        .filter(|column| arrow_array::Array::null_count(*column) == 0)
        .ok_or_else(|| {
            wrong(operator, "an event time column (Timestamp in ms, without nulls)", columns)
        })
}

#[cfg(test)]
mod tests;
