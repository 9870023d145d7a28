use arrow_array::TimestampMillisecondArray;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use proptest::prelude::*;
use riverrun_dataflow::OperatorMetrics;

use super::testing::spec;
use super::*;
use crate::operator::testing::*;

/// Functions that do not care how ties are ordered.
const PEERS: &[&str] = &[
    "sum(v) OVER (w)",
    "count(*) OVER (w)",
    "avg(v) OVER (w)",
    "min(v) OVER (w RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)",
    "max(v) FILTER (WHERE v > 2) OVER (w)",
    "rank() OVER (w)",
    "dense_rank() OVER (w)",
];

/// More of them, that look ahead.
const PEERS_AHEAD: &[&str] = &[
    "percent_rank() OVER (w)",
    "cume_dist() OVER (w)",
    "sum(v) OVER (w RANGE BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)",
    "count(v) OVER (w RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",
];

/// Functions that count rows, so that ties have to be ordered.
const ROWS: &[&str] = &[
    "row_number() OVER (w)",
    "sum(v) OVER (w ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
    "avg(v) OVER (w ROWS BETWEEN 3 PRECEDING AND 1 PRECEDING)",
    "max(v) OVER (w ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)",
    "min(v) OVER (w ROWS UNBOUNDED PRECEDING)",
    "count(v) OVER (w ROWS UNBOUNDED PRECEDING)",
    "sum(v) FILTER (WHERE v <> 3) OVER (w ROWS UNBOUNDED PRECEDING)",
    "count(v) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)",
    "lag(v) OVER (w)",
    "lag(v, 2, -7) OVER (w)",
    "lag(v) IGNORE NULLS OVER (w)",
    "first_value(v) OVER (w ROWS UNBOUNDED PRECEDING)",
    "first_value(v) OVER (w ROWS 2 PRECEDING)",
    "last_value(v) OVER (w ROWS UNBOUNDED PRECEDING)",
    "nth_value(v, 2) OVER (w ROWS UNBOUNDED PRECEDING)",
    "nth_value(v, 2) OVER (w ROWS 3 PRECEDING)",
];

/// More of them, that look ahead.
const ROWS_AHEAD: &[&str] = &[
    "lead(v) OVER (w)",
    "lead(v, 2, 0) OVER (w)",
    "lag(v, -1) OVER (w)",
    "ntile(3) OVER (w)",
    "sum(v) OVER (w ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
    "max(v) OVER (w ROWS BETWEEN 1 FOLLOWING AND 3 FOLLOWING)",
    "last_value(v) OVER (w ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING)",
    "sum(v) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING AND 2 FOLLOWING)",
];

