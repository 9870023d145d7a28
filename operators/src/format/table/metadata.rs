//! What a record carries beside its key and value.

use arrow_schema::{DataType, Field};
use riverrun_log_store::Record;

use super::column::{Column, Values, end_of, sql_type};
use super::fault::{Fault, UnfitTable};
use super::time::per_second;

/// What a record carries beside its key and value: SQL's METADATA columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metadata {
    /// Position in its partition: `offset` BIGINT.
    Offset,
    /// Number of its partition: `partition` INT.
    Partition,
    /// When the producer says it is from: `timestamp` TIMESTAMP_LTZ(3), null if it says nothing. Can be written.
    Timestamp,
    /// The bytes of its key: `key` BYTES or STRING.
    Key,
    /// Its headers: `headers` MAP<STRING, BYTES>; of several with one name the last counts. Can be written.
    Headers,
    /// The topic's name: `topic` STRING.
    Topic,
}

impl Metadata {
    /// All there is, with the name and the type that it has in SQL.
    pub const ALL: [(Metadata, &'static str, &'static str); 6] = [
        (Self::Offset, "offset", "BIGINT"),
        (Self::Partition, "partition", "INT"),
        (Self::Timestamp, "timestamp", "TIMESTAMP_LTZ(3)"),
        (Self::Key, "key", "BYTES"),
        (Self::Headers, "headers", "MAP<STRING, BYTES>"),
        (Self::Topic, "topic", "STRING"),
    ];

    /// By its name.
    ///
    /// # Errors
    /// [`UnfitTable`] with the names that there are.
    pub fn named(name: &str) -> Result<Self, UnfitTable> {
        let found = Self::ALL.iter().find(|(_, known, _)| *known == name);
        found.map(|(metadata, _, _)| *metadata).ok_or_else(|| {
            let names = Self::ALL.map(|(_, name, of)| format!("{name} {of}"));
            UnfitTable(format!("records have no metadata `{name}`; they have {}", names.join(", ")))
        })
    }

    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(metadata, _, _)| *metadata == self).map_or("", |(_, name, _)| name)
    }

    /// Whether a sink can set it.
    pub fn is_writable(self) -> bool {
        matches!(self, Self::Timestamp | Self::Headers)
    }

    /// Whether a column of this type can hold it.
    ///
    /// # Errors
    /// [`UnfitTable`] naming the type to use.
    pub fn check(self, field: &Field) -> Result<(), UnfitTable> {
        let fits = match (self, field.data_type()) {
            (Self::Offset, DataType::Int64)
            | (Self::Partition, DataType::Int32 | DataType::Int64)
            | (Self::Timestamp, DataType::Timestamp(..) | DataType::Int64)
            | (Self::Key, DataType::Binary | DataType::Utf8)
            | (Self::Topic, DataType::Utf8) => true,
            (Self::Headers, DataType::Map(entries, _)) => match entries.data_type() {
                DataType::Struct(fields) => fields
                    .iter()
                    .map(|field| field.data_type())
                    .eq([&DataType::Utf8, &DataType::Binary]),
                _ => false,
            },
            _ => false,
        };
        if fits {
            return Ok(());
        }
        let (_, name, of) = Self::ALL[self as usize];
        Err(UnfitTable(format!(
            "column `{}` is {}, but the metadata `{name}` is {of}",
            field.name(),
            sql_type(field.data_type())
        )))
    }

    /// Adds the record's to a column.
    #[inline]
    pub(super) fn push(
        self,
        record: &Record<'_>,
        topic: &str,
        partition: i32,
        column: &mut Column,
    ) -> Result<(), Fault> {
        match (self, &mut column.values) {
            (Self::Offset, Values::Int64(values)) => values.push(record.offset),
            (Self::Partition, Values::Int32(values)) => values.push(partition),
            (Self::Partition, Values::Int64(values)) => values.push(partition.into()),
            (Self::Timestamp, _) if record.timestamp == -1 => return column.push_null(),
            (Self::Timestamp, Values::Int64(values)) => values.push(record.timestamp),
            (Self::Timestamp, Values::Timestamp { unit, values, .. }) => {
                let scaled = i128::from(record.timestamp) * i128::from(per_second(*unit)) / 1000;
                match i64::try_from(scaled) {
                    Ok(units) => values.push(units),
                    Err(_) => {
                        let found = record.timestamp.to_string();
                        return Err(Fault::expected(column.sql_type(), &found));
                    }
                }
            }
            (Self::Topic, Values::Text(texts)) => texts.push(topic.as_bytes())?,
            (Self::Key, values) => {
                let Some(key) = record.key else { return column.push_null() };
                match values {
                    Values::Text(_) if std::str::from_utf8(key).is_err() => {
                        return Err(Fault::expected(
                            "a key of UTF-8 text (declare it BYTES)",
                            &String::from_utf8_lossy(key),
                        ));
                    }
                    _ => return column.push_bytes(key),
                }
            }
            (Self::Headers, Values::Map { ends, key, value, .. }) => {
                for (nth, (name, bytes)) in record.headers.iter().enumerate() {
                    // Of several with one name the last counts.
                    if record.headers.iter().skip(nth + 1).any(|(later, _)| later == name) {
                        continue;
                    }
                    key.push_bytes(String::from_utf8_lossy(name).as_bytes())?;
                    match bytes {
                        Some(bytes) => value.push_bytes(bytes)?,
                        None => value.push_null()?,
                    }
                }
                ends.push(end_of(key.len())?);
            }
            _ => return column.push_null(),
        }
        column.valid();
        Ok(())
    }
}
