//! Watermarks from the event time column.

use riverrun_dataflow::{
    Batch, Operator, OperatorContext, Output, Result, SplitIndex, SplitStatus, Watermark,
};

use crate::timestamps::{SplitWatermarks, WatermarkStrategy};

/// Follows the event time column of each split.
pub(super) struct ColumnTimestamps {
    operator: String,
    strategy: WatermarkStrategy,
    watermarks: SplitWatermarks,
}

impl ColumnTimestamps {
    pub(super) fn new(strategy: WatermarkStrategy) -> Self {
        Self { operator: String::new(), strategy, watermarks: SplitWatermarks::default() }
    }
}

impl Operator for ColumnTimestamps {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let split = batch.split;
        let columns = batch.into_columns(&self.operator)?;
        let times = super::time_column(&self.operator, &columns)?;
        let Some(latest) = times.values().iter().copied().max() else { return Ok(()) };
        out.emit(Batch::columns(columns, split))?;
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
