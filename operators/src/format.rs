//! Record formats: how the records of the log become rows or columns, and the reverse.
//!
//! Decoders work on all the records of a log batch at once ([`BatchRecords`]), encoders on all the rows of an
//! engine batch, so that their loops are compiled as one piece: nothing is called through a pointer per record.
//!
//! | rows | decoder | encoder |
//! |---|---|---|
//! | [`Line`](crate::Line) | [`Lines`] | [`ToLines`] |
//! | any serde type | [`Json`] | [`ToJson`] |
//! | access logs | [`Nginx`] | |
//! | columns that folders are named by | [`InFolders`](folders::InFolders) | |
//! | columns as they are | [`ArrowColumns`](arrow::ArrowColumns), [`ArrowTable`](arrow::ArrowTable) | [`ToArrow`](arrow::ToArrow) |
//! | columns | [`NginxFields`], [`TableDecoder`](table::TableDecoder) | [`ColumnsToJson`](crate::columns::ColumnsToJson), [`TableEncoder`](table::TableEncoder) |

pub mod arrow;
mod dead_letters;
pub mod folders;
mod json;
mod lines;
mod nginx;
mod records;
mod rejects;
pub mod rfc3339;
pub mod table;

pub use json::{Json, ToJson};
pub use lines::{Lines, ToLines};
pub use nginx::{Nginx, NginxFields, NginxRow};
pub use records::BatchRecords;
pub use rejects::{OnError, Rejects};

pub(crate) use dead_letters::DeadLetters;
pub(crate) use table::{write_integer, write_text};

use riverrun_dataflow::{Batch, Columns, Error, Record, Result, Rows, SplitIndex, Timestamp};
use riverrun_log_store::{RecordFormat, TopicConfig};

/// Makes rows of the records of a log batch. A clone of it decodes for one subtask.
pub trait RowDecoder: Clone + Send + Sync + 'static {
    /// What a record becomes.
    type Row: Record;

    /// What it makes of what, for the description of the source: `lines`, `json Order`.
    fn describe(&self) -> String;

    /// Appends the rows of a log batch to `out`. A record that cannot be decoded goes to `rejects`.
    ///
    /// # Errors
    /// [`riverrun_dataflow::Error::Format`] if the batch itself is broken, or what `rejects` returns.
    fn decode(
        &mut self,
        records: &BatchRecords<'_>,
        rejects: &mut Rejects,
        out: &mut Rows<Self::Row>,
    ) -> Result<()>;
}

/// Makes columns of the records of log batches. A clone of it decodes for one subtask.
pub trait ColumnDecoder: Clone + Send + Sync + 'static {
    /// What it makes of what, for the description of the source.
    fn describe(&self) -> String;

    /// Whether a topic that is configured like this can be read; the reason if not. Those of records can, unless the decoder says
    /// otherwise. It is asked before the first batch, and may take what it needs to know of the topic.
    ///
    /// # Errors
    /// The reason.
    fn check_topic(&mut self, config: &TopicConfig) -> Result<(), String> {
        holds_records(config)
    }

    /// Adds the rows of a log batch. A record that cannot be decoded goes to `rejects`.
    ///
    /// # Errors
    /// As [`RowDecoder::decode`].
    fn decode(&mut self, records: &BatchRecords<'_>, rejects: &mut Rejects) -> Result<()>;

    /// Rows since the last `finish`.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether what came so far is to be a batch, however few rows it has.
    fn is_full(&self) -> bool {
        false
    }

    /// The rows so far as columns.
    fn finish(&mut self) -> Columns;
}

fn holds_records(config: &TopicConfig) -> Result<(), String> {
    match config.format {
        RecordFormat::Rows => Ok(()),
        RecordFormat::Arrow => {
            Err("it is columnar (format=arrow): read its columns, not records".to_owned())
        }
    }
}

fn takes_records(config: &TopicConfig) -> Result<(), String> {
    match config.format {
        RecordFormat::Rows => Ok(()),
        RecordFormat::Arrow => Err("it is columnar (format=arrow), and gets records".to_owned()),
    }
}

/// Columns as they are to be written: an Arrow IPC message.
#[derive(Debug, Clone, Copy)]
pub struct ColumnMessage<'a> {
    /// How many rows it has.
    pub rows: u32,
    /// Their largest timestamp; may be [`riverrun_dataflow::NO_TIMESTAMP`].
    pub timestamp: Timestamp,
    /// Which schema it has; see [`riverrun_log_store::ColumnarBatch`].
    pub schema_id: u32,
    /// The message.
    pub message: &'a [u8],
}

/// Takes encoded records: a topic's sink, or a file's.
pub trait RecordOut {
    /// Adds a record. `timestamp` may be [`riverrun_dataflow::NO_TIMESTAMP`].
    ///
    /// # Errors
    /// Those of writing what has come together.
    fn push(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<()>;

    /// Adds columns.
    ///
    /// # Errors
    /// As [`RecordOut::push`]; [`riverrun_dataflow::Error::Format`] where there is place for records only.
    fn push_columns(&mut self, _columns: ColumnMessage<'_>) -> Result<()> {
        Err(Error::Format {
            place: "columns to be written".to_owned(),
            reason:
                "only a topic takes them as they are (format=arrow): choose a format of records"
                    .to_owned(),
        })
    }

    /// Adds a record with headers. What has no place for headers leaves them out.
    ///
    /// # Errors
    /// As [`RecordOut::push`].
    fn push_with_headers(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        _headers: &[(&str, &[u8])],
    ) -> Result<()> {
        self.push(timestamp, key, value)
    }
}

/// Makes records of rows. A clone of it encodes for one subtask.
pub trait RowEncoder<T>: Clone + Send + Sync + 'static {
    /// What it makes, for the description of the sink: `json`.
    fn describe(&self) -> String;

