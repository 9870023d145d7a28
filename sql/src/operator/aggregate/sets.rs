//! Results that are computed from all values of a group.

use std::sync::Arc;

use arrow_array::{ArrayRef, new_null_array};
use riverrun_dataflow::{Entries, KeyedState, Result, SnapshotKind};

use super::partial::SetView;
use super::spec::{AggregateSpec, Over};
use crate::aggregate::Rows;
use crate::operator::calc::failed;
use crate::state::{EncodedRows, GrowingSets, Multimap, RowCodec, Values};

/// The multisets of an aggregation, by group.
pub(super) struct Sets {
    spec: Arc<AggregateSpec>,
    kept: Vec<Kept>,
    pub codecs: Vec<RowCodec>,
    /// For each set a value of which every column is null.
    nulls: Vec<Box<[u8]>>,
}

/// How the values of a set are kept.
enum Kept {
    /// In their order, with their weights.
    Ordered(Multimap),
    /// Whether they are there: enough to count different values that are never taken back.
    Growing(GrowingSets),
}

impl Kept {
    fn new(spec: &AggregateSpec, set: usize) -> Self {
        let is_listed = |over| match over {
            Over::Extreme { set: of, .. } | Over::All { set: of, .. } => of == set,
            Over::Rows | Over::Distinct { .. } => false,
        };
        if spec.retracts || spec.calls.iter().any(|call| is_listed(call.over)) {
            Self::Ordered(Multimap::default())
        } else {
            Self::Growing(GrowingSets::default())
        }
    }

    fn values(&self, namespace: i64, key: &[u8]) -> Option<&Values<i64>> {
        match self {
            Self::Ordered(map) => map.values(namespace, key),
            Self::Growing(_) => None,
        }
    }
}

/// The codecs of the values of sets.
pub(super) fn codecs(operator: &str, spec: &AggregateSpec) -> Result<Vec<RowCodec>> {
    (0..spec.sets.len()).map(|set| RowCodec::ordered(operator, spec.set_types(set))).collect()
}

impl Sets {
    pub fn new(operator: &str, spec: &Arc<AggregateSpec>) -> Result<Self> {
        let codecs = codecs(operator, spec)?;
        let nulls = codecs.iter().map(|codec| {
            let columns: Vec<ArrayRef> =
                codec.types().iter().map(|of| new_null_array(of, 1)).collect();
            Ok(codec.encode(operator, &columns, 1)?.row(0).into())
        });
        let nulls = nulls.collect::<Result<_>>()?;
        let kept = (0..spec.sets.len()).map(|set| Kept::new(spec, set)).collect();
        Ok(Self { spec: spec.clone(), kept, codecs, nulls })
    }

    /// Adds to the weights of values of groups, and calls `changed(row, group, by)` where a value has appeared or vanished.
    pub fn add(
        &mut self,
        operator: &str,
        namespace: i64,
        added: &SetView<'_>,
        group_of_row: &[usize],
        keys: &EncodedRows,
        mut changed: impl FnMut(usize, usize, i64),
    ) -> Result<()> {
        match self.kept.get_mut(added.set) {
            None => Err(failed(operator, format!("there is no set number {}", added.set))),
            Some(Kept::Ordered(map)) => {
                for row in added.rows.clone() {
                    let (group, value) = (group_of_row[row], added.values.value(row));
                    let weight = added.weights.value(row);
                    let (old, new) = map.add(namespace, keys.row(group), value, weight);
                    let change = i64::from(new > 0) - i64::from(old > 0);
                    if change != 0 {
                        changed(row, group, change);
                    }
                }
                Ok(())
            }
            Some(Kept::Growing(sets)) => {
                let pane = sets.pane(namespace);
                let mut slots: Vec<Option<u32>> = vec![None; keys.len()];
                for row in added.rows.clone() {
                    let (group, value) = (group_of_row[row], added.values.value(row));
                    let slot = match slots[group] {
                        Some(slot) => slot,
                        None => *slots[group].insert(pane.slot(keys.row(group))),
                    };
                    if pane.insert(operator, slot, 0, value)? {
                        changed(row, group, 1);
                    }
                }
                Ok(())
            }
        }
    }

