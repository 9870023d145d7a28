//! Which subtask gets which row of a HASH edge.

use std::hash::Hash;
use std::marker::PhantomData;

use crate::{Batch, Record, Result, Rows, key_group_of, key_hash, subtask_of};

/// Splits batches by key for a HASH edge. One instance per sending subtask.
pub trait Partitioner: Send {
    /// Splits `batch` for `targets` subtasks and calls `send(target, part)` for each part that has rows.
    ///
    /// Rows of one key always go to the same target, in their order.
    ///
    /// # Errors
    /// [`crate::Error::WrongBatch`] if the batch is not of the type the edge was built for, or what `send`
    /// returns.
    fn split(
        &mut self,
        batch: Batch,
        targets: u32,
        send: &mut dyn FnMut(u32, Batch) -> Result<()>,
    ) -> Result<()>;
}

/// Splits typed rows by the key that a function takes from each.
pub struct RowPartitioner<T, K, F> {
    key_of: F,
    key_groups: u16,
    _types: PhantomData<fn(&T) -> K>,
}

impl<T: Record, K: Hash, F: Fn(&T) -> K + Send> RowPartitioner<T, K, F> {
    /// Splits by the key that `key_of` takes from a row.
    pub fn new(key_of: F, key_groups: u16) -> Self {
        Self { key_of, key_groups, _types: PhantomData }
    }
}

impl<T: Record, K: Hash, F: Fn(&T) -> K + Send> Partitioner for RowPartitioner<T, K, F> {
    fn split(
        &mut self,
        batch: Batch,
        targets: u32,
        send: &mut dyn FnMut(u32, Batch) -> Result<()>,
    ) -> Result<()> {
        if targets == 1 {
            return send(0, Batch { data: batch.data, split: None });
        }
        let rows = batch.into_rows::<T>("hash exchange")?;
        let each = rows.len() / targets as usize + rows.len() / 8 + 1;
        let mut parts: Vec<Rows<T>> = (0..targets).map(|_| Rows::with_capacity(each)).collect();
        for (value, timestamp) in rows.values.into_iter().zip(rows.timestamps) {
            let group = key_group_of(key_hash(&(self.key_of)(&value)), self.key_groups);
            parts[subtask_of(group, self.key_groups, targets) as usize].push(value, timestamp);
        }
        for (target, part) in (0..).zip(parts) {
            if !part.is_empty() {
                send(target, Batch::rows(part, None))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_goes_to_the_owner_of_its_key_and_none_is_lost() {
        let mut rows = Rows::default();
        for i in 0..1000u64 {
            rows.push(i % 37, i as i64);
        }
        let mut partitioner = RowPartitioner::new(|row: &u64| *row, 128);
        let mut seen = Vec::new();
        partitioner
            .split(Batch::rows(rows, Some(1)), 3, &mut |target, part| {
                assert_eq!(part.split, None);
                let part = part.into_rows::<u64>("test")?;
                for (value, timestamp) in part.values.into_iter().zip(part.timestamps) {
                    assert_eq!(subtask_of(key_group_of(key_hash(&value), 128), 128, 3), target);
                    seen.push((timestamp, value));
                }
                Ok(())
            })
            .unwrap();
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).map(|i| (i as i64, i % 37)).collect::<Vec<_>>());
    }
}
