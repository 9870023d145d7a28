//! Columns shown to people and programs that know rows.

use arrow_array::RecordBatch;
use riverrun_dataflow::{Columns, Error, Result, Timestamp};
use riverrun_log_store::{ColumnarRows, TopicConfig};

use super::decoder::ArrowColumns;
use crate::format::table::{
    EncoderLayout, JsonOptions, TableEncoder, TableFormat, UnfitTable, WriteMode,
};
use crate::format::{ColumnEncoder, RecordOut};

/// Renders the rows of a columnar topic as JSON objects.
#[derive(Debug, Clone)]
pub struct JsonRows {
    columns: ArrowColumns,
    encoder: TableEncoder,
}

impl JsonRows {
    /// For a topic that is configured like this.
    ///
    /// # Errors
    /// [`UnfitTable`] if it is not columnar, or has a column whose type JSON cannot say.
    pub fn of_topic(config: &TopicConfig) -> Result<Self, UnfitTable> {
        let columns = ArrowColumns::of_topic(config)?;
        let fields = columns.schema().fields().iter().cloned().enumerate().collect();
        let encoder = TableEncoder::new(EncoderLayout {
            format: TableFormat::Json(JsonOptions::default()),
            value: fields,
            key: None,
            metadata: Vec::new(),
            mode: WriteMode::Append,
        })?;
        Ok(Self { columns, encoder })
    }

    /// Calls `each` with the offset and the JSON object of every row of a batch; `place` names the partition in messages.
    ///
    /// # Errors
    /// [`Error::Format`] if the batch cannot be read, or has a value that JSON cannot say; what `each` returns.
    pub fn for_each<E: From<Error>>(
        &mut self,
        columns: &ColumnarRows,
        place: &str,
        mut each: impl FnMut(i64, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let batch: RecordBatch = self.columns.read(columns, place)?;
        let mut out = Collected::default();
        self.encoder
            .encode(&Columns { batch, time_column: None, weight_column: None }, &mut out)?;
        let mut from = 0;
        for (offset, to) in (columns.base_offset..).zip(&out.ends) {
            each(offset, &out.bytes[from..*to])?;
            from = *to;
        }
        Ok(())
    }
}

/// Values back to back, and where each ends.
#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl RecordOut for Collected {
    fn push(&mut self, _: Timestamp, _: Option<&[u8]>, value: Option<&[u8]>) -> Result<()> {
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.ends.push(self.bytes.len());
        Ok(())
    }
}
