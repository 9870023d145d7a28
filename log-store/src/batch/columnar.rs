//! Batches of columns: one record whose value is an Arrow IPC message over many rows.
//!
//! ```text
//!   0  header (61 bytes), attribute 0x80, last offset delta = rows - 1, one record, not compressed
//!  61  record: length (5 bytes), attributes, timestamp delta 0, offset delta 0
//!  69  key: 53 bytes: which schema, u32 little endian, then zeros
//! 123  length of the value (5 bytes)
//! 128  value: the message
//!      one header without a name, of zeros, up to a multiple of 64 bytes
//! ```
//!
//! So a row has an offset of its own, and a batch is a batch of Kafka's to whoever has no business with its
//! insides. The value begins at a multiple of 64 bytes, and in a columnar topic every batch is a multiple of
//! 64 bytes long, markers too: Arrow's buffers lie in the mapping of a segment as they have to in memory,
//! and are used where they are.

use bytes::Bytes;

use super::{Attributes, Batch, BatchHeader, CRC_START, HEADER_LEN, LENGTH_PREFIX, MAGIC, crc32c};
use crate::compression::Decompressor;
use crate::error::{Error, Result};
use crate::transaction::ProducerIdentity;

/// Batches of columnar topics have a multiple of so many bytes, and so have the places of their values.
pub const COLUMNAR_ALIGNMENT: usize = 64;

/// Where the value begins in its batch.
const VALUE_AT: usize = 128;
/// Bytes of the key, which fill the space before the value.
const KEY_LEN: usize = 53;
/// What may stand behind the value.
const MOST_PADDING: usize = 2 * COLUMNAR_ALIGNMENT;

/// What a columnar batch says beside its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnarBatch {
    /// How many rows the message has; 1 at least.
    pub rows: u32,
    /// The largest timestamp of the rows, in milliseconds since the Unix epoch.
    pub max_timestamp: i64,
    /// Which schema the message has, as writers and readers of the topic agree on it.
    pub schema_id: u32,
    /// The producer, with the sequence number of the first row, if it is an idempotent one.
    pub producer: Option<(ProducerIdentity, i32)>,
    /// Whether the batch belongs to the producer's transaction.
    pub transactional: bool,
}

/// A columnar batch while its message is being written; see [`ColumnarBatch::begin`].
#[derive(Debug)]
pub struct ColumnarWriter {
    batch: ColumnarBatch,
    bytes: Vec<u8>,
}

impl ColumnarBatch {
    /// Begins a batch in `buffer`, which is emptied. The message is written to [`ColumnarWriter::message`].
    pub fn begin(self, mut buffer: Vec<u8>) -> ColumnarWriter {
        buffer.clear();
        buffer.resize(VALUE_AT, 0);
        ColumnarWriter { batch: self, bytes: buffer }
    }
}

impl ColumnarWriter {
    /// Where the message is to be appended.
    pub fn message(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The finished batch, with base offset 0.
    ///
    /// # Errors
    /// `MalformedBatch` if it would be larger than 2 GiB, or has no row.
    pub fn finish(self) -> Result<Vec<u8>> {
        let ColumnarWriter { batch, mut bytes } = self;
        let value_len = bytes.len().saturating_sub(VALUE_AT);
        let refused = |reason: String| Err(Error::MalformedBatch { reason });
        if value_len + VALUE_AT + MOST_PADDING > i32::MAX as usize {
            return refused(format!("{value_len} bytes of columns: a batch is at most 2 GiB"));
        }
        let last_offset_delta = match i32::try_from(batch.rows) {
            Ok(rows) if rows > 0 => rows - 1,
            _ => return refused(format!("a batch of columns with {} rows", batch.rows)),
        };
        // One header: its number, the length of its name, that of its value, and the value.
        let padding = (bytes.len() + 3).next_multiple_of(COLUMNAR_ALIGNMENT) - bytes.len() - 3;
        bytes.extend_from_slice(&[2, 0, (padding as u8) << 1]);
        bytes.resize(bytes.len() + padding, 0);
        let body_len = bytes.len() - HEADER_LEN - 5;
        wide(&mut bytes[HEADER_LEN..], body_len);
        // Attributes and both deltas are zero.
        bytes[69] = (KEY_LEN as u8) << 1;
        bytes[70..74].copy_from_slice(&batch.schema_id.to_le_bytes());
        wide(&mut bytes[70 + KEY_LEN..], value_len);
        let (identity, base_sequence) = batch
            .producer
            .map_or((ProducerIdentity { id: -1, epoch: -1 }, -1), |(identity, sequence)| {
                (identity, sequence)
            });
        let mut header = BatchHeader {
            base_offset: 0,
            batch_length: (bytes.len() - LENGTH_PREFIX) as i32,
            partition_leader_epoch: -1,
            magic: MAGIC,
            crc: 0,
            attributes: Attributes::columnar(batch.transactional),
            last_offset_delta,
            base_timestamp: batch.max_timestamp,
            max_timestamp: batch.max_timestamp,
            producer_id: identity.id,
            producer_epoch: identity.epoch,
            base_sequence,
            records_count: 1,
        };
        bytes[..HEADER_LEN].copy_from_slice(&header.encode());
        header.crc = crc32c(&bytes[CRC_START..]);
        bytes[..HEADER_LEN].copy_from_slice(&header.encode());
        Ok(bytes)
    }
}

/// Writes a length in five bytes, whatever it is.
fn wide(out: &mut [u8], length: usize) {
    let raw = (length as u64) << 1;
    for (group, byte) in out.iter_mut().take(5).enumerate() {
        let more = if group < 4 { 0x80 } else { 0 };
        *byte = (raw >> (7 * group)) as u8 & 0x7f | more;
    }
}

/// The columns of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnarRows {
    /// The Arrow IPC message. Points into what the batch points into.
    pub message: Bytes,
    /// Which schema it has.
    pub schema_id: u32,
    /// Offset of the first row; those of the others follow.
    pub base_offset: i64,
    /// How many rows there are.
    pub rows: u32,
    /// The largest timestamp of the rows.
    pub max_timestamp: i64,
}

