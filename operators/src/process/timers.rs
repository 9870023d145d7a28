//! Timers of one kind: state with the time as its namespace.

use std::hash::Hash;

use riverrun_dataflow::{KeyedState, Record, Result, SnapshotKind, StateTable, Timestamp};

use super::state::AnySnapshot;

/// At most one timer for each key and time.
pub(crate) struct Timers<K> {
    table: StateTable<K, ()>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { table: StateTable::default() }
    }
}

impl<K: Record + Hash + Eq> Timers<K> {
    pub fn set(&mut self, at: Timestamp, key: &K) {
        self.table.entry(at, key.clone(), || ());
    }

    pub fn delete(&mut self, at: Timestamp, key: &K) {
        self.table.remove(at, key);
    }

    pub fn first(&self) -> Option<Timestamp> {
        self.table.namespaces().next()
    }

    pub fn last(&self) -> Option<Timestamp> {
        self.table.namespaces().last()
    }

    /// Takes the keys of the earliest timers, if these are due by `until`.
    pub fn take_due(&mut self, until: Timestamp) -> Option<(Timestamp, Vec<K>)> {
        let at = self.first().filter(|at| *at <= until)?;
        Some((at, self.table.drop_namespace(at).map(|(key, ())| key).collect()))
    }

    pub fn snapshot(&mut self, kind: SnapshotKind) -> Box<dyn AnySnapshot> {
        Box::new(self.table.snapshot(kind))
    }

    pub fn restore(&mut self, operator: &str, table: u8, chain: &[KeyedState]) -> Result<()> {
        self.table.restore(operator, table, chain)
    }
}
