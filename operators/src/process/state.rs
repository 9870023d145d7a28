//! The state of a process function: typed tables by key, owned by the function.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::hash::Hash;

use riverrun_dataflow::{
    Entries, KeyedState, Record, Result, SnapshotKind, StateTable, TableSnapshot,
};

/// One value for each key.
#[derive(Debug)]
pub struct ValueState<K, V> {
    name: &'static str,
    /// Missing until the state is registered.
    table: Option<StateTable<K, V>>,
}

/// A map for each key. The map of a key is snapshotted as a whole when something in it has changed: fit for
/// tens or hundreds of entries a key.
#[derive(Debug)]
pub struct MapState<K, M, V> {
    maps: ValueState<K, BTreeMap<M, V>>,
}

impl<K, V> Clone for ValueState<K, V> {
    /// The clone has the name, not the values.
    fn clone(&self) -> Self {
        Self { name: self.name, table: None }
    }
}

impl<K, M, V> Clone for MapState<K, M, V> {
    /// The clone has the name, not the entries.
    fn clone(&self) -> Self {
        Self { maps: self.maps.clone() }
    }
}

#[cold]
fn not_registered(name: &str) -> ! {
    panic!("state `{name}` is not registered; add it in ProcessFunction::states")
}

impl<K: Record + Hash + Eq, V: Record> ValueState<K, V> {
    /// A state with a name, by which it is found in a checkpoint. No two states of a function share one.
    pub fn named(name: &'static str) -> Self {
        Self { name, table: None }
    }

    fn table(&self) -> &StateTable<K, V> {
        self.table.as_ref().unwrap_or_else(|| not_registered(self.name))
    }

    fn table_mut(&mut self) -> &mut StateTable<K, V> {
        self.table.as_mut().unwrap_or_else(|| not_registered(self.name))
    }

    /// The value of a key.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.table().get(0, key)
    }

    /// Sets the value of a key.
    pub fn set(&mut self, key: &K, value: V) {
        self.table_mut().put(0, key.clone(), value);
    }

    /// The value of a key to change, made by `default` if there is none.
    pub fn entry(&mut self, key: &K, default: impl FnOnce() -> V) -> &mut V {
        self.table_mut().entry(0, key.clone(), default)
    }

    /// Forgets the value of a key and returns it.
    pub fn clear(&mut self, key: &K) -> Option<V> {
        self.table_mut().remove(0, key)
    }
}

impl<K: Record + Hash + Eq, M: Record + Ord, V: Record> MapState<K, M, V> {
    /// A state with a name, by which it is found in a checkpoint. No two states of a function share one.
    pub fn named(name: &'static str) -> Self {
        Self { maps: ValueState::named(name) }
    }

    /// One entry of a key's map.
    pub fn get(&self, key: &K, entry: &M) -> Option<&V> {
        self.maps.get(key)?.get(entry)
    }

    /// Sets one entry of a key's map.
    pub fn set(&mut self, key: &K, entry: M, value: V) {
        self.maps.entry(key, BTreeMap::new).insert(entry, value);
    }

    /// One entry of a key's map to change, made by `default` if there is none.
    pub fn entry(&mut self, key: &K, entry: M, default: impl FnOnce() -> V) -> &mut V {
        self.maps.entry(key, BTreeMap::new).entry(entry).or_insert_with(default)
    }

    /// Removes one entry of a key's map and returns it.
    pub fn remove(&mut self, key: &K, entry: &M) -> Option<V> {
        self.get(key, entry)?;
        let map = self.maps.entry(key, BTreeMap::new);
        let removed = map.remove(entry);
        if map.is_empty() {
            self.maps.clear(key);
        }
        removed
    }

    /// The entries of a key's map, in the order of `M`.
    pub fn iter(&self, key: &K) -> impl Iterator<Item = (&M, &V)> {
        self.maps.get(key).into_iter().flatten()
    }

    /// Forgets the whole map of a key and returns it.
    pub fn clear(&mut self, key: &K) -> BTreeMap<M, V> {
        self.maps.clear(key).unwrap_or_default()
    }
}