fn some_of(functions: Vec<&'static str>) -> impl Strategy<Value = Vec<&'static str>> {
    let most = functions.len().min(3);
    proptest::sample::subsequence(functions, 1..=most)
}

fn query(functions: &[&str], window: &str) -> String {
    let functions: Vec<_> = functions
        .iter()
        .map(|function| {
            function.replace("(w)", &format!("({window})")).replace("(w ", &format!("({window} "))
        })
        .collect();
    format!("SELECT *, {} FROM t", functions.join(", "))
}

fn table(columns: [Vec<Option<i64>>; 3]) -> RecordBatch {
    let fields = ["p", "o", "v"].map(|name| Field::new(name, DataType::Int64, true)).to_vec();
    let columns = columns.iter().map(|column| numbers(column) as ArrayRef).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn changing() -> impl Strategy<Value = (Vec<&'static str>, bool)> {
    let peers = some_of([PEERS, PEERS_AHEAD].concat()).prop_map(|functions| (functions, false));
    let rows = some_of([ROWS, ROWS_AHEAD, PEERS].concat()).prop_map(|functions| (functions, true));
    let near = some_of(
        [&ROWS[1..4], &ROWS[8..10], &ROWS[12..13], &ROWS_AHEAD[..3], &ROWS_AHEAD[4..6]].concat(),
    );
    prop_oneof![peers, rows, near.prop_map(|functions| (functions, true))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(160))]

    /// Whatever the batches, the order, what is taken back and where the job stops and goes on: what is accumulated is DataFusion's answer
    /// over what is left.
    #[test]
    fn values_are_those_of_the_rows_that_are_left(
        (functions, counts_rows) in changing(),
        values in proptest::collection::vec(
            (proptest::option::weighted(0.9, 0i64..3), proptest::option::weighted(0.9, 0i64..12), proptest::option::weighted(0.8, 0i64..6)),
            1..40,
        ),
        partitioned in any::<bool>(),
        direction in proptest::sample::select(vec!["", "NULLS FIRST", "DESC", "DESC NULLS LAST"]),
        back in proptest::collection::vec(any::<bool>(), 1..10),
        seed in proptest::collection::vec(0usize..100, 0..60),
        batch in 1usize..12,
        parallelisms in (1u32..4, 1u32..4),
        stop in 0usize..10,
    ) {
        let rows = table([
            values.iter().map(|row| row.0).collect(),
            values.iter().map(|row| row.1).collect(),
            values.iter().map(|row| row.2).collect(),
        ]);
        let mut stream: Stream = Vec::new();
        for row in 0..values.len() {
            stream.push((row as u32, 1 + i64::from(row % 7 == 0)));
            if back[row % back.len()] {
                stream.push((row as u32, -1));
            }
        }
        for (at, with) in seed.iter().enumerate() {
            let len = stream.len();
            stream.swap(at % len, with % len);
        }
        let ties = if counts_rows { ", p, v" } else { "" };
        let partition = if partitioned { "PARTITION BY p " } else { "" };
        let sql = query(&functions, &format!("{partition}ORDER BY o {direction}{ties}"));
        let spec = spec(&sql, &rows);
        let keys = spec.partition.clone();
        let (before, after) = if partitioned { parallelisms } else { (1, 1) };
        let mut subtasks = Subtasks::new(move || Over::new(spec.clone()).unwrap(), keys, before);
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

    /// In a large partition only what is around changes is looked at, and that is enough.
    #[test]
    fn changes_in_large_partitions_reach_as_far_as_frames_do(
        functions in some_of([&ROWS[1..4], &ROWS[8..10], &ROWS_AHEAD[..3], &ROWS_AHEAD[4..6]].concat()),
        values in proptest::collection::vec((0i64..90, proptest::option::weighted(0.8, 0i64..6)), 200),
        changes in proptest::collection::vec((0u32..200, -2i64..3), 1..60),
        batch in 1usize..4,
        stop in 0usize..40,
    ) {
        let rows = table([
            values.iter().map(|_| Some(0)).collect(),
            values.iter().map(|row| Some(row.0)).collect(),
            values.iter().map(|row| row.1).collect(),
        ]);
        let sql = query(&functions, "PARTITION BY p ORDER BY o, v");
        let spec = spec(&sql, &rows);
        let mut subtasks = Subtasks::new(move || Over::new(spec.clone()).unwrap(), vec![0], 1);
        let mut stream: Stream = (0..150).map(|row| (row, 1)).collect();
        subtasks.process(pick(&rows, &stream, true));
        for (number, changes) in changes.chunks(batch).enumerate() {
            if number == stop {
                subtasks.restart(2);
            }
            let changes: Stream = changes.iter().filter(|(_, weight)| *weight != 0).copied().collect();
            subtasks.process(pick(&rows, &changes, true));
            stream.extend(changes);
        }
        // Of equal rows, what one lacks another has.
        let mut weights: std::collections::BTreeMap<(i64, Option<i64>), (u32, i64)> = Default::default();
        for (row, weight) in stream {
            weights.entry(values[row as usize]).or_insert((row, 0)).1 += weight;
        }
        let stream: Stream = weights.into_values().collect();
        prop_assert_eq!(&subtasks.result, &answer(&sql, &net(&rows, &stream)), "{}", sql);
    }

    /// Rows that come in event time get their values once, and they are those of all rows that were not late.
    #[test]
    fn values_in_event_time_are_final(
        (functions, counts_rows) in prop_oneof![
            some_of([PEERS, &[
                "sum(v) OVER (w RANGE BETWEEN INTERVAL '7' MILLISECOND PRECEDING AND CURRENT ROW)",
                "count(*) OVER (w RANGE BETWEEN INTERVAL '20' MILLISECOND PRECEDING AND INTERVAL '3' MILLISECOND PRECEDING)",
                "max(v) OVER (w RANGE BETWEEN CURRENT ROW AND CURRENT ROW)",
            ]].concat()).prop_map(|functions| (functions, false)),
            some_of([ROWS, PEERS].concat()).prop_map(|functions| (functions, true)),
        ],
        values in proptest::collection::vec((0i64..3, 0i64..80, proptest::option::weighted(0.8, 0i64..6)), 1..60),
        partitioned in any::<bool>(),
        lag in 0i64..30,
        batch in 1usize..12,
        parallelisms in (1u32..4, 1u32..4),
        stop in 0usize..10,
    ) {
        // Where rows are counted, those of one time and partition are the same row.
        let value = |row: &(i64, i64, Option<i64>)| match counts_rows {
            true => (row.1 % 5 != 0).then_some((row.1 * 7 + row.0) % 6),
            false => row.2,
        };
        let p: Vec<_> = values.iter().map(|row| Some(if partitioned || !counts_rows { row.0 } else { 0 })).collect();
        let v: Vec<_> = values.iter().map(|row| match (partitioned, counts_rows) {
            (false, true) => value(&(0, row.1, None)),
            _ => value(row),
        }).collect();
        let t = TimestampMillisecondArray::from_iter_values(values.iter().map(|row| row.1));
        let fields = vec![
            Field::new("p", DataType::Int64, true),
            Field::new("t", DataType::Timestamp(TimeUnit::Millisecond, None), true),
            Field::new("v", DataType::Int64, true),
        ];
        let rows = RecordBatch::try_new(
            Arc::new(Schema::new(fields)),
            vec![numbers(&p), Arc::new(t), numbers(&v)],
        ).unwrap();
        let partition = if partitioned { "PARTITION BY p " } else { "" };
        let sql = query(&functions, &format!("{partition}ORDER BY t"));
        let spec = spec(&sql, &rows);
        let keys = spec.partition.clone();
        let (before, after) = if partitioned { parallelisms } else { (1, 1) };
        let mut subtasks = Subtasks::new(move || TimedOver::new(spec.clone()).unwrap(), keys, before);
        let all: Stream = (0..values.len() as u32).map(|row| (row, 1)).collect();
        let (mut in_time, mut watermark) = (Stream::new(), i64::MIN);
        for (number, batch) in all.chunks(batch).enumerate() {
            if number == stop {
                subtasks.restart(after);
            } else if number % 3 == 1 {
                subtasks.snapshot();
            }
            subtasks.process(pick(&rows, batch, number % 2 == 0));
            in_time.extend(batch.iter().filter(|(row, _)| values[*row as usize].1 > watermark));
            let seen = batch.iter().map(|(row, _)| values[*row as usize].1).max().unwrap_or(0);
            watermark = watermark.max(seen - lag);
            subtasks.watermark(watermark);
            prop_assert!(subtasks.emitted.iter().all(|changes| latest(changes) <= watermark));
        }
        subtasks.end();
        prop_assert!(only_inserts(&subtasks.emitted));
        let late = OperatorMetrics::read(&subtasks.metrics.late_records);
        prop_assert_eq!(late as usize, values.len() - in_time.len());
        prop_assert_eq!(&subtasks.result, &answer(&sql, &net(&rows, &in_time)), "{}", sql);
    }
}

/// The latest event time of some rows.
fn latest(changes: &crate::Changes) -> i64 {
    let times = changes.rows.column(1).as_any().downcast_ref::<TimestampMillisecondArray>();
    times.unwrap().values().iter().copied().max().unwrap_or(i64::MIN)
}

/// Bytes of keyed state after rows of many keys have been passed by the watermark.
fn state_behind(functions: &[&str]) -> usize {
    use riverrun_dataflow::SnapshotKind;
    use riverrun_dataflow::testing::Harness;

    let fields = vec![
        Field::new("p", DataType::Int64, true),
        Field::new("t", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("v", DataType::Int64, true),
    ];
    let schema = Arc::new(Schema::new(fields));
    let mut harness: Option<Harness<TimedOver>> = None;
    for round in 0..10 {
        let p: Vec<_> = (0..100).map(|row| Some(row % 50)).collect();
        let t = TimestampMillisecondArray::from_iter_values((0..100).map(|row| 100 * round + row));
        let rows =
            RecordBatch::try_new(schema.clone(), vec![numbers(&p), Arc::new(t), numbers(&p)])
                .unwrap();
        let harness = harness.get_or_insert_with(|| {
            let spec = spec(&query(functions, "PARTITION BY p ORDER BY t"), &rows);
            Harness::open(TimedOver::new(spec).unwrap()).unwrap()
        });
        let batch = crate::Changes::inserts(rows).into_batch("test", None).unwrap();
        use riverrun_dataflow::Operator;
        harness.operator.process(0, batch, &mut harness.out).unwrap();
        harness.watermark(100 * round + 99).unwrap();
    }
    let mut harness = harness.unwrap();
    harness.watermark(100_000).unwrap();
    harness.snapshot(SnapshotKind::Full).unwrap().keyed.unwrap().size_bytes()
}

#[test]
fn only_rows_that_later_ones_look_at_are_kept() {
    let nothing = state_behind(&[
        "sum(v) OVER (w RANGE BETWEEN INTERVAL '7' MILLISECOND PRECEDING AND CURRENT ROW)",
    ]);
    assert_eq!(nothing, 0, "rows that are too old go, also of keys that get no more");
    let totals = state_behind(&["sum(v) OVER (w)", "rank() OVER (w)"]);
    let last = state_behind(&["lag(v) OVER (w)"]);
    let all = state_behind(&["nth_value(v, 2) IGNORE NULLS OVER (w)"]);
    assert!(0 < totals && totals < all / 5 && 0 < last && last < all / 10);
}
