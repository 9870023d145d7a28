//! Event time from a `WATERMARK FOR`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, ArrayRef};
use datafusion::physical_expr::PhysicalExpr;
use riverrun_dataflow::{
    Batch, Error, Operator, OperatorContext, Output, Result, SplitIndex, SplitStatus, Timestamp,
    Watermark, WatermarkMerger,
};

use super::calc::evaluate;
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
    merger: WatermarkMerger,
}

impl WatermarkAssigner {
    /// The operator of this spec.
    pub fn new(spec: WatermarkSpec) -> Self {
        Self { spec, operator: "watermark".to_owned(), merger: WatermarkMerger::new(0) }
    }

    fn highest(&self, values: &ArrayRef) -> Result<Option<Timestamp>> {
        let Some(values) = values.as_primitive_opt::<TimestampMillisecondType>() else {
            return Err(Error::WrongBatch {
                operator: self.operator.clone(),
                expected: "a watermark of TIMESTAMP(3)".to_owned(),
                got: values.data_type().to_string(),
            });
        };
        Ok(arrow_array::iterator::ArrayIter::new(values).flatten().max())
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
        let values = evaluate(&self.operator, &self.spec.watermark, &changes.rows)?;
        let highest = self.highest(&values)?;
        out.emit(changes.into_batch(&self.operator, split)?)?;
        let Some(highest) = highest else { return Ok(()) };
        let input = split.unwrap_or(0) as usize;
        self.merger.ensure_input(input);
        self.merger
            .advance(input, highest)
            .map_or(Ok(()), |watermark| out.emit_watermark(watermark))
    }

    /// Only the end of the input passes.
    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        if watermark == Watermark::MAX { out.emit_watermark(watermark) } else { Ok(()) }
    }

    fn on_split(
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
