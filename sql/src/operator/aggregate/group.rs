//! The operator behind the edge, unbounded.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array,
};
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use riverrun_dataflow::{
    Barrier, Batch, Entries, Error, KeyGroup, Operator, OperatorContext, OperatorState, Output,
    RestoredState, Result, Snapshot, Timestamp, key_groups_of_subtask,
};

use super::spec::{AggregateSpec, OutputColumn};
use super::states::{GroupStates, Kept, TABLE, Touched};
use crate::Changes;
use crate::operator::expiry::TimeToLive;
use crate::state::RowCodec;

/// Keeps the state of each group and puts out what has changed: the old row with weight -1 and the new one with +1.
///
/// A group is there as long as the weights of its rows add up to more than 0; without key columns there is one group, always.
pub struct GroupAggregate {
    spec: Arc<AggregateSpec>,
    operator: String,
    key_groups: u16,
    groups: Range<KeyGroup>,
    /// Which groups to forget.
    time_to_live: TimeToLive,
    states: Option<GroupStates>,
    restored: Option<RestoredState>,
}

impl GroupAggregate {
    /// The operator of this spec; its input must be what a [`Combine`](super::Combine) of the same spec hands on.
    pub fn new(spec: Arc<AggregateSpec>) -> Self {
        let operator = "aggregate".to_owned();
        let (time_to_live, states, restored) = (TimeToLive::default(), None, None);
        Self { spec, operator, key_groups: 1, groups: 0..1, time_to_live, states, restored }
    }

    /// Forgets groups that nothing has touched for so many milliseconds of processing time. Their rows stay put out; when they come again, they
    /// begin anew.
    pub fn with_time_to_live(mut self, ttl: Option<i64>) -> Self {
        self.time_to_live = TimeToLive::new(ttl);
        self
    }

