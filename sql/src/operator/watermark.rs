//! Event time from a `WATERMARK FOR`.

use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use datafusion::logical_expr::Operator as Infix;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Literal};
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

impl WatermarkSpec {
    /// True if the watermark is the time itself, or the time less a constant.
    fn grows_with_time(&self) -> bool {
        if self.watermark.eq(&self.time) {
            return true;
        }
        let Some(difference) = self.watermark.downcast_ref::<BinaryExpr>() else { return false };
        *difference.op() == Infix::Minus
            && difference.left().eq(&self.time)
            && difference.right().is::<Literal>()
    }
}

/// Passes rows on and follows them with watermarks: the highest value of the watermark expression so far, by source split and
/// combined by minimum.
///
/// A row without event time is an error, as in Flink: no window would ever take it.
pub struct WatermarkAssigner {
    spec: WatermarkSpec,
    /// The latest row's watermark is the highest: no other has to be computed.
    grows_with_time: bool,
    operator: String,
    watermarks: SplitWatermarks,
}

impl WatermarkAssigner {
    /// The operator of this spec.
    pub fn new(spec: WatermarkSpec) -> Self {
        Self {
            grows_with_time: spec.grows_with_time(),
            spec,
            operator: "watermark".to_owned(),
            watermarks: SplitWatermarks::default(),
        }
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
        let latest = match times.as_primitive_opt::<TimestampMillisecondType>() {
            Some(times) if self.grows_with_time => {
                (0..times.len()).max_by_key(|row| times.value(*row))
            }
            _ => None,
        };
        let rows = match latest {
            Some(row) => &changes.rows.slice(row, 1),
            None => &changes.rows,
        };
        let values = evaluate_times(&self.operator, "a watermark", &self.spec.watermark, rows)?;
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
