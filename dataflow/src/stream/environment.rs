//! The place where a job is put together.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::DataStream;
use crate::{
    Committer, DEFAULT_KEY_GROUPS, EdgeKind, Job, JobGraph, JobSettings, Operator, OperatorKind,
    Partitioner, Resources, Result, Source,
};

/// What an operator is called, and what it is set to. The description is part of what the operator
/// *means*: without a `uid`, state is found by it.
#[derive(Debug, Clone)]
pub struct OperatorSpec {
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) kind: OperatorKind,
    pub(crate) single: bool,
}

impl OperatorSpec {
    /// A spec with an empty description.
    pub fn new(name: impl Into<String>, kind: OperatorKind) -> Self {
        Self { name: name.into(), description: String::new(), kind, single: false }
    }

    /// Says what the operator is set to, e.g. `tumbling 5s, count`.
    pub fn described(mut self, description: impl Into<String>) -> Self {
        self.description = description.into();
        self
    }

    /// The operator cannot be split: its parallelism is 1 whatever the environment says.
    pub fn single(mut self) -> Self {
        self.single = true;
        self
    }
}

pub(crate) type MakeSource = Arc<dyn Fn(&Resources) -> Result<Box<dyn Source>> + Send + Sync>;
pub(crate) type MakeOperator = Arc<dyn Fn(&Resources) -> Result<Box<dyn Operator>> + Send + Sync>;
pub(crate) type MakeCommitter = Arc<dyn Fn(&Resources) -> Result<Box<dyn Committer>> + Send + Sync>;
pub(crate) type MakePartitioner = Arc<dyn Fn(u16) -> Box<dyn Partitioner> + Send + Sync>;

/// The code of one operator.
pub(crate) enum Code {
    Source(MakeSource),
    Operator(MakeOperator),
    Sink(MakeOperator, Option<MakeCommitter>),
}

/// Where a node's rows come from.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub node: usize,
    pub side_output: Option<String>,
    pub kind: EdgeKind,
    pub description: String,
    pub partitioner: Option<MakePartitioner>,
}

/// An operator before it has its place in a chain.
pub(crate) struct Node {
    pub spec: OperatorSpec,
    pub uid: Option<String>,
    pub parallelism: u32,
    pub new_chain: bool,
    pub inputs: Vec<(usize, Upstream)>,
    pub code: Code,
}

pub(crate) struct Plan {
    pub name: String,
    pub parallelism: u32,
    pub key_groups: u16,
    pub settings: JobSettings,
    pub nodes: Vec<Node>,
}

/// The place where a job is put together; cheap to clone, all clones are the same job.
#[derive(Clone)]
pub struct Environment {
    pub(crate) plan: Rc<RefCell<Plan>>,
}

impl Environment {
    /// An empty job of this name, parallelism 1, default settings. The name is what checkpoints are found by.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            plan: Rc::new(RefCell::new(Plan {
                name: name.into(),
                parallelism: 1,
                key_groups: DEFAULT_KEY_GROUPS,
                settings: JobSettings::default(),
                nodes: Vec::new(),
            })),
        }
    }

    /// Renames the job.
    pub fn set_name(&self, name: impl Into<String>) -> &Self {
        self.plan.borrow_mut().name = name.into();
        self
    }

    /// The job's name.
    pub fn name(&self) -> String {
        self.plan.borrow().name.clone()
    }

    /// Parallelism of operators that are added from now on.
    pub fn set_parallelism(&self, parallelism: u32) -> &Self {
        self.plan.borrow_mut().parallelism = parallelism;
        self
    }

    /// Parallelism of operators that are added from now on.
    pub fn parallelism(&self) -> u32 {
        self.plan.borrow().parallelism
    }

    /// Number of key groups, from 1 to 32768. It cannot be changed for a job that has state.
    pub fn set_key_groups(&self, key_groups: u16) -> &Self {
        self.plan.borrow_mut().key_groups = key_groups;
        self
    }

    /// Changes how the job is run.
    pub fn configure(&self, change: impl FnOnce(&mut JobSettings)) -> &Self {
        change(&mut self.plan.borrow_mut().settings);
        self
    }

    /// Adds a source that puts out `T` (or [`Columns`](crate::Columns)). `make` is called once per subtask, where it runs.
    pub fn add_source<T>(
        &self,
        spec: OperatorSpec,
        make: impl Fn(&Resources) -> Result<Box<dyn Source>> + Send + Sync + 'static,
    ) -> DataStream<T> {
        self.add_node(spec, Vec::new(), Code::Source(Arc::new(make)))
    }

    pub(crate) fn add_node<T>(
        &self,
        spec: OperatorSpec,
        inputs: Vec<(usize, Upstream)>,
        code: Code,
    ) -> DataStream<T> {
        let mut plan = self.plan.borrow_mut();
        let parallelism = if spec.single { 1 } else { plan.parallelism };
        plan.nodes.push(Node { spec, uid: None, parallelism, new_chain: false, inputs, code });
        let node = plan.nodes.len() - 1;
        drop(plan);
        DataStream::of_node(self.clone(), node)
    }

    /// The job graph as it stands.
    ///
    /// # Errors
    /// [`crate::Error::InvalidJob`], as [`JobGraph::validate`].
    pub fn graph(&self) -> Result<JobGraph> {
        super::build::chains(&self.plan.borrow()).and_then(|chains| {
            chains.graph.validate()?;
            Ok(chains.graph)
        })
    }

    /// The job, ready to run with what its sources and sinks need.
    ///
    /// # Errors
    /// As [`Environment::graph`].
    pub fn build(&self, resources: Resources) -> Result<Job> {
        super::build::job(&self.plan.borrow(), resources)
    }
}
