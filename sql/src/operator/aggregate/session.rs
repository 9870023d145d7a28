//! Sessions: windows that the rows of a key make themselves.
//!
//! Before the exchange each row gets the session that it is in within its batch ([`SessionAssigner`]), and rows are combined by key and session. Behind
//! it sessions of a key that touch each other become one ([`SessionAggregate`]), whatever the order in which they come.
//!
//! Rows that are the gap apart, and no more, belong together. So a session that ends at `t`, the gap behind its last row, is over when no row
//! of time `t` can come any more: when the watermark has reached `t`. Its time is `t - 1`, so the operator's own watermark is 1 ms behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{
    Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray,
    UInt32Array,
};
use arrow_cast::cast;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::take::take_record_batch;
use riverrun_dataflow::{
    Barrier, Batch, Clock, Error, Operator, OperatorContext, OperatorMetrics, OperatorState,
    Output, RestoredState, Result, Snapshot, StateTable, Timestamp, Watermark, WatermarkFrontier,
};
use serde::{Deserialize, Serialize};

use super::partial::PartialLayout;
use super::spec::{AggregateSpec, OutputColumn};
use crate::Changes;
use crate::aggregate::Accumulator;
use crate::operator::calc::failed;
use crate::operator::emission::BATCH_ROWS;
use crate::operator::reached::Reached;
use crate::state::{RowBytes, RowCodec};

const TABLE: u8 = 0;

/// What a [`SessionAssigner`] does.
#[derive(Debug, Clone)]
pub struct SessionAssignerSpec {
    /// The columns of the key.
    pub keys: Vec<usize>,
    /// The column of the row's time.
    pub time: usize,
    /// How far rows of a session may be apart, in milliseconds.
    pub gap: i64,
    /// The rows that come in.
    pub input: SchemaRef,
}

impl SessionAssignerSpec {
    /// The rows that come out: behind those that come in, the start and the end of their session.
    pub fn output(&self) -> SchemaRef {
        let mut fields: Vec<_> = self.input.fields().iter().cloned().collect();
        for name in ["session start", "session end"] {
            fields.push(Arc::new(Field::new(name, DataType::Int64, true)));
        }
        Arc::new(Schema::new(fields))
    }
}

/// Gives each row the session that it is in among the rows of its batch. Rows without a time are left out: they are in none.
pub struct SessionAssigner {
    spec: SessionAssignerSpec,
    output: SchemaRef,
    operator: String,
    codec: Option<RowCodec>,
}

impl SessionAssigner {
    /// The operator of this spec.
    pub fn new(spec: SessionAssignerSpec) -> Self {
        let output = spec.output();
        Self { spec, output, operator: "sessions".to_owned(), codec: None }
    }
}

impl Operator for SessionAssigner {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        let types = self.spec.keys.iter().map(|at| self.spec.input.field(*at).data_type().clone());
        self.codec = Some(RowCodec::new(&self.operator, types)?);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let split = batch.split;
        let Some(codec) = &self.codec else { return Ok(()) };
        let rows = Changes::of(batch, &self.operator)?.rows;
        let bad = |error| Error::io(&self.operator, error);
        let keys: Vec<ArrayRef> =
            self.spec.keys.iter().map(|at| rows.column(*at).clone()).collect();
        let keys = codec.encode(&self.operator, &keys, rows.num_rows())?;
        let times = rows.column(self.spec.time);
        let times = times.as_primitive_opt::<TimestampMillisecondType>().ok_or_else(|| {
            Error::io(&self.operator, format!("a time of {} has no sessions", times.data_type()))
        })?;
        let timed = (0..rows.num_rows()).filter(|row| times.is_valid(*row));
        let mut order: Vec<usize> = timed.collect();
        order.sort_unstable_by_key(|row| (keys.row(*row), times.value(*row)));
        let (mut starts, mut ends) = (Vec::with_capacity(order.len()), vec![0; order.len()]);
        for (at, row) in order.iter().enumerate() {
            let time = times.value(*row);
            let before = at.checked_sub(1).map(|at| order[at]).filter(|before| {
                keys.row(*before) == keys.row(*row)
                    && time.saturating_sub(times.value(*before)) <= self.spec.gap
            });
            starts.push(before.map_or(time, |_| starts[at - 1]));
            ends[at] = time.saturating_add(self.spec.gap);
        }
        // The end of a session is that of its last row.
        for at in (0..order.len().saturating_sub(1)).rev() {
            if starts[at + 1] == starts[at] && keys.row(order[at]) == keys.row(order[at + 1]) {
                ends[at] = ends[at + 1];
            }
        }
        let order = UInt32Array::from_iter_values(order.into_iter().map(|row| row as u32));
        let rows = take_record_batch(&rows, &order).map_err(bad)?;
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(Int64Array::from(starts)));
        columns.push(Arc::new(Int64Array::from(ends)));
        let rows = RecordBatch::try_new(self.output.clone(), columns).map_err(bad)?;
        out.emit(Changes::inserts(rows).into_batch(&self.operator, split)?)
    }
}

