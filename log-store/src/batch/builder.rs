//! Building record batches.

use super::{Attributes, BatchHeader, CRC_START, HEADER_LEN, LENGTH_PREFIX, MAGIC, crc32c};
use crate::compression::{Compression, Compressor};
use crate::error::{Error, Result};
use crate::varint::{MAX_VARINT_LEN, MAX_VARLONG_LEN, put_varlong, varlong_len, write_varlong};

/// Largest size of a batch: what its length field can say, with room for a header.
const MAX_BATCH: usize = i32::MAX as usize - (1 << 20);

/// Who sent a batch, and what kind of batch it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin {
    pub(super) attributes: Attributes,
    pub(super) producer_id: i64,
    pub(super) producer_epoch: i16,
    pub(super) base_sequence: i32,
}

impl Origin {
    const NOBODY: Origin = Origin {
        attributes: Attributes(0),
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
    };
}

/// Collects records into a batch; after [`BatchBuilder::finish`] it starts the next, with the same
/// memory and the same codec tables.
///
/// ```
/// use bytes::Bytes;
/// use riverrun_log_store::{Batch, BatchBuilder, Compression, Decompressor};
///
/// let mut builder = BatchBuilder::new(Compression::Lz4)?;
/// builder.append(1_700_000_000_000, Some(b"83.149.9.216"), Some(b"GET / HTTP/1.1"), &[])?;
/// let batch = Batch::parse(Bytes::from(builder.finish()?))?;
///
/// let records = batch.records(&mut Decompressor::new())?;
/// let record = records.iter().next().expect("one record")?;
/// assert_eq!(record.key, Some(&b"83.149.9.216"[..]));
/// # Ok::<(), riverrun_log_store::Error>(())
/// ```
pub struct BatchBuilder {
    compressor: Compressor,
    origin: Origin,
    /// Room for a header, then the records, not compressed.
    buffer: Vec<u8>,
    records: i32,
    base_timestamp: i64,
    max_timestamp: i64,
}

impl BatchBuilder {
    /// A builder that compresses with the codec's default level.
    ///
    /// # Errors
    /// [`Error::Compression`] if the codec's library finds no memory.
    pub fn new(compression: Compression) -> Result<BatchBuilder> {
        BatchBuilder::build(compression, None)
    }

    /// A builder with a level, which means what Kafka's `compression.<codec>.level` means.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a level that the codec does not know.
    pub fn with_level(compression: Compression, level: i32) -> Result<BatchBuilder> {
        BatchBuilder::build(compression, Some(level))
    }

    fn build(compression: Compression, level: Option<i32>) -> Result<BatchBuilder> {
        let compressor = Compressor::new(compression, level)?;
        let mut builder = BatchBuilder {
            compressor,
            origin: Origin::NOBODY,
            buffer: Vec::new(),
            records: 0,
            base_timestamp: -1,
            max_timestamp: -1,
        };
        builder.clear();
        Ok(builder)
    }

    pub(super) fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    /// Marks this and all following batches as an idempotent producer's. `base_sequence` is that of
    /// the next batch's first record; each batch moves it on.
    pub fn idempotent(&mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) {
        let attributes = Attributes(0);
        self.origin = Origin { attributes, producer_id, producer_epoch, base_sequence };
    }

    /// Marks this and all following batches as part of a producer's transactions. Otherwise as
    /// [`BatchBuilder::idempotent`].
    pub fn transactional(&mut self, producer_id: i64, producer_epoch: i16, base_sequence: i32) {
        let attributes = Attributes::new(Compression::None, true);
        self.origin = Origin { attributes, producer_id, producer_epoch, base_sequence };
    }

    /// Sequence number that the next record will have; -1 without a producer.
    pub fn next_sequence(&self) -> i32 {
        advance_sequence(self.origin.base_sequence, self.records)
    }

    /// Records in the batch so far.
    pub fn len(&self) -> usize {
        self.records as usize
    }

