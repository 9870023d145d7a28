//! The operator before the edge.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, UInt32Array};
use arrow_select::take::take_record_batch;
use riverrun_dataflow::{
    Barrier, Batch, Columns, Error, Operator, OperatorContext, Output, Result, SplitIndex,
    SplitStatus, Watermark,
};

use super::local::LocalGroups;
use super::partial::PartialLayout;
use super::sets::codecs;
use super::spec::AggregateSpec;
use crate::Changes;
use crate::operator::calc::failed;
use crate::state::RowCodec;

/// Groups and values beyond which everything is handed on.
const MAX_ENTRIES: usize = 65_536;

/// Rows beyond which everything is handed on, however few groups they make.
const MAX_ROWS: usize = 262_144;

/// A batch of fewer rows is one of a source that has caught up: nobody is to wait for what it adds.
const SMALL_BATCH: usize = 1_024;

/// Adds up the rows of each group until it pays to hand them on: when there are many, before a barrier, when the input falls silent, and at once when it
/// comes in small batches.
pub struct Combine {
    spec: Arc<AggregateSpec>,
    layout: PartialLayout,
    operator: String,
    codecs: Vec<RowCodec>,
    groups: Option<LocalGroups>,
    rows: usize,
}

impl Combine {
    /// The operator of this spec.
    pub fn new(spec: Arc<AggregateSpec>) -> Self {
        let layout = PartialLayout::new(&spec, false);
        let operator = "combine".to_owned();
        Self { spec, layout, operator, codecs: Vec::new(), groups: None, rows: 0 }
    }

    /// The columns that it puts out first: the key's.
    pub fn key_columns(spec: &AggregateSpec) -> Vec<usize> {
        PartialLayout::new(spec, false).keys().collect()
    }

    fn flush(&mut self, out: &mut dyn Output) -> Result<()> {
        let Some(groups) = &mut self.groups else { return Ok(()) };
        if self.rows == 0 {
            return Ok(());
        }
        self.rows = 0;
        let partial = groups.take(&self.operator, &self.codecs)?;
        let batch = self.layout.batch(&self.operator, partial, None)?;
        out.emit(Batch::columns(Columns { batch, time_column: None, weight_column: None }, None))
    }
}

/// Rows of a stream that is said to have no retractions: a row with a higher weight comes so many times.
fn repeated(operator: &str, rows: RecordBatch, weights: &Int64Array) -> Result<RecordBatch> {
    let mut each = Vec::with_capacity(rows.num_rows());
    for (row, weight) in (0..).zip(weights.values()) {
        let times = usize::try_from(*weight).map_err(|_| {
            Error::io(operator, "a row was taken back in a stream that was planned to have none")
        })?;
        each.extend(std::iter::repeat_n(row, times));
    }
    take_record_batch(&rows, &UInt32Array::from(each)).map_err(|e| Error::io(operator, e))
}

impl Operator for Combine {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.codecs = codecs(&self.operator, &self.spec)?;
        self.groups = Some(LocalGroups::new(&self.spec).map_err(|e| failed(&self.operator, e))?);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let mut changes = Changes::of(batch, &self.operator)?;
        if !self.spec.retracts
            && let Some(weights) = changes.weights.take()
        {
            changes.rows = repeated(&self.operator, changes.rows, &weights)?;
        }
        if changes.is_empty() {
            return Ok(());
        }
        let Some(groups) = &mut self.groups else { return Ok(()) };
        groups
            .add(&changes.rows, changes.weights.as_ref())
            .map_err(|error| failed(&self.operator, error))?;
        self.rows += changes.len();
        let full = self.rows >= MAX_ROWS || groups.entries() >= MAX_ENTRIES;
        if full || changes.len() < SMALL_BATCH { self.flush(out) } else { Ok(()) }
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        if self.spec.timely || watermark == Watermark::MAX {
            self.flush(out)?;
        }
        out.emit_watermark(watermark)
    }

    fn on_split(
        &mut self,
        split: SplitIndex,
        status: SplitStatus,
        out: &mut dyn Output,
    ) -> Result<()> {
        if status != SplitStatus::Active {
            self.flush(out)?;
        }
        out.emit_split(split, status)
    }

    fn on_idle(&mut self, out: &mut dyn Output) -> Result<()> {
        self.flush(out)?;
        out.emit_idle()
    }

    fn on_end_of_input(&mut self, out: &mut dyn Output) -> Result<()> {
        self.flush(out)
    }

    fn before_barrier(&mut self, _barrier: Barrier, out: &mut dyn Output) -> Result<()> {
        self.flush(out)
    }
}
