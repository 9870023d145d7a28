use riverrun_dataflow::SnapshotKind;
use riverrun_dataflow::testing::Harness;

use super::*;
use crate::test_job::{only_operator, stream_of};

#[test]
fn every_row_gives_an_updated_result() {
    let stream = stream_of::<i64>().key_by(|n| n % 2).sum(|n| *n);
    let mut harness = Harness::open(only_operator(&stream)).unwrap();
    harness.process([(1i64, 10), (2, 20), (3, 30), (4, 40)]).unwrap();
    let rows = harness.out.take_rows::<Running<i64, i64>>();
    let rows: Vec<(i64, i64, i64)> =
        rows.iter().map(|(row, at)| (row.key, row.value, *at)).collect();
    assert_eq!(rows, [(1, 1, 10), (0, 2, 20), (1, 4, 30), (0, 6, 40)]);
}

#[test]
fn it_goes_on_after_a_restart_and_only_with_the_same_aggregate() {
    let keyed = stream_of::<i64>().key_by(|n| n % 2);
    let mut before = Harness::open(only_operator(&keyed.count())).unwrap();
    before.process([(1i64, 0), (3, 0)]).unwrap();
    let mut chain = vec![before.snapshot(SnapshotKind::Full).unwrap()];
    before.process([(5i64, 0), (2, 0)]).unwrap();
    chain.push(before.snapshot(SnapshotKind::Delta).unwrap());
    let restored = RestoredState {
        checkpoint: 1,
        list: chain[1].list.clone(),
        keyed: vec![chain.into_iter().filter_map(|state| state.keyed).collect()],
        ..RestoredState::default()
    };
    let fresh = || stream_of::<i64>().key_by(|n| n % 2);
    let mut operator = only_operator(&fresh().count());
    operator.restore(restored.clone()).unwrap();
    let mut after = Harness::open(operator).unwrap();
    after.process([(7i64, 0), (4, 0)]).unwrap();
    let rows = after.out.take_rows::<Running<i64, u64>>();
    assert_eq!(
        rows.iter().map(|(row, _)| (row.key, row.value)).collect::<Vec<_>>(),
        [(1, 4), (0, 2)]
    );

    let error = only_operator(&fresh().max(|n| *n)).restore(restored).unwrap_err().to_string();
    assert!(error.contains("holds `count`") && error.contains("says `max`"), "{error}");
}