    /// Forgets the values of a group.
    pub fn forget(&mut self, namespace: i64, key: &[u8]) {
        self.kept.iter_mut().for_each(|kept| match kept {
            Kept::Ordered(map) => map.remove_key(namespace, key),
            Kept::Growing(sets) => sets.remove_key(namespace, key),
        });
    }

    /// Forgets a namespace.
    pub fn drop_namespace(&mut self, namespace: i64) {
        self.kept.iter_mut().for_each(|kept| match kept {
            Kept::Ordered(map) => map.drop_namespace(namespace),
            Kept::Growing(sets) => sets.drop_namespace(namespace),
        });
    }

    /// Puts all sets into a snapshot, as tables from number `first` on.
    pub fn snapshot_into(
        &mut self,
        operator: &str,
        first: u8,
        kind: SnapshotKind,
        key_groups: u16,
        entries: &mut Entries,
    ) -> Result<()> {
        (first..).zip(&mut self.kept).try_for_each(|(table, kept)| match kept {
            Kept::Ordered(map) => map.snapshot_into(operator, table, kind, key_groups, entries),
            Kept::Growing(sets) => {
                sets.snapshot_into(table, kind, key_groups, entries);
                Ok(())
            }
        })
    }

    /// Takes back what a former subtask left.
    pub fn restore(&mut self, operator: &str, first: u8, chain: &[KeyedState]) -> Result<()> {
        (first..).zip(&mut self.kept).try_for_each(|(table, kept)| match kept {
            Kept::Ordered(map) => map.restore(operator, table, chain),
            Kept::Growing(sets) => sets.restore(operator, table, chain),
        })
    }

    /// The columns of values, as arguments of functions.
    pub fn arguments<'a>(
        &self,
        operator: &str,
        set: usize,
        values: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>> {
        let columns = self.codecs[set].decode(operator, values)?;
        Ok(self.spec.sets[set].args.iter().map(|at| columns[*at].clone()).collect())
    }

    /// The result of a call for each of some groups.
    pub fn results<'k>(
        &self,
        operator: &str,
        call: usize,
        namespace: i64,
        keys: impl ExactSizeIterator<Item = &'k [u8]>,
    ) -> Result<ArrayRef> {
        let groups = keys.len();
        match self.spec.calls[call].over {
            Over::Extreme { set, last } => {
                let values = keys.map(|key| {
                    let values = self.kept[set].values(namespace, key);
                    let mut there = values.into_iter().flat_map(|values| values.iter());
                    let is_there = |(_, weight): &(_, &i64)| **weight > 0;
                    let found = if last { there.rfind(is_there) } else { there.find(is_there) };
                    found.map_or(&*self.nulls[set], |(value, _)| value.as_slice())
                });
                Ok(self.arguments(operator, set, values)?.swap_remove(0))
            }
            Over::All { set, distinct } => {
                let (mut rows, mut group_of) = (Vec::new(), Vec::new());
                for (group, key) in keys.enumerate() {
                    let values = self.kept[set].values(namespace, key);
                    for (value, weight) in values.into_iter().flat_map(|values| values.iter()) {
                        let times = if distinct { (*weight).min(1) } else { *weight };
                        for _ in 0..times {
                            rows.push(value.as_slice());
                            group_of.push(group);
                        }
                    }
                }
                let args = self.arguments(operator, set, rows)?;
                let function = &self.spec.calls[call].function;
                let computed = || {
                    let mut accumulator = function.accumulator()?;
                    accumulator.ensure(groups)?;
                    let (filter, weights) = (None, None);
                    let group_of = &group_of;
                    accumulator.update(Rows { args: &args, filter, weights, group_of, groups })?;
                    function.evaluate(&accumulator.finish(groups)?)
                };
                computed().map_err(|error| failed(operator, error))
            }
            Over::Rows | Over::Distinct { .. } => {
                Err(failed(operator, "a call with a state of its own was looked for in a set"))
            }
        }
    }
}
