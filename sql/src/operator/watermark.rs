//! Event time from a `WATERMARK FOR`.

use std::sync::Arc;

use arrow_array::Array;
use datafusion::physical_expr::PhysicalExpr;
use riverrun_dataflow::{
    Batch, Error, Operator, OperatorContext, Output, Result, SplitIndex, SplitStatus, Watermark,
};
use riverrun_operators::timestamps::SplitWatermarks;

use super::calc::{evaluate, evaluate_times};
use crate::Changes;

/// What event time follows from.
#[derive(Debug, Clone)]
pub struct WatermarkSpec {
    /// The event time column.
    pub time: Arc<dyn PhysicalExpr>,
    /// How far event time has come once a row was seen; a timestamp in milliseconds.
    pub watermark: Arc<dyn PhysicalExpr>,
}

/// Passes rows on and follows them with watermarks: the highest value of the watermark expression so far, by source split and
/// combined by minimum.
///
/// A row without event time is an error, as in Flink: no window would ever take it.
pub struct WatermarkAssigner {
    spec: WatermarkSpec,
    operator: String,
    watermarks: SplitWatermarks,
}

impl WatermarkAssigner {
    /// The operator of this spec.
    pub fn new(spec: WatermarkSpec) -> Self {
        Self { spec, operator: "watermark".to_owned(), watermarks: SplitWatermarks::default() }
    }
}

impl Operator for WatermarkAssigner {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let split = batch.split;
        let changes = Changes::of(batch, &self.operator)?;
        let times = evaluate(&self.operator, &self.spec.time, &changes.rows)?;
        if times.null_count() > 0 {
            return Err(Error::User {
                place: format!("operator `{}`", self.operator),
                reason: format!(
                    "the event time {} of a row is NULL: leave such rows out where they come from, or compute the event time with COALESCE",
                    self.spec.time
                ),
            });
        }
        let values =
            evaluate_times(&self.operator, "a watermark", &self.spec.watermark, &changes.rows)?;
        let highest = values.iter().flatten().max();
        out.emit(changes.into_batch(&self.operator, split)?)?;
        let Some(highest) = highest else { return Ok(()) };
        self.watermarks.advance(split, highest, out)
    }

    /// Only the end of the input passes.
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
