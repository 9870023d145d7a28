//! The coordinator under whatever order of facts.

use proptest::prelude::*;
use riverrun_dataflow::{
    JobVertex, KeyedHandle, OperatorId, OperatorKind, OperatorNode, OperatorSnapshot,
    OperatorState, StateHandle,
};

use super::*;

const SOURCES: u32 = 2;

/// A source with two subtasks and a counting operator with three.
fn graph() -> Arc<JobGraph> {
    let vertex = |id, name: &str, parallelism, kind| JobVertex {
        id: OperatorId(id),
        name: name.into(),
        parallelism,
        operators: vec![OperatorNode {
            id: OperatorId(id),
            name: name.into(),
            description: String::new(),
            kind,
        }],
    };
    Arc::new(JobGraph {
        name: "job".into(),
        key_groups: 128,
        vertices: vec![
            vertex(1, "read", SOURCES, OperatorKind::Source),
            vertex(2, "count", 3, OperatorKind::Keyed),
        ],
        edges: vec![],
    })
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn settings() -> JobSettings {
    JobSettings {
        checkpoint_interval: Some(seconds(10)),
        checkpoint_timeout: seconds(60),
        deltas_before_full: 2,
        ..JobSettings::default()
    }
}

fn coordinator(settings: JobSettings) -> Coordinator {
    Coordinator::new(graph(), settings, 7, 5, seconds(0))
}

/// What a subtask hands over: a position for sources, an object of keyed state for the others. The object
/// names checkpoint and subtask.
fn snapshot(subtask: SubtaskId, barrier: Barrier) -> SubtaskSnapshot {
    let mut operator = OperatorSnapshot::default();
    if subtask.vertex == OperatorId(1) {
        operator.state = OperatorState {
            positions: [(
                format!("split {}", subtask.index),
                barrier.checkpoint.to_le_bytes().to_vec(),
            )]
            .into(),
            ..Default::default()
        };
    } else {
        operator.keyed = Some(KeyedHandle {
            kind: barrier.kind,
            first_group: 0,
            end_group: 1,
            state: StateHandle::Object {
                path: format!("{}-{}", barrier.checkpoint, subtask.index),
                bytes: 100,
                checksum: 0,
            },
        });
    }
    SubtaskSnapshot { operators: [(subtask.vertex, operator)].into() }
}

fn subtasks() -> Vec<SubtaskId> {
    graph().subtasks().collect()
}

/// Has all subtasks acknowledge; returns the record.
fn complete(coordinator: &mut Coordinator, barrier: Barrier) -> CompletedCheckpoint {
    let mut record = None;
    for subtask in subtasks() {
        assert!(record.is_none(), "complete before all have acknowledged");
        match coordinator.acknowledged(subtask, barrier.checkpoint, snapshot(subtask, barrier)) {
            Progress::Waiting => {}
            Progress::Complete(complete) => record = Some(*complete),
            stale => panic!("{stale:?}"),
        }
    }
    record.expect("complete when all have acknowledged")
}

fn triggered(decision: Option<Decision>) -> Barrier {
    match decision {
        Some(Decision::Trigger(barrier)) => barrier,
        other => panic!("{other:?} is not a trigger"),
    }
}

#[test]
fn checkpoints_come_at_the_interval_from_start_to_start() {
    let mut c = coordinator(settings());
    assert_eq!((c.tick(seconds(9)), c.deadline()), (None, Some(seconds(10))));
    let barrier = triggered(c.tick(seconds(10)));
    assert_eq!(barrier, Barrier { checkpoint: 5, kind: SnapshotKind::Full });
    assert_eq!(c.tick(seconds(21)), None, "one at a time");
    let record = complete(&mut c, barrier);
    assert_eq!((record.checkpoint, record.generation, record.finished), (5, 7, false));
    assert_eq!(c.tick(seconds(22)), None, "not before its output is visible");
    let committed = c.committed(seconds(23)).unwrap();
    assert_eq!((committed.duration, committed.next), (seconds(13), Next::GoOn));
    assert_eq!(committed.bytes, 3 * 100 + 2 * (7 + 8));
    assert_eq!(triggered(c.tick(seconds(23))).checkpoint, 6, "it was due meanwhile");
}

#[test]
fn deltas_continue_the_chain_of_their_subtask_until_the_next_full_one() {
    let mut c = coordinator(settings());
    let mut chains = Vec::new();
    for n in 1..=4 {
        let barrier = triggered(c.tick(seconds(10 * n)));
        let record = complete(&mut c, barrier);
        let keyed = &record.operators[&OperatorId(2)].keyed;
        let paths = |chain: &Vec<KeyedHandle>| {
            let paths = chain.iter().map(|handle| match &handle.state {
                StateHandle::Object { path, .. } => path.clone(),
                StateHandle::Inline(_) => unreachable!(),
            });
            paths.collect::<Vec<_>>().join(" ")
        };
        chains.push(paths(&keyed[1]));
        c.committed(seconds(10 * n));
    }
    assert_eq!(chains, ["5-1", "5-1 6-1", "5-1 6-1 7-1", "8-1"]);
}

#[test]
fn what_takes_too_long_is_given_up_and_the_next_is_full() {
    let mut c = coordinator(settings());
    let barrier = triggered(c.tick(seconds(10)));
    complete(&mut c, barrier);
    c.committed(seconds(11));
    let barrier = triggered(c.tick(seconds(20)));
    assert_eq!(barrier.kind, SnapshotKind::Delta);
    let (early, late) = (subtasks()[2], subtasks()[3]);
    c.acknowledged(early, 6, snapshot(early, barrier));
    assert_eq!((c.tick(seconds(79)), c.deadline()), (None, Some(seconds(80))));
    let abandoned = Decision::Abandon { checkpoint: 6, objects: vec!["6-0".into()] };
    assert_eq!(c.tick(seconds(80)), Some(abandoned));
    let next = triggered(c.tick(seconds(80)));
    assert_eq!(next, Barrier { checkpoint: 7, kind: SnapshotKind::Full });
    let stale = c.acknowledged(late, 6, snapshot(late, barrier));
    assert_eq!(stale, Progress::Stale(vec!["6-1".into()]));
    let record = complete(&mut c, next);
    assert_eq!(record.operators[&OperatorId(2)].keyed[0].len(), 1);
}

#[test]
fn output_prepared_for_a_given_up_checkpoint_is_committed_with_the_next() {
    let mut c = coordinator(settings());
    let with = |subtask: SubtaskId, barrier, token: u8| {
        let mut snapshot = snapshot(subtask, barrier);
        let operator = snapshot.operators.get_mut(&subtask.vertex).unwrap();
        operator.state.prepared = vec![vec![token]];
        snapshot
    };
    let first = triggered(c.tick(seconds(10)));
    let (early, late) = (subtasks()[2], subtasks()[3]);
    c.acknowledged(early, 5, with(early, first, 1));
    assert!(matches!(c.tick(seconds(70)), Some(Decision::Abandon { .. })));
    let second = triggered(c.tick(seconds(70)));
    for _ in 0..2 {
        c.acknowledged(late, 5, with(late, first, 2));
    }
    assert!(matches!(c.tick(seconds(130)), Some(Decision::Abandon { .. })));
    let third = triggered(c.tick(seconds(130)));
    c.acknowledged(early, 6, with(early, second, 3));
    // One sink hands over again what it does not know to be committed.
    c.acknowledged(early, 7, with(early, third, 2));
    let mut record = complete(&mut c, third);
    assert_eq!(record.operators[&OperatorId(2)].prepared, [[1], [2], [3]]);
    c.committed(seconds(131));
    let fourth = triggered(c.tick(seconds(200)));
    record = complete(&mut c, fourth);
    assert!(record.operators[&OperatorId(2)].prepared.is_empty());
}

#[test]
fn the_end_of_all_input_brings_the_final_checkpoint_at_once() {
    let mut c = coordinator(JobSettings { checkpoint_interval: None, ..settings() });
    assert_eq!((c.tick(seconds(1000)), c.deadline()), (None, None));
    c.end_of_input(subtasks()[0]);
    c.end_of_input(subtasks()[0]);
    assert_eq!(c.tick(seconds(1000)), None, "the other source reads on");
    c.end_of_input(subtasks()[1]);
    let barrier = triggered(c.tick(seconds(1000)));
    assert!(complete(&mut c, barrier).finished);
    assert_eq!(c.committed(seconds(1001)).unwrap().next, Next::Finish);
    assert_eq!((c.tick(seconds(5000)), c.deadline()), (None, None));
}

#[test]
fn a_stop_brings_one_more_checkpoint_also_while_one_is_under_way() {
    let mut c = coordinator(settings());
    let barrier = triggered(c.tick(seconds(10)));
    c.request_stop();
    assert_eq!(c.tick(seconds(11)), None);
    assert!(!complete(&mut c, barrier).finished);
    assert_eq!(c.committed(seconds(12)).unwrap().next, Next::GoOn);
    let barrier = triggered(c.tick(seconds(12)));
    assert!(!complete(&mut c, barrier).finished, "there is more to read");
    assert_eq!(c.committed(seconds(13)).unwrap().next, Next::Stop);
    assert_eq!(c.tick(seconds(100)), None);
}

#[derive(Debug, Clone)]
enum Fact {
    Time(u64),
    /// Subtask number, and how many checkpoints ago.
    Acknowledged(usize, u64),
    AllAcknowledge,
    EndOfInput(usize),
    Stop,
    Committed,
}

fn fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        6 => (0u64..40).prop_map(Fact::Time),
        12 => (0usize..5, 0u64..3).prop_map(|(s, ago)| Fact::Acknowledged(s, ago)),
        4 => Just(Fact::AllAcknowledge),
        1 => (0usize..SOURCES as usize).prop_map(Fact::EndOfInput),
        1 => Just(Fact::Stop),
        4 => Just(Fact::Committed),
    ]
}

