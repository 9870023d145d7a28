//! For tests: the subtasks of an operator with keyed inputs, rescaled at will, and what their output adds up to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Int64Array, RecordBatch};
use riverrun_dataflow::testing::{Collected, context};
use riverrun_dataflow::{
    Barrier, DEFAULT_KEY_GROUPS, KeyedState, ManualClock, Operator, OperatorMetrics, OperatorState,
    Partitioner, RestoredState, SnapshotKind, Timestamp, WatermarkFrontier, key_groups_of_subtask,
};

use crate::Changes;
use crate::operator::testing::texts;
use crate::state::RowKeyPartitioner;

/// Rows (their values as text) and how often each is there.
pub(crate) type Contents = BTreeMap<String, i64>;

/// Adds rows to contents.
pub(crate) fn add(contents: &mut Contents, changes: &Changes) {
    for (at, text) in texts(&changes.rows).into_iter().enumerate() {
        *contents.entry(text).or_default() += changes.weight(at);
    }
    contents.retain(|_, weight| *weight != 0);
}

/// Changes out of rows and weights.
pub(crate) fn changes(rows: RecordBatch, weights: Vec<i64>) -> Changes {
    Changes::weighted(rows, Int64Array::from(weights))
}

/// The subtasks of an operator.
pub(crate) struct Subtasks<O> {
    make: Box<dyn Fn() -> O>,
    /// Key columns by input.
    keys: Vec<Vec<usize>>,
    subtasks: Vec<Subtask<O>>,
    /// False if all rows have to be in one subtask.
    pub(crate) rescalable: bool,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) metrics: Arc<OperatorMetrics>,
    checkpoint: u64,
    /// What all of them put out.
    pub(crate) contents: Contents,
    /// Every batch that was put out.
    pub(crate) emitted: Vec<Changes>,
    /// The watermark of the output.
    pub(crate) watermark: Timestamp,
    /// Event time columns of the output.
    pub(crate) times: Vec<usize>,
}

struct Subtask<O> {
    operator: O,
    frontier: WatermarkFrontier,
    /// Keyed state and lists of the snapshots since the last full one.
    chain: Vec<OperatorState>,
}

impl<O: Operator> Subtasks<O> {
    pub(crate) fn new(
        parallelism: u32,
        keys: Vec<Vec<usize>>,
        make: impl Fn() -> O + 'static,
    ) -> Self {
        let mut subtasks = Self {
            make: Box::new(make),
            keys,
            subtasks: Vec::new(),
            rescalable: true,
            clock: Arc::default(),
            metrics: Arc::default(),
            checkpoint: 0,
            contents: Contents::new(),
            emitted: Vec::new(),
            watermark: Timestamp::MIN,
            times: Vec::new(),
        };
        subtasks.start(parallelism, &[]);
        subtasks
    }

    fn start(&mut self, parallelism: u32, chains: &[Vec<OperatorState>]) {
        let reached = self
            .subtasks
            .first()
            .map_or(Timestamp::MIN, |subtask| subtask.frontier.current().timestamp());
        self.subtasks.clear();
        for index in 0..parallelism {
            let mut operator = (self.make)();
            let mut context = context(self.clock.clone(), self.metrics.clone());
            context.parallelism = parallelism;
            context.subtask.index = index;
            if !chains.is_empty() {
                let groups = key_groups_of_subtask(index, DEFAULT_KEY_GROUPS, parallelism);
                let keyed = |chain: &Vec<OperatorState>| -> Vec<KeyedState> {
                    let keyed = chain.iter().filter_map(|state| state.keyed.as_ref());
                    keyed.map(|state| state.restricted_to(&groups)).collect()
                };
                let lists = chains.iter().filter_map(|chain| chain.last());
                let restored = RestoredState {
                    checkpoint: self.checkpoint,
                    keyed: chains.iter().map(keyed).collect(),
                    list: lists.flat_map(|state| state.list.clone()).collect(),
                    ..RestoredState::default()
                };
                operator.restore(restored).unwrap();
            }
            operator.open(&context).unwrap();
            let frontier = WatermarkFrontier::resumed_at(reached);
            self.subtasks.push(Subtask { operator, frontier, chain: Vec::new() });
        }
    }

    /// The one operator of a single subtask.
    pub(crate) fn only(&mut self) -> &mut O {
        &mut self.subtasks[0].operator
    }

