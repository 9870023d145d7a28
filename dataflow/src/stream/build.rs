//! From what the program called to a job graph with operator chains.

use std::collections::HashMap;
use std::hash::Hasher;

use super::environment::{Code, MakePartitioner, Plan, Upstream};
use crate::{
    Committer, EdgeKind, Error, Job, JobEdge, JobGraph, JobVertex, KeyHasher, Operator,
    OperatorFactory, OperatorId, OperatorKind, OperatorNode, Partitioner, Resources, Result,
    Source,
};

/// A graph, and which node each of its operators came from.
pub(crate) struct Chains {
    pub graph: JobGraph,
    node_of: HashMap<OperatorId, usize>,
    partitioners: Vec<Option<MakePartitioner>>,
}

/// Fuses the plan's nodes into chains.
pub(crate) fn chains(plan: &Plan) -> Result<Chains> {
    let ids = operator_ids(plan);
    let kinds = |node: usize, upstream: &Upstream| edge_kind(plan, node, upstream);
    // How often the main output of a node is used: one that goes to several places ends its chain.
    let mut uses = vec![0usize; plan.nodes.len()];
    for upstream in plan.nodes.iter().flat_map(|node| &node.inputs) {
        if upstream.1.side_output.is_none() {
            uses[upstream.1.node] += 1;
        }
    }
    let chained_to = |node: usize| -> Option<usize> {
        let [(_, upstream)] = plan.nodes[node].inputs.as_slice() else { return None };
        (upstream.side_output.is_none()
            && kinds(node, upstream) == EdgeKind::Forward
            && uses[upstream.node] == 1
            && !plan.nodes[node].new_chain)
            .then_some(upstream.node)
    };

    let mut head_of: Vec<usize> = Vec::with_capacity(plan.nodes.len());
    let mut vertices: Vec<JobVertex> = Vec::new();
    let mut vertex_of_head: HashMap<usize, usize> = HashMap::new();
    for (index, node) in plan.nodes.iter().enumerate() {
        let operator = OperatorNode {
            id: ids[index],
            name: node.spec.name.clone(),
            description: node.spec.description.clone(),
            kind: node.spec.kind,
        };
        let head = chained_to(index).map_or(index, |before| head_of[before]);
        head_of.push(head);
        if head == index {
            vertex_of_head.insert(index, vertices.len());
            vertices.push(JobVertex {
                id: ids[index],
                name: operator.name.clone(),
                parallelism: node.parallelism,
                operators: vec![operator],
            });
        } else {
            let vertex = &mut vertices[vertex_of_head[&head]];
            vertex.name = format!("{} -> {}", vertex.name, operator.name);
            vertex.operators.push(operator);
        }
    }

    let (mut edges, mut partitioners) = (Vec::new(), Vec::new());
    for (index, node) in plan.nodes.iter().enumerate().filter(|(i, _)| head_of[*i] == *i) {
        for (input, upstream) in &node.inputs {
            edges.push(JobEdge {
                index: edges.len(),
                from: ids[head_of[upstream.node]],
                from_operator: ids[upstream.node],
                side_output: upstream.side_output.clone(),
                to: ids[index],
                input: *input,
                kind: kinds(index, upstream),
                description: upstream.description.clone(),
            });
            partitioners.push(upstream.partitioner.clone());
        }
    }
    let graph = JobGraph { name: plan.name.clone(), key_groups: plan.key_groups, vertices, edges };
    let node_of = ids.into_iter().enumerate().map(|(index, id)| (id, index)).collect();
    Ok(Chains { graph, node_of, partitioners })
}

/// A FORWARD edge between unequal parallelisms becomes REBALANCE, as in Flink.
fn edge_kind(plan: &Plan, node: usize, upstream: &Upstream) -> EdgeKind {
    let equal = plan.nodes[node].parallelism == plan.nodes[upstream.node].parallelism;
    match upstream.kind {
        EdgeKind::Forward if !equal => EdgeKind::Rebalance,
        kind => kind,
    }
}

