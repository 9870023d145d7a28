//! The log of one partition: segments in a row, and the offsets that readers go by.
//!
//! ```text
//!   log start          last stable      high watermark        log end
//!      |   sealed segments  |   active segment |                  |
//!      [-----------------][-+------------------+------------------]
//!       readable: committed-|                  |- appended, not durable yet
//!                 uncommitted -----------------|
//! ```
//!
//! - `append` writes at the log end; nobody sees it yet.
//! - `flush` makes all of it durable, once for everyone who waits, and moves the high watermark.
//!   (Topics that are flushed in the background show appends at once.)
//! - The last stable offset follows the high watermark, but stops at the first open transaction.
//! - Retention moves the log start.
//! - Compaction puts segments with fewer records in the place of others; see [`compaction`](crate::compaction).
//!
//! After a failed sync or write the partition stops: it answers reads, and refuses everything else
//! until the store is opened again, because nobody knows what is on the disk.
//!
//! Locks are taken in this order: leadership of a flush, the writer, the right to reshape, the segments;
//! each is held as shortly as its name says.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::task::Waker;

use crate::aborted::AbortedIndex;
use crate::compaction::CompactionState;
use crate::environment::{Environment, LockGuard};
use crate::error::{Error, Result};
use crate::producer_state::{ProducerStates, Rejection};
use crate::segment::Segment;
use crate::topic::{FlushMode, TopicConfig};
use crate::transaction::ProducerIdentity;

mod append;
mod flush;
mod read;
mod recovery;
mod recovery_point;
mod retention;
mod scan;

pub use append::Appended;
pub use read::{Fetch, Isolation};

pub(crate) use append::LEADER_EPOCH;
pub(crate) use flush::flush_many;
pub(crate) use recovery::{Place, create, open};
pub(crate) use recovery_point::{RECOVERY_POINT_FILE, RecoveryPoint, SNAPSHOT_FILE, read_slots};
pub(crate) use retention::{TEMPORARY_SUFFIX, TXNINDEX_SUFFIX, write_whole};

/// The frontiers of a partition. `log_start <= last_stable <= high_watermark <= log_end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// First offset that is kept.
    pub log_start: i64,
    /// Where `read_committed` readers stop.
    pub last_stable: i64,
    /// Where `read_uncommitted` readers stop.
    pub high_watermark: i64,
    /// The offset that the next record will get.
    pub log_end: i64,
}

/// Decides whether a producer may still write, beyond what this partition knows about it: whether
/// another instance has taken its id over.
pub(crate) trait Fence: Send + Sync + fmt::Debug {
    /// `Err` if a batch of this producer has to be refused.
    fn check(&self, identity: ProducerIdentity, transactional: bool) -> Result<(), Rejection>;
}

/// A partition of a topic. Cloning shares it; it stays usable until the store is closed.
#[derive(Clone)]
pub struct Partition {
    pub(crate) shared: Arc<Shared>,
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partition({}-{})", self.shared.topic, self.shared.partition)
    }
}

/// What the one writer at a time works with.
pub(crate) struct Writer {
    pub active: Arc<Segment>,
    /// When the active segment got its first batch, by the store's clock.
    pub active_since_ms: i64,
    pub states: ProducerStates,
}

/// A reader that waits for a frontier to pass an offset.
struct Waiter {
    seen: i64,
    isolation: Isolation,
    waker: Waker,
}

pub(crate) struct Shared {
    pub topic: String,
    pub partition: u32,
    pub dir: PathBuf,
    pub environment: Environment,
    pub config: RwLock<TopicConfig>,
    pub writer: Mutex<Writer>,
    /// All segments in order; the last is the active one.
    pub segments: RwLock<Vec<Arc<Segment>>>,
    pub aborted: RwLock<AbortedIndex>,
    pub flush: flush::GroupCommit,
    pub recovery_point: Mutex<recovery_point::RecoveryPointFile>,
    pub compaction: Mutex<CompactionState>,
    /// Held while segments are removed or replaced: by retention and by compaction.
    pub reshaping: Mutex<()>,
    log_start: AtomicI64,
    last_stable: AtomicI64,
    high_watermark: AtomicI64,
    log_end: AtomicI64,
    /// Time of the last flush, in milliseconds of the store's clock.
    last_flush_ms: AtomicI64,
    waiters: Mutex<Vec<Waiter>>,
    stopped: OnceLock<String>,
    closed: AtomicBool,
    /// Set once by the store; partitions of the store's own have none.
    fence: OnceLock<Arc<dyn Fence>>,
    /// Bytes appended since the recovery point was written.
    unpointed: AtomicU64,
    /// The store's lock lives as long as anybody can write.
    _lock: Option<Arc<dyn LockGuard>>,
}

