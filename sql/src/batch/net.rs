//! Weighted rows to the rows that are left.

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use hashbrown::HashMap;
use riverrun_dataflow::Result;

use crate::Changes;
use crate::state::{RowBytes, RowCodec};

const OPERATOR: &str = "net rows";

/// The rows that are left when all changes are added up, each as often as its weight says, in no particular order.
///
/// # Errors
/// [`riverrun_dataflow::Error::Io`] for columns that cannot be compared.
pub fn net_rows(schema: &SchemaRef, changes: &[Changes]) -> Result<RecordBatch> {
    let codec = RowCodec::of_schema(OPERATOR, schema)?;
    let mut net: HashMap<RowBytes, i64, foldhash::fast::FixedState> = HashMap::default();
    for batch in changes {
        let rows = codec.encode(OPERATOR, batch.rows.columns(), batch.len())?;
        for (at, row) in rows.iter().enumerate() {
            let weight = batch.weight(at);
            match net.get_mut(row) {
                Some(sum) => *sum += weight,
                None => {
                    net.insert(RowBytes::from(row), weight);
                }
            }
        }
    }
    let mut left: Vec<(&RowBytes, i64)> =
        net.iter().filter(|(_, weight)| **weight > 0).map(|(row, weight)| (row, *weight)).collect();
    left.sort_unstable();
    let rows: Vec<&[u8]> = left
        .into_iter()
        .flat_map(|(row, weight)| std::iter::repeat_n(row.as_slice(), weight as usize))
        .collect();
    let count = rows.len();
    if schema.fields().is_empty() {
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        return RecordBatch::try_new_with_options(schema.clone(), Vec::new(), &options)
            .map_err(|error| riverrun_dataflow::Error::io(OPERATOR, error));
    }
    codec.decode_batch(OPERATOR, schema, rows, count)
}
