//! For tests of whole queries: a job run in one thread, its rows arriving in an order drawn from a seed, and the same query in batch.

pub(crate) mod facts;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use datafusion::logical_expr::{Extension, LogicalPlan, LogicalPlanBuilder, TableSource, ident};
use futures_util::StreamExt;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use riverrun_dataflow::testing::context;
use riverrun_dataflow::{
    Batch, Clock, Columns, EdgeKind, Environment, Job, ManualClock, Operator, OperatorKind,
    OperatorMetrics, OperatorSpec, Output, Partitioner, Resources, Result, Source, SourceEvent,
    SplitIndex, SplitStatus, SubtaskId, Timestamp, VertexId, Watermark, WatermarkMerger,
};

use super::{Planned, StateNote, StreamPlanner};
use crate::Changes;
use crate::batch::BatchScan;
use crate::catalog::MemoryTable;
use crate::function::FunctionRegistry;
use crate::operator::testing::{Table, accumulate, texts};
use crate::parser::{Statement, parse_script};
use crate::plan::{EventTime, Needs, QueryPlanner, Relation, Rows};
use crate::session::Settings;

/// Tables by name.
pub(crate) type Tables = BTreeMap<String, Arc<MemoryTable>>;

/// What came of a query.
pub(crate) struct Outcome {
    /// What the output adds up to.
    pub(crate) rows: Table,
    /// What was known of the output.
    pub(crate) planned: Planned,
    /// Which state it kept.
    pub(crate) notes: Vec<StateNote>,
    /// Names of the job's operators.
    pub(crate) operators: Vec<String>,
    /// Whether anything was taken back.
    pub(crate) retracted: bool,
}

/// How a query is run as a job.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) parallelism: u32,
    pub(crate) seed: u64,
    /// What functions and operators ask for the time.
    pub(crate) clock: Arc<ManualClock>,
    /// By how much the clock goes on at most from one step to the next; 0 if it stands still.
    pub(crate) pace: i64,
    pub(crate) settings: Settings,
}

impl Setup {
    pub(crate) fn new(parallelism: u32, seed: u64) -> Self {
        let (clock, settings) = (Arc::default(), Settings::default());
        Self { parallelism, seed, clock, pace: 0, settings }
    }
}

/// The optimised plan of a query.
pub(crate) fn logical(sql: &str, tables: &Tables) -> crate::Result<LogicalPlan> {
    logical_at(sql, tables, Arc::default())
}

fn logical_at(sql: &str, tables: &Tables, clock: Arc<ManualClock>) -> crate::Result<LogicalPlan> {
    let functions = FunctionRegistry::new(clock, 1);
    let suggest = |_: &str| None;
    let nothing = |_: &str| Ok(None);
    let scan = |name: &str, schema: arrow_schema::SchemaRef, rows: Rows| Relation {
        name: name.to_owned(),
        schema,
        rows,
        needs: Needs::default(),
        batch: Arc::new(BatchScan {
            resources: Resources::default(),
            clock: Arc::new(ManualClock::default()),
        }),
    };
    let find = |name: &str| -> crate::Result<Option<Arc<dyn TableSource>>> {
        let Some(table) = tables.get(name) else { return Ok(None) };
        let relation = scan(name, table.schema.clone(), Rows::Memory(table.clone()));
        let Some(watermark) = &table.watermark else { return Ok(Some(relation.into_source())) };
        let plan = LogicalPlanBuilder::scan(name, relation.into_source(), None)
            .and_then(LogicalPlanBuilder::build)
            .unwrap();
        let planner = QueryPlanner::new(&nothing, &suggest, &functions);
        let expression = planner.expression(&watermark.expression, plan.schema())?;
        let time = ident(&watermark.column);
        let node = EventTime::try_new(Arc::new(plan), time, expression).unwrap();
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        let schema = plan.schema().inner().clone();
        Ok(Some(scan(name, schema, Rows::Planned(Arc::new(plan))).into_source()))
    };
    let planner = QueryPlanner::new(&find, &suggest, &functions);
    let statements = parse_script(sql)?;
    let Some(Statement::Query(query)) = statements.into_iter().next().map(|s| s.statement) else {
        panic!("{sql} is no query")
    };
    planner.optimize(planner.plan(&query.query)?)
}

