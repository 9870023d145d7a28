//! Jobs out of parts, and the process they run in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use riverrun_dataflow::{
    Clock, Committer, EdgeKind, Error, Job, JobEdge, JobGraph, JobSettings, JobVertex, ManualClock,
    Operator, OperatorFactory, OperatorId, OperatorKind, OperatorNode, Partitioner,
    RestartStrategy, Result, RowPartitioner, Source, TaskManagerGateway,
};
use riverrun_jobmanager::{JobHandle, JobManager, JobResources};
use riverrun_taskmanager::TaskManager;

use super::operators::{Collect, Count, Pass};
use super::outside::OutputCommitter;
use super::source::NumbersSource;
use super::{Chaos, Numbers, Output, Row, World};

type Make<T> = Box<dyn Fn() -> T + Send + Sync>;

/// The code of a job.
#[derive(Default)]
pub struct Parts {
    pub sources: BTreeMap<OperatorId, Make<Box<dyn Source>>>,
    pub operators: BTreeMap<OperatorId, Make<Box<dyn Operator>>>,
    pub committers: BTreeMap<OperatorId, Make<Box<dyn Committer>>>,
}

fn missing(id: OperatorId) -> Error {
    Error::InvalidJob { job: "test".into(), reason: format!("no operator {id}") }
}

impl OperatorFactory for Parts {
    fn source(&self, id: OperatorId) -> Result<Box<dyn Source>> {
        Ok(self.sources.get(&id).ok_or_else(|| missing(id))?())
    }
    fn operator(&self, id: OperatorId) -> Result<Box<dyn Operator>> {
        Ok(self.operators.get(&id).ok_or_else(|| missing(id))?())
    }
    fn partitioner(&self, _edge: usize) -> Result<Box<dyn Partitioner>> {
        Ok(Box::new(RowPartitioner::new(|row: &Row| row.key, 128)))
    }
    fn committer(&self, id: OperatorId) -> Result<Option<Box<dyn Committer>>> {
        Ok(self.committers.get(&id).map(|make| make()))
    }
}

/// An operator of a graph.
pub fn node(id: u64, name: &str, kind: OperatorKind) -> OperatorNode {
    OperatorNode { id: OperatorId(id), name: name.to_owned(), description: String::new(), kind }
}

/// A job under construction.
pub struct Pipeline {
    pub graph: JobGraph,
    pub parts: Parts,
    pub settings: JobSettings,
}

impl Pipeline {
    pub fn new() -> Self {
        Self {
            graph: JobGraph {
                name: "test".into(),
                key_groups: 128,
                vertices: Vec::new(),
                edges: Vec::new(),
            },
            parts: Parts::default(),
            settings: JobSettings {
                checkpoint_interval: Some(Duration::from_millis(2)),
                restart: RestartStrategy::FixedDelay {
                    attempts: 1000,
                    delay: Duration::from_millis(1),
                },
                deltas_before_full: 3,
                ..JobSettings::default()
            },
        }
    }

    /// numbers -> pass | HASH | count | REBALANCE | collect, with 1 key in `keys` groups of counts.
    pub fn counting(
        numbers: &Arc<Numbers>,
        output: &Arc<Output>,
        chaos: &Chaos,
        parallelism: u32,
    ) -> Self {
        let mut pipeline = Self::new();
        pipeline
            .vertex(
                parallelism,
                &[(1, "numbers", OperatorKind::Source), (2, "pass", OperatorKind::Transform)],
            )
            .vertex(parallelism, &[(3, "count", OperatorKind::Keyed)])
            .vertex(parallelism, &[(4, "collect", OperatorKind::Sink)])
            .edge(1, 2, 3, EdgeKind::Hash)
            .edge(3, 3, 4, EdgeKind::Rebalance);
        let (n, c) = (numbers.clone(), chaos.clone());
        pipeline.source(1, move || NumbersSource::new(n.clone(), c.clone()));
        let c = chaos.clone();
        pipeline.operator(2, move || Pass { chaos: c.clone() });
        let c = chaos.clone();
        pipeline.operator(3, move || Count::new(c.clone()));
        pipeline.sink(4, output, chaos);
        pipeline
    }

