//! Groups of rows that are not yet handed on.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Int64Array, RecordBatch, UInt32Array, UInt64Array,
};
use arrow_schema::DataType;
use arrow_select::filter::filter;
use arrow_select::take::take;
use datafusion::common::Result;

use super::grouping::Grouping;
use super::partial::{Partial, PartialSet};
use super::spec::{AggregateSpec, Over};
use crate::aggregate::{Accumulator, Rows};
use crate::state::RowCodec;

/// The groups of the rows since something was handed on last, with what their rows add up to.
pub(super) struct LocalGroups {
    spec: Arc<AggregateSpec>,
    groups: Grouping,
    group_of: Vec<usize>,
    rows: Vec<i64>,
    /// One for each call over rows; `None` for the others.
    accumulators: Vec<Option<Box<dyn Accumulator>>>,
    sets: Vec<LocalSet>,
}

struct LocalSet {
    /// (group, value columns) to a number.
    values: Grouping,
    value_of: Vec<usize>,
    weights: Vec<i64>,
}

impl LocalGroups {
    pub fn new(spec: &Arc<AggregateSpec>) -> Result<Self> {
        let accumulators = spec.calls.iter().map(|call| match call.over {
            Over::Rows => call.function.accumulator().map(Some),
            _ => Ok(None),
        });
        let sets = (0..spec.sets.len()).map(|set| {
            let types = spec.set_types(set).map(|(of, _)| of);
            Ok(LocalSet {
                values: Grouping::new(std::iter::once(DataType::UInt64).chain(types))?,
                value_of: Vec::new(),
                weights: Vec::new(),
            })
        });
        Ok(Self {
            spec: spec.clone(),
            groups: Grouping::new(spec.key_types())?,
            group_of: Vec::new(),
            rows: Vec::new(),
            accumulators: accumulators.collect::<Result<_>>()?,
            sets: sets.collect::<Result<_>>()?,
        })
    }

    /// Number of groups and of values of sets.
    pub fn entries(&self) -> usize {
        self.rows.len() + self.sets.iter().map(|set| set.weights.len()).sum::<usize>()
    }

    /// Adds rows to their groups.
    pub fn add(&mut self, rows: &RecordBatch, weights: Option<&Int64Array>) -> Result<()> {
        let keys: Vec<ArrayRef> =
            self.spec.keys.iter().map(|at| rows.column(*at).clone()).collect();
        self.groups.intern(&keys, rows.num_rows(), &mut self.group_of)?;
        let groups = self.groups.len();
        self.rows.resize(groups, 0);
        match weights {
            None => self.group_of.iter().for_each(|group| self.rows[*group] += 1),
            Some(weights) => {
                let each = self.group_of.iter().zip(weights.values());
                each.for_each(|(group, weight)| self.rows[*group] += weight);
            }
        }
        for (call, accumulator) in self.spec.calls.iter().zip(&mut self.accumulators) {
            let Some(accumulator) = accumulator else { continue };
            let args: Vec<ArrayRef> = call.args.iter().map(|at| rows.column(*at).clone()).collect();
            let filter = call.filter.map(|at| rows.column(at).as_boolean());
            let group_of = &self.group_of;
            accumulator.update(Rows { args: &args, filter, weights, group_of, groups })?;
        }
        for (spec, set) in self.spec.sets.iter().zip(&mut self.sets) {
            let columns: Vec<ArrayRef> =
                spec.columns.iter().map(|at| rows.column(*at).clone()).collect();
            let keep = kept(rows, spec.filter, if spec.skip_nulls { &columns } else { &[] });
            set.add(&self.group_of, columns, weights, keep.as_ref())?;
        }
        Ok(())
    }