/// A query in batch.
pub(crate) fn batch(sql: &str, tables: &Tables) -> Table {
    let plan = logical(sql, tables).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut stream = crate::batch::execute(&plan, 1).await.unwrap();
        let mut rows = Table::new();
        while let Some(batch) = stream.next().await {
            accumulate(&mut rows, &Changes::inserts(batch.unwrap()));
        }
        rows
    })
}

/// A query as a job.
pub(crate) fn stream(
    sql: &str,
    tables: &Tables,
    parallelism: u32,
    seed: u64,
) -> crate::Result<Outcome> {
    stream_with(sql, tables, &Setup::new(parallelism, seed))
}

/// A query as a job that is run as the setup says.
pub(crate) fn stream_with(sql: &str, tables: &Tables, setup: &Setup) -> crate::Result<Outcome> {
    let plan = logical_at(sql, tables, setup.clock.clone())?;
    let env = Environment::new("test");
    env.set_parallelism(setup.parallelism);
    let mut planner = StreamPlanner::new(&env);
    planner.settings = setup.settings.clone();
    let planned = planner.plan(&plan)?;
    let kept: Arc<Mutex<Vec<Batch>>> = Arc::default();
    let (result, spec) = (kept.clone(), OperatorSpec::new("result", OperatorKind::Transform));
    planned
        .stream
        .transform::<Columns>(spec.single(), move |_| Ok(Box::new(Keep(result.clone()))))
        .parallelism(1);
    let notes = planner.state;
    let job = env.build(Resources::default())?;
    let operators = job.graph.vertices.iter().flat_map(|vertex| &vertex.operators);
    let operators = operators.map(|operator| operator.name.clone()).collect();
    Run::new(&job, setup)?.run()?;
    let (mut rows, mut retracted) = (Table::new(), false);
    let kept = std::mem::take(&mut *kept.lock().unwrap());
    let kept = kept.into_iter().map(|batch| Changes::of(batch, "result"));
    let kept: Vec<Changes> = kept.collect::<Result<_>>()?;
    for changes in &kept {
        retracted |= (0..changes.len()).any(|row| changes.weight(row) < 0);
        accumulate(&mut rows, changes);
    }
    planned
        .keys
        .iter()
        .filter(|key| planned.in_order_by(key))
        .for_each(|key| one_row_at_a_time(key, &kept));
    Ok(Outcome { rows, planned, notes, operators, retracted })
}

/// Fails if there are ever two rows of a key: a sink that replaces by key would take the removal of the one for that of the other.
fn one_row_at_a_time(key: &[usize], kept: &[Changes]) {
    let mut there: BTreeMap<String, i64> = BTreeMap::new();
    for changes in kept {
        let keys = texts(&changes.rows.project(key).unwrap());
        for (row, key) in keys.into_iter().enumerate() {
            let count = there.entry(key.clone()).or_default();
            *count += changes.weight(row);
            assert!((0..=1).contains(count), "there are {count} rows of the key {key}");
        }
    }
}

struct Keep(Arc<Mutex<Vec<Batch>>>);

impl Operator for Keep {
    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Output) -> Result<()> {
        self.0.lock().unwrap().push(batch);
        Ok(())
    }
}

/// What an operator puts out, in order.
enum Event {
    Batch(Batch),
    Watermark(Watermark),
    Split(SplitIndex, SplitStatus),
    End,
}

#[derive(Default)]
struct Events(Vec<Event>);

impl Output for Events {
    fn emit(&mut self, batch: Batch) -> Result<()> {
        self.0.push(Event::Batch(batch));
        Ok(())
    }
    fn emit_side(&mut self, _tag: &str, _batch: Batch) -> Result<()> {
        Ok(())
    }
    fn emit_watermark(&mut self, watermark: Watermark) -> Result<()> {
        self.0.push(Event::Watermark(watermark));
        Ok(())
    }
    fn emit_split(&mut self, split: SplitIndex, status: SplitStatus) -> Result<()> {
        self.0.push(Event::Split(split, status));
        Ok(())
    }
    fn emit_idle(&mut self) -> Result<()> {
        Ok(())
    }
}

/// One subtask: a source perhaps, and a chain of operators.
struct Subtask {
    source: Option<Box<dyn Source>>,
    chain: Vec<Box<dyn Operator>>,
    /// Elements that wait, by channel: the input's number and what comes.
    channels: Vec<(usize, VecDeque<Event>)>,
    merger: WatermarkMerger,
    ended: usize,
}

struct Edge {
    kind: EdgeKind,
    to: VertexId,
    partitioner: Option<Box<dyn Partitioner>>,
    /// First channel of the edge at the receiver, by sending subtask.
    channel: usize,
    next: usize,
}

