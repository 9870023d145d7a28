//! The index of a segment: one entry for each batch, with a checksum over the batch's whole bytes.
//!
//! # File
//!
//! ```text
//! header  "RRIX" | version u32 | entry length u32 | crc32c u32
//! entry   base offset i64 | position u64 | length u32 | last offset delta u32 | max timestamp i64
//!         | records u32 | attributes u16 | 0 u16 | batch crc32c u32 | entry crc32c u32
//! ```
//!
//! Little endian; an entry has 48 bytes and its own checksum. The max timestamp is the largest in the
//! segment *up to and including* this batch, so that both offsets and timestamps are found by binary
//! search.
//!
//! # What an entry promises
//!
//! Entries reach the file only after the batches they describe are durable. An entry whose batch is
//! missing or different therefore means damage, never a crash; batches without an entry are the tail
//! that a crash may have torn. The file itself is synced when the segment is sealed; after a loss of
//! power some entries at the end may be missing, and are made again from the batches.

use crate::batch::{BatchHeader, crc32c};

/// Bytes of an index file's header.
pub const INDEX_HEADER_LEN: usize = 16;
/// Bytes of an index entry.
pub const INDEX_ENTRY_LEN: usize = 48;

const MAGIC: &[u8; 4] = b"RRIX";
const VERSION: u32 = 1;

/// What the index knows about one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Offset of the batch's first record.
    pub base_offset: i64,
    /// Byte position of the batch in its segment.
    pub position: u64,
    /// Bytes of the batch, header included.
    pub length: u32,
    /// Offset of the last record minus that of the first.
    pub last_offset_delta: u32,
    /// Largest timestamp in the segment up to and including this batch, in milliseconds.
    pub max_timestamp: i64,
    /// Number of records.
    pub records: u32,
    /// The batch's attributes, as in its header.
    pub attributes: u16,
    /// CRC-32C over the whole batch, header included.
    pub checksum: u32,
}

impl IndexEntry {
    /// The entry of a batch at `position`, in a segment whose largest timestamp so far is
    /// `max_timestamp`. `batch` is the whole batch as stored.
    pub fn of(header: &BatchHeader, batch: &[u8], position: u64, max_timestamp: i64) -> Self {
        IndexEntry {
            base_offset: header.base_offset,
            position,
            length: batch.len() as u32,
            last_offset_delta: header.last_offset_delta as u32,
            max_timestamp: max_timestamp.max(header.max_timestamp),
            records: header.records_count as u32,
            attributes: header.attributes.0 as u16,
            checksum: crc32c(batch),
        }
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta)
    }

    /// Offset that follows the batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset() + 1
    }

    /// Position that follows the batch.
    pub fn end(&self) -> u64 {
        self.position + u64::from(self.length)
    }

    /// Whether `batch` is, byte for byte, what the entry was made for.
    pub fn fits(&self, batch: &[u8]) -> bool {
        batch.len() == self.length as usize && crc32c(batch) == self.checksum
    }

    /// The entry's bytes.
    pub fn encode(&self) -> [u8; INDEX_ENTRY_LEN] {
        let mut bytes = [0; INDEX_ENTRY_LEN];
        bytes[0..8].copy_from_slice(&self.base_offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.position.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.length.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.last_offset_delta.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.max_timestamp.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.records.to_le_bytes());
        bytes[36..38].copy_from_slice(&self.attributes.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.checksum.to_le_bytes());
        let crc = crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes an entry; `None` if it is not as it was written.
    pub fn decode(bytes: &[u8; INDEX_ENTRY_LEN]) -> Option<Self> {
        let entry = IndexEntry {
            base_offset: i64::from_le_bytes(field(bytes, 0)),
            position: u64::from_le_bytes(field(bytes, 8)),
            length: u32::from_le_bytes(field(bytes, 16)),
            last_offset_delta: u32::from_le_bytes(field(bytes, 20)),
            max_timestamp: i64::from_le_bytes(field(bytes, 24)),
            records: u32::from_le_bytes(field(bytes, 32)),
            attributes: u16::from_le_bytes(field(bytes, 36)),
            checksum: u32::from_le_bytes(field(bytes, 40)),
        };
        // A sparse file's zeros pass their own checksum nowhere: crc32c of zeros is not zero.
        (crc32c(&bytes[..44]) == u32::from_le_bytes(field(bytes, 44))).then_some(entry)
    }
}

/// The header of an index file.
pub fn encode_header() -> [u8; INDEX_HEADER_LEN] {
    let mut bytes = [0; INDEX_HEADER_LEN];
    bytes[0..4].copy_from_slice(MAGIC);
    bytes[4..8].copy_from_slice(&VERSION.to_le_bytes());
    bytes[8..12].copy_from_slice(&(INDEX_ENTRY_LEN as u32).to_le_bytes());
    let crc = crc32c(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Where entry number `ordinal` lies in the index file.
pub fn entry_position(ordinal: u64) -> u64 {
    INDEX_HEADER_LEN as u64 + ordinal * INDEX_ENTRY_LEN as u64
}

/// How many whole entries an index file of this length has.
pub fn entries_in(file_len: u64) -> u64 {
    file_len.saturating_sub(INDEX_HEADER_LEN as u64) / INDEX_ENTRY_LEN as u64
}

fn field<const N: usize>(bytes: &[u8; INDEX_ENTRY_LEN], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_round_trip_and_every_flipped_bit_is_seen(
            base_offset in 0..i64::MAX / 2, position in any::<u64>(), length in any::<u32>(),
            last_offset_delta in any::<u32>(), max_timestamp in any::<i64>(),
            records in any::<u32>(), attributes in any::<u16>(), checksum in any::<u32>(),
            bit in 0..INDEX_ENTRY_LEN * 8,
        ) {
            let entry = IndexEntry {
                base_offset, position, length, last_offset_delta, max_timestamp, records,
                attributes, checksum,
            };
            let mut bytes = entry.encode();
            prop_assert_eq!(IndexEntry::decode(&bytes), Some(entry));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(IndexEntry::decode(&bytes), None);
        }
    }
}