/// What is aggregated by session.
#[derive(Debug, Clone)]
pub struct SessionSpec {
    /// What is aggregated. The last two columns of its key are the start and the end of the session within a batch.
    pub aggregate: Arc<AggregateSpec>,
    /// Whether sessions follow event time; if not, processing time.
    pub event_time: bool,
}

/// A session of a key that is not over.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Session {
    start: Timestamp,
    end: Timestamp,
    state: RowBytes,
}

/// A session as the rows of a batch make it.
struct Merged {
    start: Timestamp,
    end: Timestamp,
    rows: Vec<usize>,
    /// Sessions that were there, by their place among the old states.
    old: Vec<usize>,
}

/// Keeps the open sessions of each key, and puts each out when it is over.
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
    /// When keys may have a session that is over. What has been put off since is found out then.
    due: BTreeMap<Timestamp, Vec<RowBytes>>,
    reached: Reached,
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
            frontier: WatermarkFrontier::default(),
            restored: None,
        }
    }

    /// Number of key columns without those of the session.
    fn own_keys(&self) -> usize {
        self.spec.aggregate.keys.len().saturating_sub(2)
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
        let mut touched: BTreeMap<&[u8], Vec<Merged>> = BTreeMap::new();
        let mut old_states: Vec<RowBytes> = Vec::new();
        let mut late = 0;
        for row in 0..batch.num_rows() {
            let key = rows.row(row);
            let of_key = touched.entry(key).or_insert_with(|| {
                let open = self.table.get(0, key).into_iter().flatten();
                open.map(|session| {
                    old_states.push(session.state.clone());
                    let Session { start, end, .. } = *session;
                    Merged { start, end, rows: vec![], old: vec![old_states.len() - 1] }
                })
                .collect()
            });
            let mut merged = Merged {
                start: starts.value(row),
                end: ends.value(row),
                rows: vec![row],
                old: vec![],
            };
            let touches = |other: &Merged| other.start <= merged.end && merged.start <= other.end;
            // Sessions that are there do not touch each other: those that touch the new one meet in it only.
            let with: Vec<Merged> = of_key.extract_if(.., |other| touches(other)).collect();
            for other in with {
                merged.start = merged.start.min(other.start);
                merged.end = merged.end.max(other.end);
                merged.rows.extend(other.rows);
                merged.old.extend(other.old);
            }
            if merged.end <= reached {
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
                let state = new.row(number).into();
                number += 1;
                if !session.rows.is_empty() {
                    self.due.entry(session.end).or_default().push(key.into());
                }
                of_key.push(Session { start: session.start, end: session.end, state });
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

    /// Puts out the sessions that end by `to`.
    fn advance(&mut self, to: Timestamp, out: &mut dyn Output) -> Result<()> {
        let mut over: Vec<(RowBytes, Session)> = Vec::new();
        while let Some(first) = self.due.first_entry().filter(|due| *due.key() <= to) {
            for key in first.remove() {
                let Some(of_key) = self.table.get_mut(0, key.as_slice()) else { continue };
                let ended = of_key.extract_if(.., |session| session.end <= to);
                over.extend(ended.map(|session| (key.clone(), session)));
                if of_key.is_empty() {
                    self.table.remove(0, &key);
                }
            }
        }
        self.reached.advance_to(to);
        over.chunks(BATCH_ROWS).try_for_each(|over| self.emit(over, out))
    }

    fn emit(&self, over: &[(RowBytes, Session)], out: &mut dyn Output) -> Result<()> {
        let (Some(keys), Some(states)) = (&self.keys, &self.states) else { return Ok(()) };
        let spec = &self.spec.aggregate;
        let keys = keys.decode(&self.operator, over.iter().map(|(key, _)| key.as_slice()))?;
        let rows = over.iter().map(|(_, session)| session.state.as_slice());
        let states = states.decode(&self.operator, rows)?;
        let (mut results, mut column) = (Vec::with_capacity(spec.calls.len()), 0);
        for call in &spec.calls {
            let of_call = column..column + call.function.state_types().len();
            column = of_call.end;
            let result = call.function.evaluate(&states[of_call]);
            results.push(result.map_err(|error| failed(&self.operator, error))?);
        }
        let time = |at: usize, of: fn(&Session) -> Timestamp| {
            let times = over.iter().map(|(_, session)| of(session));
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
        let rows = RecordBatch::try_new_with_options(spec.output.clone(), columns, &options)
            .map_err(|error| Error::io(&self.operator, error))?;
        out.emit(Changes::inserts(rows).into_batch(&self.operator, None)?)
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
                    self.due.entry(session.end).or_default().push(key.clone());
                }
            }
        }
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Output) -> Result<()> {
        let batch = batch.into_columns(&self.operator)?.batch;
        self.take(&batch)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        if watermark == Watermark::MAX {
            let last = self.due.last_key_value().map_or(Timestamp::MIN, |(end, _)| *end);
            self.advance(last, out)?;
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
        let first = self.due.first_key_value().filter(|_| !self.spec.event_time)?;
        Some(first.0.saturating_add(1))
    }

    fn on_time(&mut self, now: Timestamp, out: &mut dyn Output) -> Result<()> {
        match self.spec.event_time {
            true => Ok(()),
            false => self.advance(now.saturating_sub(1), out),
        }
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
