use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use proptest::prelude::*;
use riverrun_dataflow::OperatorMetrics;

use super::*;
use crate::operator::testing::*;

/// Rows (p, o, v): a key, an order with ties, and something to tell rows apart, or not.
fn rows() -> impl Strategy<Value = RecordBatch> {
    let row = (
        proptest::option::weighted(0.9, 0i64..4),
        proptest::option::weighted(0.9, 0i64..5),
        proptest::option::weighted(0.9, 0u8..6),
    );
    proptest::collection::vec(row, 1..40).prop_map(|rows| {
        let p: Vec<_> = rows.iter().map(|row| row.0).collect();
        let o: Vec<_> = rows.iter().map(|row| row.1).collect();
        let v: StringArray =
            rows.iter().map(|row| row.2.map(|v| "x".repeat(usize::from(v)))).collect();
        let fields = [("p", DataType::Int64), ("o", DataType::Int64), ("v", DataType::Utf8)];
        let fields = fields.map(|(name, of)| Field::new(name, of, true)).to_vec();
        RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            vec![numbers(&p), numbers(&o), Arc::new(v)],
        )
        .unwrap()
    })
}

fn function() -> impl Strategy<Value = RankFunction> {
    prop_oneof![
        Just(RankFunction::RowNumber),
        Just(RankFunction::Rank),
        Just(RankFunction::DenseRank)
    ]
}

fn order() -> impl Strategy<Value = SortOptions> {
    (any::<bool>(), any::<bool>())
        .prop_map(|(descending, nulls_first)| SortOptions { descending, nulls_first })
}

fn spec(
    rows: &RecordBatch,
    partition: Vec<usize>,
    order: SortOptions,
    function: RankFunction,
    (from, to): (u64, u64),
    retracts: bool,
    numbered: bool,
) -> RankSpec {
    let input = rows.schema();
    let mut fields: Vec<_> = input.fields().iter().cloned().collect();
    if numbered {
        fields.push(Arc::new(Field::new("r", DataType::UInt64, false)));
    }
    RankSpec {
        partition,
        order: vec![(1, order)],
        function,
        from,
        to,
        retracts,
        columns: vec![0, 1, 2],
        numbered,
        output: Arc::new(Schema::new(fields)),
        input,
    }
}

/// The same in SQL. ROW_NUMBER leaves ties to chance: here they go by the other columns, nulls first.
fn sql(spec: &RankSpec) -> String {
    let (function, ties) = match spec.function {
        RankFunction::RowNumber => ("row_number", ", p NULLS FIRST, v NULLS FIRST"),
        RankFunction::Rank => ("rank", ""),
        RankFunction::DenseRank => ("dense_rank", ""),
    };
    let order = spec.order[0].1;
    let direction = if order.descending { "DESC" } else { "ASC" };
    let nulls = if order.nulls_first { "FIRST" } else { "LAST" };
    let partition = if spec.partition.is_empty() { "" } else { "PARTITION BY p" };
    let r = if spec.numbered { ", r" } else { "" };
    format!(
        "SELECT p, o, v{r} FROM (SELECT *, {function}() OVER ({partition} ORDER BY o {direction} NULLS {nulls}{ties}) AS r FROM t) \
         WHERE r BETWEEN {} AND {}",
        spec.from, spec.to
    )
}

