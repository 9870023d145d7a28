//! LIMIT without an order: the rows that come first.

use arrow_array::Int64Array;
use riverrun_dataflow::{
    Barrier, Batch, Error, Operator, OperatorContext, OperatorState, Output, RestoredState, Result,
    Snapshot, codec,
};

use crate::Changes;

/// Passes rows on that are never taken back: `fetch` of them after the first `skip`, as they come. Runs in one subtask.
///
/// Without ORDER BY, SQL does not say which rows these are. Those that come first need no state but their number.
pub struct Limit {
    operator: String,
    skip: u64,
    fetch: u64,
    seen: u64,
}

impl Limit {
    /// An operator that passes on so many rows.
    pub fn new(skip: u64, fetch: u64) -> Self {
        Self { operator: "limit".to_owned(), skip, fetch, seen: 0 }
    }

    /// How many of the next `count` rows are left out, and how many of those behind them are passed on.
    fn next(&mut self, count: u64) -> (u64, u64) {
        let end = self.skip.saturating_add(self.fetch);
        let out = self.skip.saturating_sub(self.seen).min(count);
        let passed = end.saturating_sub(self.seen.saturating_add(out)).min(count - out);
        self.seen = self.seen.saturating_add(count);
        (out, passed)
    }
}

impl Operator for Limit {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        for bytes in &state.list {
            let seen: u64 =
                codec::decode(bytes).map_err(|error| Error::state(&self.operator, error))?;
            self.seen += seen;
        }
        Ok(())
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        if self.seen >= self.skip.saturating_add(self.fetch) {
            return Ok(());
        }
        let changes = Changes::of(batch, &self.operator)?;
        let changes = match &changes.weights {
            None => {
                let (left_out, passed) = self.next(changes.len() as u64);
                Changes::inserts(changes.rows.slice(left_out as usize, passed as usize))
            }
            Some(weights) => {
                let passed: Vec<i64> = weights
                    .values()
                    .iter()
                    .map(|weight| self.next(weight.unsigned_abs()).1 as i64)
                    .collect();
                let keep = passed.iter().map(|passed| Some(*passed > 0)).collect();
                let changes = Changes::weighted(changes.rows, Int64Array::from(passed));
                super::calc::filtered(&self.operator, changes, &keep)?
            }
        };
        if changes.is_empty() {
            return Ok(());
        }
        out.emit(changes.into_batch(&self.operator, None)?)
    }

    fn snapshot(&mut self, _barrier: Barrier) -> Result<Snapshot> {
        let seen =
            codec::encode(&self.seen).map_err(|error| Error::state(&self.operator, error))?;
        Ok(Snapshot::Ready(OperatorState { list: vec![seen], ..OperatorState::default() }))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::RecordBatch;
    use arrow_schema::{DataType, Field, Schema};

    use super::*;
    use crate::operator::testing::*;

    #[test]
    fn as_many_rows_as_asked_for_are_passed_on_whatever_the_batches() {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
        let values: Vec<_> = (0..20).map(Some).collect();
        let rows = RecordBatch::try_new(schema, vec![numbers(&values)]).unwrap();
        let all: Stream = (0..20).map(|row| (row, 1)).collect();
        for (skip, fetch) in [(0, 5), (3, 7), (18, 7), (30, 1), (2, 0), (5, u64::MAX)] {
            for batch in 1..8 {
                let mut subtasks = Subtasks::new(move || Limit::new(skip, fetch), vec![], 1);
                for (number, batch) in all.chunks(batch).enumerate() {
                    if number == 2 {
                        subtasks.restart(1);
                    }
                    subtasks.process(pick(&rows, batch, number % 3 == 1));
                }
                let expected: Vec<_> = (0..20u64)
                    .skip(skip as usize)
                    .take(usize::try_from(fetch).unwrap())
                    .map(|value| value.to_string())
                    .collect();
                let emitted: Vec<_> =
                    subtasks.emitted.iter().flat_map(|changes| texts(&changes.rows)).collect();
                assert_eq!(emitted, expected);
            }
        }
    }

    #[test]
    fn a_row_that_comes_several_times_is_passed_on_in_part() {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
        let rows = RecordBatch::try_new(schema, vec![numbers(&[Some(1), Some(2)])]).unwrap();
        let mut subtasks = Subtasks::new(|| Limit::new(1, 3), vec![], 1);
        subtasks.process(pick(&rows, &[(0, 2), (1, 5)], true));
        assert_eq!(subtasks.result, Table::from([("1".to_owned(), 1), ("2".to_owned(), 2)]));
    }
}
