//! Compaction by key: of each key the newest record stays, older ones are removed in the background.
//!
//! ```text
//!   log start            clean to             covered            active segment
//!      |  compacted before  |  dirty: sealed      | too young, or  |
//!      |                    |  since              | not decided yet|
//!      [--------------------)---------------------)---------------[-----
//!                            1 the newest offset of each key here is learned (offset map)
//!      2 all of this is written again without the records that are not the newest of their key
//! ```
//!
//! Offsets stay what they were. Where batches are removed a *hole* takes their place: a batch of 61
//! bytes without records, over all their offsets. So a segment's offsets go on without a break, however
//! much was removed; recovery, `verify` and `repair` treat it like any other, and a reader whose
//! position lies in a hole steps over it.
//!
//! # In the order of a pass
//!
//! | | |
//! |---|---|
//! | `offset_map` | newest offset by key, in a fixed amount of memory |
//! | `filter` | what stays of each batch: keys, tombstones, transactions, producers |
//! | `output` | the new segment, while it is being written aside |
//! | `swap` | how it takes the place of the old ones, all or nothing |
//! | `pass` | the steps in between |
//! | `point` | how far a partition is compacted |
//!
//! # Bounds
//!
//! One partition at a time, with one map of [`StoreOptions::compaction_memory`]: a pass covers as many dirty
//! records as have room in it, and the next goes on from there. A call of [`Store::maintain`] reads
//! [`StoreOptions::compaction_step_bytes`] and leaves the rest for the next.
//!
//! [`Store::maintain`]: crate::Store::maintain
//! [`StoreOptions::compaction_memory`]: crate::StoreOptions::compaction_memory
//! [`StoreOptions::compaction_step_bytes`]: crate::StoreOptions::compaction_step_bytes

use std::sync::Arc;

use crate::error::Result;
use crate::partition::{Partition, guard};
use crate::segment::Segment;

mod filter;
mod offset_map;
mod output;
mod pass;
mod point;
mod swap;

use pass::{Pass, Step};

pub(crate) use point::{COMPACTION_FILE, CleanPoint};
pub(crate) use swap::{CLEANED_SUFFIX, cleaned, recover, unfinished};

/// After an error, a partition is left alone for so long.
const RETRY_AFTER_MS: i64 = 60_000;

/// What compaction knows about an open partition.
#[derive(Debug, Default)]
pub(crate) struct CompactionState {
    pub point: CleanPoint,
    /// Not before this time.
    retry_at_ms: i64,
}

impl CompactionState {
    /// The state of a partition whose file says this.
    pub fn new(point: CleanPoint) -> Self {
        CompactionState { point, retry_at_ms: 0 }
    }
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compacted {
    /// Segments that were replaced.
    pub segments: usize,
    /// Bytes that there are less.
    pub bytes_removed: u64,
}

/// The memory that passes may take, and what they may read at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// For the map of keys, in bytes.
    pub memory: usize,
    /// Bytes that are read in one call.
    pub step_bytes: u64,
}

/// Compacts the partitions of a store, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Cleaner {
    pass: Option<Pass>,
}

impl Cleaner {
    /// Works for as long as the limits allow; what goes wrong in a partition is handed to `failed`.
    pub fn work(
        &mut self,
        partitions: &[Partition],
        limits: Limits,
        mut failed: impl FnMut(&Partition, crate::Error),
    ) -> Compacted {
        let mut budget = limits.step_bytes.max(1);
        let mut compacted = Compacted::default();
        while budget > 0 {
            let Some(pass) = &mut self.pass else {
                self.pass = dirtiest(partitions, limits.memory);
                match self.pass {
                    Some(_) => continue,
                    None => break,
                }
            };
            let before = pass.compacted();
            let step = pass.step(&mut budget);
            let after = pass.compacted();
            compacted.segments += after.segments - before.segments;
            compacted.bytes_removed += after.bytes_removed - before.bytes_removed;
            match step {
                Ok(Step::More) => {}
                Ok(Step::Done) => {
                    tracing::debug!(
                        partition = ?pass.partition(),
                        segments = after.segments,
                        bytes_removed = after.bytes_removed,
                        "compacted"
                    );
                    self.pass = None;
                }
                Ok(Step::Over) => self.abandon(),
                Err(error) => {
                    let partition = pass.partition().clone();
                    let now = partition.shared.environment.clock.now_ms();
                    guard(&partition.shared.compaction).retry_at_ms =
                        now.saturating_add(RETRY_AFTER_MS);
                    self.abandon();
                    failed(&partition, error);
                }
            }
        }
        compacted
    }

