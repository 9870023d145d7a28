//! The window operator behind the HASH edge.

use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;

use riverrun_dataflow::{
    Barrier, Batch, Clock, NO_TIMESTAMP, Operator, OperatorContext, OperatorMetrics, OperatorState,
    Output, Record, RestoredState, Result, Rows, Snapshot, Timestamp, Watermark,
    key_groups_of_subtask,
};

use super::assigner::{TimeKind, Windows};
use super::combine::no_timestamp;
use super::partial::Partial;
use super::progress::Progress;
use super::state::{TABLE, WindowState};
use crate::aggregate::Aggregate;
use crate::transform::emit_in_batches;

/// How rows come to a window operator.
pub(crate) trait Intake<K: Record, A: Aggregate>: Send {
    /// Adds a batch to the state, each row at its timestamp, or at `arrival` in processing time.
    /// Returns how many rows were late.
    fn take(
        &mut self,
        batch: Batch,
        arrival: Option<Timestamp>,
        state: &mut impl WindowState<K, A>,
        place: Place<'_>,
        out: &mut dyn Output,
    ) -> Result<u64>;
}

/// The operator's job and name, for messages.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub job: &'a str,
    pub operator: &'a str,
}

/// Takes what a combiner sends.
pub(crate) struct FromCombiner;

impl<K: Record + Hash + Eq, A: Aggregate> Intake<K, A> for FromCombiner {
    fn take(
        &mut self,
        batch: Batch,
        arrival: Option<Timestamp>,
        state: &mut impl WindowState<K, A>,
        place: Place<'_>,
        _out: &mut dyn Output,
    ) -> Result<u64> {
        let rows = batch.into_rows::<Partial<K, A::Accumulator>>(place.operator)?;
        let mut late = 0;
        for Partial { key, pane, rows, accumulator } in rows.values {
            match state.admit(arrival.unwrap_or(pane), key) {
                Some((aggregate, into)) => aggregate.merge(into, accumulator),
                None => late += rows,
            }
        }
        Ok(late)
    }
}

/// Takes rows as they are, and sends the late ones to a side output.
pub(crate) struct FromRows<T, F> {
    pub key_of: F,
    pub late_output: Option<String>,
    pub _rows: PhantomData<fn(T)>,
}

impl<T, K, A, F> Intake<K, A> for FromRows<T, F>
where
    T: Record,
    K: Record + Hash + Eq,
    A: Aggregate<Input = T>,
    F: Fn(&T) -> K + Send,
{
    fn take(
        &mut self,
        batch: Batch,
        arrival: Option<Timestamp>,
        state: &mut impl WindowState<K, A>,
        place: Place<'_>,
        out: &mut dyn Output,
    ) -> Result<u64> {
        let rows = batch.into_rows::<T>(place.operator)?;
        let (mut count, mut late) = (0, Rows::default());
        for (row, timestamp) in rows.values.into_iter().zip(rows.timestamps) {
            if timestamp == NO_TIMESTAMP && arrival.is_none() {
                return Err(no_timestamp(place.job, place.operator));
            }
            match state.admit(arrival.unwrap_or(timestamp), (self.key_of)(&row)) {
                Some((aggregate, into)) => aggregate.add(into, row),
                None => {
                    count += 1;
                    if self.late_output.is_some() {
                        late.push(row, timestamp);
                    }
                }
            }
        }
        match &self.late_output {
            Some(tag) if !late.is_empty() => out.emit_side(tag, Batch::rows(late, None))?,
            _ => {}
        }
        Ok(count)
    }
}

/// Keeps panes, fires windows.
///
/// Event time is what the watermarks say. At the end of the input all windows fire; event time itself then stands at
/// the end of the last of them, not at the end of all time, so that a later run on this state goes on with
/// newer rows and takes none for a window that has fired.
pub(crate) struct WindowOperator<I, S, K, A> {
    operator: String,
    job: String,
    clock: Option<Arc<dyn Clock>>,
    metrics: Arc<OperatorMetrics>,
    intake: I,
    windows: Windows,
    lateness: i64,
    signature: String,
    key_groups: u16,
    state: S,
    restored: Vec<Progress>,
    _types: PhantomData<fn(K) -> A>,
}

