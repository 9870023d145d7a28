//! A segment looked over from its first byte to its last: which stretches are whole batches, which are
//! not, and how the index fits.
//!
//! Every byte of a batch is accounted for twice. The index's checksum covers all of them. And without
//! it, Kafka's checksum covers those from the attributes on, while the 21 before are known otherwise:
//! the base offset follows from the batch before, the leader epoch and the format version are always
//! the same, a wrong length makes the checksum fail. So where batch and index entry disagree, it can be told
//! which of them is damaged.

use std::ops::Range;
use std::sync::Arc;

use super::claims::{Claim, Claims};
use super::probe::Probe;
use crate::batch::{BatchHeader, CRC_START, HEADER_LEN};
use crate::environment::File;
use crate::index::{INDEX_ENTRY_LEN, IndexEntry, entries_in, entry_position};
use crate::segment::NO_TIMESTAMP;

/// Index faults that are told one by one; of further ones only the number is.
const FAULTS_TOLD: usize = 10;

/// One segment, to be looked over.
pub(super) struct SegmentFiles {
    /// The base offset that its name gives.
    pub base: i64,
    /// Base offset of the segment after it; `None` for the last one, which is appended to.
    pub next: Option<i64>,
    pub log: Arc<dyn File>,
    /// The file is not there; `log` is empty.
    pub log_missing: bool,
    pub log_length: u64,
    /// `None` if there is no index file.
    pub index: Option<Arc<dyn File>>,
    pub index_length: u64,
    /// Position and offset up to which everything is known to have been durable.
    pub durable: (u64, i64),
}

/// A whole batch, every byte as it was written.
pub(super) struct Found {
    pub header: BatchHeader,
    /// The index entry that it should have.
    pub entry: IndexEntry,
}

/// Bytes that are not what was written, or are not there any more.
#[derive(Debug, Clone)]
pub(super) struct Damage {
    pub position: u64,
    /// May reach beyond the file's end.
    pub length: u64,
    /// The offsets that lie, or lay, there.
    pub offsets: Range<i64>,
    pub what: String,
    pub mend: Mend,
    /// The largest timestamp up to here, as far as it is known.
    pub max_timestamp: i64,
}

/// What can be done about a damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mend {
    /// Only the front of a batch is damaged, and it is known what it was.
    Restore([u8; CRC_START]),
    /// The batch is lost; its place can be marked as such.
    Fill,
    /// Bytes that never were a batch: they can be cut off.
    Cut,
    /// Nothing, by a program.
    None,
}

pub(super) enum Stretch {
    Batch(Found),
    Damage(Damage),
    /// At the end of the last segment: bytes that nobody was told are durable.
    Tail {
        position: u64,
        offset: i64,
        what: String,
    },
}

/// Something wrong in the index file.
#[derive(Debug, Clone)]
pub(super) struct IndexFault {
    pub position: u64,
    pub offset: i64,
    pub what: String,
    /// In a part of the index that a crash may leave like this, and that recovery makes again.
    pub expected: bool,
}

/// What came out of looking over a segment.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub index_faults: Vec<IndexFault>,
    /// How many more there are.
    pub index_faults_untold: u64,
    /// Whether one of them, told or not, is more than a crash leaves behind.
    pub index_damaged: bool,
}

impl Survey {
    /// Takes note of something wrong with an index entry.
    pub fn index_fault(&mut self, ordinal: u64, offset: i64, what: String, expected: bool) {
        self.index_damaged |= !expected;
        if self.index_faults.len() < FAULTS_TOLD {
            let position = entry_position(ordinal);
            self.index_faults.push(IndexFault { position, offset, what, expected });
        } else {
            self.index_faults_untold += 1;
        }
    }

    fn index_file_fault(&mut self, offset: i64, what: String) {
        self.index_damaged = true;
        self.index_faults.push(IndexFault { position: 0, offset, what, expected: false });
    }
}

/// Where the walk is.
struct Place {
    position: u64,
    offset: i64,
    ordinal: u64,
    max_timestamp: i64,
    /// False behind a batch whose timestamps could not be read.
    timestamp_known: bool,
}

impl SegmentFiles {
    pub fn sealed(&self) -> bool {
        self.next.is_some()
    }

    /// Whether log and index are of the same segment, as far as can be told at a glance.
    pub fn fits_together(&self) -> bool {
        let Some(next) = self.next else { return true };
        let Some(index) = &self.index else { return false };
        let last = entries_in(self.index_length).checked_sub(1);
        let mut bytes = [0; INDEX_ENTRY_LEN];
        let read = last.is_some_and(|last| index.read_at(entry_position(last), &mut bytes).is_ok());
        let last = read.then(|| IndexEntry::decode(&bytes)).flatten();
        last.is_some_and(|last| (last.end(), last.next_offset()) == (self.log_length, next))
    }

