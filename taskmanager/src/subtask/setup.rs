//! Builds a subtask from its deployment, on the subtask's own thread.

use std::collections::BTreeMap;
use std::sync::Arc;

use riverrun_dataflow::{
    Attempt, CheckpointStorage, Clock, Deployment, EdgeKind, Error, JobManagerGateway, JobVertex,
    OperatorContext, OperatorFactory, OperatorId, OperatorMetrics, OperatorNode, Result, SubtaskId,
    TaskEvent, key_groups_of_subtask,
};

use super::{Head, SourceHead, Subtask};
use crate::chain::{Chain, Node, Outlet};
use crate::gate::InputGate;
use crate::mailbox::{Cancellation, ChannelSender, Mailbox};
use crate::record_writer::{RecordWriter, Route};
use crate::snapshot::{SnapshotOwner, SnapshotPool, Snapshots};
use crate::topology;

/// Which subtask reports, and to whom.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) attempt: Attempt,
    pub(crate) subtask: SubtaskId,
    /// For messages, e.g. `window -> sink 1/2`.
    pub(crate) place: String,
    pub(crate) job_manager: Arc<dyn JobManagerGateway>,
}

impl Identity {
    pub(crate) fn report(&self, event: TaskEvent) {
        self.job_manager.report(event);
    }
}

/// What all subtasks of a TaskManager share.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) factory: Arc<dyn OperatorFactory>,
    pub(crate) storage: Arc<dyn CheckpointStorage>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) job_manager: Arc<dyn JobManagerGateway>,
    pub(crate) pool: Arc<SnapshotPool>,
}

/// What a subtask is built from.
pub(crate) struct Setup {
    pub(crate) identity: Identity,
    pub(crate) deployment: Arc<Deployment>,
    pub(crate) surroundings: Surroundings,
    pub(crate) mailbox: Arc<Mailbox>,
    /// The mailboxes of all subtasks.
    pub(crate) peers: Arc<BTreeMap<SubtaskId, Arc<Mailbox>>>,
    pub(crate) cancellation: Cancellation,
}

/// Where an outlet's edges are among the writers, by operator.
#[derive(Default)]
struct Edges {
    main: Vec<usize>,
    side: Vec<(String, usize)>,
}

impl Setup {
    /// Makes the subtask; nothing is restored or opened yet.
    pub(super) fn build(self) -> Result<Subtask> {
        let graph = self.deployment.graph.clone();
        let id = self.identity.subtask;
        let vertex = graph.vertex(id.vertex).ok_or_else(|| Error::InvalidJob {
            job: graph.name.clone(),
            reason: format!("there is no vertex {}, whose subtask is to be started", id.vertex),
        })?;
        let (writers, mut edges) = self.writers(vertex)?;
        let mut chain_operators = vertex.operators.as_slice();
        let (head, source_outlet) = if let (true, Some((first, others))) =
            (graph.is_source(vertex), vertex.operators.split_first())
        {
            chain_operators = others;
            let context = self.context(vertex, first);
            let outlet = outlet(context.metrics.clone(), edges.remove(&first.id));
            let source = self.surroundings.factory.source(first.id)?;
            let head = SourceHead { id: first.id, context, source, opened: false };
            (Head::Source(head), Some(outlet))
        } else {
            let inputs = topology::channel_inputs(&graph, vertex.id);
            (Head::Gate(InputGate::new(self.mailbox.clone(), inputs)), None)
        };
        let nodes = chain_operators
            .iter()
            .map(|node| {
                let context = self.context(vertex, node);
                Ok(Node {
                    id: node.id,
                    operator: self.surroundings.factory.operator(node.id)?,
                    outlet: outlet(context.metrics.clone(), edges.remove(&node.id)),
                    context,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let restored = vertex
            .operators
            .iter()
            .filter_map(|node| {
                Some((node.id, self.deployment.restored.get(&(id, node.id))?.clone()))
            })
            .collect();
        let snapshots = Snapshots::new(
            self.surroundings.pool.clone(),
            SnapshotOwner {
                job: graph.name.clone(),
                generation: self.deployment.generation,
                attempt: self.deployment.attempt,
                subtask: id,
                groups: key_groups_of_subtask(id.index, graph.key_groups, vertex.parallelism),
                storage: self.surroundings.storage.clone(),
                job_manager: self.surroundings.job_manager.clone(),
                cancellation: self.cancellation.clone(),
            },
        );
        Ok(Subtask {
            head,
            chain: Chain::new(source_outlet, nodes, writers),
            mailbox: self.mailbox,
            snapshots,
            clock: self.surroundings.clock,
            restored,
        })
    }

    fn context(&self, vertex: &JobVertex, node: &OperatorNode) -> OperatorContext {
        OperatorContext {
            operator: node.name.clone(),
            job: self.deployment.graph.name.clone(),
            generation: self.deployment.generation,
            subtask: self.identity.subtask,
            parallelism: vertex.parallelism,
            key_groups: self.deployment.graph.key_groups,
            clock: self.surroundings.clock.clone(),
            metrics: Arc::new(OperatorMetrics::default()),
        }
    }

    /// A writer for each edge that leaves the vertex, and which of them belong to which operator.
    fn writers(
        &self,
        vertex: &JobVertex,
    ) -> Result<(Vec<RecordWriter>, BTreeMap<OperatorId, Edges>)> {
        let graph = &self.deployment.graph;
        let sender = self.identity.subtask.index;
        let mut writers = Vec::new();
        let mut edges = BTreeMap::<OperatorId, Edges>::new();
        for edge in graph.outputs(vertex.id) {
            let route =
                Route::of(edge.kind, sender, || self.surroundings.factory.partitioner(edge.index))?;
            debug_assert_eq!(edge.kind == EdgeKind::Hash, matches!(route, Route::Hash(_)));
            let channel = topology::channel_of(graph, edge, sender);
            let channels = topology::receivers(graph, edge, sender)
                .map(|index| {
                    let receiver = SubtaskId { vertex: edge.to, index };
                    let mailbox = self.peers.get(&receiver).ok_or_else(|| Error::InvalidJob {
                        job: graph.name.clone(),
                        reason: format!(
                            "subtask {receiver} runs in another TaskManager than {}; give one of \
                             them enough slots for all",
                            self.identity.place
                        ),
                    })?;
                    Ok(ChannelSender::new(mailbox.clone(), channel))
                })
                .collect::<Result<Vec<_>>>()?;
            let of_operator = edges.entry(edge.from_operator).or_default();
            match &edge.side_output {
                None => of_operator.main.push(writers.len()),
                Some(tag) => of_operator.side.push((tag.clone(), writers.len())),
            }
            writers.push(RecordWriter::new(route, channels));
        }
        Ok((writers, edges))
    }
}

fn outlet(metrics: Arc<OperatorMetrics>, edges: Option<Edges>) -> Outlet {
    let Edges { main, side } = edges.unwrap_or_default();
    Outlet { metrics, main, side }
}
