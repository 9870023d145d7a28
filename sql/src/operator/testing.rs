//! For tests of operators: random rows, subtasks that are snapshotted and put together at another parallelism, and DataFusion's answer to the
//! same question.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{Array, Int64Array, RecordBatch, UInt32Array};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_select::take::take_record_batch;
use datafusion::datasource::MemTable;
use datafusion::prelude::{SessionConfig, SessionContext};
use riverrun_dataflow::testing::{Collected, context};
use riverrun_dataflow::{
    Barrier, DEFAULT_KEY_GROUPS, KeyedState, ManualClock, Operator, OperatorMetrics, OperatorState,
    Partitioner, RestoredState, SnapshotKind, Timestamp, WatermarkFrontier, key_groups_of_subtask,
};

use crate::Changes;
use crate::state::RowKeyPartitioner;

/// Rows as text with how often they are there.
pub(crate) type Table = BTreeMap<String, i64>;

/// Each row of a batch as text.
pub(crate) fn texts(rows: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> = rows
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap())
        .collect();
    (0..rows.num_rows())
        .map(|row| {
            let values: Vec<_> = columns.iter().map(|of| of.value(row).to_string()).collect();
            values.join("|")
        })
        .collect()
}

/// Adds rows up.
pub(crate) fn accumulate(table: &mut Table, changes: &Changes) {
    for (row, text) in texts(&changes.rows).into_iter().enumerate() {
        let weight = table.entry(text.clone()).or_default();
        *weight += changes.weight(row);
        if *weight == 0 {
            table.remove(&text);
        }
    }
}

/// What a query over table `t` with these rows gives, as DataFusion says.
pub(crate) fn answer(sql: &str, rows: &RecordBatch) -> Table {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let batches = runtime.block_on(async {
        let context =
            SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
        let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]]).unwrap();
        context.register_table("t", Arc::new(table)).unwrap();
        context.sql(sql).await.unwrap().collect().await.unwrap()
    });
    let mut table = Table::new();
    for batch in batches {
        accumulate(&mut table, &Changes::inserts(batch));
    }
    table
}

/// A stream of rows: numbers of rows of a batch, with weights.
pub(crate) type Stream = Vec<(u32, i64)>;

/// The batch that some rows of another one make.
pub(crate) fn pick(rows: &RecordBatch, stream: &[(u32, i64)], weighted: bool) -> Changes {
    let at: UInt32Array = stream.iter().map(|(row, _)| *row).collect();
    let rows = take_record_batch(rows, &at).unwrap();
    match weighted {
        false => Changes::inserts(rows),
        true => Changes::weighted(rows, stream.iter().map(|(_, weight)| Some(*weight)).collect()),
    }
}

/// What is left of a stream; every row as often as its weights add up to.
pub(crate) fn net(rows: &RecordBatch, stream: &[(u32, i64)]) -> RecordBatch {
    let mut weights: BTreeMap<u32, i64> = BTreeMap::new();
    stream.iter().for_each(|(row, weight)| *weights.entry(*row).or_default() += weight);
    let left = weights.iter().flat_map(|(row, weight)| (0..(*weight).max(0)).map(move |_| *row));
    take_record_batch(rows, &UInt32Array::from_iter_values(left)).unwrap()
}

/// An operator in several subtasks behind a HASH edge.
pub(crate) struct Subtasks<O> {
    make: Box<dyn Fn() -> O>,
    keys: Vec<usize>,
    subtasks: Vec<Subtask<O>>,
    frontier: WatermarkFrontier,
    checkpoint: u64,
    /// All that came out.
    pub result: Table,
    /// All that came out, piece by piece.
    pub emitted: Vec<Changes>,
    pub metrics: Arc<OperatorMetrics>,
}

struct Subtask<O> {
    operator: O,
    out: Collected,
    chain: Vec<OperatorState>,
}

impl<O: Operator> Subtasks<O> {
    pub fn new(make: impl Fn() -> O + 'static, keys: Vec<usize>, parallelism: u32) -> Self {
        let mut subtasks = Self {
            make: Box::new(make),
            keys,
            subtasks: Vec::new(),
            frontier: WatermarkFrontier::default(),
            checkpoint: 0,
            result: Table::new(),
            emitted: Vec::new(),
            metrics: Arc::default(),
        };
        subtasks.start(parallelism, &[]);
        subtasks
    }

