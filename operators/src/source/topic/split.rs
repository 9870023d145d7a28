//! One partition of a topic as it is being read.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use riverrun_dataflow::{Error, Result, SplitIndex, Timestamp};
use riverrun_log_store::{
    AbortedTransaction, Batch, Decompressor, Error as LogError, Isolation, Partition,
};

use super::TopicInput;
use crate::format::{BatchDecoder, BatchRecords, Rejects};

/// Wakes the subtask, whichever waker it polled with last.
#[derive(Default)]
pub(super) struct TaskWaker(Mutex<Option<Waker>>);

impl TaskWaker {
    /// Remembers the waker to wake.
    pub(super) fn set(&self, waker: &Waker) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !current.as_ref().is_some_and(|current| current.will_wake(waker)) {
            *current = Some(waker.clone());
        }
    }

    fn wake_task(&self) {
        let waker = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_task();
    }
}

/// Remembers that a partition has more to read, so that the others need not be asked.
struct Readable {
    yes: AtomicBool,
    task: Arc<TaskWaker>,
}

impl Wake for Readable {
    fn wake(self: Arc<Self>) {
        self.yes.store(true, Ordering::Release);
        self.task.wake_task();
    }
}

/// What came of reading on.
pub(super) enum Progress {
    /// The decoder holds rows.
    Rows,
    /// There is nothing to read now (or all that was read was not to be seen).
    Nothing,
    /// The bounded split is over.
    End,
}

/// One partition of a topic as it is being read.
pub(super) struct Split {
    name: String,
    operator: String,
    index: SplitIndex,
    partition: Partition,
    /// Offset of the next record.
    position: i64,
    /// Where a bounded split ends.
    end: Option<i64>,
    /// Batches that were fetched but not decoded yet.
    fetched: VecDeque<Batch>,
    aborted: Vec<AbortedTransaction>,
    /// Highest timestamp of the records so far.
    reached: Timestamp,
    bytes_read: u64,
    rejects: Rejects,
    readable: Option<Arc<Readable>>,
    silent_since: Option<Timestamp>,
    idle: bool,
    finished: bool,
}

