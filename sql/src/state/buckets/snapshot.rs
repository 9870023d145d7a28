//! Buckets to a checkpoint and back: an entry a row.
//!
//! ```text
//! key := length of the key u32 LE | key | row          value := weight i32 LE | [matches i64 LE] | [time i64 LE]
//! ```
//! The table number is the side. What a value has is what the side's layout says.

use riverrun_dataflow::{Change, Entries, Error, KeyedState, Result, SnapshotKind, decode_entries};

use super::bucket::{Layout, Record};
use super::{Buckets, DIRTY};
use crate::state::key_group_of_row;

impl Buckets {
    /// All rows, or those that changed since the snapshot before. Changes count anew from here.
    pub fn snapshot(&mut self, kind: SnapshotKind, key_groups: u16) -> KeyedState {
        let mut entries = Entries::new(key_groups);
        self.snapshot_into(kind, key_groups, [0, 1], 0, &mut entries);
        entries.finish(kind)
    }

    /// As [`Buckets::snapshot`], into `entries`, as tables of these numbers, one for each side, in a namespace.
    pub fn snapshot_into(
        &mut self,
        kind: SnapshotKind,
        key_groups: u16,
        tables: [u8; 2],
        namespace: i64,
        entries: &mut Entries,
    ) {
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
                let layout = self.layouts[side];
                bucket.drain_changes(layout, all, |record| {
                    bytes.clear();
                    // Rows are bounded far below 4 GiB, and so are keys.
                    bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
                    bytes.extend_from_slice(key);
                    bytes.extend_from_slice(record.row);
                    let (value, len) = encoded(layout, record);
                    let change = match record.weight {
                        0 => Change::Remove { key: &bytes },
                        _ => Change::Put { key: &bytes, value: &value[..len] },
                    };
                    entries.push(group, tables[side], namespace, &change);
                });
            }
            self.release(at);
        }
        self.tracking = true;
    }

    /// Adds what one former subtask left: a full snapshot and the deltas after it.
    ///
    /// # Errors
    /// [`Error::State`] naming `operator` if the bytes are no buckets.
    pub fn restore(&mut self, operator: &str, chain: &[KeyedState]) -> Result<()> {
        for (_, bytes) in chain.iter().flat_map(|state| &state.groups) {
            decode_entries(operator, bytes, |side, _, change| match usize::from(side) {
                side @ (0 | 1) => self.restore_change(operator, side, &change),
                _ => Ok(()),
            })?;
        }
        Ok(())
    }

    /// Applies one change that a snapshot holds.
    ///
    /// # Errors
    /// As [`Buckets::restore`].
    pub fn restore_change(
        &mut self,
        operator: &str,
        side: usize,
        change: &Change<'_>,
    ) -> Result<()> {
        let (key, value) = match change {
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
        let new = decoded(self.layouts[side], value).ok_or_else(|| damaged(operator))?;
        let matches = new.matches;
        self.add(operator, slot, side, &Record { at, weight: new.weight - weight, row, ..new })?;
        if weight != 0 {
            self.put_matches(slot, side, at, matches);
        }
        Ok(())
    }

    /// The layout of a side's records.
    pub fn layout(&self, side: usize) -> Layout {
        self.layouts[side]
    }
}

/// What a record says beside its row, and how many bytes that is.
fn encoded(layout: Layout, record: &Record<'_>) -> ([u8; 20], usize) {
    let mut value = [0; 20];
    // A bucket keeps 32 bits of it.
    value[..4].copy_from_slice(&(record.weight as i32).to_le_bytes());
    let mut len = 4;
    for (there, long) in [(layout.matches, record.matches), (layout.time, record.time)] {
        if there {
            value[len..len + 8].copy_from_slice(&long.to_le_bytes());
            len += 8;
        }
    }
    (value, len)
}

/// A record of an empty row from the bytes that [`encoded`] made.
fn decoded(layout: Layout, value: &[u8]) -> Option<Record<'static>> {
    fn long(rest: &mut &[u8], there: bool) -> Option<i64> {
        if !there {
            return Some(0);
        }
        let (long, after) = rest.split_first_chunk()?;
        *rest = after;
        Some(i64::from_le_bytes(*long))
    }
    let (weight, mut rest) = value.split_first_chunk()?;
    let weight = i64::from(i32::from_le_bytes(*weight));
    let matches = long(&mut rest, layout.matches)?;
    let time = long(&mut rest, layout.time)?;
    rest.is_empty().then_some(Record { at: 0, weight, matches, time, row: &[] })
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

fn damaged(operator: &str) -> Error {
    Error::state(operator, "a restored row is cut short; restore an older checkpoint")
}
