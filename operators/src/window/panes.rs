//! The state of a window operator: accumulators by pane and key.
//!
//! It knows which rows are late, which windows fire when time moves, and which panes are over; it does not know
//! what moves time, nor how rows arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::ops::Range;

use hashbrown::HashMap;
use riverrun_dataflow::{
    KeyGroup, KeyedState, Record, Result, SnapshotKind, StateTable, TableSnapshot, Timestamp,
    key_group_of, key_hash,
};

use super::layout::PaneLayout;
use super::progress::{Fired, Progress};
use super::{Window, WindowResult};
use crate::aggregate::Aggregate;

/// The number of the table in snapshots.
const TABLE: u8 = 0;

/// Results, each with its timestamp.
pub(crate) type Results<K, A> = Vec<(WindowResult<K, <A as Aggregate>::Output>, Timestamp)>;

/// Accumulators by pane and key, and how far time has come.
pub(crate) struct PaneState<K, A: Aggregate> {
    aggregate: A,
    layout: PaneLayout,
    /// For how long after its end a window can still change, in milliseconds.
    lateness: i64,
    table: StateTable<K, A::Accumulator>,
    fired: Fired,
    groups: Range<KeyGroup>,
    key_groups: u16,
    /// The pane of the row before, with what is asked of every row.
    current: CurrentPane,
    /// (pane, key) pairs that changed after a window of theirs had fired.
    changed: BTreeMap<Timestamp, Vec<K>>,
}

#[derive(Clone, Copy)]
struct CurrentPane {
    pane: Timestamp,
    first: Timestamp,
    last: Timestamp,
}

impl CurrentPane {
    fn of(layout: &PaneLayout, pane: Timestamp) -> Self {
        Self {
            pane,
            first: layout.first_window(pane).max_timestamp(),
            last: layout.last_window(pane).max_timestamp(),
        }
    }
}

impl<K: Record + Hash + Eq, A: Aggregate> PaneState<K, A> {
    pub fn new(aggregate: A, layout: PaneLayout, lateness: i64) -> Self {
        Self {
            aggregate,
            layout,
            lateness,
            table: StateTable::default(),
            fired: Fired::default(),
            groups: 0..0,
            key_groups: 1,
            current: CurrentPane::of(&layout, layout.pane_of(0)),
            changed: BTreeMap::new(),
        }
    }

    /// Tells which key groups are this subtask's.
    pub fn open(&mut self, groups: Range<KeyGroup>, key_groups: u16) {
        (self.groups, self.key_groups) = (groups, key_groups);
    }

    pub fn layout(&self) -> &PaneLayout {
        &self.layout
    }

    /// The time up to which all windows have fired.
    pub fn reached(&self) -> Timestamp {
        self.fired.reached()
    }

    /// The accumulator for a row of `key` in `pane`, and what adds to it; `None` if the row is late.
    pub fn admit(&mut self, pane: Timestamp, key: K) -> Option<(&A, &mut A::Accumulator)> {
        if pane != self.current.pane {
            self.current = CurrentPane::of(&self.layout, pane);
        }
        let CurrentPane { first, last, .. } = self.current;
        let key_groups = self.key_groups;
        let reached = self.fired.reached_by(|| key_group_of(key_hash(&key), key_groups));
        if last.saturating_add(self.lateness) <= reached {
            return None;
        }
        if first <= reached && self.lateness > 0 {
            self.changed.entry(pane).or_default().push(key.clone());
        }
        let aggregate = &self.aggregate;
        let accumulator = self.table.entry(pane, key, || aggregate.create());
        Some((aggregate, accumulator))
    }

    /// New results of windows that had fired before rows came that were late, but not too late: one for each key
    /// and window, however many rows there were.
    pub fn updates(&mut self) -> Results<K, A> {
        let mut updates = Vec::new();
        if self.changed.is_empty() {
            return updates;
        }
        let mut windows: BTreeMap<Window, Vec<K>> = BTreeMap::new();
        for (pane, keys) in std::mem::take(&mut self.changed) {
            for window in self.layout.windows(pane) {
                windows.entry(window).or_default().extend(keys.iter().cloned());
            }
        }
        for (window, keys) in windows {
            let mut seen: hashbrown::HashSet<K, foldhash::fast::FixedState> = Default::default();
            for key in keys {
                let reached = self.reached_by(&key);
                let fired = window.max_timestamp() <= reached;
                let over = window.max_timestamp().saturating_add(self.lateness) <= reached;
                if !fired || over || !seen.insert(key.clone()) {
                    continue;
                }
                if let Some(value) = self.value_of(window, &key) {
                    updates.push((WindowResult { key, window, value }, window.max_timestamp()));
                }
            }
        }
        updates
    }

    fn reached_by(&self, key: &K) -> Timestamp {
        self.fired.reached_by(|| key_group_of(key_hash(key), self.key_groups))
    }

    fn value_of(&self, window: Window, key: &K) -> Option<A::Output> {
        let mut panes = self.panes_of(window).filter_map(|pane| self.table.get(pane, key)).cloned();
        let mut accumulator = panes.next()?;
        panes.for_each(|other| self.aggregate.merge(&mut accumulator, other));
        Some(self.aggregate.result(accumulator))
    }

