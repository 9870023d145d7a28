//! The operators of an aggregation, put together in one thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use riverrun_dataflow::testing::{Collected, context};
use riverrun_dataflow::{
    Barrier, Batch, DEFAULT_KEY_GROUPS, Environment, Error, KeyedState, ManualClock, Operator,
    OperatorContext, OperatorKind, OperatorMetrics, OperatorSpec, Partitioner, RestoredState,
    SnapshotKind, Timestamp, Watermark, WatermarkFrontier, key_groups_of_subtask,
};

use super::table::{add_up, planned};
use crate::Changes;
use crate::operator::aggregate::{
    Combine, Expand, GroupAggregate, Holds, Updates, WindowAggregate, WindowLayout, WindowSpec,
};
use crate::operator::calc::{Calc, CalcSpec};
use crate::state::RowKeyPartitioner;
use crate::stream::Planned;
use crate::stream::aggregate::layout;
use crate::stream::aggregate::shape::Shape;
use crate::stream::aggregate::windowed::{Role, Windowed};

/// Two sending subtasks, and any number of receiving ones.
pub struct Pipeline {
    shape: Shape,
    layout: Option<WindowLayout>,
    updates: Updates,
    /// Puts the time into the columns of the window.
    times: Option<CalcSpec>,
    senders: Vec<Vec<Box<dyn Operator>>>,
    receivers: Vec<Box<dyn Operator>>,
    /// One chain of snapshots a receiver, and what it has last left besides.
    chains: Vec<Vec<KeyedState>>,
    lists: Vec<Vec<u8>>,
    checkpoint: u64,
    frontier: WatermarkFrontier,
    clock: Arc<ManualClock>,
    late: Arc<OperatorMetrics>,
    result: BTreeMap<String, i64>,
}

const SENDERS: usize = 2;

impl Pipeline {
    /// Without windows.
    pub fn new(query: &str, retracts: bool, parallelism: usize) -> Self {
        let aggregate = planned(query);
        let shape = shape_of(&aggregate, aggregate.input.schema().clone(), &[], retracts);
        let shape = shape.unwrap_or_else(|error| panic!("{query}: {error}"));
        Self::of(shape, None, Updates::default(), None, parallelism)
    }

    /// In the windows of a windowing function.
    pub fn in_windows(
        aggregate: &Aggregate,
        updates: Updates,
        retracts: bool,
        parallelism: usize,
    ) -> Self {
        let windowed = Windowed::of(aggregate).unwrap().expect("it is by windows");
        let LogicalPlan::Projection(times) = &windowed.input else { panic!("no times") };
        let LogicalPlan::Filter(filter) = times.input.as_ref() else { panic!("no filter") };
        let times = CalcSpec {
            filter: Some(physical(&filter.predicate, times.input.schema())),
            columns: Some(
                times.expr.iter().map(|expr| physical(expr, times.input.schema())).collect(),
            ),
            output: times.schema.inner().clone(),
        };
        let schema = windowed.input.schema().clone();
        let shape = shape_of(aggregate, schema, &windowed.roles, retracts).unwrap();
        let layout = layout(windowed.function.kind, &shape);
        Self::of(shape, Some(layout), updates, Some(times), parallelism)
    }

