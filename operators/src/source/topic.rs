//! The committed records of a topic.

mod check;
mod input;
mod split;
mod wanted;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use riverrun_dataflow::{
    Clock, Error, OperatorContext, OperatorMetrics, Resources, RestoredState, Result, Source,
    SourceEvent, SplitStatus,
};
use riverrun_log_store::{Decompressor, Store};

pub use self::check::TopicCheck;
pub use self::input::{End, Start, TopicInput};
use self::split::{Progress, Split, TaskWaker};
pub use self::wanted::{Span, Wanted};
use super::alarm::Alarm;
use crate::format::{BatchDecoder, DeadLetters, Rejects};

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
        let partitions = match check::look(&self.store, topic, &mut self.decoder)? {
            TopicCheck::Fits { partitions } => partitions,
            // Trying again does not make a topic.
            TopicCheck::Missing => {
                let reason =
                    format!("it reads topic `{topic}`, which is not there: create it first");
                return Err(Error::InvalidJob { job: context.job.clone(), reason });
            }
            TopicCheck::Unfit(reason) => {
                let reason = format!("it cannot read topic `{topic}` like this: {reason}");
                return Err(Error::InvalidJob { job: context.job.clone(), reason });
            }
        };
        let ours =
            |p: &u32| p % context.parallelism == context.subtask.index && self.input.reads(*p);
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
mod range_tests;
#[cfg(test)]
mod tests;
