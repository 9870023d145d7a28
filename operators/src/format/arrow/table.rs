//! Columnar topics as tables.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, new_null_array,
};
use arrow_schema::{ArrowError, DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use riverrun_dataflow::{Columns, Error, Result};
use riverrun_log_store::{ColumnarRows, TopicConfig};

use super::decoder::ArrowColumns;
use super::fit;
use super::schema::schema_of_topic;
use crate::format::table::{Metadata, UnfitTable, WEIGHT};
use crate::format::{BatchRecords, ColumnDecoder, Rejects};

/// A column of a table whose rows are in a columnar topic.
#[derive(Debug, Clone)]
pub struct ArrowTableColumn {
    /// Its name and type. One of the topic's has the same name.
    pub field: FieldRef,
    /// What it is, if it is none of the topic's columns.
    pub metadata: Option<Metadata>,
}

/// Reads some of the columns of a columnar topic, found by their names, and what the log knows of its rows.
///
/// A column that is not among them is not looked at. The topic may have more columns than the table, and in another order; its
/// types must be those of the table. All rows of a log batch have the batch's timestamp: the latest event time of its rows.
#[derive(Debug, Clone)]
pub struct ArrowTable {
    columns: Arc<[ArrowTableColumn]>,
    /// Of every batch.
    schema: SchemaRef,
    /// Whether the topic holds changes, which have weights.
    weighted: bool,
    /// For the columns that are the topic's, once the topic is known.
    reader: Option<ArrowColumns>,
    decoded: Option<RecordBatch>,
}

impl ArrowTable {
    /// A decoder that makes these columns.
    ///
    /// # Errors
    /// [`UnfitTable`] for metadata that rows of a columnar topic do not have, or that the column's type cannot hold.
    pub fn new(columns: Vec<ArrowTableColumn>) -> Result<Self, UnfitTable> {
        for column in &columns {
            let Some(kind) = column.metadata else { continue };
            if matches!(kind, Metadata::Key | Metadata::Headers) {
                return Err(UnfitTable(format!(
                    "column `{}`: rows of a columnar topic have no {}; their metadata is offset, partition, timestamp and topic",
                    column.field.name(),
                    kind.name()
                )));
            }
            kind.check(&column.field)?;
        }
        let fields = columns.iter().map(|column| column.field.clone());
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self { columns: columns.into(), schema, weighted: false, reader: None, decoded: None })
    }

    /// The topic holds changes: their weights, which it has in a column [`WEIGHT`], become the last column.
    pub fn weighted(mut self) -> Self {
        let weight: FieldRef = Arc::new(Field::new(WEIGHT, DataType::Int64, false));
        let fields = self.columns.iter().map(|column| column.field.clone()).chain([weight]);
        self.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        self.weighted = true;
        self
    }

    /// The schema of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The fields that are the topic's columns, in the order in which they are read.
    fn read_fields(&self) -> Vec<FieldRef> {
        let own = self.columns.iter().filter(|column| column.metadata.is_none());
        let own = own.map(|column| column.field.clone());
        own.chain(self.schema.fields().get(self.columns.len()).cloned()).collect()
    }

    fn made(
        &self,
        columns: &ColumnarRows,
        records: &BatchRecords<'_>,
        rows: std::ops::Range<usize>,
    ) -> Result<Option<RecordBatch>> {
        let place = records.place();
        let failed = |reason: String| Error::Format {
            place: format!("{place}@{}", columns.base_offset),
            reason,
        };
        let Some(reader) = &self.reader else {
            return Err(failed("it is read before its topic's schema is known".to_owned()));
        };
        let read = match reader.schema().fields().is_empty() {
            true => None,
            false => Some(reader.read(columns, place)?.slice(rows.start, rows.len())),
        };
        let first = columns.base_offset + rows.start as i64;
        let said = Said {
            first,
            rows: rows.len(),
            timestamp: columns.max_timestamp,
            partition: records.partition(),
            topic: records.topic(),
        };
        let mut own = read.iter().flat_map(RecordBatch::columns);
        let mut arrays = Vec::with_capacity(self.schema.fields().len());
        for (at, field) in self.schema.fields().iter().enumerate() {
            arrays.push(match self.columns.get(at).and_then(|column| column.metadata) {
                Some(kind) => said.column(kind, field).map_err(|e| failed(e.to_string()))?,
                None => match own.next() {
                    Some(array) => array.clone(),
                    None => return Err(failed(format!("it has no column `{}`", field.name()))),
                },
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map(Some)
            .map_err(|error| failed(error.to_string()))
    }
}

/// What the log says of some rows of a batch.
struct Said<'a> {
    first: i64,
    rows: usize,
    timestamp: i64,
    partition: i32,
    topic: &'a str,
}

impl Said<'_> {
    fn column(&self, kind: Metadata, field: &Field) -> Result<ArrayRef, ArrowError> {
        let long = |value: i64| Arc::new(Int64Array::from_value(value, self.rows));
        Ok(match (kind, field.data_type()) {
            (Metadata::Offset, _) => {
                let offsets = (self.first..).take(self.rows);
                Arc::new(Int64Array::from_iter_values(offsets))
            }
            (Metadata::Partition, DataType::Int32) => {
                Arc::new(Int32Array::from_value(self.partition, self.rows))
            }
            (Metadata::Partition, _) => long(self.partition.into()),
            (Metadata::Timestamp, of) if self.timestamp == -1 => new_null_array(of, self.rows),
            (Metadata::Timestamp, DataType::Timestamp(unit, zone)) => self.times(*unit, zone)?,
            (Metadata::Timestamp, _) => long(self.timestamp),
            (Metadata::Topic, _) => {
                Arc::new(StringArray::from_iter_values(std::iter::repeat_n(self.topic, self.rows)))
            }
            (Metadata::Key | Metadata::Headers, of) => new_null_array(of, self.rows),
        })
    }

    fn times(&self, unit: TimeUnit, zone: &Option<Arc<str>>) -> Result<ArrayRef, ArrowError> {
        let scaled = |factor: i64| {
            self.timestamp.checked_mul(factor).ok_or_else(|| {
                ArrowError::ComputeError(format!(
                    "its timestamp {} is out of range: declare the column TIMESTAMP_LTZ(3)",
                    self.timestamp
                ))
            })
        };
        let (rows, zone) = (self.rows, zone.clone());
        Ok(match unit {
            TimeUnit::Second => {
                let seconds = self.timestamp / 1000;
                Arc::new(TimestampSecondArray::from_value(seconds, rows).with_timezone_opt(zone))
            }
            TimeUnit::Millisecond => {
                let array = TimestampMillisecondArray::from_value(self.timestamp, rows);
                Arc::new(array.with_timezone_opt(zone))
            }
            TimeUnit::Microsecond => {
                let array = TimestampMicrosecondArray::from_value(scaled(1_000)?, rows);
                Arc::new(array.with_timezone_opt(zone))
            }
            TimeUnit::Nanosecond => {
                let array = TimestampNanosecondArray::from_value(scaled(1_000_000)?, rows);
                Arc::new(array.with_timezone_opt(zone))
            }
        })
    }
}

impl ColumnDecoder for ArrowTable {
    fn describe(&self) -> String {
        let names: Vec<&str> =
            self.columns.iter().map(|column| column.field.name().as_str()).collect();
        format!("arrow {}", names.join(", "))
    }

    fn check_topic(&mut self, config: &TopicConfig) -> Result<(), String> {
        let topic = schema_of_topic(config).map_err(|error| error.to_string())?;
        let wanted = self.read_fields();
        let changes = topic.fields().find(WEIGHT).is_some();
        if changes && !wanted.iter().any(|field| field.name() == WEIGHT) {
            return Err(format!(
                "it holds changes, whose weights are its column `{WEIGHT}`: declare the table with 'changelog.mode' = 'all'"
            ));
        }
        if self.weighted && !changes {
            return Err(
                "it holds rows that stay: declare the table without 'changelog.mode' = 'all'"
                    .to_owned(),
            );
        }
        let places = fit::places(&topic, &wanted)?;
        let reader = ArrowColumns::of_topic(config)
            .and_then(|reader| reader.project_as(&places, &wanted))
            .map_err(|error| error.to_string())?;
        self.reader = Some(reader);
        Ok(())
    }

    fn decode(&mut self, records: &BatchRecords<'_>, _rejects: &mut Rejects) -> Result<()> {
        let Some((columns, rows)) = records.columns()? else { return Ok(()) };
        self.decoded = self.made(&columns, records, rows)?;
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
        let weight_column = self.weighted.then(|| batch.num_columns() - 1);
        Columns { batch, time_column: None, weight_column }
    }
}
