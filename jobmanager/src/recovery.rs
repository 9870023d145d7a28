//! From the newest commit record to what each subtask gets back, at whatever parallelism the job has now.

use std::collections::BTreeMap;

use riverrun_dataflow::{
    CompletedCheckpoint, Error, JobGraph, JobVertex, KeyGroup, KeyedHandle, KeyedState,
    OperatorCheckpoint, OperatorId, RestoredState, Result, StateHandle, SubtaskId, codec,
    key_groups_of_subtask,
};

/// Works out what each operator of each subtask gets back. `read` fetches the bytes behind a handle; each is read once.
///
/// Positions and lists go to all subtasks of the vertex, keyed state to the subtask that owns its key group now.
///
/// # Errors
/// [`Error::State`] if the record holds state of an operator that the graph does not have (unless
/// `allow_non_restored_state`), if the number of key groups has changed, or if the bytes are not keyed state; and
/// what `read` returns.
pub fn restored_states(
    record: &CompletedCheckpoint,
    graph: &JobGraph,
    allow_non_restored_state: bool,
    mut read: impl FnMut(&StateHandle) -> Result<Vec<u8>>,
) -> Result<BTreeMap<(SubtaskId, OperatorId), RestoredState>> {
    let mut restored = BTreeMap::new();
    for (&id, operator) in &record.operators {
        let Some(vertex) = vertex_of(graph, id) else {
            if allow_non_restored_state {
                continue;
            }
            return Err(Error::state(
                &operator.name,
                format!(
                    "checkpoint {} of job `{}` holds state of this operator (id {id}), but the job no longer has it; \
                     give the operator that takes its place the same uid, or set allow_non_restored_state \
                     to start without it",
                    record.checkpoint, record.job
                ),
            ));
        };
        check_key_groups(operator, graph)?;
        let mut states: Vec<RestoredState> = (0..vertex.parallelism)
            .map(|_| RestoredState {
                checkpoint: record.checkpoint,
                positions: operator.positions.clone(),
                keyed: Vec::new(),
                list: operator.list.clone(),
            })
            .collect();
        for chain in &operator.keyed {
            let chain = decode(operator, chain, &mut read)?;
            for (index, state) in (0..).zip(&mut states) {
                let groups = key_groups_of_subtask(index, graph.key_groups, vertex.parallelism);
                if let Some(part) = part_of(&chain, &groups) {
                    state.keyed.push(part);
                }
            }
        }
        for (index, state) in (0..).zip(states) {
            restored.insert((SubtaskId { vertex: vertex.id, index }, id), state);
        }
    }
    Ok(restored)
}

fn vertex_of(graph: &JobGraph, operator: OperatorId) -> Option<&JobVertex> {
    graph.vertices.iter().find(|vertex| vertex.operators.iter().any(|node| node.id == operator))
}

/// Chains are one for each former subtask, so their number and the job's key groups say what each may hold.
fn check_key_groups(operator: &OperatorCheckpoint, graph: &JobGraph) -> Result<()> {
    let parallelism = operator.keyed.len() as u32;
    for (index, chain) in (0..).zip(&operator.keyed) {
        let groups = key_groups_of_subtask(index, graph.key_groups, parallelism);
        if let Some(other) =
            chain.iter().find(|handle| (handle.first_group..handle.end_group) != groups)
        {
            return Err(Error::state(
                &operator.name,
                format!(
                    "it was written with another number of key groups (subtask {index} of {parallelism} had \
                     {} to {}) than the job has now ({}); go back to that number",
                    other.first_group, other.end_group, graph.key_groups
                ),
            ));
        }
    }
    Ok(())
}

fn decode(
    operator: &OperatorCheckpoint,
    chain: &[KeyedHandle],
    read: &mut impl FnMut(&StateHandle) -> Result<Vec<u8>>,
) -> Result<Vec<KeyedState>> {
    chain
        .iter()
        .map(|handle| {
            let bytes = match &handle.state {
                StateHandle::Inline(bytes) => bytes.clone(),
                object => read(object)?,
            };
            codec::decode(&bytes).map_err(|cause| Error::state(&operator.name, cause))
        })
        .collect()
}

/// The part of a chain within `groups`; `None` if there is nothing in it.
fn part_of(chain: &[KeyedState], groups: &std::ops::Range<KeyGroup>) -> Option<Vec<KeyedState>> {
    let part: Vec<_> = chain.iter().map(|state| state.restricted_to(groups)).collect();
    part.iter().any(|state| !state.groups.is_empty()).then_some(part)
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