    /// What has come together since it was taken last.
    pub fn take(
        &mut self,
        operator: &str,
        codecs: &[RowCodec],
    ) -> riverrun_dataflow::Result<Partial> {
        let failed = |error| crate::operator::calc::failed(operator, error);
        let keys = self.groups.take().map_err(failed)?;
        let rows = Int64Array::from(std::mem::take(&mut self.rows));
        let mut states = Vec::new();
        for accumulator in self.accumulators.iter_mut().flatten() {
            states.extend(accumulator.finish(rows.len()).map_err(failed)?);
        }
        let mut sets = Vec::with_capacity(self.sets.len());
        for (set, codec) in self.sets.iter_mut().zip(codecs) {
            sets.push(set.take(operator, codec, &keys)?);
        }
        Ok(Partial { keys, rows, states, sets })
    }
}

impl LocalSet {
    fn add(
        &mut self,
        group_of: &[usize],
        mut columns: Vec<ArrayRef>,
        weights: Option<&Int64Array>,
        keep: Option<&BooleanArray>,
    ) -> Result<()> {
        let groups = UInt64Array::from_iter_values(group_of.iter().map(|group| *group as u64));
        columns.insert(0, Arc::new(groups));
        let mut weights = weights.map(Cow::Borrowed);
        if let Some(keep) = keep {
            columns =
                columns.iter().map(|column| filter(column, keep)).collect::<Result<_, _>>()?;
            if let Some(all) = &weights {
                weights = Some(Cow::Owned(filter(all.as_ref(), keep)?.as_primitive().clone()));
            }
        }
        self.values.intern(&columns, columns[0].len(), &mut self.value_of)?;
        self.weights.resize(self.values.len(), 0);
        match &weights {
            None => self.value_of.iter().for_each(|value| self.weights[*value] += 1),
            Some(weights) => {
                let each = self.value_of.iter().zip(weights.values());
                each.for_each(|(value, weight)| self.weights[*value] += weight);
            }
        }
        Ok(())
    }

    /// The values whose weight is not 0, with the keys of their groups.
    fn take(
        &mut self,
        operator: &str,
        codec: &RowCodec,
        keys: &[ArrayRef],
    ) -> riverrun_dataflow::Result<PartialSet> {
        let failed = |error: datafusion::error::DataFusionError| {
            crate::operator::calc::failed(operator, error)
        };
        let mut columns = self.values.take().map_err(failed)?;
        let weights = Int64Array::from(std::mem::take(&mut self.weights));
        if columns.is_empty() {
            let keys = keys.iter().map(|key| key.slice(0, 0)).collect();
            return Ok(PartialSet { keys, values: BinaryArray::new_null(0), weights });
        }
        let mut kept = weights.clone();
        if weights.values().contains(&0) {
            let keep = BooleanArray::from_iter(weights.values().iter().map(|w| Some(*w != 0)));
            let filtered = columns.iter().map(|column| filter(column, &keep));
            columns = filtered.collect::<Result<_, _>>().map_err(|e| failed(e.into()))?;
            kept = filter(&weights, &keep).map_err(|e| failed(e.into()))?.as_primitive().clone();
        }
        let groups = columns.remove(0);
        let groups = groups.as_primitive::<arrow_array::types::UInt64Type>();
        let groups = UInt32Array::from_iter_values(groups.values().iter().map(|g| *g as u32));
        let keys = keys.iter().map(|key| take(key, &groups, None));
        let keys = keys.collect::<Result<_, _>>().map_err(|e| failed(e.into()))?;
        let rows = codec.encode(operator, &columns, kept.len())?;
        Ok(PartialSet { keys, values: BinaryArray::from_iter_values(rows.iter()), weights: kept })
    }
}

/// For which rows a filter is true and none of some columns is null; `None` if it is all.
fn kept(rows: &RecordBatch, filter: Option<usize>, not_null: &[ArrayRef]) -> Option<BooleanArray> {
    let filter = filter.map(|at| rows.column(at).as_boolean());
    let nulls: Vec<_> = not_null.iter().filter_map(|column| column.logical_nulls()).collect();
    if filter.is_none() && nulls.is_empty() {
        return None;
    }
    let keep = (0..rows.num_rows()).map(|row| {
        let passes = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        Some(passes && nulls.iter().all(|nulls| nulls.is_valid(row)))
    });
    Some(keep.collect())
}
