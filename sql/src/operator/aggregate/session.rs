//! Sessions: windows that the rows of a key make themselves.
//!
//! Before the exchange each row gets the session that it is in within its batch ([`SessionAssigner`]), and rows are combined by key and session. Behind
//! it sessions of a key that touch each other become one ([`SessionAggregate`]), whatever the order in which they come.
//!
//! Rows that are the gap apart, and no more, belong together. So a session that ends at `t`, the gap behind its last row, is over when no row
//! of time `t` can come any more: when the watermark has reached `t`. Its time is `t - 1`, so the operator's own watermark is 1 ms behind.

mod assigner;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    ArrayRef, RecordBatch, RecordBatchOptions, TimestampMillisecondArray, UInt32Array,
};
use arrow_cast::cast;
use arrow_schema::DataType;
use riverrun_dataflow::{
    Barrier, Batch, Clock, Error, Operator, OperatorContext, OperatorMetrics, OperatorState,
    Output, RestoredState, Result, Snapshot, StateTable, Timestamp, Watermark, WatermarkFrontier,
};

use super::partial::PartialLayout;
use super::spec::{AggregateSpec, OutputColumn};
use super::window::Updates;
use crate::Changes;
use crate::aggregate::Accumulator;
use crate::operator::calc::failed;
use crate::operator::emission::BATCH_ROWS;
use crate::operator::reached::Reached;
use crate::state::{RowBytes, RowCodec};

pub use self::assigner::{SessionAssigner, SessionAssignerSpec};
use self::shown::{Content, Session, Shown, differences, finish, show};

const TABLE: u8 = 0;

/// What is aggregated by session.
#[derive(Debug, Clone)]
pub struct SessionSpec {
    /// What is aggregated. The last two columns of its key are the start and the end of the session within a batch.
    pub aggregate: Arc<AggregateSpec>,
    /// How far rows of a session may be apart, in milliseconds.
    pub gap: i64,
    /// Whether sessions follow event time; if not, processing time.
    pub event_time: bool,
    /// When results come that are not final.
    pub updates: Updates,
}

/// A session as the rows of a batch make it.
struct Merged {
    start: Timestamp,
    end: Timestamp,
    rows: Vec<usize>,
    /// Sessions that were there, by their place among the old states.
    old: Vec<usize>,
    shown: Vec<Content>,
    /// One of those is not over: its key is looked at by its end anyway.
    awaited: bool,
}

/// Keeps the open sessions of each key, and puts each out when it is over. By processing time nothing is late: rows that come when their session is
/// over are of the present.
pub struct SessionAggregate {
    spec: SessionSpec,
    layout: PartialLayout,
    operator: String,
    key_groups: u16,
    metrics: Arc<OperatorMetrics>,
    clock: Option<Arc<dyn Clock>>,
    keys: Option<RowCodec>,
    states: Option<RowCodec>,
    accumulators: Vec<Box<dyn Accumulator>>,
    table: StateTable<RowBytes, Vec<Session>>,
    /// When keys may have a session that is over, or gone. What has been put off since is found out then.
    due: BTreeMap<Timestamp, BTreeSet<RowBytes>>,
    reached: Reached,
    /// Keys with changes that are not put out.
    changed: BTreeSet<RowBytes>,
    /// When early results are due.
    early_at: Option<Timestamp>,
    /// When results with late rows are due.
    late_at: Option<Timestamp>,
    frontier: WatermarkFrontier,
    restored: Option<RestoredState>,
}

impl SessionAggregate {
    /// The operator of this spec; its input must be what a [`Combine`](super::Combine) of the same aggregation hands on.
    pub fn new(spec: SessionSpec) -> Self {
        let layout = PartialLayout::new(&spec.aggregate, false);
        Self {
            spec,
            layout,
            operator: "session".to_owned(),
            key_groups: 1,
            metrics: Arc::default(),
            clock: None,
            keys: None,
            states: None,
            accumulators: Vec::new(),
            table: StateTable::default(),
            due: BTreeMap::new(),
            reached: Reached::default(),
            changed: BTreeSet::new(),
            early_at: None,
            late_at: None,
            frontier: WatermarkFrontier::default(),
            restored: None,
        }
    }

    /// Number of key columns without those of the session.
    fn own_keys(&self) -> usize {
        self.spec.aggregate.keys.len().saturating_sub(2)
    }

    fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or(0, |clock| clock.now())
    }

    /// The first and last instant for the rows of a batch that make a session.
    fn bounds(&self, start: Timestamp, end: Timestamp) -> (Timestamp, Timestamp) {
        if self.spec.event_time || end > self.reached.timestamp() {
            return (start, end);
        }
        // What is on its way while the clock goes on comes now.
        let now = self.reached.timestamp().saturating_add(1);
        (now, now.saturating_add(self.spec.gap))
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let (Some(keys), Some(states)) = (&self.keys, &self.states) else { return Ok(()) };
        let operator = self.operator.clone();
        let bad = |error| failed(&operator, error);
        let view = self.layout.view(&operator, batch)?;
        let own = self.own_keys();
        let rows = keys.encode(&operator, &view.keys[..own], batch.num_rows())?;
        let [starts, ends] = [own, own + 1].map(|at| view.keys[at].as_primitive::<Int64Type>());
        let reached = self.reached.timestamp();
        let gone = reached.saturating_sub(self.spec.updates.lateness);
        let mut touched: BTreeMap<&[u8], Vec<Merged>> = BTreeMap::new();
        let mut old_states: Vec<RowBytes> = Vec::new();
        let mut late = 0;
        for row in 0..batch.num_rows() {
            let key = rows.row(row);
            let of_key = touched.entry(key).or_insert_with(|| {
                let open = self.table.get(0, key).into_iter().flatten();
                open.map(|session| {
                    let Content { start, end, ref state } = session.content;
                    old_states.push(state.clone());
                    let old = vec![old_states.len() - 1];
                    let (awaited, shown) = (end > reached, session.shown.clone());
                    Merged { start, end, rows: vec![], old, shown, awaited }
                })
                .collect()
            });
            let (start, end) = self.bounds(starts.value(row), ends.value(row));
            let (rows, awaited) = (vec![row], false);
            let mut merged = Merged { start, end, rows, old: vec![], shown: vec![], awaited };
            let touches = |other: &Merged| other.start <= merged.end && merged.start <= other.end;
            // Sessions that are there do not touch each other: those that touch the new one meet in it only.
            let with: Vec<Merged> = of_key.extract_if(.., |other| touches(other)).collect();
            for other in with {
                merged.start = merged.start.min(other.start);
                merged.end = merged.end.max(other.end);
                merged.rows.extend(other.rows);
                merged.old.extend(other.old);
                merged.shown.extend(other.shown);
                merged.awaited |= other.awaited;
            }
            if merged.end <= gone {
                late += view.rows.value(row).unsigned_abs();
            } else {
                of_key.push(merged);
            }
        }
        let sessions: usize = touched.values().map(Vec::len).sum();
        let (mut of_row, mut of_old) = (vec![None; batch.num_rows()], vec![0; old_states.len()]);
        for (number, merged) in touched.values().flatten().enumerate() {
            merged.rows.iter().for_each(|row| of_row[*row] = Some(number));
            merged.old.iter().for_each(|old| of_old[*old] = number);
        }
        let kept: Vec<u32> =
            (0..).zip(&of_row).filter(|(_, number)| number.is_some()).map(|(row, _)| row).collect();
        let kept = UInt32Array::from(kept);
        let of_row: Vec<usize> = of_row.into_iter().flatten().collect();
        let old = states.decode(&operator, old_states.iter().map(RowBytes::as_slice))?;
        let (mut new, mut column) = (Vec::new(), 0);
        for (accumulator, added) in self.accumulators.iter_mut().zip(&view.states) {
            let of_call = column..column + added.len();
            column = of_call.end;
            accumulator.ensure(sessions).map_err(bad)?;
            if !old_states.is_empty() {
                accumulator.merge(&old[of_call], &of_old, sessions).map_err(bad)?;
            }
            let added = added.iter().map(|state| arrow_select::take::take(state, &kept, None));
            let added = added.collect::<std::result::Result<Vec<_>, _>>();
            let added = added.map_err(|error| failed(&operator, error))?;
            accumulator.merge(&added, &of_row, sessions).map_err(bad)?;
            new.extend(accumulator.finish(sessions).map_err(bad)?);
        }
        let new = states.encode(&operator, &new, sessions)?;
        let mut number = 0;
        for (key, merged) in touched {
            let mut of_key = Vec::with_capacity(merged.len());
            for session in merged {
                let Merged { start, end, shown, rows, awaited, .. } = session;
                let state = new.row(number).into();
                number += 1;
                if !rows.is_empty() {
                    if !awaited {
                        look_at(&mut self.due, key, end, self.spec.updates, reached);
                    }
                    if self.spec.updates.any() {
                        self.changed.insert(key.into());
                    }
                }
                of_key.push(Session { content: Content { start, end, state }, shown });
            }
            if !of_key.is_empty() {
                self.table.put(0, key.into(), of_key);
            }
        }
        if late > 0 {
            OperatorMetrics::add(&self.metrics.late_records, late);
        }
        Ok(())
    }

    /// Puts out the sessions that end by `to`, and forgets those that take no more rows.
    fn advance(&mut self, to: Timestamp, out: &mut dyn Output) -> Result<()> {
        let gone = to.saturating_sub(self.spec.updates.lateness);
        let mut over: Vec<Shown> = Vec::new();
        let reached = self.reached.timestamp();
        while let Some(first) = self.due.first_entry().filter(|due| *due.key() <= to) {
            for key in first.remove() {
                let Some(of_key) = self.table.get_mut(0, key.as_slice()) else { continue };
                for session in of_key.extract_if(.., |session| session.content.end <= gone) {
                    finish(&key, session, &mut over);
                }
                let is_due = |end: Timestamp| reached < end && end <= to;
                for session in of_key.iter_mut().filter(|session| is_due(session.content.end)) {
                    show(&key, session, &mut over);
                }
                // They may have grown since it was said when to look at them.
                for session in of_key.iter() {
                    let end = session.content.end;
                    look_at(&mut self.due, key.as_slice(), end, self.spec.updates, to);
                }
                if of_key.is_empty() {
                    self.table.remove(0, &key);
                }
            }
        }
        self.reached.advance_to(to);
        self.emit(&over, out)
    }

    /// Puts out what has changed of sessions that are over (`late`), or are not.
    fn show_changed(&mut self, late: bool, out: &mut dyn Output) -> Result<()> {
        let (mut shown, mut others) = (Vec::new(), BTreeSet::new());
        for key in std::mem::take(&mut self.changed) {
            let Some(of_key) = self.table.get_mut(0, key.as_slice()) else { continue };
            for session in of_key.iter_mut().filter(|session| !session.is_shown()) {
                if (session.content.end <= self.reached.timestamp()) == late {
                    show(&key, session, &mut shown);
                } else {
                    others.insert(key.clone());
                }
            }
        }
        self.changed = others;
        self.emit(&shown, out)
    }

    /// Puts out changes of sessions that are over, or arranges for them, and for those of the others.
    fn after_rows(&mut self, out: &mut dyn Output) -> Result<()> {
        if self.spec.updates.lateness > 0 && self.spec.updates.late.is_none() {
            self.show_changed(true, out)?;
        }
        self.arrange();
        Ok(())
    }

    /// Says when changes are due.
    fn arrange(&mut self) {
        let Updates { early, late, .. } = self.spec.updates;
        if early.is_none() && late.is_none() {
            self.changed.clear();
        }
        if self.changed.is_empty() {
            return;
        }
        let now = self.now();
        // Which of the two it is that has changed is found out when it is due.
        for (delay, at) in [(early, &mut self.early_at), (late, &mut self.late_at)] {
            if let Some(delay) = delay.filter(|_| at.is_none()) {
                *at = Some(now.saturating_add(delay));
            }
        }
    }

    fn emit(&self, shown: &[Shown], out: &mut dyn Output) -> Result<()> {
        shown.chunks(BATCH_ROWS).try_for_each(|shown| {
            let rows = self.rows(shown)?;
            let changes = match self.spec.updates.any() {
                true => differences(&self.operator, &rows, shown)?,
                false => Changes::inserts(rows),
            };
            match changes.is_empty() {
                true => Ok(()),
                false => out.emit(changes.into_batch(&self.operator, None)?),
            }
        })
    }

    fn rows(&self, over: &[Shown]) -> Result<RecordBatch> {
        let spec = &self.spec.aggregate;
        let (Some(keys), Some(states)) = (&self.keys, &self.states) else {
            return Ok(RecordBatch::new_empty(spec.output.clone()));
        };
        let keys = keys.decode(&self.operator, over.iter().map(|shown| shown.key.as_slice()))?;
        let rows = over.iter().map(|shown| shown.content.state.as_slice());
        let states = states.decode(&self.operator, rows)?;
        let (mut results, mut column) = (Vec::with_capacity(spec.calls.len()), 0);
        for call in &spec.calls {
            let of_call = column..column + call.function.state_types().len();
            column = of_call.end;
            let result = call.function.evaluate(&states[of_call]);
            results.push(result.map_err(|error| failed(&self.operator, error))?);
        }
        let time = |at: usize, of: fn(&Content) -> Timestamp| {
            let times = over.iter().map(|shown| of(&shown.content));
            let times = TimestampMillisecondArray::from_iter_values(times);
            cast(&times, spec.output.field(at).data_type())
                .map_err(|error| Error::io(&self.operator, error))
        };
        let columns = spec.columns.iter().enumerate().map(|(at, column)| match column {
            OutputColumn::Key(key) => Ok(keys[*key].clone()),
            OutputColumn::Call(call) => Ok(results[*call].clone()),
            OutputColumn::WindowStart => time(at, |session| session.start),
            OutputColumn::WindowEnd => time(at, |session| session.end),
            OutputColumn::WindowTime => time(at, |session| session.end.saturating_sub(1)),
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(over.len()));
        RecordBatch::try_new_with_options(spec.output.clone(), columns, &options)
            .map_err(|error| Error::io(&self.operator, error))
    }
}

