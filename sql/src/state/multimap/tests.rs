use std::collections::BTreeMap;

use proptest::prelude::*;
use riverrun_dataflow::{key_groups_of_subtask, subtask_of};

use super::*;

const GROUPS: u16 = 16;

type Model = BTreeMap<(i64, u8, u8), i64>;

#[derive(Debug, Clone)]
enum Step {
    Add(i64, u8, u8, i64),
    RemoveKey(i64, u8),
    Drop(i64),
    Snapshot(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        // Values of one key outgrow the sorted list now and then.
        20 => (0i64..3, 0u8..4, 0u8..40, -2i64..3).prop_map(|(n, k, v, w)| Step::Add(n, k, v, w)),
        1 => (0i64..3, 0u8..4).prop_map(|(n, k)| Step::RemoveKey(n, k)),
        1 => (0i64..3).prop_map(Step::Drop),
        3 => any::<bool>().prop_map(Step::Snapshot),
    ]
}

fn snapshot(map: &mut Multimap, kind: SnapshotKind) -> KeyedState {
    let mut entries = Entries::new(GROUPS);
    map.snapshot_into("test", 3, kind, GROUPS, &mut entries).unwrap();
    entries.finish(kind)
}

fn content(map: &Multimap) -> Model {
    let mut content = Model::new();
    for namespace in map.namespaces() {
        for (key, values) in map.iter(namespace) {
            let mut last: Option<&RowBytes> = None;
            for (value, weight) in values.iter() {
                assert!(last.is_none_or(|last| last < value), "values are in order");
                last = Some(value);
                content.insert((namespace, key.as_slice()[0], value.as_slice()[0]), *weight);
            }
            let backwards: Vec<_> = values.iter().rev().map(|(value, _)| value.clone()).collect();
            let forwards: Vec<_> = values.iter().map(|(value, _)| value.clone()).collect();
            assert_eq!(backwards.into_iter().rev().collect::<Vec<_>>(), forwards);
            for at in 0..41u8 {
                let parts = values.before(&[at]).chain(values.from(&[at]));
                assert!(parts.map(|(value, _)| value).eq(&forwards));
                assert!(values.before(&[at]).all(|(value, _)| value.as_slice() < &[at][..]));
                assert!(values.from(&[at]).all(|(value, _)| value.as_slice() >= &[at][..]));
            }
        }
    }
    content
}

proptest! {
    /// What a full snapshot and the changes after it restore is what was there, and both are what a plain map says, at
    /// another number of subtasks too.
    #[test]
    fn chains_restore_what_was_there(
        steps in proptest::collection::vec(step(), 0..200),
        subtasks in 1u32..4,
    ) {
        let mut map = Multimap::default();
        let mut model = Model::new();
        let mut chain = vec![snapshot(&mut map, SnapshotKind::Full)];
        for step in steps {
            match step {
                Step::Add(n, k, v, w) => {
                    let old = model.get(&(n, k, v)).copied().unwrap_or_default();
                    prop_assert_eq!(map.add(n, &[k], &[v], w), (old, old + w));
                    model.insert((n, k, v), old + w);
                    model.retain(|_, weight| *weight != 0);
                }
                Step::RemoveKey(n, k) => {
                    map.remove_key(n, &[k]);
                    model.retain(|(m, l, _), _| (*m, *l) != (n, k));
                }
                Step::Drop(n) => {
                    map.drop_namespace(n);
                    model.retain(|(m, _, _), _| *m != n);
                }
                Step::Snapshot(true) => chain = vec![snapshot(&mut map, SnapshotKind::Full)],
                Step::Snapshot(false) => chain.push(snapshot(&mut map, SnapshotKind::Delta)),
            }
            prop_assert_eq!(map.len(), model.len());
        }
        prop_assert_eq!(&content(&map), &model);
        chain.push(snapshot(&mut map, SnapshotKind::Delta));
        prop_assert_eq!(&content(&map), &model);
        let mut all = Model::new();
        for subtask in 0..subtasks {
            let groups = key_groups_of_subtask(subtask, GROUPS, subtasks);
            let chain: Vec<_> = chain.iter().map(|state| state.restricted_to(&groups)).collect();
            let mut part = Multimap::default();
            part.restore("test", 3, &chain).unwrap();
            let content = content(&part);
            prop_assert_eq!(part.len(), content.len());
            for (_, key, _) in content.keys() {
                let group = key_group_of_row(&[*key], GROUPS);
                prop_assert_eq!(subtask_of(group, GROUPS, subtasks), subtask);
            }
            all.extend(content);
            prop_assert!(snapshot(&mut part, SnapshotKind::Delta).groups.is_empty());
        }
        prop_assert_eq!(all, model);
    }

    /// Damaged state is an error or other state, never a panic.
    #[test]
    fn damaged_state_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let state = KeyedState { kind: SnapshotKind::Full, dropped: vec![], groups: vec![(0, bytes)] };
        let _ = Multimap::<i64>::default().restore("test", 0, &[state]);
    }
}

#[test]
fn changes_of_a_hot_key_cost_what_changed() {
    let mut map = Multimap::default();
    for value in 0..10_000u32 {
        map.add(0, b"hot", &value.to_be_bytes(), 1);
    }
    let full = snapshot(&mut map, SnapshotKind::Full);
    map.add(0, b"hot", &7u32.to_be_bytes(), 1);
    // Comes and goes often: still one change.
    for _ in 0..1_000 {
        map.add(0, b"hot", &8u32.to_be_bytes(), -1);
        map.add(0, b"hot", &8u32.to_be_bytes(), 1);
    }
    let delta = snapshot(&mut map, SnapshotKind::Delta);
    assert!(delta.size_bytes() < 100 && full.size_bytes() > 10_000 * 20);
}

#[test]
fn what_a_value_has_may_be_more_than_a_weight() {
    let mut map: Multimap<(i64, u64)> = Multimap::default();
    map.update(0, b"k", b"v", |(weight, seen)| (*weight, *seen) = (1, 5));
    assert_eq!(map.values(0, b"k").and_then(|values| values.get(b"v")), Some(&(1, 5)));
    map.update(0, b"k", b"v", |(weight, seen)| (*weight, *seen) = (0, 0));
    assert!(map.values(0, b"k").is_none() && map.is_empty());
    map.update(0, b"none", b"v", |_| ());
    assert!(map.iter(0).next().is_none());
}
