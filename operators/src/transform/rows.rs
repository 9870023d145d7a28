//! The operator behind all transforms without state: a function from rows to rows.

use std::marker::PhantomData;
use std::sync::Arc;

use riverrun_dataflow::{
    Batch, Operator, OperatorContext, OperatorMetrics, Output, Record, Result, Rows, SplitIndex,
};

/// Runs a function over the rows of each batch.
pub(crate) struct RowTransform<T, S> {
    operator: String,
    metrics: Arc<OperatorMetrics>,
    step: S,
    _rows: PhantomData<fn(T)>,
}

/// Where the function puts its rows: an [`Output`] that remembers the split.
pub(crate) struct RowOutput<'a> {
    /// Name of the operator, for messages.
    pub operator: &'a str,
    split: Option<SplitIndex>,
    metrics: &'a OperatorMetrics,
    out: &'a mut dyn Output,
}

impl RowOutput<'_> {
    pub fn emit<U: Record>(&mut self, rows: Rows<U>) -> Result<()> {
        if rows.is_empty() { Ok(()) } else { self.out.emit(Batch::rows(rows, self.split)) }
    }

    pub fn emit_side<U: Record>(&mut self, tag: &str, rows: Rows<U>) -> Result<()> {
        if rows.is_empty() {
            Ok(())
        } else {
            self.out.emit_side(tag, Batch::rows(rows, self.split))
        }
    }

    pub fn count_rejected(&self, rows: usize) {
        if rows > 0 {
            OperatorMetrics::add(&self.metrics.rejected_records, rows as u64);
        }
    }
}

impl<T, S> RowTransform<T, S>
where
    T: Record,
    S: FnMut(Rows<T>, &mut RowOutput<'_>) -> Result<()> + Send + 'static,
{
    pub fn boxed(step: S) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Self {
            operator: String::new(),
            metrics: Arc::default(),
            step,
            _rows: PhantomData,
        }))
    }
}

impl<T, S> Operator for RowTransform<T, S>
where
    T: Record,
    S: FnMut(Rows<T>, &mut RowOutput<'_>) -> Result<()> + Send,
{
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.metrics = context.metrics.clone();
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let split = batch.split;
        let rows = batch.into_rows::<T>(&self.operator)?;
        let mut out = RowOutput { operator: &self.operator, split, metrics: &self.metrics, out };
        (self.step)(rows, &mut out)
    }
}
