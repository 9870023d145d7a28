//! The operators in between, and the sink.

use std::sync::Arc;

use riverrun_dataflow::{
    Barrier, Batch, Operator, OperatorContext, OperatorState, RestoredState, Result, Rows,
    Snapshot, StateTable, codec,
};
use serde::{Deserialize, Serialize};

use super::{Chaos, Output};

/// The only row type: the `count`-th row of `key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Row {
    pub key: u64,
    pub count: u64,
}

/// Passes rows on, or fails.
pub struct Pass {
    pub chaos: Chaos,
}

impl Operator for Pass {
    fn process(
        &mut self,
        _: usize,
        batch: Batch,
        out: &mut dyn riverrun_dataflow::Output,
    ) -> Result<()> {
        self.chaos.strike("pass")?;
        out.emit(batch)
    }
}

/// Numbers the rows of each key, and passes them on with their numbers: whatever is lost or doubled on the way
/// here, in the state or behind, shows in the numbers.
pub struct Count {
    chaos: Chaos,
    counts: StateTable<u64, u64>,
    context: Option<OperatorContext>,
}

impl Count {
    pub fn new(chaos: Chaos) -> Self {
        Self { chaos, counts: StateTable::default(), context: None }
    }
}

impl Operator for Count {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        for chain in &state.keyed {
            self.counts.restore("count", 0, chain)?;
        }
        Ok(())
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.context = Some(context.clone());
        Ok(())
    }

    fn process(
        &mut self,
        _: usize,
        batch: Batch,
        out: &mut dyn riverrun_dataflow::Output,
    ) -> Result<()> {
        self.chaos.strike("count")?;
        let mut rows = batch.into_rows::<Row>("count")?;
        for row in &mut rows.values {
            let count = self.counts.entry(0, row.key, || 0);
            *count += 1;
            row.count = *count;
        }
        out.emit(Batch::rows(rows, None))
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        self.chaos.strike("count snapshot")?;
        let (snapshot, chaos) = (self.counts.snapshot(barrier.kind), self.chaos.clone());
        let key_groups = self.context.as_ref().expect("opened").key_groups;
        Ok(Snapshot::Deferred(Box::new(move || {
            chaos.strike("count encoding")?;
            let keyed = Some(snapshot.encode("count", 0, key_groups)?);
            Ok(OperatorState { keyed, ..Default::default() })
        })))
    }
}

/// Collects rows, and stages them at the barrier.
pub struct Collect {
    pub chaos: Chaos,
    pub output: Arc<Output>,
    rows: Vec<Row>,
    context: Option<OperatorContext>,
}

impl Collect {
    pub fn new(output: Arc<Output>, chaos: Chaos) -> Self {
        Self { chaos, output, rows: Vec::new(), context: None }
    }
}

impl Operator for Collect {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.context = Some(context.clone());
        Ok(())
    }

    fn process(
        &mut self,
        _: usize,
        batch: Batch,
        _: &mut dyn riverrun_dataflow::Output,
    ) -> Result<()> {
        self.chaos.strike("collect")?;
        self.rows.extend(batch.into_rows::<Row>("collect")?.values);
        Ok(())
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(Snapshot::Nothing);
        }
        let context = self.context.clone().expect("opened");
        let (chaos, output) = (self.chaos.clone(), self.output.clone());
        Ok(Snapshot::Deferred(Box::new(move || {
            chaos.strike("collect flush")?;
            let token = (context.generation, barrier.checkpoint, context.subtask);
            let token = codec::encode(&token).expect("a token");
            output.stage(context.generation, token.clone(), rows)?;
            Ok(OperatorState { prepared: vec![token], ..Default::default() })
        })))
    }
}

/// A batch of rows, for operators of the tests.
#[allow(dead_code, reason = "not every test needs it")]
pub fn batch(rows: impl IntoIterator<Item = Row>) -> Batch {
    let mut batch = Rows::default();
    rows.into_iter().for_each(|row| batch.push(row, 0));
    Batch::rows(batch, None)
}
