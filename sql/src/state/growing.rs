//! Keyed state that keeps for each key the set of values that were ever there.

use std::collections::BTreeMap;

use riverrun_dataflow::{Entries, KeyedState, Result, SnapshotKind, decode_entries};

use super::{Buckets, Layout};

/// (namespace, key) -> values, without an order and without weights: what is needed to tell which values are new where nothing is taken
/// back. A value that comes again is no change, and is not written by the next snapshot.
///
/// Namespaces (of windows, say) and keys can be dropped as a whole.
///
/// ```
/// use riverrun_sql::state::GrowingSets;
/// let mut sets = GrowingSets::default();
/// let pane = sets.pane(0);
/// let key = pane.slot(b"k");
/// assert!(pane.insert("test", key, 0, b"v").unwrap());
/// assert!(!pane.insert("test", key, 0, b"v").unwrap());
/// ```
#[derive(Default)]
pub struct GrowingSets {
    panes: BTreeMap<i64, Buckets>,
    dropped: Vec<i64>,
    /// A snapshot was taken: from the first one on changes count.
    tracking: bool,
}

const NO_EXTRAS: [Layout; 2] = [Layout { matches: false, time: false }; 2];

impl GrowingSets {
    /// The values of a namespace, which are the rows of side 0.
    pub fn pane(&mut self, namespace: i64) -> &mut Buckets {
        let new = if self.tracking { Buckets::tracking } else { Buckets::new };
        self.panes.entry(namespace).or_insert_with(|| new(NO_EXTRAS))
    }

    /// Takes all values of a key away.
    pub fn remove_key(&mut self, namespace: i64, key: &[u8]) {
        let Some(pane) = self.panes.get_mut(&namespace) else { return };
        if let Some(slot) = pane.find(key) {
            pane.clear(slot);
        }
    }

    /// Takes a whole namespace away.
    pub fn drop_namespace(&mut self, namespace: i64) {
        if self.panes.remove(&namespace).is_some() {
            self.dropped.push(namespace);
        }
    }

    /// Adds the state, or its changes since the snapshot before, to `entries` as table number `table`. Changes are remembered anew
    /// from here.
    pub fn snapshot_into(
        &mut self,
        table: u8,
        kind: SnapshotKind,
        key_groups: u16,
        entries: &mut Entries,
    ) {
        let dropped = std::mem::take(&mut self.dropped);
        if kind == SnapshotKind::Delta {
            dropped.into_iter().for_each(|namespace| entries.drop_namespace(table, namespace));
        }
        for (namespace, pane) in &mut self.panes {
            pane.snapshot_into(kind, key_groups, [table; 2], *namespace, entries);
        }
        self.tracking = true;
    }

