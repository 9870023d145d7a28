//! Adds rows up by (key, pane) before they cross the HASH edge: the hot loop of most jobs.
//!
//! The combiner holds nothing back that anyone waits for. Before a watermark passes, the panes that it completes
//! are sent; before a barrier, when the input falls silent and when it ends, all of them; so a snapshot
//! of it is empty. And all are sent when they grow past a limit, which bounds its memory.

use std::hash::Hash;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use riverrun_dataflow::{
    Barrier, Batch, Error, NO_TIMESTAMP, Operator, OperatorContext, Output, Record, Result, Rows,
    Timestamp, Watermark,
};

use super::layout::PaneLayout;
use super::partial::Partial;
use crate::aggregate::Aggregate;
use crate::transform::BATCH_ROWS;

/// Entries (keys in all panes) beyond which everything is sent on.
const MAX_ENTRIES: usize = 65_536;

/// Emptied maps that are kept for the next panes, with the room they have.
const SPARE_MAPS: usize = 16;

type Map<K, A> = HashMap<K, Slot<A>, foldhash::fast::FixedState>;

struct Slot<A> {
    rows: u64,
    accumulator: A,
}

struct Pane<K, A> {
    start: Timestamp,
    end: Timestamp,
    map: Map<K, A>,
}

/// How rows find their pane.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Panes {
    /// By their timestamps.
    EventTime(PaneLayout),
    /// By when the window operator gets them, so they may not be held back: combined within a batch only.
    OnArrival,
}

/// The operator.
pub(crate) struct Combine<F, A: Aggregate, K> {
    operator: String,
    job: String,
    key_of: F,
    aggregate: A,
    assign: Panes,
    /// In ascending order of their starts.
    panes: Vec<Pane<K, A::Accumulator>>,
    spare: Vec<Map<K, A::Accumulator>>,
    entries: usize,
    max_entries: usize,
}

impl<F, A, K> Combine<F, A, K>
where
    A: Aggregate,
    K: Record + Hash + Eq,
    F: Fn(&A::Input) -> K + Send,
{
    pub fn new(key_of: F, aggregate: A, assign: Panes) -> Self {
        Self {
            operator: String::new(),
            job: String::new(),
            key_of,
            aggregate,
            assign,
            panes: Vec::new(),
            spare: Vec::new(),
            entries: 0,
            max_entries: MAX_ENTRIES,
        }
    }

    #[cfg(test)]
    pub fn with_max_entries(mut self, max_entries: usize) -> Self {
        self.max_entries = max_entries;
        self
    }

    fn add_by_timestamp(&mut self, rows: Rows<A::Input>, layout: PaneLayout) -> Result<()> {
        let Rows { values, timestamps } = rows;
        let mut values = values.into_iter();
        let mut at = 0;
        while at < timestamps.len() {
            if timestamps[at] == NO_TIMESTAMP {
                return Err(no_timestamp(&self.job, &self.operator));
            }
            let index = self.pane_index(layout, timestamps[at]);
            let pane = &mut self.panes[index];
            let (start, end) = (pane.start, pane.end);
            // Rows of one pane mostly come together: the pane is looked up once for all of them.
            let run = timestamps[at..].iter().position(|t| *t < start || *t >= end);
            let run = run.unwrap_or(timestamps.len() - at).max(1);
            let before = pane.map.len();
            for row in values.by_ref().take(run) {
                add(&mut pane.map, &self.key_of, &self.aggregate, row);
            }
            self.entries += pane.map.len() - before;
            at += run;
        }
        Ok(())
    }

    fn pane_index(&mut self, layout: PaneLayout, timestamp: Timestamp) -> usize {
        let found = self.panes.partition_point(|pane| pane.end <= timestamp);
        if self.panes.get(found).is_some_and(|pane| pane.start <= timestamp) {
            return found;
        }
        let start = layout.pane_of(timestamp);
        let pane =
            Pane { start, end: layout.pane_end(start), map: self.spare.pop().unwrap_or_default() };
        self.panes.insert(found, pane);
        found
    }

    fn add_on_arrival(&mut self, rows: Rows<A::Input>) {
        if self.panes.is_empty() {
            let (start, end) = (0, 0);
            self.panes.push(Pane { start, end, map: self.spare.pop().unwrap_or_default() });
        }
        let map = &mut self.panes[0].map;
        for row in rows.values {
            add(map, &self.key_of, &self.aggregate, row);
        }
        self.entries = map.len();
    }

    /// Sends the `count` earliest panes on.
    fn flush(&mut self, count: usize, out: &mut dyn Output) -> Result<()> {
        let entries: usize = self.panes[..count].iter().map(|pane| pane.map.len()).sum();
        self.entries -= entries;
        let mut left = entries;
        let mut rows = Rows::with_capacity(left.min(BATCH_ROWS));
        for mut pane in self.panes.drain(..count) {
            for (key, slot) in pane.map.drain() {
                let Slot { rows: n, accumulator } = slot;
                rows.push(Partial { key, pane: pane.start, rows: n, accumulator }, pane.start);
                if rows.len() == BATCH_ROWS {
                    left -= BATCH_ROWS;
                    let next = Rows::with_capacity(left.min(BATCH_ROWS));
                    out.emit(Batch::rows(std::mem::replace(&mut rows, next), None))?;
                }
            }
            if self.spare.len() < SPARE_MAPS {
                self.spare.push(pane.map);
            }
        }
        if rows.is_empty() { Ok(()) } else { out.emit(Batch::rows(rows, None)) }
    }

    fn flush_all(&mut self, out: &mut dyn Output) -> Result<()> {
        self.flush(self.panes.len(), out)
    }
}

