//! The 61 bytes in front of every record batch.
//!
//! ```text
//!  0  base_offset             i64   stamped by the log
//!  8  batch_length            i32   bytes after this field
//! 12  partition_leader_epoch  i32   stamped by the log
//! 16  magic                   i8    2
//! 17  crc                     u32   CRC-32C of everything from here on
//! 21  attributes              i16
//! 23  last_offset_delta       i32
//! 27  base_timestamp          i64
//! 35  max_timestamp           i64
//! 43  producer_id             i64   -1: none
//! 51  producer_epoch          i16
//! 53  base_sequence           i32
//! 57  records_count           i32
//! 61  records, compressed as the attributes say
//! ```

use crate::compression::Compression;
use crate::error::{Error, Result};

/// Bytes of a batch header.
pub const HEADER_LEN: usize = 61;
/// Bytes in front of what `batch_length` counts.
pub const LENGTH_PREFIX: usize = 12;
/// First byte that Kafka's checksum covers: the attributes.
pub const CRC_START: usize = 21;
/// The only batch format that the log stores.
pub const MAGIC: i8 = 2;

/// The flags of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Attributes(pub i16);

impl Attributes {
    const COMPRESSION: i16 = 0x07;
    const LOG_APPEND_TIME: i16 = 0x08;
    const TRANSACTIONAL: i16 = 0x10;
    const CONTROL: i16 = 0x20;
    const DELETE_HORIZON: i16 = 0x40;
    /// Ours: Kafka leaves this bit free.
    const COLUMNAR: i16 = 0x80;

    /// Flags of a batch of ordinary records.
    pub fn new(compression: Compression, transactional: bool) -> Attributes {
        let flag = if transactional { Attributes::TRANSACTIONAL } else { 0 };
        Attributes(compression.code() | flag)
    }

    /// Flags of a transaction marker.
    pub fn control() -> Attributes {
        Attributes(Attributes::TRANSACTIONAL | Attributes::CONTROL)
    }

    /// Flags of a batch whose one record holds columns.
    pub(super) fn columnar(transactional: bool) -> Attributes {
        let flag = if transactional { Attributes::TRANSACTIONAL } else { 0 };
        Attributes(Attributes::COLUMNAR | flag)
    }

    /// How the records are compressed. A code that Kafka does not define never gets past
    /// [`BatchHeader::parse`]; made by hand, it reads as [`Compression::None`].
    pub fn compression(self) -> Compression {
        Compression::from_code(self.0 & Attributes::COMPRESSION).unwrap_or(Compression::None)
    }

    /// Whether all records carry the time at which the broker appended them (`max_timestamp`).
    pub fn log_append_time(self) -> bool {
        self.0 & Attributes::LOG_APPEND_TIME != 0
    }

    /// Whether the batch belongs to a transaction.
    pub fn is_transactional(self) -> bool {
        self.0 & Attributes::TRANSACTIONAL != 0
    }

    /// Whether the batch is a marker of the log's own, which consumers never see.
    pub fn is_control(self) -> bool {
        self.0 & Attributes::CONTROL != 0
    }

    /// Whether the batch's one record holds columns of many rows; see [`Batch::columns`](crate::Batch::columns).
    pub fn is_columnar(self) -> bool {
        self.0 & Attributes::COLUMNAR != 0
    }

    /// Whether the base timestamp is a time after which compaction removes the batch's tombstones, or the
    /// batch itself if it is a marker.
    pub fn has_delete_horizon(self) -> bool {
        self.0 & Attributes::DELETE_HORIZON != 0
    }

    /// The same flags, with a delete horizon and this compression.
    pub(crate) fn compacted(self, has_horizon: bool, compression: Compression) -> Attributes {
        let kept = self.0 & !(Attributes::DELETE_HORIZON | Attributes::COMPRESSION);
        let horizon = if has_horizon { Attributes::DELETE_HORIZON } else { 0 };
        Attributes(kept | horizon | compression.code())
    }
}

