//! The aborted index: which transactions a `read_committed` reader has to leave out. In memory for
//! the whole partition, on disk one `.txnindex` file a segment.
//!
//! # File
//!
//! ```text
//! header  "RRTX" | version u32 | base offset i64 | end offset i64 | entries u32 | crc32c u32
//! entry   producer id i64 | first offset i64 | last offset i64 | last stable offset i64 | crc32c u32
//! ```
//!
//! Little endian. A file holds the transactions whose *marker* lies in `base..end` and is written
//! whole; so a file that is missing, short, damaged or does not reach far enough is seen as such, and
//! rebuilt from the batches. Checksums cover everything before them, the entry's also the position
//! of the entry.

use crate::batch::crc32c;
use crate::error::{Error, Result};

const MAGIC: &[u8; 4] = b"RRTX";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 32;
const ENTRY_LEN: usize = 36;

/// One aborted transaction of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// The producer id; its epoch does not matter to a reader.
    pub producer_id: i64,
    /// Offset of the transaction's first record.
    pub first_offset: i64,
    /// Offset of the abort marker, the transaction's last record.
    pub last_offset: i64,
    /// What the last stable offset became when this transaction ended (if its marker was durable). No
    /// transaction that ended later begins below it, so a search that has reached its upper bound
    /// here may stop.
    pub last_stable_offset: i64,
}

/// The aborted transactions of one partition, in the order of their markers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AbortedIndex {
    entries: Vec<AbortedTransaction>,
}

impl AbortedIndex {
    /// Adds the transaction that a marker has just aborted. Its marker must lie above all earlier.
    pub fn push(&mut self, aborted: AbortedTransaction) {
        debug_assert!(self.entries.last().is_none_or(|e| e.last_offset < aborted.last_offset));
        self.entries.push(aborted);
    }

    /// Whether the index holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The aborted transactions that have records in `from..to`, in the order of their first
    /// offsets, as a fetch answer needs them.
    pub fn aborted_in(&self, from: i64, to: i64) -> Vec<AbortedTransaction> {
        if from >= to {
            return Vec::new();
        }
        let start = self.entries.partition_point(|entry| entry.last_offset < from);
        let mut found = Vec::new();
        for entry in &self.entries[start..] {
            if entry.first_offset < to {
                found.push(*entry);
            }
            if entry.last_stable_offset >= to {
                break;
            }
        }
        found.sort_unstable_by_key(|entry| entry.first_offset);
        found
    }

    /// The transactions whose marker lies in `base..end`: what belongs into one segment's file.
    pub fn ended_in(&self, base: i64, end: i64) -> &[AbortedTransaction] {
        let start = self.entries.partition_point(|entry| entry.last_offset < base);
        let stop = self.entries.partition_point(|entry| entry.last_offset < end);
        &self.entries[start..stop.max(start)]
    }

    /// Forgets the transactions whose markers were at these offsets, which are in order.
    pub fn forget_markers(&mut self, offsets: &[i64]) {
        if !offsets.is_empty() {
            self.entries.retain(|entry| offsets.binary_search(&entry.last_offset).is_err());
        }
    }

    /// Forgets transactions that lie wholly below the log start offset.
    pub fn remove_below(&mut self, log_start: i64) {
        let keep_from = self.entries.partition_point(|entry| entry.last_offset < log_start);
        self.entries.drain(..keep_from);
    }
}

/// Encodes the `.txnindex` file of a segment that covers `base..end`; `entries` are those whose
/// marker lies in that range.
pub fn encode_segment(base: i64, end: i64, entries: &[AbortedTransaction]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_LEN + entries.len() * ENTRY_LEN);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&base.to_le_bytes());
    out.extend_from_slice(&end.to_le_bytes());
    out.extend_from_slice(&(entries.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32c(&out).to_le_bytes());
    for (position, entry) in entries.iter().enumerate() {
        let start = out.len();
        out.extend_from_slice(&entry.producer_id.to_le_bytes());
        out.extend_from_slice(&entry.first_offset.to_le_bytes());
        out.extend_from_slice(&entry.last_offset.to_le_bytes());
        out.extend_from_slice(&entry.last_stable_offset.to_le_bytes());
        let crc = entry_checksum(base, position, &out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
    }
    out
}

/// What a `.txnindex` file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbortedSegment {
    /// Base offset of the segment.
    pub base: i64,
    /// The file knows all markers below this offset.
    pub end: i64,
    /// The transactions, in the order of their markers.
    pub entries: Vec<AbortedTransaction>,
}

/// Decodes a `.txnindex` file. `name` is for the error.
///
/// # Errors
///
/// [`Error::DamagedFile`] if anything in it is not as it was written. The caller rebuilds the index
/// from the batches.
pub fn decode_segment(name: &str, bytes: &[u8]) -> Result<AbortedSegment> {
    let damaged = |what: &str| Error::DamagedFile { file: name.to_owned(), what: what.to_owned() };
    let Some((header, mut rest)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Err(damaged("it is shorter than its header"));
    };
    if &header[..4] != MAGIC {
        return Err(damaged("it is not an aborted index"));
    }
    if le_u32(header, 28) != crc32c(&header[..28]) {
        return Err(damaged("its header does not match its checksum"));
    }
    if le_u32(header, 4) != VERSION {
        return Err(damaged("it was written by another version"));
    }
    let (base, end) = (le_i64(header, 8), le_i64(header, 16));
    let count = le_u32(header, 24) as usize;
    if rest.len() != count.saturating_mul(ENTRY_LEN) {
        return Err(damaged("its length does not match its number of entries"));
    }
    let mut entries = Vec::with_capacity(count);
    while let Some((bytes, tail)) = rest.split_first_chunk::<ENTRY_LEN>() {
        if le_u32(bytes, 32) != entry_checksum(base, entries.len(), &bytes[..32]) {
            return Err(damaged("an entry does not match its checksum"));
        }
        let entry = AbortedTransaction {
            producer_id: le_i64(bytes, 0),
            first_offset: le_i64(bytes, 8),
            last_offset: le_i64(bytes, 16),
            last_stable_offset: le_i64(bytes, 24),
        };
        entries.push(entry);
        rest = tail;
    }
    Ok(AbortedSegment { base, end, entries })
}

fn entry_checksum(base: i64, position: usize, entry: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&base.to_le_bytes());
    digest.update(&(position as u64).to_le_bytes());
    digest.update(entry);
    digest.finalize() as u32
}

fn le_u32(bytes: &[u8], at: usize) -> u32 {
    let mut field = [0; 4];
    field.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(field)
}

fn le_i64(bytes: &[u8], at: usize) -> i64 {
    let mut field = [0; 8];
    field.copy_from_slice(&bytes[at..at + 8]);
    i64::from_le_bytes(field)
}

#[cfg(test)]
#[path = "aborted/tests.rs"]
mod tests;
