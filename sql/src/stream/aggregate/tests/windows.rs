//! Aggregations in windows.

use datafusion::functions_aggregate::expr_fn::{avg, count, count_distinct, max, median, min, sum};
use datafusion::logical_expr::{Expr, cast, lit};
use datafusion::prelude::col;
use proptest::prelude::*;

use super::pipeline::Pipeline;
use super::table::{Row, batches, in_windows, net, reference_in_windows, row};
use crate::operator::aggregate::Updates;
use crate::plan::WindowKind;

fn kinds() -> impl Strategy<Value = WindowKind> {
    prop_oneof![
        (1i64..12, -5i64..5).prop_map(|(size, offset)| WindowKind::Tumble { size, offset }),
        (1i64..12, 1i64..12, -5i64..5).prop_map(|(size, slide, offset)| WindowKind::Hop {
            slide,
            size,
            offset
        }),
        (1i64..6, 1i64..5, -5i64..5).prop_map(|(step, times, offset)| WindowKind::Cumulate {
            step,
            size: step * times,
            offset
        }),
    ]
}

/// Groups and calls that are computed in different ways.
fn queries() -> Vec<(Vec<Expr>, Vec<Expr>)> {
    let bounds = || vec![col("window_start"), col("window_end")];
    let with = |more: Vec<Expr>| bounds().into_iter().chain(more).collect::<Vec<_>>();
    let number = cast(col("a"), arrow_schema::DataType::Float64);
    vec![
        (
            with(vec![col("k")]),
            vec![count(lit(1)), sum(col("a")), min(col("s")), avg(number.clone())],
        ),
        (bounds(), vec![count(col("a")), max(col("f"))]),
        (
            vec![col("window_end"), col("k"), col("window_time"), col("window_start"), col("b")],
            vec![max(col("a"))],
        ),
        (
            with(vec![col("k")]),
            vec![count_distinct(col("a")), sum(col("a")), median(number.clone())],
        ),
        (with(vec![col("b")]), vec![]),
    ]
}

#[derive(Debug, Clone)]
struct Run {
    rows: Vec<(Row, i64)>,
    retracts: bool,
    batch: usize,
    disorder: i64,
    stops: Vec<bool>,
    parallelism: usize,
    early: bool,
}

fn run() -> impl Strategy<Value = Run> {
    let rows = proptest::collection::vec((row(), 0u8..4), 0..50);
    let stops = proptest::collection::vec(any::<bool>(), 1..4);
    (rows, any::<bool>(), 1usize..15, 0i64..40, stops, 1usize..4, any::<bool>()).prop_map(
        |(drawn, retracts, batch, disorder, stops, parallelism, early)| {
            let mut rows = Vec::new();
            for (row, what) in drawn {
                rows.push((row.clone(), 1));
                if retracts && what == 0 {
                    rows.push((row, -1));
                }
            }
            Run { rows, retracts, batch, disorder, stops, parallelism, early }
        },
    )
}

fn check(kind: WindowKind, query: (Vec<Expr>, Vec<Expr>), run: &Run) -> Result<(), TestCaseError> {
    let (group, calls) = query;
    let aggregate = in_windows(kind, group.clone(), calls.clone());
    let updates = Updates { early: run.early.then_some(10), ..Updates::default() };
    let mut pipeline = Pipeline::in_windows(&aggregate, updates, run.retracts, run.parallelism);
    // Rows come out of order, but never behind the watermark.
    let mut rows: Vec<(Row, i64)> = run.rows.clone();
    let spread = |(at, (row, _)): (usize, &(Row, i64))| {
        row.6.unwrap_or(0) + (at as i64 * 7919) % (run.disorder + 1)
    };
    let mut order: Vec<(i64, (Row, i64))> =
        rows.iter().enumerate().map(|each| (spread(each), each.1.clone())).collect();
    order.sort_by_key(|(at, _)| *at);
    rows = order.into_iter().map(|(_, row)| row).collect();
    for (number, at) in (0..rows.len()).step_by(run.batch).enumerate() {
        let rest = &rows[at..];
        let earliest = rest.iter().filter_map(|(row, _)| row.6).min();
        if let Some(earliest) = earliest {
            pipeline.watermark(earliest - 1);
        }
        pipeline.time(number as i64 * 4);
        if number % 3 == 1 {
            pipeline.checkpoint(run.stops[number % run.stops.len()]);
            if number % 2 == 1 {
                pipeline.restart(1 + number % 3);
            }
        }
        pipeline.process(number, &batches(&rest[..run.batch.min(rest.len())], run.retracts));
    }
    pipeline.end();
    prop_assert_eq!(pipeline.late(), 0);
    let expected = reference_in_windows(kind, group, calls, &net(&rows));
    prop_assert_eq!(pipeline.result(), expected, "{} {}", kind, aggregate.schema);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Windows give what a batch query gives, once, and take early results back.
    #[test]
    fn windows_add_up_to_those_of_a_batch_query(kind in kinds(), run in run()) {
        for query in queries() {
            check(kind, query, &run)?;
        }
    }
}