    /// Looks the segment over and shows every stretch of it to `visit`, in order.
    ///
    /// # Errors
    /// `visit`'s. What the operating system cannot read is damage.
    pub fn survey<E>(&self, mut visit: impl FnMut(Stretch) -> Result<(), E>) -> Result<Survey, E> {
        let mut walk = Walk::new(self);
        while let Some(stretch) = walk.next() {
            visit(stretch)?;
        }
        walk.finish_index();
        Ok(walk.survey)
    }
}

struct Walk<'a> {
    files: &'a SegmentFiles,
    claims: Claims<'a>,
    at: Place,
    probe: Probe<'a>,
    survey: Survey,
    ended: bool,
}

impl<'a> Walk<'a> {
    fn new(files: &'a SegmentFiles) -> Self {
        let mut survey = Survey::default();
        let mut claims = Claims::new(files);
        match claims.header() {
            None => {}
            Some(Ok(true)) => {}
            Some(Ok(false)) => {
                let what = "the index file's header is not as it was written".to_owned();
                survey.index_file_fault(files.base, what);
            }
            Some(Err(error)) => {
                let what = format!("the index file cannot be read: {error}");
                survey.index_file_fault(files.base, what);
                claims.count = 0;
            }
        }
        let at = Place {
            position: 0,
            offset: files.base,
            ordinal: 0,
            max_timestamp: NO_TIMESTAMP,
            timestamp_known: true,
        };
        Walk {
            files,
            claims,
            at,
            probe: Probe::new(&*files.log, files.log_length),
            survey,
            ended: false,
        }
    }

    fn next(&mut self) -> Option<Stretch> {
        if self.ended {
            return None;
        }
        self.skip_stale_entries();
        let claim = self.claims.get(self.at.ordinal);
        let claimed = match claim {
            Claim::Entry(entry)
                if entry.position == self.at.position && entry.base_offset == self.at.offset =>
            {
                Some(entry)
            }
            _ => None,
        };
        if self.at.position >= self.files.log_length && claimed.is_none() {
            return self.end();
        }
        match self.probe.batch(self.at.position, self.at.offset) {
            Ok((header, checksum)) => Some(self.batch(header, checksum, &claim)),
            Err(what) => self.damage(what, claimed),
        }
    }

    fn fault(&mut self, ordinal: u64, offset: i64, what: String) {
        let expected = !self.files.sealed() && self.at.position >= self.files.durable.0;
        self.survey.index_fault(ordinal, offset, what, expected);
    }

    /// Entries that describe what lies before this place are not where they should be.
    fn skip_stale_entries(&mut self) {
        while let Claim::Entry(entry) = self.claims.get(self.at.ordinal) {
            if entry.position >= self.at.position {
                return;
            }
            let what = format!("index entry {} is out of place", self.at.ordinal);
            self.fault(self.at.ordinal, entry.base_offset, what);
            self.at.ordinal += 1;
        }
    }

    fn batch(&mut self, header: BatchHeader, checksum: u32, claim: &Claim) -> Stretch {
        let (ordinal, offset) = (self.at.ordinal, self.at.offset);
        let mut entry = IndexEntry {
            base_offset: offset,
            position: self.at.position,
            length: header.total_len() as u32,
            last_offset_delta: header.last_offset_delta as u32,
            max_timestamp: self.at.max_timestamp.max(header.max_timestamp),
            records: header.records_count as u32,
            attributes: header.attributes.0 as u16,
            checksum,
        };
        match claim {
            Claim::Entry(claim) if claim.position == self.at.position => {
                if !self.at.timestamp_known && claim.max_timestamp >= entry.max_timestamp {
                    entry.max_timestamp = claim.max_timestamp;
                }
                if *claim != entry {
                    let what =
                        format!("index entry {ordinal} is not that of the batch it points at");
                    self.fault(ordinal, offset, what);
                }
                self.at.ordinal += 1;
            }
            Claim::Entry(_) => {
                let what =
                    format!("index entry {ordinal} should be that of the batch at offset {offset}");
                self.fault(ordinal, offset, what);
            }
            Claim::Damaged => {
                let what = format!("index entry {ordinal} does not match its own checksum");
                self.fault(ordinal, offset, what);
                self.at.ordinal += 1;
            }
            // The index of the last segment may lag behind: recovery makes the missing entries again.
            Claim::None if !self.files.sealed() && entry.position >= self.files.durable.0 => {}
            Claim::None => {
                if self.files.index.is_some() || self.at.position == 0 {
                    let what = match self.files.index {
                        Some(_) => {
                            format!("the index has no entry for the batch at offset {offset}")
                        }
                        None => "the index file is missing".to_owned(),
                    };
                    self.fault(ordinal, offset, what);
                }
            }
        }
        self.at.max_timestamp = entry.max_timestamp;
        self.at.timestamp_known = true;
        self.at.position = entry.end();
        self.at.offset = entry.next_offset();
        Stretch::Batch(Found { header, entry })
    }

