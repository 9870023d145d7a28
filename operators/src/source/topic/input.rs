//! Which topic to read, and how.

use std::collections::BTreeMap;
use std::time::Duration;

use riverrun_dataflow::{SplitIndex, Timestamp};
use riverrun_log_store::{Partition, Result as LogResult};

use super::wanted::Wanted;
use crate::format::OnError;

/// Where reading begins when there is no checkpoint to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With the oldest record there is.
    #[default]
    Earliest,
    /// Behind the newest committed record.
    Latest,
    /// With this offset, in every partition.
    Offset(i64),
    /// With the first record whose timestamp, in milliseconds since the epoch, is this or later.
    Timestamp(Timestamp),
}

/// Where reading ends, whatever comes after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Before the first record whose timestamp is this or later, or where the topic ends now if there is none.
    Timestamp(Timestamp),
    /// Before this offset in each partition, which may be yet to come; partitions that are not named are not read.
    Offsets(BTreeMap<u32, i64>),
}

/// Which topic to read, and how.
///
/// Partition *p* is read by subtask *p* modulo parallelism; where there are more subtasks than partitions, those without one end at
/// once. Among its partitions a subtask goes on with the one that is furthest behind in event time, so that their
/// events stay together and windows need not wait for each other. Partitions are counted when the job starts: those added
/// later are read after a restart, from their beginning.
///
/// Only committed records are read: nothing of aborted transactions, and nothing beyond the last stable offset.
///
/// ```
/// use std::time::Duration;
/// use riverrun_operators::{Start, TopicInput, format::OnError};
///
/// let input = TopicInput::new("nginx").bounded().start(Start::Timestamp(1_431_857_100_000)).on_error(OnError::Skip);
/// ```
#[derive(Debug, Clone)]
pub struct TopicInput {
    pub(super) topic: String,
    partitions: Option<Vec<u32>>,
    bounded: bool,
    end: Option<End>,
    start: Start,
    start_offsets: BTreeMap<u32, i64>,
    pub(super) wanted: Wanted,
    pub(super) on_error: OnError,
    pub(super) idle_after: Duration,
    pub(super) fetch_bytes: usize,
    pub(super) batch_rows: usize,
}

impl TopicInput {
    /// All of a topic, from the oldest record on, without end.
    pub fn new(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            partitions: None,
            bounded: false,
            end: None,
            start: Start::default(),
            start_offsets: BTreeMap::new(),
            wanted: Wanted::default(),
            on_error: OnError::default(),
            idle_after: Duration::from_secs(1),
            fetch_bytes: 1 << 20,
            batch_rows: 4096,
        }
    }

    /// Ends where the topic ends now: at the last stable offset at the moment of opening.
    pub fn bounded(mut self) -> Self {
        self.bounded = true;
        self
    }

    /// Sets whether the topic's present end is the stream's end.
    pub fn set_bounded(mut self, bounded: bool) -> Self {
        self.bounded = bounded;
        self
    }

    /// Where reading begins when there is no checkpoint.
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Where reading begins in some partitions, in place of what [`TopicInput::start`] says, when there is no checkpoint.
    pub fn start_offsets(mut self, offsets: BTreeMap<u32, i64>) -> Self {
        self.start_offsets = offsets;
        self
    }

    /// Where reading ends; with [`TopicInput::bounded`] the earlier of both counts.
    pub fn end(mut self, end: End) -> Self {
        self.end = Some(end);
        self
    }

    /// Reads these partitions only.
    pub fn partitions(mut self, partitions: Vec<u32>) -> Self {
        self.partitions = Some(partitions);
        self
    }

    /// Says which records are wanted: others may be left out. A last offset counts where the topic's present end does.
    pub fn wanted(mut self, wanted: Wanted) -> Self {
        self.wanted = wanted;
        self
    }

    /// What becomes of records that cannot be decoded. By default the job fails and names the record.
    pub fn on_error(mut self, on_error: OnError) -> Self {
        self.on_error = on_error;
        self
    }

    /// How long a partition must be read to its end and silent before event time no longer waits for it: one second
    /// unless set. It should be longer than what producers that write to several partitions take from the one to the other.
    pub fn idle_after(mut self, silence: Duration) -> Self {
        self.idle_after = silence;
        self
    }

    /// About how many rows a batch has: log batches are put together up to this number, and never taken apart. 4096 unless set.
    pub fn batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.max(1);
        self
    }

    pub(in crate::source) fn describe(&self, format: &str) -> String {
        // Not whether it ends: a job that goes on from a checkpoint may be told otherwise.
        match self.wanted.is_all() {
            true => format!("{}, {format}", self.topic),
            false => format!("{}, {format}, only {}", self.topic, self.wanted),
        }
    }

    pub(super) fn reads(&self, partition: u32) -> bool {
        self.partitions.as_ref().is_none_or(|chosen| chosen.contains(&partition))
            && self.wanted.partitions.as_ref().is_none_or(|wanted| wanted.contains(&partition))
    }

    /// Offset of the first record to read without a checkpoint, and the one before which reading ends.
    pub(super) fn range(
        &self,
        partition: &Partition,
        index: SplitIndex,
    ) -> LogResult<(i64, Option<i64>)> {
        let offsets = partition.offsets();
        let at_time = |timestamp| -> LogResult<i64> {
            let found = partition.offset_for_timestamp(timestamp)?;
            Ok(found.map_or(offsets.last_stable, |(offset, _)| offset))
        };
        let clamped = |offset: i64| offset.clamp(offsets.log_start, offsets.last_stable);
        let start = match (self.start_offsets.get(&index), self.start) {
            (Some(offset), _) => clamped(*offset),
            (None, Start::Offset(offset)) => clamped(offset),
            (None, Start::Earliest) => offsets.log_start,
            (None, Start::Latest) => offsets.last_stable,
            (None, Start::Timestamp(timestamp)) => at_time(timestamp)?,
        };
        let start = match self.wanted.timestamps.first {
            i64::MIN => start,
            first => start.max(at_time(first)?),
        };
        let start = match self.wanted.offsets.first {
            i64::MIN => start,
            first => start.max(clamped(first)),
        };
        // Behind the last that is wanted, which may lie before the first.
        let behind = self.wanted.offsets.last.saturating_add(1).max(start);
        let present = self.bounded.then_some(offsets.last_stable.min(behind));
        let told = match &self.end {
            None => None,
            Some(End::Timestamp(timestamp)) => Some(at_time(*timestamp)?),
            Some(End::Offsets(ends)) => Some(ends.get(&index).copied().unwrap_or(start)),
        };
        let end = match (present, told) {
            (Some(present), Some(told)) => Some(present.min(told)),
            (one, other) => one.or(other),
        };
        Ok((start, end))
    }
}

impl From<&str> for TopicInput {
    fn from(topic: &str) -> Self {
        Self::new(topic)
    }
}

impl From<String> for TopicInput {
    fn from(topic: String) -> Self {
        Self::new(topic)
    }
}

impl From<&String> for TopicInput {
    fn from(topic: &String) -> Self {
        Self::new(topic)
    }
}
