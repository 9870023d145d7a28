//! Group commit: one sync for everyone who waits.
//!
//! Whoever finds nobody flushing becomes the leader and syncs everything that has been appended by
//! then; who comes meanwhile waits, and one of them leads the next round. There is no timer: under
//! load the rounds fill themselves, and a single writer never waits for company.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::{Ordering, Partition, Shared, Writer, guard};
use crate::environment::File;
use crate::error::Result;
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, Segment, file_name};

/// Who leads, and how far everything is durable.
pub(crate) struct GroupCommit {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    leading: bool,
    durable: i64,
}

impl GroupCommit {
    pub fn new(durable: i64) -> Self {
        GroupCommit {
            state: Mutex::new(State { leading: false, durable }),
            changed: Condvar::new(),
        }
    }
}

/// The right to flush this partition; given up when dropped.
pub(crate) struct Leadership<'a> {
    shared: &'a Shared,
}

impl Drop for Leadership<'_> {
    fn drop(&mut self) {
        guard(&self.shared.flush.state).leading = false;
        self.shared.flush.changed.notify_all();
    }
}

/// What one round makes durable.
struct Round {
    segment: Arc<Segment>,
    batches: usize,
    end: i64,
}

impl Partition {
    /// Returns when everything appended so far is durable.
    ///
    /// # Errors
    /// [`PartitionStopped`](crate::Error::PartitionStopped) if the sync fails: nothing that was
    /// appended since the last success may be taken for durable, now or ever.
    pub fn flush(&self) -> Result<()> {
        let target = self.shared.log_end.load(Ordering::Acquire);
        self.shared.flush_to(target)
    }
}

impl Shared {
    pub fn flush_to(&self, target: i64) -> Result<()> {
        match self.lead(Some(target))? {
            Some(leadership) => leadership.flush(),
            None => Ok(()),
        }
    }

    /// Waits for leadership; `None` if meanwhile everything up to `target` has become durable.
    pub fn lead(&self, target: Option<i64>) -> Result<Option<Leadership<'_>>> {
        let mut state = guard(&self.flush.state);
        loop {
            if target.is_some_and(|target| state.durable >= target) {
                return Ok(None);
            }
            self.check_running()?;
            if !state.leading {
                state.leading = true;
                return Ok(Some(Leadership { shared: self }));
            }
            state = self.flush.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Leadership if nobody has it and there is something to flush.
    fn try_lead(&self) -> Option<Leadership<'_>> {
        let mut state = guard(&self.flush.state);
        let idle = !state.leading
            && state.durable < self.log_end.load(Ordering::Acquire)
            && self.check_running().is_ok();
        idle.then(|| {
            state.leading = true;
            Leadership { shared: self }
        })
    }
}

impl Leadership<'_> {
    fn flush(&self) -> Result<()> {
        let round = self.round();
        let result = round.segment.log().sync();
        self.complete(round, result)
    }

    fn round(&self) -> Round {
        let writer = guard(&self.shared.writer);
        let segment = writer.active.clone();
        Round { batches: segment.pending(), end: segment.end().offset, segment }
    }

    fn complete(&self, round: Round, synced: std::io::Result<()>) -> Result<()> {
        self.finish(&round, synced)?;
        let mut writer = guard(&self.shared.writer);
        self.advance(&mut writer, round.end);
        drop(writer);
        self.shared.wake();
        Ok(())
    }

    fn finish(&self, round: &Round, synced: std::io::Result<()>) -> Result<()> {
        let shared = self.shared;
        let name = |suffix| shared.dir.join(file_name(round.segment.base_offset(), suffix));
        synced.map_err(|e| shared.stop("sync", &name(LOG_SUFFIX), &e))?;
        // Entries that cannot be written stay in memory, and are written with the next round's.
        if let Err(error) = round.segment.persist_entries(round.batches) {
            let path = name(INDEX_SUFFIX);
            tracing::warn!(%error, path = %path.display(), "cannot write index entries yet");
        }
        Ok(())
    }

    fn advance(&self, writer: &mut Writer, end: i64) {
        let shared = self.shared;
        shared.advance(writer, Some(end));
        shared.last_flush_ms.store(shared.environment.clock.now_ms(), Ordering::Relaxed);
        let mut state = guard(&shared.flush.state);
        state.durable = state.durable.max(end);
    }

    /// Flushes everything, with the writer held: nothing can be appended meanwhile.
    pub fn flush_held(&self, writer: &mut Writer) -> Result<()> {
        let segment = writer.active.clone();
        let end = segment.end().offset;
        if guard(&self.shared.flush.state).durable < end {
            let round = Round { batches: segment.pending(), end, segment };
            let synced = round.segment.log().sync();
            self.finish(&round, synced)?;
        } else if segment.pending() > 0
            && let Err(error) = segment.persist_entries(segment.pending())
        {
            tracing::warn!(%error, "cannot write index entries yet");
        }
        self.advance(writer, end);
        Ok(())
    }
}

/// Flushes many partitions at the same time.
///
/// # Errors
/// The first partition's that failed; the others are flushed all the same.
pub(crate) fn flush_many(partitions: &[Partition]) -> Result<()> {
    let mut rounds = Vec::new();
    let mut files: Vec<Arc<dyn File>> = Vec::new();
    for partition in partitions {
        if let Some(leadership) = partition.shared.try_lead() {
            let round = leadership.round();
            files.push(round.segment.log().clone());
            rounds.push((leadership, round));
        }
    }
    let mut result = Ok(());
    let synced = match rounds.first() {
        Some((leadership, _)) => leadership.shared.environment.files.sync_all(&files),
        None => Vec::new(),
    };
    for ((leadership, round), synced) in rounds.into_iter().zip(synced) {
        result = result.and(leadership.complete(round, synced));
    }
    // Those that somebody else was flushing, and those that have stopped.
    partitions.iter().fold(result, |result, partition| result.and(partition.flush()))
}