    /// There is no whole batch at this place: how far does that go?
    fn damage(&mut self, what: String, claimed: Option<IndexEntry>) -> Option<Stretch> {
        let (position, offset) = (self.at.position, self.at.offset);
        if let Some(claim) = claimed {
            let (mend, hint) = self.probe.mend(&claim);
            let what = match hint {
                Some((byte, bit)) => {
                    let byte = position + byte;
                    format!("{what}; it is as if one bit had flipped: bit {bit} of byte {byte}")
                }
                None => what,
            };
            self.at.ordinal += 1;
            return Some(self.damaged(
                claim.end(),
                claim.next_offset(),
                what,
                mend,
                claim.max_timestamp,
            ));
        }
        if self.files.next.is_some_and(|next| next <= offset) {
            // Everything that belongs here was found; this was never part of it.
            let (what, mend) = match self.probe.any_batch(position) {
                Some(header) => (
                    format!(
                        "a batch with base offset {} is where segment {} should have taken over",
                        header.base_offset, offset
                    ),
                    Mend::None,
                ),
                None => ("bytes follow the last batch of the segment".to_owned(), Mend::Cut),
            };
            return Some(self.damaged(
                self.files.log_length,
                offset,
                what,
                mend,
                self.at.max_timestamp,
            ));
        }
        // The next thing that is known: an index entry, or a batch found by looking for one.
        let anchor =
            self.claims.next_after(&mut self.at.ordinal, position, offset, &mut self.survey);
        let (durable_position, durable_offset) = self.files.durable;
        let limit = match (anchor, self.files.next) {
            (Some(entry), _) => Some((entry.position, entry.base_offset)),
            (None, Some(next)) => Some((self.files.log_length, next)),
            (None, None) if position < durable_position => Some(self.files.durable),
            (None, None) => None,
        };
        if let Some(limit) = limit
            && let Some((to, next)) =
                self.probe.search(position + HEADER_LEN as u64, offset + 1, limit)
        {
            return Some(self.damaged(to, next, what, Mend::Fill, self.at.max_timestamp));
        }
        if let Some(entry) = anchor {
            let before = entry.max_timestamp.min(self.at.max_timestamp);
            return Some(self.damaged(entry.position, entry.base_offset, what, Mend::Fill, before));
        }
        if let Some(next) = self.files.next {
            // If the file was cut, there may be less left than the mark that takes its place needs.
            let to = self.files.log_length.max(position + super::gap::room(&(offset..next)));
            return Some(self.damaged(to, next, what, Mend::Fill, self.at.max_timestamp));
        }
        if position < durable_position && offset < durable_offset {
            let max = self.at.max_timestamp;
            return Some(self.damaged(durable_position, durable_offset, what, Mend::Fill, max));
        }
        self.ended = true;
        let tail = position < self.files.log_length;
        tail.then_some(Stretch::Tail { position, offset, what })
    }

    fn damaged(
        &mut self,
        to: u64,
        next: i64,
        what: String,
        mend: Mend,
        max_timestamp: i64,
    ) -> Stretch {
        let (position, offset) = (self.at.position, self.at.offset);
        self.at.position = to;
        self.at.offset = next;
        self.at.max_timestamp = max_timestamp.max(self.at.max_timestamp);
        self.at.timestamp_known = false;
        Stretch::Damage(Damage {
            position,
            length: to - position,
            offsets: offset..next,
            what,
            mend,
            max_timestamp: self.at.max_timestamp,
        })
    }

    /// All bytes of the file have been seen. Is that all there should be?
    fn end(&mut self) -> Option<Stretch> {
        self.ended = true;
        let (durable_position, durable_offset) = self.files.durable;
        let (offset, position) = (self.at.offset, self.at.position);
        let max = self.at.max_timestamp;
        match self.files.next {
            Some(next) if next > offset => {
                let what = format!(
                    "the segment ends at offset {offset}, but the next one begins at {next}: what lay \
                     between is missing"
                );
                // Room for the mark that takes its place.
                let to = position + super::gap::room(&(offset..next));
                Some(self.damaged(to, next, what, Mend::Fill, max))
            }
            Some(next) if next < offset => {
                let what = format!(
                    "the segment ends at offset {offset}, but the next one begins at {next} already"
                );
                Some(self.damaged(position, offset, what, Mend::None, max))
            }
            Some(_) => None,
            None if durable_offset > offset => {
                let what = format!(
                    "the file ends at offset {offset}, before the recovery point at {durable_offset}"
                );
                let room = position + super::gap::SMALLEST <= durable_position;
                let mend = if room { Mend::Fill } else { Mend::None };
                Some(self.damaged(durable_position.max(position), durable_offset, what, mend, max))
            }
            None => None,
        }
    }

    /// What is left of the index when the segment has been walked through.
    fn finish_index(&mut self) {
        if self.files.index.is_none() {
            return;
        }
        let left = self.claims.count.saturating_sub(self.at.ordinal);
        if left > 0 {
            let what =
                format!("{left} index entries at the end describe batches that are not there");
            self.fault(self.at.ordinal, self.at.offset, what);
        }
        let odd = self.files.index_length > entry_position(self.claims.count);
        // A crash may tear the last segment's index; recovery makes what is missing again.
        if odd && self.files.sealed() {
            let what = "the index file does not end with a whole entry".to_owned();
            self.fault(self.claims.count, self.at.offset, what);
        }
    }
}