impl Batch {
    /// The columns of a columnar batch; `None` for any other.
    ///
    /// # Errors
    /// `MalformedBatch` if the batch says that it is columnar, and is not.
    pub fn columns(&self) -> Result<Option<ColumnarRows>> {
        match self.header().attributes.is_columnar() {
            true => self.records(&mut Decompressor::default())?.columns(),
            false => Ok(None),
        }
    }
}

impl super::Records {
    /// As [`Batch::columns`].
    ///
    /// # Errors
    /// As there.
    pub fn columns(&self) -> Result<Option<ColumnarRows>> {
        let header = self.header();
        if !header.attributes.is_columnar() {
            return Ok(None);
        }
        let no_columns = || header.invalid("it is said to be columnar, and has no columns");
        let record = self.iter().next().ok_or_else(no_columns)??;
        let (Some(key), Some(value)) = (record.key, record.value) else {
            return Err(no_columns());
        };
        let schema_id = key.first_chunk().ok_or_else(no_columns)?;
        Ok(Some(ColumnarRows {
            message: self.slice_of(value),
            schema_id: u32::from_le_bytes(*schema_id),
            base_offset: header.base_offset,
            rows: header.last_offset_delta as u32 + 1,
            max_timestamp: header.max_timestamp,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(rows: u32, message: &[u8]) -> Batch {
        let columnar = ColumnarBatch {
            rows,
            max_timestamp: 77,
            schema_id: 0xfeed_beef,
            producer: Some((ProducerIdentity { id: 4, epoch: 2 }, 30)),
            transactional: true,
        };
        let mut writer = columnar.begin(vec![9; 300]);
        writer.message().extend_from_slice(message);
        let mut bytes = writer.finish().expect("fits");
        super::super::stamp(&mut bytes, 1_000, 0);
        Batch::parse(bytes.into()).expect("a batch")
    }

    #[test]
    fn messages_of_every_length_are_aligned_and_come_back() {
        for length in (1..300).chain([8_191, 70_000]) {
            let message: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let batch = batch(10, &message);
            batch.verify_crc().expect("a right checksum");
            assert_eq!(batch.bytes().len() % COLUMNAR_ALIGNMENT, 0, "{length}");
            let found = batch.columns().expect("well formed").expect("columns");
            assert_eq!(found.message, message);
            let at = found.message.as_ptr().addr() - batch.bytes().as_ptr().addr();
            assert_eq!(at, VALUE_AT, "not copied, and aligned");
            assert_eq!((found.schema_id, found.rows), (0xfeed_beef, 10));
            assert_eq!((found.base_offset, found.max_timestamp), (1_000, 77));
            let header = batch.header();
            assert_eq!((header.last_offset(), header.last_sequence()), (1_009, 39));
            assert!(header.attributes.is_transactional() && header.attributes.is_columnar());
            // To whoever knows no columns, it is a record.
            let records = batch.records(&mut Decompressor::new()).expect("uncompressed");
            let record = records.iter().next().expect("one").expect("well formed");
            assert_eq!((record.offset, record.timestamp), (1_000, 77));
            assert_eq!(record.value, Some(&message[..]));
            records.for_each(|_| {}).expect("nothing follows");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let none = ColumnarBatch {
            rows: 0,
            max_timestamp: 0,
            schema_id: 0,
            producer: None,
            transactional: false,
        };
        assert!(none.begin(Vec::new()).finish().is_err());
        let ordinary =
            crate::BatchBuilder::new(crate::Compression::None).and_then(|mut builder| {
                builder.append(1, None, Some(b"a row"), &[])?;
                builder.finish()
            });
        let mut bytes = ordinary.expect("a batch");
        let parsed = Batch::parse(bytes.clone().into()).expect("a batch");
        assert_eq!(parsed.columns().expect("no columns"), None);
        bytes[22] |= 0x80;
        let pretender = Batch::parse(bytes.into()).expect("a batch");
        assert!(pretender.columns().is_err());
    }
}
