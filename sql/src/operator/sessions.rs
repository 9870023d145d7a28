//! The session that a row belongs to.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use datafusion::physical_expr::PhysicalExpr;
use hashbrown::HashMap;
use riverrun_dataflow::{
    Barrier, Batch, Entries, Error, Operator, OperatorContext, OperatorMetrics, OperatorState,
    Output, RestoredState, Result, Snapshot, Timestamp, Watermark, WatermarkFrontier,
};

use super::calc::evaluate_times;
use super::emission::BATCH_ROWS;
use super::reached::Reached;
use super::windows::timestamps;
use crate::Changes;
use crate::state::{Multimap, RowBytes, RowCodec};

/// Number of the table of waiting rows in a snapshot.
const TABLE: u8 = 0;

/// The one namespace.
const ALL: i64 = 0;

/// What [`Sessions`] does.
#[derive(Debug, Clone)]
pub struct SessionsSpec {
    /// The rows.
    pub input: SchemaRef,
    /// The columns whose values have sessions of their own.
    pub key: Vec<usize>,
    /// The time of a row.
    pub time: Arc<dyn PhysicalExpr>,
    /// How long there must be nothing before a session is over, in milliseconds: rows that are exactly so far apart belong to one.
    pub gap: i64,
    /// Whether sessions follow event time; if not, processing time.
    pub event_time: bool,
    /// Whether rows may be taken back. What is left of a session may then have been over for as long as the gap: event time is as far behind.
    pub retracts: bool,
    /// The rows' columns, then `window_start`, `window_end` and `window_time`.
    pub output: SchemaRef,
}

/// Keeps rows until their session is over, then puts them out with its bounds. Rows whose session is over when they come are late: they are
/// counted and left out; by processing time, they are taken as of the present. A row whose time is NULL has no session.
///
/// What a session is follows from the rows that are there when it is over. A row that was taken back before then does not count: without
/// it a session may be shorter, or two. What is put out stays.
pub struct Sessions {
    spec: SessionsSpec,
    operator: String,
    keys: RowCodec,
    rows: RowCodec,
    /// Key -> (time, row), in the order of time -> weight.
    waiting: Multimap,
    due: Due,
    reached: Reached,
    frontier: WatermarkFrontier,
    key_groups: u16,
    metrics: Arc<OperatorMetrics>,
}

/// When to look at which key again: not after its first session is over.
#[derive(Default)]
struct Due {
    order: BTreeSet<(Timestamp, RowBytes)>,
    of: HashMap<RowBytes, Timestamp, foldhash::fast::FixedState>,
}

impl Due {
    fn set(&mut self, key: &[u8], at: Timestamp) {
        match self.of.get_mut(key) {
            Some(before) if *before <= at => {}
            Some(before) => {
                self.order.remove(&(*before, RowBytes::from(key)));
                *before = at;
                self.order.insert((at, RowBytes::from(key)));
            }
            None => {
                self.of.insert(RowBytes::from(key), at);
                self.order.insert((at, RowBytes::from(key)));
            }
        }
    }

    /// The next key that is to be looked at when event time has come to `now`.
    fn take(&mut self, now: Timestamp) -> Option<RowBytes> {
        let first = self.order.first().filter(|(at, _)| *at <= now)?.clone();
        self.order.remove(&first);
        self.of.remove(first.1.as_slice());
        Some(first.1)
    }
}

/// Bytes that sort as the times do.
fn ordered(time: Timestamp) -> [u8; 8] {
    ((time as u64) ^ (1 << 63)).to_be_bytes()
}

/// The time and the row of a waiting value.
fn parted(value: &[u8]) -> (Timestamp, &[u8]) {
    let (time, row) = value.split_at(value.len().min(8));
    let mut bytes = [0; 8];
    bytes[..time.len()].copy_from_slice(time);
    ((u64::from_be_bytes(bytes) ^ (1 << 63)) as i64, row)
}

/// Rows of sessions that are over.
#[derive(Default)]
struct Over {
    rows: Vec<RowBytes>,
    starts: Vec<Timestamp>,
    ends: Vec<Timestamp>,
}