pub(crate) fn guard<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every writer leaves the state whole before anything that can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What recovery found; the start of a [`Shared`].
pub(crate) struct Recovered {
    pub segments: Vec<Arc<Segment>>,
    pub active: Arc<Segment>,
    pub states: ProducerStates,
    pub aborted: AbortedIndex,
    pub recovery_point: recovery_point::RecoveryPointFile,
    pub compaction: CompactionState,
    pub log_start: i64,
    /// Bytes behind the recovery point.
    pub checked: u64,
    /// Producer states or aborted transactions had to be read from all batches.
    pub rebuilt: bool,
}

impl Partition {
    pub(crate) fn assemble(place: Place<'_>, config: TopicConfig, recovered: Recovered) -> Self {
        let Recovered {
            segments,
            active,
            mut states,
            aborted,
            recovery_point,
            compaction,
            log_start,
            checked,
            rebuilt: _,
        } = recovered;
        let log_end = active.end().offset;
        let now = place.environment.clock.now_ms();
        states.on_high_watermark(log_end);
        let last_stable = states.transactions().last_stable_offset(log_end);
        let writer = Writer { active, active_since_ms: now, states };
        let shared = Shared {
            topic: place.topic.to_owned(),
            partition: place.partition,
            dir: place.dir,
            environment: place.environment.clone(),
            config: RwLock::new(config),
            writer: Mutex::new(writer),
            segments: RwLock::new(segments),
            aborted: RwLock::new(aborted),
            flush: flush::GroupCommit::new(log_end),
            recovery_point: Mutex::new(recovery_point),
            compaction: Mutex::new(compaction),
            reshaping: Mutex::new(()),
            log_start: AtomicI64::new(log_start),
            last_stable: AtomicI64::new(last_stable),
            high_watermark: AtomicI64::new(log_end),
            log_end: AtomicI64::new(log_end),
            last_flush_ms: AtomicI64::new(now),
            waiters: Mutex::new(Vec::new()),
            stopped: OnceLock::new(),
            closed: AtomicBool::new(false),
            fence: OnceLock::new(),
            unpointed: AtomicU64::new(checked),
            _lock: place.lock,
        };
        Partition { shared: Arc::new(shared) }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.shared.topic
    }

    /// The partition's number, from 0.
    pub fn index(&self) -> u32 {
        self.shared.partition
    }

    /// The frontiers as they are now.
    pub fn offsets(&self) -> Offsets {
        self.shared.offsets()
    }

