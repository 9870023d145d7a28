//! What crosses the HASH edge before a window: rows that were added up already.

use riverrun_dataflow::{
    Batch, Partitioner, Record, Result, Rows, Timestamp, key_group_of, key_hash, subtask_of,
};
use serde::{Deserialize, Serialize};
use std::hash::Hash;

/// Rows of one key and pane, added up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Partial<K, A> {
    /// The key.
    pub key: K,
    /// Start of the pane; without meaning in processing time, where the receiver's clock decides.
    pub pane: Timestamp,
    /// How many rows are in it.
    pub rows: u64,
    /// The accumulator.
    pub accumulator: A,
}

/// Sends partial results to the subtask that owns their key; unlike a `RowPartitioner` it need not clone keys.
pub(crate) struct PartialPartitioner<K, A> {
    key_groups: u16,
    _types: std::marker::PhantomData<fn(K, A)>,
}

impl<K, A> PartialPartitioner<K, A> {
    pub fn new(key_groups: u16) -> Self {
        Self { key_groups, _types: std::marker::PhantomData }
    }
}

impl<K: Record + Hash, A: Record> Partitioner for PartialPartitioner<K, A> {
    fn split(
        &mut self,
        batch: Batch,
        targets: u32,
        send: &mut dyn FnMut(u32, Batch) -> Result<()>,
    ) -> Result<()> {
        if targets == 1 {
            return send(0, Batch { data: batch.data, split: None });
        }
        let rows = batch.into_rows::<Partial<K, A>>("hash exchange of partial results")?;
        let each = rows.len() / targets as usize + rows.len() / 8 + 1;
        let mut parts: Vec<Rows<Partial<K, A>>> =
            (0..targets).map(|_| Rows::with_capacity(each)).collect();
        for (partial, timestamp) in rows.values.into_iter().zip(rows.timestamps) {
            let group = key_group_of(key_hash(&partial.key), self.key_groups);
            parts[subtask_of(group, self.key_groups, targets) as usize].push(partial, timestamp);
        }
        for (target, part) in (0..).zip(parts) {
            if !part.is_empty() {
                send(target, Batch::rows(part, None))?;
            }
        }
        Ok(())
    }
}
