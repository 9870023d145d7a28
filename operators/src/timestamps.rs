//! Event time: `assign_timestamps` gives rows their timestamps and the stream its watermarks.
//!
//! Watermarks are tracked for each source split and combined by minimum, so that a partition that is behind is
//! not taken for late. A split that is idle or finished holds nobody back.

use std::time::Duration;

use riverrun_dataflow::{
    Batch, DataStream, Operator, OperatorContext, OperatorKind, OperatorSpec, Output, Record,
    Result, SplitIndex, SplitStatus, Timestamp, Watermark, WatermarkMerger,
};

/// How watermarks follow from timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatermarkStrategy {
    out_of_orderness: Timestamp,
}

impl WatermarkStrategy {
    /// Timestamps never go back within a split.
    pub fn monotonous_timestamps() -> Self {
        Self::bounded_out_of_orderness(Duration::ZERO)
    }

    /// A row comes at most `bound` (whole milliseconds) after one with a later timestamp; what comes later than that
    /// is late. The watermark is the highest timestamp so far, less the bound, less one millisecond.
    pub fn bounded_out_of_orderness(bound: Duration) -> Self {
        Self { out_of_orderness: i64::try_from(bound.as_millis()).unwrap_or(i64::MAX) }
    }

    pub(crate) fn watermark_after(self, max_timestamp: Timestamp) -> Timestamp {
        max_timestamp.saturating_sub(self.out_of_orderness).saturating_sub(1)
    }
}

impl std::fmt::Display for WatermarkStrategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "out of order up to {} ms", self.out_of_orderness)
    }
}

/// Adds event time to a stream.
pub trait AssignTimestamps<T: Record> {
    /// Takes each row's event time (milliseconds since 1970-01-01T00:00:00Z) from the row. At most one watermark
    /// follows a batch. Watermarks from before this operator end here, except the one that ends the input.
    ///
    /// ```
    /// use std::time::Duration;
    /// use riverrun_operators::prelude::*;
    /// # #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// # struct Visit { at: i64 }
    /// # fn job(visits: DataStream<Visit>) {
    /// let strategy = WatermarkStrategy::bounded_out_of_orderness(Duration::from_secs(60));
    /// let timed = visits.assign_timestamps(strategy, |visit| visit.at);
    /// # }
    /// ```
    fn assign_timestamps(
        &self,
        strategy: WatermarkStrategy,
        timestamp_of: impl Fn(&T) -> Timestamp + Clone + Send + Sync + 'static,
    ) -> DataStream<T>;
}

impl<T: Record> AssignTimestamps<T> for DataStream<T> {
    fn assign_timestamps(
        &self,
        strategy: WatermarkStrategy,
        timestamp_of: impl Fn(&T) -> Timestamp + Clone + Send + Sync + 'static,
    ) -> DataStream<T> {
        let spec = OperatorSpec::new("timestamps", OperatorKind::Transform)
            .described(strategy.to_string());
        self.transform(spec, move |_| {
            Ok(Box::new(TimestampAssigner::<T, _>::new(strategy, timestamp_of.clone())))
        })
    }
}

/// The operator behind [`AssignTimestamps::assign_timestamps`].
pub(crate) struct TimestampAssigner<T, F> {
    operator: String,
    timestamp_of: F,
    strategy: WatermarkStrategy,
    watermarks: SplitWatermarks,
    _rows: std::marker::PhantomData<fn(T)>,
}

impl<T, F> TimestampAssigner<T, F> {
    pub fn new(strategy: WatermarkStrategy, timestamp_of: F) -> Self {
        Self {
            operator: String::new(),
            timestamp_of,
            strategy,
            watermarks: SplitWatermarks::default(),
            _rows: std::marker::PhantomData,
        }
    }
}

impl<T: Record, F: Fn(&T) -> Timestamp + Send> Operator for TimestampAssigner<T, F> {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let split = batch.split;
        let mut rows = batch.into_rows::<T>(&self.operator)?;
        let timestamp_of = &self.timestamp_of;
        let mut latest = Timestamp::MIN;
        for (row, timestamp) in rows.values.iter().zip(&mut rows.timestamps) {
            *timestamp = timestamp_of(row);
            latest = latest.max(*timestamp);
        }
        if rows.is_empty() {
            return Ok(());
        }
        out.emit(Batch::rows(rows, split))?;
        self.watermarks.advance(split, self.strategy.watermark_after(latest), out)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        SplitWatermarks::on_watermark(watermark, out)
    }

    fn on_split(
        &mut self,
        split: SplitIndex,
        status: SplitStatus,
        out: &mut dyn Output,
    ) -> Result<()> {
        self.watermarks.on_split(split, status, out)
    }
}

/// The watermarks of the splits of one subtask: the part of timestamp assignment that does not
/// depend on the kind of batch.
#[derive(Debug)]
pub struct SplitWatermarks {
    merger: WatermarkMerger,
}

impl Default for SplitWatermarks {
    fn default() -> Self {
        Self { merger: WatermarkMerger::new(0) }
    }
}

impl SplitWatermarks {
    /// Rows of `split` were put out, with which event time has come to `reached` there. Behind an exchange there are no splits:
    /// all rows count as one.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn advance(
        &mut self,
        split: Option<SplitIndex>,
        reached: Timestamp,
        out: &mut dyn Output,
    ) -> Result<()> {
        let split = split.unwrap_or(0) as usize;
        self.merger.ensure_input(split);
        self.merger
            .advance(split, reached)
            .map_or(Ok(()), |watermark| out.emit_watermark(watermark))
    }

    /// Only the end of the input passes.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn on_watermark(watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        if watermark == Watermark::MAX { out.emit_watermark(watermark) } else { Ok(()) }
    }

    /// A finished split is like an idle one: it promises nothing, and the end of the input follows when all are.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn on_split(
        &mut self,
        split: SplitIndex,
        status: SplitStatus,
        out: &mut dyn Output,
    ) -> Result<()> {
        let input = split as usize;
        self.merger.ensure_input(input);
        let was_idle = self.merger.all_idle();
        let advanced = self.merger.set_idle(input, status != SplitStatus::Active);
        out.emit_split(split, status)?;
        if let Some(watermark) = advanced {
            out.emit_watermark(watermark)?;
        }
        if !was_idle && self.merger.all_idle() { out.emit_idle() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
