//! One pass over a partition, in steps: first the newest offsets of the keys in its dirty part are learned, then
//! all of it, from the log's start on, is written again without what they make superfluous.

use std::ops::Range;
use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use super::filter::{Aborted, Filter, NO_HORIZON, Rules, Verdict};
use super::offset_map::OffsetMap;
use super::output::Output;
use super::point::CleanPoint;
use super::{Compacted, swap};
use crate::batch::{Batch, BatchRewriter, emptied};
use crate::compression::Decompressor;
use crate::error::Result;
use crate::partition::{Partition, Shared, guard};
use crate::segment::{Segment, SegmentError};

/// How much is read at once.
const READ_BYTES: usize = 1 << 20;

/// What a step came to.
#[derive(Debug)]
pub(super) enum Step {
    /// There is more to do.
    More,
    /// The pass is over.
    Done,
    /// The partition is not what it was when the pass began: it has to begin anew.
    Over,
}

enum Phase {
    /// Learning the newest offsets; everything below the offset was looked at.
    Learning { at: i64, newest: OffsetMap },
    /// Writing segments again.
    Writing(Box<Writing>),
}

struct Writing {
    filter: Filter,
    rewriter: BatchRewriter,
    /// Which segments are written as one.
    group: Range<usize>,
    /// The next batch.
    at: i64,
    /// Index of the segment whose aborted transactions the filter knows.
    begun: Option<usize>,
    output: Option<Output>,
    /// Whether a batch of the group will be different.
    changed: bool,
    /// Offsets of markers that are not in the output any more.
    gone: Vec<i64>,
    batch: Vec<u8>,
}

/// See the module.
pub(super) struct Pass {
    partition: Partition,
    /// From the first of the log to the last that is compacted.
    segments: Vec<Arc<Segment>>,
    /// Where the dirty part begins.
    dirty_from: i64,
    /// The first offset that this pass does not cover.
    covered: i64,
    now_ms: i64,
    phase: Phase,
    compacted: Compacted,
}

impl Pass {
    /// A pass over these segments, of which the part from `dirty_from` on was never compacted. The map of keys
    /// takes at most `memory` bytes.
    pub fn new(
        partition: Partition,
        segments: Vec<Arc<Segment>>,
        dirty_from: i64,
        memory: usize,
    ) -> Self {
        let environment = &partition.shared.environment;
        let covered = segments.last().map_or(dirty_from, |last| last.end().offset.max(dirty_from));
        let seeds = [environment.random.next_u64(), environment.random.next_u64()];
        let keys = covered.saturating_sub(dirty_from).max(0) as u64;
        let newest = OffsetMap::new(keys, memory, seeds);
        let now_ms = environment.clock.now_ms();
        Pass {
            partition,
            segments,
            dirty_from,
            covered,
            now_ms,
            phase: Phase::Learning { at: dirty_from, newest },
            compacted: Compacted::default(),
        }
    }

    pub fn partition(&self) -> &Partition {
        &self.partition
    }

    /// What the pass has done so far.
    pub fn compacted(&self) -> Compacted {
        self.compacted
    }

    /// Works until `budget` bytes were read, or the pass is over.
    ///
    /// # Errors
    /// What reading and writing segments gives; the pass cannot go on then.
    pub fn step(&mut self, budget: &mut u64) -> Result<Step> {
        let partition = self.partition.clone();
        let shared = &*partition.shared;
        while *budget > 0 {
            if shared.check_running().is_err() || !shared.config().cleanup_policy.compacts() {
                return Ok(Step::Over);
            }
            let step = match &mut self.phase {
                Phase::Learning { .. } => self.learn(shared, budget)?,
                Phase::Writing(_) => self.write(shared, budget)?,
            };
            match step {
                Step::More => {}
                Step::Done | Step::Over => return Ok(step),
            }
        }
        Ok(Step::More)
    }

    /// Gives the pass up: removes what it has not finished.
    pub fn abandon(self) {
        let Phase::Writing(writing) = self.phase else { return };
        let (Some(output), shared) = (writing.output, &self.partition.shared) else { return };
        // A partition that has stopped in the middle of a swap needs these files when it is opened again.
        if self.partition.stopped().is_some() {
            return;
        }
        let base = output.base();
        drop(output);
        if let Err(error) = swap::discard(&*shared.environment.files, &shared.dir, base) {
            tracing::warn!(%error, "files of an interrupted compaction stay until the next open");
        }
    }

