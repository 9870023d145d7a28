//! Tables against independent readings of the same records.

mod csv;
mod debezium;
mod json;
mod malformed;
mod nginx;
mod upsert;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};
use bytes::Bytes;
use riverrun_dataflow::{Columns, Result, Timestamp};
use riverrun_log_store::{Batch, BatchBuilder, Compression, Decompressor, Records};

use super::*;
use crate::format::{BatchRecords, ColumnDecoder, ColumnEncoder, OnError, RecordOut, Rejects};

pub(super) type Headers = Vec<(String, Vec<u8>)>;

/// A record as it goes in or comes out.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Rec {
    pub timestamp: Timestamp,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Headers,
}

pub(super) fn value(value: impl AsRef<[u8]>) -> Rec {
    Rec { value: Some(value.as_ref().to_vec()), ..Rec::default() }
}

pub(super) fn keyed(key: &str, value: Option<&str>) -> Rec {
    let bytes = |text: &str| text.as_bytes().to_vec();
    Rec { key: Some(bytes(key)), value: value.map(bytes), ..Rec::default() }
}

/// A batch of the log.
pub(super) fn log(records: &[Rec]) -> Records {
    let mut builder = BatchBuilder::new(Compression::None).unwrap();
    for record in records {
        let headers: Vec<(&str, &[u8])> =
            record.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        builder
            .append(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers)
            .unwrap();
    }
    let batch = Batch::parse(Bytes::from(builder.finish().unwrap())).unwrap();
    batch.records(&mut Decompressor::new()).unwrap()
}

/// Decodes records, and says how many were rejected.
pub(super) fn decoded(decoder: &mut TableDecoder, records: &[Rec]) -> (Columns, u64) {
    let mut rejects = Rejects::new(OnError::Skip, "t-3", None);
    if !records.is_empty() {
        let records = log(records);
        let records = BatchRecords::new(&records, 0, "t-3").in_partition("t", 3);
        decoder.decode(&records, &mut rejects).unwrap();
    }
    let columns = decoder.finish();
    assert_eq!(columns.batch.schema(), *decoder.schema());
    (columns, rejects.rejected())
}

/// Why a record is rejected.
pub(super) fn reason(decoder: &mut TableDecoder, record: &Rec) -> Option<String> {
    let mut rejects = Rejects::new(OnError::Fail, "t-3", None);
    let records = log(std::slice::from_ref(record));
    let outcome = decoder.decode(&BatchRecords::new(&records, 0, "t-3"), &mut rejects);
    decoder.finish();
    let reason = outcome.err()?.to_string();
    Some(reason.strip_prefix("t-3@0: ").expect("the place comes first").to_owned())
}

pub(super) fn field(name: &str, data_type: DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type, true))
}

pub(super) fn required(name: &str, data_type: DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type, false))
}

pub(super) fn list(item: DataType) -> DataType {
    DataType::List(field("item", item))
}

pub(super) fn map(value: DataType) -> DataType {
    let entries = Fields::from(vec![required("key", DataType::Utf8), field("value", value)]);
    DataType::Map(required("entries", DataType::Struct(entries)), false)
}

pub(super) fn row(fields: Vec<FieldRef>) -> DataType {
    DataType::Struct(fields.into())
}

pub(super) fn ltz() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

/// A layout of all fields of the value.
pub(super) fn whole(format: TableFormat, fields: &[FieldRef]) -> TableLayout {
    let column = |(index, field): (usize, &FieldRef)| LayoutColumn {
        field: field.clone(),
        origin: Origin::Value(index),
    };
    TableLayout {
        format,
        fields: fields.to_vec(),
        key: None,
        columns: fields.iter().enumerate().map(column).collect(),
        upsert: false,
    }
}

pub(super) fn decoder(format: TableFormat, fields: &[FieldRef]) -> TableDecoder {
    TableDecoder::new(whole(format, fields)).unwrap()
}

/// An encoder of all columns.
pub(super) fn encoder(format: TableFormat, fields: &[FieldRef], mode: WriteMode) -> TableEncoder {
    let value = fields.iter().cloned().enumerate().collect();
    TableEncoder::new(EncoderLayout { format, value, key: None, metadata: Vec::new(), mode })
        .unwrap()
}

#[derive(Default)]
pub(super) struct Collected(pub Vec<Rec>);

impl RecordOut for Collected {
    fn push(&mut self, at: Timestamp, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<()> {
        self.push_with_headers(at, key, value, &[])
    }
    fn push_with_headers(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &[u8])],
    ) -> Result<()> {
        let bytes = |bytes: &[u8]| bytes.to_vec();
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec()));
        let headers = headers.collect();
        self.0.push(Rec { timestamp, key: key.map(bytes), value: value.map(bytes), headers });
        Ok(())
    }
}

pub(super) fn encoded(encoder: &mut TableEncoder, columns: &Columns) -> Result<Vec<Rec>> {
    let mut out = Collected::default();
    encoder.encode(columns, &mut out).map(|()| out.0)
}

pub(super) fn texts(records: &[Rec]) -> Vec<String> {
    let text = |record: &Rec| String::from_utf8(record.value.clone().unwrap()).unwrap();
    records.iter().map(text).collect()
}

pub(super) fn columns(batch: RecordBatch) -> Columns {
    Columns { batch, time_column: None, weight_column: None }
}
