use riverrun_dataflow::testing::{Collected, Harness};
use riverrun_dataflow::{Batch, Rows};

use crate::prelude::*;
use crate::test_job::{only_operator, stream_of};

fn numbers() -> Vec<(i64, i64)> {
    (0..10).map(|n| (n, n * 100)).collect()
}

fn run<U: Record>(transformed: DataStream<U>) -> Collected {
    let mut harness = Harness::open(only_operator(&transformed)).unwrap();
    harness.process(numbers()).unwrap();
    harness.out
}

#[test]
fn rows_keep_their_timestamps() {
    let doubled = run(stream_of::<i64>().map(|n| n * 2)).take_rows::<i64>();
    assert_eq!(doubled, (0..10).map(|n| (n * 2, n * 100)).collect::<Vec<_>>());
    let odd = run(stream_of::<i64>().filter(|n| n % 2 == 1)).take_rows::<i64>();
    assert_eq!(odd, [(1, 100), (3, 300), (5, 500), (7, 700), (9, 900)]);
    let halves = stream_of::<i64>().filter_map(|n| (n % 2 == 0).then(|| format!("{}", n / 2)));
    let expected =
        ["0", "1", "2", "3", "4"].map(str::to_owned).into_iter().zip([0, 200, 400, 600, 800]);
    assert_eq!(run(halves).take_rows::<String>(), expected.collect::<Vec<_>>());
    let all = run(stream_of::<i64>().inspect(|n| assert!(*n < 10))).take_rows::<i64>();
    assert_eq!(all, numbers());
}

#[test]
fn flat_map_makes_any_number_of_rows() {
    let repeated = stream_of::<i64>().flat_map(|n: i64, out| {
        out.extend((0..n.min(2)).map(|_| n));
        if n == 9 {
            out.collect_at(-1, 7);
        }
    });
    let rows = run(repeated).take_rows::<i64>();
    let mut expected: Vec<(i64, i64)> =
        numbers().into_iter().flat_map(|row| vec![row; row.0.min(2) as usize]).collect();
    expected.push((-1, 7));
    assert_eq!(rows, expected);
}

#[test]
fn flat_map_cuts_what_grows_too_large() {
    let many = stream_of::<i64>().flat_map(|n: i64, out| out.extend((0..2000).map(|_| n)));
    let mut out = run(many);
    assert!(out.batches.len() > 1 && out.batches.iter().all(|batch| batch.len() < 12_000));
    assert_eq!(out.take_rows::<i64>().len(), 20_000);
}

#[test]
fn rows_go_aside() {
    let small = stream_of::<i64>().split_off("large", |n| *n >= 7);
    let mut out = run(small);
    assert_eq!(out.take_rows::<i64>().len(), 7);
    let (tag, batch) = out.side.pop().unwrap();
    assert_eq!(tag, "large");
    assert_eq!(batch.as_rows::<i64>().unwrap().values, [7, 8, 9]);
    assert_eq!(batch.as_rows::<i64>().unwrap().timestamps, [700, 800, 900]);
}

#[test]
fn rows_that_fail_stop_the_job_or_are_rejected() {
    let odd = |n: i64| if n % 2 == 1 { Ok(n) } else { Err(format!("{n} is even")) };
    let mut harness = Harness::open(only_operator(&stream_of::<i64>().try_map(odd))).unwrap();
    let error = harness.process(numbers()).unwrap_err();
    assert!(error.to_string().contains("0 is even"), "{error}");

    let odd = stream_of::<i64>().try_map_or_reject("even", odd);
    let mut harness = Harness::open(only_operator(&odd)).unwrap();
    harness.process(numbers()).unwrap();
    assert_eq!(harness.out.take_rows::<i64>().len(), 5);
    assert_eq!(harness.out.side[0].1.as_rows::<String>().unwrap().values[4], "8 is even");
    assert_eq!(riverrun_dataflow::OperatorMetrics::read(&harness.metrics.rejected_records), 5);
}

#[test]
fn the_split_of_a_batch_stays_and_empty_batches_go() {
    let mut harness = Harness::open(only_operator(&stream_of::<i64>().filter(|n| *n > 5))).unwrap();
    for (split, value) in [(3, 9i64), (4, 1)] {
        let rows = Rows { values: vec![value], timestamps: vec![0] };
        use riverrun_dataflow::Operator;
        harness.operator.process(0, Batch::rows(rows, Some(split)), &mut harness.out).unwrap();
    }
    assert_eq!(harness.out.batches.len(), 1);
    assert_eq!(harness.out.batches[0].split, Some(3));
}

#[test]
fn batches_of_another_type_are_an_error_that_names_the_operator() {
    let mut harness = Harness::open(only_operator(&stream_of::<i64>().map(|n| n))).unwrap();
    let error = harness.process([("text".to_owned(), 0)]).unwrap_err().to_string();
    assert!(error.contains("operator `test` expected batches of i64"), "{error}");
}