    /// Whether the batch has no record yet.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Size of the batch so far, header included, before compression, in bytes.
    pub fn size_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Forgets the records of the batch so far.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.resize(HEADER_LEN, 0);
        self.records = 0;
    }

    /// Adds a record.
    ///
    /// `timestamp_ms` is in milliseconds since the Unix epoch, -1 for none. `None` is null, which
    /// is not the same as empty.
    ///
    /// # Errors
    /// [`Error::MalformedBatch`] if the batch would grow beyond 2 GiB; it stays as it was.
    #[inline]
    pub fn append(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &[u8])],
    ) -> Result<()> {
        let headers_len = if headers.is_empty() { 1 } else { headers_len(headers) };
        self.append_front(timestamp_ms, key, value, headers_len)?;
        if headers.is_empty() {
            self.buffer.push(0);
        } else {
            self.append_headers(headers);
        }
        self.records += 1;
        Ok(())
    }

    /// All of a record but its headers, which take `headers_len` bytes.
    #[inline(always)]
    fn append_front(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers_len: usize,
    ) -> Result<()> {
        if self.records == 0 {
            self.base_timestamp = timestamp_ms;
            self.max_timestamp = timestamp_ms;
        }
        let timestamp_delta = timestamp_ms.wrapping_sub(self.base_timestamp);
        let offset_delta = i64::from(self.records);
        let body_len = 1
            + varlong_len(timestamp_delta)
            + varlong_len(offset_delta)
            + bytes_len(key)
            + bytes_len(value)
            + headers_len;
        if body_len >= MAX_BATCH - self.buffer.len().min(MAX_BATCH) {
            return Err(too_large(self.buffer.len(), body_len));
        }
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);

        self.buffer.reserve(body_len + MAX_VARINT_LEN);
        // The small fields in front of the key, put together before they are copied in.
        let mut front = [0; 3 * MAX_VARINT_LEN + MAX_VARLONG_LEN + 1];
        let mut at = put_varlong(&mut front, body_len as i64);
        at += 1; // attributes: none
        at += put_varlong(&mut front[at..], timestamp_delta);
        at += put_varlong(&mut front[at..], offset_delta);
        at += put_varlong(&mut front[at..], length_field(key));
        self.buffer.extend_from_slice(&front[..at]);
        self.buffer.extend_from_slice(key.unwrap_or_default());
        write_varlong(&mut self.buffer, length_field(value));
        self.buffer.extend_from_slice(value.unwrap_or_default());
        Ok(())
    }

    /// Adds a record with headers as another record has them: names may be any bytes, values may be null.
    ///
    /// # Errors
    /// As [`BatchBuilder::append`].
    pub fn append_with_headers<'h>(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'h [u8], Option<&'h [u8]>)> + Clone,
    ) -> Result<()> {
        let length =
            |(name, value): (&[u8], Option<&[u8]>)| bytes_len(Some(name)) + bytes_len(value);
        let count = headers.clone().count();
        let headers_len = varlong_len(count as i64) + headers.clone().map(length).sum::<usize>();
        self.append_front(timestamp_ms, key, value, headers_len)?;
        write_varlong(&mut self.buffer, count as i64);
        for (name, value) in headers {
            write_varlong(&mut self.buffer, name.len() as i64);
            self.buffer.extend_from_slice(name);
            write_varlong(&mut self.buffer, length_field(value));
            self.buffer.extend_from_slice(value.unwrap_or_default());
        }
        self.records += 1;
        Ok(())
    }

    #[cold]
    fn append_headers(&mut self, headers: &[(&str, &[u8])]) {
        write_varlong(&mut self.buffer, headers.len() as i64);
        for (name, value) in headers {
            write_varlong(&mut self.buffer, name.len() as i64);
            self.buffer.extend_from_slice(name.as_bytes());
            write_varlong(&mut self.buffer, value.len() as i64);
            self.buffer.extend_from_slice(value);
        }
    }

    /// The finished batch, with base offset 0; the builder is empty again.
    ///
    /// Without records the result is empty as well.
    ///
    /// # Errors
    /// [`Error::Compression`] if the codec's library fails; the records are kept.
    pub fn finish(&mut self) -> Result<Vec<u8>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        if self.compressor.compression() != Compression::None {
            let mut out = Vec::new();
            self.finish_into(&mut out)?;
            return Ok(out);
        }
        // The records lie behind room for a header already: they are handed out as they are.
        let mut batch = std::mem::take(&mut self.buffer);
        self.buffer.reserve(batch.len());
        self.write_header(&mut batch);
        self.start_next();
        Ok(batch)
    }

    /// Appends the finished batch to `out`, which may hold others already. As
    /// [`BatchBuilder::finish`], for callers that use their buffer again.
    ///
    /// # Errors
    /// As [`BatchBuilder::finish`]; `out` is then as it was.
    pub fn finish_into(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let start = out.len();
        out.resize(start + HEADER_LEN, 0);
        let compressed = self.compressor.compress(&self.buffer[HEADER_LEN..], out);
        if let Err(error) = compressed {
            out.truncate(start);
            return Err(error);
        }
        self.write_header(&mut out[start..]);
        self.start_next();
        Ok(())
    }

    /// Fills in the first 61 bytes of `batch`, whose records are in place.
    fn write_header(&self, batch: &mut [u8]) {
        let mut header = BatchHeader {
            base_offset: 0,
            batch_length: (batch.len() - LENGTH_PREFIX) as i32,
            partition_leader_epoch: -1,
            magic: MAGIC,
            crc: 0,
            attributes: Attributes(self.origin.attributes.0 | self.compressor.compression().code()),
            last_offset_delta: self.records - 1,
            base_timestamp: self.base_timestamp,
            max_timestamp: self.max_timestamp,
            producer_id: self.origin.producer_id,
            producer_epoch: self.origin.producer_epoch,
            base_sequence: self.origin.base_sequence,
            records_count: self.records,
        };
        batch[..HEADER_LEN].copy_from_slice(&header.encode());
        header.crc = crc32c(&batch[CRC_START..]);
        batch[..HEADER_LEN].copy_from_slice(&header.encode());
    }

    fn start_next(&mut self) {
        self.origin.base_sequence = self.next_sequence();
        self.clear();
    }
}