fn at(ts: i64) -> (Row, i64) {
    ((Some("x"), Some(1), None, None, None, None, Some(ts)), 1)
}

fn counts(updates: Updates) -> Pipeline {
    let group = vec![col("window_start"), col("window_end"), col("k")];
    let kind = WindowKind::Tumble { size: 10, offset: 0 };
    let aggregate = in_windows(kind, group, vec![count(lit(1))]);
    Pipeline::in_windows(&aggregate, updates, false, 1)
}

fn window(count: i64) -> Vec<(String, i64)> {
    vec![(format!("1970-01-01T00:00:00|1970-01-01T00:00:00.010|x|{count}"), 1)]
}

#[test]
fn rows_behind_the_watermark_are_counted_and_left_out() {
    let mut pipeline = counts(Updates::default());
    pipeline.process(0, &batches(&[at(1), at(2)], false));
    pipeline.watermark(8);
    assert!(pipeline.result().is_empty(), "the window is not over");
    pipeline.watermark(9);
    assert_eq!(pipeline.result().into_iter().collect::<Vec<_>>(), window(2));
    pipeline.checkpoint(true);
    pipeline.restart(2);
    pipeline.process(0, &batches(&[at(3), at(9)], false));
    pipeline.end();
    assert_eq!(pipeline.result().into_iter().collect::<Vec<_>>(), window(2));
    assert_eq!(pipeline.late(), 2);
}

#[test]
fn late_rows_change_results_for_as_long_as_is_allowed() {
    let mut pipeline = counts(Updates { lateness: 5, ..Updates::default() });
    pipeline.process(0, &batches(&[at(1)], false));
    pipeline.watermark(12);
    assert_eq!(pipeline.result().into_iter().collect::<Vec<_>>(), window(1));
    pipeline.process(0, &batches(&[at(2)], false));
    pipeline.watermark(13);
    assert_eq!(pipeline.result().into_iter().collect::<Vec<_>>(), window(2));
    pipeline.watermark(14);
    pipeline.process(0, &batches(&[at(3)], false));
    pipeline.end();
    assert_eq!(pipeline.result().into_iter().collect::<Vec<_>>(), window(2));
    assert_eq!(pipeline.late(), 1);
}

#[test]
fn early_results_come_by_the_clock() {
    let mut pipeline = counts(Updates { early: Some(100), ..Updates::default() });
    pipeline.process(0, &batches(&[at(1)], false));
    pipeline.time(99);
    assert!(pipeline.result().is_empty());
    pipeline.time(100);
    assert_eq!(pipeline.result().into_iter().collect::<Vec<_>>(), window(1));
    pipeline.process(0, &batches(&[at(2)], false));
    pipeline.watermark(9);
    assert_eq!(pipeline.result().into_iter().collect::<Vec<_>>(), window(2));
}

