//! A batch that arrived at one side: keys and rows as bytes, equal rows put together.

use arrow_array::{Array, ArrayRef, RecordBatch};
use hashbrown::HashTable;
use riverrun_dataflow::{Result, key_hash};

use super::side::Side;
use crate::Changes;
use crate::state::EncodedRows;

/// Changes of one side. A *position* is that of a distinct change, in `rows` and `deltas`.
pub(super) struct Arrivals {
    /// The batch.
    pub(super) batch: RecordBatch,
    /// Its key columns.
    pub(super) key_columns: Vec<ArrayRef>,
    keys: EncodedRows,
    kept: EncodedRows,
    /// The row of the batch that stands for each position.
    pub(super) rows: Vec<u32>,
    /// By how much the weight of that row changes; never 0.
    pub(super) deltas: Vec<i64>,
    /// Rows (of the batch) with a null in their key, which match nothing, and their weights.
    pub(super) unmatchable: Vec<(u32, i64)>,
}

impl Arrivals {
    pub(super) fn new(
        operator: &str,
        side: &Side,
        nulls_equal: bool,
        changes: Changes,
    ) -> Result<Self> {
        let key_columns = side.key_columns(&changes.rows);
        let count = changes.len();
        let keys = side.key_codec.encode(operator, &key_columns, count)?;
        let kept = side.encode(operator, &changes.rows)?;
        let null = |row: usize| key_columns.iter().any(|column| column.is_null(row));
        let nulls = !nulls_equal && key_columns.iter().any(|column| column.null_count() > 0);
        let mut unmatchable = Vec::new();
        let (mut rows, mut deltas) = (Vec::with_capacity(count), Vec::with_capacity(count));
        // A batch has far fewer rows than a u32 can count.
        for row in 0..count as u32 {
            let at = row as usize;
            if nulls && null(at) {
                unmatchable.push((row, changes.weight(at)));
            } else {
                rows.push(row);
                deltas.push(changes.weight(at));
            }
        }
        let weighted = changes.weights.is_some();
        let batch = changes.rows;
        let mut arrivals = Self { batch, key_columns, keys, kept, rows, deltas, unmatchable };
        if weighted {
            arrivals.put_together();
        }
        Ok(arrivals)
    }

    /// Adds up the weights of equal rows and leaves out what comes to nothing: an update that changes no column that is read here.
    fn put_together(&mut self) {
        let Self { rows, deltas, keys, kept, .. } = self;
        let hash = |row: u32| {
            let row = row as usize;
            key_hash(keys.row(row)).rotate_left(17) ^ key_hash(kept.row(row))
        };
        let equal = |a: u32, b: u32| {
            let (a, b) = (a as usize, b as usize);
            keys.row(a) == keys.row(b) && kept.row(a) == kept.row(b)
        };
        let mut found: HashTable<u32> = HashTable::with_capacity(rows.len());
        let mut distinct = 0;
        for at in 0..rows.len() {
            let (row, delta) = (rows[at], deltas[at]);
            if let Some(position) =
                found.find(hash(row), |position| equal(rows[*position as usize], row))
            {
                deltas[*position as usize] += delta;
                continue;
            }
            found.insert_unique(hash(row), distinct as u32, |at| hash(rows[*at as usize]));
            rows[distinct] = row;
            deltas[distinct] = delta;
            distinct += 1;
        }
        rows.truncate(distinct);
        deltas.truncate(distinct);
        if deltas.contains(&0) {
            let mut each = deltas.iter();
            rows.retain(|_| each.next() != Some(&0));
            deltas.retain(|delta| *delta != 0);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The key of the row at a position.
    #[inline]
    pub(super) fn key(&self, position: usize) -> &[u8] {
        self.keys.row(self.rows[position] as usize)
    }

    /// What is kept of the row at a position.
    #[inline]
    pub(super) fn row(&self, position: usize) -> &[u8] {
        self.kept.row(self.rows[position] as usize)
    }
}