/// A decoded batch header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Bytes that follow the length field: [`BatchHeader::total_len`] is twelve more.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch.
    pub partition_leader_epoch: i32,
    /// Format version: 2.
    pub magic: i8,
    /// CRC-32C over the bytes from the attributes to the end.
    pub crc: u32,
    /// Compression and flags.
    pub attributes: Attributes,
    /// Offset of the last record, relative to the base offset. May be larger than the number of
    /// records says, where compaction removed some.
    pub last_offset_delta: i32,
    /// What the records' timestamps are relative to, in milliseconds since the Unix epoch. Also the delete
    /// horizon, where the attributes say that there is one.
    pub base_timestamp: i64,
    /// Largest timestamp in the batch, in milliseconds; -1 if no record has one.
    pub max_timestamp: i64,
    /// The idempotent or transactional producer that sent the batch; -1 if it is neither.
    pub producer_id: i64,
    /// That producer's epoch; -1 for none.
    pub producer_epoch: i16,
    /// Sequence number of the first record; -1 for none.
    pub base_sequence: i32,
    /// Number of records.
    pub records_count: i32,
}

impl BatchHeader {
    /// Decodes the header at the front of `bytes`.
    ///
    /// The batch's records need not be there: only the header's own 61 bytes are read. Its checksum
    /// is not verified; see [`BatchHeader::verify_crc`].
    ///
    /// # Errors
    /// [`Error::UnsupportedMagic`] for another magic than 2; [`Error::MalformedBatch`] for fewer than
    /// 61 bytes, a compression code that Kafka does not define, or a length or count that cannot be.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader> {
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
            let reason = format!("{} bytes are too few for a header of 61", bytes.len());
            return Err(Error::MalformedBatch { reason });
        };
        let header = BatchHeader {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            batch_length: i32::from_be_bytes(field(bytes, 8)),
            partition_leader_epoch: i32::from_be_bytes(field(bytes, 12)),
            magic: bytes[16] as i8,
            crc: u32::from_be_bytes(field(bytes, 17)),
            attributes: Attributes(i16::from_be_bytes(field(bytes, 21))),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            records_count: i32::from_be_bytes(field(bytes, 57)),
        };
        if header.magic != MAGIC {
            return Err(Error::UnsupportedMagic { magic: header.magic });
        }
        match header.fault() {
            None => Ok(header),
            Some(reason) => Err(header.invalid(reason)),
        }
    }

    fn fault(&self) -> Option<String> {
        if self.batch_length < (HEADER_LEN - LENGTH_PREFIX) as i32 {
            return Some(format!("length {} is less than its header takes", self.batch_length));
        }
        let code = self.attributes.0 & Attributes::COMPRESSION;
        if Compression::from_code(code).is_none() {
            return Some(format!("compression code {code} is unknown"));
        }
        if self.records_count < 0 || self.last_offset_delta < 0 {
            return Some(format!(
                "a records count of {} and a last offset delta of {} cannot be",
                self.records_count, self.last_offset_delta
            ));
        }
        None
    }

    /// Writes the header back, byte for byte.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..8].copy_from_slice(&self.base_offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.batch_length.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.partition_leader_epoch.to_be_bytes());
        bytes[16] = self.magic as u8;
        bytes[17..21].copy_from_slice(&self.crc.to_be_bytes());
        bytes[21..23].copy_from_slice(&self.attributes.0.to_be_bytes());
        bytes[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        bytes[27..35].copy_from_slice(&self.base_timestamp.to_be_bytes());
        bytes[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        bytes[43..51].copy_from_slice(&self.producer_id.to_be_bytes());
        bytes[51..53].copy_from_slice(&self.producer_epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&self.base_sequence.to_be_bytes());
        bytes[57..61].copy_from_slice(&self.records_count.to_be_bytes());
        bytes
    }

    /// Bytes of the whole batch, header included (61 or more).
    pub fn total_len(&self) -> usize {
        LENGTH_PREFIX + self.batch_length.max(0) as usize
    }

    /// Offset of the last record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Offset that follows the batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// When compaction may remove the batch's tombstones, or the batch itself if it is a marker, in
    /// milliseconds since the Unix epoch; `None` before it has come by.
    pub fn delete_horizon(&self) -> Option<i64> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }

    /// Whether an idempotent or transactional producer sent the batch.
    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    /// Sequence number of the last record; -1 without a producer. Sequence numbers wrap to 0 after
    /// `i32::MAX`.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return -1;
        }
        let last = i64::from(self.base_sequence) + i64::from(self.last_offset_delta);
        (last % (i64::from(i32::MAX) + 1)) as i32
    }

    /// Checks `batch`, the whole batch that this header was read from, against Kafka's CRC-32C.
    ///
    /// The checksum covers everything but base offset, length, leader epoch and magic.
    ///
    /// # Errors
    /// [`Error::MalformedBatch`] if the batch is cut short, [`Error::ChecksumMismatch`] if its bytes
    /// were changed after the producer sent them.
    pub fn verify_crc(&self, batch: &[u8]) -> Result<()> {
        let Some(covered) = batch.get(CRC_START..self.total_len()) else {
            return Err(self.invalid(format!(
                "{} bytes are there of the {} that its header promises",
                batch.len(),
                self.total_len()
            )));
        };
        let found = crc32c(covered);
        if found == self.crc {
            return Ok(());
        }
        Err(Error::ChecksumMismatch { base_offset: self.base_offset, expected: self.crc, found })
    }

    pub(crate) fn invalid(&self, reason: impl std::fmt::Display) -> Error {
        let reason = format!("the one at offset {}: {reason}", self.base_offset);
        Error::MalformedBatch { reason }
    }
}