impl Sessions {
    /// The operator of this spec.
    ///
    /// # Errors
    /// [`Error::Io`] for columns that cannot be kept.
    pub fn new(spec: SessionsSpec) -> Result<Self> {
        let operator = "sessions".to_owned();
        let types = spec.key.iter().map(|at| spec.input.field(*at).data_type().clone());
        let keys = RowCodec::new(&operator, types)?;
        let rows = RowCodec::of_schema(&operator, &spec.input)?;
        Ok(Self {
            spec,
            operator,
            keys,
            rows,
            waiting: Multimap::default(),
            due: Due::default(),
            reached: Reached::default(),
            frontier: WatermarkFrontier::default(),
            key_groups: 1,
            metrics: Arc::default(),
        })
    }

    /// How far event time must have come for a session to be over whose last row is at `time`: until then a row exactly a gap later
    /// may come.
    fn closes(&self, time: Timestamp) -> Timestamp {
        time.saturating_add(self.spec.gap)
    }

    /// Whether a row comes too late: its own session would be over, and it holds on to no other that is not.
    fn is_late(&self, key: &[u8], time: Timestamp) -> bool {
        if self.closes(time) > self.reached.timestamp() {
            return false;
        }
        let near = |other: Timestamp| other.abs_diff(time) <= self.spec.gap.unsigned_abs();
        let values = self.waiting.values(ALL, key);
        !values.is_some_and(|values| {
            let mut there = values.iter().filter(|(_, weight)| **weight > 0);
            there.any(|(value, _)| near(parted(value.as_slice()).0))
        })
    }

    /// Puts out all sessions that are over when event time has come to `now`.
    fn close(&mut self, now: Timestamp, out: &mut dyn Output) -> Result<()> {
        let mut over = Over::default();
        while let Some(key) = self.due.take(now) {
            let Some(values) = self.waiting.values(ALL, key.as_slice()) else { continue };
            let mut open: Option<Timestamp> = None;
            let mut wait_for = |closes: Timestamp| {
                open = Some(open.map_or(closes, |open| open.min(closes)));
            };
            let mut done: Vec<RowBytes> = Vec::new();
            let mut session: Vec<(RowBytes, i64)> = Vec::new();
            let mut bounds: Option<(Timestamp, Timestamp)> = None;
            let mut finish = |session: &mut Vec<(RowBytes, i64)>, first, last: Timestamp| {
                let closes = last.saturating_add(self.spec.gap);
                if closes > now {
                    wait_for(closes);
                    session.clear();
                    return;
                }
                for (value, weight) in session.drain(..) {
                    // Several equal rows come out as several rows: streams of plain insertions have no weights.
                    for _ in 0..weight {
                        over.rows.push(RowBytes::from(parted(value.as_slice()).1));
                        over.starts.push(first);
                        over.ends.push(closes);
                    }
                    done.push(value);
                }
            };
            let mut owed: Vec<(RowBytes, Timestamp)> = Vec::new();
            for (value, weight) in values.iter() {
                let (time, _) = parted(value.as_slice());
                if *weight <= 0 {
                    owed.push((value.clone(), self.closes(time)));
                    continue;
                }
                bounds = match bounds {
                    Some((first, last)) if time.saturating_sub(last) <= self.spec.gap => {
                        Some((first, time))
                    }
                    Some((first, last)) => {
                        finish(&mut session, first, last);
                        Some((time, time))
                    }
                    None => Some((time, time)),
                };
                session.push((value.clone(), *weight));
            }
            if let Some((first, last)) = bounds {
                finish(&mut session, first, last);
            }
            // Rows that were taken back before they came: when they come, they are late.
            for (value, closes) in owed {
                if closes > now {
                    wait_for(closes);
                } else {
                    done.push(value);
                }
            }
            for value in done {
                self.waiting
                    .update(ALL, key.as_slice(), value.as_slice(), |weight: &mut i64| *weight = 0);
            }
            if let Some(closes) = open {
                self.due.set(key.as_slice(), closes);
            }
            if over.rows.len() >= BATCH_ROWS {
                self.emit(std::mem::take(&mut over), out)?;
            }
        }
        self.emit(over, out)
    }

