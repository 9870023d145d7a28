//! Reading: follows any number of partitions, each from its own position, and waits without polling.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::time::Duration;

use crate::aborted::AbortedTransaction;
use crate::batch::Batch;
use crate::compression::Decompressor;
use crate::environment::Clock;
use crate::error::{Error, Result};
use crate::partition::{Isolation, Partition};
use crate::record::Record;
use crate::store::Store;

/// Where to begin reading a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// At the oldest record that is there.
    Earliest,
    /// Behind the newest record that the consumer's isolation lets it see: only what comes from now on.
    Latest,
    /// At this offset.
    Offset(i64),
    /// At the first record of this time or later, in milliseconds since the Unix epoch; behind the
    /// newest if there is none yet.
    Timestamp(i64),
}

/// What to do when the position is outside of what the partition holds, because retention removed it
/// or because it was never there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutOfRange {
    /// Report [`Error::OffsetOutOfRange`]: nothing is skipped behind anybody's back.
    #[default]
    Fail,
    /// Go on at the oldest record that is there.
    Earliest,
    /// Go on with what comes from now on.
    Latest,
}

/// How a [`Consumer`] reads.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// Whether records of open and aborted transactions are seen. Default: they are not.
    pub isolation: Isolation,
    /// About how many bytes one poll returns altogether, as stored. Default 8 MiB.
    pub max_bytes: usize,
    /// About how many bytes one poll returns from each partition, as stored; at least one batch.
    /// Default 1 MiB.
    pub max_partition_bytes: usize,
    /// What to do about a position that is not there. Default: fail.
    pub out_of_range: OutOfRange,
}

impl Default for ConsumerConfig {
    fn default() -> Self {
        ConsumerConfig {
            isolation: Isolation::ReadCommitted,
            max_bytes: 8 << 20,
            max_partition_bytes: 1 << 20,
            out_of_range: OutOfRange::Fail,
        }
    }
}

/// One batch that a [`Consumer`] has read.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// The batch, whole and as stored. It may begin before the consumer's position.
    pub batch: Batch,
    /// Where the consumer's position was: records below it are not to be looked at.
    /// [`Fetched::for_each`] leaves them out.
    pub from_offset: i64,
}

impl Fetched {
    /// Calls `each` with every record from the consumer's position on.
    ///
    /// # Errors
    /// As [`Batch::records`] and [`Records::for_each`](crate::Records::for_each).
    pub fn for_each(
        &self,
        decompressor: &mut Decompressor,
        mut each: impl FnMut(Record<'_>),
    ) -> Result<()> {
        let records = self.batch.records(decompressor)?;
        if self.batch.base_offset() >= self.from_offset {
            return records.for_each(each);
        }
        records.for_each(|record| {
            if record.offset >= self.from_offset {
                each(record);
            }
        })
    }
}

/// Reads batches from the partitions that it is assigned.
///
/// Control batches never come out of it, nor, when it reads committed records only, do batches of
/// aborted transactions. A position moves when [`Consumer::poll`] returns what lies before it; where
/// it should go on after a restart is for the caller to keep.
///
/// ```no_run
/// # use std::time::Duration;
/// # use riverrun_log_store::{Consumer, ConsumerConfig, Decompressor, Position, Store, StoreOptions};
/// let store = Store::open("riverrun-data", StoreOptions::default())?;
/// let mut consumer = Consumer::new(&store, ConsumerConfig::default());
/// consumer.assign("nginx", 0, Position::Earliest)?;
/// let mut decompressor = Decompressor::new();
/// for fetched in consumer.poll(Duration::from_secs(1))? {
///     fetched.for_each(&mut decompressor, |record| println!("{}", record.offset))?;
/// }
/// # Ok::<(), riverrun_log_store::Error>(())
/// ```
#[derive(Debug)]
pub struct Consumer {
    store: Store,
    clock: Arc<dyn Clock>,
    config: ConsumerConfig,
    assigned: Vec<Assigned>,
    /// The partition that the next poll begins with, so that none starves behind a busy one.
    next: usize,
    bell: Arc<Bell>,
    waker: Waker,
}

#[derive(Debug)]
struct Assigned {
    topic: Arc<str>,
    index: u32,
    partition: Partition,
    position: i64,
}

impl Consumer {
    /// A consumer of `store`'s records that is assigned no partition yet.
    pub fn new(store: &Store, config: ConsumerConfig) -> Consumer {
        let bell = Arc::new(Bell::default());
        Consumer {
            store: store.clone(),
            clock: store.environment().clock.clone(),
            config,
            assigned: Vec::new(),
            next: 0,
            waker: Waker::from(bell.clone()),
            bell,
        }
    }

