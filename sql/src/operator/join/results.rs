//! Columns of a join's output.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array,
};
use arrow_schema::SchemaRef;
use arrow_select::take::{take, take_record_batch};
use riverrun_dataflow::{Error, Output, Result};

use super::side::Side;
use super::{CHUNK, Single};
use crate::Changes;

/// Puts out rows.
pub(super) struct Results {
    pub(super) output: SchemaRef,
    pub(super) retracts: bool,
}

impl Results {
    /// Emits rows with their weights.
    pub(super) fn emit(
        &self,
        operator: &str,
        columns: Vec<ArrayRef>,
        weights: Vec<i64>,
        out: &mut dyn Output,
    ) -> Result<()> {
        let options = RecordBatchOptions::new().with_row_count(Some(weights.len()));
        let rows = RecordBatch::try_new_with_options(self.output.clone(), columns, &options)
            .map_err(|error| Error::io(operator, error))?;
        if weights.iter().all(|weight| *weight == 1) {
            return out.emit(Changes::inserts(rows).into_batch(operator, None)?);
        }
        if self.retracts {
            let changes = Changes::weighted(rows, Int64Array::from(weights));
            return out.emit(changes.into_batch(operator, None)?);
        }
        let mut copies: Vec<u32> = Vec::with_capacity(CHUNK);
        for (row, weight) in (0..).zip(weights) {
            if weight < 0 {
                return Err(Error::io(
                    operator,
                    "a row was taken back in a stream that was planned as one of insertions only",
                ));
            }
            for _ in 0..weight {
                copies.push(row);
                if copies.len() == CHUNK {
                    self.emit_copies(operator, &rows, std::mem::take(&mut copies), out)?;
                }
            }
        }
        self.emit_copies(operator, &rows, copies, out)
    }

    fn emit_copies(
        &self,
        operator: &str,
        rows: &RecordBatch,
        copies: Vec<u32>,
        out: &mut dyn Output,
    ) -> Result<()> {
        if copies.is_empty() {
            return Ok(());
        }
        let rows = take_record_batch(rows, &UInt32Array::from(copies))
            .map_err(|error| Error::io(operator, error))?;
        out.emit(Changes::inserts(rows).into_batch(operator, None)?)
    }
}

/// The output columns of single results of a side, out of the side's own columns.
pub(super) fn single_columns(
    single: Single,
    side: usize,
    sides: &[Side; 2],
    columns: Vec<ArrayRef>,
    marks: impl Iterator<Item = bool>,
    count: usize,
) -> Vec<ArrayRef> {
    match (single, side) {
        (Single::Padded, 0) => columns.into_iter().chain(sides[1].nulls(count)).collect(),
        (Single::Padded, _) => sides[0].nulls(count).chain(columns).collect(),
        (Single::Mark, _) => {
            let marks: ArrayRef = Arc::new(BooleanArray::from(marks.collect::<Vec<_>>()));
            columns.into_iter().chain([marks]).collect()
        }
        _ => columns,
    }
}

/// Rows of some of a batch's columns.
pub(super) fn taken(
    operator: &str,
    batch: &RecordBatch,
    columns: impl IntoIterator<Item = usize>,
    rows: &UInt32Array,
) -> Result<Vec<ArrayRef>> {
    columns
        .into_iter()
        .map(|at| take(batch.column(at), rows, None).map_err(|error| Error::io(operator, error)))
        .collect()
}