    fn learn(&mut self, shared: &Shared, budget: &mut u64) -> Result<Step> {
        let Phase::Learning { at, newest } = &mut self.phase else { return Ok(Step::More) };
        let Some(index) = segment_of(&self.segments, *at) else {
            let Phase::Learning { newest, .. } =
                std::mem::replace(&mut self.phase, nothing_learned())
            else {
                return Ok(Step::Over);
            };
            return Ok(self.begin_writing(shared, newest));
        };
        let Some(bytes) = read(shared, &self.segments, index, *at, budget)? else {
            return Ok(Step::Over);
        };
        let aborted = {
            let segment = &self.segments[index];
            let aborted = shared.aborted.read().unwrap_or_else(PoisonError::into_inner);
            Aborted::new(aborted.aborted_in(segment.base_offset(), segment.end().offset))
        };
        let mut rest = bytes;
        let mut decompressor = Decompressor::default();
        let mut full_at = None;
        while !rest.is_empty() && full_at.is_none() {
            let batch = Batch::parse_first(&mut rest)?;
            *at = batch.header().next_offset();
            if batch.header().attributes.is_control() || aborted.has(batch.header()) {
                continue;
            }
            for record in batch.records(&mut decompressor)?.iter() {
                let record = record?;
                let Some(key) = record.key.filter(|_| record.offset >= self.dirty_from) else {
                    continue;
                };
                if !newest.insert(key, record.offset) {
                    full_at = Some(record.offset);
                    break;
                }
            }
        }
        if let Some(offset) = full_at {
            // The rest is for the next pass.
            self.covered = offset;
            self.segments.retain(|segment| segment.base_offset() < offset);
            *at = i64::MAX;
        }
        Ok(Step::More)
    }

    fn begin_writing(&mut self, shared: &Shared, newest: OffsetMap) -> Step {
        let rules = Rules {
            newest,
            covered: self.covered,
            now_ms: self.now_ms,
            delete_retention_ms: shared.config().delete_retention_ms,
            last: Rules::last_batches(&guard(&shared.writer).states),
        };
        self.phase = Phase::Writing(Box::new(Writing {
            filter: Filter::new(rules),
            rewriter: BatchRewriter::default(),
            group: 0..0,
            at: self.segments.first().map_or(0, |first| first.base_offset()),
            begun: None,
            output: None,
            changed: false,
            gone: Vec::new(),
            batch: Vec::new(),
        }));
        Step::More
    }

    fn write(&mut self, shared: &Shared, budget: &mut u64) -> Result<Step> {
        let Phase::Writing(writing) = &mut self.phase else { return Ok(Step::More) };
        if writing.output.is_none() {
            if writing.group.end == self.segments.len() {
                return self.finish(shared);
            }
            let first = writing.group.end;
            writing.group = first..first + 1;
            let base = self.segments[first].base_offset();
            (writing.at, writing.changed) = (base, false);
            writing.gone.clear();
            let files = &*shared.environment.files;
            writing.output = Some(Output::create(files, &shared.dir, base)?);
        }
        let of_group = &self.segments[writing.group.clone()];
        let Some(index) = segment_of(of_group, writing.at) else {
            // What is left of small segments becomes one.
            let written = writing.output.as_ref().map_or(0, Output::size_bytes);
            let next = self.segments.get(writing.group.end).map(|next| next.end().position);
            if next.is_some_and(|next| written + next <= shared.config().segment_bytes) {
                writing.group.end += 1;
                writing.changed = true;
                return Ok(Step::More);
            }
            return self.swap(shared);
        };
        let index = writing.group.start + index;
        if writing.begun.replace(index) != Some(index) {
            let segment = &self.segments[index];
            let aborted = shared.aborted.read().unwrap_or_else(PoisonError::into_inner);
            let found = aborted.aborted_in(segment.base_offset(), segment.end().offset);
            writing.filter.begin_segment(found);
        }
        let Some(bytes) = read(shared, &self.segments, index, writing.at, budget)? else {
            return Ok(Step::Over);
        };
        writing.filter_batches(bytes)?;
        Ok(Step::More)
    }

