//! A typed table of keyed state in memory.

use std::collections::{BTreeMap, btree_map};
use std::hash::Hash;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

use super::{Change, Entries, KeyedState, decode_entries};
use crate::{Error, Record, Result, SnapshotKind, codec, key_group_of, key_hash};

type Map<K, V> = HashMap<K, Slot<V>, foldhash::fast::FixedState>;

/// (namespace, key) -> value, with a memory of what changed since the last snapshot.
///
/// ```
/// use riverrun_dataflow::{SnapshotKind, StateTable};
/// let mut table: StateTable<String, u64> = StateTable::default();
/// *table.entry(0, "a".to_owned(), || 0) += 2;
/// let full = table.snapshot(SnapshotKind::Full).encode("count", 0, 128).unwrap();
/// let mut restored: StateTable<String, u64> = StateTable::default();
/// restored.restore("count", 0, &[full]).unwrap();
/// assert_eq!(restored.get(0, "a"), Some(&2));
/// ```
#[derive(Debug)]
pub struct StateTable<K, V> {
    panes: BTreeMap<i64, Pane<K, V>>,
    dropped: Vec<i64>,
    len: usize,
}

#[derive(Debug)]
struct Pane<K, V> {
    map: Map<K, V>,
    dirty: Vec<K>,
    removed: Vec<K>,
}

#[derive(Debug)]
struct Slot<V> {
    value: V,
    dirty: bool,
}

impl<K, V> Default for StateTable<K, V> {
    fn default() -> Self {
        Self { panes: BTreeMap::new(), dropped: Vec::new(), len: 0 }
    }
}

impl<K, V> Default for Pane<K, V> {
    fn default() -> Self {
        Self { map: Map::default(), dirty: Vec::new(), removed: Vec::new() }
    }
}

