//! What a process function can ask for and put out.

use std::any::Any;
use std::hash::Hash;

use riverrun_dataflow::{Batch, Output, Record, Result, Rows, Timestamp};

use super::TimerKind;
use super::timers::Timers;
use crate::transform::BATCH_ROWS;

/// The key and time of the row or timer that is being worked on; timers; outputs.
pub struct ProcessContext<'a, K, O> {
    pub(crate) key: &'a K,
    pub(crate) timestamp: Timestamp,
    pub(crate) now: Timestamp,
    pub(crate) watermark: Timestamp,
    pub(crate) event_timers: &'a mut Timers<K>,
    pub(crate) processing_timers: &'a mut Timers<K>,
    pub(crate) made: &'a mut Made<O>,
}

impl<'a, K: Record + Hash + Eq, O: Record> ProcessContext<'a, K, O> {
    /// The key. It outlives the context's other uses: a state can be held while something is emitted.
    pub fn key(&self) -> &'a K {
        self.key
    }

    /// The row's event time, or the timer's time; `NO_TIMESTAMP` for a row that has none.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }

    /// The watermark: event time up to which rows are complete; `Timestamp::MIN` before the first.
    pub fn watermark(&self) -> Timestamp {
        self.watermark
    }

    /// The machine's clock, in milliseconds since 1970-01-01T00:00:00Z.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Puts out a row with the timestamp of the row or timer.
    pub fn emit(&mut self, row: O) {
        self.made.rows.push(row, self.timestamp);
    }

    /// Puts out a row with a timestamp of its own.
    pub fn emit_at(&mut self, row: O, timestamp: Timestamp) {
        self.made.rows.push(row, timestamp);
    }

    /// Puts out a row on the side output `tag`. All rows of a tag are of one type.
    pub fn emit_side<S: Record>(&mut self, tag: &str, row: S) {
        self.made.push_side(tag, row, self.timestamp);
    }

    /// Calls the function's `on_timer` for this key at `at` (milliseconds). Set twice for one time, it comes
    /// once. An event-time timer behind the watermark comes with the next watermark.
    pub fn set_timer(&mut self, kind: TimerKind, at: Timestamp) {
        let key = self.key;
        self.timers(kind).set(at, key);
    }

    /// Takes a timer of this key back, if it is set.
    pub fn delete_timer(&mut self, kind: TimerKind, at: Timestamp) {
        let key = self.key;
        self.timers(kind).delete(at, key);
    }

    fn timers(&mut self, kind: TimerKind) -> &mut Timers<K> {
        match kind {
            TimerKind::EventTime => self.event_timers,
            TimerKind::ProcessingTime => self.processing_timers,
        }
    }
}

/// Rows that wait to be put out together.
pub(crate) struct Made<O> {
    rows: Rows<O>,
    sides: Vec<(String, Box<dyn SideRows>)>,
}

impl<O> Default for Made<O> {
    fn default() -> Self {
        Self { rows: Rows::default(), sides: Vec::new() }
    }
}

/// Rows of one side output, their type erased.
trait SideRows: Any + Send {
    fn take(&mut self) -> Option<Batch>;
}

impl<S: Record> SideRows for Rows<S> {
    fn take(&mut self) -> Option<Batch> {
        (!self.is_empty()).then(|| Batch::rows(std::mem::take(self), None))
    }
}

impl<O: Record> Made<O> {
    fn push_side<S: Record>(&mut self, tag: &str, row: S, timestamp: Timestamp) {
        let known = self.sides.iter().position(|(of, _)| of == tag);
        let index = known.unwrap_or_else(|| {
            self.sides.push((tag.to_owned(), Box::new(Rows::<S>::default())));
            self.sides.len() - 1
        });
        let rows: &mut dyn Any = self.sides[index].1.as_mut();
        match rows.downcast_mut::<Rows<S>>() {
            Some(rows) => rows.push(row, timestamp),
            None => panic!(
                "side output `{tag}` had rows of another type before a {}",
                std::any::type_name::<S>()
            ),
        }
    }

    /// True if there is enough for a batch.
    pub fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS
    }

    /// Puts everything out.
    pub fn flush(&mut self, out: &mut dyn Output) -> Result<()> {
        for (tag, rows) in &mut self.sides {
            if let Some(batch) = rows.take() {
                out.emit_side(tag, batch)?;
            }
        }
        if self.rows.is_empty() {
            return Ok(());
        }
        out.emit(Batch::rows(std::mem::take(&mut self.rows), None))
    }
}
