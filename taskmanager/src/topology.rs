//! Which channels a subtask reads, and to which of them an edge leads.
//!
//! A subtask has the channels of its input edges one after the other in the order of the graph; each edge has one channel
//! per sending subtask, a FORWARD edge just one.

use riverrun_dataflow::{EdgeKind, JobEdge, JobGraph, VertexId};

/// Number of channels that an edge has at each of its receivers.
fn channels_of(graph: &JobGraph, edge: &JobEdge) -> usize {
    match edge.kind {
        EdgeKind::Forward => 1,
        _ => graph.vertex(edge.from).map_or(0, |from| from.parallelism as usize),
    }
}

/// For each channel of a subtask of `vertex`: the input of the first operator that it feeds.
pub(crate) fn channel_inputs(graph: &JobGraph, vertex: VertexId) -> Vec<usize> {
    graph
        .inputs(vertex)
        .flat_map(|edge| std::iter::repeat_n(edge.input, channels_of(graph, edge)))
        .collect()
}

/// The channel at each receiver of `edge` that the sending subtask `sender` writes to.
pub(crate) fn channel_of(graph: &JobGraph, edge: &JobEdge, sender: u32) -> usize {
    let before = graph.inputs(edge.to).take_while(|other| other.index != edge.index);
    let first: usize = before.map(|other| channels_of(graph, other)).sum();
    match edge.kind {
        EdgeKind::Forward => first,
        _ => first + sender as usize,
    }
}

/// The subtasks that the sending subtask `sender` of `edge` writes to.
pub(crate) fn receivers(graph: &JobGraph, edge: &JobEdge, sender: u32) -> std::ops::Range<u32> {
    match edge.kind {
        EdgeKind::Forward => sender..sender + 1,
        _ => 0..graph.vertex(edge.to).map_or(0, |to| to.parallelism),
    }
}