    /// Adds the state of table number `table` that one former subtask left: a full snapshot and the deltas after it, in order.
    ///
    /// # Errors
    /// [`Error::State`](riverrun_dataflow::Error::State) naming `operator` if the bytes are no such sets.
    pub fn restore(&mut self, operator: &str, table: u8, chain: &[KeyedState]) -> Result<()> {
        // On its own first: namespaces that were dropped are those of that subtask's keys.
        let mut restored = Self::default();
        for state in chain {
            for (_, namespace) in state.dropped.iter().filter(|(of, _)| *of == table) {
                restored.panes.remove(namespace);
            }
            for (_, bytes) in &state.groups {
                decode_entries(operator, bytes, |of, namespace, change| {
                    if of != table {
                        return Ok(());
                    }
                    restored.pane(namespace).restore_change(operator, 0, &change)
                })?;
            }
        }
        for (namespace, pane) in restored.panes {
            let Some(mine) = self.panes.get_mut(&namespace) else {
                self.panes.insert(namespace, pane);
                continue;
            };
            for slot in pane.slots() {
                let key = mine.slot(pane.key(slot));
                for record in pane.records(slot, 0, 0) {
                    mine.insert(operator, key, 0, record.row)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use riverrun_dataflow::key_groups_of_subtask;

    use super::*;

    const GROUPS: u16 = 16;

    #[derive(Debug, Clone)]
    enum Step {
        Insert(i64, u8, u8),
        RemoveKey(i64, u8),
        Drop(i64),
        Snapshot(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            20 => (0i64..3, 0u8..4, 0u8..40).prop_map(|(n, k, v)| Step::Insert(n, k, v)),
            1 => (0i64..3, 0u8..4).prop_map(|(n, k)| Step::RemoveKey(n, k)),
            1 => (0i64..3).prop_map(Step::Drop),
            3 => any::<bool>().prop_map(Step::Snapshot),
        ]
    }

    fn snapshot(sets: &mut GrowingSets, kind: SnapshotKind) -> KeyedState {
        let mut entries = Entries::new(GROUPS);
        sets.snapshot_into(3, kind, GROUPS, &mut entries);
        entries.finish(kind)
    }

    fn content(sets: &GrowingSets) -> BTreeSet<(i64, u8, u8)> {
        let mut content = BTreeSet::new();
        for (namespace, pane) in &sets.panes {
            for slot in pane.slots() {
                for record in pane.records(slot, 0, 0) {
                    assert!(content.insert((*namespace, pane.key(slot)[0], record.row[0])));
                }
            }
        }
        content
    }

    proptest! {
        /// The sets are what plain sets are, and so is what snapshots restore, at another number of subtasks too.
        #[test]
        fn chains_restore_what_was_there(
            steps in proptest::collection::vec(step(), 0..200),
            subtasks in 1u32..4,
        ) {
            let mut sets = GrowingSets::default();
            let mut model = BTreeSet::new();
            let mut chain = vec![snapshot(&mut sets, SnapshotKind::Full)];
            for step in steps {
                match step {
                    Step::Insert(n, k, v) => {
                        let pane = sets.pane(n);
                        let slot = pane.slot(&[k]);
                        let new = pane.insert("test", slot, 0, &[v]).unwrap();
                        prop_assert_eq!(new, model.insert((n, k, v)));
                    }
                    Step::RemoveKey(n, k) => {
                        sets.remove_key(n, &[k]);
                        model.retain(|(m, l, _)| (*m, *l) != (n, k));
                    }
                    Step::Drop(n) => {
                        sets.drop_namespace(n);
                        model.retain(|(m, _, _)| *m != n);
                    }
                    Step::Snapshot(true) => chain = vec![snapshot(&mut sets, SnapshotKind::Full)],
                    Step::Snapshot(false) => chain.push(snapshot(&mut sets, SnapshotKind::Delta)),
                }
            }
            prop_assert_eq!(&content(&sets), &model);
            chain.push(snapshot(&mut sets, SnapshotKind::Delta));
            let mut parts: Vec<GrowingSets> = Vec::new();
            for subtask in 0..subtasks {
                let groups = key_groups_of_subtask(subtask, GROUPS, subtasks);
                let chain: Vec<_> = chain.iter().map(|state| state.restricted_to(&groups)).collect();
                let mut part = GrowingSets::default();
                part.restore("test", 3, &chain).unwrap();
                parts.push(part);
            }
            let all: Vec<_> = parts.iter().flat_map(content).collect();
            prop_assert_eq!(all.iter().copied().collect::<BTreeSet<_>>(), model.clone());
            prop_assert_eq!(all.len(), model.len());
            // And back to one subtask.
            let mut whole = GrowingSets::default();
            for part in &mut parts {
                whole.restore("test", 3, &[snapshot(part, SnapshotKind::Full)]).unwrap();
            }
            prop_assert_eq!(content(&whole), model);
        }
    }

    #[test]
    fn values_that_come_again_are_no_change() {
        let mut sets = GrowingSets::default();
        let pane = sets.pane(0);
        let slot = pane.slot(b"k");
        assert!(pane.insert("test", slot, 0, b"v").unwrap());
        assert_eq!(
            snapshot(&mut sets, SnapshotKind::Delta).groups.len(),
            0,
            "the first one is to be full"
        );
        assert_eq!(snapshot(&mut sets, SnapshotKind::Full).groups.len(), 1);
        assert!(!sets.pane(0).insert("test", slot, 0, b"v").unwrap());
        assert_eq!(snapshot(&mut sets, SnapshotKind::Delta).groups.len(), 0);
    }
}
