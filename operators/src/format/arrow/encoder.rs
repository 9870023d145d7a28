//! Columns into log batches.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, RecordBatch};
use arrow_ipc::MetadataVersion;
use arrow_ipc::writer::{
    DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message,
};
use arrow_schema::{ArrowError, SchemaRef};
use riverrun_dataflow::{Columns, Error, NO_TIMESTAMP, Result, Timestamp};
use riverrun_log_store::COLUMNAR_ALIGNMENT;

use super::schema::{describe_schema, encoded, schema_id, topic_settings};
use crate::format::table::UnfitTable;
use crate::format::{ColumnEncoder, ColumnMessage, RecordOut};

/// A batch that is larger is written as several, so that it stays below what a topic takes: 16 MiB, unless set.
const MOST_BYTES: usize = 8 << 20;

/// Writes columns as they are, for a columnar topic of their schema.
#[derive(Debug, Clone)]
pub struct ToArrow {
    schema: SchemaRef,
    settings: Arc<[(String, String)]>,
    schema_id: u32,
    buffer: Vec<u8>,
    most_bytes: usize,
}

impl ToArrow {
    /// An encoder for a topic of this schema. A weight column is written if the schema has one.
    ///
    /// # Errors
    /// [`UnfitTable`] as [`topic_settings`].
    pub fn new(schema: SchemaRef) -> Result<Self, UnfitTable> {
        Ok(Self {
            schema_id: schema_id(&encoded(&schema)?),
            settings: topic_settings(&schema)?.into(),
            schema,
            buffer: Vec::new(),
            most_bytes: MOST_BYTES,
        })
    }

    /// Sets how large a batch may become, in bytes, unless it has a single row.
    pub fn most_bytes(mut self, bytes: usize) -> Self {
        self.most_bytes = bytes;
        self
    }

    fn write(
        &mut self,
        batch: &RecordBatch,
        time_column: Option<usize>,
        out: &mut impl RecordOut,
    ) -> Result<()> {
        self.buffer.clear();
        message(batch, &mut self.buffer).map_err(|error| failed(error.to_string()))?;
        let rows = batch.num_rows();
        if self.buffer.len() > self.most_bytes && rows > 1 {
            let half = rows / 2;
            self.write(&batch.slice(0, half), time_column, out)?;
            return self.write(&batch.slice(half, rows - half), time_column, out);
        }
        out.push_columns(ColumnMessage {
            rows: u32::try_from(rows).map_err(|_| failed(format!("{rows} rows in one batch")))?,
            timestamp: newest(batch, time_column),
            schema_id: self.schema_id,
            message: &self.buffer,
        })
    }
}

fn failed(reason: String) -> Error {
    Error::Format { place: "columns for a columnar topic".to_owned(), reason }
}

/// Appends the message of a batch.
fn message(batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let options = IpcWriteOptions::try_new(COLUMNAR_ALIGNMENT, false, MetadataVersion::V5)?;
    let (dictionaries, encoded) = IpcDataGenerator::default().encode(
        batch,
        &mut DictionaryTracker::new(true),
        &options,
        &mut IpcWriteContext::default(),
    )?;
    debug_assert!(dictionaries.is_empty(), "schemas with dictionaries are refused");
    write_message(out, encoded, &options)?;
    Ok(())
}

/// The largest event time of a batch.
fn newest(batch: &RecordBatch, time_column: Option<usize>) -> Timestamp {
    let column = time_column.and_then(|column| batch.columns().get(column));
    let times = column.and_then(|column| column.as_primitive_opt::<TimestampMillisecondType>());
    let Some(times) = times else { return NO_TIMESTAMP };
    let newest = match times.null_count() {
        0 => times.values().iter().copied().max(),
        _ => times.iter().flatten().max(),
    };
    newest.unwrap_or(NO_TIMESTAMP)
}

impl ColumnEncoder for ToArrow {
    fn describe(&self) -> String {
        "arrow".to_owned()
    }

    fn topic_settings(&self) -> &[(String, String)] {
        &self.settings
    }

    fn encode(&mut self, columns: &Columns, out: &mut impl RecordOut) -> Result<()> {
        if columns.batch.num_rows() == 0 {
            return Ok(());
        }
        // Names may differ, types may not.
        let batch = RecordBatch::try_new(self.schema.clone(), columns.batch.columns().to_vec())
            .map_err(|error| {
                let found = describe_schema(&columns.batch.schema());
                let expected = describe_schema(&self.schema);
                failed(format!("they are ({found}), the topic has ({expected}): {error}"))
            })?;
        self.write(&batch, columns.time_column, out)
    }
}
