//! The commit record of a checkpoint, put together from what the subtasks handed over.

use std::collections::BTreeMap;

use riverrun_dataflow::{
    Barrier, CompletedCheckpoint, JobGraph, JobVertex, KeyedHandle, OperatorCheckpoint, OperatorId,
    SnapshotKind, SubtaskId, SubtaskSnapshot,
};

/// What a record is made from besides the snapshots.
pub(crate) struct Circumstances<'a> {
    pub(crate) graph: &'a JobGraph,
    pub(crate) generation: u64,
    pub(crate) barrier: Barrier,
    /// All input was read when the barrier was injected.
    pub(crate) finished: bool,
    /// The record before it, if it is of the same attempt: deltas continue its chains.
    pub(crate) previous: Option<&'a CompletedCheckpoint>,
}

/// The record of a checkpoint that all subtasks have acknowledged; `prepared` is output from checkpoints
/// that were given up before it.
pub(crate) fn commit_record(
    circumstances: &Circumstances<'_>,
    mut snapshots: BTreeMap<SubtaskId, SubtaskSnapshot>,
    mut prepared: BTreeMap<OperatorId, Vec<Vec<u8>>>,
) -> CompletedCheckpoint {
    let Circumstances { graph, generation, barrier, finished, previous } = *circumstances;
    let mut operators = BTreeMap::new();
    for vertex in &graph.vertices {
        for node in &vertex.operators {
            let mut operator = OperatorCheckpoint { name: node.name.clone(), ..Default::default() };
            operator.prepared = prepared.remove(&node.id).unwrap_or_default();
            gather(&mut operator, vertex, node.id, barrier, previous, &mut snapshots);
            let empty = OperatorCheckpoint { name: node.name.clone(), ..Default::default() };
            if operator != empty {
                operators.insert(node.id, operator);
            }
        }
    }
    CompletedCheckpoint {
        job: graph.name.clone(),
        generation,
        checkpoint: barrier.checkpoint,
        finished,
        operators,
    }
}

/// Adds what the subtasks of `vertex` handed over for one operator.
fn gather(
    operator: &mut OperatorCheckpoint,
    vertex: &JobVertex,
    id: OperatorId,
    barrier: Barrier,
    previous: Option<&CompletedCheckpoint>,
    snapshots: &mut BTreeMap<SubtaskId, SubtaskSnapshot>,
) {
    for index in 0..vertex.parallelism {
        let subtask = SubtaskId { vertex: vertex.id, index };
        let part = snapshots.get_mut(&subtask).and_then(|snapshot| snapshot.operators.remove(&id));
        let mut chain: Vec<KeyedHandle> = match barrier.kind {
            SnapshotKind::Full => Vec::new(),
            SnapshotKind::Delta => previous
                .and_then(|record| record.operators.get(&id)?.keyed.get(index as usize))
                .cloned()
                .unwrap_or_default(),
        };
        if let Some(part) = part {
            operator.positions.extend(part.state.positions);
            operator.list.extend(part.state.list);
            for output in part.state.prepared {
                // A sink may hand over again what a given-up checkpoint had.
                if !operator.prepared.contains(&output) {
                    operator.prepared.push(output);
                }
            }
            if let Some(handle) = part.keyed {
                if handle.kind == SnapshotKind::Full {
                    chain.clear();
                }
                chain.push(handle);
            }
        }
        operator.keyed.push(chain);
    }
    if operator.keyed.iter().all(Vec::is_empty) {
        operator.keyed.clear();
    }
}

/// Bytes of state that a checkpoint added: inline, in objects, and the small parts.
pub(crate) fn size_bytes(snapshots: &BTreeMap<SubtaskId, SubtaskSnapshot>) -> u64 {
    let operators = snapshots.values().flat_map(|snapshot| snapshot.operators.values());
    operators
        .map(|operator| {
            let state = &operator.state;
            let small: usize =
                state.positions.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>()
                    + state.list.iter().chain(&state.prepared).map(Vec::len).sum::<usize>();
            small as u64 + operator.keyed.as_ref().map_or(0, |keyed| keyed.state.size_bytes())
        })
        .sum()
}
