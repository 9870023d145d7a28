//! COUNT.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::DataType;
use datafusion::common::Result;

use super::{Accumulator, Rows, StreamAggregate};

/// COUNT: the sum of the weights of the rows whose arguments are all there. Without arguments it counts rows.
#[derive(Debug)]
pub struct Count;

const STATE: &[DataType] = &[DataType::Int64];

impl StreamAggregate for Count {
    fn state_types(&self) -> &[DataType] {
        STATE
    }

    fn takes_weights(&self) -> bool {
        true
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Counts::default()))
    }

    fn evaluate(&self, states: &[ArrayRef]) -> Result<ArrayRef> {
        Ok(states[0].clone())
    }
}

#[derive(Default)]
struct Counts {
    counts: Vec<i64>,
}

impl Accumulator for Counts {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.counts.resize(rows.groups.max(self.counts.len()), 0);
        let counts = &mut self.counts;
        rows.for_each(|_, group, weight| counts[group] += weight);
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: &[usize], groups: usize) -> Result<()> {
        self.counts.resize(groups.max(self.counts.len()), 0);
        let states = states[0].as_primitive::<Int64Type>().values();
        for (group, count) in group_of.iter().zip(states) {
            self.counts[*group] += count;
        }
        Ok(())
    }

    fn finish(&mut self, groups: usize) -> Result<Vec<ArrayRef>> {
        self.counts.resize(groups, 0);
        Ok(vec![Arc::new(Int64Array::from(std::mem::take(&mut self.counts)))])
    }
}