    /// Adds a partition, or moves the position in one that is assigned already.
    ///
    /// # Errors
    /// [`Error::UnknownTopic`], [`Error::UnknownPartition`], or what the partition itself reports. An
    /// offset that is not there is reported by the next poll.
    pub fn assign(&mut self, topic: &str, partition: u32, position: Position) -> Result<()> {
        let handle = self.store.partition(topic, partition)?;
        let position = self.resolve(&handle, position)?;
        match self.find_mut(topic, partition) {
            Some(assigned) => assigned.position = position,
            None => self.assigned.push(Assigned {
                topic: topic.into(),
                index: partition,
                partition: handle,
                position,
            }),
        }
        Ok(())
    }

    /// Adds all partitions of a topic, and returns how many there are.
    ///
    /// # Errors
    /// As [`Consumer::assign`].
    pub fn assign_all(&mut self, topic: &str, position: Position) -> Result<u32> {
        let partitions = self.store.topic(topic)?.config.partitions;
        for partition in 0..partitions {
            self.assign(topic, partition, position)?;
        }
        Ok(partitions)
    }

    /// Takes a partition away, and tells whether it was assigned.
    pub fn unassign(&mut self, topic: &str, partition: u32) -> bool {
        let before = self.assigned.len();
        self.assigned.retain(|assigned| !assigned.is(topic, partition));
        self.assigned.len() < before
    }

    /// The partitions that are assigned, with the offset that each is to read next.
    pub fn positions(&self) -> impl Iterator<Item = (&str, u32, i64)> {
        self.assigned.iter().map(|assigned| (&*assigned.topic, assigned.index, assigned.position))
    }

    /// The offset to read next; `None` if the partition is not assigned.
    pub fn position(&self, topic: &str, partition: u32) -> Option<i64> {
        let mut all = self.assigned.iter();
        all.find(|assigned| assigned.is(topic, partition)).map(|assigned| assigned.position)
    }

    /// How many offsets lie between the position and the end of what can be seen now, in all
    /// partitions together. Offsets of markers and aborted records count until they are passed.
    pub fn lag(&self) -> u64 {
        let isolation = self.config.isolation;
        let lag = |assigned: &Assigned| {
            visible_end(&assigned.partition, isolation).saturating_sub(assigned.position).max(0)
        };
        self.assigned.iter().map(|assigned| lag(assigned) as u64).sum()
    }

    /// Returns what there is to read, in offset order within each partition, and moves the positions
    /// behind it. If there is nothing, waits until there is or until `timeout` has passed; the result
    /// is then empty. With a timeout of zero it does not wait.
    ///
    /// # Errors
    /// What a partition reports, e.g. [`Error::Damaged`] or [`Error::OffsetOutOfRange`]; and, when it
    /// waits, [`Error::Closed`] or [`Error::UnknownTopic`] once that becomes true. The position in that
    /// partition stays where it is, so the error comes again; the others can be read by polling on,
    /// and nothing of theirs is lost.
    pub fn poll(&mut self, timeout: Duration) -> Result<Vec<Fetched>> {
        // Polling without waiting is not to need a clock.
        let deadline = (!timeout.is_zero()).then(|| self.clock.monotonic().saturating_add(timeout));
        loop {
            self.bell.reset();
            let fetched = self.fetch()?;
            if !fetched.is_empty() {
                return Ok(fetched);
            }
            let Some(deadline) = deadline else { return Ok(fetched) };
            let left = deadline.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return Ok(fetched);
            }
            let waker = self.waker.clone();
            if self.register(&waker) {
                self.bell.wait(left);
            } else {
                self.reopen()?;
            }
        }
    }

    /// A partition that was closed, because its topic was deleted or the store closed, lets nobody wait:
    /// either that is the error to report, or there is a new topic of that name. Nor does one that has stopped,
    /// once everything that can be seen of it was read.
    fn reopen(&mut self) -> Result<()> {
        let isolation = self.config.isolation;
        for assigned in &mut self.assigned {
            assigned.partition = self.store.partition(&assigned.topic, assigned.index)?;
            if visible_end(&assigned.partition, isolation) <= assigned.position {
                assigned.partition.check_running()?;
            }
        }
        Ok(())
    }

    /// Has `waker` woken, once, when there is something to read in any assigned partition. Returns
    /// `false`, and may not have registered it, if there is something already.
    pub fn register(&self, waker: &Waker) -> bool {
        let isolation = self.config.isolation;
        self.assigned
            .iter()
            .all(|assigned| assigned.partition.wake_on_advance(assigned.position, isolation, waker))
    }