/// Stamps the two fields that belong to the log into the batch at the front of `batch`. Both lie
/// outside Kafka's checksum, so nothing has to be computed anew.
///
/// # Panics
/// If `batch` is shorter than a header, which [`BatchHeader::parse`] has ruled out.
pub fn stamp(batch: &mut [u8], base_offset: i64, partition_leader_epoch: i32) {
    batch[0..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&partition_leader_epoch.to_be_bytes());
}

/// CRC-32C (Castagnoli), the checksum inside a batch.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

fn field<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> [u8; N] {
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
        fn any_61_bytes_round_trip_or_are_refused(bytes in proptest::array::uniform(any::<u8>())) {
            let mut bytes: [u8; HEADER_LEN] = bytes;
            // Otherwise hardly a case would get past the checks.
            bytes[16] = 2;
            bytes[8] &= 0x7f;
            bytes[22] &= 0xfb;
            bytes[23] &= 0x7f;
            bytes[57] &= 0x7f;
            if let Ok(header) = BatchHeader::parse(&bytes) {
                prop_assert_eq!(header.encode(), bytes);
                prop_assert!(header.total_len() >= HEADER_LEN);
                prop_assert!(header.next_offset() >= header.base_offset);
            } else {
                prop_assert!(i32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) < 49);
            }
        }

        #[test]
        fn any_bytes_parse_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(header) = BatchHeader::parse(&bytes) {
                let _ = header.verify_crc(&bytes);
            }
        }
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut header = BatchHeader::parse(&example()).expect("a valid header");
        header.base_sequence = i32::MAX - 1;
        header.last_offset_delta = 2;
        assert_eq!(header.last_sequence(), 0);
        header.base_sequence = -1;
        assert_eq!(header.last_sequence(), -1);
    }

    #[test]
    fn each_impossible_field_is_named() {
        let refused = |at: usize, value: u8| {
            let mut bytes = example();
            bytes[at] = value;
            BatchHeader::parse(&bytes).expect_err("must be refused").to_string()
        };
        assert!(refused(16, 1).contains("v1"));
        assert!(refused(11, 48).contains("length 48"));
        assert!(refused(22, 5).contains("compression code 5"));
        assert!(refused(57, 0x80).contains("records count"));
        assert!(refused(23, 0x80).contains("last offset delta"));
    }

    #[test]
    fn crc32c_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    fn example() -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[11] = 49;
        bytes[16] = 2;
        bytes
    }
}