    /// Puts an operator in front of the sink of [`Pipeline::counting`], into its chain.
    pub fn insert_before_sink(&mut self, id: u64, name: &str) {
        let sink = &mut self.graph.vertices[2];
        sink.operators.insert(0, node(id, name, OperatorKind::Transform));
        sink.id = OperatorId(id);
        self.graph.edges[1].to = OperatorId(id);
    }

    pub fn vertex(
        &mut self,
        parallelism: u32,
        operators: &[(u64, &str, OperatorKind)],
    ) -> &mut Self {
        let operators: Vec<_> =
            operators.iter().map(|&(id, name, kind)| node(id, name, kind)).collect();
        let names: Vec<_> = operators.iter().map(|operator| operator.name.as_str()).collect();
        let vertex =
            JobVertex { id: operators[0].id, name: names.join(" -> "), parallelism, operators };
        self.graph.vertices.push(vertex);
        self
    }

    /// An edge of the main output of `from_operator` in vertex `from`.
    pub fn edge(&mut self, from: u64, from_operator: u64, to: u64, kind: EdgeKind) -> &mut Self {
        self.side_edge(from, from_operator, None, to, kind)
    }

    pub fn side_edge(
        &mut self,
        from: u64,
        from_operator: u64,
        side: Option<&str>,
        to: u64,
        kind: EdgeKind,
    ) -> &mut Self {
        self.graph.edges.push(JobEdge {
            index: self.graph.edges.len(),
            from: OperatorId(from),
            from_operator: OperatorId(from_operator),
            side_output: side.map(str::to_owned),
            to: OperatorId(to),
            input: 0,
            kind,
            description: String::new(),
        });
        self
    }

    pub fn source<S: Source + 'static>(
        &mut self,
        id: u64,
        make: impl Fn() -> S + Send + Sync + 'static,
    ) {
        self.parts.sources.insert(OperatorId(id), Box::new(move || Box::new(make())));
    }

    pub fn operator<O: Operator + 'static>(
        &mut self,
        id: u64,
        make: impl Fn() -> O + Send + Sync + 'static,
    ) {
        self.parts.operators.insert(OperatorId(id), Box::new(move || Box::new(make())));
    }

    pub fn sink(&mut self, id: u64, output: &Arc<Output>, chaos: &Chaos) {
        let (o, c) = (output.clone(), chaos.clone());
        self.operator(id, move || Collect::new(o.clone(), c.clone()));
        let (output, chaos) = (output.clone(), chaos.clone());
        self.parts.committers.insert(
            OperatorId(id),
            Box::new(move || {
                Box::new(OutputCommitter { output: output.clone(), chaos: chaos.clone() })
            }),
        );
    }

    pub fn job(self) -> Job {
        Job { graph: self.graph, factory: Arc::new(self.parts), settings: self.settings }
    }
}

/// One TaskManager with enough slots, and what is durable.
pub struct Cluster {
    pub world: Arc<World>,
    pub clock: Arc<ManualClock>,
    pub slots: u32,
}

impl Cluster {
    pub fn new(world: Arc<World>) -> Self {
        Self { world, clock: Arc::default(), slots: 4 }
    }

    pub fn start(&self, job: Job) -> Result<JobHandle> {
        let (factory, storage, slots) = (job.factory.clone(), self.world.clone(), self.slots);
        let clock: Arc<dyn Clock> = self.clock.clone();
        let resources = JobResources {
            task_managers: Box::new(move |gateway| {
                let manager = TaskManager::new(slots, factory, storage, clock, gateway)?;
                Ok(vec![Arc::new(manager) as Arc<dyn TaskManagerGateway>])
            }),
            store: self.world.clone(),
            storage: self.world.clone(),
        };
        JobManager::start(job, resources)
    }
}

/// Each key's numbers must be there from 1 to its total, each once.
pub fn check_counts(numbers: &Numbers, rows: &[Row]) {
    let mut seen: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    rows.iter().for_each(|row| seen.entry(row.key).or_default().push(row.count));
    for (key, total) in numbers.totals() {
        let mut counts = seen.remove(&key).unwrap_or_default();
        counts.sort_unstable();
        let expected: Vec<_> = (1..=total).collect();
        assert!(counts == expected, "key {key}: expected 1..={total}, got {counts:?}");
    }
    assert!(seen.is_empty(), "keys that were never sent: {seen:?}");
}
