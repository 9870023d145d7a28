//! Walks over the batches of a segment that is being opened, and compares them with what its index
//! claims.

use std::path::PathBuf;

use super::append::LEADER_EPOCH;
use crate::batch::{BatchHeader, HEADER_LEN};
use crate::environment::File;
use crate::error::{Error, Result};
use crate::index::{INDEX_ENTRY_LEN, IndexEntry, encode_header, entry_position};
use crate::segment::{Fault, LOG_SUFFIX, NO_TIMESTAMP, SegmentEnd, SegmentError, file_name};

type Outcome<T> = Result<T, SegmentError>;

pub(super) fn fault(
    base: i64,
    position: u64,
    offset: i64,
    what: impl Into<String>,
) -> SegmentError {
    let segment = file_name(base, LOG_SUFFIX);
    SegmentError::Fault(Fault { segment, position, offset, what: what.into() })
}

pub(super) fn read_entry(index: &dyn File, ordinal: u64) -> Option<IndexEntry> {
    let mut bytes = [0; INDEX_ENTRY_LEN];
    index.read_at(entry_position(ordinal), &mut bytes).ok()?;
    IndexEntry::decode(&bytes)
}

pub(super) fn read_header_ok(index: &dyn File) -> bool {
    let expected = encode_header();
    let mut found = [0; crate::index::INDEX_HEADER_LEN];
    index.read_at(0, &mut found).is_ok() && found == expected
}

/// Walks over batches and compares them with what the index claims.
pub(super) struct Scan<'a> {
    pub base: i64,
    pub log: &'a dyn File,
    pub index: &'a dyn File,
    /// Entries in the index file, damaged ones included.
    pub claims: u64,
}

/// What a walk found.
pub(super) struct Found {
    /// Index entries in front of these that stay as they are.
    pub kept: u64,
    pub entries: Vec<IndexEntry>,
    pub end: SegmentEnd,
}

impl Scan<'_> {
    /// How many entries lie before `position`, if the last of them ends exactly there, with its
    /// running maximum of timestamps.
    pub fn entry_ending_at(&self, position: u64, offset: i64) -> Option<(u64, i64)> {
        if position == 0 {
            return Some((0, NO_TIMESTAMP));
        }
        let (mut low, mut high) = (0, self.claims);
        while low < high {
            let middle = low + (high - low) / 2;
            if read_entry(self.index, middle)?.end() < position {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let entry = (low < self.claims).then(|| read_entry(self.index, low)).flatten()?;
        (entry.end() == position && entry.next_offset() == offset)
            .then_some((low + 1, entry.max_timestamp))
    }

    /// Walks from `position`, where `offset` should be; `ordinal` is that of the next index entry.
    /// Nothing below `durable_to` may be missing.
    pub fn run(
        &self,
        mut position: u64,
        mut offset: i64,
        mut max_timestamp: i64,
        mut ordinal: u64,
        durable_to: u64,
    ) -> Outcome<Found> {
        let path = PathBuf::from(file_name(self.base, LOG_SUFFIX));
        let length = self.log.len().map_err(|e| Error::io("read the length of", &path, e))?;
        let mut entries = Vec::new();
        while position < length {
            let claim = (ordinal < self.claims)
                .then(|| read_entry(self.index, ordinal))
                .flatten()
                .filter(|claim| claim.position == position);
            match self.batch_at(position, offset, length)? {
                Ok((header, batch)) => {
                    let entry = IndexEntry::of(&header, &batch, position, max_timestamp);
                    if claim.is_some_and(|claim| claim.checksum != entry.checksum) {
                        let what = "the batch does not match its checksum in the index";
                        return Err(fault(self.base, position, offset, what));
                    }
                    position = entry.end();
                    offset = entry.next_offset();
                    max_timestamp = entry.max_timestamp;
                    ordinal += 1;
                    entries.push(entry);
                }
                Err(what) => {
                    if self.was_durable(position, ordinal, durable_to) {
                        return Err(fault(self.base, position, offset, what));
                    }
                    break;
                }
            }
        }
        if position >= length && self.was_durable(position, ordinal, durable_to.min(length)) {
            let what = "the file ends before a batch that was acknowledged";
            return Err(fault(self.base, position, offset, what));
        }
        let end = SegmentEnd { position, offset, max_timestamp };
        Ok(Found { kept: 0, entries, end })
    }

    /// Whether something at `position` or after it was durable once.
    fn was_durable(&self, position: u64, ordinal: u64, durable_to: u64) -> bool {
        position < durable_to
            || (ordinal..self.claims).any(|later| {
                read_entry(self.index, later).is_some_and(|claim| claim.position >= position)
            })
    }

    /// The batch at `position`, or why there is none.
    fn batch_at(
        &self,
        position: u64,
        offset: i64,
        length: u64,
    ) -> Outcome<Result<(BatchHeader, bytes::Bytes), String>> {
        let path = PathBuf::from(file_name(self.base, LOG_SUFFIX));
        let left = length - position;
        if left < HEADER_LEN as u64 {
            return Ok(Err(format!("{left} bytes are too few for a batch")));
        }
        let mut bytes = [0; HEADER_LEN];
        self.log.read_at(position, &mut bytes).map_err(|e| Error::io("read", &path, e))?;
        let header = match BatchHeader::parse(&bytes) {
            Ok(header) => header,
            Err(error) => return Ok(Err(error.to_string())),
        };
        if header.base_offset != offset || header.partition_leader_epoch != LEADER_EPOCH {
            return Ok(Err(format!(
                "a batch with base offset {} and leader epoch {} is where {offset} and {LEADER_EPOCH} \
                 should be",
                header.base_offset, header.partition_leader_epoch
            )));
        }
        if header.total_len() as u64 > left {
            return Ok(Err("the batch is cut short".to_owned()));
        }
        let batch = self
            .log
            .slice(position, header.total_len())
            .map_err(|e| Error::io("read", &path, e))?;
        if let Err(error) = header.verify_crc(&batch) {
            return Ok(Err(error.to_string()));
        }
        Ok(Ok((header, batch)))
    }
}
