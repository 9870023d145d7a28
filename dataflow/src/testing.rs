//! For tests: drives an operator in one thread and keeps what it puts out.

use std::sync::Arc;

use crate::{
    Barrier, Batch, ManualClock, Operator, OperatorContext, OperatorId, OperatorMetrics,
    OperatorState, Output, Record, Result, Rows, SnapshotKind, SplitIndex, SplitStatus, SubtaskId,
    Timestamp, Watermark, WatermarkFrontier,
};

/// Keeps everything that is put out.
#[derive(Debug, Default)]
pub struct Collected {
    /// Batches of the main output.
    pub batches: Vec<Batch>,
    /// Batches of side outputs, with the output's name.
    pub side: Vec<(String, Batch)>,
    /// Watermarks, in order.
    pub watermarks: Vec<Timestamp>,
    /// News of splits.
    pub splits: Vec<(SplitIndex, SplitStatus)>,
}

impl Output for Collected {
    fn emit(&mut self, batch: Batch) -> Result<()> {
        self.batches.push(batch);
        Ok(())
    }
    fn emit_side(&mut self, tag: &str, batch: Batch) -> Result<()> {
        self.side.push((tag.to_owned(), batch));
        Ok(())
    }
    fn emit_watermark(&mut self, watermark: Watermark) -> Result<()> {
        self.watermarks.push(watermark.timestamp());
        Ok(())
    }
    fn emit_split(&mut self, split: SplitIndex, status: SplitStatus) -> Result<()> {
        self.splits.push((split, status));
        Ok(())
    }
    fn emit_idle(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Collected {
    /// Takes all rows of the main output, which must be of type `T`, with their timestamps.
    pub fn take_rows<T: Record>(&mut self) -> Vec<(T, Timestamp)> {
        let batches = std::mem::take(&mut self.batches);
        batches
            .into_iter()
            .flat_map(|batch| {
                let rows = batch.into_rows::<T>("test").expect("the test knows the row type");
                rows.values.into_iter().zip(rows.timestamps)
            })
            .collect()
    }
}

/// An operator with its surroundings.
pub struct Harness<O> {
    /// The operator under test.
    pub operator: O,
    /// What it put out.
    pub out: Collected,
    /// Its processing time.
    pub clock: Arc<ManualClock>,
    /// Its counters.
    pub metrics: Arc<OperatorMetrics>,
    frontier: WatermarkFrontier,
    checkpoint: u64,
}

impl<O: Operator> Harness<O> {
    /// Opens an operator as the only subtask of its vertex.
    pub fn open(operator: O) -> Result<Self> {
        Self::open_at(operator, 0)
    }

    /// Opens an operator at a processing time.
    pub fn open_at(operator: O, now: Timestamp) -> Result<Self> {
        let mut harness = Self {
            operator,
            out: Collected::default(),
            clock: Arc::new(ManualClock::new(now)),
            metrics: Arc::default(),
            frontier: WatermarkFrontier::default(),
            checkpoint: 0,
        };
        harness.operator.open(&context(harness.clock.clone(), harness.metrics.clone()))?;
        Ok(harness)
    }

    /// Processes rows given as (row, timestamp).
    pub fn process<T: Record>(
        &mut self,
        rows: impl IntoIterator<Item = (T, Timestamp)>,
    ) -> Result<()> {
        let (values, timestamps) = rows.into_iter().unzip();
        self.operator.process(0, Batch::rows(Rows { values, timestamps }, None), &mut self.out)
    }

    /// Moves event time, if that is an advance.
    pub fn watermark(&mut self, timestamp: Timestamp) -> Result<()> {
        match self.frontier.advance_to(timestamp) {
            Some(watermark) => self.operator.on_watermark(watermark, &mut self.out),
            None => Ok(()),
        }
    }

    /// Moves processing time and fires the timers that are due.
    pub fn time(&mut self, now: Timestamp) -> Result<()> {
        self.clock.set(now);
        while self.operator.next_timer().is_some_and(|due| due <= now) {
            self.operator.on_time(now, &mut self.out)?;
        }
        Ok(())
    }

    /// Ends the input.
    pub fn end(&mut self) -> Result<()> {
        self.watermark(Timestamp::MAX)?;
        self.operator.on_end_of_input(&mut self.out)
    }

    /// Takes a snapshot as a barrier would.
    pub fn snapshot(&mut self, kind: SnapshotKind) -> Result<OperatorState> {
        self.checkpoint += 1;
        let barrier = Barrier { checkpoint: self.checkpoint, kind };
        self.operator.before_barrier(barrier, &mut self.out)?;
        self.operator.snapshot(barrier)?.finish()
    }
}

/// The surroundings of a single subtask.
pub fn context(clock: Arc<ManualClock>, metrics: Arc<OperatorMetrics>) -> OperatorContext {
    OperatorContext {
        operator: "test".into(),
        job: "test".into(),
        generation: 1,
        subtask: SubtaskId { vertex: OperatorId(1), index: 0 },
        parallelism: 1,
        key_groups: crate::DEFAULT_KEY_GROUPS,
        clock,
        metrics,
    }
}