struct Run {
    subtasks: HashMap<(VertexId, u32), Subtask>,
    parallelism: HashMap<VertexId, u32>,
    edges: HashMap<(VertexId, u32), Vec<Edge>>,
    rng: StdRng,
    clock: Arc<ManualClock>,
    pace: i64,
}

impl Run {
    fn new(job: &Job, setup: &Setup) -> Result<Self> {
        let mut run = Self {
            subtasks: HashMap::new(),
            parallelism: job.graph.vertices.iter().map(|v| (v.id, v.parallelism)).collect(),
            edges: HashMap::new(),
            rng: StdRng::seed_from_u64(setup.seed),
            clock: setup.clock.clone(),
            pace: setup.pace,
        };
        for vertex in &job.graph.vertices {
            let mut inputs = Vec::new();
            for edge in job.graph.inputs(vertex.id) {
                let senders = run.parallelism[&edge.from];
                for sender in 0..senders {
                    let partitioner = (edge.kind == EdgeKind::Hash)
                        .then(|| job.factory.partitioner(edge.index))
                        .transpose()?;
                    let channel = inputs.len();
                    let (kind, to) = (edge.kind, edge.to);
                    let edges = run.edges.entry((edge.from, sender)).or_default();
                    edges.push(Edge { kind, to, partitioner, channel, next: 0 });
                    inputs.push(edge.input);
                }
            }
            for index in 0..vertex.parallelism {
                let mut surroundings =
                    context(setup.clock.clone(), Arc::new(OperatorMetrics::default()));
                surroundings.subtask = SubtaskId { vertex: vertex.id, index };
                surroundings.parallelism = vertex.parallelism;
                let mut subtask = Subtask {
                    source: None,
                    chain: Vec::new(),
                    channels: inputs.iter().map(|input| (*input, VecDeque::new())).collect(),
                    merger: WatermarkMerger::new(inputs.len()),
                    ended: 0,
                };
                for operator in &vertex.operators {
                    surroundings.operator.clone_from(&operator.name);
                    if operator.kind == OperatorKind::Source {
                        let mut source = job.factory.source(operator.id)?;
                        source.open(&surroundings, None)?;
                        subtask.source = Some(source);
                    } else {
                        let mut operator = job.factory.operator(operator.id)?;
                        operator.open(&surroundings)?;
                        subtask.chain.push(operator);
                    }
                }
                run.subtasks.insert((vertex.id, index), subtask);
            }
        }
        Ok(run)
    }

    /// One step after another, each at a subtask that has something to do.
    fn run(&mut self) -> Result<()> {
        loop {
            let mut ready: Vec<((VertexId, u32), Option<usize>)> = Vec::new();
            for (at, subtask) in &self.subtasks {
                if subtask.source.is_some() {
                    ready.push((*at, None));
                }
                let waiting = subtask.channels.iter().enumerate();
                let waiting = waiting.filter(|(_, (_, waiting))| !waiting.is_empty());
                ready.extend(waiting.map(|(channel, _)| (*at, Some(channel))));
            }
            if ready.is_empty() {
                return Ok(());
            }
            ready.sort_unstable();
            let (at, channel) = ready[self.rng.random_range(0..ready.len())];
            match channel {
                None => self.poll(at)?,
                Some(channel) => self.receive(at, channel)?,
            }
            if self.pace > 0 {
                self.tick()?;
            }
        }
    }

    /// The clock goes on, and what is due by it is done.
    fn tick(&mut self) -> Result<()> {
        let now = self.clock.now() + self.rng.random_range(0..=self.pace);
        self.clock.set(now);
        let mut all: Vec<(VertexId, u32)> = self.subtasks.keys().copied().collect();
        all.sort_unstable();
        for at in all {
            for depth in 0..self.subtask(at).chain.len() {
                let mut out = Events::default();
                let operator = &mut self.subtask(at).chain[depth];
                while operator.next_timer().is_some_and(|due| due <= now) {
                    operator.on_time(now, &mut out)?;
                }
                self.push_from(at, depth + 1, 0, out.0)?;
            }
        }
        Ok(())
    }

    fn subtask(&mut self, at: (VertexId, u32)) -> &mut Subtask {
        self.subtasks.get_mut(&at).unwrap()
    }

