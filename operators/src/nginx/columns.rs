//! Many lines, decoded straight into Arrow columns.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt16Array,
};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::error::NginxError;
use super::line::{AccessLine, LineParser};
use super::row::Request;
use super::text::{present, text};
use crate::validity::Validity;

#[cfg(test)]
mod tests;

/// A column that access-log lines do not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an access log has no column {name:?}; it has {}", NginxColumns::NAMES.join(", "))]
pub struct UnknownColumn {
    /// The name that was asked for.
    pub name: String,
}

/// Decodes lines into a `RecordBatch` of the requested columns, in the requested order; what is not asked for is checked
/// but neither decoded nor copied.
///
/// | column | type | null when |
/// |---|---|---|
/// | `ip` | Utf8 | |
/// | `time` | Timestamp(Millisecond, UTC) | |
/// | `status` | UInt16 | |
/// | `bytes` | Int64 | the line has `-`, or more than an Int64 holds |
/// | `user`, `referer`, `user_agent` | Utf8 | the line has `-` or nothing |
/// | `request` | Utf8 | |
/// | `method`, `protocol` | Utf8 | the request is not an HTTP request line |
/// | `path` | Utf8 | (then it is all of the request) |
///
/// ```
/// use riverrun_operators::nginx::NginxColumns;
///
/// let mut columns = NginxColumns::new(&["ip", "status"]).unwrap();
/// columns.push(br#"10.0.0.7 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 17"#)?;
/// assert!(columns.push(b"broken").is_err());
/// let batch = columns.finish();
/// assert_eq!((batch.num_rows(), batch.num_columns()), (1, 2));
/// # Ok::<(), riverrun_operators::nginx::NginxError>(())
/// ```
#[derive(Debug)]
pub struct NginxColumns {
    schema: SchemaRef,
    parser: LineParser,
    columns: Vec<Column>,
    rows: usize,
    /// Set while every column is `ip` or `time`: then a line is not even split into the others.
    host_and_time_only: bool,
}

impl NginxColumns {
    /// The columns that there are.
    pub const NAMES: [&'static str; 11] = [
        "ip",
        "time",
        "status",
        "bytes",
        "user",
        "request",
        "method",
        "path",
        "protocol",
        "referer",
        "user_agent",
    ];

    /// Columns for the named fields.
    ///
    /// # Errors
    /// [`UnknownColumn`] if a name is not one of [`NginxColumns::NAMES`].
    pub fn new(names: &[&str]) -> Result<NginxColumns, UnknownColumn> {
        let columns = names.iter().map(|name| Column::new(name)).collect::<Result<Vec<_>, _>>()?;
        let fields: Vec<Field> =
            names.iter().zip(&columns).map(|(name, column)| column.field(name)).collect();
        let host_and_time_only =
            columns.iter().all(|column| matches!(column, Column::Ip(_) | Column::Time(_)));
        Ok(NginxColumns {
            schema: Arc::new(Schema::new(fields)),
            parser: LineParser::default(),
            columns,
            rows: 0,
            host_and_time_only,
        })
    }