#[test]
fn late_results_wait_for_their_delay() {
    let mut pipeline = counts(Updates { lateness: 50, late: Some(100), ..Updates::default() });
    pipeline.process(0, &batches(&[at(1)], false));
    pipeline.watermark(12);
    pipeline.process(0, &batches(&[at(2)], false));
    pipeline.watermark(13);
    pipeline.time(99);
    assert_eq!(pipeline.result().into_iter().collect::<Vec<_>>(), window(1));
    pipeline.time(100);
    assert_eq!(pipeline.result().into_iter().collect::<Vec<_>>(), window(2));
    // Of what nobody has waited for, the end of the window's lateness is the last occasion.
    pipeline.process(0, &batches(&[at(3)], false));
    pipeline.watermark(58);
    assert_eq!(pipeline.result().into_iter().collect::<Vec<_>>(), window(2));
    pipeline.watermark(59);
    assert_eq!(pipeline.result().into_iter().collect::<Vec<_>>(), window(3));
    assert_eq!(pipeline.late(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Rows count in the windows that take them when they come, whatever is put out early and late, and whatever stops in between.
    #[test]
    fn rows_count_in_the_windows_that_take_them(
        kind in kinds(),
        steps in proptest::collection::vec((proptest::collection::vec((0i64..40, any::<bool>()), 0..5), 0i64..8), 1..25),
        lateness in 0i64..30,
        delays in (proptest::option::of(0i64..20), proptest::option::of(1i64..20)),
        different in any::<bool>(),
        restart in 0usize..25,
    ) {
        let (early, late) = (delays.0, delays.1.filter(|_| lateness > 0));
        let updates = Updates { early, lateness, late };
        let group = vec![col("window_start"), col("window_end"), col("k")];
        // The values of sets are kept by window, other states by slice.
        let call = if different { count_distinct(col("d")) } else { count(lit(1)) };
        let aggregate = in_windows(kind, group, vec![call]);
        let mut pipeline = Pipeline::in_windows(&aggregate, updates, false, 2);
        let mut expected: std::collections::BTreeMap<(i64, i64, &str), i64> = Default::default();
        let (mut now, mut reached, mut late_rows) = (0, i64::MIN, 0);
        for (number, (rows, step)) in steps.into_iter().enumerate() {
            if number == restart {
                pipeline.checkpoint(false);
                pipeline.restart(1 + number % 3);
            }
            now += step;
            let mut drawn = Vec::new();
            for (at, (back, x)) in rows.into_iter().enumerate() {
                let (time, key) = (now - back, if x { "x" } else { "y" });
                let unique = (number * 10 + at) as i64;
                drawn.push(((Some(key), None, Some(unique), None, None, None, Some(time)), 1));
                let windows = windows_at(kind, time);
                let takes = |end: i64| end - 1 + lateness > reached;
                if windows.last().is_some_and(|(_, end)| !takes(*end)) {
                    late_rows += 1;
                }
                for (start, end) in windows.into_iter().filter(|(_, end)| takes(*end)) {
                    *expected.entry((start, end, key)).or_default() += 1;
                }
            }
            pipeline.process(number, &batches(&drawn, false));
            pipeline.time(number as i64 * 5);
            reached = reached.max(now - 10);
            pipeline.watermark(reached);
        }
        pipeline.end();
        let time = |millis: i64| arrow_array::temporal_conversions::timestamp_ms_to_datetime(millis).unwrap();
        let expected: std::collections::BTreeMap<String, i64> = expected
            .into_iter()
            .map(|((start, end, key), n)| {
                let text = |millis| time(millis).format("%Y-%m-%dT%H:%M:%S%.f").to_string();
                (format!("{}|{}|{key}|{n}", text(start), text(end)), 1)
            })
            .collect();
        prop_assert_eq!(pipeline.result(), expected, "{}", kind);
        prop_assert_eq!(pipeline.late(), late_rows);
    }
}

/// The windows of a time in ascending order of their ends, found by a look at all of them.
fn windows_at(kind: WindowKind, time: i64) -> Vec<(i64, i64)> {
    let all = (-400..400i64).flat_map(|number| match kind {
        WindowKind::Tumble { size, offset } => {
            vec![(number * size + offset, (number + 1) * size + offset)]
        }
        WindowKind::Hop { slide, size, offset } => {
            vec![(number * slide + offset, number * slide + offset + size)]
        }
        WindowKind::Cumulate { step, size, offset } => (1..=size / step)
            .map(|n| (number * size + offset, number * size + offset + n * step))
            .collect(),
        WindowKind::Session { .. } => Vec::new(),
    });
    let mut windows: Vec<(i64, i64)> =
        all.filter(|(start, end)| *start <= time && time < *end).collect();
    windows.sort_unstable_by_key(|(_, end)| *end);
    windows
}