    fn poll(&mut self, at: (VertexId, u32)) -> Result<()> {
        let source = self.subtask(at).source.as_mut().unwrap();
        match source.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => panic!("sources of tests have an end"),
            Poll::Ready(event) => match event? {
                SourceEvent::Batch(batch) => self.push(at, 0, Event::Batch(batch)),
                SourceEvent::Split(split, status) => self.push(at, 0, Event::Split(split, status)),
                SourceEvent::End => {
                    self.subtask(at).source = None;
                    self.push(at, 0, Event::End)
                }
            },
        }
    }

    fn receive(&mut self, at: (VertexId, u32), channel: usize) -> Result<()> {
        let subtask = self.subtask(at);
        let (input, waiting) = &mut subtask.channels[channel];
        let (input, event) = (*input, waiting.pop_front().unwrap());
        match event {
            Event::Watermark(watermark) if watermark == Watermark::MAX => Ok(()),
            Event::Watermark(watermark) => {
                match subtask.merger.advance(channel, watermark.timestamp()) {
                    Some(watermark) => self.push(at, input, Event::Watermark(watermark)),
                    None => Ok(()),
                }
            }
            Event::End => {
                subtask.ended += 1;
                if subtask.ended == subtask.channels.len() {
                    return self.push(at, input, Event::End);
                }
                match subtask.merger.set_idle(channel, true) {
                    Some(watermark) => self.push(at, input, Event::Watermark(watermark)),
                    None => Ok(()),
                }
            }
            event => self.push(at, input, event),
        }
    }

    /// Through the chain, and over the edges.
    fn push(&mut self, at: (VertexId, u32), input: usize, event: Event) -> Result<()> {
        let mut events = vec![event];
        if matches!(events[0], Event::End) {
            let mut merger = WatermarkMerger::new(1);
            let end = merger.advance(0, Timestamp::MAX).unwrap();
            events.insert(0, Event::Watermark(end));
        }
        self.push_from(at, 0, input, events)
    }

    /// From some operator of the chain on.
    fn push_from(
        &mut self,
        at: (VertexId, u32),
        first: usize,
        input: usize,
        mut events: Vec<Event>,
    ) -> Result<()> {
        for (depth, operator) in self.subtask(at).chain.iter_mut().enumerate().skip(first) {
            let mut out = Events::default();
            for event in events {
                match event {
                    Event::Batch(batch) if batch.is_empty() => {}
                    Event::Batch(batch) => {
                        let input = if depth == 0 { input } else { 0 };
                        operator.process(input, batch, &mut out)?;
                    }
                    Event::Watermark(watermark) => operator.on_watermark(watermark, &mut out)?,
                    Event::Split(split, status) => operator.on_split(split, status, &mut out)?,
                    Event::End => {
                        operator.on_end_of_input(&mut out)?;
                        out.0.push(Event::End);
                    }
                }
            }
            events = out.0;
        }
        for event in events {
            self.send(at, event)?;
        }
        Ok(())
    }

    fn send(&mut self, at: (VertexId, u32), event: Event) -> Result<()> {
        let Some(edges) = self.edges.get_mut(&at) else { return Ok(()) };
        for edge in edges {
            let targets = self.parallelism[&edge.to];
            let mut put = |target: u32, event: Event| {
                let subtask = self.subtasks.get_mut(&(edge.to, target)).unwrap();
                subtask.channels[edge.channel].1.push_back(event);
            };
            let all = if edge.kind == EdgeKind::Forward { at.1..at.1 + 1 } else { 0..targets };
            match &event {
                Event::Batch(batch) => {
                    let batch = batch.duplicate();
                    match &mut edge.partitioner {
                        Some(partitioner) => {
                            partitioner.split(batch, targets, &mut |to, part| {
                                put(to, Event::Batch(part));
                                Ok(())
                            })?
                        }
                        None if edge.kind == EdgeKind::Rebalance => {
                            edge.next += 1;
                            put(
                                edge.next as u32 % targets,
                                Event::Batch(Batch { split: None, ..batch }),
                            );
                        }
                        None => all.for_each(|to| {
                            put(to, Event::Batch(Batch { split: None, ..batch.duplicate() }));
                        }),
                    }
                }
                Event::Watermark(watermark) => {
                    all.for_each(|to| put(to, Event::Watermark(*watermark)))
                }
                // An end at a subtask that a FORWARD edge does not lead to must not be waited for.
                Event::End => (0..targets).for_each(|to| put(to, Event::End)),
                Event::Split(..) => {}
            }
        }
        Ok(())
    }
}