impl<K: Record + Hash + Eq, V: Record> StateTable<K, V> {
    /// Number of entries in all namespaces.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of a key, if it has one.
    pub fn get<Q>(&self, namespace: i64, key: &Q) -> Option<&V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.panes.get(&namespace)?.map.get(key).map(|slot| &slot.value)
    }

    /// The value of a key to change; made by `default` if there is none. Counts as a change.
    pub fn entry(&mut self, namespace: i64, key: K, default: impl FnOnce() -> V) -> &mut V {
        let pane = self.panes.entry(namespace).or_default();
        let slot = match pane.map.entry(key) {
            Entry::Occupied(entry) => {
                if !entry.get().dirty {
                    pane.dirty.push(entry.key().clone());
                }
                entry.into_mut()
            }
            Entry::Vacant(entry) => {
                self.len += 1;
                pane.dirty.push(entry.key().clone());
                entry.insert(Slot { value: default(), dirty: true })
            }
        };
        slot.dirty = true;
        &mut slot.value
    }

    /// The value of a key to change, if it has one. Counts as a change; unlike [`StateTable::entry`] it needs no key of its own.
    pub fn get_mut<Q>(&mut self, namespace: i64, key: &Q) -> Option<&mut V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let pane = self.panes.get_mut(&namespace)?;
        let (key, slot) = pane.map.get_key_value_mut(key)?;
        if !slot.dirty {
            slot.dirty = true;
            pane.dirty.push(key.clone());
        }
        Some(&mut slot.value)
    }

    /// Sets the value of a key.
    pub fn put(&mut self, namespace: i64, key: K, value: V) {
        let pane = self.panes.entry(namespace).or_default();
        match pane.map.entry(key) {
            Entry::Occupied(mut entry) => {
                if !entry.get().dirty {
                    pane.dirty.push(entry.key().clone());
                }
                entry.insert(Slot { value, dirty: true });
            }
            Entry::Vacant(entry) => {
                self.len += 1;
                pane.dirty.push(entry.key().clone());
                entry.insert(Slot { value, dirty: true });
            }
        }
    }

    /// Removes a key and returns its value.
    pub fn remove(&mut self, namespace: i64, key: &K) -> Option<V> {
        let pane = self.panes.get_mut(&namespace)?;
        let slot = pane.map.remove(key)?;
        self.len -= 1;
        pane.removed.push(key.clone());
        Some(slot.value)
    }

    /// The namespaces that have entries, in ascending order.
    pub fn namespaces(&self) -> impl Iterator<Item = i64> + '_ {
        self.panes.iter().filter(|(_, pane)| !pane.map.is_empty()).map(|(namespace, _)| *namespace)
    }

    /// The entries of a namespace, in no particular order.
    pub fn iter(&self, namespace: i64) -> impl Iterator<Item = (&K, &V)> {
        self.panes
            .get(&namespace)
            .into_iter()
            .flat_map(|pane| pane.map.iter().map(|(key, slot)| (key, &slot.value)))
    }

    /// Number of entries of a namespace.
    pub fn namespace_len(&self, namespace: i64) -> usize {
        self.panes.get(&namespace).map_or(0, |pane| pane.map.len())
    }

    /// Takes a whole namespace out of the table: how a window's pane goes when it is over.
    pub fn drop_namespace(&mut self, namespace: i64) -> impl Iterator<Item = (K, V)> + use<K, V> {
        let pane = match self.panes.entry(namespace) {
            btree_map::Entry::Occupied(entry) => {
                self.dropped.push(namespace);
                entry.remove()
            }
            btree_map::Entry::Vacant(_) => Pane::default(),
        };
        self.len -= pane.map.len();
        pane.map.into_iter().map(|(key, slot)| (key, slot.value))
    }

    /// Takes what the snapshot needs, as fast as it can be copied; encoding it is left to
    /// [`TableSnapshot::encode`], which may run elsewhere. Changes are remembered anew from here.
    pub fn snapshot(&mut self, kind: SnapshotKind) -> TableSnapshot<K, V> {
        let mut snapshot =
            TableSnapshot { kind, puts: Vec::new(), removed: Vec::new(), dropped: Vec::new() };
        let dropped = std::mem::take(&mut self.dropped);
        if kind == SnapshotKind::Delta {
            snapshot.dropped = dropped;
        } else {
            snapshot.puts.reserve(self.len);
        }
        for (&namespace, pane) in &mut self.panes {
            let removed = std::mem::take(&mut pane.removed);
            let dirty = std::mem::take(&mut pane.dirty);
            for key in &dirty {
                if let Some(slot) = pane.map.get_mut(key) {
                    slot.dirty = false;
                }
            }
            match kind {
                SnapshotKind::Full => snapshot.puts.extend(
                    pane.map.iter().map(|(key, slot)| (namespace, key.clone(), slot.value.clone())),
                ),
                SnapshotKind::Delta => {
                    snapshot.removed.extend(removed.into_iter().map(|key| (namespace, key)));
                    snapshot.puts.extend(dirty.into_iter().filter_map(|key| {
                        let value = pane.map.get(&key)?.value.clone();
                        Some((namespace, key, value))
                    }));
                }
            }
        }
        self.panes.retain(|_, pane| !pane.map.is_empty());
        snapshot
    }

    /// Adds the state of table number `table` that one former subtask left: a full snapshot and the
    /// deltas after it, in order. Restored entries do not count as changes.
    ///
    /// Each chain is put together on its own before it is merged, because a delta's dropped namespaces
    /// concern the keys of its own subtask only.
    ///
    /// # Errors
    /// [`Error::State`] naming `operator` if the bytes do not hold this table's types.
    pub fn restore(&mut self, operator: &str, table: u8, chain: &[KeyedState]) -> Result<()> {
        let bad = |e: codec::CodecError| {
            Error::state(
                operator,
                format!(
                    "a restored entry {e}; if its type has changed, give the operator a new uid to start it empty"
                ),
            )
        };
        let mut restored: Self = Self::default();
        for state in chain {
            for (_, namespace) in state.dropped.iter().filter(|(of, _)| *of == table) {
                restored.panes.remove(namespace);
            }
            for (_, bytes) in &state.groups {
                decode_entries(operator, bytes, |entry_table, namespace, change| {
                    if entry_table != table {
                        return Ok(());
                    }
                    let pane = restored.panes.entry(namespace).or_default();
                    match change {
                        Change::Put { key, value } => {
                            let key: K = codec::decode(key).map_err(bad)?;
                            let value: V = codec::decode(value).map_err(bad)?;
                            pane.map.insert(key, Slot { value, dirty: false });
                        }
                        Change::Remove { key } => {
                            let key: K = codec::decode(key).map_err(bad)?;
                            pane.map.remove(&key);
                        }
                    }
                    Ok(())
                })?;
            }
        }
        for (namespace, pane) in restored.panes {
            if !pane.map.is_empty() {
                self.panes.entry(namespace).or_default().map.extend(pane.map);
            }
        }
        self.len = self.panes.values().map(|pane| pane.map.len()).sum();
        Ok(())
    }
}

/// A consistent copy of (the changes of) a table, not yet encoded.
#[derive(Debug)]
pub struct TableSnapshot<K, V> {
    kind: SnapshotKind,
    puts: Vec<(i64, K, V)>,
    removed: Vec<(i64, K)>,
    dropped: Vec<i64>,
}

impl<K: Record + Hash, V: Record> TableSnapshot<K, V> {
    /// The bytes of a snapshot that consists of this one table, as table number `table`.
    ///
    /// # Errors
    /// [`Error::State`] naming `operator` if a key or value cannot be encoded.
    pub fn encode(self, operator: &str, table: u8, key_groups: u16) -> Result<KeyedState> {
        let kind = self.kind;
        let mut entries = Entries::new(key_groups);
        self.encode_into(operator, table, key_groups, &mut entries)?;
        Ok(entries.finish(kind))
    }

