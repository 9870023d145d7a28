//! Keyed state behind the HASH edge.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow_schema::DataType;
use arrow_select::filter::filter;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use riverrun_dataflow::{
    Entries, KeyGroup, KeyedState, Result, SnapshotKind, StateTable, TableSnapshot, Timestamp,
};

use super::grouping::Grouping;
use super::partial::{PartialLayout, PartialView, SetView};
use super::sets::Sets;
use super::spec::{AggregateSpec, Over};
use crate::aggregate::{Accumulator, Rows};
use crate::operator::calc::failed;
use crate::state::{EncodedRows, RowBytes, RowCodec, key_group_of_row};

/// Number of the state table in snapshots; the sets have those behind it.
pub(super) const TABLE: u8 = 0;

/// What is kept beside the states of functions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    /// The sum of the weights of the rows of a group: needed where rows may be taken back.
    pub rows: bool,
    /// The results of calls over sets, as they were put out last.
    pub results: bool,
}

/// For each group a row of states: `rows? | states and results of call 0 | ..`, and its multisets.
pub(super) struct GroupStates {
    operator: String,
    spec: Arc<AggregateSpec>,
    kept: Kept,
    layout: PartialLayout,
    grouping: Grouping,
    group_of: Vec<usize>,
    keys: RowCodec,
    states: RowCodec,
    /// The columns of each call in a row of states.
    columns: Vec<Range<usize>>,
    table: StateTable<RowBytes, RowBytes>,
    sets: Sets,
    /// The state of a group without rows.
    empty: Vec<ArrayRef>,
    empty_row: RowBytes,
    /// The keys of groups that are there without rows.
    always: Vec<RowBytes>,
    accumulators: Vec<Option<Box<dyn Accumulator>>>,
}

/// The groups that a batch has touched.
pub(super) struct Touched {
    pub groups: usize,
    pub keys: Vec<ArrayRef>,
    pub key_rows: EncodedRows,
    /// Which of the groups are there without rows; empty if there are none such at all.
    always: Vec<bool>,
    /// Where in `old` the state is that a group had; `None` if it had none.
    pub old_at: Vec<Option<usize>>,
    /// States before.
    pub old: Vec<ArrayRef>,
    /// States after, one for each group.
    pub new: Vec<ArrayRef>,
}

/// The groups of panes.
pub(super) struct PaneResults {
    pub keys: Vec<RowBytes>,
    pub columns: Vec<ArrayRef>,
    pub results: Vec<ArrayRef>,
}

impl GroupStates {
    pub fn new(
        operator: &str,
        spec: &Arc<AggregateSpec>,
        kept: Kept,
        windowed: bool,
    ) -> Result<Self> {
        let (mut types, mut columns) = (Vec::new(), Vec::new());
        if kept.rows {
            types.push(DataType::Int64);
        }
        for call in &spec.calls {
            let first = types.len();
            if call.has_state() {
                types.extend_from_slice(call.function.state_types());
            } else if kept.results {
                types.push(spec.result_type(columns.len()));
            }
            columns.push(first..types.len());
        }
        let accumulators = spec.calls.iter().map(|call| match call.has_state() {
            true => call.function.accumulator().map(Some),
            false => Ok(None),
        });
        let accumulators = accumulators.collect::<datafusion::common::Result<_>>();
        let mut states = Self {
            operator: operator.to_owned(),
            spec: spec.clone(),
            kept,
            layout: PartialLayout::new(spec, windowed),
            grouping: Grouping::new(spec.key_types()).map_err(|e| failed(operator, e))?,
            group_of: Vec::new(),
            keys: RowCodec::new(operator, spec.key_types())?,
            states: RowCodec::new(operator, types)?,
            columns,
            table: StateTable::default(),
            sets: Sets::new(operator, spec)?,
            empty: Vec::new(),
            empty_row: RowBytes::from(&[][..]),
            always: Vec::new(),
            accumulators: accumulators.map_err(|e| failed(operator, e))?,
        };
        states.empty = states.states_of(&[], 0, 1, &[&[]])?;
        let encoded = states.states.encode(operator, &states.empty, 1)?;
        states.empty_row = RowBytes::from(encoded.row(0));
        for key in &spec.always {
            let columns = key.iter().map(|value| value.to_array_of_size(1));
            let columns = columns.collect::<datafusion::common::Result<Vec<_>>>();
            let columns = columns.map_err(|error| failed(operator, error))?;
            states.always.push(states.keys.encode(operator, &columns, 1)?.row(0).into());
        }
        Ok(states)
    }