impl<I, S, K, A> WindowOperator<I, S, K, A>
where
    I: Intake<K, A>,
    S: WindowState<K, A>,
    K: Record + Hash + Eq,
    A: Aggregate,
{
    /// `state` must be one for `windows` and `lateness`; the aggregate's name is for descriptions.
    pub fn new(intake: I, state: S, windows: Windows, aggregate: &str, lateness: i64) -> Self {
        Self {
            operator: "window".to_owned(),
            job: String::new(),
            clock: None,
            metrics: Arc::default(),
            intake,
            windows,
            lateness,
            signature: format!("{windows}, {aggregate}"),
            key_groups: 1,
            state,
            restored: Vec::new(),
            _types: PhantomData,
        }
    }

    /// When rows arrive, in processing time. Should the clock step back, or a run end in the middle of a window, they
    /// go to the first window that has not fired: no window has two results.
    fn arrival(&self) -> Option<Timestamp> {
        if self.windows.time == TimeKind::Event {
            return None;
        }
        let now = self.clock.as_ref().map_or(0, |clock| clock.now());
        Some(now.max(self.state.furthest().saturating_add(1)))
    }

    fn advance(&mut self, to: Timestamp, out: &mut dyn Output) -> Result<()> {
        emit_in_batches(self.state.advance(to), out)
    }
}

impl<I, S, K, A> Operator for WindowOperator<I, S, K, A>
where
    I: Intake<K, A>,
    S: WindowState<K, A>,
    K: Record + Hash + Eq,
    A: Aggregate,
{
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        self.restored =
            Progress::decode_all(&state.list, &self.signature, self.lateness, &self.operator)?;
        self.state.restore(&self.operator, &state.keyed)
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.windows.check(&context.job)?;
        self.operator.clone_from(&context.operator);
        self.job.clone_from(&context.job);
        self.clock = Some(context.clock.clone());
        self.metrics = context.metrics.clone();
        self.key_groups = context.key_groups;
        let groups =
            key_groups_of_subtask(context.subtask.index, context.key_groups, context.parallelism);
        self.state.open(groups, context.key_groups, &std::mem::take(&mut self.restored));
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let arrival = self.arrival();
        let place = Place { job: &self.job, operator: &self.operator };
        let late = self.intake.take(batch, arrival, &mut self.state, place, out)?;
        if late > 0 {
            OperatorMetrics::add(&self.metrics.late_records, late);
        }
        emit_in_batches(self.state.updates(), out)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        if watermark == Watermark::MAX {
            self.advance(self.state.end_of_all(), out)?;
        } else if self.windows.time == TimeKind::Event {
            self.advance(watermark.timestamp(), out)?;
        }
        out.emit_watermark(watermark)
    }

    fn next_timer(&self) -> Option<Timestamp> {
        if self.windows.time == TimeKind::Event {
            return None;
        }
        self.state.next_end().map(|last| last.saturating_add(1))
    }

    fn on_time(&mut self, now: Timestamp, out: &mut dyn Output) -> Result<()> {
        if self.windows.time == TimeKind::Event {
            return Ok(());
        }
        self.advance(now.saturating_sub(1), out)
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let (table, progress) = self.state.snapshot(barrier.kind, &self.signature);
        let (operator, key_groups) = (self.operator.clone(), self.key_groups);
        Ok(Snapshot::Deferred(Box::new(move || {
            Ok(OperatorState {
                keyed: Some(table.encode(&operator, TABLE, key_groups)?),
                list: vec![progress.encode(&operator)?],
                ..OperatorState::default()
            })
        })))
    }
}
