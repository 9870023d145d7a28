use std::time::Duration;

use riverrun_dataflow::testing::Harness;
use riverrun_dataflow::{Batch, Operator, Rows, SplitStatus};

use super::*;

fn assigner(bound_ms: u64) -> Harness<impl Operator> {
    let strategy = WatermarkStrategy::bounded_out_of_orderness(Duration::from_millis(bound_ms));
    Harness::open(TimestampAssigner::<i64, _>::new(strategy, |row: &i64| *row)).unwrap()
}

fn rows(harness: &mut Harness<impl Operator>, split: Option<u32>, values: &[i64]) {
    let rows = Rows { values: values.to_vec(), timestamps: vec![0; values.len()] };
    harness.operator.process(0, Batch::rows(rows, split), &mut harness.out).unwrap();
}

fn split(harness: &mut Harness<impl Operator>, split: u32, status: SplitStatus) {
    harness.operator.on_split(split, status, &mut harness.out).unwrap();
}

#[test]
fn one_watermark_a_batch_and_only_if_it_advances() {
    let mut harness = assigner(10);
    rows(&mut harness, None, &[100, 130, 120]);
    rows(&mut harness, None, &[119, 130]);
    rows(&mut harness, None, &[131]);
    assert_eq!(harness.out.watermarks, [119, 120]);
    let rows = harness.out.take_rows::<i64>();
    assert!(rows.iter().all(|(row, timestamp)| row == timestamp));
}

#[test]
fn the_slowest_split_that_speaks_sets_the_pace() {
    let mut harness = assigner(0);
    split(&mut harness, 0, SplitStatus::Active);
    split(&mut harness, 1, SplitStatus::Active);
    rows(&mut harness, Some(0), &[100]);
    assert!(harness.out.watermarks.is_empty());
    rows(&mut harness, Some(1), &[50]);
    assert_eq!(harness.out.watermarks, [49]);
    split(&mut harness, 1, SplitStatus::Idle);
    assert_eq!(harness.out.watermarks, [49, 99]);
    rows(&mut harness, Some(1), &[60]);
    rows(&mut harness, Some(0), &[200]);
    assert_eq!(harness.out.watermarks, [49, 99]);
    split(&mut harness, 1, SplitStatus::Finished);
    assert_eq!(harness.out.watermarks, [49, 99, 199]);
    assert_eq!(harness.out.splits.len(), 4);
}

#[test]
fn watermarks_from_before_end_here_except_the_last() {
    let mut harness = assigner(0);
    harness.watermark(1000).unwrap();
    assert!(harness.out.watermarks.is_empty());
    harness.end().unwrap();
    assert_eq!(harness.out.watermarks, [i64::MAX]);
}

#[test]
fn a_timestamp_at_the_end_of_time_does_not_end_the_input() {
    let mut harness = assigner(0);
    rows(&mut harness, None, &[i64::MIN, i64::MAX]);
    assert_eq!(harness.out.watermarks, [i64::MAX - 1]);
}
