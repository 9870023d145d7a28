//! A stream of rows in the making.

use std::marker::PhantomData;
use std::sync::Arc;

use super::KeyedStream;
use super::environment::{Code, Upstream};
use crate::{
    Committer, EdgeKind, Environment, Operator, OperatorSpec, Partitioner, Record, Resources,
    Result,
};

/// A stream of rows of type `T`, or of [`Columns`](crate::Columns).
///
/// `name`, `uid`, `parallelism` and `start_new_chain` concern the operator that makes the stream;
/// `rebalance`, `broadcast` and `key_by` say how the next one gets it.
pub struct DataStream<T> {
    env: Environment,
    inputs: Vec<Upstream>,
    _rows: PhantomData<fn() -> T>,
}

impl<T> Clone for DataStream<T> {
    fn clone(&self) -> Self {
        Self { env: self.env.clone(), inputs: self.inputs.clone(), _rows: PhantomData }
    }
}

impl<T> DataStream<T> {
    pub(crate) fn of_node(env: Environment, node: usize) -> Self {
        let upstream = Upstream {
            node,
            side_output: None,
            kind: EdgeKind::Forward,
            description: String::new(),
            partitioner: None,
        };
        Self { env, inputs: vec![upstream], _rows: PhantomData }
    }

    /// The environment that the stream belongs to.
    pub fn environment(&self) -> &Environment {
        &self.env
    }

    /// Adds an operator that makes `U` of the stream. `make` is called once per subtask, where it runs.
    pub fn transform<U>(
        &self,
        spec: OperatorSpec,
        make: impl Fn(&Resources) -> Result<Box<dyn Operator>> + Send + Sync + 'static,
    ) -> DataStream<U> {
        self.env.add_node(spec, self.as_input(0), Code::Operator(Arc::new(make)))
    }

    /// Adds an operator with two inputs: this stream is its input 0, `other` its input 1.
    pub fn transform_with<V, U>(
        &self,
        other: &DataStream<V>,
        spec: OperatorSpec,
        make: impl Fn(&Resources) -> Result<Box<dyn Operator>> + Send + Sync + 'static,
    ) -> DataStream<U> {
        let mut inputs = self.as_input(0);
        inputs.extend(other.as_input(1));
        self.env.add_node(spec, inputs, Code::Operator(Arc::new(make)))
    }

    /// Ends the stream in a sink that commits nothing: what it writes is out at once.
    pub fn add_sink(
        &self,
        spec: OperatorSpec,
        make: impl Fn(&Resources) -> Result<Box<dyn Operator>> + Send + Sync + 'static,
    ) -> DataStream<()> {
        self.env.add_node(spec, self.as_input(0), Code::Sink(Arc::new(make), None))
    }

    /// Ends the stream in an exactly-once sink: the operator prepares, the committer makes visible.
    pub fn add_committing_sink(
        &self,
        spec: OperatorSpec,
        make: impl Fn(&Resources) -> Result<Box<dyn Operator>> + Send + Sync + 'static,
        committer: impl Fn(&Resources) -> Result<Box<dyn Committer>> + Send + Sync + 'static,
    ) -> DataStream<()> {
        let code = Code::Sink(Arc::new(make), Some(Arc::new(committer)));
        self.env.add_node(spec, self.as_input(0), code)
    }

    fn as_input(&self, input: usize) -> Vec<(usize, Upstream)> {
        self.inputs.iter().map(|upstream| (input, upstream.clone())).collect()
    }

    /// This stream and another one of the same type, rows in any order.
    pub fn union(&self, other: &Self) -> Self {
        let mut union = self.clone();
        union.inputs.extend(other.inputs.iter().cloned());
        union
    }

    /// The side output `tag` of the operator that makes this stream.
    pub fn side_output<U>(&self, tag: &str) -> DataStream<U> {
        let mut inputs = self.inputs.clone();
        for upstream in &mut inputs {
            upstream.side_output = Some(tag.to_owned());
            upstream.kind = EdgeKind::Forward;
            upstream.partitioner = None;
        }
        DataStream { env: self.env.clone(), inputs, _rows: PhantomData }
    }

    /// Batches go in turn to all subtasks of what comes next.
    pub fn rebalance(&self) -> Self {
        self.with_edge(EdgeKind::Rebalance, "", None)
    }

    /// Every subtask of what comes next gets everything.
    pub fn broadcast(&self) -> Self {
        self.with_edge(EdgeKind::Broadcast, "", None)
    }

    /// Rows go where a partitioner of the operator's own sends them: a HASH edge. `make` gets the number of key
    /// groups.
    pub fn partition_by(
        &self,
        description: &str,
        make: impl Fn(u16) -> Box<dyn Partitioner> + Send + Sync + 'static,
    ) -> Self {
        self.with_edge(EdgeKind::Hash, description, Some(Arc::new(make)))
    }

    fn with_edge(
        &self,
        kind: EdgeKind,
        description: &str,
        partitioner: Option<super::environment::MakePartitioner>,
    ) -> Self {
        let mut stream = self.clone();
        for upstream in &mut stream.inputs {
            upstream.kind = kind;
            upstream.description = description.to_owned();
            upstream.partitioner = partitioner.clone();
        }
        stream
    }

    /// Names the operator that makes this stream.
    pub fn name(self, name: &str) -> Self {
        self.with_node(|node| name.clone_into(&mut node.spec.name))
    }

    /// Gives the operator that makes this stream an id that stays when the program changes around it.
    pub fn uid(self, uid: &str) -> Self {
        self.with_node(|node| node.uid = Some(uid.to_owned()))
    }

    /// Sets the parallelism of the operator that makes this stream.
    pub fn parallelism(self, parallelism: u32) -> Self {
        self.with_node(|node| {
            if !node.spec.single {
                node.parallelism = parallelism;
            }
        })
    }

    /// The operator that makes this stream begins a chain of its own, in a thread of its own.
    pub fn start_new_chain(self) -> Self {
        self.with_node(|node| node.new_chain = true)
    }

    fn with_node(self, change: impl Fn(&mut super::environment::Node)) -> Self {
        for upstream in &self.inputs {
            change(&mut self.env.plan.borrow_mut().nodes[upstream.node]);
        }
        self
    }
}

impl<T: Record> DataStream<T> {
    /// Rows of one key meet in one subtask of what comes next. `key_of` must give equal keys for equal rows.
    pub fn key_by<K, F>(&self, key_of: F) -> KeyedStream<T, K, F>
    where
        K: Record + std::hash::Hash + Eq,
        F: Fn(&T) -> K + Clone + Send + Sync + 'static,
    {
        KeyedStream::new(self.clone(), key_of)
    }
}