    /// A group is written: it takes the place of what it was made from, if anything is different.
    fn swap(&mut self, shared: &Shared) -> Result<Step> {
        let Phase::Writing(writing) = &mut self.phase else { return Ok(Step::More) };
        let Some(output) = writing.output.take() else { return Ok(Step::More) };
        let old = &self.segments[writing.group.clone()];
        if !writing.changed {
            let base = output.base();
            drop(output);
            swap::discard(&*shared.environment.files, &shared.dir, base)?;
            return Ok(Step::More);
        }
        let before: u64 = old.iter().map(|segment| segment.end().position).sum();
        let new = output.finish()?;
        let after = new.end().position;
        let replaced = old.len();
        if !swap::swap_in(shared, old, new, &writing.gone)? {
            return Ok(Step::Over);
        }
        self.compacted.segments += replaced;
        self.compacted.bytes_removed += before.saturating_sub(after);
        Ok(Step::More)
    }

    fn finish(&mut self, shared: &Shared) -> Result<Step> {
        let Phase::Writing(writing) = &self.phase else { return Ok(Step::Over) };
        let point = CleanPoint { clean_to: self.covered, horizon: writing.filter.horizon };
        point.write(&*shared.environment.files, &shared.dir)?;
        guard(&shared.compaction).point = point;
        Ok(Step::Done)
    }
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass")
            .field("partition", &self.partition)
            .field("segments", &self.segments.len())
            .field("covered", &self.covered)
            .finish_non_exhaustive()
    }
}

impl Writing {
    fn filter_batches(&mut self, mut rest: Bytes) -> Result<()> {
        let Some(output) = &mut self.output else { return Ok(()) };
        while !rest.is_empty() {
            let batch = Batch::parse_first(&mut rest)?;
            let header = batch.header();
            self.at = header.next_offset();
            self.batch.clear();
            match self.filter.judge(&batch)? {
                Verdict::Keep => {
                    output.put(batch.bytes())?;
                    continue;
                }
                Verdict::Rewrite(records, horizon) => {
                    let kept = self.filter.kept();
                    self.rewriter.rewrite(&records, kept, horizon, &mut self.batch)?;
                    output.put(&self.batch)?;
                }
                Verdict::Empty => {
                    emptied(header, &mut self.batch);
                    output.put(&self.batch)?;
                }
                Verdict::Drop => {
                    output.skip(header);
                    if header.attributes.is_control() {
                        self.gone.push(header.base_offset);
                    } else if crate::batch::is_hole(header) {
                        // It is a hole again: nothing is different by that.
                        continue;
                    }
                }
            }
            self.changed = true;
        }
        Ok(())
    }
}

fn nothing_learned() -> Phase {
    Phase::Learning { at: i64::MAX, newest: OffsetMap::new(0, 0, [0, 0]) }
}

/// Which segment holds this offset.
fn segment_of(segments: &[Arc<Segment>], offset: i64) -> Option<usize> {
    let at = segments.partition_point(|segment| segment.end().offset <= offset);
    (at < segments.len()).then_some(at)
}

/// The next batches of a segment, from the one that holds `at` on; `None` if retention has removed it meanwhile.
fn read(
    shared: &Shared,
    segments: &[Arc<Segment>],
    index: usize,
    at: i64,
    budget: &mut u64,
) -> Result<Option<Bytes>> {
    let segment = &segments[index];
    if !shared.is_current(segment) {
        return Ok(None);
    }
    let damaged = |e: SegmentError| e.into_error(&shared.topic, shared.partition);
    let entries = segment.entries_from(at, READ_BYTES, i64::MAX).map_err(damaged)?;
    let bytes = segment.batches(&entries).map_err(damaged)?;
    *budget = budget.saturating_sub(bytes.len().max(1) as u64);
    // Offsets of sealed segments go on without a break: where one is, there is a batch.
    Ok((!bytes.is_empty()).then_some(bytes))
}

/// Whether tombstones or markers wait for their time to be over.
pub(super) fn waits(point: CleanPoint) -> bool {
    point.horizon != NO_HORIZON
}
