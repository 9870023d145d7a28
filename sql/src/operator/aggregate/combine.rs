//! The operator before the edge.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, UInt32Array};
use arrow_select::concat::concat_batches;
use arrow_select::take::{take, take_record_batch};
use riverrun_dataflow::{
    Barrier, Batch, Columns, Error, Operator, OperatorContext, Output, Result, SplitIndex,
    SplitStatus, Timestamp, Watermark,
};

use super::local::LocalGroups;
use super::partial::PartialLayout;
use super::sets::codecs;
use super::spec::AggregateSpec;
use super::windows::WindowLayout;
use crate::Changes;
use crate::operator::calc::failed;
use crate::state::RowCodec;

/// Groups and values beyond which everything is handed on.
const MAX_ENTRIES: usize = 65_536;

/// Rows beyond which everything is handed on, however few groups they make.
const MAX_ROWS: usize = 262_144;

/// A batch of fewer rows is one of a source that has caught up: nobody is to wait for what it adds.
const SMALL_BATCH: usize = 1_024;

/// Panes of which the emptied tables are kept.
const SPARE: usize = 8;

/// Adds up the rows of each group until it pays to hand them on: when there are many, before a barrier, when the input falls silent, and at once when it
/// comes in small batches. Rows of windows are held back until their windows are over: nobody could do anything with them before.
pub struct Combine {
    spec: Arc<AggregateSpec>,
    windows: Option<WindowLayout>,
    holds: Holds,
    layout: PartialLayout,
    operator: String,
    codecs: Vec<RowCodec>,
    /// By the end of the slice; without windows there is one.
    panes: BTreeMap<Timestamp, LocalGroups>,
    spare: Vec<LocalGroups>,
    rows: usize,
}

/// For how long rows are held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Until their windows are over.
    Windows,
    /// Until there are many, or few come.
    Many,
    /// Within a batch only: the clock does not wait for rows.
    Batch,
}

impl Combine {
    /// The operator of this spec, without windows.
    pub fn new(spec: Arc<AggregateSpec>) -> Self {
        let layout = PartialLayout::new(&spec, false);
        let operator = "combine".to_owned();
        let (codecs, panes, spare) = (Vec::new(), BTreeMap::new(), Vec::new());
        let holds = Holds::Many;
        Self { spec, windows: None, holds, layout, operator, codecs, panes, spare, rows: 0 }
    }

    /// The operator of this spec, by slices of windows.
    pub fn in_windows(spec: Arc<AggregateSpec>, windows: WindowLayout) -> Self {
        let layout = PartialLayout::new(&spec, true);
        Self { windows: Some(windows), holds: Holds::Windows, layout, ..Self::new(spec) }
    }

    /// Holds rows back for so long.
    pub fn holding(mut self, holds: Holds) -> Self {
        self.holds = holds;
        self
    }

    /// The columns that it puts out first: the key's.
    pub fn key_columns(spec: &AggregateSpec) -> Vec<usize> {
        PartialLayout::new(spec, false).keys().collect()
    }

    fn add(&mut self, changes: &Changes) -> Result<()> {
        let Some(windows) = &self.windows else {
            return self.add_to(0, &changes.rows, changes.weights.as_ref());
        };
        for (pane, rows) in windows.slices(&self.operator, &changes.rows)? {
            let Some(rows) = rows else {
                self.add_to(pane, &changes.rows, changes.weights.as_ref())?;
                continue;
            };
            let rows = UInt32Array::from(rows);
            let bad = |error| Error::io(&self.operator, error);
            let of_pane = take_record_batch(&changes.rows, &rows).map_err(bad)?;
            let weights = match &changes.weights {
                None => None,
                Some(weights) => {
                    let weights = take(weights, &rows, None).map_err(bad)?;
                    Some(arrow_array::cast::AsArray::as_primitive(&*weights).clone())
                }
            };
            self.add_to(pane, &of_pane, weights.as_ref())?;
        }
        Ok(())
    }