    /// Bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.shared.segments().iter().map(|segment| segment.end().position).sum()
    }

    /// Number of segments, the active one included.
    pub fn segment_count(&self) -> usize {
        self.shared.segments().len()
    }

    /// Why the partition has stopped, if it has.
    pub fn stopped(&self) -> Option<&str> {
        self.shared.stopped.get().map(String::as_str)
    }

    /// `Err` if the partition has stopped: whoever waits for more of it waits in vain.
    pub(crate) fn check_running(&self) -> Result<()> {
        self.shared.check_running()
    }

    /// Asks to be woken, once, when the frontier that readers of this isolation go by passes `seen`.
    ///
    /// Returns `false`, and keeps nothing, if it has passed already (there is something to read), or
    /// if the partition is closed or stopped: nothing will come. A partition that stops wakes everybody.
    pub fn wake_on_advance(&self, seen: i64, isolation: Isolation, waker: &Waker) -> bool {
        let shared = &self.shared;
        let mut waiters = guard(&shared.waiters);
        let over = shared.closed.load(Ordering::Acquire) || shared.stopped.get().is_some();
        if shared.frontier(isolation) > seen || over {
            return false;
        }
        let waits =
            |w: &Waiter| w.seen == seen && w.isolation == isolation && w.waker.will_wake(waker);
        if !waiters.iter().any(waits) {
            waiters.push(Waiter { seen, isolation, waker: waker.clone() });
        }
        true
    }

    /// Sets who decides on fenced producers; the first call wins.
    pub(crate) fn set_fence(&self, fence: Arc<dyn Fence>) {
        let _ = self.shared.fence.set(fence);
    }

    /// Looks at the partition's producers and open transactions.
    pub(crate) fn with_states<T>(&self, look: impl FnOnce(&ProducerStates) -> T) -> T {
        look(&guard(&self.shared.writer).states)
    }

    /// Forgets producers that last wrote before this time and have no open transaction.
    pub(crate) fn expire_producers(&self, before_ms: i64) {
        guard(&self.shared.writer).states.expire(before_ms);
    }

    pub(crate) fn set_config(&self, config: TopicConfig) {
        *self.shared.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

impl Shared {
    pub fn offsets(&self) -> Offsets {
        // In the order in which they may rise while this looks, so that they are never seen crossed.
        let log_start = self.log_start.load(Ordering::Acquire);
        let last_stable = self.last_stable.load(Ordering::Acquire);
        let high_watermark = self.high_watermark.load(Ordering::Acquire);
        let log_end = self.log_end.load(Ordering::Acquire);
        Offsets { log_start, last_stable: last_stable.max(log_start), high_watermark, log_end }
    }

    pub fn frontier(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark.load(Ordering::Acquire),
            Isolation::ReadCommitted => self.last_stable.load(Ordering::Acquire),
        }
    }

    pub fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a segment is still one of the partition's: neither removed nor replaced.
    pub fn is_current(&self, segment: &Arc<Segment>) -> bool {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let at = segments.partition_point(|s| s.base_offset() < segment.base_offset());
        segments.get(at).is_some_and(|found| Arc::ptr_eq(found, segment))
    }

    pub fn config(&self) -> TopicConfig {
        self.config.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn flush_mode(&self) -> FlushMode {
        self.config.read().unwrap_or_else(PoisonError::into_inner).flush_mode
    }

    /// `Err` if the partition takes nothing more.
    pub fn check_running(&self) -> Result<()> {
        if let Some(cause) = self.stopped.get() {
            return Err(Error::PartitionStopped {
                topic: self.topic.clone(),
                partition: self.partition,
                cause: cause.clone(),
            });
        }
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        Ok(())
    }

    /// Stops the partition: nothing is appended or acknowledged from now on.
    pub fn stop(&self, action: &str, path: &Path, error: &std::io::Error) -> Error {
        let cause = format!("an error ({action} {}: {error})", path.display());
        tracing::error!(topic = self.topic, partition = self.partition, cause, "partition stopped");
        let cause = self.stopped.get_or_init(|| cause).clone();
        self.wake_all();
        Error::PartitionStopped { topic: self.topic.clone(), partition: self.partition, cause }
    }

    /// Moves the frontiers after an append, a flush or a marker, and wakes whom that concerns.
    /// `durable_to` is the end of what is durable, if that is what happened.
    fn advance(&self, writer: &mut Writer, durable_to: Option<i64>) {
        let log_end = writer.active.end().offset;
        self.log_end.store(log_end, Ordering::Release);
        let high_watermark = match (self.flush_mode(), durable_to) {
            (FlushMode::Commit, Some(durable)) => durable,
            (FlushMode::Commit, None) => self.high_watermark.load(Ordering::Acquire),
            _ => log_end,
        };
        let high_watermark = high_watermark.max(self.high_watermark.load(Ordering::Acquire));
        self.high_watermark.store(high_watermark, Ordering::Release);
        writer.states.on_high_watermark(high_watermark);
        let stable = writer.states.transactions().last_stable_offset(high_watermark);
        self.last_stable.store(stable, Ordering::Release);
    }

    /// Wakes the readers whose frontier has passed what they had seen. Called without locks: a waker
    /// may do anything.
    fn wake(&self) {
        let ready: Vec<Waiter> = {
            let mut waiters = guard(&self.waiters);
            if waiters.is_empty() {
                return;
            }
            waiters.extract_if(.., |w| self.frontier(w.isolation) > w.seen).collect()
        };
        ready.into_iter().for_each(|waiter| waiter.waker.wake());
    }

    fn wake_all(&self) {
        let all = std::mem::take(&mut *guard(&self.waiters));
        all.into_iter().for_each(|waiter| waiter.waker.wake());
    }

    /// Refuses everything from now on, and wakes all readers.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake_all();
    }
}

#[cfg(test)]
#[path = "partition/tests.rs"]
mod tests;