    /// The schema of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows since the last [`finish`](NginxColumns::finish).
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there is no row yet.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Decodes one line (without its newline) into one more row.
    ///
    /// # Errors
    /// Those of [`parse`](super::parse); then there is no new row.
    #[inline]
    pub fn push(&mut self, line: &[u8]) -> Result<(), NginxError> {
        if self.host_and_time_only {
            let (host, time_ms) = self.parser.parse_host_and_time(line)?;
            for column in &mut self.columns {
                match column {
                    Column::Ip(texts) => texts.push_bytes(host),
                    Column::Time(times) => times.push(time_ms),
                    _ => {}
                }
            }
        } else {
            let line = self.parser.parse(line)?;
            for column in &mut self.columns {
                column.push(&line);
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows so far as one batch. The columns are empty again and expect as many rows as these.
    pub fn finish(&mut self) -> RecordBatch {
        let rows = std::mem::take(&mut self.rows);
        let arrays: Vec<ArrayRef> = self.columns.iter_mut().map(Column::finish).collect();
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .expect("every column has the type of its field and gets one value per row")
    }
}

#[derive(Debug)]
enum Column {
    Ip(Texts),
    Time(Vec<i64>),
    Status(Vec<u16>),
    Bytes(Vec<i64>, Validity),
    User(Texts),
    Request(Texts),
    Method(Texts),
    Path(Texts),
    Protocol(Texts),
    Referer(Texts),
    UserAgent(Texts),
}

impl Column {
    fn new(name: &str) -> Result<Column, UnknownColumn> {
        Ok(match name {
            "ip" => Column::Ip(Texts::required()),
            "time" => Column::Time(Vec::new()),
            "status" => Column::Status(Vec::new()),
            "bytes" => Column::Bytes(Vec::new(), Validity::default()),
            "user" => Column::User(Texts::optional()),
            "request" => Column::Request(Texts::required()),
            "method" => Column::Method(Texts::optional()),
            "path" => Column::Path(Texts::required()),
            "protocol" => Column::Protocol(Texts::optional()),
            "referer" => Column::Referer(Texts::optional()),
            "user_agent" => Column::UserAgent(Texts::optional()),
            _ => return Err(UnknownColumn { name: name.to_owned() }),
        })
    }

    fn field(&self, name: &str) -> Field {
        let (data_type, nullable) = match self {
            Column::Time(_) => {
                (DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false)
            }
            Column::Status(_) => (DataType::UInt16, false),
            Column::Bytes(..) => (DataType::Int64, true),
            Column::Ip(_) | Column::Request(_) | Column::Path(_) => (DataType::Utf8, false),
            Column::User(_)
            | Column::Method(_)
            | Column::Protocol(_)
            | Column::Referer(_)
            | Column::UserAgent(_) => (DataType::Utf8, true),
        };
        Field::new(name, data_type, nullable)
    }

    #[inline]
    fn push(&mut self, line: &AccessLine<'_>) {
        match self {
            Column::Ip(texts) => texts.push_bytes(line.host),
            Column::Time(times) => times.push(line.time_ms),
            Column::Status(statuses) => statuses.push(line.status),
            Column::Bytes(sizes, validity) => {
                let size = line.bytes.and_then(|size| i64::try_from(size).ok());
                validity.push(size.is_some());
                sizes.push(size.unwrap_or(0));
            }
            Column::User(texts) => texts.push_optional(present(line.user)),
            Column::Request(texts) => texts.push(line.request),
            Column::Method(texts) => {
                texts.push_optional(present(Request::split(line.request).method));
            }
            Column::Path(texts) => texts.push(Request::split(line.request).path),
            Column::Protocol(texts) => {
                texts.push_optional(present(Request::split(line.request).protocol));
            }
            Column::Referer(texts) => texts.push_optional(line.referer.and_then(present)),
            Column::UserAgent(texts) => texts.push_optional(line.user_agent.and_then(present)),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Column::Time(times) => {
                Arc::new(TimestampMillisecondArray::from(replace(times)).with_timezone("UTC"))
            }
            Column::Status(statuses) => Arc::new(UInt16Array::from(replace(statuses))),
            Column::Bytes(sizes, validity) => {
                Arc::new(Int64Array::new(replace(sizes).into(), validity.finish()))
            }
            Column::Ip(texts)
            | Column::User(texts)
            | Column::Request(texts)
            | Column::Method(texts)
            | Column::Path(texts)
            | Column::Protocol(texts)
            | Column::Referer(texts)
            | Column::UserAgent(texts) => Arc::new(texts.finish()),
        }
    }
}

/// Takes the values and leaves room for as many.
fn replace<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = values.len();
    std::mem::replace(values, Vec::with_capacity(room))
}

/// A growing column of text.
#[derive(Debug)]
struct Texts {
    bytes: Vec<u8>,
    offsets: Vec<i32>,
    validity: Option<Validity>,
}

impl Texts {
    fn required() -> Texts {
        Texts { bytes: Vec::new(), offsets: vec![0], validity: None }
    }

    fn optional() -> Texts {
        Texts { validity: Some(Validity::default()), ..Texts::required() }
    }

    #[inline]
    fn push(&mut self, value: &[u8]) {
        self.push_bytes(text(value).as_bytes());
    }

    /// `value` must be UTF-8.
    #[inline]
    fn push_bytes(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        // A batch of two gigabytes is none: sources cut batches at some thousand rows.
        self.offsets.push(i32::try_from(self.bytes.len()).expect("a column below two gigabytes"));
    }

    #[inline]
    fn push_optional(&mut self, value: Option<&[u8]>) {
        if let Some(validity) = &mut self.validity {
            validity.push(value.is_some());
        }
        self.push(value.unwrap_or(b""));
    }

    fn finish(&mut self) -> StringArray {
        let bytes = replace(&mut self.bytes);
        let offsets = replace(&mut self.offsets);
        self.offsets.push(0);
        let nulls = self.validity.as_mut().and_then(Validity::finish);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        StringArray::new(offsets, bytes.into(), nulls)
    }
}