    /// Rows for an input.
    pub(crate) fn send(&mut self, input: usize, changes: Changes) {
        let batch = changes.into_batch("test", None).unwrap();
        let parallelism = self.subtasks.len() as u32;
        let mut parts = Vec::new();
        RowKeyPartitioner::new(self.keys[input].clone(), DEFAULT_KEY_GROUPS)
            .split(batch, parallelism, &mut |target, part| {
                parts.push((target, part));
                Ok(())
            })
            .unwrap();
        for (target, part) in parts {
            let mut out = Collected::default();
            self.subtasks[target as usize].operator.process(input, part, &mut out).unwrap();
            self.collect(out);
        }
    }

    /// Event time for all of them.
    pub(crate) fn watermark(&mut self, to: Timestamp) {
        let mut outs = Vec::new();
        for subtask in &mut self.subtasks {
            let mut out = Collected::default();
            if let Some(watermark) = subtask.frontier.advance_to(to) {
                subtask.operator.on_watermark(watermark, &mut out).unwrap();
            }
            outs.push(out);
        }
        // All say the same of event time: rows first.
        let watermark = outs.iter().filter_map(|out| out.watermarks.last()).max().copied();
        for mut out in outs {
            out.watermarks.clear();
            self.collect(out);
        }
        self.watermark = watermark.unwrap_or(self.watermark);
    }

    /// Processing time for all of them.
    pub(crate) fn time(&mut self, now: Timestamp) {
        self.clock.set(now);
        for at in 0..self.subtasks.len() {
            let mut out = Collected::default();
            let operator = &mut self.subtasks[at].operator;
            if operator.next_timer().is_some_and(|due| due <= now) {
                operator.on_time(now, &mut out).unwrap();
            }
            self.collect(out);
        }
    }

    fn collect(&mut self, out: Collected) {
        for batch in out.batches {
            assert!(!batch.is_empty() && batch.len() <= 8192, "batches are of a useful size");
            let changes = Changes::of(batch, "test").unwrap();
            assert!((0..changes.len()).all(|row| changes.weight(row) != 0));
            for time in &self.times {
                let times = changes.rows.column(*time).as_primitive::<TimestampMillisecondType>();
                assert!(times.iter().all(|time| time.is_some_and(|time| time > self.watermark)));
            }
            add(&mut self.contents, &changes);
            self.emitted.push(changes);
        }
    }

    /// A checkpoint: full at first, then what changed.
    pub(crate) fn checkpoint(&mut self) {
        self.checkpoint += 1;
        for at in 0..self.subtasks.len() {
            let mut out = Collected::default();
            let subtask = &mut self.subtasks[at];
            let first = subtask.chain.is_empty();
            let kind = if first { SnapshotKind::Full } else { SnapshotKind::Delta };
            let barrier = Barrier { checkpoint: self.checkpoint, kind };
            subtask.operator.before_barrier(barrier, &mut out).unwrap();
            let snapshot = subtask.operator.snapshot(barrier).unwrap().finish().unwrap();
            subtask.chain.push(snapshot);
            self.collect(out);
        }
    }

    /// A checkpoint, then a restart from it with another number of subtasks.
    pub(crate) fn rescale(&mut self, parallelism: u32) {
        self.checkpoint();
        let chains: Vec<_> = self.subtasks.iter().map(|subtask| subtask.chain.clone()).collect();
        self.start(parallelism, &chains);
    }

    /// Rows that were late.
    pub(crate) fn late(&self) -> u64 {
        let counter: &AtomicU64 = &self.metrics.late_records;
        OperatorMetrics::read(counter)
    }
}

impl Subtasks<super::TimedJoin> {
    /// Number of keys of which something is kept.
    pub(crate) fn keys_left(&mut self) -> usize {
        self.subtasks.iter().map(|subtask| subtask.operator.matching.buckets.keys()).sum()
    }
}

impl<O: Operator> Subtasks<O> {
    /// Event time once more, after a restart.
    pub(crate) fn watermark_again(&mut self, reached: Timestamp) {
        for subtask in &mut self.subtasks {
            subtask.frontier = WatermarkFrontier::default();
        }
        let watermark = self.watermark;
        self.watermark(reached);
        self.watermark = self.watermark.max(watermark);
    }
}

impl Subtasks<super::TemporalJoin> {
    /// Number of keys with versions, and of rows that wait.
    pub(crate) fn versions_left(&self) -> (usize, usize) {
        let left = self.subtasks.iter().map(|subtask| subtask.operator.left());
        left.fold((0, 0), |(keys, rows), (k, r)| (keys + k, rows + r))
    }
}
