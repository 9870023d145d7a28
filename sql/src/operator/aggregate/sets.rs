//! Results that are computed from all values of a group.

use std::sync::Arc;

use arrow_array::{ArrayRef, new_null_array};
use riverrun_dataflow::Result;

use super::spec::{AggregateSpec, Over};
use crate::aggregate::Rows;
use crate::operator::calc::failed;
use crate::state::{Multimap, RowCodec};

/// The multisets of an aggregation, by group.
pub(super) struct Sets {
    spec: Arc<AggregateSpec>,
    pub maps: Vec<Multimap>,
    pub codecs: Vec<RowCodec>,
    /// For each set a value of which every column is null.
    nulls: Vec<Box<[u8]>>,
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
        let maps = spec.sets.iter().map(|_| Multimap::default()).collect();
        Ok(Self { spec: spec.clone(), maps, codecs, nulls })
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
                    let values = self.maps[set].values(namespace, key);
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
                    let values = self.maps[set].values(namespace, key);
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