    /// Gives up what is under way in a partition that is closed.
    pub fn abandon_closed(&mut self) {
        if self.pass.as_ref().is_some_and(|pass| pass.partition().check_running().is_err()) {
            self.abandon();
        }
    }

    /// Gives up what is under way.
    pub fn abandon(&mut self) {
        if let Some(pass) = self.pass.take() {
            pass.abandon();
        }
    }
}

/// A pass over the partition that has most to gain by one, if there is any that should be compacted.
fn dirtiest(partitions: &[Partition], memory: usize) -> Option<Pass> {
    let candidates = partitions.iter().filter_map(|partition| {
        let candidate = Candidate::of(partition)?;
        Some((partition, candidate))
    });
    let (partition, candidate) =
        candidates.max_by(|(_, a), (_, b)| a.dirty_share().total_cmp(&b.dirty_share()))?;
    Some(Pass::new(partition.clone(), candidate.segments, candidate.dirty_from, memory))
}

/// A partition that should be compacted.
struct Candidate {
    segments: Vec<Arc<Segment>>,
    dirty_from: i64,
    dirty: u64,
    all: u64,
}

impl Candidate {
    /// `None` if there is no reason to, or not yet.
    fn of(partition: &Partition) -> Option<Self> {
        let shared = &partition.shared;
        let config = shared.config();
        if !config.cleanup_policy.compacts() || shared.check_running().is_err() {
            return None;
        }
        let now = shared.environment.clock.now_ms();
        let (point, retry_at) = {
            let state = guard(&shared.compaction);
            (state.point, state.retry_at_ms)
        };
        if now < retry_at {
            return None;
        }
        // What a recovery would read again must be what its snapshot was made from; what is not decided,
        // or too young, stays as it is.
        let offsets = shared.offsets();
        let settled = guard(&shared.recovery_point).current()?.segment.min(offsets.last_stable);
        let old_enough = now.saturating_sub_unsigned(config.min_compaction_lag_ms);
        let mut segments = shared.segments();
        segments.pop();
        let dirty_from = point.clean_to.max(offsets.log_start);
        let ready = segments.partition_point(|segment| segment.end().offset <= settled);
        segments.truncate(ready);
        let young = segments.iter().position(|segment| {
            let end = segment.end();
            end.offset > dirty_from && end.max_timestamp > old_enough
        });
        segments.truncate(young.unwrap_or(ready));
        let is_dirty = |segment: &Arc<Segment>| segment.end().offset > dirty_from;
        let size = |segment: &Arc<Segment>| segment.end().position;
        let all = segments.iter().map(size).sum();
        let dirty = segments.iter().filter(|segment| is_dirty(segment)).map(size).sum();
        let candidate = Candidate { segments, dirty_from, dirty, all };
        let overdue = || {
            let first = candidate.segments.iter().find(|segment| is_dirty(segment))?;
            let oldest = first.first_timestamp().ok().flatten()?;
            Some(
                now.saturating_sub(oldest)
                    > config.max_compaction_lag_ms.min(i64::MAX as u64) as i64,
            )
        };
        let waited_for =
            pass::waits(point) && point.horizon <= now && !candidate.segments.is_empty();
        let due = config.min_cleanable_dirty_ratio.is_exceeded(dirty, all)
            || (dirty > 0 && overdue().unwrap_or(false))
            || waited_for;
        due.then_some(candidate)
    }

    fn dirty_share(&self) -> f64 {
        self.dirty as f64 / self.all.max(1) as f64
    }
}

/// Reads what is known of the compaction of the partition in a folder.
pub(crate) fn open(
    files: &dyn crate::environment::Files,
    dir: &std::path::Path,
) -> CompactionState {
    CompactionState::new(CleanPoint::read(files, dir))
}

/// Checks the bytes of a partition's file about its compaction.
///
/// # Errors
/// `DamagedFile`.
pub(crate) fn check_file(bytes: &[u8]) -> Result<()> {
    CleanPoint::decode(COMPACTION_FILE, bytes).map(|_| ())
}

#[cfg(test)]
#[path = "compaction/tests.rs"]
mod tests;
