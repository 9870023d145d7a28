//! Buckets to a checkpoint and back: an entry a row.
//!
//! ```text
//! key := length of the key u32 LE | key | row          value := weight i64 LE | matches i64 LE | time i64 LE
//! ```
//! The table number is the side.

use riverrun_dataflow::{Change, Entries, Error, KeyedState, Result, SnapshotKind, decode_entries};

use super::bucket::{Layout, Record};
use super::{Buckets, DIRTY};
use crate::state::key_group_of_row;

impl Buckets {
    /// All rows, or those that changed since the snapshot before. Changes count anew from here.
    pub fn snapshot(&mut self, kind: SnapshotKind, key_groups: u16) -> KeyedState {
        let mut entries = Entries::new(key_groups);
        let slots = match kind {
            SnapshotKind::Full => self.slots().collect(),
            SnapshotKind::Delta => std::mem::take(&mut self.dirty),
        };
        self.dirty.clear();
        let all = kind == SnapshotKind::Full;
        let mut bytes = Vec::new();
        for at in slots {
            let slot = &mut self.slots[at as usize];
            slot.mark &= !DIRTY;
            let key = slot.key.as_slice();
            let group = key_group_of_row(key, key_groups);
            for (side, bucket) in slot.sides.iter_mut().enumerate() {
                bucket.drain_changes(self.layouts[side], all, |record| {
                    bytes.clear();
                    // Rows are bounded far below 4 GiB, and so are keys.
                    bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
                    bytes.extend_from_slice(key);
                    bytes.extend_from_slice(record.row);
                    let mut value = [0; 24];
                    value[..8].copy_from_slice(&record.weight.to_le_bytes());
                    value[8..16].copy_from_slice(&record.matches.to_le_bytes());
                    value[16..].copy_from_slice(&record.time.to_le_bytes());
                    let change = match record.weight {
                        0 => Change::Remove { key: &bytes },
                        _ => Change::Put { key: &bytes, value: &value },
                    };
                    entries.push(group, side as u8, 0, &change);
                });
            }
            self.release(at);
        }
        self.tracking = true;
        entries.finish(kind)
    }

    /// Adds what one former subtask left: a full snapshot and the deltas after it.
    ///
    /// # Errors
    /// [`Error::State`] naming `operator` if the bytes are no buckets.
    pub fn restore(&mut self, operator: &str, chain: &[KeyedState]) -> Result<()> {
        for (_, bytes) in chain.iter().flat_map(|state| &state.groups) {
            decode_entries(operator, bytes, |side, _, change| {
                let side = usize::from(side);
                if side > 1 {
                    return Ok(());
                }
                let (key, value) = match &change {
                    Change::Put { key, value } => (*key, Some(*value)),
                    Change::Remove { key } => (*key, None),
                };
                let (key, row) = split(key).ok_or_else(|| damaged(operator))?;
                let slot = self.slot(key);
                let old = self.find_row(slot, side, row);
                let (at, weight) = old.map_or((0, 0), |old| (old.at, old.weight));
                let Some(value) = value else {
                    let gone = Record { at, weight: -weight, matches: 0, time: 0, row };
                    self.add(operator, slot, side, &gone)?;
                    self.release(slot);
                    return Ok(());
                };
                let [to, matches, time] = longs(value).ok_or_else(|| damaged(operator))?;
                self.add(
                    operator,
                    slot,
                    side,
                    &Record { at, weight: to - weight, matches, time, row },
                )?;
                if weight != 0 {
                    self.put_matches(slot, side, at, matches);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The layout of a side's records.
    pub fn layout(&self, side: usize) -> Layout {
        self.layouts[side]
    }
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_at_checked(4)?;
    rest.split_at_checked(u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize)
}

fn longs(value: &[u8]) -> Option<[i64; 3]> {
    let mut longs = [0; 3];
    if value.len() != 24 {
        return None;
    }
    for (long, bytes) in longs.iter_mut().zip(value.chunks_exact(8)) {
        let mut word = [0; 8];
        word.copy_from_slice(bytes);
        *long = i64::from_le_bytes(word);
    }
    Some(longs)
}

fn damaged(operator: &str) -> Error {
    Error::state(operator, "a restored row of a join is cut short; restore an older checkpoint")
}