/// Ids by uid, or by what an operator and all before it mean. Operators that mean the same are told apart by
/// their order among each other.
fn operator_ids(plan: &Plan) -> Vec<OperatorId> {
    let mut ids: Vec<OperatorId> = Vec::with_capacity(plan.nodes.len());
    let mut same: HashMap<u64, u64> = HashMap::new();
    for node in &plan.nodes {
        let mut hasher = KeyHasher::default();
        if let Some(uid) = &node.uid {
            hasher.write(b"uid");
            hasher.write(uid.as_bytes());
            ids.push(OperatorId(hasher.finish()));
            continue;
        }
        hasher.write(node.spec.name.as_bytes());
        hasher.write(node.spec.description.as_bytes());
        for (input, upstream) in &node.inputs {
            hasher.write_usize(*input);
            hasher.write_u64(ids[upstream.node].0);
            hasher.write(upstream.side_output.as_deref().unwrap_or_default().as_bytes());
        }
        let meaning = hasher.finish();
        let earlier = same.entry(meaning).or_default();
        hasher.write_u64(*earlier);
        *earlier += 1;
        ids.push(OperatorId(hasher.finish()));
    }
    ids
}

/// Puts graph and code together.
pub(crate) fn job(plan: &Plan, resources: Resources) -> Result<Job> {
    let chains = chains(plan)?;
    chains.graph.validate()?;
    let mut code = HashMap::new();
    for (id, node) in &chains.node_of {
        let node = &plan.nodes[*node];
        let made = match &node.code {
            Code::Source(make) => Code::Source(make.clone()),
            Code::Operator(make) => Code::Operator(make.clone()),
            Code::Sink(make, committer) => Code::Sink(make.clone(), committer.clone()),
        };
        if matches!(made, Code::Source(_)) != (node.spec.kind == OperatorKind::Source) {
            return Err(Error::InvalidJob {
                job: plan.name.clone(),
                reason: format!(
                    "`{}` is described as a source and is none, or the reverse",
                    node.spec.name
                ),
            });
        }
        code.insert(*id, (node.spec.name.clone(), made));
    }
    let factory = PlanFactory {
        job: plan.name.clone(),
        code,
        partitioners: chains.partitioners,
        key_groups: plan.key_groups,
        resources,
    };
    Ok(Job {
        graph: chains.graph,
        factory: std::sync::Arc::new(factory),
        settings: plan.settings.clone(),
    })
}

struct PlanFactory {
    job: String,
    code: HashMap<OperatorId, (String, Code)>,
    partitioners: Vec<Option<MakePartitioner>>,
    key_groups: u16,
    resources: Resources,
}

impl PlanFactory {
    fn missing(&self, what: impl std::fmt::Display) -> Error {
        Error::InvalidJob {
            job: self.job.clone(),
            reason: format!(
                "{what} is not part of this program; its graph was made by another version"
            ),
        }
    }
}

impl OperatorFactory for PlanFactory {
    fn source(&self, id: OperatorId) -> Result<Box<dyn Source>> {
        match self.code.get(&id) {
            Some((_, Code::Source(make))) => make(&self.resources),
            _ => Err(self.missing(format_args!("source {id}"))),
        }
    }

    fn operator(&self, id: OperatorId) -> Result<Box<dyn Operator>> {
        match self.code.get(&id) {
            Some((_, Code::Operator(make) | Code::Sink(make, _))) => make(&self.resources),
            _ => Err(self.missing(format_args!("operator {id}"))),
        }
    }

    fn partitioner(&self, edge: usize) -> Result<Box<dyn Partitioner>> {
        match self.partitioners.get(edge) {
            Some(Some(make)) => Ok(make(self.key_groups)),
            _ => Err(self.missing(format_args!("the partitioner of edge {edge}"))),
        }
    }

    fn committer(&self, id: OperatorId) -> Result<Option<Box<dyn Committer>>> {
        match self.code.get(&id) {
            Some((_, Code::Sink(_, Some(make)))) => make(&self.resources).map(Some),
            Some(_) => Ok(None),
            None => Err(self.missing(format_args!("operator {id}"))),
        }
    }
}
