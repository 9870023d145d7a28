//! The state of session windows: for each key the sessions that are open, with their accumulators.
//!
//! Sessions grow and merge, so there are no panes. One timer a key, at the earliest time at which one of its
//! sessions has something to do, says whose sessions to look at; a session that has grown meanwhile moves the
//! timer on. Timers follow from the sessions and are not part of snapshots.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::ops::Range;

use riverrun_dataflow::{
    KeyGroup, KeyedState, Record, Result, SnapshotKind, StateTable, TableSnapshot, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::progress::{Fired, Progress};
use super::state::{Results, TABLE, WindowState};
use super::{Window, WindowResult};
use crate::aggregate::Aggregate;

/// The sessions of one key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct KeySessions<A> {
    /// Sessions that do not touch each other.
    sessions: Vec<Session<A>>,
    /// When the key's timer is set to.
    #[serde(skip)]
    timer: Option<Timestamp>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Session<A> {
    window: Window,
    accumulator: A,
    /// Its result is out and nothing has changed since.
    fired: bool,
}

/// True if sessions are one. Rows exactly a gap apart are not: the first session may have fired when the second row
/// comes in time, and what belongs together must not depend on that.
fn touch(a: &Window, b: &Window) -> bool {
    a.start < b.end && b.start < a.end
}

fn cover(a: Window, b: Window) -> Window {
    Window { start: a.start.min(b.start), end: a.end.max(b.end) }
}

impl<A> Session<A> {
    /// When there is something to do next: firing, or dropping the session.
    fn due(&self, lateness: i64) -> Timestamp {
        let end = self.window.max_timestamp();
        if self.fired { end.saturating_add(lateness) } else { end }
    }
}

impl<A> KeySessions<A> {
    /// The window that `window` becomes together with the sessions that it touches, directly or through others.
    fn covered(&self, window: Window) -> Window {
        // Sessions do not touch each other, so those that touch the window only meet in it.
        let touched = self.sessions.iter().filter(|session| touch(&session.window, &window));
        touched.fold(window, |all, session| cover(all, session.window))
    }

    fn next_due(&self, lateness: i64) -> Option<Timestamp> {
        self.sessions.iter().map(|session| session.due(lateness)).min()
    }
}

/// Sessions by key.
pub(crate) struct SessionState<K, A: Aggregate> {
    aggregate: A,
    gap: i64,
    lateness: i64,
    table: StateTable<K, KeySessions<A::Accumulator>>,
    timers: BTreeMap<Timestamp, Vec<K>>,
    fired: Fired,
    /// Keys with a session that changed after its end had passed.
    changed: Vec<K>,
}

impl<K: Record + Hash + Eq, A: Aggregate> SessionState<K, A> {
    pub fn new(aggregate: A, gap: i64, lateness: i64) -> Self {
        Self {
            aggregate,
            gap: gap.max(1),
            lateness,
            table: StateTable::default(),
            timers: BTreeMap::new(),
            fired: Fired::default(),
            changed: Vec::new(),
        }
    }

    fn is_late(&self, own: Window, key: &K, reached: Timestamp) -> bool {
        let over = |window: Window| window.max_timestamp().saturating_add(self.lateness) <= reached;
        over(own) && self.table.get(0, key).is_none_or(|sessions| over(sessions.covered(own)))
    }

    /// Fires the sessions of a key that ended by `to`, drops those that are over, and sets the key's timer.
    fn settle(&mut self, key: &K, to: Timestamp, results: &mut Results<K, A>) {
        let Some(of_key) = self.table.get(0, key) else { return };
        if of_key.sessions.iter().all(|session| session.due(self.lateness) > to) {
            let next = of_key.next_due(self.lateness);
            self.set_timer(key, next);
            return;
        }
        let lateness = self.lateness;
        let of_key = self.table.entry(0, key.clone(), no_sessions);
        for session in &mut of_key.sessions {
            let end = session.window.max_timestamp();
            if !session.fired && end <= to {
                session.fired = true;
                let value = self.aggregate.result(session.accumulator.clone());
                let row = WindowResult { key: key.clone(), window: session.window, value };
                results.push((row, end));
            }
        }
        of_key.sessions.retain(|session| !session.fired || session.due(lateness) > to);
        let next = of_key.next_due(lateness);
        if next.is_none() {
            self.table.remove(0, key);
        } else {
            self.set_timer(key, next);
        }
    }

    fn set_timer(&mut self, key: &K, at: Option<Timestamp>) {
        let of_key = self.table.entry(0, key.clone(), no_sessions);
        if let Some(at) = at.filter(|at| of_key.timer != Some(*at)) {
            of_key.timer = Some(at);
            self.timers.entry(at).or_default().push(key.clone());
        }
    }
}

fn no_sessions<A>() -> KeySessions<A> {
    KeySessions { sessions: Vec::new(), timer: None }
}

impl<K: Record + Hash + Eq, A: Aggregate> WindowState<K, A> for SessionState<K, A> {
    type Entry = KeySessions<A::Accumulator>;

    fn open(&mut self, groups: Range<KeyGroup>, key_groups: u16, progress: &[Progress]) {
        self.fired = Fired::restored(progress, groups, key_groups);
        let keys: Vec<K> = self.table.iter(0).map(|(key, _)| key.clone()).collect();
        for key in keys {
            let next = self.table.get(0, &key).and_then(|of_key| of_key.next_due(self.lateness));
            self.set_timer(&key, next);
        }
    }

    fn admit(&mut self, at: Timestamp, key: K) -> Option<(&A, &mut A::Accumulator)> {
        let own = Window { start: at, end: at.saturating_add(self.gap) };
        let reached = self.fired.reached_by(&key);
        if self.is_late(own, &key, reached) {
            return None;
        }
        let aggregate = &self.aggregate;
        let of_key = self.table.entry(0, key.clone(), no_sessions);
        let window = of_key.covered(own);
        let mut merged = None;
        for session in of_key.sessions.extract_if(.., |session| touch(&session.window, &own)) {
            match &mut merged {
                None => merged = Some(session.accumulator),
                Some(into) => aggregate.merge(into, session.accumulator),
            }
        }
        let accumulator = merged.unwrap_or_else(|| aggregate.create());
        of_key.sessions.push(Session { window, accumulator, fired: false });
        if window.max_timestamp() <= reached {
            self.changed.push(key);
        } else if of_key.timer.is_none_or(|timer| timer > window.max_timestamp()) {
            of_key.timer = Some(window.max_timestamp());
            self.timers.entry(window.max_timestamp()).or_default().push(key);
        }
        of_key.sessions.last_mut().map(|session| (aggregate, &mut session.accumulator))
    }

    fn updates(&mut self) -> Results<K, A> {
        let mut updates = Vec::new();
        for key in std::mem::take(&mut self.changed) {
            let reached = self.fired.reached_by(&key);
            self.settle(&key, reached, &mut updates);
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
        self.timers.keys().next().copied()
    }

    fn end_of_all(&self) -> Timestamp {
        let sessions = self.table.iter(0).flat_map(|(_, of_key)| &of_key.sessions);
        let last = sessions.map(|session| session.window.max_timestamp()).max();
        last.map_or(self.reached(), |last| last.max(self.reached()))
    }

    fn advance(&mut self, to: Timestamp) -> Results<K, A> {
        let mut results = Vec::new();
        if to <= self.reached() {
            return results;
        }
        while let Some(timer) = self.timers.first_entry().filter(|timer| *timer.key() <= to) {
            let (at, keys) = timer.remove_entry();
            for key in keys {
                // Timers that were moved meanwhile have another one in their place.
                if self.table.get(0, &key).is_some_and(|of_key| of_key.timer == Some(at)) {
                    self.settle(&key, to, &mut results);
                }
            }
        }
        self.fired.advance_to(to);
        results.sort_by_key(|(row, _)| row.window.end);
        results
    }

    fn snapshot(
        &mut self,
        kind: SnapshotKind,
        signature: &str,
    ) -> (TableSnapshot<K, Self::Entry>, Progress) {
        (self.table.snapshot(kind), self.fired.progress(signature, self.lateness))
    }

    fn restore(&mut self, operator: &str, chains: &[Vec<KeyedState>]) -> Result<()> {
        chains.iter().try_for_each(|chain| self.table.restore(operator, TABLE, chain))
    }
}