impl std::fmt::Debug for BatchBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchBuilder")
            .field("compression", &self.compressor.compression())
            .field("origin", &self.origin)
            .field("records", &self.records)
            .field("size_bytes", &self.size_bytes())
            .finish_non_exhaustive()
    }
}

/// The length that stands in front of a key or value: -1 for null.
#[inline]
fn length_field(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

/// Bytes that a key or value takes with its length.
#[inline]
fn bytes_len(bytes: Option<&[u8]>) -> usize {
    varlong_len(length_field(bytes)) + bytes.map_or(0, <[u8]>::len)
}

#[cold]
fn headers_len(headers: &[(&str, &[u8])]) -> usize {
    let each = |(name, value): &(&str, &[u8])| {
        varlong_len(name.len() as i64) + name.len() + bytes_len(Some(value))
    };
    varlong_len(headers.len() as i64) + headers.iter().map(each).sum::<usize>()
}

/// Sequence numbers wrap to 0 after `i32::MAX`; -1 stays.
fn advance_sequence(base: i32, records: i32) -> i32 {
    if base < 0 {
        return base;
    }
    ((i64::from(base) + i64::from(records)) % (i64::from(i32::MAX) + 1)) as i32
}

#[cold]
fn too_large(batch: usize, record: usize) -> Error {
    let reason = format!(
        "a record of {record} bytes does not fit behind {batch} others: a batch is at most 2 GiB"
    );
    Error::MalformedBatch { reason }
}