    fn start(&mut self, parallelism: u32, former: &[Vec<OperatorState>]) {
        self.subtasks.clear();
        for index in 0..parallelism {
            let mut operator = (self.make)();
            if !former.is_empty() {
                let groups = key_groups_of_subtask(index, DEFAULT_KEY_GROUPS, parallelism);
                let chain = |states: &Vec<OperatorState>| -> Vec<KeyedState> {
                    let keyed = states.iter().filter_map(|state| state.keyed.as_ref());
                    keyed.map(|state| state.restricted_to(&groups)).collect()
                };
                let last = former.iter().filter_map(|states| states.last());
                let state = RestoredState {
                    checkpoint: self.checkpoint,
                    keyed: former.iter().map(chain).collect(),
                    list: last.flat_map(|state| state.list.clone()).collect(),
                    ..RestoredState::default()
                };
                operator.restore(state).unwrap();
            }
            let mut context = context(Arc::new(ManualClock::default()), self.metrics.clone());
            context.parallelism = parallelism;
            context.subtask.index = index;
            operator.open(&context).unwrap();
            self.subtasks.push(Subtask { operator, out: Collected::default(), chain: Vec::new() });
        }
    }

    pub fn process(&mut self, changes: Changes) {
        let batch = changes.into_batch("test", None).unwrap();
        let targets = self.subtasks.len() as u32;
        let subtasks = &mut self.subtasks;
        let mut edge = RowKeyPartitioner::new(self.keys.clone(), DEFAULT_KEY_GROUPS);
        edge.split(batch, targets, &mut |target, part| {
            let subtask = &mut subtasks[target as usize];
            subtask.operator.process(0, part, &mut subtask.out)
        })
        .unwrap();
        self.collect();
    }

    pub fn watermark(&mut self, to: Timestamp) {
        let Some(watermark) = self.frontier.advance_to(to) else { return };
        for subtask in &mut self.subtasks {
            subtask.operator.on_watermark(watermark, &mut subtask.out).unwrap();
        }
        self.collect();
    }

    pub fn end(&mut self) {
        self.watermark(Timestamp::MAX);
        for subtask in &mut self.subtasks {
            subtask.operator.on_end_of_input(&mut subtask.out).unwrap();
        }
        self.collect();
    }

    pub fn snapshot(&mut self) {
        self.checkpoint += 1;
        for Subtask { operator, out, chain } in &mut self.subtasks {
            let kind = if chain.is_empty() { SnapshotKind::Full } else { SnapshotKind::Delta };
            let barrier = Barrier { checkpoint: self.checkpoint, kind };
            operator.before_barrier(barrier, out).unwrap();
            chain.push(operator.snapshot(barrier).unwrap().finish().unwrap());
        }
        self.collect();
    }

    /// Stops at a snapshot and goes on at another parallelism. Event time has to come anew.
    pub fn restart(&mut self, parallelism: u32) {
        self.snapshot();
        let former: Vec<_> =
            self.subtasks.iter_mut().map(|subtask| std::mem::take(&mut subtask.chain)).collect();
        self.frontier = WatermarkFrontier::default();
        self.start(parallelism, &former);
    }

    fn collect(&mut self) {
        for subtask in &mut self.subtasks {
            for batch in std::mem::take(&mut subtask.out.batches) {
                let changes = Changes::of(batch, "test").unwrap();
                assert!((0..changes.len()).all(|row| changes.weight(row) != 0));
                accumulate(&mut self.result, &changes);
                self.emitted.push(changes);
            }
        }
    }
}

/// True if no row was ever taken back.
pub(crate) fn only_inserts(emitted: &[Changes]) -> bool {
    emitted.iter().all(|changes| (0..changes.len()).all(|row| changes.weight(row) > 0))
}

/// A column of numbers, some of them missing.
pub(crate) fn numbers(values: &[Option<i64>]) -> Arc<dyn Array> {
    Arc::new(Int64Array::from(values.to_vec()))
}
