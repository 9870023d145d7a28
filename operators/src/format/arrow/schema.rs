//! The schema of a columnar topic, as its configuration keeps it.

use std::sync::Arc;

use arrow_ipc::convert::try_schema_from_flatbuffer_bytes;
use arrow_ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use arrow_schema::{DataType, Schema, SchemaRef};
use riverrun_log_store::{RecordFormat, TopicConfig, crc32c};

use crate::format::table::UnfitTable;

/// The settings of a topic for batches of this schema, by the names of [`TopicConfig::set`].
///
/// # Errors
/// [`UnfitTable`] for a column whose type is not kept: one that is encoded by a dictionary or in runs, which are ways to hold
/// values in memory.
pub fn topic_settings(schema: &Schema) -> Result<Vec<(String, String)>, UnfitTable> {
    let format = ("format".to_owned(), RecordFormat::Arrow.to_string());
    Ok(vec![format, ("schema".to_owned(), encoded(schema)?)])
}

/// The schema of a columnar topic.
///
/// # Errors
/// [`UnfitTable`] if the topic is not columnar, or its schema cannot be read.
pub fn schema_of_topic(config: &TopicConfig) -> Result<SchemaRef, UnfitTable> {
    match (&config.format, &config.schema) {
        (RecordFormat::Arrow, Some(text)) => decoded(text).map(Arc::new),
        _ => Err(UnfitTable(
            "the topic holds records, no columns: read it with another format, or create it with format=arrow".to_owned(),
        )),
    }
}

/// The columns of a schema, for people: `id Int64 NOT NULL, name Utf8`.
pub fn describe_schema(schema: &Schema) -> String {
    let columns = schema.fields().iter().map(|field| {
        let null = if field.is_nullable() { "" } else { " NOT NULL" };
        format!("{} {}{null}", field.name(), field.data_type())
    });
    columns.collect::<Vec<_>>().join(", ")
}

/// What batches say of their schema.
pub(super) fn schema_id(text: &str) -> u32 {
    crc32c(text.as_bytes())
}

/// The schema message of Arrow's IPC format, in hexadecimal digits.
pub(super) fn encoded(schema: &Schema) -> Result<String, UnfitTable> {
    for field in schema.fields() {
        check(field.name(), field.data_type())?;
    }
    // What a program notes beside its columns is none of the topic's business.
    let plain = Schema::new(schema.fields().clone());
    let message = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
        &plain,
        &mut DictionaryTracker::new(true),
        &IpcWriteOptions::default(),
    );
    Ok(message.ipc_message.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn decoded(text: &str) -> Result<Schema, UnfitTable> {
    let broken = |why: &str| UnfitTable(format!("the topic's schema cannot be read: {why}"));
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return Err(broken("it ends with half a byte"));
    }
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(text, 16).ok()
    };
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    let bytes = bytes.ok_or_else(|| broken("it has other characters than hexadecimal digits"))?;
    try_schema_from_flatbuffer_bytes(&bytes).map_err(|error| broken(&error.to_string()))
}

fn check(column: &str, data_type: &DataType) -> Result<(), UnfitTable> {
    match data_type {
        DataType::Dictionary(..) | DataType::RunEndEncoded(..) => Err(UnfitTable(format!(
            "column `{column}` is {data_type}, which a columnar topic does not keep: cast it to the type of its values"
        ))),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => check(column, field.data_type()),
        DataType::Struct(fields) => {
            fields.iter().try_for_each(|field| check(column, field.data_type()))
        }
        DataType::Union(fields, _) => {
            fields.iter().try_for_each(|(_, field)| check(column, field.data_type()))
        }
        _ => Ok(()),
    }
}