/// A stream that inserts rows and takes some back, mixed so that a row may be taken back before it was inserted.
fn mixed(rows: &RecordBatch, back: &[bool], seed: &[usize]) -> Stream {
    let mut stream: Stream = Vec::new();
    for row in 0..rows.num_rows() {
        stream.push((row as u32, 1 + i64::from(row % 7 == 0)));
        if back[row % back.len()] {
            stream.push((row as u32, -1));
        }
    }
    for (at, with) in seed.iter().enumerate() {
        let len = stream.len();
        stream.swap(at % len, with % len);
    }
    stream
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    /// Whatever the batches, the order, what is taken back and where the job stops and goes on: what is accumulated is DataFusion's answer
    /// over what is left.
    #[test]
    fn ranks_are_those_of_the_rows_that_are_left(
        rows in rows(),
        function in function(),
        order in order(),
        (from, len) in (1u64..4, 0u64..6),
        (numbered, partitioned, retracts) in any::<(bool, bool, bool)>(),
        back in proptest::collection::vec(any::<bool>(), 1..10),
        seed in proptest::collection::vec(0usize..100, 0..60),
        batch in 1usize..20,
        parallelisms in (1u32..4, 1u32..4),
        stop in 0usize..10,
    ) {
        let partition = if partitioned { vec![0] } else { vec![] };
        let spec = spec(&rows, partition.clone(), order, function, (from, from + len), retracts, numbered);
        let back = if retracts { back } else { vec![false] };
        let stream = mixed(&rows, &back, &seed);
        let sql = sql(&spec);
        let (before, after) = if partitioned { parallelisms } else { (1, 1) };
        let mut subtasks = Subtasks::new(move || Rank::new(spec.clone()).unwrap(), partition, before);
        for (number, batch) in stream.chunks(batch).enumerate() {
            if number == stop {
                subtasks.restart(after);
            } else if number % 3 == 1 {
                subtasks.snapshot();
            }
            subtasks.process(pick(&rows, batch, true));
        }
        prop_assert_eq!(&subtasks.result, &answer(&sql, &net(&rows, &stream)), "{}", sql);
    }

    /// A window's result comes out once, when the window is over, and late rows change nothing.
    #[test]
    fn windows_are_ranked_once(
        mut rows in rows(),
        windows in proptest::collection::vec(0i64..4, 1..10),
        function in function(),
        order in order(),
        to in 1u64..5,
        numbered in any::<bool>(),
        batch in 1usize..20,
        parallelisms in (1u32..4, 1u32..4),
        stop in 0usize..6,
    ) {
        // The window stands where `v` was: rows that come in the order of their windows, and at last some late ones.
        let ends: Vec<i64> = (0..rows.num_rows()).map(|row| windows[row % windows.len()]).collect();
        let end_of = |row: u32| 10 * (ends[row as usize] + 1);
        let utc: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values(
            (0..rows.num_rows() as u32).map(end_of),
        ));
        let fields = ["p", "o"].map(|name| Field::new(name, DataType::Int64, true));
        let mut fields = fields.to_vec();
        fields.push(Field::new("v", DataType::Timestamp(TimeUnit::Millisecond, None), true));
        let columns = vec![rows.column(0).clone(), rows.column(1).clone(), utc];
        rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
        let mut stream: Stream = (0..rows.num_rows() as u32).map(|row| (row, 1)).collect();
        stream.sort_by_key(|(row, _)| end_of(*row));
        let mut spec = spec(&rows, vec![2, 0], order, function, (1, to), false, numbered);
        spec.columns = vec![0, 1, 2];
        let sql = sql(&spec).replace("PARTITION BY p", "PARTITION BY v, p");
        let make = move || WindowRank::new(spec.clone(), 2).unwrap();
        let mut subtasks = Subtasks::new(make, vec![2, 0], parallelisms.0);
        let mut last = i64::MIN;
        for (number, batch) in stream.chunks(batch).enumerate() {
            if number == stop {
                subtasks.restart(parallelisms.1);
            } else if number % 2 == 1 {
                subtasks.snapshot();
            }
            let first = batch.iter().map(|(row, _)| end_of(*row)).min().unwrap_or(0);
            subtasks.watermark(first - 2);
            last = last.max(first - 2);
            let emitted = subtasks.emitted.len();
            subtasks.process(pick(&rows, batch, number % 2 == 0));
            prop_assert_eq!(subtasks.emitted.len(), emitted, "nothing before the watermark");
        }
        let late: Stream = stream.iter().copied().filter(|(row, _)| end_of(*row) - 1 <= last).collect();
        if !late.is_empty() {
            subtasks.process(pick(&rows, &late, false));
        }
        subtasks.end();
        prop_assert!(only_inserts(&subtasks.emitted));
        prop_assert_eq!(OperatorMetrics::read(&subtasks.metrics.late_records), late.len() as u64);
        prop_assert_eq!(&subtasks.result, &answer(&sql, &net(&rows, &stream)), "{}", sql);
    }
}

