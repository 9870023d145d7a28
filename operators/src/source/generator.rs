//! Rows made by a function of their number.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use riverrun_dataflow::{
    Batch, Clock, Columns, Error, OperatorContext, Record, RestoredState, Result, Rows, Source,
    SourceEvent, SplitIndex, SplitStatus, Timestamp,
};

use super::alarm::Alarm;

/// Rows of a batch at full speed.
const BATCH_ROWS: u64 = 2048;

/// How long a generator with a rate rests when it is ahead.
const REST: Duration = Duration::from_millis(10);

/// How many rows a generator makes, and how fast.
///
/// The numbers are dealt out to splits in turn: split *k* of *n* makes the rows *k*, *k + n*, *k + 2n* and so on. There are as
/// many splits as the environment's parallelism says, unless [`GeneratorInput::splits`] sets it; it must stay what it
/// is for as long as the job has state.
#[derive(Debug, Clone)]
pub struct GeneratorInput {
    rows: Option<u64>,
    rate: Option<u64>,
    splits: Option<u32>,
}

impl GeneratorInput {
    /// Rows 0 to `rows` (exclusive), then the end.
    pub fn bounded(rows: u64) -> Self {
        Self { rows: Some(rows), rate: None, splits: None }
    }

    /// Rows without end.
    pub fn endless() -> Self {
        Self { rows: None, rate: None, splits: None }
    }

    /// At most this many rows a second, over all subtasks; at least one.
    pub fn rate(mut self, rows_per_second: u64) -> Self {
        self.rate = Some(rows_per_second.max(1));
        self
    }

    /// Sets the number of splits.
    pub fn splits(mut self, splits: u32) -> Self {
        self.splits = Some(splits.max(1));
        self
    }

    pub(super) fn with_splits(mut self, default: u32) -> Self {
        self.splits.get_or_insert(default.max(1));
        self
    }

    pub(super) fn describe(&self) -> String {
        let rows = self.rows.map_or("endless".to_owned(), |rows| format!("{rows} rows"));
        match self.rate {
            None => rows,
            Some(rate) => format!("{rows}, {rate} a second"),
        }
    }
}

/// Numbers of the rows of a batch, in order: they lie `splits` apart.
#[derive(Debug, Clone, Copy)]
pub struct Numbers {
    next: u64,
    step: u64,
    left: usize,
}

impl Numbers {
    /// The `count` numbers `first`, `first + step` and so on.
    pub fn new(first: u64, step: u64, count: usize) -> Self {
        Self { next: first, step, left: count }
    }
}

impl Iterator for Numbers {
    type Item = u64;

