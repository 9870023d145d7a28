//! The versions of a table's rows, by key and the time since when they hold.

use riverrun_dataflow::{KeyedState, Result, SnapshotKind, StateTable, TableSnapshot, Timestamp};
use serde::{Deserialize, Serialize};

use crate::state::RowBytes;

/// A row of a key and the time since when it holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Version {
    since: Timestamp,
    row: RowBytes,
    /// How often the row was inserted, less how often it was taken back. 0 says that it held until the next version came; less, that from here on
    /// the key has no row.
    weight: i64,
}

/// Versions by key, in the order of their times; of one time in the order in which they came.
#[derive(Default)]
pub(super) struct VersionTable {
    table: StateTable<RowBytes, Vec<Version>>,
    /// Keys that may have versions that nobody can ask for any more.
    crowded: Vec<RowBytes>,
}

/// The number of the table in snapshots.
const TABLE: u8 = 0;

impl VersionTable {
    /// A change of the table. An update of a key is a row with a new time, and the old one taken back; that it was there until then stays known.
    pub(super) fn change(&mut self, key: &[u8], since: Timestamp, row: &[u8], weight: i64) {
        let versions = self.table.entry(0, RowBytes::from(key), Vec::new);
        let first = versions.partition_point(|version| version.since < since);
        let end = versions.partition_point(|version| version.since <= since);
        let same = versions[first..end].iter().position(|version| version.row.as_slice() == row);
        match same {
            Some(at) => versions[first + at].weight += weight,
            None => versions.insert(end, Version { since, row: RowBytes::from(row), weight }),
        }
        if versions.len() == 2 || weight < 0 {
            self.crowded.push(RowBytes::from(key));
        }
    }

    /// The row that a key had at a time.
    pub(super) fn at(&self, key: &[u8], time: Timestamp) -> Option<&[u8]> {
        let versions = self.table.get(0, key)?;
        let end = versions.partition_point(|version| version.since <= time);
        holding(versions, end).map(|at| versions[at].row.as_slice())
    }

    /// Forgets versions that are older than the one that holds at `time`.
    pub(super) fn forget_before(&mut self, time: Timestamp) {
        let mut crowded = std::mem::take(&mut self.crowded);
        crowded.sort_unstable();
        crowded.dedup();
        for key in crowded {
            let Some(versions) = self.table.get(0, &key) else { continue };
            let end = versions.partition_point(|version| version.since <= time);
            let gone = match (holding(versions, end), end) {
                // Nothing holds, and whatever comes is newer.
                (None, end) => end,
                (Some(at), _) => at,
            };
            let left = &versions[gone..];
            // One that was taken back before its time came goes when it has come.
            let crowded = left.len() > 1 || left.iter().any(|version| version.weight <= 0);
            if left.is_empty() {
                self.table.remove(0, &key);
            } else if gone > 0 {
                self.table.entry(0, key.clone(), Vec::new).drain(..gone);
            }
            if crowded {
                self.crowded.push(key);
            }
        }
    }

    /// Number of keys.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn snapshot(&mut self, kind: SnapshotKind) -> VersionSnapshot {
        VersionSnapshot(self.table.snapshot(kind))
    }

    pub(super) fn restore(&mut self, operator: &str, chain: &[KeyedState]) -> Result<()> {
        self.table.restore(operator, TABLE, chain)?;
        self.crowded = self.table.iter(0).map(|(key, _)| key.clone()).collect();
        Ok(())
    }
}

/// The version that holds behind those before `end`.
fn holding(versions: &[Version], end: usize) -> Option<usize> {
    let newest = versions[..end].last()?.since;
    let first = versions.partition_point(|version| version.since < newest);
    let of_time = first..end;
    if let Some(at) = of_time.clone().rev().find(|at| versions[*at].weight > 0) {
        return Some(at);
    }
    // It was taken back because a newer one came; if none did, the row was deleted.
    let replaced = end < versions.len();
    of_time.rev().find(|at| versions[*at].weight == 0 && replaced)
}

pub(super) struct VersionSnapshot(TableSnapshot<RowBytes, Vec<Version>>);

impl VersionSnapshot {
    pub(super) fn encode_into(
        self,
        operator: &str,
        key_groups: u16,
        entries: &mut riverrun_dataflow::Entries,
    ) -> Result<()> {
        self.0.encode_into(operator, TABLE, key_groups, entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(table: &VersionTable, time: i64) -> Option<&str> {
        table.at(b"k", time).map(|row| std::str::from_utf8(row).unwrap())
    }

    #[test]
    fn an_update_leaves_what_held_before_it() {
        let mut table = VersionTable::default();
        table.change(b"k", 10, b"a", 1);
        assert_eq!((at(&table, 9), at(&table, 10)), (None, Some("a")));
        table.change(b"k", 20, b"b", 1);
        table.change(b"k", 10, b"a", -1);
        assert_eq!((at(&table, 15), at(&table, 20)), (Some("a"), Some("b")));
        table.forget_before(15);
        assert_eq!(at(&table, 15), Some("a"));
        table.forget_before(20);
        assert_eq!((at(&table, 15), at(&table, 99)), (None, Some("b")));
    }

    #[test]
    fn a_row_that_is_taken_back_and_not_replaced_is_deleted() {
        let mut table = VersionTable::default();
        table.change(b"k", 10, b"a", 1);
        table.change(b"k", 10, b"a", -1);
        assert_eq!(at(&table, 15), None);
        table.forget_before(15);
        assert_eq!(table.len(), 0);
        // Deleted at another time than that of its row: from that time on.
        table.change(b"k", 20, b"b", 1);
        table.change(b"k", 30, b"b", -1);
        assert_eq!((at(&table, 29), at(&table, 30)), (Some("b"), None));
        table.forget_before(30);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_correction_of_the_same_time_replaces() {
        let mut table = VersionTable::default();
        table.change(b"k", 10, b"a", 1);
        table.change(b"k", 10, b"b", 1);
        table.change(b"k", 10, b"a", -1);
        assert_eq!(at(&table, 10), Some("b"));
    }
}
