//! The operator behind the edge, in windows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, TimestampMillisecondArray,
};
use arrow_cast::cast;
use riverrun_dataflow::{
    Barrier, Batch, Clock, Entries, Error, Operator, OperatorContext, OperatorMetrics,
    OperatorState, Output, RestoredState, Result, Snapshot, Timestamp, Watermark,
};

use super::emitted::Emitted;
use super::spec::{AggregateSpec, OutputColumn};
use super::states::{GroupStates, Kept, PaneResults, TABLE};
use super::windows::WindowLayout;
use crate::Changes;
use crate::operator::emission::BATCH_ROWS;
use crate::operator::reached::Reached;

/// What is aggregated in windows.
#[derive(Debug, Clone)]
pub struct WindowSpec {
    /// What is aggregated; keys do not include the windows, but for the start of windows that rows bring along.
    pub aggregate: Arc<AggregateSpec>,
    /// Which windows.
    pub layout: WindowLayout,
    /// Whether windows follow event time; if not, processing time.
    pub event_time: bool,
    /// When results come that are not final.
    pub updates: Updates,
}

/// When results of windows come besides at their end, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Updates {
    /// Processing time from the first change of windows that are not over to their next early results.
    pub early: Option<i64>,
    /// For how long after their end windows take rows, which make new results.
    pub lateness: i64,
    /// Processing time from the first late row to the results with it; without, they come at once.
    pub late: Option<i64>,
}

impl Updates {
    /// Whether results may be taken back by later ones.
    pub fn any(&self) -> bool {
        self.early.is_some() || self.lateness > 0
    }
}

/// Keeps the state of each group by pane, and puts out the groups of a window when it is over.
///
/// At the end of the input all windows are over. Event time then stands at the end of the last of them, so that a later run on this state goes
/// on with newer rows.
pub struct WindowAggregate {
    spec: WindowSpec,
    operator: String,
    key_groups: u16,
    metrics: Arc<OperatorMetrics>,
    clock: Option<Arc<dyn Clock>>,
    states: Option<GroupStates>,
    /// What was put out, if it may have to be taken back.
    emitted: Option<Emitted>,
    reached: Reached,
    /// Windows with changes that are not put out.
    changed: BTreeSet<Timestamp>,
    /// When early results are due.
    early_at: Option<Timestamp>,
    /// When results with late rows are due.
    late_at: Option<Timestamp>,
    restored: Option<RestoredState>,
}

impl WindowAggregate {
    /// The operator of this spec; its input must be what a [`Combine`](super::Combine) in the same windows hands on.
    pub fn new(spec: WindowSpec) -> Self {
        Self {
            spec,
            operator: "window".to_owned(),
            key_groups: 1,
            metrics: Arc::default(),
            clock: None,
            states: None,
            emitted: None,
            reached: Reached::default(),
            changed: BTreeSet::new(),
            early_at: None,
            late_at: None,
            restored: None,
        }
    }

    fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or(0, |clock| clock.now())
    }

    /// True if a window takes no rows any more.
    fn is_over(&self, window: Timestamp) -> bool {
        let end = window.saturating_sub(1).saturating_add(self.spec.updates.lateness);
        end <= self.reached.timestamp()
    }

    fn take(&mut self, batch: &RecordBatch, states: &mut GroupStates) -> Result<()> {
        let layout = self.spec.layout;
        let slices = batch.column(self.spec.aggregate.keys.len()).as_primitive::<Int64Type>();
        let rows = batch.column(self.spec.aggregate.keys.len() + 1).as_primitive::<Int64Type>();
        let (mut first, mut late) = (0, 0);
        while first < batch.num_rows() {
            let slice = slices.value(first);
            let same = slices.values()[first..].iter().take_while(|other| **other == slice).count();
            let of_slice = batch.slice(first, same);
            // What is on its way while the clock goes on comes now.
            let slice = match self.spec.event_time {
                true => slice,
                false => layout.slice_at(slice, self.reached.timestamp()),
            };
            if layout.windows_of_slice(slice).latest().is_none_or(|window| self.is_over(window)) {
                let rows = rows.slice(first, same);
                late += rows.iter().flatten().map(i64::unsigned_abs).sum::<u64>();
            } else {
                for pane in layout.panes_of_slice(slice) {
                    if layout.windows_of(pane).latest().is_some_and(|window| !self.is_over(window))
                    {
                        states.apply(pane, &of_slice)?;
                    }
                }
                if self.spec.updates.any() {
                    let open = layout.windows_of_slice(slice).filter(|end| !self.is_over(*end));
                    let open: Vec<Timestamp> = open.collect();
                    self.changed.extend(open);
                }
            }
            first += same;
        }
        if late > 0 {
            OperatorMetrics::add(&self.metrics.late_records, late);
        }
        Ok(())
    }

    /// Puts out the results of a window, or how they have changed.
    fn fire(
        &mut self,
        window: Timestamp,
        states: &mut GroupStates,
        out: &mut dyn Output,
    ) -> Result<()> {
        let (above, last) = self.spec.layout.panes_of(window);
        let panes: Vec<Timestamp> =
            states.panes().filter(|pane| above < *pane && *pane <= last).collect();
        // Results that are out are taken back also where nothing is left.
        if panes.is_empty() && self.emitted.is_none() {
            return Ok(());
        }
        let results = states.results_of(&panes)?;
        let (groups, weights) = match &mut self.emitted {
            None => (results, None),
            Some(emitted) => {
                let (changes, weights) = emitted.changes(&self.operator, window, results)?;
                (changes, Some(Int64Array::from(weights)))
            }
        };
        let rows = self.rows(window, &groups)?;
        for first in (0..rows.num_rows()).step_by(BATCH_ROWS) {
            let count = BATCH_ROWS.min(rows.num_rows() - first);
            let weights = weights.as_ref().map(|weights| weights.slice(first, count));
            let changes = Changes { rows: rows.slice(first, count), weights };
            out.emit(changes.into_batch(&self.operator, None)?)?;
        }
        Ok(())
    }

    fn rows(&self, window: Timestamp, groups: &PaneResults) -> Result<RecordBatch> {
        let spec = &self.spec.aggregate;
        let count = groups.keys.len();
        let time = |at: usize, time: Timestamp| {
            let times = TimestampMillisecondArray::from_value(time, count);
            cast(&times, spec.output.field(at).data_type())
                .map_err(|error| Error::io(&self.operator, error))
        };
        let columns = spec.columns.iter().enumerate().map(|(at, column)| match column {
            OutputColumn::Key(key) => Ok(groups.columns[*key].clone()),
            OutputColumn::Call(call) => Ok(groups.results[*call].clone()),
            OutputColumn::WindowStart => {
                time(at, self.spec.layout.start_of(window).unwrap_or(window))
            }
            OutputColumn::WindowEnd => time(at, window),
            OutputColumn::WindowTime => time(at, window.saturating_sub(1)),
        });
        let columns: Vec<ArrayRef> = columns.collect::<Result<_>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(spec.output.clone(), columns, &options)
            .map_err(|error| Error::io(&self.operator, error))
    }

    /// Fires the windows that end by `to`, and forgets what no window needs any more.
    fn advance(
        &mut self,
        to: Timestamp,
        states: &mut GroupStates,
        out: &mut dyn Output,
    ) -> Result<()> {
        let reached = self.reached.timestamp();
        if to <= reached {
            return Ok(());
        }
        let (layout, lateness) = (self.spec.layout, self.spec.updates.lateness);
        // A window is over at its last instant.
        let (above, until) = (reached.saturating_add(1), to.saturating_add(1));
        let over: BTreeSet<Timestamp> = states
            .panes()
            .take_while(|pane| layout.windows_of(*pane).next().is_none_or(|end| end <= until))
            .flat_map(|pane| layout.windows_of(pane).between(above, until))
            .chain(
                self.emitted
                    .iter()
                    .flat_map(Emitted::windows)
                    .filter(|end| above < *end && *end <= until),
            )
            // Late rows whose result is not out yet: now or never.
            .chain(self.changed.iter().copied().filter(|end| {
                end.saturating_sub(1) <= reached
                    && end.saturating_sub(1).saturating_add(lateness) <= to
            }))
            .collect();
        for window in over {
            self.fire(window, states, out)?;
            self.changed.remove(&window);
        }
        self.reached.advance_to(to);
        let is_gone = |pane: &Timestamp| {
            layout.windows_of(*pane).latest().is_none_or(|window| self.is_over(window))
        };
        let gone: Vec<Timestamp> = states.panes().take_while(is_gone).collect();
        gone.into_iter().for_each(|pane| states.drop_pane(pane));
        if let Some(emitted) = &mut self.emitted {
            emitted.drop_until(self.reached.timestamp().saturating_sub(lateness));
        }
        Ok(())
    }

    /// Takes out the windows that have changed since they were over.
    fn changed_late(&mut self) -> BTreeSet<Timestamp> {
        let open = self.changed.split_off(&self.reached.timestamp().saturating_add(2));
        std::mem::replace(&mut self.changed, open)
    }

    /// Puts out the changes of windows that are over, or arranges for them, and for those of the others.
    fn after_rows(&mut self, states: &mut GroupStates, out: &mut dyn Output) -> Result<()> {
        let late = self.changed_late();
        if self.spec.updates.early.is_none() {
            self.changed.clear();
        }
        if self.spec.updates.late.is_some() {
            self.changed.extend(late);
        } else {
            for window in late {
                self.fire(window, states, out)?;
            }
        }
        self.arrange();
        Ok(())
    }

    /// Says when the changes of windows are due.
    fn arrange(&mut self) {
        let Updates { early, late, .. } = self.spec.updates;
        let now = self.now();
        let last_over = self.reached.timestamp().saturating_add(1);
        if let Some(delay) = early.filter(|_| self.early_at.is_none())
            && self.changed.last().is_some_and(|window| *window > last_over)
        {
            self.early_at = Some(now.saturating_add(delay));
        }
        if let Some(delay) = late.filter(|_| self.late_at.is_none())
            && self.changed.first().is_some_and(|window| *window <= last_over)
        {
            self.late_at = Some(now.saturating_add(delay));
        }
    }

    fn with_states(
        &mut self,
        work: impl FnOnce(&mut Self, &mut GroupStates) -> Result<()>,
    ) -> Result<()> {
        let Some(mut states) = self.states.take() else { return Ok(()) };
        let result = work(self, &mut states);
        self.states = Some(states);
        result
    }
}

