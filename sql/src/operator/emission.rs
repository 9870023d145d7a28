//! Rows on their way from state to a batch.

use arrow_array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use riverrun_dataflow::{Error, Output, Result};

use crate::Changes;
use crate::state::RowLayout;

/// Rows of a batch that an operator emits at most.
pub(crate) const BATCH_ROWS: usize = 8192;

/// Byte strings behind each other.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Strings {
    pub fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.ends.push(self.bytes.len());
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    #[inline]
    pub fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|at| self.get(at))
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Collects the rows that a call emits, as bytes of a [`RowLayout`], with their weights.
#[derive(Debug, Default)]
pub(crate) struct Emission {
    keys: Strings,
    rests: Strings,
    weights: Vec<i64>,
}

impl Emission {
    pub fn push(&mut self, key: &[u8], rest: &[u8], weight: i64) {
        self.keys.push(key);
        self.rests.push(rest);
        self.weights.push(weight);
    }

    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Emits what was collected: the rows' columns at `columns`, then `added` ones. `output` names them all.
    ///
    /// # Errors
    /// What decoding or the output returns.
    pub fn emit(
        &mut self,
        operator: &str,
        layout: &RowLayout,
        columns: &[usize],
        added: Vec<ArrayRef>,
        output: &SchemaRef,
        out: &mut dyn Output,
    ) -> Result<()> {
        if self.weights.is_empty() {
            return Ok(());
        }
        let all = layout.decode(operator, self.keys.iter(), self.rests.iter())?;
        let arrays = columns.iter().map(|at| all[*at].clone()).chain(added).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.len()));
        let rows = RecordBatch::try_new_with_options(output.clone(), arrays, &options)
            .map_err(|error| Error::state(operator, error))?;
        let weights = std::mem::take(&mut self.weights);
        self.keys.clear();
        self.rests.clear();
        let changes = match weights.iter().all(|weight| *weight == 1) {
            true => Changes::inserts(rows),
            false => Changes::weighted(rows, Int64Array::from(weights)),
        };
        emit_pieces(operator, changes, out)
    }
}

/// Emits rows in batches of at most [`BATCH_ROWS`].
pub(crate) fn emit_pieces(operator: &str, changes: Changes, out: &mut dyn Output) -> Result<()> {
    let count = changes.len();
    for start in (0..count).step_by(BATCH_ROWS) {
        let len = BATCH_ROWS.min(count - start);
        let rows = changes.rows.slice(start, len);
        let weights = changes.weights.as_ref().map(|weights| weights.slice(start, len));
        out.emit(Changes { rows, weights }.into_batch(operator, None)?)?;
    }
    Ok(())
}
