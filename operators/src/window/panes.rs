//! The state of tumbling and sliding windows: accumulators by pane and key.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::ops::Range;

use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};
use riverrun_dataflow::{
    KeyGroup, KeyedState, Record, Result, SnapshotKind, StateTable, TableSnapshot, Timestamp,
};

use super::layout::PaneLayout;
use super::progress::{Fired, Progress};
use super::state::{Results, TABLE, WindowState};
use super::{Window, WindowResult};
use crate::aggregate::Aggregate;

/// Accumulators by pane and key. A pane goes as a whole when its last window cannot change any more.
pub(crate) struct PaneState<K, A: Aggregate> {
    aggregate: A,
    layout: PaneLayout,
    /// For how long after its end a window can still change, in milliseconds.
    lateness: i64,
    table: StateTable<K, A::Accumulator>,
    fired: Fired,
    current: CurrentPane,
    /// Keys by pane that changed when a window of the pane had fired already.
    changed: BTreeMap<Timestamp, Vec<K>>,
}

/// The pane of the row before: what is asked of every row is found out once per pane.
#[derive(Clone, Copy)]
struct CurrentPane {
    start: Timestamp,
    end: Timestamp,
    /// Last millisecond of its first window.
    first: Timestamp,
    /// Last millisecond of its last window.
    last: Timestamp,
}

impl CurrentPane {
    fn at(layout: &PaneLayout, at: Timestamp) -> Self {
        let start = layout.pane_of(at);
        Self {
            start,
            end: layout.pane_end(start),
            first: layout.first_window(start).max_timestamp(),
            last: layout.last_window(start).max_timestamp(),
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
            current: CurrentPane::at(&layout, 0),
            changed: BTreeMap::new(),
        }
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
                if end > self.fired.reached_by(&key) {
                    let value = self.aggregate.result(accumulator);
                    results.push((WindowResult { key, window, value }, end));
                }
            }
            return;
        }
        for (key, accumulator) in self.table.iter(window.start) {
            if end > self.fired.reached_by(key) {
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
                    Entry::Occupied(mut entry) => {
                        self.aggregate.merge(entry.get_mut(), accumulator.clone());
                    }
                    Entry::Vacant(entry) => {
                        entry.insert(accumulator.clone());
                    }
                }
            }
        }
        for (key, accumulator) in merged {
            if end > self.fired.reached_by(key) {
                let value = self.aggregate.result(accumulator);
                results.push((WindowResult { key: key.clone(), window, value }, end));
            }
        }
    }

    /// Drops the panes whose last window is past its allowed lateness.
    fn drop_over(&mut self) {
        let (layout, lateness, reached) = (self.layout, self.lateness, self.reached());
        let over = |pane: &Timestamp| {
            layout.last_window(*pane).max_timestamp().saturating_add(lateness) <= reached
        };
        let panes: Vec<Timestamp> = self.table.namespaces().take_while(over).collect();
        for pane in panes {
            drop(self.table.drop_namespace(pane));
        }
    }
}

impl<K: Record + Hash + Eq, A: Aggregate> WindowState<K, A> for PaneState<K, A> {
    type Entry = A::Accumulator;

    fn open(&mut self, groups: Range<KeyGroup>, key_groups: u16, progress: &[Progress]) {
        self.fired = Fired::restored(progress, groups, key_groups);
    }

    fn admit(&mut self, at: Timestamp, key: K) -> Option<(&A, &mut A::Accumulator)> {
        if at < self.current.start || at >= self.current.end {
            self.current = CurrentPane::at(&self.layout, at);
        }
        let CurrentPane { start, first, last, .. } = self.current;
        let reached = self.fired.reached_by(&key);
        if last.saturating_add(self.lateness) <= reached {
            return None;
        }
        if first <= reached && self.lateness > 0 {
            self.changed.entry(start).or_default().push(key.clone());
        }
        let aggregate = &self.aggregate;
        let accumulator = self.table.entry(start, key, || aggregate.create());
        Some((aggregate, accumulator))
    }

    fn updates(&mut self) -> Results<K, A> {
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
            let end = window.max_timestamp();
            let mut seen: HashSet<K, foldhash::fast::FixedState> = HashSet::default();
            for key in keys {
                let reached = self.fired.reached_by(&key);
                let can_change = end <= reached && end.saturating_add(self.lateness) > reached;
                if !can_change || !seen.insert(key.clone()) {
                    continue;
                }
                if let Some(value) = self.value_of(window, &key) {
                    updates.push((WindowResult { key, window, value }, end));
                }
            }
        }
        updates
    }

    fn reached(&self) -> Timestamp {
        self.fired.reached()
    }

    fn furthest(&self) -> Timestamp {
        self.fired.furthest()
    }

    fn next_end(&self) -> Option<Timestamp> {
        let reached = self.reached();
        let mut windows =
            self.table.namespaces().flat_map(|pane| self.layout.windows_after(pane, reached));
        windows.next().map(|window| window.max_timestamp())
    }

    fn end_of_all(&self) -> Timestamp {
        let last = self.table.namespaces().last();
        let end = last.map(|pane| self.layout.last_window(pane).max_timestamp());
        end.map_or(self.reached(), |end| end.max(self.reached()))
    }

    fn advance(&mut self, to: Timestamp) -> Results<K, A> {
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
        self.drop_over();
        results
    }

    fn snapshot(
        &mut self,
        kind: SnapshotKind,
        signature: &str,
    ) -> (TableSnapshot<K, A::Accumulator>, Progress) {
        (self.table.snapshot(kind), self.fired.progress(signature, self.lateness))
    }

    fn restore(&mut self, operator: &str, chains: &[Vec<KeyedState>]) -> Result<()> {
        chains.iter().try_for_each(|chain| self.table.restore(operator, TABLE, chain))
    }
}