    #[inline]
    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        let number = self.next;
        self.next = number.wrapping_add(self.step);
        Some(number)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Numbers {}

/// Makes batches of the numbers of their rows.
pub(super) trait Generate: Send {
    /// The rows with these numbers; `now` is the processing time.
    fn generate(&mut self, numbers: Numbers, now: Timestamp, split: SplitIndex) -> Batch;
}

/// Rows, one by one.
pub(super) struct RowByRow<F>(pub(super) F);

impl<T: Record, F: Fn(u64) -> (T, Timestamp) + Send> Generate for RowByRow<F> {
    fn generate(&mut self, numbers: Numbers, _now: Timestamp, split: SplitIndex) -> Batch {
        let mut rows = Rows::with_capacity(numbers.len());
        for number in numbers {
            let (row, timestamp) = (self.0)(number);
            rows.push(row, timestamp);
        }
        Batch::rows(rows, Some(split))
    }
}

/// Columns, a batch at a time.
pub(super) struct ByColumn<F>(pub(super) F);

impl<F: Fn(Numbers, Timestamp) -> Columns + Send> Generate for ByColumn<F> {
    fn generate(&mut self, numbers: Numbers, now: Timestamp, split: SplitIndex) -> Batch {
        Batch::columns((self.0)(numbers, now), Some(split))
    }
}

/// Yields what a function makes.
pub(super) struct GeneratorSource<F> {
    input: GeneratorInput,
    make: F,
    clock: Option<Arc<dyn Clock>>,
    splits: Vec<Split>,
    /// Which split is next.
    turn: usize,
    pace: Option<Pace>,
    events: std::collections::VecDeque<SourceEvent>,
    operator: String,
}

struct Split {
    index: SplitIndex,
    name: String,
    /// How many of its rows were made.
    made: u64,
    /// How many rows it has.
    rows: u64,
}

/// Keeps to a rate.
struct Pace {
    clock: Arc<dyn Clock>,
    began: Timestamp,
    made: u64,
    per_second: f64,
    alarm: Alarm,
}

impl<F> GeneratorSource<F> {
    pub(super) fn new(input: GeneratorInput, make: F) -> Self {
        Self {
            input,
            make,
            clock: None,
            splits: Vec::new(),
            turn: 0,
            pace: None,
            events: Default::default(),
            operator: String::new(),
        }
    }
}

impl<F: Generate> Source for GeneratorSource<F> {
    fn open(&mut self, context: &OperatorContext, restored: Option<RestoredState>) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.clock = Some(context.clock.clone());
        let count = u64::from(self.input.splits.unwrap_or(1));
        let positions = restored.map(|state| state.positions).unwrap_or_default();
        if !positions.is_empty() && positions.len() as u64 != count {
            return Err(Error::state(
                &context.operator,
                format!(
                    "it was left with {} splits and has {count} now; set `splits({})`",
                    positions.len(),
                    positions.len()
                ),
            ));
        }
        for index in (0..count).filter(|index| {
            index % u64::from(context.parallelism) == u64::from(context.subtask.index)
        }) {
            let name = format!("{index}-of-{count}");
            let made = match positions.get(&name) {
                Some(bytes) => super::position(&self.operator, &name, bytes)?,
                None => 0,
            };
            let rows =
                self.input.rows.map_or(u64::MAX, |rows| rows.saturating_sub(index).div_ceil(count));
            let index = index as SplitIndex;
            let status = if made < rows { SplitStatus::Active } else { SplitStatus::Finished };
            self.events.push_back(SourceEvent::Split(index, status));
            self.splits.push(Split { index, name, made, rows });
        }
        if let Some(rate) = self.input.rate {
            self.pace = Some(Pace {
                clock: context.clock.clone(),
                began: context.clock.now(),
                made: 0,
                per_second: rate as f64 * self.splits.len() as f64 / count as f64,
                alarm: Alarm::default(),
            });
        }
        Ok(())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<SourceEvent>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(Ok(event));
        }
        let splits = self.splits.len();
        let next = (0..splits)
            .map(|i| (self.turn + i) % splits)
            .find(|&i| self.splits[i].made < self.splits[i].rows);
        let Some(next) = next else { return Poll::Ready(Ok(SourceEvent::End)) };
        self.turn = (next + 1) % splits;
        let count = u64::from(self.input.splits.unwrap_or(1));
        let split = &mut self.splits[next];
        let mut rows = BATCH_ROWS.min(split.rows - split.made);
        if let Some(pace) = &mut self.pace {
            let passed = (pace.clock.now() - pace.began).max(0) as f64 / 1000.0;
            let due = (passed * pace.per_second) as u64;
            rows = rows.min(due.saturating_sub(pace.made));
            if rows == 0 {
                let one = Duration::from_secs_f64(1.0 / pace.per_second);
                pace.alarm.set(one.max(REST), context.waker());
                return Poll::Pending;
            }
            pace.made += rows;
        }
        let first = split.made * count + u64::from(split.index);
        let numbers = Numbers::new(first, count, rows as usize);
        let now = self.clock.as_ref().map_or(0, |clock| clock.now());
        let batch = self.make.generate(numbers, now, split.index);
        split.made += rows;
        if split.made == split.rows {
            self.events.push_back(SourceEvent::Split(split.index, SplitStatus::Finished));
        }
        Poll::Ready(Ok(SourceEvent::Batch(batch)))
    }

    fn snapshot(&mut self) -> Result<BTreeMap<String, Vec<u8>>> {
        let encode =
            |split: &Split| Ok((split.name.clone(), super::encoded(&self.operator, &split.made)?));
        self.splits.iter().map(encode).collect()
    }
}
