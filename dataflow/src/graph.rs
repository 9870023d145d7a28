//! The job graph: what a job is made of, without the code that does it.
//!
//! A graph can be drawn, stored and sent; the code comes from an [`OperatorFactory`](crate::OperatorFactory) that knows
//! the same ids. Operators joined by a FORWARD edge that nothing else touches share a vertex: they are
//! one *operator chain* and run in one subtask.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Identifies an operator across runs and restarts: state is found by it.
///
/// Given by the user (`uid`), or a hash of what the operator and everything before it *means*; never its
/// position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OperatorId(pub u64);

impl fmt::Display for OperatorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Identifies a vertex: the id of its first operator.
pub type VertexId = OperatorId;

/// One parallel instance of a vertex.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubtaskId {
    /// The vertex.
    pub vertex: VertexId,
    /// Which of its subtasks, counted from 0.
    pub index: u32,
}

impl fmt::Display for SubtaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.vertex, self.index)
    }
}

/// How the subtasks of two vertices are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum EdgeKind {
    /// Subtask i to subtask i.
    Forward,
    /// Batches in turn to all subtasks.
    Rebalance,
    /// Rows to the subtask that owns their key's group.
    Hash,
    /// Everything to everyone.
    Broadcast,
}

impl fmt::Display for EdgeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "FORWARD",
            Self::Rebalance => "REBALANCE",
            Self::Hash => "HASH",
            Self::Broadcast => "BROADCAST",
        })
    }
}

/// What an operator does, for drawing and for checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperatorKind {
    /// Reads from outside.
    Source,
    /// Keeps no state.
    Transform,
    /// Keeps keyed state.
    Keyed,
    /// Writes to outside.
    Sink,
}

/// One operator of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorNode {
    /// Stable id.
    pub id: OperatorId,
    /// Short name, e.g. `window`.
    pub name: String,
    /// What it is set to, e.g. `tumbling 5s, count`.
    pub description: String,
    /// What it does.
    pub kind: OperatorKind,
}

/// A chain of operators with a parallelism.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobVertex {
    /// Id of its first operator.
    pub id: VertexId,
    /// The names of its operators, joined by ` -> `.
    pub name: String,
    /// Number of subtasks.
    pub parallelism: u32,
    /// The chain, in the order of the data. Never empty; only the first can be a source.
    pub operators: Vec<OperatorNode>,
}

/// A join of two vertices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEdge {
    /// Position in [`JobGraph::edges`].
    pub index: usize,
    /// Vertex that sends.
    pub from: VertexId,
    /// Operator of that vertex whose output it is (a side output may leave in the middle of a chain).
    pub from_operator: OperatorId,
    /// Name of the side output, `None` for the main one.
    pub side_output: Option<String>,
    /// Vertex that receives, at its first operator.
    pub to: VertexId,
    /// Number of that operator's input.
    pub input: usize,
    /// How rows are spread.
    pub kind: EdgeKind,
    /// What a HASH edge hashes, e.g. `ip`; otherwise empty.
    pub description: String,
}

/// A job without its code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobGraph {
    /// Name of the job; checkpoints are found by it.
    pub name: String,
    /// Number of key groups.
    pub key_groups: u16,
    /// Vertices, every one after those that send to it.
    pub vertices: Vec<JobVertex>,
    /// Edges.
    pub edges: Vec<JobEdge>,
}

impl JobGraph {
    /// The vertex with this id.
    pub fn vertex(&self, id: VertexId) -> Option<&JobVertex> {
        self.vertices.iter().find(|vertex| vertex.id == id)
    }

    /// Edges that arrive at a vertex, by input.
    pub fn inputs(&self, id: VertexId) -> impl Iterator<Item = &JobEdge> {
        self.edges.iter().filter(move |edge| edge.to == id)
    }

    /// Edges that leave a vertex.
    pub fn outputs(&self, id: VertexId) -> impl Iterator<Item = &JobEdge> {
        self.edges.iter().filter(move |edge| edge.from == id)
    }

    /// True if the vertex reads from outside.
    pub fn is_source(&self, vertex: &JobVertex) -> bool {
        vertex.operators.first().is_some_and(|operator| operator.kind == OperatorKind::Source)
    }

    /// All subtasks, vertex by vertex.
    pub fn subtasks(&self) -> impl Iterator<Item = SubtaskId> + '_ {
        self.vertices.iter().flat_map(|vertex| {
            (0..vertex.parallelism).map(|index| SubtaskId { vertex: vertex.id, index })
        })
    }

    /// Checks what every runtime relies on.
    ///
    /// # Errors
    /// [`Error::InvalidJob`] for a graph without vertices, a parallelism of 0 or above the number of key
    /// groups, an id used twice, an edge to nowhere, or a FORWARD edge between unequal parallelisms.
    pub fn validate(&self) -> Result<()> {
        let invalid = |reason: String| Error::InvalidJob { job: self.name.clone(), reason };
        if self.vertices.is_empty() {
            return Err(invalid(
                "it has no operators; start from a source and end in a sink".into(),
            ));
        }
        let mut ids = std::collections::BTreeSet::new();
        for vertex in &self.vertices {
            if vertex.parallelism == 0 || vertex.parallelism > u32::from(self.key_groups) {
                return Err(invalid(format!(
                    "vertex `{}` has parallelism {}; it must be from 1 to {} (the number of key groups)",
                    vertex.name, vertex.parallelism, self.key_groups
                )));
            }
            if vertex.operators.is_empty() {
                return Err(invalid(format!("vertex `{}` has no operators", vertex.name)));
            }
            for operator in &vertex.operators {
                if !ids.insert(operator.id) {
                    return Err(invalid(format!(
                        "operator `{}` has an id that another one has too; give each its own uid",
                        operator.name
                    )));
                }
            }
        }
        for edge in &self.edges {
            let (Some(from), Some(to)) = (self.vertex(edge.from), self.vertex(edge.to)) else {
                return Err(invalid(format!(
                    "edge {} leads to a vertex that is not there",
                    edge.index
                )));
            };
            if edge.kind == EdgeKind::Forward && from.parallelism != to.parallelism {
                return Err(invalid(format!(
                    "`{}` (parallelism {}) cannot FORWARD to `{}` (parallelism {}); use rebalance()",
                    from.name, from.parallelism, to.name, to.parallelism
                )));
            }
        }
        Ok(())
    }
}
