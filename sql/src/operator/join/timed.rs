//! Joins of insertions whose rows go when event time has passed all that could match them.
//!
//! In an *interval join* the event times of a pair are at most so far apart; in a *window join* both rows are of the same window, so that
//! the last millisecond of the window is their common time. A row is kept until the watermark says that no partner can come. Pairs, and rows of a
//! semi join, come out as soon as they are known; what comes of rows without a partner only when they go. So nothing is ever taken back.
//!
//! Rows whose time is not above the watermark are late: counted and left out. A row without a time matches nothing.
//!
//! Where the times of an interval join are processing times, the clock takes the place of the watermark, and nothing is late. Rows that are on their way for
//! less than [`UNDER_WAY`] milliseconds still meet their partners.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, ArrayRef, BooleanArray, TimestampMillisecondArray};
use riverrun_dataflow::{
    Barrier, Batch, Error, Operator, OperatorContext, OperatorMetrics, OperatorState, Output,
    RestoredState, Result, Snapshot, Timestamp, Watermark, WatermarkFrontier, codec,
};

use super::matching::{Alone, Matching};
use super::regular::check_signatures;
use super::{CHUNK, JoinSpec};
use crate::Changes;
use crate::operator::calc::filtered;

/// An interval join: `lower <= right time - left time <= upper`. The filter must say so too.
#[derive(Debug, Clone)]
pub struct IntervalSpec {
    /// The join, which retracts nothing.
    pub join: JoinSpec,
    /// Positions of the event time columns.
    pub time: [usize; 2],
    /// In milliseconds.
    pub lower: i64,
    /// In milliseconds.
    pub upper: i64,
    /// Whether times are event times; if not, processing times.
    pub event_time: bool,
}

/// A window join. The windows must be among the keys.
#[derive(Debug, Clone)]
pub struct WindowJoinSpec {
    /// The join, which retracts nothing.
    pub join: JoinSpec,
    /// Positions of the columns that say where a row's window ends.
    pub window_end: [usize; 2],
}

/// Keeps rows until event time has passed them.
pub struct TimedJoin {
    pub(super) matching: Matching,
    signature: String,
    key_groups: u16,
    metrics: Arc<OperatorMetrics>,
    /// Positions of the columns that say what a row's time is,
    time: [usize; 2],
    /// and what has to be added to it.
    offset: i64,
    /// How far the watermark has to be past a row's time before it goes.
    after: [i64; 2],
    /// Rows go together when they are due within as many milliseconds,
    grain: i64,
    /// and so the watermark of the output is as far behind.
    hold: i64,
    /// Slots with rows that are due, by side and `due / grain`.
    due: [BTreeMap<i64, Vec<u32>>; 2],
    reached: Timestamp,
    output: WatermarkFrontier,
    event_time: bool,
}

/// For how long of the clock rows may be on their way, in milliseconds.
const UNDER_WAY: i64 = 1000;

/// Rows that go together are due within this part of the time for which they are kept.
const GRAINS: i64 = 32;

impl TimedJoin {
    /// The operator of an interval join.
    ///
    /// # Errors
    /// [`Error::Io`] if rows of these types cannot be kept.
    pub fn interval(spec: &IntervalSpec) -> Result<Self> {
        let width = spec.upper.saturating_sub(spec.lower);
        let waits = |side: usize| super::Single::of(spec.join.join_type)[side].shows(0);
        let grain = if waits(0) || waits(1) { (width / GRAINS).clamp(1, 60_000) } else { 1 };
        let mut join = Self::new("interval-join", &spec.join, spec.time)?;
        join.after = [spec.upper, spec.lower.saturating_neg()];
        join.hold = join.after[0].max(join.after[1]).max(0).saturating_add(grain - 1);
        join.grain = grain;
        join.event_time = spec.event_time;
        Ok(join)
    }

    /// The operator of a window join.
    ///
    /// # Errors
    /// As [`TimedJoin::interval`].
    pub fn window(spec: &WindowJoinSpec) -> Result<Self> {
        let mut join = Self::new("window-join", &spec.join, spec.window_end)?;
        join.offset = -1;
        Ok(join)
    }

    fn new(operator: &str, spec: &JoinSpec, time: [usize; 2]) -> Result<Self> {
        Ok(Self {
            matching: Matching::new(operator, spec, true)?,
            signature: spec.signature(),
            key_groups: 1,
            metrics: Arc::default(),
            time,
            offset: 0,
            after: [0; 2],
            grain: 1,
            hold: 0,
            due: Default::default(),
            reached: Timestamp::MIN,
            output: WatermarkFrontier::default(),
            event_time: true,
        })
    }

    /// Puts out rows that go without a partner. Nothing is taken away yet: the two sides ask each other.
    fn emit_lonely(
        &self,
        side: usize,
        slots: &[u32],
        until: i64,
        out: &mut dyn Output,
    ) -> Result<()> {
        if !self.matching.singles[side].shows(0) {
            return Ok(());
        }
        let buckets = &self.matching.buckets;
        let mut alone = Vec::new();
        for slot in slots {
            let of_key = self.matching.by_key(side).then(|| buckets.total(*slot, 1 - side));
            for record in buckets.records(*slot, side, 0) {
                if record.time <= until && of_key.unwrap_or(record.matches) <= 0 {
                    let key = alone.len() as u32;
                    let (slot, at, weight) = (*slot, record.at, record.weight);
                    alone.push(Alone { slot, at, key, weight, mark: false });
                }
                if alone.len() == CHUNK {
                    self.emit(side, &std::mem::take(&mut alone), out)?;
                }
            }
        }
        self.emit(side, &alone, out)
    }

