//! Log batches into columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::reader::read_record_batch;
use arrow_schema::{ArrowError, FieldRef, Schema, SchemaRef};
use riverrun_dataflow::{Columns, Error, Result};
use riverrun_log_store::{ColumnarRows, TopicConfig};

use super::schema::{describe_schema, encoded, schema_id, schema_of_topic};
use crate::format::table::UnfitTable;
use crate::format::{BatchRecords, ColumnDecoder, Rejects};

/// In front of a message: four bytes that begin it, and four for the length of its metadata.
const PREFIX: usize = 8;
const CONTINUATION: [u8; 4] = [0xff; 4];

/// Reads the batches of a columnar topic, without copying them: each becomes a batch of the stream.
#[derive(Debug, Clone)]
pub struct ArrowColumns {
    /// Of the topic.
    topic_schema: SchemaRef,
    /// As the topic's configuration says it.
    text: Arc<str>,
    /// Of what is read.
    schema: SchemaRef,
    projection: Option<Arc<[usize]>>,
    time_column: Option<usize>,
    weight_column: Option<usize>,
    decoded: Option<RecordBatch>,
}

impl ArrowColumns {
    /// All columns of a topic with this schema.
    ///
    /// # Errors
    /// [`UnfitTable`] as [`topic_settings`](super::topic_settings).
    pub fn new(schema: SchemaRef) -> Result<Self, UnfitTable> {
        Ok(Self {
            text: encoded(&schema)?.into(),
            schema: schema.clone(),
            topic_schema: schema,
            projection: None,
            time_column: None,
            weight_column: None,
            decoded: None,
        })
    }

    /// All columns of a topic that is configured like this.
    ///
    /// # Errors
    /// [`UnfitTable`] if it is not columnar.
    pub fn of_topic(config: &TopicConfig) -> Result<Self, UnfitTable> {
        Self::new(schema_of_topic(config)?)
    }

    /// Reads only the columns with these indices, in this order.
    ///
    /// # Errors
    /// [`UnfitTable`] if there is no such column.
    pub fn project(mut self, columns: &[usize]) -> Result<Self, UnfitTable> {
        let projected =
            self.topic_schema.project(columns).map_err(|e| UnfitTable(e.to_string()))?;
        self.schema = Arc::new(projected);
        self.projection = Some(columns.into());
        Ok(self)
    }

    /// As [`ArrowColumns::project`], under the names and types of these fields, which must have the same layout.
    pub(super) fn project_as(
        mut self,
        columns: &[usize],
        fields: &[FieldRef],
    ) -> Result<Self, UnfitTable> {
        let mut all = self.topic_schema.fields().to_vec();
        for (at, field) in columns.iter().zip(fields) {
            if let Some(place) = all.get_mut(*at) {
                *place = field.clone();
            }
        }
        self.topic_schema = Arc::new(Schema::new(all));
        self.project(columns)
    }

    /// Says which of the columns that are read is the event time (`Timestamp(Millisecond)`).
    pub fn time_column(mut self, column: usize) -> Self {
        self.time_column = Some(column);
        self
    }

    /// Says which of the columns that are read is the weight (`Int64`).
    pub fn weight_column(mut self, column: usize) -> Self {
        self.weight_column = Some(column);
        self
    }

    /// The schema of the columns that are read.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The columns of a log batch.
    ///
    /// # Errors
    /// [`Error::Format`] if they are not of this schema, or are no columns at all; `place` names them.
    pub fn read(&self, columns: &ColumnarRows, place: &str) -> Result<RecordBatch> {
        let failed = |reason: String| Error::Format {
            place: format!("{place}@{}", columns.base_offset),
            reason,
        };
        if columns.schema_id != schema_id(&self.text) {
            let reason = "the batch was written with another schema than the topic has".to_owned();
            return Err(failed(reason));
        }
        let batch = self.decode(columns).map_err(|error| failed(error.to_string()))?;
        if batch.num_rows() != columns.rows as usize {
            let rows = batch.num_rows();
            return Err(failed(format!("it has {rows} rows where {} should be", columns.rows)));
        }
        Ok(batch)
    }

    fn decode(&self, columns: &ColumnarRows) -> Result<RecordBatch, ArrowError> {
        let message = &columns.message;
        let malformed = |what: &str| ArrowError::IpcError(format!("no Arrow message: {what}"));
        let length = match message.first_chunk::<PREFIX>() {
            Some([begin @ .., a, b, c, d]) if *begin == CONTINUATION => {
                u32::from_le_bytes([*a, *b, *c, *d]) as usize
            }
            _ => return Err(malformed("it does not begin like one")),
        };
        let body_at = PREFIX.saturating_add(length);
        let metadata = message.get(PREFIX..body_at);
        let metadata = metadata.ok_or_else(|| malformed("it is cut short"))?;
        let root = arrow_ipc::root_as_message(metadata).map_err(|e| malformed(&e.to_string()))?;
        let header = root.header_as_record_batch();
        let header = header.ok_or_else(|| malformed("it is not that of a record batch"))?;
        let body = Buffer::from(message.slice(body_at..));
        // Arrow takes this for granted.
        let within = |at: i64, length: i64| {
            let end = u64::try_from(at).ok().zip(u64::try_from(length).ok());
            end.and_then(|(at, length)| at.checked_add(length))
                .is_some_and(|end| end <= body.len() as u64)
        };
        let buffers = header.buffers().into_iter().flatten();
        if !buffers.into_iter().all(|buffer| within(buffer.offset(), buffer.length())) {
            return Err(malformed("its buffers reach beyond its end"));
        }
        read_record_batch(
            &body,
            header,
            self.topic_schema.clone(),
            &HashMap::new(),
            self.projection.as_deref(),
            &root.version(),
        )
    }
}

impl ColumnDecoder for ArrowColumns {
    fn describe(&self) -> String {
        "arrow".to_owned()
    }

    fn check_topic(&mut self, config: &TopicConfig) -> Result<(), String> {
        let schema = schema_of_topic(config).map_err(|error| error.to_string())?;
        if schema.fields() == self.topic_schema.fields() {
            return Ok(());
        }
        let (found, expected) = (describe_schema(&schema), describe_schema(&self.topic_schema));
        Err(format!("its columns are ({found}), and not ({expected})"))
    }

    fn decode(&mut self, records: &BatchRecords<'_>, _rejects: &mut Rejects) -> Result<()> {
        let Some((columns, rows)) = records.columns()? else { return Ok(()) };
        let batch = self.read(&columns, records.place())?;
        let batch = batch.slice(rows.start, rows.len());
        self.decoded = (batch.num_rows() > 0).then_some(batch);
        Ok(())
    }

    fn len(&self) -> usize {
        self.decoded.as_ref().map_or(0, RecordBatch::num_rows)
    }

    fn is_full(&self) -> bool {
        self.decoded.is_some()
    }

    fn finish(&mut self) -> Columns {
        let nothing = || RecordBatch::new_empty(self.schema.clone());
        let batch = self.decoded.take().unwrap_or_else(nothing);
        Columns { batch, time_column: self.time_column, weight_column: self.weight_column }
    }
}
