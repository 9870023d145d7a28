//! Columns over a HASH edge.

use arrow_array::UInt32Array;
use arrow_select::take::take_record_batch;
use riverrun_dataflow::{
    Batch, Columns, Error, Partitioner, Result, key_group_of, key_hash, subtask_of,
};

/// Splits columns by the hash of one of them, a column of text, into the key groups that the same text has as a
/// key of rows.
pub struct ColumnPartitioner {
    column: String,
    key_groups: u16,
}

const OPERATOR: &str = "hash exchange of columns";

impl ColumnPartitioner {
    /// Splits by the column of this name.
    pub fn new(column: impl Into<String>, key_groups: u16) -> Self {
        Self { column: column.into(), key_groups }
    }
}

impl Partitioner for ColumnPartitioner {
    fn split(
        &mut self,
        batch: Batch,
        targets: u32,
        send: &mut dyn FnMut(u32, Batch) -> Result<()>,
    ) -> Result<()> {
        if targets == 1 {
            return send(0, Batch { data: batch.data, split: None });
        }
        let columns = batch.into_columns(OPERATOR)?;
        let keys = super::text_column(OPERATOR, &columns, &self.column)?;
        let each = columns.batch.num_rows() / targets as usize + 16;
        let mut parts: Vec<Vec<u32>> = (0..targets).map(|_| Vec::with_capacity(each)).collect();
        for row in 0..columns.batch.num_rows() {
            let group = key_group_of(key_hash(keys.value(row)), self.key_groups);
            // A batch has far fewer rows than a u32 can count.
            parts[subtask_of(group, self.key_groups, targets) as usize].push(row as u32);
        }
        for (target, rows) in (0..).zip(parts) {
            if rows.is_empty() {
                continue;
            }
            let part = take_record_batch(&columns.batch, &UInt32Array::from(rows))
                .map_err(|error| Error::io(OPERATOR, error))?;
            send(target, Batch::columns(Columns { batch: part, ..columns.clone() }, None))?;
        }
        Ok(())
    }
}
