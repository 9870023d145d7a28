//! Rows for each of several grouping sets.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::SchemaRef;
use datafusion::common::ScalarValue;
use riverrun_dataflow::{Batch, Error, Operator, OperatorContext, Output, Result};

use crate::Changes;

/// What an [`Expand`] does.
#[derive(Debug, Clone)]
pub struct ExpandSpec {
    /// Number of columns, at the beginning of a row, that grouping sets are made of.
    pub grouping: usize,
    /// For each grouping set: which of the columns are not in it, and the set's id.
    pub sets: Vec<(Vec<bool>, ScalarValue)>,
    /// What comes out: the columns of the input, with the id of the grouping set behind the grouping columns.
    pub output: SchemaRef,
}

/// Puts out each row once for each grouping set: with null in the grouping columns that are not in the set.
pub struct Expand {
    spec: ExpandSpec,
    operator: String,
}

impl Expand {
    /// The operator of this spec.
    pub fn new(spec: ExpandSpec) -> Self {
        Self { spec, operator: "expand".to_owned() }
    }
}

impl Operator for Expand {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let split = batch.split;
        let changes = Changes::of(batch, &self.operator)?;
        let count = changes.len();
        for (left_out, id) in &self.spec.sets {
            let failed = |error| Error::io(&self.operator, error);
            let (grouping, others) = changes.rows.columns().split_at(self.spec.grouping);
            let mut columns: Vec<ArrayRef> = grouping
                .iter()
                .zip(left_out)
                .map(|(column, left_out)| match left_out {
                    true => new_null_array(column.data_type(), count),
                    false => column.clone(),
                })
                .collect();
            columns.push(id.to_array_of_size(count).map_err(|e| Error::io(&self.operator, e))?);
            columns.extend(others.iter().map(Arc::clone));
            let options = RecordBatchOptions::new().with_row_count(Some(count));
            let rows =
                RecordBatch::try_new_with_options(self.spec.output.clone(), columns, &options)
                    .map_err(failed)?;
            let changes = Changes { rows, weights: changes.weights.clone() };
            out.emit(changes.into_batch(&self.operator, split)?)?;
        }
        Ok(())
    }
}