    fn of(
        shape: Shape,
        layout: Option<WindowLayout>,
        updates: Updates,
        times: Option<CalcSpec>,
        parallelism: usize,
    ) -> Self {
        let mut pipeline = Self {
            shape,
            layout,
            updates,
            times,
            senders: vec![],
            receivers: vec![],
            chains: vec![],
            lists: vec![],
            checkpoint: 0,
            frontier: WatermarkFrontier::default(),
            clock: Arc::default(),
            late: Arc::default(),
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
                let mut chain: Vec<Box<dyn Operator>> = Vec::new();
                if let Some(times) = self.times.clone() {
                    chain.push(Box::new(Calc::new(times)));
                }
                chain.push(Box::new(Calc::new(self.shape.columns.clone())));
                if let Some(expand) = self.shape.expand.clone() {
                    chain.push(Box::new(Expand::new(expand)));
                }
                chain.push(match self.layout {
                    None => Box::new(Combine::new(spec.clone())),
                    Some(layout) => {
                        let holds = match self.updates.early {
                            Some(_) => Holds::Many,
                            None => Holds::Windows,
                        };
                        Box::new(Combine::in_windows(spec.clone(), layout).holding(holds))
                    }
                });
                let context = self.surroundings(0, 1);
                chain.iter_mut().for_each(|operator| operator.open(&context).unwrap());
                chain
            })
            .collect();
        let former = std::mem::take(&mut self.chains);
        self.receivers = (0..parallelism)
            .map(|index| {
                let (aggregate, updates) = (spec.clone(), self.updates);
                let mut operator: Box<dyn Operator> = match self.layout {
                    None => Box::new(GroupAggregate::new(aggregate)),
                    Some(layout) => {
                        let spec = WindowSpec { aggregate, layout, event_time: true, updates };
                        Box::new(WindowAggregate::new(spec))
                    }
                };
                if !former.is_empty() {
                    let groups =
                        key_groups_of_subtask(index as u32, DEFAULT_KEY_GROUPS, parallelism as u32);
                    let of_subtask = |chain: &Vec<KeyedState>| {
                        chain.iter().map(|state| state.restricted_to(&groups)).collect()
                    };
                    let keyed = former.iter().map(of_subtask).collect();
                    let list = self.lists.clone();
                    let state = RestoredState { keyed, list, ..RestoredState::default() };
                    operator.restore(state).unwrap();
                }
                operator.open(&self.surroundings(index, parallelism)).unwrap();
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

    fn surroundings(&self, index: usize, parallelism: usize) -> OperatorContext {
        let mut context = context(self.clock.clone(), self.late.clone());
        context.subtask.index = index as u32;
        context.parallelism = parallelism as u32;
        context
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
        self.lists.clear();
        for (receiver, chain) in self.receivers.iter_mut().zip(&mut self.chains) {
            let state = receiver.snapshot(barrier).unwrap().finish().unwrap();
            if full {
                chain.clear();
            }
            chain.extend(state.keyed);
            self.lists.extend(state.list);
        }
    }

    /// Goes on from the last checkpoint, which must have been just now.
    pub fn restart(&mut self, parallelism: usize) {
        self.open(parallelism);
    }

    /// Event time for all.
    pub fn watermark(&mut self, timestamp: Timestamp) {
        let Some(watermark) = self.frontier.advance_to(timestamp) else { return };
        self.flush(|operator, out| operator.on_watermark(watermark, out).unwrap());
        for at in 0..self.receivers.len() {
            let mut out = Collected::default();
            self.receivers[at].on_watermark(watermark, &mut out).unwrap();
            assert_eq!(out.watermarks, [timestamp]);
            self.collect(out);
        }
    }

    /// Processing time for all.
    pub fn time(&mut self, now: Timestamp) {
        self.clock.set(now);
        for at in 0..self.receivers.len() {
            let mut out = Collected::default();
            while self.receivers[at].next_timer().is_some_and(|due| due <= now) {
                self.receivers[at].on_time(now, &mut out).unwrap();
            }
            self.collect(out);
        }
    }

    /// Rows that came too late.
    pub fn late(&self) -> u64 {
        OperatorMetrics::read(&self.late.late_records)
    }

    pub fn end(&mut self) {
        self.watermark(Watermark::MAX.timestamp());
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

fn physical(expr: &Expr, schema: &DFSchema) -> Arc<dyn PhysicalExpr> {
    let props = ExecutionProps::new();
    create_physical_expr(expr, schema, &props, &PhysicalPlanningContext::default()).unwrap()
}

fn shape_of(
    aggregate: &Aggregate,
    schema: DFSchemaRef,
    roles: &[Role],
    retracts: bool,
) -> crate::Result<Shape> {
    let env = Environment::new("test");
    let source = OperatorSpec::new("source", OperatorKind::Source);
    let input = Planned {
        stream: env.add_source(source, |_| Err(Error::io("source", "nothing to read"))),
        schema,
        retracts,
        time: vec![],
        window: None,
        keys: vec![],
        spread_by: None,
        parallelism: 1,
    };
    let (group, calls) = (&aggregate.group_expr, &aggregate.aggr_expr);
    Shape::new(&ExecutionProps::new(), &input, group, roles, calls, &aggregate.schema)
}