impl Operator for WindowAggregate {
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
        let kept = Kept { rows: spec.retracts, results: false };
        let mut states = GroupStates::new(&self.operator, spec, kept, true)?;
        self.emitted = match self.spec.updates.any() {
            true => Some(Emitted::new(&self.operator, spec)?),
            false => None,
        };
        if let Some(restored) = self.restored.take() {
            self.reached = Reached::restored(&self.operator, &restored.list)?;
            states.restore(&restored.keyed)?;
            if let Some(emitted) = &mut self.emitted {
                emitted.restore(&self.operator, &restored.keyed)?;
                // Which results were due is not kept.
                let windows = states.panes().flat_map(|pane| self.spec.layout.windows_of(pane));
                self.changed = windows.filter(|window| !self.is_over(*window)).collect();
                self.arrange();
            }
        }
        self.states = Some(states);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let batch = batch.into_columns(&self.operator)?.batch;
        self.with_states(|this, states| {
            this.take(&batch, states)?;
            this.after_rows(states, out)
        })
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        self.with_states(|this, states| {
            if watermark == Watermark::MAX {
                let latest = |pane| this.spec.layout.windows_of(pane).latest();
                let windows = states.panes().filter_map(latest);
                let windows = windows.chain(this.emitted.iter().flat_map(Emitted::windows));
                let last = windows.max().map_or(Timestamp::MIN, |end| end.saturating_sub(1));
                this.advance(last, states, out)?;
                for window in std::mem::take(&mut this.changed) {
                    this.fire(window, states, out)?;
                }
                Ok(())
            } else if this.spec.event_time {
                this.advance(watermark.timestamp(), states, out)
            } else {
                Ok(())
            }
        })?;
        out.emit_watermark(watermark)
    }

    fn next_timer(&self) -> Option<Timestamp> {
        let end = match (&self.states, self.spec.event_time) {
            (Some(states), false) => {
                let above = self.reached.timestamp().saturating_add(1);
                let next =
                    |pane| self.spec.layout.windows_of(pane).between(above, Timestamp::MAX).next();
                states.panes().filter_map(next).min()
            }
            _ => None,
        };
        [end, self.early_at, self.late_at].into_iter().flatten().min()
    }

    fn on_time(&mut self, now: Timestamp, out: &mut dyn Output) -> Result<()> {
        self.with_states(|this, states| {
            if !this.spec.event_time {
                this.advance(now.saturating_sub(1), states, out)?;
            }
            let due = |at: &mut Option<Timestamp>| at.take_if(|at| *at <= now).is_some();
            let (early, late) = (due(&mut this.early_at), due(&mut this.late_at));
            let over = this.changed_late();
            let mut fired = if early { std::mem::take(&mut this.changed) } else { BTreeSet::new() };
            // Which windows are over may be another question than when they were arranged for.
            match late || this.spec.updates.late.is_none() {
                true => fired.extend(over),
                false => this.changed.extend(over),
            }
            fired.into_iter().try_for_each(|window| this.fire(window, states, out))
        })
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let Some(states) = &mut self.states else { return Ok(Snapshot::Nothing) };
        let (kind, key_groups) = (barrier.kind, self.key_groups);
        let mut entries = Entries::new(key_groups);
        let table = states.snapshot(kind, key_groups, &mut entries)?;
        let emitted = self.emitted.as_mut().map(|emitted| emitted.snapshot(kind));
        let operator = self.operator.clone();
        let list = vec![self.reached.encode(&operator)?];
        Ok(Snapshot::Deferred(Box::new(move || {
            table.encode_into(&operator, TABLE, key_groups, &mut entries)?;
            if let Some(emitted) = emitted {
                emitted.encode_into(&operator, super::emitted::TABLE, key_groups, &mut entries)?;
            }
            let keyed = Some(entries.finish(kind));
            Ok(OperatorState { keyed, list, ..OperatorState::default() })
        })))
    }
}