    /// Adds this table, as number `table`, to a snapshot of several tables.
    ///
    /// # Errors
    /// As [`TableSnapshot::encode`].
    pub fn encode_into(
        self,
        operator: &str,
        table: u8,
        key_groups: u16,
        entries: &mut Entries,
    ) -> Result<()> {
        let bad = |e: codec::CodecError| Error::state(operator, e);
        let group = |key: &K| key_group_of(key_hash(key), key_groups);
        for namespace in self.dropped {
            entries.drop_namespace(table, namespace);
        }
        let (mut key_bytes, mut value_bytes) = (Vec::new(), Vec::new());
        for (namespace, key) in self.removed {
            key_bytes.clear();
            codec::encode_into(&key, &mut key_bytes).map_err(bad)?;
            entries.push(group(&key), table, namespace, &Change::Remove { key: &key_bytes });
        }
        // Groups that grow by doubling would take twice the memory that the state needs: entries are counted first.
        let groups: Vec<_> = self.puts.iter().map(|(_, key, _)| group(key)).collect();
        let mut counts = vec![0; usize::from(key_groups)];
        groups.iter().for_each(|group| counts[usize::from(*group)] += 1);
        for (at, (namespace, key, value)) in self.puts.into_iter().enumerate() {
            key_bytes.clear();
            value_bytes.clear();
            codec::encode_into(&key, &mut key_bytes).map_err(bad)?;
            codec::encode_into(&value, &mut value_bytes).map_err(bad)?;
            if at == 0 {
                entries.reserve(&counts, key_bytes.len() + value_bytes.len());
            }
            let change = Change::Put { key: &key_bytes, value: &value_bytes };
            entries.push(groups[at], table, namespace, &change);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Add(i64, u8, u32),
        Put(i64, u8, u32),
        Remove(i64, u8),
        Drop(i64),
        Snapshot(bool),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0i64..4, 0u8..12, 0u32..100).prop_map(|(n, k, v)| Step::Add(n, k, v)),
            1 => (0i64..4, 0u8..12, 0u32..100).prop_map(|(n, k, v)| Step::Put(n, k, v)),
            1 => (0i64..4, 0u8..12).prop_map(|(n, k)| Step::Remove(n, k)),
            1 => (0i64..4).prop_map(Step::Drop),
            1 => any::<bool>().prop_map(Step::Snapshot),
        ]
    }

    proptest! {
        /// A table put together from a full snapshot and deltas equals the table they were taken of,
        /// and both equal a plain map.
        #[test]
        fn chains_restore_what_was_there(steps in proptest::collection::vec(step(), 0..120)) {
            let mut table: StateTable<u8, u32> = StateTable::default();
            let mut model: BTreeMap<(i64, u8), u32> = BTreeMap::new();
            let mut chain = vec![table.snapshot(SnapshotKind::Full).encode("t", 7, 16).unwrap()];
            for step in steps {
                match step {
                    Step::Add(n, k, v) => {
                        *table.entry(n, k, || 0) += v;
                        *model.entry((n, k)).or_default() += v;
                    }
                    Step::Put(n, k, v) => {
                        match table.get_mut(n, &k) {
                            Some(value) => *value = v,
                            None => table.put(n, k, v),
                        }
                        model.insert((n, k), v);
                    }
                    Step::Remove(n, k) => {
                        prop_assert_eq!(table.remove(n, &k), model.remove(&(n, k)));
                    }
                    Step::Drop(n) => {
                        let gone: BTreeMap<u8, u32> = table.drop_namespace(n).collect();
                        let expected: BTreeMap<u8, u32> =
                            model.iter().filter(|((m, _), _)| *m == n).map(|((_, k), v)| (*k, *v)).collect();
                        prop_assert_eq!(gone, expected);
                        model.retain(|(m, _), _| *m != n);
                    }
                    Step::Snapshot(full) => {
                        let kind = if full { SnapshotKind::Full } else { SnapshotKind::Delta };
                        if full {
                            chain.clear();
                        }
                        chain.push(table.snapshot(kind).encode("t", 7, 16).unwrap());
                    }
                }
                prop_assert_eq!(table.len(), model.len());
            }
            chain.push(table.snapshot(SnapshotKind::Delta).encode("t", 7, 16).unwrap());
            let mut restored: StateTable<u8, u32> = StateTable::default();
            restored.restore("t", 7, &chain).unwrap();
            let all: BTreeMap<(i64, u8), u32> = restored
                .namespaces()
                .flat_map(|n| restored.iter(n).map(move |(k, v)| ((n, *k), *v)).collect::<Vec<_>>())
                .collect();
            prop_assert_eq!(all, model);
        }

        /// Damaged state is an error or a different state, never a panic.
        #[test]
        fn damaged_state_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let state = KeyedState { kind: SnapshotKind::Full, dropped: vec![], groups: vec![(0, bytes)] };
            let mut table: StateTable<String, u32> = StateTable::default();
            let _ = table.restore("t", 0, &[state]);
        }
    }
}