proptest! {
    /// Whatever comes in whatever order: never two checkpoints at once, never one that is not complete, numbers that
    /// only grow, and chains that begin with a full snapshot and miss nothing.
    #[test]
    fn only_complete_checkpoints_are_committed_one_at_a_time(facts in proptest::collection::vec(fact(), 0..300)) {
        let mut c = coordinator(settings());
        let mut now = seconds(0);
        let mut barriers: Vec<Barrier> = Vec::new();
        // The model: the checkpoint under way with the subtasks that acknowledged it, or being committed.
        let mut under_way: Option<(Barrier, BTreeSet<SubtaskId>)> = None;
        let mut committing: Option<Barrier> = None;
        let mut ended = BTreeSet::new();
        let mut over = false;
        let mut deltas = None;
        let mut chain: Vec<u64> = Vec::new();
        for fact in facts {
            let mut acknowledgements = Vec::new();
            match fact {
                Fact::Time(passed) => now += seconds(passed),
                Fact::Acknowledged(subtask, ago) => {
                    if let Some(barrier) = barriers.iter().rev().nth(ago as usize) {
                        acknowledgements.push((subtasks()[subtask], *barrier));
                    }
                }
                Fact::AllAcknowledge => {
                    if let Some(barrier) = barriers.last() {
                        acknowledgements.extend(subtasks().into_iter().map(|subtask| (subtask, *barrier)));
                    }
                }
                Fact::EndOfInput(source) => {
                    ended.insert(subtasks()[source]);
                    c.end_of_input(subtasks()[source]);
                }
                Fact::Stop => c.request_stop(),
                Fact::Committed => {
                    let committed = c.committed(now);
                    prop_assert_eq!(committed.as_ref().map(|c| c.barrier), committing.take());
                    if let Some(committed) = committed {
                        over = committed.next != Next::GoOn;
                        deltas = match committed.barrier.kind {
                            SnapshotKind::Full => Some(0),
                            SnapshotKind::Delta => deltas.map(|deltas: u32| deltas + 1),
                        };
                    }
                }
            }
            for (subtask, barrier) in acknowledgements {
                match c.acknowledged(subtask, barrier.checkpoint, snapshot(subtask, barrier)) {
                    Progress::Waiting => match &mut under_way {
                        Some((of, acknowledged)) => {
                            prop_assert_eq!(*of, barrier);
                            acknowledged.insert(subtask);
                            prop_assert!(acknowledged.len() < subtasks().len());
                        }
                        None => prop_assert_eq!(committing, Some(barrier)),
                    },
                    Progress::Stale(objects) => {
                        let current = under_way.as_ref().map(|(of, _)| *of).or(committing);
                        prop_assert_ne!(current, Some(barrier));
                        for checkpoint in &chain {
                            let needed = format!("{checkpoint}-{}", subtask.index);
                            prop_assert!(!objects.contains(&needed), "{} is still needed", needed);
                        }
                    }
                    Progress::Complete(record) => {
                        let (of, mut acknowledged) = under_way.take().expect("one is under way");
                        acknowledged.insert(subtask);
                        prop_assert_eq!(of, barrier);
                        prop_assert_eq!(acknowledged.len(), subtasks().len());
                        prop_assert_eq!(record.checkpoint, barrier.checkpoint);
                        if barrier.kind == SnapshotKind::Full {
                            chain.clear();
                        }
                        chain.push(barrier.checkpoint);
                        let position = barrier.checkpoint.to_le_bytes().to_vec();
                        prop_assert_eq!(record.operators[&OperatorId(1)].positions.len(), SOURCES as usize);
                        prop_assert!(record.operators[&OperatorId(1)].positions.values().all(|p| *p == position));
                        for (index, keyed) in record.operators[&OperatorId(2)].keyed.iter().enumerate() {
                            let expected: Vec<_> = chain.iter().map(|c| format!("{c}-{index}")).collect();
                            let paths: Vec<_> = keyed.iter().map(|handle| match &handle.state {
                                StateHandle::Object { path, .. } => path.clone(),
                                StateHandle::Inline(_) => unreachable!(),
                            }).collect();
                            prop_assert_eq!(paths, expected);
                            prop_assert_eq!(keyed[0].kind, SnapshotKind::Full);
                        }
                        committing = Some(barrier);
                    }
                }
            }
            while let Some(decision) = c.tick(now) {
                match decision {
                    Decision::Trigger(barrier) => {
                        prop_assert!(under_way.is_none() && committing.is_none() && !over);
                        prop_assert!(barriers.last().is_none_or(|last| last.checkpoint < barrier.checkpoint));
                        if barrier.kind == SnapshotKind::Delta {
                            prop_assert!(deltas.is_some_and(|deltas| deltas < 2));
                        }
                        barriers.push(barrier);
                        under_way = Some((barrier, BTreeSet::new()));
                    }
                    Decision::Abandon { checkpoint, objects } => {
                        let (of, acknowledged) = under_way.take().expect("one is under way");
                        prop_assert_eq!(of.checkpoint, checkpoint);
                        let stored = acknowledged.iter().filter(|subtask| subtask.vertex == OperatorId(2));
                        prop_assert_eq!(objects.len(), stored.count());
                        deltas = None;
                    }
                }
            }
            if ended.len() == SOURCES as usize && !over {
                prop_assert!(under_way.is_some() || committing.is_some(), "the final one comes at once");
            }
        }
    }
}