    fn panes_of(&self, window: Window) -> impl Iterator<Item = Timestamp> {
        self.table
            .namespaces()
            .skip_while(move |pane| *pane < window.start)
            .take_while(move |pane| *pane < window.end)
    }

    /// When the next window ends that has not fired: its last millisecond.
    pub fn next_end(&self) -> Option<Timestamp> {
        let reached = self.reached();
        let mut windows =
            self.table.namespaces().flat_map(|pane| self.layout.windows_after(pane, reached));
        windows.next().map(|window| window.max_timestamp())
    }

    /// The last millisecond of the last window that has rows, or what is reached if that is later.
    pub fn end_of_all(&self) -> Timestamp {
        let last = self.table.namespaces().last();
        let end = last.map(|pane| self.layout.last_window(pane).max_timestamp());
        end.map_or(self.reached(), |end| end.max(self.reached()))
    }

    /// Moves time on to `to`: the results of the windows that end, in their order; then drops what is over.
    pub fn advance(&mut self, to: Timestamp) -> Results<K, A> {
        let mut results = Vec::new();
        if to <= self.reached() {
            return results;
        }
        for window in self.ending_until(to) {
            if self.layout.is_tumbling() {
                self.fire_pane(window, &mut results);
            } else {
                self.fire_merged(window, &mut results);
            }
        }
        self.fired.advance_to(to);
        self.drop_cleared();
        results
    }

    /// Windows with rows that have not fired and end by `to`.
    fn ending_until(&self, to: Timestamp) -> BTreeSet<Window> {
        let reached = self.reached();
        let ends = |window: &Window| window.max_timestamp() <= to;
        self.table
            .namespaces()
            .take_while(|pane| ends(&self.layout.first_window(*pane)))
            .flat_map(|pane| self.layout.windows_after(pane, reached).take_while(ends))
            .collect()
    }

    /// A tumbling window is its pane. Without allowed lateness it is taken out as it fires.
    fn fire_pane(&mut self, window: Window, results: &mut Results<K, A>) {
        let end = window.max_timestamp();
        results.reserve(self.table.namespace_len(window.start));
        if self.lateness == 0 {
            for (key, accumulator) in self.table.drop_namespace(window.start) {
                let reached =
                    self.fired.reached_by(|| key_group_of(key_hash(&key), self.key_groups));
                if end > reached {
                    let value = self.aggregate.result(accumulator);
                    results.push((WindowResult { key, window, value }, end));
                }
            }
            return;
        }
        for (key, accumulator) in self.table.iter(window.start) {
            if end > self.reached_by(key) {
                let value = self.aggregate.result(accumulator.clone());
                results.push((WindowResult { key: key.clone(), window, value }, end));
            }
        }
    }

    fn fire_merged(&self, window: Window, results: &mut Results<K, A>) {
        let end = window.max_timestamp();
        let mut merged: HashMap<&K, A::Accumulator, foldhash::fast::FixedState> =
            HashMap::default();
        for pane in self.panes_of(window) {
            for (key, accumulator) in self.table.iter(pane) {
                match merged.entry(key) {
                    hashbrown::hash_map::Entry::Occupied(mut entry) => {
                        self.aggregate.merge(entry.get_mut(), accumulator.clone());
                    }
                    hashbrown::hash_map::Entry::Vacant(entry) => {
                        entry.insert(accumulator.clone());
                    }
                }
            }
        }
        for (key, accumulator) in merged {
            if end > self.reached_by(key) {
                let value = self.aggregate.result(accumulator);
                results.push((WindowResult { key: key.clone(), window, value }, end));
            }
        }
    }

    /// Drops the panes whose last window is past its allowed lateness.
    fn drop_cleared(&mut self) {
        let (layout, lateness, reached) = (self.layout, self.lateness, self.reached());
        let over = |pane: &Timestamp| {
            layout.last_window(*pane).max_timestamp().saturating_add(lateness) <= reached
        };
        let panes: Vec<Timestamp> = self.table.namespaces().take_while(over).collect();
        for pane in panes {
            drop(self.table.drop_namespace(pane));
        }
    }

    /// What a snapshot needs: the table's part, and how far time has come.
    pub fn snapshot(
        &mut self,
        kind: SnapshotKind,
        signature: &str,
    ) -> (TableSnapshot<K, A::Accumulator>, Progress) {
        let progress = Progress {
            signature: signature.to_owned(),
            fired: self.fired.runs(&self.groups),
            lateness: self.lateness,
        };
        (self.table.snapshot(kind), progress)
    }

    /// Takes back the table's part of a snapshot.
    pub fn restore_table(&mut self, operator: &str, chains: &[Vec<KeyedState>]) -> Result<()> {
        chains.iter().try_for_each(|chain| self.table.restore(operator, TABLE, chain))
    }

    /// Takes back how far time had come. To be called when the key groups are known.
    pub fn restore_progress(&mut self, progress: &[Progress]) {
        self.fired = Fired::restored(progress, &self.groups);
    }
}

#[cfg(test)]
#[path = "panes_tests.rs"]
mod tests;
