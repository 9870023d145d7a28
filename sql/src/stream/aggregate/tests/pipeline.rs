//! The operators of an aggregation, put together in one thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::logical_expr::execution_props::ExecutionProps;
use riverrun_dataflow::testing::{Collected, context};
use riverrun_dataflow::{
    Barrier, Batch, DEFAULT_KEY_GROUPS, Environment, Error, KeyedState, ManualClock, Operator,
    OperatorContext, OperatorKind, OperatorSpec, Partitioner, RestoredState, SnapshotKind,
    Watermark, key_groups_of_subtask,
};

use super::table::{add_up, planned};
use crate::Changes;
use crate::operator::aggregate::{Combine, Expand, GroupAggregate};
use crate::operator::calc::Calc;
use crate::state::RowKeyPartitioner;
use crate::stream::Planned;
use crate::stream::aggregate::shape::Shape;

/// Two sending subtasks, and any number of receiving ones.
pub struct Pipeline {
    shape: Shape,
    senders: Vec<Vec<Box<dyn Operator>>>,
    receivers: Vec<GroupAggregate>,
    /// One chain of snapshots a receiver.
    chains: Vec<Vec<KeyedState>>,
    checkpoint: u64,
    result: BTreeMap<String, i64>,
}

const SENDERS: usize = 2;

impl Pipeline {
    pub fn new(query: &str, retracts: bool, parallelism: usize) -> Self {
        let aggregate = planned(query);
        let env = Environment::new("test");
        let source = OperatorSpec::new("source", OperatorKind::Source);
        let input = Planned {
            stream: env.add_source(source, |_| Err(Error::io("source", "nothing to read"))),
            schema: aggregate.input.schema().clone(),
            retracts,
            time: vec![],
            window: None,
            keys: vec![],
            spread_by: None,
            parallelism: 1,
        };
        let props = ExecutionProps::new();
        let shape = Shape::new(
            &props,
            &input,
            &aggregate.group_expr,
            &aggregate.aggr_expr,
            &aggregate.schema,
        );
        let shape = shape.unwrap_or_else(|error| panic!("{query}: {error}"));
        let mut pipeline = Self {
            shape,
            senders: vec![],
            receivers: vec![],
            chains: vec![],
            checkpoint: 0,
            result: BTreeMap::new(),
        };
        pipeline.open(parallelism);
        pipeline
    }

    fn open(&mut self, parallelism: usize) {
        let spec = Arc::new(self.shape.spec.clone());
        let parallelism = if spec.keys.is_empty() { 1 } else { parallelism };
        self.senders = (0..SENDERS)
            .map(|_| {
                let mut chain: Vec<Box<dyn Operator>> =
                    vec![Box::new(Calc::new(self.shape.columns.clone()))];
                if let Some(expand) = self.shape.expand.clone() {
                    chain.push(Box::new(Expand::new(expand)));
                }
                chain.push(Box::new(Combine::new(spec.clone())));
                chain.iter_mut().for_each(|operator| operator.open(&surroundings(0, 1)).unwrap());
                chain
            })
            .collect();
        let former = std::mem::take(&mut self.chains);
        self.receivers = (0..parallelism)
            .map(|index| {
                let mut operator = GroupAggregate::new(spec.clone());
                if !former.is_empty() {
                    let groups =
                        key_groups_of_subtask(index as u32, DEFAULT_KEY_GROUPS, parallelism as u32);
                    let of_subtask = |chain: &Vec<KeyedState>| {
                        chain.iter().map(|state| state.restricted_to(&groups)).collect()
                    };
                    let keyed = former.iter().map(of_subtask).collect();
                    operator.restore(RestoredState { keyed, ..RestoredState::default() }).unwrap();
                }
                operator.open(&surroundings(index, parallelism)).unwrap();
                operator
            })
            .collect();
        self.chains = vec![vec![]; parallelism];
    }

    /// Rows at one of the senders.
    pub fn process(&mut self, sender: usize, changes: &Changes) {
        let batch = changes.clone().into_batch("test", None).unwrap();
        self.through(sender % SENDERS, 0, vec![batch]);
    }

    /// Batches for operator `first` of a sender's chain, and what follows from them.
    fn through(&mut self, sender: usize, first: usize, mut batches: Vec<Batch>) {
        for operator in &mut self.senders[sender][first..] {
            let mut out = Collected::default();
            for batch in batches {
                operator.process(0, batch, &mut out).unwrap();
            }
            batches = out.batches;
        }
        let keys = Combine::key_columns(&self.shape.spec);
        let mut partitioner = RowKeyPartitioner::new(keys, DEFAULT_KEY_GROUPS);
        for batch in batches {
            let targets = self.receivers.len() as u32;
            let mut parts = Vec::new();
            let mut send = |target, part| {
                parts.push((target, part));
                Ok(())
            };
            partitioner.split(batch, targets, &mut send).unwrap();
            for (target, part) in parts {
                let mut out = Collected::default();
                self.receivers[target as usize].process(0, part, &mut out).unwrap();
                self.collect(out);
            }
        }
    }

    fn collect(&mut self, out: Collected) {
        for batch in out.batches {
            add_up(&mut self.result, &Changes::of(batch, "test").unwrap());
        }
    }

    fn flush(&mut self, call: impl Fn(&mut dyn Operator, &mut Collected)) {
        for sender in 0..SENDERS {
            for at in 0..self.senders[sender].len() {
                let mut out = Collected::default();
                call(self.senders[sender][at].as_mut(), &mut out);
                self.through(sender, at + 1, out.batches);
            }
        }
    }

    pub fn checkpoint(&mut self, full: bool) {
        self.checkpoint += 1;
        let full = full || self.chains.iter().any(Vec::is_empty);
        let kind = if full { SnapshotKind::Full } else { SnapshotKind::Delta };
        let barrier = Barrier { checkpoint: self.checkpoint, kind };
        self.flush(|operator, out| operator.before_barrier(barrier, out).unwrap());
        for (receiver, chain) in self.receivers.iter_mut().zip(&mut self.chains) {
            let state = receiver.snapshot(barrier).unwrap().finish().unwrap();
            if full {
                chain.clear();
            }
            chain.extend(state.keyed);
        }
    }

    /// Goes on from the last checkpoint, which must have been just now.
    pub fn restart(&mut self, parallelism: usize) {
        self.open(parallelism);
    }

    pub fn end(&mut self) {
        let mut frontier = riverrun_dataflow::WatermarkFrontier::default();
        let end = frontier.advance_to(Watermark::MAX.timestamp()).unwrap();
        self.flush(|operator, out| operator.on_watermark(end, out).unwrap());
        self.flush(|operator, out| operator.on_end_of_input(out).unwrap());
        for at in 0..self.receivers.len() {
            let mut out = Collected::default();
            self.receivers[at].on_end_of_input(&mut out).unwrap();
            self.collect(out);
        }
    }

    pub fn result(&self) -> BTreeMap<String, i64> {
        self.result.clone()
    }
}

fn surroundings(index: usize, parallelism: usize) -> OperatorContext {
    let mut context = context(Arc::<ManualClock>::default(), Arc::default());
    context.subtask.index = index as u32;
    context.parallelism = parallelism as u32;
    context
}