#[test]
fn only_what_changed_goes_out() {
    let o: Vec<_> = (0..20).map(Some).collect();
    let p = vec![Some(1); 20];
    let fields = ["p", "o", "v"].map(|name| Field::new(name, DataType::Int64, true)).to_vec();
    let rows = RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        vec![numbers(&p), numbers(&o), numbers(&o)],
    )
    .unwrap();
    let descending = SortOptions { descending: true, nulls_first: false };
    let run = |numbered| {
        let spec =
            spec(&rows, vec![0], descending, RankFunction::RowNumber, (1, 3), false, numbered);
        let mut subtasks = Subtasks::new(move || Rank::new(spec.clone()).unwrap(), vec![0], 1);
        for row in 0..20 {
            subtasks.process(pick(&rows, &[(row, 1)], false));
        }
        // Not in the top 3, so nothing is emitted.
        let emitted = subtasks.emitted.len();
        subtasks.process(pick(&rows, &[(3, 1), (4, 1)], false));
        assert_eq!(subtasks.emitted.len(), emitted);
        subtasks.emitted.last().map(Changes::len)
    };
    assert_eq!(run(false), Some(2), "one row in, one row out");
    assert_eq!(run(true), Some(6), "all ranks changed");
}

#[test]
fn the_last_row_of_a_key_replaces_the_one_before() {
    let fields = ["p", "o", "v"].map(|name| Field::new(name, DataType::Int64, true)).to_vec();
    let columns =
        [[7, 7, 7], [1, 2, 3], [1, 2, 3]].map(|values| numbers(&values.map(Some))).to_vec();
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let spec = RankSpec::one_row_per_key(rows.schema(), vec![0]);
    let mut subtasks = Subtasks::new(move || Rank::new(spec.clone()).unwrap(), vec![0], 1);
    // The new row comes before the old one is taken back, and a row that was never there is taken back first.
    subtasks.process(pick(&rows, &[(0, 1), (2, -1)], true));
    assert_eq!(subtasks.result, Table::from([("7|1|1".to_owned(), 1)]));
    subtasks.process(pick(&rows, &[(1, 1)], true));
    subtasks.process(pick(&rows, &[(0, -1), (2, 1)], true));
    assert_eq!(subtasks.result, Table::from([("7|2|2".to_owned(), 1)]));
    subtasks.process(pick(&rows, &[(1, -1)], true));
    assert!(subtasks.result.is_empty());
}

#[test]
fn what_goes_is_emitted_before_what_takes_its_place() {
    // More keys than a batch has rows, and new rows that sort before the old ones.
    let keys = 2 * crate::operator::emission::BATCH_ROWS as i64 + 10;
    let fields = ["p", "o"].map(|name| Field::new(name, DataType::Int64, true)).to_vec();
    let column =
        |of: fn(i64) -> i64| numbers(&(0..2 * keys).map(|row| Some(of(row))).collect::<Vec<_>>());
    let columns = vec![column(|row| row / 2), column(|row| (row + 1) % 2)];
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let spec = RankSpec::one_row_per_key(rows.schema(), vec![0]);
    let mut subtasks = Subtasks::new(move || Rank::new(spec.clone()).unwrap(), vec![0], 1);
    let every = |offset: u32, weight| {
        (0..keys as u32).map(move |key| (2 * key + offset, weight)).collect::<Stream>()
    };
    subtasks.process(pick(&rows, &every(0, 1), true));
    subtasks.process(pick(&rows, &[every(1, 1), every(0, -1)].concat(), true));
    assert_eq!(subtasks.result.len(), keys as usize);
    let mut there = vec![0; keys as usize];
    for changes in &subtasks.emitted {
        let of = changes.rows.column(0).as_primitive::<arrow_array::types::Int64Type>();
        for (row, key) in of.values().iter().enumerate() {
            there[*key as usize] += changes.weight(row);
            assert!((0..=1).contains(&there[*key as usize]), "key {key}");
        }
    }
}
