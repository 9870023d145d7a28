//! The committed records of a topic.

mod split;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use riverrun_dataflow::{
    Clock, Error, OperatorContext, OperatorMetrics, Resources, RestoredState, Result, Source,
    SourceEvent, SplitStatus, Timestamp,
};
use riverrun_log_store::{Decompressor, Store};

use self::split::{Progress, Split, TaskWaker};
use super::alarm::Alarm;
use crate::format::{BatchDecoder, DeadLetters, OnError, Rejects};

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
    topic: String,
    bounded: bool,
    start: Start,
    on_error: OnError,
    idle_after: Duration,
    fetch_bytes: usize,
    batch_rows: usize,
}

impl TopicInput {
    /// All of a topic, from the oldest record on, without end.
    pub fn new(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            bounded: false,
            start: Start::default(),
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

    pub(super) fn describe(&self, format: &str) -> String {
        let bounded = if self.bounded { ", bounded" } else { "" };
        format!("{}, {format}{bounded}", self.topic)
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

/// Yields what a decoder makes of a topic's records.
pub(super) struct TopicSource<D> {
    input: TopicInput,
    decoder: D,
    store: Arc<Store>,
    splits: Vec<Split>,
    events: VecDeque<SourceEvent>,
    decompressor: Decompressor,
    task: Arc<TaskWaker>,
    alarm: Alarm,
    dead_letters: Option<DeadLetters>,
    surroundings: Option<OperatorContext>,
}

impl<D: BatchDecoder> TopicSource<D> {
    pub(super) fn new(input: TopicInput, decoder: D, resources: &Resources) -> Result<Self> {
        let store = resources.get::<Store>(&format!("the source of topic `{}`", input.topic))?;
        let dead_letters = DeadLetters::of(&input.on_error, resources)?;
        Ok(Self {
            input,
            decoder,
            store,
            dead_letters,
            splits: Vec::new(),
            events: VecDeque::new(),
            decompressor: Decompressor::new(),
            task: Arc::default(),
            alarm: Alarm::default(),
            surroundings: None,
        })
    }

    /// What was rejected is durable before the position behind it is told.
    fn flush_dead_letters(&self) -> Result<()> {
        self.dead_letters.as_ref().map_or(Ok(()), DeadLetters::flush)
    }

    /// The next batch of the split that is furthest behind, if any has something.
    fn read(&mut self) -> Result<Option<SourceEvent>> {
        loop {
            let behind = (0..self.splits.len())
                .filter(|&i| self.splits[i].is_readable())
                .min_by_key(|&i| self.splits[i].reached());
            let Some(split) = behind.map(|i| &mut self.splits[i]) else { return Ok(None) };
            let index = split.index();
            // Said before anything is read, so that the position never covers rows that were not handed out.
            if split.speak() {
                return Ok(Some(SourceEvent::Split(index, SplitStatus::Active)));
            }
            let before = split.bytes_read();
            let progress =
                split.read(&self.input, &mut self.decompressor, &mut self.decoder, &self.task)?;
            if let Some(context) = &self.surroundings {
                OperatorMetrics::add(&context.metrics.bytes, split.bytes_read() - before);
            }
            match progress {
                Progress::Rows => {
                    return Ok(Some(SourceEvent::Batch(self.decoder.finish(index))));
                }
                Progress::Nothing => {}
                Progress::End => {
                    return Ok(Some(SourceEvent::Split(index, SplitStatus::Finished)));
                }
            }
        }
    }

    /// News of a split that has been silent for long enough. Sets the alarm for those that have not.
    fn silence(&mut self, clock: &dyn Clock, context: &Context<'_>) -> Option<SourceEvent> {
        let now = clock.now();
        let patience = i64::try_from(self.input.idle_after.as_millis()).unwrap_or(i64::MAX);
        let mut next: Option<i64> = None;
        for split in &mut self.splits {
            if split.has_begun() && split.speak() {
                return Some(SourceEvent::Split(split.index(), SplitStatus::Active));
            }
            let Some(since) = split.silent_since(now) else { continue };
            let left = patience.saturating_sub(now.saturating_sub(since));
            if left > 0 {
                next = Some(next.map_or(left, |next| next.min(left)));
            } else if split.fall_silent(&self.task) {
                return Some(SourceEvent::Split(split.index(), SplitStatus::Idle));
            }
        }
        if let Some(left) = next {
            self.alarm.set(Duration::from_millis(left as u64), context.waker());
        }
        None
    }
}

impl<D: BatchDecoder> Source for TopicSource<D> {
    fn open(&mut self, context: &OperatorContext, restored: Option<RestoredState>) -> Result<()> {
        let positions = restored.map(|state| state.positions).unwrap_or_default();
        let topic = &self.input.topic;
        let what = || format!("reading topic `{topic}`");
        let partitions = match self.store.topic(topic) {
            Ok(info) => info.config.partitions,
            // Trying again does not make a topic.
            Err(error @ riverrun_log_store::Error::UnknownTopic { .. }) => {
                let reason = format!("it reads a topic that is not there: {error}");
                return Err(Error::InvalidJob { job: context.job.clone(), reason });
            }
            Err(error) => return Err(Error::io(what(), error)),
        };
        let ours = |p: &u32| p % context.parallelism == context.subtask.index;
        for partition in (0..partitions).filter(ours) {
            let log =
                self.store.partition(topic, partition).map_err(|error| Error::io(what(), error))?;
            let name = format!("{topic}-{partition}");
            let position = match positions.get(&name) {
                Some(bytes) => Some(super::position(&context.operator, &name, bytes)?),
                None => None,
            };
            let rejects = Rejects::new(
                self.input.on_error.clone(),
                name.as_str(),
                Some(context.metrics.clone()),
            )
            .with_dead_letters(self.dead_letters.clone());
            let split =
                Split::open(&self.input, &context.operator, log, partition, position, rejects)?;
            self.events.push_back(SourceEvent::Split(split.index(), SplitStatus::Active));
            self.splits.push(split);
        }
        self.surroundings = Some(context.clone());
        Ok(())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<SourceEvent>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(Ok(event));
        }
        self.task.set(context.waker());
        let clock = self.surroundings.as_ref().map(|context| context.clock.clone());
        if let Some(event) = clock.and_then(|clock| self.silence(&*clock, context)) {
            return Poll::Ready(Ok(event));
        }
        match self.read() {
            Err(error) => Poll::Ready(Err(error)),
            Ok(Some(event)) => Poll::Ready(Ok(event)),
            Ok(None) if self.splits.iter().all(Split::is_finished) => {
                Poll::Ready(self.flush_dead_letters().map(|()| SourceEvent::End))
            }
            Ok(None) => {
                // Splits that have just been read to their end begin to be silent now.
                let clock = self.surroundings.as_ref().map(|context| context.clock.clone());
                match clock.and_then(|clock| self.silence(&*clock, context)) {
                    Some(event) => Poll::Ready(Ok(event)),
                    None => Poll::Pending,
                }
            }
        }
    }

    fn snapshot(&mut self) -> Result<BTreeMap<String, Vec<u8>>> {
        self.flush_dead_letters()?;
        let operator = self.surroundings.as_ref().map_or("topic", |context| &context.operator);
        let encode = |split: &Split| {
            Ok((split.name().to_owned(), super::encoded(operator, &split.position())?))
        };
        self.splits.iter().map(encode).collect()
    }

    fn close(&mut self) -> Result<()> {
        self.splits.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