impl Split {
    /// Gets ready to read a partition from a restored position, or from where the input says.
    pub(super) fn open(
        input: &TopicInput,
        operator: &str,
        partition: Partition,
        index: SplitIndex,
        restored: Option<i64>,
        rejects: Rejects,
    ) -> Result<Self> {
        let name = format!("{}-{index}", input.topic);
        let offsets = partition.offsets();
        if let Some(position) = restored {
            let reason = if position > offsets.high_watermark {
                format!(
                    "the checkpoint has read {name} up to offset {position}, but the log ends at {}: the log lost \
                     records, or the topic was made anew; start the job anew",
                    offsets.high_watermark
                )
            } else if position < offsets.log_start {
                gone(&name, position, offsets.log_start)
            } else {
                String::new()
            };
            if !reason.is_empty() {
                return Err(Error::state(operator, reason));
            }
        }
        let (start, end) = input
            .range(&partition, index)
            .map_err(|error| Error::io(format!("reading {name}"), error))?;
        Ok(Self {
            name,
            operator: operator.to_owned(),
            index,
            partition,
            position: restored.unwrap_or(start),
            end,
            fetched: VecDeque::new(),
            aborted: Vec::new(),
            reached: Timestamp::MIN,
            bytes_read: 0,
            rejects,
            readable: None,
            silent_since: None,
            idle: false,
            finished: false,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn index(&self) -> SplitIndex {
        self.index
    }

    /// Offset of the next record.
    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// Highest timestamp so far.
    pub(super) fn reached(&self) -> Timestamp {
        self.reached
    }

    /// Bytes of all batches so far, as they lie in the log.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether there may be something to read.
    pub(super) fn is_readable(&self) -> bool {
        !self.finished
            && (self.readable.as_ref()).is_none_or(|waiting| waiting.yes.load(Ordering::Acquire))
    }

    /// Since when, if the split is read to its high watermark and nobody has been told that it is silent. A transaction that is
    /// still open beyond the last stable offset is not silence: its records are to come.
    pub(super) fn silent_since(&mut self, now: Timestamp) -> Option<Timestamp> {
        let waiting = !self.finished && !self.idle && !self.is_readable();
        if !waiting || self.partition.offsets().high_watermark > self.position {
            self.silent_since = None;
            return None;
        }
        Some(*self.silent_since.get_or_insert(now))
    }

    /// The split is idle from now on, unless something has come just now. Arranges to be woken when something does, be it
    /// part of a transaction that is open.
    pub(super) fn fall_silent(&mut self, task: &Arc<TaskWaker>) -> bool {
        let waker = Waker::from(task.clone());
        self.idle =
            self.partition.wake_on_advance(self.position, Isolation::ReadUncommitted, &waker);
        self.idle
    }

    /// Whether the split is idle, but a transaction has begun in it since.
    pub(super) fn has_begun(&self) -> bool {
        self.idle && self.partition.offsets().high_watermark > self.position
    }

    /// The split may have rows; true if it was idle before.
    pub(super) fn speak(&mut self) -> bool {
        self.silent_since = None;
        std::mem::replace(&mut self.idle, false)
    }

    /// Reads on until the decoder has a batch of rows, or what was fetched is used up.
    pub(super) fn read(
        &mut self,
        input: &TopicInput,
        decompressor: &mut Decompressor,
        decoder: &mut impl BatchDecoder,
        task: &Arc<TaskWaker>,
    ) -> Result<Progress> {
        if self.end.is_some_and(|end| self.position >= end) {
            self.finished = true;
            self.fetched.clear();
            return Ok(Progress::End);
        }
        if self.fetched.is_empty() {
            self.fetch(input, task)?;
        }
        while let Some(batch) = self.fetched.pop_front() {
            let header = batch.header();
            if self.end.is_some_and(|end| header.base_offset >= end) {
                // What came in since belongs to the next run.
                self.position = self.end.unwrap_or(self.position);
                self.fetched.clear();
                break;
            }
            let next = header.next_offset();
            if self.is_visible(&batch) && input.wanted.may_be_in(header) {
                self.bytes_read += batch.bytes().len() as u64;
                let records = batch.records(decompressor).map_err(|error| Error::Format {
                    place: format!("{}@{}", self.name, header.base_offset),
                    reason: error.to_string(),
                })?;
                let records = BatchRecords::new(&records, self.position, &self.name)
                    .until(self.end.unwrap_or(i64::MAX))
                    .in_partition(&input.topic, self.index);
                decoder.decode(&records, &mut self.rejects)?;
                self.reached = self.reached.max(header.max_timestamp);
            }
            self.position = next;
            if decoder.len() >= input.batch_rows || decoder.is_full() {
                break;
            }
        }
        Ok(if decoder.len() > 0 { Progress::Rows } else { Progress::Nothing })
    }

    /// Whether a reader of committed records sees this batch.
    fn is_visible(&self, batch: &Batch) -> bool {
        let header = batch.header();
        if header.attributes.is_control() {
            return false;
        }
        !header.attributes.is_transactional()
            || !self.aborted.iter().any(|aborted| {
                aborted.producer_id == header.producer_id
                    && (aborted.first_offset..=aborted.last_offset).contains(&header.base_offset)
            })
    }

    /// Fetches what comes next; arranges to be woken if there is nothing.
    fn fetch(&mut self, input: &TopicInput, task: &Arc<TaskWaker>) -> Result<()> {
        // Between a look and the request to be woken more may have come: then there is something on the second look.
        for _ in 0..2 {
            let fetch = self
                .partition
                .read(self.position, input.fetch_bytes, Isolation::ReadCommitted)
                .map_err(|error| self.failed(error))?;
            self.aborted = fetch.aborted;
            self.fetched.extend(fetch.batches);
            self.readable = None;
            if !self.fetched.is_empty() {
                return Ok(());
            }
            let waiting = Arc::new(Readable { yes: AtomicBool::new(false), task: task.clone() });
            let waker = Waker::from(waiting.clone());
            if self.partition.wake_on_advance(self.position, Isolation::ReadCommitted, &waker) {
                self.readable = Some(waiting);
                return Ok(());
            }
        }
        let reason = format!("the log has more than offset {} and does not give it", self.position);
        Err(Error::io(format!("reading {}", self.name), reason))
    }

    fn failed(&self, error: LogError) -> Error {
        match error {
            LogError::OffsetOutOfRange { log_start, offset, .. } if offset < log_start => {
                Error::state(&self.operator, gone(&self.name, offset, log_start))
            }
            error => Error::io(format!("reading {}", self.name), error),
        }
    }
}

fn gone(name: &str, position: i64, log_start: i64) -> String {
    format!(
        "the next record to read of {name} is at offset {position}, but retention has removed all before {log_start}: \
         start the job anew, and keep the topic's records for longer"
    )
}
