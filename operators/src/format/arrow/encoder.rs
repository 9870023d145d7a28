//! Columns into log batches.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_ipc::MetadataVersion;
use arrow_ipc::writer::{
    DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message,
};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef};
use riverrun_dataflow::{Columns, Error, NO_TIMESTAMP, Result, Timestamp};
use riverrun_log_store::{COLUMNAR_ALIGNMENT, RecordFormat, TopicConfig};

use super::fit;
use super::schema::{describe_schema, encoded, schema_id, schema_of_topic, topic_settings};
use crate::format::table::{UnfitTable, WEIGHT};
use crate::format::{ColumnEncoder, ColumnMessage, RecordOut};

/// A batch that is larger is written as several, so that it stays below what a topic takes: 16 MiB, unless set.
const MOST_BYTES: usize = 8 << 20;

/// Writes columns as they are, for a columnar topic of their schema.
///
/// A topic that is there already may have its columns in another order, and promise less of them: nulls where there are none.
#[derive(Debug, Clone)]
pub struct ToArrow {
    /// Of what comes: types and order count, names are those by which the topic's columns are found.
    schema: SchemaRef,
    settings: Arc<[(String, String)]>,
    target: Target,
    /// Which column is the event time, if the batches do not say so.
    time_column: Option<usize>,
    /// Rows may take others back: the last column is their weight, whether it comes or not.
    weighted: bool,
    buffer: Vec<u8>,
    most_bytes: usize,
}

/// The topic's columns.
#[derive(Debug, Clone)]
struct Target {
    schema: SchemaRef,
    schema_id: u32,
    /// Where each comes from.
    sources: Arc<[usize]>,
}

impl Target {
    fn of(schema: SchemaRef, sources: Vec<usize>) -> Result<Self, UnfitTable> {
        Ok(Self { schema_id: schema_id(&encoded(&schema)?), sources: sources.into(), schema })
    }

    /// The topic's columns, of as many as are expected.
    fn batch(&self, arrays: &[ArrayRef], expected: usize) -> Result<RecordBatch, ArrowError> {
        if arrays.len() != expected {
            let found = arrays.len();
            return Err(ArrowError::SchemaError(format!("{found} columns, {expected} expected")));
        }
        let fields = self.schema.fields().iter().zip(&*self.sources);
        let columns = fields.map(|(to, at)| fit::retyped(&arrays[*at], to.data_type()));
        RecordBatch::try_new(self.schema.clone(), columns.collect::<Result<_, _>>()?)
    }
}

impl ToArrow {
    /// An encoder for a topic of this schema. A weight column is written if the schema has one.
    ///
    /// # Errors
    /// [`UnfitTable`] as [`topic_settings`].
    pub fn new(schema: SchemaRef) -> Result<Self, UnfitTable> {
        let own = (0..schema.fields().len()).collect();
        Ok(Self {
            settings: topic_settings(&schema)?.into(),
            target: Target::of(schema.clone(), own)?,
            schema,
            time_column: None,
            weighted: false,
            buffer: Vec::new(),
            most_bytes: MOST_BYTES,
        })
    }

    /// An encoder for a topic of changes to rows of this schema: it has their weights in one more column, [`WEIGHT`]. Batches
    /// without weights are insertions.
    ///
    /// # Errors
    /// As [`ToArrow::new`].
    pub fn changes(schema: &Schema) -> Result<Self, UnfitTable> {
        let weight: FieldRef = Arc::new(Field::new(WEIGHT, DataType::Int64, false));
        let fields: Vec<FieldRef> = schema.fields().iter().cloned().chain([weight]).collect();
        Ok(Self { weighted: true, ..Self::new(Arc::new(Schema::new(fields)))? })
    }

    /// Says which column is the event time (`Timestamp(Millisecond)`) of batches that do not say so themselves.
    pub fn time_column(mut self, column: usize) -> Self {
        self.time_column = Some(column);
        self
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
            schema_id: self.target.schema_id,
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

    fn check_topic(&mut self, config: &TopicConfig) -> Result<(), String> {
        let unfit = |error: UnfitTable| error.to_string();
        if config.format == RecordFormat::Rows {
            return Err("it holds records, and gets columns (format=arrow)".to_owned());
        }
        let topic = schema_of_topic(config).map_err(unfit)?;
        let sources = fit::sources(&topic, &self.schema)?;
        self.target = Target::of(topic, sources).map_err(unfit)?;
        Ok(())
    }

    fn encode(&mut self, columns: &Columns, out: &mut impl RecordOut) -> Result<()> {
        let rows = columns.batch.num_rows();
        if rows == 0 {
            return Ok(());
        }
        let mut arrays = columns.batch.columns().to_vec();
        if self.weighted && columns.weight_column.is_none() {
            arrays.push(Arc::new(Int64Array::from_value(1, rows)));
        }
        // Names may differ, types may not.
        let batch = self.target.batch(&arrays, self.schema.fields().len());
        let batch = batch.map_err(|error| {
            let found = describe_schema(&columns.batch.schema());
            let expected = describe_schema(&self.schema);
            failed(format!("they are ({found}), the topic has ({expected}): {error}"))
        })?;
        let time = columns.time_column.or(self.time_column);
        let time = time.and_then(|time| self.target.sources.iter().position(|at| *at == time));
        self.write(&batch, time, out)
    }
}