    /// Encodes all rows.
    ///
    /// # Errors
    /// [`riverrun_dataflow::Error::Format`] for a row that cannot be encoded, or what `out` returns.
    fn encode(&mut self, rows: &Rows<T>, out: &mut impl RecordOut) -> Result<()>;
}

/// Makes records of columns. A clone of it encodes for one subtask.
pub trait ColumnEncoder: Clone + Send + Sync + 'static {
    /// What it makes, for the description of the sink.
    fn describe(&self) -> String;

    /// What a topic for its records must be configured like, by the names of [`TopicConfig::set`].
    fn topic_settings(&self) -> &[(String, String)] {
        &[]
    }

    /// Whether a topic that is configured like this takes what it makes; the reason if not. Those of records do, unless the encoder
    /// says otherwise. It is asked before the first batch, and may take what it needs to know of the topic.
    ///
    /// # Errors
    /// The reason.
    fn check_topic(&mut self, config: &TopicConfig) -> Result<(), String> {
        takes_records(config)
    }

    /// Encodes all rows.
    ///
    /// # Errors
    /// As [`RowEncoder::encode`].
    fn encode(&mut self, columns: &Columns, out: &mut impl RecordOut) -> Result<()>;
}

/// A decoder of either kind, as sources drive it.
pub(crate) trait BatchDecoder: Send {
    fn check_topic(&mut self, config: &TopicConfig) -> Result<(), String> {
        holds_records(config)
    }
    fn decode(&mut self, records: &BatchRecords<'_>, rejects: &mut Rejects) -> Result<()>;
    fn len(&self) -> usize;
    fn is_full(&self) -> bool {
        false
    }
    fn finish(&mut self, split: SplitIndex) -> Batch;
}

/// Collects the rows of a [`RowDecoder`].
pub(crate) struct DecodedRows<D: RowDecoder> {
    decoder: D,
    rows: Rows<D::Row>,
}

impl<D: RowDecoder> DecodedRows<D> {
    pub(crate) fn new(decoder: D) -> Self {
        Self { decoder, rows: Rows::default() }
    }
}

impl<D: RowDecoder> BatchDecoder for DecodedRows<D> {
    fn decode(&mut self, records: &BatchRecords<'_>, rejects: &mut Rejects) -> Result<()> {
        self.rows.values.reserve(records.len());
        self.rows.timestamps.reserve(records.len());
        self.decoder.decode(records, rejects, &mut self.rows)
    }
    fn len(&self) -> usize {
        self.rows.len()
    }
    fn finish(&mut self, split: SplitIndex) -> Batch {
        Batch::rows(std::mem::take(&mut self.rows), Some(split))
    }
}

/// Collects the columns of a [`ColumnDecoder`].
pub(crate) struct DecodedColumns<D>(pub(crate) D);

impl<D: ColumnDecoder> BatchDecoder for DecodedColumns<D> {
    fn check_topic(&mut self, config: &TopicConfig) -> Result<(), String> {
        self.0.check_topic(config)
    }
    fn is_full(&self) -> bool {
        self.0.is_full()
    }
    fn decode(&mut self, records: &BatchRecords<'_>, rejects: &mut Rejects) -> Result<()> {
        self.0.decode(records, rejects)
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn finish(&mut self, split: SplitIndex) -> Batch {
        Batch::columns(self.0.finish(), Some(split))
    }
}

/// An encoder of either kind, as sinks drive it.
pub(crate) trait BatchEncoder: Send {
    fn topic_settings(&self) -> &[(String, String)] {
        &[]
    }
    fn check_topic(&mut self, config: &TopicConfig) -> Result<(), String> {
        takes_records(config)
    }
    fn encode(&mut self, operator: &str, batch: Batch, out: &mut impl RecordOut) -> Result<()>;
}

/// Drives a [`RowEncoder`].
pub(crate) struct EncodedRows<T, E> {
    encoder: E,
    _rows: std::marker::PhantomData<fn(T)>,
}

impl<T, E> EncodedRows<T, E> {
    pub(crate) fn new(encoder: E) -> Self {
        Self { encoder, _rows: std::marker::PhantomData }
    }
}

impl<T: Record, E: RowEncoder<T>> BatchEncoder for EncodedRows<T, E> {
    fn encode(&mut self, operator: &str, batch: Batch, out: &mut impl RecordOut) -> Result<()> {
        self.encoder.encode(&batch.into_rows::<T>(operator)?, out)
    }
}

/// Drives a [`ColumnEncoder`].
pub(crate) struct EncodedColumns<E>(pub(crate) E);

impl<E: ColumnEncoder> BatchEncoder for EncodedColumns<E> {
    fn topic_settings(&self) -> &[(String, String)] {
        self.0.topic_settings()
    }
    fn check_topic(&mut self, config: &TopicConfig) -> Result<(), String> {
        self.0.check_topic(config)
    }
    fn encode(&mut self, operator: &str, batch: Batch, out: &mut impl RecordOut) -> Result<()> {
        self.0.encode(&batch.into_columns(operator)?, out)
    }
}

#[cfg(test)]
mod tests;