    fn add_to(
        &mut self,
        pane: Timestamp,
        rows: &RecordBatch,
        weights: Option<&Int64Array>,
    ) -> Result<()> {
        let bad = |error| failed(&self.operator, error);
        if !self.panes.contains_key(&pane) {
            let groups = match self.spare.pop() {
                Some(groups) => groups,
                None => LocalGroups::new(&self.spec).map_err(bad)?,
            };
            self.panes.insert(pane, groups);
        }
        match self.panes.get_mut(&pane) {
            Some(groups) => groups.add(rows, weights).map_err(bad),
            None => Ok(()),
        }
    }

    /// Hands on the panes up to one.
    fn flush(&mut self, last: Timestamp, out: &mut dyn Output) -> Result<()> {
        let mut batches: Vec<RecordBatch> = Vec::new();
        while let Some(first) = self.panes.first_entry().filter(|pane| *pane.key() <= last) {
            let (pane, mut groups) = first.remove_entry();
            let partial = groups.take(&self.operator, &self.codecs)?;
            let pane = self.windows.map(|_| pane);
            batches.push(self.layout.batch(&self.operator, partial, pane)?);
            if self.spare.len() < SPARE {
                self.spare.push(groups);
            }
        }
        if self.panes.is_empty() {
            self.rows = 0;
        }
        // Without sets, a batch may hold several panes.
        if self.spec.sets.is_empty() && batches.len() > 1 {
            let all = concat_batches(&self.layout.schema, &batches);
            batches = vec![all.map_err(|error| Error::io(&self.operator, error))?];
        }
        for batch in batches {
            let columns = Columns { batch, time_column: None, weight_column: None };
            out.emit(Batch::columns(columns, None))?;
        }
        Ok(())
    }
}

/// Rows of a stream that is said to have no retractions: a row with a higher weight comes so many times.
fn repeated(operator: &str, rows: RecordBatch, weights: &Int64Array) -> Result<RecordBatch> {
    let mut each = Vec::with_capacity(rows.num_rows());
    for (row, weight) in (0..).zip(weights.values()) {
        let times = usize::try_from(*weight).map_err(|_| {
            Error::io(operator, "a row was taken back in a stream that was planned to have none")
        })?;
        each.extend(std::iter::repeat_n(row, times));
    }
    take_record_batch(&rows, &UInt32Array::from(each)).map_err(|e| Error::io(operator, e))
}

impl Operator for Combine {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.codecs = codecs(&self.operator, &self.spec)?;
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let mut changes = Changes::of(batch, &self.operator)?;
        if !self.spec.retracts
            && let Some(weights) = changes.weights.take()
        {
            changes.rows = repeated(&self.operator, changes.rows, &weights)?;
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.add(&changes)?;
        self.rows += changes.len();
        let entries: usize = self.panes.values().map(LocalGroups::entries).sum();
        let eager = self.holds != Holds::Windows;
        let full = self.rows >= MAX_ROWS && eager || entries >= MAX_ENTRIES;
        let due = eager && changes.len() < SMALL_BATCH || self.holds == Holds::Batch;
        if full || due { self.flush(Timestamp::MAX, out) } else { Ok(()) }
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        if watermark == Watermark::MAX || self.windows.is_none() && self.spec.timely {
            self.flush(Timestamp::MAX, out)?;
        } else if self.windows.is_some() {
            // A pane is over when the watermark has reached its last instant.
            self.flush(watermark.timestamp().saturating_add(1), out)?;
        }
        out.emit_watermark(watermark)
    }

    fn on_split(
        &mut self,
        split: SplitIndex,
        status: SplitStatus,
        out: &mut dyn Output,
    ) -> Result<()> {
        if status != SplitStatus::Active {
            self.flush(Timestamp::MAX, out)?;
        }
        out.emit_split(split, status)
    }

    fn on_idle(&mut self, out: &mut dyn Output) -> Result<()> {
        self.flush(Timestamp::MAX, out)?;
        out.emit_idle()
    }

    fn on_end_of_input(&mut self, out: &mut dyn Output) -> Result<()> {
        self.flush(Timestamp::MAX, out)
    }

    fn before_barrier(&mut self, _barrier: Barrier, out: &mut dyn Output) -> Result<()> {
        self.flush(Timestamp::MAX, out)
    }
}
