//! What a topic's batches hold.

use std::fmt;
use std::str::FromStr;

use super::invalid;
use crate::error::{Error, Result};

/// `format`: what a topic's batches hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RecordFormat {
    /// Records, as Kafka's clients send them.
    #[default]
    Rows,
    /// Columns: each batch one record, an Arrow IPC message of many rows. See
    /// [`ColumnarBatch`](crate::ColumnarBatch).
    Arrow,
}

impl RecordFormat {
    /// What that is, for messages.
    pub(crate) fn holds(self) -> &'static str {
        match self {
            RecordFormat::Rows => "records",
            RecordFormat::Arrow => "Arrow columns",
        }
    }
}

impl fmt::Display for RecordFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecordFormat::Rows => "rows",
            RecordFormat::Arrow => "arrow",
        })
    }
}

impl FromStr for RecordFormat {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "rows" => Ok(RecordFormat::Rows),
            "arrow" => Ok(RecordFormat::Arrow),
            _ => Err(invalid("format", text, "use rows or arrow")),
        }
    }
}