/// Arranges for a look at a key when event time, which is at `now`, is at the end of a session of it, or, when it is past that, where the session
/// takes no more rows.
fn look_at(
    due: &mut BTreeMap<Timestamp, BTreeSet<RowBytes>>,
    key: &[u8],
    end: Timestamp,
    updates: Updates,
    now: Timestamp,
) {
    let at = if end > now { end } else { end.saturating_add(updates.lateness) };
    if at > now {
        due.entry(at).or_default().insert(key.into());
    }
}

impl Operator for SessionAggregate {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        self.restored = Some(state);
        Ok(())
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.key_groups = context.key_groups;
        self.metrics = context.metrics.clone();
        self.clock = Some(context.clock.clone());
        let spec = &self.spec.aggregate;
        let types: Vec<DataType> = spec.key_types().take(self.own_keys()).collect();
        self.keys = Some(RowCodec::new(&self.operator, types)?);
        let calls = &spec.calls;
        let types = calls.iter().flat_map(|call| call.function.state_types().iter().cloned());
        self.states = Some(RowCodec::new(&self.operator, types)?);
        let accumulators = calls.iter().map(|call| call.function.accumulator());
        let accumulators = accumulators.collect::<datafusion::common::Result<_>>();
        self.accumulators = accumulators.map_err(|error| failed(&self.operator, error))?;
        if let Some(restored) = self.restored.take() {
            self.reached = Reached::restored(&self.operator, &restored.list)?;
            for chain in &restored.keyed {
                self.table.restore(&self.operator, TABLE, chain)?;
            }
            for (key, sessions) in self.table.iter(0) {
                for session in sessions {
                    let (end, updates) = (session.content.end, self.spec.updates);
                    look_at(&mut self.due, key.as_slice(), end, updates, Timestamp::MIN);
                    if updates.any() {
                        // Which results were due is not kept.
                        self.changed.insert(key.clone());
                    }
                }
            }
            self.arrange();
        }
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let batch = batch.into_columns(&self.operator)?.batch;
        self.take(&batch)?;
        self.after_rows(out)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        if watermark == Watermark::MAX {
            let sessions = self.table.iter(0).flat_map(|(_, sessions)| sessions);
            let last = sessions.map(|session| session.content.end).max();
            self.advance(last.unwrap_or(Timestamp::MIN), out)?;
            self.show_changed(true, out)?;
            return out.emit_watermark(watermark);
        }
        if !self.spec.event_time {
            return out.emit_watermark(watermark);
        }
        self.advance(watermark.timestamp(), out)?;
        match self.frontier.advance_to(watermark.timestamp().saturating_sub(1)) {
            Some(watermark) => out.emit_watermark(watermark),
            None => Ok(()),
        }
    }

    fn next_timer(&self) -> Option<Timestamp> {
        let first = self.due.first_key_value().filter(|_| !self.spec.event_time);
        let end = first.map(|(end, _)| end.saturating_add(1));
        [end, self.early_at, self.late_at].into_iter().flatten().min()
    }

    fn on_time(&mut self, now: Timestamp, out: &mut dyn Output) -> Result<()> {
        if !self.spec.event_time {
            self.advance(now.saturating_sub(1), out)?;
        }
        if self.late_at.take_if(|at| *at <= now).is_some() {
            self.show_changed(true, out)?;
        }
        if self.early_at.take_if(|at| *at <= now).is_some() {
            self.show_changed(false, out)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let table = self.table.snapshot(barrier.kind);
        let (operator, key_groups) = (self.operator.clone(), self.key_groups);
        let list = vec![self.reached.encode(&operator)?];
        Ok(Snapshot::Deferred(Box::new(move || {
            let keyed = Some(table.encode(&operator, TABLE, key_groups)?);
            Ok(OperatorState { keyed, list, ..OperatorState::default() })
        })))
    }
}

#[cfg(test)]
mod tests;
