//! JSON, one value a record, through serde.

use std::any::type_name;
use std::marker::PhantomData;
use std::sync::Arc;

use riverrun_dataflow::{Error, Record, Result, Rows};
use serde::Serialize;

use super::records::event_time;
use super::{BatchRecords, RecordOut, Rejects, RowDecoder, RowEncoder};

/// A record's value is a JSON value of type `T`; its timestamp is the row's.
///
/// ```
/// use riverrun_operators::format::{Json, RowDecoder};
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Order { amount: u64 }
/// assert!(Json::<Order>::new().describe().ends_with("Order"));
/// ```
#[derive(Debug)]
pub struct Json<T>(PhantomData<fn() -> T>);

impl<T> Json<T> {
    /// A decoder for `T`.
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for Json<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Json<T> {
    fn clone(&self) -> Self {
        Self::new()
    }
}

/// A type's name without the path of its module.
fn short_name<T>() -> &'static str {
    let name = type_name::<T>();
    let path = name.split('<').next().unwrap_or(name);
    &name[path.rfind("::").map_or(0, |at| at + 2)..]
}

impl<T: Record> RowDecoder for Json<T> {
    type Row = T;

    fn describe(&self) -> String {
        format!("json {}", short_name::<T>())
    }

    fn decode(
        &mut self,
        records: &BatchRecords<'_>,
        rejects: &mut Rejects,
        out: &mut Rows<T>,
    ) -> Result<()> {
        records.try_for_each(|record| {
            let Some(value) = record.value else {
                return rejects.reject(record, "the record has no value");
            };
            match serde_json::from_slice(value) {
                Ok(row) => {
                    out.push(row, event_time(record));
                    Ok(())
                }
                Err(error) => {
                    rejects.reject(record, format_args!("no {}: {error}", short_name::<T>()))
                }
            }
        })
    }
}

type WriteKey<T> = Arc<dyn Fn(&T, &mut Vec<u8>) + Send + Sync>;

/// A row becomes a JSON value; the key, if there is one, is taken by a function.
///
/// ```
/// use riverrun_operators::format::ToJson;
/// #[derive(serde::Serialize)]
/// struct Count { ip: String, count: u64 }
/// let keyless = ToJson::<Count>::new();
/// let keyed = ToJson::keyed_by(|row: &Count| row.ip.as_str());
/// ```
pub struct ToJson<T> {
    key: Option<WriteKey<T>>,
    key_buffer: Vec<u8>,
    buffer: Vec<u8>,
}

impl<T> ToJson<T> {
    /// Records without a key.
    pub fn new() -> Self {
        Self { key: None, key_buffer: Vec::new(), buffer: Vec::with_capacity(256) }
    }

    /// Records with a text of the row as their key. Records of one key go to one partition.
    pub fn keyed_by(key: impl Fn(&T) -> &str + Send + Sync + 'static) -> Self {
        Self::keyed_with(move |row, out| out.extend_from_slice(key(row).as_bytes()))
    }

    /// Records with a key that `key` writes.
    pub fn keyed_with(key: impl Fn(&T, &mut Vec<u8>) + Send + Sync + 'static) -> Self {
        Self { key: Some(Arc::new(key)), ..Self::new() }
    }
}

impl<T> Default for ToJson<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for ToJson<T> {
    fn clone(&self) -> Self {
        Self { key: self.key.clone(), ..Self::new() }
    }
}

impl<T: Serialize + 'static> RowEncoder<T> for ToJson<T> {
    fn describe(&self) -> String {
        "json".into()
    }

    fn encode(&mut self, rows: &Rows<T>, out: &mut impl RecordOut) -> Result<()> {
        for (row, timestamp) in rows.values.iter().zip(&rows.timestamps) {
            self.buffer.clear();
            serde_json::to_writer(&mut self.buffer, row).map_err(|error| Error::Format {
                place: format!("a {}", short_name::<T>()),
                reason: format!("cannot be written as JSON: {error}"),
            })?;
            let key = match &self.key {
                None => None,
                Some(write_key) => {
                    self.key_buffer.clear();
                    write_key(row, &mut self.key_buffer);
                    Some(self.key_buffer.as_slice())
                }
            };
            out.push(*timestamp, key, Some(&self.buffer))?;
        }
        Ok(())
    }
}
