//! Rows counted by (key column, pane) before they cross the HASH edge.
//!
//! Counts of a pane are held back until the watermark passes it, a barrier comes, or there are too many: nobody behind the
//! edge could do anything with them before. Which rows are late is decided behind the edge.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use riverrun_dataflow::{
    Barrier, Batch, Columns, Error, Operator, OperatorContext, Output, Result, Timestamp, Watermark,
};

use super::counts::Counts;
use crate::transform::BATCH_ROWS;
use crate::window::PaneLayout;

/// Entries (keys in all panes) beyond which everything is sent on.
const MAX_ENTRIES: usize = 262_144;

/// Emptied tables that are kept for the next panes, with the room they have.
const SPARE_TABLES: usize = 16;

/// Names of the columns between combine and window, besides the key's.
pub(super) const PANE: &str = "pane";
pub(super) const ROWS: &str = "rows";

struct Pane {
    start: Timestamp,
    end: Timestamp,
    counts: Counts,
}

/// Counts rows by the key column and the pane that the time column falls into.
pub(super) struct CountCombine {
    operator: String,
    key: String,
    layout: PaneLayout,
    /// In ascending order of their starts.
    panes: Vec<Pane>,
    spare: Vec<Counts>,
    entries: usize,
    max_entries: usize,
    schema: SchemaRef,
}

impl CountCombine {
    pub(super) fn new(key: &str, layout: PaneLayout) -> Self {
        let time = DataType::Timestamp(TimeUnit::Millisecond, None);
        let schema = Schema::new(vec![
            Field::new(key, DataType::Utf8, false),
            Field::new(PANE, time, false),
            Field::new(ROWS, DataType::Int64, false),
        ]);
        Self {
            operator: String::new(),
            key: key.to_owned(),
            layout,
            panes: Vec::new(),
            spare: Vec::new(),
            entries: 0,
            max_entries: MAX_ENTRIES,
            schema: Arc::new(schema),
        }
    }

    #[cfg(test)]
    pub(super) fn with_max_entries(mut self, max_entries: usize) -> Self {
        self.max_entries = max_entries;
        self
    }

    fn add(&mut self, keys: &StringArray, times: &[Timestamp]) {
        let (offsets, text) = (keys.value_offsets(), keys.value_data());
        let mut at = 0;
        while at < times.len() {
            let index = self.pane_index(times[at]);
            let pane = &mut self.panes[index];
            let (start, end) = (pane.start, pane.end);
            let before = pane.counts.len();
            // Rows of one pane mostly come together: the pane is looked up once for all of them. The first row is
            // in it also where the pane's end is the end of time.
            let mut first = true;
            while at < times.len() && (first || (start <= times[at] && times[at] < end)) {
                pane.counts.add(text, offsets[at] as usize, offsets[at + 1] as usize);
                at += 1;
                first = false;
            }
            self.entries += pane.counts.len() - before;
        }
    }

    fn pane_index(&mut self, timestamp: Timestamp) -> usize {
        let found = self.panes.partition_point(|pane| pane.end <= timestamp);
        if self.panes.get(found).is_some_and(|pane| pane.start <= timestamp) {
            return found;
        }
        let start = self.layout.pane_of(timestamp);
        let counts = self.spare.pop().unwrap_or_default();
        self.panes.insert(found, Pane { start, end: self.layout.pane_end(start), counts });
        found
    }

    /// Sends the `count` earliest panes on.
    fn flush(&mut self, count: usize, out: &mut dyn Output) -> Result<()> {
        if count == 0 {
            return Ok(());
        }
        let mut partial = Partial::new(self.entries.min(BATCH_ROWS));
        for mut pane in self.panes.drain(..count) {
            self.entries -= pane.counts.len();
            pane.counts.drain(|key, rows| partial.push(key, pane.start, rows));
            if self.spare.len() < SPARE_TABLES {
                self.spare.push(pane.counts);
            }
        }
        let whole = partial.finish(&self.schema, &self.operator)?;
        let rows = whole.num_rows();
        for at in (0..rows).step_by(BATCH_ROWS) {
            let batch = whole.slice(at, BATCH_ROWS.min(rows - at));
            let columns = Columns { batch, time_column: None, weight_column: None };
            out.emit(Batch::columns(columns, None))?;
        }
        Ok(())
    }

    fn flush_all(&mut self, out: &mut dyn Output) -> Result<()> {
        self.flush(self.panes.len(), out)
    }
}

/// The columns of what is sent on, as they grow.
struct Partial {
    text: Vec<u8>,
    offsets: Vec<i32>,
    panes: Vec<Timestamp>,
    rows: Vec<i64>,
}

impl Partial {
    fn new(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self {
            text: Vec::with_capacity(rows * 16),
            offsets,
            panes: Vec::with_capacity(rows),
            rows: Vec::with_capacity(rows),
        }
    }

    fn push(&mut self, key: &[u8], pane: Timestamp, rows: u64) {
        self.text.extend_from_slice(key);
        // Checked in `finish`.
        self.offsets.push(self.text.len() as i32);
        self.panes.push(pane);
        self.rows.push(rows as i64);
    }

    fn finish(self, schema: &SchemaRef, operator: &str) -> Result<RecordBatch> {
        let failed = |reason: String| Error::Io { what: operator.to_owned(), reason };
        if self.text.len() > i32::MAX as usize {
            return Err(failed("keys of more than 2 GiB in one pane; use smaller windows".into()));
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        let keys = StringArray::try_new(offsets, self.text.into(), None);
        let keys = keys.map_err(|error| failed(error.to_string()))?;
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(keys),
            Arc::new(TimestampMillisecondArray::from(self.panes)),
            Arc::new(Int64Array::from(self.rows)),
        ];
        RecordBatch::try_new(schema.clone(), arrays).map_err(|error| failed(error.to_string()))
    }
}

impl Operator for CountCombine {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let columns = batch.into_columns(&self.operator)?;
        let keys = super::text_column(&self.operator, &columns, &self.key)?;
        let times = super::time_column(&self.operator, &columns)?;
        self.add(keys, times.values());
        if self.entries > self.max_entries { self.flush_all(out) } else { Ok(()) }
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