/// Adds one row. Inlined into the loops above: no call through a pointer and, but for new keys, no allocation.
#[inline(always)]
fn add<K: Hash + Eq, A: Aggregate>(
    map: &mut Map<K, A::Accumulator>,
    key_of: &impl Fn(&A::Input) -> K,
    aggregate: &A,
    row: A::Input,
) {
    let slot = match map.entry(key_of(&row)) {
        Entry::Occupied(entry) => entry.into_mut(),
        Entry::Vacant(entry) => entry.insert(Slot { rows: 0, accumulator: aggregate.create() }),
    };
    slot.rows += 1;
    aggregate.add(&mut slot.accumulator, row);
}

/// Event-time windows need event time.
pub(crate) fn no_timestamp(job: &str, operator: &str) -> Error {
    Error::InvalidJob {
        job: job.to_owned(),
        reason: format!(
            "a row without event time reached `{operator}`; call assign_timestamps before windows, or use processing time"
        ),
    }
}

impl<F, A, K> Operator for Combine<F, A, K>
where
    A: Aggregate,
    K: Record + Hash + Eq,
    F: Fn(&A::Input) -> K + Send,
{
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.job.clone_from(&context.job);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let rows = batch.into_rows::<A::Input>(&self.operator)?;
        match self.assign {
            Panes::EventTime(layout) => {
                self.add_by_timestamp(rows, layout)?;
                if self.entries > self.max_entries { self.flush_all(out) } else { Ok(()) }
            }
            Panes::OnArrival => {
                self.add_on_arrival(rows);
                self.flush_all(out)
            }
        }
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        let complete =
            self.panes.partition_point(|pane| pane.end.saturating_sub(1) <= watermark.timestamp());
        self.flush(complete, out)?;
        out.emit_watermark(watermark)
    }

    fn on_idle(&mut self, out: &mut dyn Output) -> Result<()> {
        self.flush_all(out)?;
        out.emit_idle()
    }

    fn on_end_of_input(&mut self, out: &mut dyn Output) -> Result<()> {
        self.flush_all(out)
    }

    fn before_barrier(&mut self, _barrier: Barrier, out: &mut dyn Output) -> Result<()> {
        self.flush_all(out)
    }
}

#[cfg(test)]
mod tests;
