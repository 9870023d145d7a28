//! What a pass takes out, decided batch by batch. Pure: batches in, verdicts out.
//!
//! ```text
//!   batch
//!     |-- a marker ............. stays as long as its transaction has a batch left in front of it, and
//!     |                          `delete.retention.ms` longer
//!     |-- of an aborted one .... goes
//!     '-- any other
//!           record with a newer one of its key ...... goes
//!           tombstone, its time is over ............. goes
//!           any other ............................... stays
//! ```
//!
//! Where nothing of a batch stays, the batch goes, unless it is the last that its producer sent: that one
//! stays without records, because its sequence is what the producer goes on from.
//!
//! The time of a tombstone or marker begins to run when a pass has removed what came before it: the pass
//! writes the end of that time, the *delete horizon*, into the batch, as Kafka does. So a reader who has
//! seen an older record sees the tombstone as well, if it is not slower than that.

use std::collections::{BTreeMap, BTreeSet};

use super::offset_map::OffsetMap;
use crate::aborted::AbortedTransaction;
use crate::batch::{Batch, BatchHeader, Records};
use crate::compression::Decompressor;
use crate::error::Result;
use crate::producer_state::{LastBatch, ProducerStates};

/// No delete horizon lies ahead.
pub(super) const NO_HORIZON: i64 = i64::MAX;

/// What becomes of a batch.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It stays, byte for byte.
    Keep,
    /// It is written again: with the records that [`Filter::kept`] says, and this delete horizon.
    Rewrite(Records, Option<i64>),
    /// It stays without its records.
    Empty,
    /// It goes.
    Drop,
}

/// The rules of one pass.
#[derive(Debug)]
pub(super) struct Rules {
    /// Newest offsets, complete for the records below `covered`.
    pub newest: OffsetMap,
    /// Everything from here on is left for the next pass.
    pub covered: i64,
    /// When the pass began.
    pub now_ms: i64,
    /// `delete.retention.ms`.
    pub delete_retention_ms: u64,
    /// The last batch of each producer.
    pub last: BTreeMap<i64, LastBatch>,
}

impl Rules {
    /// What each producer of a partition sent last.
    pub fn last_batches(states: &ProducerStates) -> BTreeMap<i64, LastBatch> {
        states.last_batches().collect()
    }

    fn new_horizon(&self) -> i64 {
        self.now_ms.saturating_add_unsigned(self.delete_retention_ms)
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        self.last.get(&header.producer_id).is_some_and(|last| {
            last.epoch == header.producer_epoch && last.base_offset == Some(header.base_offset)
        })
    }

    /// Whether a marker is all that is known of its producer's epoch.
    fn is_all_of_producer(&self, header: &BatchHeader) -> bool {
        self.last
            .get(&header.producer_id)
            .is_some_and(|last| last.epoch == header.producer_epoch && last.base_offset.is_none())
    }
}

/// Aborted transactions, looked up by batch.
#[derive(Debug, Default)]
pub(super) struct Aborted {
    /// First and last offsets by producer id, in order.
    ranges: BTreeMap<i64, Vec<(i64, i64)>>,
}

impl Aborted {
    pub fn new(transactions: Vec<AbortedTransaction>) -> Self {
        let mut ranges: BTreeMap<i64, Vec<(i64, i64)>> = BTreeMap::new();
        for aborted in transactions {
            let of_producer = ranges.entry(aborted.producer_id).or_default();
            of_producer.push((aborted.first_offset, aborted.last_offset));
        }
        ranges.values_mut().for_each(|ranges| ranges.sort_unstable());
        Aborted { ranges }
    }

    /// Whether a batch of records belongs to one of them.
    pub fn has(&self, header: &BatchHeader) -> bool {
        if !header.attributes.is_transactional() {
            return false;
        }
        let Some(ranges) = self.ranges.get(&header.producer_id) else { return false };
        let at = ranges.partition_point(|(first, _)| *first <= header.base_offset);
        at.checked_sub(1).is_some_and(|at| header.base_offset <= ranges[at].1)
    }
}

/// Judges the batches of a pass, in order from the first of the log.
#[derive(Debug)]
pub(super) struct Filter {
    rules: Rules,
    /// Of the segment whose batches are being judged.
    aborted: Aborted,
    /// Producers whose transaction has a batch left, and no marker so far.
    with_batches: BTreeSet<i64>,
    kept: Vec<bool>,
    decompressor: Decompressor,
    /// The next delete horizon in what stays.
    pub horizon: i64,
}