    fn emit(&self, side: usize, alone: &[Alone], out: &mut dyn Output) -> Result<()> {
        let Matching { operator, sides, buckets, .. } = &self.matching;
        let keys: Vec<ArrayRef> = sides[side]
            .key_codec
            .decode(operator, alone.iter().map(|row| buckets.key(row.slot)))?;
        self.matching.emit_alone(side, &keys, alone, out)
    }

    /// Takes out the rows that are due at `now`.
    fn advance(&mut self, now: Timestamp, out: &mut dyn Output) -> Result<()> {
        let end = match now {
            Timestamp::MAX => i64::MAX,
            now => now.saturating_add(1).div_euclid(self.grain),
        };
        let mut going: [Vec<u32>; 2] = Default::default();
        for (due, slots) in self.due.iter_mut().zip(&mut going) {
            while let Some(entry) = due.first_entry().filter(|entry| *entry.key() < end) {
                slots.extend(entry.remove());
            }
            slots.sort_unstable();
            slots.dedup();
        }
        let until = |side: usize| match now {
            Timestamp::MAX => i64::MAX,
            now => now.saturating_sub(self.after[side]),
        };
        let until = [until(0), until(1)];
        for side in 0..2 {
            self.emit_lonely(side, &going[side], until[side], out)?;
        }
        for side in 0..2 {
            for slot in &going[side] {
                self.matching.buckets.expire(*slot, side, until[side], |_| {});
                self.matching.buckets.release(*slot);
            }
        }
        Ok(())
    }

    /// Leaves out rows that are late.
    fn in_time(&self, changes: Changes, times: &TimestampMillisecondArray) -> Result<Changes> {
        let late = |time: i64| time.saturating_add(self.offset) <= self.reached;
        let keep: BooleanArray = times.iter().map(|time| Some(!time.is_some_and(late))).collect();
        let late = keep.len() - keep.true_count();
        if late == 0 {
            return Ok(changes);
        }
        OperatorMetrics::add(&self.metrics.late_records, late as u64);
        filtered(&self.matching.operator, changes, &keep)
    }
}

fn bucket_of(time: i64, after: i64, grain: i64) -> i64 {
    time.saturating_add(after).div_euclid(grain)
}

/// The times of a batch.
fn times_of(operator: &str, changes: &Changes, column: usize) -> Result<TimestampMillisecondArray> {
    let column = changes.rows.column(column);
    column.as_primitive_opt::<TimestampMillisecondType>().cloned().ok_or_else(|| {
        Error::WrongBatch {
            operator: operator.to_owned(),
            expected: "a time column of TIMESTAMP(3)".to_owned(),
            got: column.data_type().to_string(),
        }
    })
}

impl Operator for TimedJoin {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        check_signatures(&self.matching.operator, &self.signature, &state.list)?;
        let Matching { operator, buckets, .. } = &mut self.matching;
        state.keyed.iter().try_for_each(|chain| buckets.restore(operator, chain))
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.matching.operator.clone_from(&context.operator);
        self.key_groups = context.key_groups;
        self.metrics = context.metrics.clone();
        let buckets = &self.matching.buckets;
        for slot in buckets.slots() {
            for side in 0..2 {
                for record in buckets.records(slot, side, 0) {
                    let at = bucket_of(record.time, self.after[side], self.grain);
                    self.due[side].entry(at).or_default().push(slot);
                }
            }
        }
        Ok(())
    }

    fn process(&mut self, input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let operator = &self.matching.operator;
        let changes = Changes::of(batch, operator)?;
        let changes =
            self.in_time(changes.clone(), &times_of(operator, &changes, self.time[input])?)?;
        if changes.is_empty() {
            return Ok(());
        }
        let times = times_of(operator, &changes, self.time[input])?;
        let (offset, after, grain) = (self.offset, self.after[input], self.grain);
        let time_of = |row: usize| match times.is_null(row) {
            true => i64::MIN,
            false => times.value(row).saturating_add(offset),
        };
        let due = &mut self.due[input];
        let kept = |slot: u32, time: i64| {
            let slots = due.entry(bucket_of(time, after, grain)).or_default();
            if slots.last() != Some(&slot) {
                slots.push(slot);
            }
        };
        self.matching.arrive(input, changes, time_of, kept, out)
    }

    fn next_timer(&self) -> Option<Timestamp> {
        if self.event_time {
            return None;
        }
        let first = self.due.iter().filter_map(|due| due.first_key_value()).map(|(at, _)| *at);
        let over = first.min()?.saturating_add(1).saturating_mul(self.grain);
        Some(over.saturating_add(UNDER_WAY))
    }

    fn on_time(&mut self, now: Timestamp, out: &mut dyn Output) -> Result<()> {
        match self.event_time {
            true => Ok(()),
            false => self.advance(now.saturating_sub(1 + UNDER_WAY), out),
        }
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        if !self.event_time && watermark != Watermark::MAX {
            return out.emit_watermark(watermark);
        }
        self.reached = watermark.timestamp();
        self.advance(self.reached, out)?;
        let behind = match watermark {
            Watermark::MAX => Timestamp::MAX,
            watermark => watermark.timestamp().saturating_sub(self.hold),
        };
        match self.output.advance_to(behind) {
            Some(watermark) => out.emit_watermark(watermark),
            None => Ok(()),
        }
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let keyed = self.matching.buckets.snapshot(barrier.kind, self.key_groups);
        let signature = codec::encode(&self.signature)
            .map_err(|error| Error::state(&self.matching.operator, error))?;
        Ok(Snapshot::Ready(OperatorState {
            keyed: Some(keyed),
            list: vec![signature],
            ..OperatorState::default()
        }))
    }
}