/// A state as the engine sees it: called at snapshots and restarts only.
pub(crate) trait AnyState<K> {
    fn name(&self) -> &'static str;
    fn ready(&mut self);
    fn snapshot(&mut self, kind: SnapshotKind) -> Box<dyn AnySnapshot>;
    fn restore(&mut self, operator: &str, table: u8, chain: &[KeyedState]) -> Result<()>;
}

/// A consistent copy of a state, to be encoded elsewhere.
pub(crate) trait AnySnapshot: Send {
    fn encode(
        self: Box<Self>,
        operator: &str,
        table: u8,
        key_groups: u16,
        into: &mut Entries,
    ) -> Result<()>;
}

impl<K: Record + Hash, V: Record> AnySnapshot for TableSnapshot<K, V> {
    fn encode(
        self: Box<Self>,
        operator: &str,
        table: u8,
        key_groups: u16,
        into: &mut Entries,
    ) -> Result<()> {
        self.encode_into(operator, table, key_groups, into)
    }
}

impl<K: Record + Hash + Eq, V: Record> AnyState<K> for ValueState<K, V> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn ready(&mut self) {
        self.table.get_or_insert_default();
    }
    fn snapshot(&mut self, kind: SnapshotKind) -> Box<dyn AnySnapshot> {
        Box::new(self.table_mut().snapshot(kind))
    }
    fn restore(&mut self, operator: &str, table: u8, chain: &[KeyedState]) -> Result<()> {
        self.table_mut().restore(operator, table, chain)
    }
}

impl<K: Record + Hash + Eq, M: Record + Ord, V: Record> AnyState<K> for MapState<K, M, V> {
    fn name(&self) -> &'static str {
        self.maps.name()
    }
    fn ready(&mut self) {
        self.maps.ready();
    }
    fn snapshot(&mut self, kind: SnapshotKind) -> Box<dyn AnySnapshot> {
        self.maps.snapshot(kind)
    }
    fn restore(&mut self, operator: &str, table: u8, chain: &[KeyedState]) -> Result<()> {
        self.maps.restore(operator, table, chain)
    }
}

/// Where a function registers its states.
pub struct States<'a, K> {
    visit: &'a mut dyn FnMut(&mut dyn AnyState<K>),
}

impl<'a, K> States<'a, K> {
    pub(crate) fn new(visit: &'a mut dyn FnMut(&mut dyn AnyState<K>)) -> Self {
        Self { visit }
    }
}

impl<K: Record + Hash + Eq> States<'_, K> {
    /// Registers a [`ValueState`] or a [`MapState`].
    pub fn add<S: State<K>>(&mut self, state: &mut S) {
        (self.visit)(state.erased());
    }
}

/// A state that can be registered: [`ValueState`] and [`MapState`].
pub trait State<K>: sealed::Sealed<K> {}

mod sealed {
    /// Keeps [`State`](super::State) to the states of this module.
    pub trait Sealed<K> {
        #[doc(hidden)]
        #[expect(private_interfaces, reason = "only this module calls it")]
        fn erased(&mut self) -> &mut dyn super::AnyState<K>;
    }
}

impl<K: Record + Hash + Eq, V: Record> State<K> for ValueState<K, V> {}
impl<K: Record + Hash + Eq, M: Record + Ord, V: Record> State<K> for MapState<K, M, V> {}

#[expect(private_interfaces, reason = "only this module calls it")]
impl<K: Record + Hash + Eq, V: Record> sealed::Sealed<K> for ValueState<K, V> {
    fn erased(&mut self) -> &mut dyn AnyState<K> {
        self
    }
}

#[expect(private_interfaces, reason = "only this module calls it")]
impl<K: Record + Hash + Eq, M: Record + Ord, V: Record> sealed::Sealed<K> for MapState<K, M, V> {
    fn erased(&mut self) -> &mut dyn AnyState<K> {
        self
    }
}
