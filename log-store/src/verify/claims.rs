//! The entries of an index file as claims about its segment: each may be right, wrong or damaged.

use std::io;

use super::survey::{SegmentFiles, Survey};
use crate::index::{
    INDEX_ENTRY_LEN, INDEX_HEADER_LEN, IndexEntry, encode_header, entries_in, entry_position,
};

/// How many index entries are read at once.
const BLOCK: u64 = 256;

/// What the index says at one place.
pub(super) enum Claim {
    /// Nothing: it has ended.
    None,
    /// The entry does not match its own checksum.
    Damaged,
    Entry(IndexEntry),
}

/// The entries of an index file, read in blocks.
pub(super) struct Claims<'a> {
    files: &'a SegmentFiles,
    /// How many there are, damaged ones included.
    pub count: u64,
    first: u64,
    block: Vec<u8>,
}

impl<'a> Claims<'a> {
    pub fn new(files: &'a SegmentFiles) -> Self {
        Claims { files, count: entries_in(files.index_length), first: 0, block: Vec::new() }
    }

    /// Whether the header is as it was written; `None` if there is no index, or an empty one.
    pub fn header(&self) -> Option<io::Result<bool>> {
        let index = self.files.index.as_ref()?;
        if self.files.index_length < INDEX_HEADER_LEN as u64 {
            // A crash can leave an index without a header only where there are no batches.
            return (self.files.log_length > 0).then_some(Ok(false));
        }
        let mut header = [0; INDEX_HEADER_LEN];
        Some(index.read_at(0, &mut header).map(|()| header == encode_header()))
    }

    pub fn get(&mut self, ordinal: u64) -> Claim {
        if ordinal >= self.count {
            return Claim::None;
        }
        let known = self.block.len() as u64 / INDEX_ENTRY_LEN as u64;
        if ordinal < self.first || ordinal >= self.first + known {
            let count = BLOCK.min(self.count - ordinal);
            self.first = ordinal;
            self.block.resize(count as usize * INDEX_ENTRY_LEN, 0);
            let index = self.files.index.as_ref();
            let read = index.map(|index| index.read_at(entry_position(ordinal), &mut self.block));
            if !matches!(read, Some(Ok(()))) {
                self.block.clear();
                return Claim::Damaged;
            }
        }
        let from = (ordinal - self.first) as usize * INDEX_ENTRY_LEN;
        let entry = self.block.get(from..).and_then(|bytes| bytes.first_chunk());
        entry.and_then(IndexEntry::decode).map_or(Claim::Damaged, Claim::Entry)
    }

    /// The first good entry from `ordinal` on that lies behind `position` and `offset`; moves `ordinal`
    /// to it and notes the entries that are passed.
    pub fn next_after(
        &mut self,
        ordinal: &mut u64,
        position: u64,
        offset: i64,
        survey: &mut Survey,
    ) -> Option<IndexEntry> {
        let expected = !self.files.sealed() && position >= self.files.durable.0;
        loop {
            match self.get(*ordinal) {
                Claim::None => return None,
                Claim::Entry(entry) if entry.position > position && entry.base_offset > offset => {
                    return Some(entry);
                }
                Claim::Entry(entry) => {
                    let what = format!("index entry {ordinal} is out of place");
                    survey.index_fault(*ordinal, entry.base_offset, what, expected);
                }
                Claim::Damaged => {
                    let what = format!("index entry {ordinal} does not match its own checksum");
                    survey.index_fault(*ordinal, offset, what, expected);
                }
            }
            *ordinal += 1;
        }
    }
}