    fn fetch(&mut self) -> Result<Vec<Fetched>> {
        let mut fetched = Vec::new();
        let mut room = self.config.max_bytes;
        let (first, count) = (self.next, self.assigned.len());
        self.next = (first + 1) % count.max(1);
        for turn in 0..count {
            if room == 0 {
                break;
            }
            let at = (first + turn) % count;
            let taken = fetched.len();
            match self.fetch_partition(at, room, &mut fetched) {
                Ok((position, bytes)) => {
                    self.assigned[at].position = position;
                    room = room.saturating_sub(bytes);
                }
                Err(error) if taken == 0 => {
                    // The next poll begins behind it: the others are not to suffer.
                    self.next = (at + 1) % count;
                    return Err(error);
                }
                Err(_) => {
                    // First what the others have; the next poll begins here and reports it.
                    fetched.truncate(taken);
                    self.next = at;
                    break;
                }
            }
        }
        Ok(fetched)
    }

    /// Reads one partition until there is something for the caller or nothing more; returns the new
    /// position and how many bytes were read.
    fn fetch_partition(
        &self,
        at: usize,
        room: usize,
        fetched: &mut Vec<Fetched>,
    ) -> Result<(i64, usize)> {
        let assigned = &self.assigned[at];
        let limit = self.config.max_partition_bytes.min(room);
        let mut position = assigned.position;
        let found_before = fetched.len();
        let mut bytes = 0;
        while fetched.len() == found_before {
            let read = assigned.partition.read(position, limit, self.config.isolation);
            let fetch = match read {
                Ok(fetch) => fetch,
                Err(error @ Error::OffsetOutOfRange { .. }) => {
                    let reset = match self.config.out_of_range {
                        OutOfRange::Fail => return Err(error),
                        OutOfRange::Earliest => Position::Earliest,
                        OutOfRange::Latest => Position::Latest,
                    };
                    let reset = self.resolve(&assigned.partition, reset)?;
                    if reset == position {
                        return Err(error);
                    }
                    tracing::warn!(%error, position = reset, "the consumer goes on elsewhere");
                    position = reset;
                    continue;
                }
                Err(error) => return Err(error),
            };
            bytes += fetch.bytes.len();
            let from_offset = position;
            for batch in fetch.batches {
                position = batch.header().next_offset();
                if self.is_visible(&batch, &fetch.aborted) {
                    fetched.push(Fetched {
                        topic: assigned.topic.clone(),
                        partition: assigned.index,
                        batch,
                        from_offset,
                    });
                }
            }
            // Nothing was there at all; or else all of it was invisible, and there may be more.
            if position == from_offset {
                break;
            }
        }
        Ok((position, bytes))
    }

    fn is_visible(&self, batch: &Batch, aborted: &[AbortedTransaction]) -> bool {
        let header = batch.header();
        if header.attributes.is_control() {
            return false;
        }
        if self.config.isolation == Isolation::ReadUncommitted
            || !header.attributes.is_transactional()
        {
            return true;
        }
        !aborted.iter().any(|aborted| {
            aborted.producer_id == header.producer_id
                && (aborted.first_offset..=aborted.last_offset).contains(&header.base_offset)
        })
    }

    fn resolve(&self, partition: &Partition, position: Position) -> Result<i64> {
        let latest = || visible_end(partition, self.config.isolation);
        Ok(match position {
            Position::Earliest => partition.offsets().log_start,
            Position::Latest => latest(),
            Position::Offset(offset) => offset,
            Position::Timestamp(timestamp) => match partition.offset_for_timestamp(timestamp)? {
                Some((offset, _)) => offset,
                None => latest(),
            },
        })
    }

    fn find_mut(&mut self, topic: &str, partition: u32) -> Option<&mut Assigned> {
        self.assigned.iter_mut().find(|assigned| assigned.is(topic, partition))
    }
}

impl Assigned {
    fn is(&self, topic: &str, partition: u32) -> bool {
        self.index == partition && &*self.topic == topic
    }
}

/// The offset behind the last that a reader may see.
fn visible_end(partition: &Partition, isolation: Isolation) -> i64 {
    let offsets = partition.offsets();
    match isolation {
        Isolation::ReadUncommitted => offsets.high_watermark,
        Isolation::ReadCommitted => offsets.last_stable,
    }
}

/// Lets a thread sleep until a partition wakes it.
#[derive(Debug, Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn reset(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    fn wait(&self, timeout: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = self.changed.wait_timeout_while(rung, timeout, |rung| !*rung);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests;
