//! Counts behind the HASH edge: merged by pane, fired as windows.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use compact_str::CompactString;
use riverrun_dataflow::{
    Barrier, Batch, Columns, Error, Operator, OperatorContext, OperatorMetrics, OperatorState,
    Output, RestoredState, Result, Snapshot, Timestamp, Watermark, key_groups_of_subtask,
};

use super::combine::{PANE, ROWS};
use crate::aggregate::Aggregate;
use crate::transform::BATCH_ROWS;
use crate::window::{PaneState, Progress, Results, TABLE, TimeKind, WindowState, Windows};

/// Adds up counts.
#[derive(Clone)]
struct Total;

impl Aggregate for Total {
    type Input = u64;
    type Accumulator = u64;
    type Output = u64;

    fn create(&self) -> u64 {
        0
    }
    fn add(&self, total: &mut u64, rows: u64) {
        *total += rows;
    }
    fn merge(&self, into: &mut u64, from: u64) {
        *into += from;
    }
    fn result(&self, total: u64) -> u64 {
        total
    }
    fn name(&self) -> &str {
        "count"
    }
}

/// Merges counts by key and pane, and puts out a row for each key and window when the window is over.
///
/// Event time at the end of the input is what it is in the row path's window operator: the end of the last window.
pub(super) struct CountWindow {
    operator: String,
    key: String,
    windows: Windows,
    signature: String,
    key_groups: u16,
    metrics: Arc<OperatorMetrics>,
    state: PaneState<CompactString, Total>,
    restored: Vec<Progress>,
    schema: SchemaRef,
}

/// Index of the column that holds the timestamp of each result: the last millisecond of its window.
const WINDOW_TIME: usize = 4;

impl CountWindow {
    /// For windows with panes: not for sessions.
    pub(super) fn new(key: &str, windows: Windows) -> Self {
        let utc = || DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let schema = Schema::new(vec![
            Field::new("window_start", utc(), false),
            Field::new("window_end", utc(), false),
            Field::new(key, DataType::Utf8, false),
            Field::new("count", DataType::Int64, false),
            Field::new("window_time", utc(), false),
        ]);
        Self {
            operator: "window".to_owned(),
            key: key.to_owned(),
            windows,
            signature: format!("{windows}, count by {key}"),
            key_groups: 1,
            metrics: Arc::default(),
            state: PaneState::new(Total, windows.layout(), 0),
            restored: Vec::new(),
            schema: Arc::new(schema),
        }
    }

    fn emit(&self, results: &Results<CompactString, Total>, out: &mut dyn Output) -> Result<()> {
        for results in results.chunks(BATCH_ROWS) {
            let utc = |times: Vec<Timestamp>| -> ArrayRef {
                Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC"))
            };
            let keys = results.iter().map(|(result, _)| result.key.as_str());
            let arrays: Vec<ArrayRef> = vec![
                utc(results.iter().map(|(result, _)| result.window.start).collect()),
                utc(results.iter().map(|(result, _)| result.window.end).collect()),
                Arc::new(arrow_array::StringArray::from_iter_values(keys)),
                Arc::new(Int64Array::from_iter_values(
                    results.iter().map(|(result, _)| result.value as i64),
                )),
                utc(results.iter().map(|(_, timestamp)| *timestamp).collect()),
            ];
            let batch = RecordBatch::try_new(self.schema.clone(), arrays)
                .map_err(|error| Error::io(&self.operator, error))?;
            let columns = Columns { batch, time_column: Some(WINDOW_TIME), weight_column: None };
            out.emit(Batch::columns(columns, None))?;
        }
        Ok(())
    }

    fn advance(&mut self, to: Timestamp, out: &mut dyn Output) -> Result<()> {
        let results = self.state.advance(to);
        self.emit(&results, out)
    }
}

impl Operator for CountWindow {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        self.restored = Progress::decode_all(&state.list, &self.signature, 0, &self.operator)?;
        self.state.restore(&self.operator, &state.keyed)
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.windows.check(&context.job)?;
        if self.windows.time != TimeKind::Event {
            let reason =
                "columns are counted in windows of event time only; count rows for processing time";
            return Err(Error::InvalidJob { job: context.job.clone(), reason: reason.to_owned() });
        }
        self.operator.clone_from(&context.operator);
        self.metrics = context.metrics.clone();
        self.key_groups = context.key_groups;
        let groups =
            key_groups_of_subtask(context.subtask.index, context.key_groups, context.parallelism);
        let restored = std::mem::take(&mut self.restored);
        self.state.open(groups, context.key_groups, &restored);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Output) -> Result<()> {
        let columns = batch.into_columns(&self.operator)?;
        let keys = super::text_column(&self.operator, &columns, &self.key)?;
        let of = |name: &str| columns.batch.column_by_name(name);
        let panes = of(PANE).and_then(|c| c.as_primitive_opt::<TimestampMillisecondType>());
        let rows = of(ROWS).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let (Some(panes), Some(rows)) = (panes, rows) else {
            return Err(super::wrong(&self.operator, "columns `pane` and `rows`", &columns));
        };
        let mut late = 0;
        for ((key, pane), rows) in keys.iter().zip(panes.values()).zip(rows.values()) {
            let rows = rows.unsigned_abs();
            match self.state.admit(*pane, CompactString::new(key.unwrap_or_default())) {
                Some((_, total)) => *total += rows,
                None => late += rows,
            }
        }
        if late > 0 {
            OperatorMetrics::add(&self.metrics.late_records, late);
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        let to = match watermark {
            Watermark::MAX => self.state.end_of_all(),
            watermark => watermark.timestamp(),
        };
        self.advance(to, out)?;
        out.emit_watermark(watermark)
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let (table, progress) = self.state.snapshot(barrier.kind, &self.signature);
        let (operator, key_groups) = (self.operator.clone(), self.key_groups);
        Ok(Snapshot::Deferred(Box::new(move || {
            Ok(OperatorState {
                keyed: Some(table.encode(&operator, TABLE, key_groups)?),
                list: vec![progress.encode(&operator)?],
                ..OperatorState::default()
            })
        })))
    }
}