    /// The keys of all groups, without windows.
    pub fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.table.iter(0).map(|(key, _)| key.as_slice())
    }

    /// Forgets a group, without windows.
    pub fn forget(&mut self, key: &RowBytes) {
        self.table.remove(0, key);
        self.sets.forget(0, key.as_slice());
    }

    /// The states of a group without rows.
    pub fn empty(&self) -> &[ArrayRef] {
        &self.empty
    }

    /// Merges what a combine has sent into the groups of a namespace.
    pub fn apply(&mut self, namespace: i64, batch: &RecordBatch) -> Result<Touched> {
        let operator = self.operator.clone();
        let view = self.layout.view(&operator, batch)?;
        let bad = |error| failed(&operator, error);
        self.grouping.intern(view.keys, batch.num_rows(), &mut self.group_of).map_err(bad)?;
        let groups = self.grouping.len();
        let keys = self.grouping.take().map_err(bad)?;
        let rows = self.keys.encode(&operator, &keys, groups)?;
        let (old_at, old) = self.old_states(namespace, &rows)?;
        let new = self.merge(namespace, &view, &rows, &old_at, &old)?;
        let is_always = |key: &[u8]| self.always.iter().any(|always| always.as_slice() == key);
        let always: Vec<bool> = match self.always.is_empty() {
            true => Vec::new(),
            false => rows.iter().map(is_always).collect(),
        };
        self.store(namespace, &rows, &new, &old_at, &always)?;
        Ok(Touched { groups, keys, key_rows: rows, always, old_at, old, new })
    }

    /// The states that groups have.
    fn old_states(
        &self,
        namespace: i64,
        keys: &EncodedRows,
    ) -> Result<(Vec<Option<usize>>, Vec<ArrayRef>)> {
        let mut found: Vec<&[u8]> = Vec::with_capacity(keys.len());
        let at = keys.iter().map(|key| {
            let state = self.table.get(namespace, key)?;
            found.push(state.as_slice());
            Some(found.len() - 1)
        });
        let at = at.collect();
        Ok((at, self.states.decode(&self.operator, found)?))
    }

    fn merge(
        &mut self,
        namespace: i64,
        view: &PartialView<'_>,
        keys: &EncodedRows,
        old_at: &[Option<usize>],
        old: &[ArrayRef],
    ) -> Result<Vec<ArrayRef>> {
        let operator = self.operator.clone();
        let bad = |error| failed(&operator, error);
        let groups = keys.len();
        let old_groups: Vec<usize> = (0..groups).filter(|group| old_at[*group].is_some()).collect();
        // Old states come first: some functions depend on the order of rows.
        for (accumulator, columns) in self.accumulators.iter_mut().zip(&self.columns) {
            let Some(accumulator) = accumulator else { continue };
            if !old_groups.is_empty() {
                if old_groups.len() < groups {
                    accumulator.ensure(groups).map_err(bad)?;
                }
                accumulator.merge(&old[columns.clone()], &old_groups, groups).map_err(bad)?;
            }
        }
        let group_of = std::mem::take(&mut self.group_of);
        let of_groups = &group_of[..view.groups];
        for (at, accumulator) in self.accumulators.iter_mut().enumerate() {
            let Some(accumulator) = accumulator else { continue };
            if self.spec.calls[at].over != Over::Rows {
                accumulator.ensure(groups).map_err(bad)?;
            } else {
                let states: Vec<ArrayRef> =
                    view.states[at].iter().map(|state| state.slice(0, view.groups)).collect();
                accumulator.merge(&states, of_groups, groups).map_err(bad)?;
            }
        }
        for set in &view.sets {
            self.add_to_set(namespace, set, &group_of, keys)?;
        }
        let mut rows = vec![0; groups];
        if self.kept.rows {
            if let Some(old) = old.first() {
                let old = old.as_primitive::<Int64Type>().values();
                old_groups.iter().zip(old).for_each(|(group, old)| rows[*group] += old);
            }
            let added = of_groups.iter().zip(view.rows.values());
            added.for_each(|(group, added)| rows[*group] += added);
        }
        self.group_of = group_of;
        let keys: Vec<&[u8]> = keys.iter().collect();
        self.states_of(&rows, namespace, groups, &keys)
    }

    /// Adds values to a set, and lets the calls over it know which have appeared and vanished.
    fn add_to_set(
        &mut self,
        namespace: i64,
        added: &SetView<'_>,
        group_of_row: &[usize],
        keys: &EncodedRows,
    ) -> Result<()> {
        let set = added.set;
        let (mut values, mut group_of, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        self.sets.add(&self.operator, namespace, added, group_of_row, keys, |row, group, by| {
            values.push(added.values.value(row));
            group_of.push(group);
            weights.push(by);
        })?;
        if values.is_empty() {
            return Ok(());
        }
        let mut args = None;
        // Without retractions nothing vanishes, and functions that take no weights need none.
        let weights = self.spec.retracts.then(|| Int64Array::from(weights));
        for (call, accumulator) in self.spec.calls.iter().zip(&mut self.accumulators) {
            let Some(accumulator) = accumulator else { continue };
            if call.over != (Over::Distinct { set }) {
                continue;
            }
            let args = match &args {
                Some(args) => args,
                None => {
                    args.insert(self.sets.arguments(&self.operator, set, values.iter().copied())?)
                }
            };
            let rows = Rows {
                args,
                filter: None,
                weights: weights.as_ref(),
                group_of: &group_of,
                groups: keys.len(),
            };
            accumulator.update(rows).map_err(|error| failed(&self.operator, error))?;
        }
        Ok(())
    }

    /// What the accumulators and sets say of groups, as columns of states.
    fn states_of(
        &mut self,
        rows: &[i64],
        namespace: i64,
        groups: usize,
        keys: &[&[u8]],
    ) -> Result<Vec<ArrayRef>> {
        let mut states: Vec<ArrayRef> = Vec::with_capacity(self.states.types().len());
        if self.kept.rows {
            let mut rows = rows.to_vec();
            rows.resize(groups, 0);
            states.push(Arc::new(Int64Array::from(rows)));
        }
        for (call, accumulator) in self.accumulators.iter_mut().enumerate() {
            if let Some(accumulator) = accumulator {
                let of_call = accumulator.finish(groups);
                states.extend(of_call.map_err(|error| failed(&self.operator, error))?);
            } else if self.kept.results {
                let keys = keys.iter().copied();
                states.push(self.sets.results(&self.operator, call, namespace, keys)?);
            }
        }
        Ok(states)
    }

    fn store(
        &mut self,
        namespace: i64,
        keys: &EncodedRows,
        new: &[ArrayRef],
        old_at: &[Option<usize>],
        always: &[bool],
    ) -> Result<()> {
        let states = self.states.encode(&self.operator, new, keys.len())?;
        for (group, ((key, state), old)) in keys.iter().zip(states.iter()).zip(old_at).enumerate() {
            // A group without rows may still have to remember rows that were taken back before they came.
            let over = self.kept.rows
                && state == self.empty_row.as_slice()
                && !always.get(group).is_some_and(|always| *always);
            match (over, old) {
                (true, None) => {}
                (true, Some(_)) => {
                    self.table.remove(namespace, &RowBytes::from(key));
                }
                (false, Some(_)) => {
                    if let Some(value) = self.table.get_mut(namespace, key) {
                        value.set(state);
                    }
                }
                (false, None) => self.table.put(namespace, key.into(), state.into()),
            }
        }
        Ok(())
    }

    /// Puts the groups that are there without rows into the state, those in `groups` that are not there yet, and returns their keys.
    pub fn add_always(
        &mut self,
        groups: &Range<KeyGroup>,
        of: u16,
    ) -> Result<(usize, Vec<ArrayRef>)> {
        let mut added: Vec<RowBytes> = Vec::new();
        for key in &self.always {
            let group = key_group_of_row(key.as_slice(), of);
            if groups.contains(&group) && self.table.get(0, key.as_slice()).is_none() {
                self.table.put(0, key.clone(), self.empty_row.clone());
                added.push(key.clone());
            }
        }
        let keys = self.keys.decode(&self.operator, added.iter().map(RowBytes::as_slice))?;
        Ok((added.len(), keys))
    }

    /// Whether a touched group was there, or is there: as long as its rows have a weight. `row` is one of `states`.
    pub fn is_there(
        &self,
        touched: &Touched,
        group: usize,
        states: &[ArrayRef],
        row: usize,
    ) -> bool {
        match states.first() {
            Some(rows) if self.kept.rows => {
                rows.as_primitive::<Int64Type>().value(row) > 0
                    || touched.always.get(group).is_some_and(|always| *always)
            }
            _ => true,
        }
    }

    /// The panes that have groups, in ascending order.
    pub fn panes(&self) -> impl Iterator<Item = Timestamp> + '_ {
        self.table.namespaces()
    }

    /// Forgets a pane.
    pub fn drop_pane(&mut self, pane: Timestamp) {
        drop(self.table.drop_namespace(pane));
        self.sets.drop_namespace(pane);
    }

    /// The groups of some panes together: keys as bytes and as columns, and results of calls. There may be sets only if it is one pane.
    pub fn results_of(&mut self, panes: &[Timestamp]) -> Result<PaneResults> {
        let operator = self.operator.clone();
        let bad = |error| failed(&operator, error);
        let (mut numbers, mut rows) = (HashMap::<&[u8], usize, FixedState>::default(), Vec::new());
        let (mut keys, mut group_of) = (Vec::new(), Vec::new());
        for pane in panes {
            for (key, state) in self.table.iter(*pane) {
                let next = keys.len();
                let group = match panes.len() {
                    1 => next,
                    _ => *numbers.entry(key.as_slice()).or_insert(next),
                };
                if group == next {
                    keys.push(key.clone());
                }
                group_of.push(group);
                rows.push(state.as_slice());
            }
        }
        let mut states = self.states.decode(&operator, rows)?;
        let groups = keys.len();
        if panes.len() > 1 {
            // The first pane need not have all groups.
            let mut merged = Vec::with_capacity(states.len());
            if self.kept.rows {
                let mut sums = vec![0; groups];
                let rows = states[0].as_primitive::<Int64Type>();
                group_of.iter().zip(rows.values()).for_each(|(group, rows)| sums[*group] += rows);
                merged.push(Arc::new(Int64Array::from(sums)) as ArrayRef);
            }
            for (accumulator, columns) in self.accumulators.iter_mut().zip(&self.columns) {
                let Some(accumulator) = accumulator else { continue };
                accumulator.ensure(groups).map_err(bad)?;
                accumulator.merge(&states[columns.clone()], &group_of, groups).map_err(bad)?;
                merged.extend(accumulator.finish(groups).map_err(bad)?);
            }
            states = merged;
        }
        if self.kept.rows {
            let there: BooleanArray = states[0]
                .as_primitive::<Int64Type>()
                .values()
                .iter()
                .map(|n| Some(*n > 0))
                .collect();
            let filtered = states.iter().map(|column| filter(column, &there));
            states = filtered
                .collect::<std::result::Result<_, _>>()
                .map_err(|e| failed(&operator, e))?;
            let mut there = there.values().iter();
            keys.retain(|_| there.next().unwrap_or(true));
        }
        let key_rows = || keys.iter().map(RowBytes::as_slice);
        let results = self.spec.calls.iter().zip(&self.columns).enumerate();
        let results = results.map(|(at, (call, columns))| match call.has_state() {
            true => call.function.evaluate(&states[columns.clone()]).map_err(bad),
            false => {
                self.sets.results(&operator, at, panes.first().copied().unwrap_or(0), key_rows())
            }
        });
        let results = results.collect::<Result<_>>()?;
        let columns = self.keys.decode(&operator, key_rows())?;
        Ok(PaneResults { keys, columns, results })
    }

    /// The results of rows of states, a column for each call.
    pub fn evaluate(&self, states: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let calls = self.spec.calls.iter().zip(&self.columns);
        calls
            .map(|(call, columns)| match call.has_state() {
                true => call
                    .function
                    .evaluate(&states[columns.clone()])
                    .map_err(|error| failed(&self.operator, error)),
                false => Ok(states[columns.start].clone()),
            })
            .collect()
    }

    /// Takes what a snapshot needs: the sets are in `entries`, the states are still to be put into it as table number [`TABLE`].
    pub fn snapshot(
        &mut self,
        kind: SnapshotKind,
        key_groups: u16,
        entries: &mut Entries,
    ) -> Result<TableSnapshot<RowBytes, RowBytes>> {
        self.sets.snapshot_into(&self.operator, TABLE + 1, kind, key_groups, entries)?;
        Ok(self.table.snapshot(kind))
    }

    /// Takes back what former subtasks left.
    pub fn restore(&mut self, chains: &[Vec<KeyedState>]) -> Result<()> {
        for chain in chains {
            self.table.restore(&self.operator, TABLE, chain)?;
            self.sets.restore(&self.operator, TABLE + 1, chain)?;
        }
        Ok(())
    }
}