    fn emit(&self, touched: &Touched, states: &GroupStates, out: &mut dyn Output) -> Result<()> {
        let new = states.evaluate(&touched.new)?;
        let old = states.evaluate(&touched.old)?;
        let there = |group: usize| states.is_there(touched, group, &touched.new, group);
        let was_there = |group: usize| {
            touched.old_at[group].filter(|at| states.is_there(touched, group, &touched.old, *at))
        };
        let same = same_results(&self.operator, touched, &old, &new)?;
        // Rows to put out, as (0, row of old) or (1, row of new).
        let (mut rows, mut groups, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        for group in 0..touched.groups {
            let (was, is) = (was_there(group), there(group));
            if is && was.is_some() && same.value(group) {
                continue;
            }
            if let Some(at) = was {
                rows.push((0, at));
                groups.push(group as u32);
                weights.push(-1);
            }
            if is {
                rows.push((1, group));
                groups.push(group as u32);
                weights.push(1);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let groups = UInt32Array::from(groups);
        let failed = |error| Error::io(&self.operator, error);
        let columns = self.spec.columns.iter().map(|column| match column {
            OutputColumn::Key(at) => take(&touched.keys[*at], &groups, None).map_err(failed),
            OutputColumn::Call(at) => interleave(&[&*old[*at], &*new[*at]], &rows).map_err(failed),
            other => Err(failed_column(&self.operator, *other)),
        });
        let rows = self.batch(columns.collect::<Result<_>>()?, groups.len())?;
        let changes = match self.spec.only_appends() {
            true => Changes::inserts(rows),
            false => Changes::weighted(rows, Int64Array::from(weights)),
        };
        out.emit(changes.into_batch(&self.operator, None)?)
    }

    fn batch(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(self.spec.output.clone(), columns, &options)
            .map_err(|error| Error::io(&self.operator, error))
    }
}

fn failed_column(operator: &str, column: OutputColumn) -> Error {
    Error::io(operator, format!("{column:?} is a column of windows only"))
}

/// For each group whether its results are what they were; false where it had no state.
fn same_results(
    operator: &str,
    touched: &Touched,
    old: &[ArrayRef],
    new: &[ArrayRef],
) -> Result<BooleanArray> {
    let mut same: Vec<bool> = touched.old_at.iter().map(Option::is_some).collect();
    let before = UInt32Array::from_iter(touched.old_at.iter().map(|at| at.map(|at| at as u32)));
    for (old, new) in old.iter().zip(new) {
        let old = take(old, &before, None).map_err(|error| Error::io(operator, error))?;
        if new.data_type().is_nested() {
            let codec = RowCodec::new(operator, [new.data_type().clone()])?;
            let old = codec.encode(operator, &[old], touched.groups)?;
            let new = codec.encode(operator, std::slice::from_ref(new), touched.groups)?;
            let rows = old.iter().zip(new.iter());
            same.iter_mut().zip(rows).for_each(|(same, (old, new))| *same &= old == new);
        } else {
            let equal = arrow_ord::cmp::not_distinct(&old, new)
                .map_err(|error| Error::io(operator, error))?;
            same.iter_mut().zip(equal.values()).for_each(|(same, equal)| *same &= equal);
        }
    }
    Ok(BooleanArray::from(same))
}

impl Operator for GroupAggregate {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        self.restored = Some(state);
        Ok(())
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.key_groups = context.key_groups;
        let OperatorContext { subtask, key_groups, parallelism, .. } = context;
        self.groups = key_groups_of_subtask(subtask.index, *key_groups, *parallelism);
        let kept = Kept { rows: self.spec.retracts, results: true };
        let mut states = GroupStates::new(&self.operator, &self.spec, kept, false)?;
        if let Some(restored) = self.restored.take() {
            states.restore(&restored.keyed)?;
        }
        self.time_to_live.open(context, states.keys());
        self.states = Some(states);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let batch = batch.into_columns(&self.operator)?.batch;
        let Some(mut states) = self.states.take() else { return Ok(()) };
        let touched = states.apply(0, &batch);
        if let Ok(touched) = &touched {
            self.time_to_live.touch(touched.key_rows.iter());
        }
        let emitted = touched.and_then(|touched| self.emit(&touched, &states, out));
        self.states = Some(states);
        emitted
    }

    fn next_timer(&self) -> Option<Timestamp> {
        self.time_to_live.next()
    }

    fn on_time(&mut self, now: Timestamp, _out: &mut dyn Output) -> Result<()> {
        if let Some(states) = &mut self.states {
            self.time_to_live.expired(now).iter().for_each(|key| states.forget(key));
        }
        Ok(())
    }

    /// Some groups are there also where nothing came.
    fn on_end_of_input(&mut self, out: &mut dyn Output) -> Result<()> {
        let Some(states) = &mut self.states else { return Ok(()) };
        let (count, keys) = states.add_always(&self.groups, self.key_groups)?;
        if count == 0 {
            return Ok(());
        }
        let results = states.evaluate(states.empty())?;
        let first = UInt32Array::from(vec![0; count]);
        let columns = self.spec.columns.iter().map(|column| match column {
            OutputColumn::Key(at) => Ok(keys[*at].clone()),
            OutputColumn::Call(at) => {
                take(&results[*at], &first, None).map_err(|error| Error::io(&self.operator, error))
            }
            other => Err(failed_column(&self.operator, *other)),
        });
        let rows = self.batch(columns.collect::<Result<_>>()?, count)?;
        let weights = Int64Array::from(vec![1; count]);
        let weights = (!self.spec.only_appends()).then_some(weights);
        out.emit(Changes { rows, weights }.into_batch(&self.operator, None)?)
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let Some(states) = &mut self.states else { return Ok(Snapshot::Nothing) };
        let (kind, key_groups) = (barrier.kind, self.key_groups);
        let mut entries = Entries::new(key_groups);
        let table = states.snapshot(kind, key_groups, &mut entries)?;
        let operator = self.operator.clone();
        Ok(Snapshot::Deferred(Box::new(move || {
            table.encode_into(&operator, TABLE, key_groups, &mut entries)?;
            let keyed = Some(entries.finish(kind));
            Ok(OperatorState { keyed, ..OperatorState::default() })
        })))
    }
}
