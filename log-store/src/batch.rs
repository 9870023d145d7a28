//! Record batches: the unit that is sent, stored, checked, compressed and fetched.
//!
//! The format is Kafka's v2, byte for byte. A batch is built by a [`BatchBuilder`], stored as it
//! is, and read back as a [`Batch`]: a decoded [`BatchHeader`] over shared bytes. Only who asks for
//! [`Batch::records`] pays for decompression, and nobody pays for decoding what is not read.

mod builder;
mod columnar;
mod compacted;
mod control;
mod header;
mod records;

pub use builder::BatchBuilder;
pub use columnar::{COLUMNAR_ALIGNMENT, ColumnarBatch, ColumnarRows, ColumnarWriter};
pub(crate) use compacted::{BatchRewriter, emptied, hole, is_hole};
pub use control::control_batch;
pub(crate) use control::padded_control_batch;
pub use header::{
    Attributes, BatchHeader, CRC_START, HEADER_LEN, LENGTH_PREFIX, MAGIC, crc32c, stamp,
};
pub use records::Records;

use bytes::Bytes;

use crate::compression::Decompressor;
use crate::error::Result;
use crate::transaction::TransactionOutcome;

/// One whole record batch. Cloning shares the bytes.
///
/// (Not to be confused with Arrow's `RecordBatch`, or with the engine's `Batch` of elements.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    header: BatchHeader,
    bytes: Bytes,
}

impl Batch {
    /// The batch that `bytes` holds, all of them.
    ///
    /// Lengths are checked here, the checksum is not: see [`Batch::verify_crc`].
    ///
    /// # Errors
    /// As [`BatchHeader::parse`]; and `MalformedBatch` if the bytes end before the batch does or go
    /// on behind it.
    pub fn parse(bytes: Bytes) -> Result<Batch> {
        let mut rest = bytes;
        let batch = Batch::parse_first(&mut rest)?;
        if !rest.is_empty() {
            return Err(batch.header.invalid(format_args!("{} bytes follow it", rest.len())));
        }
        Ok(batch)
    }

    /// Takes the batch at the front of `bytes` and leaves what follows it, so that many can be
    /// walked. Bytes that are refused are left as they were.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`]; and `MalformedBatch` if the bytes end before the batch does.
    pub fn parse_first(bytes: &mut Bytes) -> Result<Batch> {
        let header = BatchHeader::parse(bytes)?;
        let length = header.total_len();
        if bytes.len() < length {
            return Err(header.invalid(format_args!(
                "{} bytes are there of the {length} that its header promises",
                bytes.len()
            )));
        }
        Ok(Batch { header, bytes: bytes.split_to(length) })
    }

    /// The decoded header.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The whole batch as it is stored and sent, header included.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole batch, without this view of it.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Offset of the first record.
    pub fn base_offset(&self) -> i64 {
        self.header.base_offset
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.header.last_offset()
    }

    /// Checks the bytes against Kafka's checksum.
    ///
    /// # Errors
    /// As [`BatchHeader::verify_crc`].
    pub fn verify_crc(&self) -> Result<()> {
        self.header.verify_crc(&self.bytes)
    }

    /// The records, decompressed if need be; uncompressed ones are shared, not copied.
    ///
    /// # Errors
    /// As [`Decompressor::decompress`]. The records' own format is checked as they are walked.
    pub fn records(&self, decompressor: &mut Decompressor) -> Result<Records> {
        let compressed = self.bytes.slice(HEADER_LEN..);
        let codec = self.header.attributes.compression();
        Ok(Records::new(self.header, decompressor.decompress(codec, &compressed)?))
    }

    /// What a control batch says: `None` for an ordinary batch, for a marker of a kind that is not
    /// known, and for a control batch that has lost its record to compaction or repair. The last two
    /// are to be skipped like any other marker.
    ///
    /// # Errors
    /// `MalformedBatch` if a control batch does not hold a marker.
    pub fn control_marker(&self) -> Result<Option<TransactionOutcome>> {
        if !self.header.attributes.is_control() {
            return Ok(None);
        }
        control::parse(self)
    }
}

#[cfg(test)]
mod tests;