    fn emit(&self, over: Over, out: &mut dyn Output) -> Result<()> {
        if over.rows.is_empty() {
            return Ok(());
        }
        let rows = over.rows.iter().map(RowBytes::as_slice);
        let mut columns: Vec<ArrayRef> = self.rows.decode(&self.operator, rows)?;
        let times: Vec<Timestamp> = over.ends.iter().map(|end| end - 1).collect();
        for values in [over.starts, over.ends, times] {
            let data_type = self.spec.output.field(columns.len()).data_type();
            columns.push(timestamps(values, data_type));
        }
        let rows = RecordBatch::try_new(self.spec.output.clone(), columns)
            .map_err(|error| Error::io(&self.operator, error))?;
        out.emit(Changes::inserts(rows).into_batch(&self.operator, None)?)
    }
}

impl Operator for Sessions {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        for chain in &state.keyed {
            self.waiting.restore(&self.operator, TABLE, chain)?;
        }
        self.reached = Reached::restored(&self.operator, &state.list)?;
        Ok(())
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.key_groups = context.key_groups;
        self.metrics = context.metrics.clone();
        for (key, values) in self.waiting.iter(ALL) {
            if let Some((value, _)) = values.iter().next() {
                let at = parted(value.as_slice()).0.saturating_add(self.spec.gap);
                self.due.set(key.as_slice(), at);
            }
        }
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Output) -> Result<()> {
        let changes = Changes::of(batch, &self.operator)?;
        let times = evaluate_times(&self.operator, "a time", &self.spec.time, &changes.rows)?;
        let columns: Vec<ArrayRef> =
            self.spec.key.iter().map(|at| changes.rows.column(*at).clone()).collect();
        let keys = self.keys.encode(&self.operator, &columns, changes.len())?;
        let rows = self.rows.encode(&self.operator, changes.rows.columns(), changes.len())?;
        let (mut value, mut late) = (Vec::new(), 0);
        for (at, time) in times.iter().enumerate() {
            let Some(mut time) = time else { continue };
            let key = keys.row(at);
            if !self.spec.event_time {
                // What is on its way while the clock goes on comes now.
                time = time.max(self.reached.timestamp().saturating_add(1));
            } else if self.is_late(key, time) {
                late += changes.weight(at).unsigned_abs();
                continue;
            }
            value.clear();
            value.extend_from_slice(&ordered(time));
            value.extend_from_slice(rows.row(at));
            let weight = changes.weight(at);
            self.waiting.add(ALL, key, &value, weight);
            // Without a row, what comes before it may be over at once.
            self.due.set(key, if weight > 0 { self.closes(time) } else { Timestamp::MIN });
        }
        if late > 0 {
            OperatorMetrics::add(&self.metrics.late_records, late);
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        let now = match watermark {
            // At the end of the input event time is where the last session ends: a run that goes on from here calls nothing late that was not.
            Watermark::MAX => {
                let last = self.waiting.iter(ALL).filter_map(|(_, values)| {
                    values
                        .iter()
                        .next_back()
                        .map(|(value, _)| self.closes(parted(value.as_slice()).0))
                });
                last.max().unwrap_or(self.reached.timestamp())
            }
            watermark if !self.spec.event_time => return out.emit_watermark(watermark),
            watermark => watermark.timestamp(),
        };
        self.close(now, out)?;
        self.reached.advance_to(now);
        // A session comes out when event time is at its end, and its rows are at the millisecond before: what follows must not take them for late.
        let behind = match watermark {
            Watermark::MAX => Some(watermark),
            watermark => {
                let hold = if self.spec.retracts { self.spec.gap.saturating_add(1) } else { 1 };
                self.frontier.advance_to(watermark.timestamp().saturating_sub(hold))
            }
        };
        behind.map_or(Ok(()), |watermark| out.emit_watermark(watermark))
    }

    fn next_timer(&self) -> Option<Timestamp> {
        let first = self.due.order.first().filter(|_| !self.spec.event_time)?;
        Some(first.0.saturating_add(1))
    }

    fn on_time(&mut self, now: Timestamp, out: &mut dyn Output) -> Result<()> {
        if self.spec.event_time {
            return Ok(());
        }
        let now = now.saturating_sub(1);
        self.close(now, out)?;
        self.reached.advance_to(now);
        Ok(())
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let mut entries = Entries::new(self.key_groups);
        let kind = barrier.kind;
        self.waiting.snapshot_into(&self.operator, TABLE, kind, self.key_groups, &mut entries)?;
        Ok(Snapshot::Ready(OperatorState {
            keyed: Some(entries.finish(kind)),
            list: vec![self.reached.encode(&self.operator)?],
            ..OperatorState::default()
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow_array::cast::AsArray;
    use arrow_array::types::{Int64Type, TimestampMillisecondType};
    use arrow_array::{Int64Array, TimestampMillisecondArray};
    use arrow_schema::{DataType, Field, Schema, TimeUnit};
    use datafusion::physical_expr::expressions::Column;
    use proptest::prelude::*;
    use riverrun_dataflow::SnapshotKind;
    use riverrun_dataflow::testing::Harness;

    use super::*;

    const GAP: i64 = 10;

    /// (key, time, start, end) of each row, found by a look at all of them.
    fn model(
        times: &BTreeMap<i64, Vec<Timestamp>>,
        gap: i64,
    ) -> Vec<(i64, Timestamp, Timestamp, Timestamp)> {
        let mut result = Vec::new();
        for (key, times) in times {
            let mut times = times.clone();
            times.sort_unstable();
            let mut begin = 0;
            for at in 1..=times.len() {
                if at == times.len() || times[at] - times[at - 1] > gap {
                    let (first, last) = (times[begin], times[at - 1]);
                    result.extend(
                        times[begin..at].iter().map(|time| (*key, *time, first, last + gap)),
                    );
                    begin = at;
                }
            }
        }
        result.sort_unstable();
        result
    }

    fn operator(retracts: bool) -> Sessions {
        let time = || DataType::Timestamp(TimeUnit::Millisecond, None);
        let own = vec![Field::new("k", DataType::Int64, true), Field::new("ts", time(), true)];
        let mut all = own.clone();
        all.extend(
            ["window_start", "window_end", "window_time"].map(|n| Field::new(n, time(), false)),
        );
        Sessions::new(SessionsSpec {
            input: Arc::new(Schema::new(own)),
            key: vec![0],
            time: Arc::new(Column::new("ts", 1)),
            gap: GAP,
            event_time: true,
            retracts,
            output: Arc::new(Schema::new(all)),
        })
        .unwrap()
    }

    proptest! {
        /// Rows that are out of order by less than the watermark's delay come out once each, with the bounds of the session that a look at all rows
        /// finds, before the watermark that goes on passes it; also when state is restored in between.
        #[test]
        fn rows_come_out_with_their_sessions(
            rows in proptest::collection::vec((0i64..4, 0i64..6, 0i64..8), 1..60),
            restart in 0usize..60,
        ) {
            let mut harness = Harness::open(operator(false)).unwrap();
            let mut chain = vec![harness.snapshot(SnapshotKind::Full).unwrap()];
            let (mut now, mut reached) = (0, i64::MIN);
            let mut expected: BTreeMap<i64, Vec<Timestamp>> = BTreeMap::new();
            let mut got = Vec::new();
            let mut collect = |harness: &mut Harness<Sessions>, reached: i64| {
                for batch in harness.out.batches.drain(..) {
                    let rows = Changes::of(batch, "test").unwrap().rows;
                    let times = |at: usize| rows.column(at).as_primitive::<TimestampMillisecondType>().clone();
                    let keys = rows.column(0).as_primitive::<Int64Type>();
                    for row in 0..rows.num_rows() {
                        let (start, end) = (times(2).value(row), times(3).value(row));
                        assert!(end - 1 > reached - 1 && times(4).value(row) == end - 1);
                        got.push((keys.value(row), times(1).value(row), start, end));
                    }
                }
            };
            for (at, (key, step, back)) in rows.into_iter().enumerate() {
                if at == restart {
                    chain.push(harness.snapshot(SnapshotKind::Delta).unwrap());
                    let list = chain[1].list.clone();
                    let keyed = chain.iter().map(|state| state.keyed.clone().unwrap()).collect();
                    let mut restored = operator(false);
                    restored.restore(RestoredState { keyed: vec![keyed], list, ..RestoredState::default() }).unwrap();
                    harness = Harness::open(restored).unwrap();
                }
                now += step;
                let time = now - back;
                expected.entry(key).or_default().push(time);
                let schema = harness.operator.spec.input.clone();
                let batch = RecordBatch::try_new(schema, vec![
                    Arc::new(Int64Array::from(vec![key])),
                    Arc::new(TimestampMillisecondArray::from(vec![time])),
                ]).unwrap();
                let batch = Changes::inserts(batch).into_batch("test", None).unwrap();
                harness.operator.process(0, batch, &mut harness.out).unwrap();
                if now - 9 > reached {
                    harness.watermark(now - 9).unwrap();
                    collect(&mut harness, reached);
                    reached = now - 9;
                }
            }
            harness.end().unwrap();
            collect(&mut harness, reached);
            got.sort_unstable();
            prop_assert_eq!(got, model(&expected, GAP));
            prop_assert_eq!(OperatorMetrics::read(&harness.metrics.late_records), 0);
        }

        /// Rows that are taken back, before or after they come, are not there: what comes out is what a look at the others finds.
        #[test]
        fn rows_that_are_taken_back_hold_no_session_together(
            rows in proptest::collection::vec((0i64..3, 0i64..6, 0i64..8, 0u8..6), 1..60),
            restart in 0usize..60,
        ) {
            let mut harness = Harness::open(operator(true)).unwrap();
            let mut chain = vec![harness.snapshot(SnapshotKind::Full).unwrap()];
            let (mut now, mut reached) = (0, i64::MIN);
            let mut expected: BTreeMap<i64, Vec<Timestamp>> = BTreeMap::new();
            let mut got = Vec::new();
            let mut put_off: Vec<(i64, Timestamp, i64)> = Vec::new();
            for (at, (key, step, back, what)) in rows.into_iter().enumerate() {
                if at == restart {
                    chain.push(harness.snapshot(SnapshotKind::Delta).unwrap());
                    let list = chain[1].list.clone();
                    let keyed = chain.iter().map(|state| state.keyed.clone().unwrap()).collect();
                    let mut restored = operator(true);
                    restored.restore(RestoredState { keyed: vec![keyed], list, ..RestoredState::default() }).unwrap();
                    let batches = std::mem::take(&mut harness.out.batches);
                    harness = Harness::open(restored).unwrap();
                    harness.out.batches = batches;
                }
                now += step;
                let time = now - back;
                let mut changes = std::mem::take(&mut put_off);
                match what {
                    0 => put_off.push((key, time, -1)),
                    1 => put_off.push((key, time, 1)),
                    _ => expected.entry(key).or_default().push(time),
                }
                changes.push((key, time, if what == 1 { -1 } else { 1 }));
                for (key, time, weight) in changes {
                    let schema = harness.operator.spec.input.clone();
                    let batch = RecordBatch::try_new(schema, vec![
                        Arc::new(Int64Array::from(vec![key])),
                        Arc::new(TimestampMillisecondArray::from(vec![time])),
                    ]).unwrap();
                    let weights = Int64Array::from(vec![weight]);
                    let batch = Changes::weighted(batch, weights).into_batch("test", None).unwrap();
                    harness.operator.process(0, batch, &mut harness.out).unwrap();
                }
                if now - 9 > reached {
                    reached = now - 9;
                    harness.watermark(reached).unwrap();
                }
            }
            for (key, time, weight) in put_off {
                let schema = harness.operator.spec.input.clone();
                let batch = RecordBatch::try_new(schema, vec![
                    Arc::new(Int64Array::from(vec![key])),
                    Arc::new(TimestampMillisecondArray::from(vec![time])),
                ]).unwrap();
                let batch = Changes::weighted(batch, Int64Array::from(vec![weight])).into_batch("test", None).unwrap();
                harness.operator.process(0, batch, &mut harness.out).unwrap();
            }
            harness.end().unwrap();
            for batch in harness.out.batches.drain(..) {
                let changes = Changes::of(batch, "test").unwrap();
                prop_assert!(changes.weights.is_none());
                let times = |at: usize| changes.rows.column(at).as_primitive::<TimestampMillisecondType>().clone();
                let keys = changes.rows.column(0).as_primitive::<Int64Type>();
                for row in 0..changes.len() {
                    got.push((keys.value(row), times(1).value(row), times(2).value(row), times(3).value(row)));
                }
            }
            got.sort_unstable();
            prop_assert_eq!(got, model(&expected, GAP));
            prop_assert_eq!(OperatorMetrics::read(&harness.metrics.late_records), 0);
        }
    }
}