impl Filter {
    pub fn new(rules: Rules) -> Self {
        Filter {
            rules,
            aborted: Aborted::default(),
            with_batches: BTreeSet::new(),
            kept: Vec::new(),
            decompressor: Decompressor::default(),
            horizon: NO_HORIZON,
        }
    }

    /// The next batches are those of a segment with records of these aborted transactions.
    pub fn begin_segment(&mut self, aborted: Vec<AbortedTransaction>) {
        self.aborted = Aborted::new(aborted);
    }

    /// Which records stay of the batch that was judged last, if it is to be written again.
    pub fn kept(&self) -> &[bool] {
        &self.kept
    }

    /// Judges the next batch.
    ///
    /// # Errors
    /// `MalformedBatch` or a decompression error, if its records cannot be read.
    pub fn judge(&mut self, batch: &Batch) -> Result<Verdict> {
        let header = batch.header();
        if header.attributes.is_control() {
            return self.judge_marker(batch);
        }
        let verdict = if self.aborted.has(header) {
            self.judge_nothing_left(header)
        } else {
            self.judge_records(batch)?
        };
        if header.attributes.is_transactional() && !matches!(verdict, Verdict::Drop) {
            self.with_batches.insert(header.producer_id);
        }
        Ok(verdict)
    }

    fn judge_marker(&mut self, batch: &Batch) -> Result<Verdict> {
        let header = batch.header();
        // Gaps that a repair has left, and markers of kinds that are not known, are not ours to remove.
        if !header.has_producer() || batch.control_marker()?.is_none() {
            return Ok(Verdict::Keep);
        }
        let needed = self.with_batches.remove(&header.producer_id)
            || header.last_offset() >= self.rules.covered
            || self.rules.is_all_of_producer(header);
        if needed {
            return Ok(Verdict::Keep);
        }
        match header.delete_horizon() {
            Some(horizon) if horizon <= self.rules.now_ms => Ok(Verdict::Drop),
            Some(horizon) => {
                self.horizon = self.horizon.min(horizon);
                Ok(Verdict::Keep)
            }
            None => {
                let horizon = self.rules.new_horizon();
                self.horizon = self.horizon.min(horizon);
                let records = batch.records(&mut self.decompressor)?;
                self.kept.clear();
                self.kept.resize(records.len(), true);
                Ok(Verdict::Rewrite(records, Some(horizon)))
            }
        }
    }

    fn judge_nothing_left(&self, header: &BatchHeader) -> Verdict {
        match (self.rules.is_last_of_producer(header), header.records_count) {
            (false, _) => Verdict::Drop,
            (true, 0) => Verdict::Keep,
            (true, _) => Verdict::Empty,
        }
    }

    fn judge_records(&mut self, batch: &Batch) -> Result<Verdict> {
        let header = batch.header();
        if header.records_count == 0 {
            return Ok(self.judge_nothing_left(header));
        }
        let records = batch.records(&mut self.decompressor)?;
        let before = header.delete_horizon();
        let tombstones_stay = before.is_none_or(|horizon| horizon > self.rules.now_ms);
        let (mut left, mut tombstones) = (0, 0);
        let (kept, newest) = (&mut self.kept, &self.rules.newest);
        kept.clear();
        records.for_each(|record| {
            // Records without a key are none of ours: they came while the topic was not compacted.
            let is_newest = record
                .key
                .is_none_or(|key| newest.newest(key).is_none_or(|newest| newest <= record.offset));
            let is_tombstone = record.value.is_none() && record.key.is_some();
            let stays = is_newest && (tombstones_stay || !is_tombstone);
            left += usize::from(stays);
            tombstones += usize::from(stays && is_tombstone);
            kept.push(stays);
        })?;
        if left == 0 {
            return Ok(self.judge_nothing_left(header));
        }
        let horizon = match before {
            _ if tombstones == 0 => None,
            Some(horizon) => Some(horizon),
            None if header.last_offset() < self.rules.covered => Some(self.rules.new_horizon()),
            None => None,
        };
        self.horizon = self.horizon.min(horizon.unwrap_or(NO_HORIZON));
        let unchanged = left == self.kept.len() && (tombstones == 0 || horizon == before);
        Ok(if unchanged { Verdict::Keep } else { Verdict::Rewrite(records, horizon) })
    }
}
