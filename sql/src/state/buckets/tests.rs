use std::collections::BTreeMap;

use proptest::prelude::*;
use riverrun_dataflow::SnapshotKind;

use super::*;

const LAYOUTS: [Layout; 2] =
    [Layout { matches: true, time: false }, Layout { matches: false, time: true }];

type Model = BTreeMap<(usize, Vec<u8>, Vec<u8>), i64>;

fn contents(buckets: &Buckets) -> Model {
    let mut model = Model::new();
    for slot in buckets.slots() {
        for side in 0..2 {
            for record in buckets.records(slot, side, 0) {
                let key = (side, buckets.key(slot).to_vec(), record.row.to_vec());
                assert_eq!(buckets.find_row(slot, side, record.row).unwrap().at, record.at);
                assert_eq!(model.insert(key, record.weight), None, "equal rows are one record");
            }
        }
    }
    model
}

#[derive(Debug, Clone)]
enum Step {
    Add { side: usize, key: u8, row: u16, weight: i64 },
    Expire { key: u8, until: i64 },
    Snapshot { full: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0usize..2, 0u8..3, 0u16..60, prop_oneof![Just(1i64), Just(-1), Just(2)])
            .prop_map(|(side, key, row, weight)| Step::Add { side, key, row, weight }),
        1 => (0u8..3, 0i64..60).prop_map(|(key, until)| Step::Expire { key, until }),
        1 => any::<bool>().prop_map(|full| Step::Snapshot { full }),
    ]
}

fn key_of(key: u8) -> Vec<u8> {
    vec![key; usize::from(key) * 20]
}

fn row_of(row: u16) -> Vec<u8> {
    vec![row as u8; usize::from(row % 7) + 1]
}

proptest! {
    /// Whatever is added, taken back and expired, the buckets hold what a plain map holds, and so does what is put together from
    /// their snapshots.
    #[test]
    fn buckets_hold_what_a_map_holds(steps in proptest::collection::vec(step(), 0..250)) {
        let mut buckets = Buckets::new(LAYOUTS);
        let mut model = Model::new();
        let mut chain = Vec::new();
        for step in steps {
            match step {
                Step::Add { side, key, row, weight } => {
                    let (key, bytes) = (key_of(key), row_of(row));
                    let slot = buckets.slot(&key);
                    let record = Record { at: 0, weight, matches: 7, time: i64::from(row), row: &bytes };
                    buckets.add("test", slot, side, &record).unwrap();
                    buckets.release(slot);
                    let sum = model.entry((side, key, bytes)).or_default();
                    *sum += weight;
                }
                Step::Expire { key, until } => {
                    let key = key_of(key);
                    let Some(slot) = buckets.find(&key) else { continue };
                    let before = contents(&buckets);
                    let mut gone = Vec::new();
                    buckets.expire(slot, 1, until, |record| {
                        assert!(record.time <= until);
                        gone.push((record.row.to_vec(), record.weight));
                    });
                    buckets.release(slot);
                    for (row, weight) in gone {
                        prop_assert_eq!(before.get(&(1, key.clone(), row.clone())), Some(&weight));
                        model.remove(&(1, key.clone(), row));
                    }
                }
                Step::Snapshot { full } => {
                    let kind = if full || chain.is_empty() { SnapshotKind::Full } else { SnapshotKind::Delta };
                    if kind == SnapshotKind::Full {
                        chain.clear();
                    }
                    chain.push(buckets.snapshot(kind, 16));
                }
            }
            model.retain(|_, weight| *weight != 0);
            prop_assert_eq!(&contents(&buckets), &model);
            for slot in buckets.slots() {
                for side in 0..2 {
                    let total: i64 = buckets.records(slot, side, 0).map(|record| record.weight).sum();
                    prop_assert_eq!(buckets.total(slot, side), total);
                }
            }
        }
        let kind = if chain.is_empty() { SnapshotKind::Full } else { SnapshotKind::Delta };
        chain.push(buckets.snapshot(kind, 16));
        let mut restored = Buckets::new(LAYOUTS);
        restored.restore("test", &chain).unwrap();
        prop_assert_eq!(&contents(&restored), &model);
        prop_assert_eq!(restored.keys(), buckets.keys());
        for slot in restored.slots() {
            prop_assert!(restored.records(slot, 0, 0).all(|record| record.matches == 7));
        }
    }

    /// Damaged state is an error or other rows, never a panic.
    #[test]
    fn damaged_state_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let state = riverrun_dataflow::KeyedState { kind: SnapshotKind::Full, dropped: vec![], groups: vec![(0, bytes)] };
        let _ = Buckets::new(LAYOUTS).restore("test", &[state]);
    }
}

#[test]
fn a_delta_holds_only_what_changed() {
    let mut buckets = Buckets::new([Layout::default(); 2]);
    let slot = buckets.slot(b"key");
    let add = |buckets: &mut Buckets, row: u32, weight| {
        let row = row.to_le_bytes();
        let record = Record { at: 0, weight, matches: 0, time: 0, row: &row };
        buckets.add("test", slot, 0, &record).unwrap();
    };
    (0..1000).for_each(|row| add(&mut buckets, row, 1));
    let full = buckets.snapshot(SnapshotKind::Full, 128).size_bytes();
    add(&mut buckets, 5, 1);
    add(&mut buckets, 6, -1);
    let delta = buckets.snapshot(SnapshotKind::Delta, 128).size_bytes();
    assert!(delta * 400 < full, "{delta} bytes of {full}");
    assert_eq!(buckets.snapshot(SnapshotKind::Delta, 128).size_bytes(), 0);
}

#[test]
fn a_key_costs_80_bytes_and_a_row_8_more_than_its_own() {
    assert_eq!(size_of::<Slot>(), 80);
    let mut buckets = Buckets::new([Layout::default(); 2]);
    let slot = buckets.slot(b"key");
    for row in 0..10u64 {
        let row = row.to_le_bytes();
        let record = Record { at: 0, weight: 1, matches: 0, time: 0, row: &row };
        buckets.add("test", slot, 1, &record).unwrap();
    }
    let rows = 10 * (8 + 8);
    assert!(buckets.slots[0].sides[1].memory() <= rows * 5 / 4);
}
