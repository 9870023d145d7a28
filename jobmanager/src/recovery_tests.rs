//! State comes back whole, wherever its keys go.

use std::collections::BTreeSet;

use proptest::prelude::*;
use riverrun_dataflow::{
    OperatorKind, OperatorNode, SnapshotKind, StateTable, key_group_of, key_hash,
};

use super::*;

const COUNT: OperatorId = OperatorId(2);

fn graph(parallelism: u32, key_groups: u16) -> JobGraph {
    let node = |id, name: &str| OperatorNode {
        id: OperatorId(id),
        name: name.into(),
        description: String::new(),
        kind: OperatorKind::Keyed,
    };
    let vertex = JobVertex {
        id: OperatorId(1),
        name: "chain".into(),
        parallelism,
        operators: vec![node(1, "read"), node(2, "count")],
    };
    JobGraph { name: "job".into(), key_groups, vertices: vec![vertex], edges: vec![] }
}

/// Splits tables of full states and deltas among `parallelism` subtasks, as they would have written them. Odd
/// pieces are objects, which `read` finds by their paths.
fn record(
    parallelism: u32,
    rounds: &[Vec<(u64, Option<u32>)>],
    objects: &mut BTreeMap<String, Vec<u8>>,
) -> CompletedCheckpoint {
    let keyed = (0..parallelism)
        .map(|index| {
            let groups = key_groups_of_subtask(index, 128, parallelism);
            let mut table: StateTable<u64, u32> = StateTable::default();
            let mut chain = Vec::new();
            for (round, changes) in rounds.iter().enumerate() {
                for (key, value) in changes {
                    if !groups.contains(&key_group_of(key_hash(key), 128)) {
                        continue;
                    }
                    match value {
                        Some(value) => table.put(0, *key, *value),
                        None => {
                            table.remove(0, key);
                        }
                    }
                }
                let kind = if round == 0 { SnapshotKind::Full } else { SnapshotKind::Delta };
                let state = table.snapshot(kind).encode("count", 0, 128).unwrap();
                let bytes = codec::encode(&state).unwrap();
                let state = if round % 2 == 0 {
                    StateHandle::Inline(bytes)
                } else {
                    let path = format!("{index}/{round}");
                    objects.insert(path.clone(), bytes);
                    StateHandle::Object { path, bytes: 0, checksum: 0 }
                };
                chain.push(KeyedHandle {
                    kind,
                    first_group: groups.start,
                    end_group: groups.end,
                    state,
                });
            }
            chain
        })
        .collect();
    let operator = OperatorCheckpoint {
        name: "count".into(),
        positions: [("nginx-0".to_owned(), vec![1])].into(),
        keyed,
        list: vec![vec![7], vec![8]],
        prepared: vec![vec![9]],
    };
    CompletedCheckpoint {
        job: "job".into(),
        generation: 1,
        checkpoint: 4,
        finished: false,
        operators: [(COUNT, operator)].into(),
    }
}

proptest! {
    /// At whatever parallelism the state was written and is read: every key is in the subtask that owns it
    /// now, with its last value, and nowhere else.
    #[test]
    fn keys_follow_their_groups(
        before in 1u32..9,
        after in 1u32..9,
        rounds in proptest::collection::vec(
            proptest::collection::vec((0u64..300, proptest::option::weighted(0.8, any::<u32>())), 0..60), 1..4),
    ) {
        let mut objects = BTreeMap::new();
        let record = record(before, &rounds, &mut objects);
        let mut model = BTreeMap::new();
        for (key, value) in rounds.iter().flatten() {
            match value {
                Some(value) => model.insert(*key, *value),
                None => model.remove(key),
            };
        }
        let mut reads = BTreeSet::new();
        let restored = restored_states(&record, &graph(after, 128), false, |handle| {
            let StateHandle::Object { path, .. } = handle else { unreachable!("inline is not read") };
            assert!(reads.insert(path.clone()), "{path} is read twice");
            Ok(objects[path].clone())
        }).unwrap();
        let mut seen = BTreeMap::new();
        for index in 0..after {
            let state = &restored[&(SubtaskId { vertex: OperatorId(1), index }, COUNT)];
            prop_assert_eq!((state.checkpoint, state.list.len(), state.positions.len()), (4, 2, 1));
            let mut table: StateTable<u64, u32> = StateTable::default();
            for chain in &state.keyed {
                table.restore("count", 0, chain).unwrap();
            }
            let groups = key_groups_of_subtask(index, 128, after);
            for (key, value) in table.iter(0) {
                prop_assert!(groups.contains(&key_group_of(key_hash(key), 128)));
                prop_assert!(seen.insert(*key, *value).is_none());
            }
        }
        prop_assert_eq!(seen, model);
    }
}

fn restore(record: &CompletedCheckpoint, graph: &JobGraph, allow: bool) -> Result<usize> {
    restored_states(record, graph, allow, |_| Err(riverrun_dataflow::Error::io("storage", "gone")))
        .map(|restored| restored.len())
}

#[test]
fn state_that_does_not_fit_the_job_is_an_error_that_says_what_to_do() {
    let mut objects = BTreeMap::new();
    let rounds = [vec![(1, Some(1)), (2, Some(2))]];
    let mut record = record(2, &rounds, &mut objects);
    let other_groups = restore(&record, &graph(2, 64), false).unwrap_err();
    assert!(other_groups.to_string().contains("number of key groups"), "{other_groups}");
    assert!(other_groups.is_fatal());

    let operator = record.operators.remove(&COUNT).unwrap();
    record.operators.insert(OperatorId(99), operator);
    let gone = restore(&record, &graph(2, 128), false).unwrap_err();
    assert!(gone.to_string().contains("`count`") && gone.to_string().contains("uid"), "{gone}");
    assert_eq!(restore(&record, &graph(2, 128), true).unwrap(), 0);
}

#[test]
fn an_object_that_cannot_be_read_is_worth_another_try() {
    let mut objects = BTreeMap::new();
    let rounds = [vec![(1, Some(1))], vec![(1, Some(2))]];
    let record = record(1, &rounds, &mut objects);
    assert!(!restore(&record, &graph(1, 128), false).unwrap_err().is_fatal());
}
