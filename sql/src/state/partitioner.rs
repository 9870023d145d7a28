//! Weighted rows over a HASH edge.

use arrow_array::{ArrayRef, UInt32Array};
use arrow_select::take::take_record_batch;
use riverrun_dataflow::{Batch, Columns, Error, Partitioner, Result, subtask_of};

use super::{RowCodec, key_group_of_row};

const OPERATOR: &str = "hash exchange of rows";

/// Splits columns by the key groups of the rows that some of the columns make: the groups in which an operator behind the edge
/// keeps the same rows as keys of its state.
pub struct RowKeyPartitioner {
    columns: Vec<usize>,
    codec: Option<RowCodec>,
    key_groups: u16,
}

impl RowKeyPartitioner {
    /// Splits by the columns at these positions.
    pub fn new(columns: Vec<usize>, key_groups: u16) -> Self {
        Self { columns, codec: None, key_groups }
    }
}

impl Partitioner for RowKeyPartitioner {
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
        let count = columns.batch.num_rows();
        let keys: Vec<ArrayRef> =
            self.columns.iter().map(|at| columns.batch.column(*at).clone()).collect();
        let codec = match &mut self.codec {
            Some(codec) => codec,
            none => none
                .insert(RowCodec::new(OPERATOR, keys.iter().map(|key| key.data_type().clone()))?),
        };
        let rows = codec.encode(OPERATOR, &keys, count)?;
        let each = count / targets as usize + 16;
        let mut parts: Vec<Vec<u32>> = (0..targets).map(|_| Vec::with_capacity(each)).collect();
        for (at, row) in rows.iter().enumerate() {
            let group = key_group_of_row(row, self.key_groups);
            // A batch has far fewer rows than a u32 can count.
            parts[subtask_of(group, self.key_groups, targets) as usize].push(at as u32);
        }
        for (target, rows) in (0..).zip(parts) {
            if rows.is_empty() {
                continue;
            }
            if rows.len() == count {
                return send(target, Batch::columns(columns, None));
            }
            let part = take_record_batch(&columns.batch, &UInt32Array::from(rows))
                .map_err(|error| Error::io(OPERATOR, error))?;
            send(target, Batch::columns(Columns { batch: part, ..columns.clone() }, None))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_array::{Int64Array, RecordBatch};
    use arrow_schema::{DataType, Field, Schema};
    use riverrun_dataflow::key_groups_of_subtask;

    use super::*;

    #[test]
    fn every_row_goes_to_the_owner_of_its_key() {
        let schema = Arc::new(Schema::new(vec![Field::new("k", DataType::Int64, true)]));
        let keys = Int64Array::from_iter((0..500).map(|i| (i % 7 != 0).then_some(i % 41)));
        let batch = RecordBatch::try_new(schema, vec![Arc::new(keys)]).unwrap();
        let columns = Columns { batch, time_column: None, weight_column: None };
        let codec = RowCodec::new("test", [DataType::Int64]).unwrap();
        let mut seen = 0;
        RowKeyPartitioner::new(vec![0], 128)
            .split(Batch::columns(columns, None), 3, &mut |target, part| {
                let part = part.into_columns("test")?.batch;
                seen += part.num_rows();
                for row in codec.encode("test", part.columns(), part.num_rows())?.iter() {
                    let group = key_group_of_row(row, 128);
                    assert!(key_groups_of_subtask(target, 128, 3).contains(&group));
                }
                assert!(part.column(0).as_primitive::<Int64Type>().len() == part.num_rows());
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, 500);
    }
}
