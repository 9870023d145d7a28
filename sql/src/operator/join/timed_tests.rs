use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::{DFSchema, JoinType, ScalarValue};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, build_join_schema};
use datafusion::physical_expr::create_physical_expr;
use datafusion::prelude::{col, lit};
use proptest::prelude::*;

use super::subtasks::{Contents, Subtasks};
use super::*;
use crate::Changes;
use crate::operator::testing::texts;

const TYPES: [JoinType; 8] = [
    JoinType::Inner,
    JoinType::Left,
    JoinType::Right,
    JoinType::Full,
    JoinType::LeftSemi,
    JoinType::RightSemi,
    JoinType::LeftAnti,
    JoinType::RightAnti,
];

/// Key, time, number.
type Row = (Option<i64>, Option<i64>, i64);

fn schema(side: usize) -> SchemaRef {
    let names = [["k", "t", "a"], ["j", "u", "b"]][side];
    Arc::new(Schema::new(vec![
        Field::new(names[0], DataType::Int64, true),
        Field::new(names[1], DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new(names[2], DataType::Int64, true),
    ]))
}

fn batch(side: usize, rows: &[Row]) -> RecordBatch {
    RecordBatch::try_new(
        schema(side),
        vec![
            Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0))),
            Arc::new(TimestampMillisecondArray::from_iter(rows.iter().map(|row| row.1))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
        ],
    )
    .unwrap()
}

fn spec(join_type: JoinType, keys: Vec<usize>, filter: Option<Expr>) -> JoinSpec {
    let sides = [0, 1].map(|side| DFSchema::try_from(schema(side)).unwrap());
    let both = sides[0].join(&sides[1]).unwrap();
    let filter = filter.map(|filter| {
        let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        create_physical_expr(&filter, &both, &props, &context).unwrap()
    });
    let input = |side: usize| JoinInput { schema: schema(side), columns: 3, keys: keys.clone() };
    JoinSpec {
        join_type,
        inputs: [input(0), input(1)],
        nulls_equal: false,
        filter,
        output: build_join_schema(&sides[0], &sides[1], &join_type).unwrap().inner().clone(),
        retracts: false,
        time_to_live: None,
    }
}

fn text(side: usize, row: &Row) -> String {
    texts(&batch(side, &[*row])).remove(0)
}

/// The join of rows by loops over both sides.
fn model(
    join_type: JoinType,
    sides: &[Vec<Row>; 2],
    matches: impl Fn(&Row, &Row) -> bool,
) -> Contents {
    let [left, right] = sides;
    let mut rows = Vec::new();
    let nulls = "NULL|NULL|NULL";
    let singles = Single::of(join_type);
    for l in left {
        let partners: Vec<_> = right.iter().filter(|r| matches(l, r)).collect();
        if makes_pairs(join_type) {
            rows.extend(partners.iter().map(|r| format!("{}|{}", text(0, l), text(1, r))));
        }
        match singles[0] {
            Single::Padded if partners.is_empty() => rows.push(format!("{}|{nulls}", text(0, l))),
            Single::Semi if !partners.is_empty() => rows.push(text(0, l)),
            Single::Anti if partners.is_empty() => rows.push(text(0, l)),
            _ => {}
        }
    }
    for r in right {
        let lonely = !left.iter().any(|l| matches(l, r));
        match singles[1] {
            Single::Padded if lonely => rows.push(format!("{nulls}|{}", text(1, r))),
            Single::Semi if !lonely => rows.push(text(1, r)),
            Single::Anti if lonely => rows.push(text(1, r)),
            _ => {}
        }
    }
    let mut contents = Contents::new();
    rows.into_iter().for_each(|row| *contents.entry(row).or_default() += 1);
    contents
}

#[derive(Debug, Clone)]
enum Step {
    Rows { side: usize, rows: Vec<Row> },
    Watermark(i64),
    Restart(u32),
}

/// Rows around a time that goes on, watermarks behind it (some rows are late), restarts.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (
        prop_oneof![1 => Just(None), 9 => (0i64..4).prop_map(Some)],
        prop_oneof![1 => Just(None), 20 => (-40i64..40).prop_map(Some)],
        0i64..3,
    );
    let step = prop_oneof![
        8 => (0usize..2, proptest::collection::vec(row, 1..6)).prop_map(|(side, rows)| Step::Rows { side, rows }),
        4 => (-35i64..0).prop_map(Step::Watermark),
        1 => (1u32..4).prop_map(Step::Restart),
    ];
    proptest::collection::vec(step, 1..40).prop_map(|steps| {
        let shift = |(at, step): (usize, Step)| {
            let now = at as i64 * 8;
            match step {
                Step::Rows { side, rows } => {
                    let rows = rows.into_iter().map(|(k, t, a)| (k, t.map(|t| t + now), a));
                    Step::Rows { side, rows: rows.collect() }
                }
                Step::Watermark(behind) => Step::Watermark(now + behind),
                restart => restart,
            }
        };
        steps.into_iter().enumerate().map(shift).collect()
    })
}

/// Runs the steps; returns the rows that were not late.
fn run(join: &mut Subtasks<TimedJoin>, steps: Vec<Step>, offset: i64) -> ([Vec<Row>; 2], u64) {
    let (mut in_time, mut late, mut reached) = ([Vec::new(), Vec::new()], 0, i64::MIN);
    for step in steps {
        match step {
            Step::Rows { side, rows } => {
                join.send(side, Changes::inserts(batch(side, &rows)));
                for row in rows {
                    if row.1.is_some_and(|time| time + offset <= reached) {
                        late += 1;
                    } else {
                        in_time[side].push(row);
                    }
                }
            }
            Step::Watermark(to) => {
                reached = reached.max(to);
                join.watermark(to);
            }
            Step::Restart(parallelism) => {
                join.checkpoint();
                join.rescale(parallelism);
                // After a restart watermarks come anew; here they are told at once.
                join.watermark_again(reached);
            }
        }
    }
    join.watermark(i64::MAX);
    (in_time, late)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever the order of rows and watermarks: what comes out is the join of the rows that were not late, nothing is taken back, and nothing
    /// comes behind the output's watermark.
    #[test]
    fn interval_joins_are_the_join_of_the_rows_in_time(
        steps in steps(),
        which in 0..TYPES.len(),
        lower in -30i64..20,
        width in 0i64..40,
        keyed in any::<bool>(),
    ) {
        let (join_type, upper) = (TYPES[which], lower + width);
        let millis = |millis: i64| lit(ScalarValue::new_interval_dt(0, millis as i32));
        let filter = col("u").between(col("t") + millis(lower), col("t") + millis(upper));
        let keys = if keyed { vec![0] } else { vec![] };
        let join = spec(join_type, keys.clone(), Some(filter));
        let spec = IntervalSpec { join, time: [1, 1], lower, upper, event_time: true };
        let mut join = Subtasks::new(if keyed { 2 } else { 1 }, vec![keys.clone(), keys], move || {
            TimedJoin::interval(&spec).unwrap()
        });
        let complete = steps.iter().all(|step| !matches!(step, Step::Rows { rows, .. } if rows.iter().any(|row| row.1.is_none())));
        if complete {
            join.times = match join_type {
                JoinType::Inner => vec![1, 4],
                JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::RightSemi | JoinType::RightAnti => vec![1],
                JoinType::Right => vec![4],
                _ => vec![],
            };
        }
        let steps = if keyed { steps } else {
            steps.into_iter().filter(|step| !matches!(step, Step::Restart(_))).collect()
        };
        let (rows, late) = run(&mut join, steps, 0);
        let expected = model(join_type, &rows, |l, r| {
            let apart = || Some(r.1? - l.1?);
            (!keyed || (l.0.is_some() && l.0 == r.0)) && apart().is_some_and(|apart| (lower..=upper).contains(&apart))
        });
        prop_assert_eq!(&join.contents, &expected);
        prop_assert!(join.emitted.iter().all(|changes| changes.weights.is_none()));
        prop_assert_eq!(join.late(), late);
        prop_assert_eq!(join.watermark, i64::MAX);
        prop_assert_eq!(join.keys_left(), 0, "all rows go when time ends");
    }

    /// The same of window joins: rows meet by key and window, and a window's rows are late when it is over.
    #[test]
    fn window_joins_are_the_join_of_the_rows_in_time(
        steps in steps(),
        which in 0..TYPES.len(),
        filtered in any::<bool>(),
    ) {
        let join_type = TYPES[which];
        let filter = filtered.then(|| col("a").lt(col("b")));
        let spec = WindowJoinSpec { join: spec(join_type, vec![0, 1], filter), window_end: [1, 1] };
        let mut join = Subtasks::new(2, vec![vec![0, 1], vec![0, 1]], move || TimedJoin::window(&spec).unwrap());
        // Windows of 20 ms: the time column is their end.
        let windowed = |row: Row| (row.0, row.1.map(|time| (time.div_euclid(20) + 1) * 20), row.2);
        let steps = steps.into_iter().map(|step| match step {
            Step::Rows { side, rows } => Step::Rows { side, rows: rows.into_iter().map(windowed).collect() },
            other => other,
        });
        let (rows, late) = run(&mut join, steps.collect(), -1);
        let expected = model(join_type, &rows, |l, r| {
            l.0.is_some() && l.1.is_some() && (l.0, l.1) == (r.0, r.1) && (!filtered || l.2 < r.2)
        });
        prop_assert_eq!(&join.contents, &expected);
        prop_assert!(join.emitted.iter().all(|changes| changes.weights.is_none()));
        prop_assert_eq!(join.late(), late);
        prop_assert_eq!(join.keys_left(), 0);
    }
}

#[test]
fn state_goes_when_no_partner_can_come() {
    let filter = col("u").between(
        col("t") - lit(ScalarValue::new_interval_dt(0, 10)),
        col("t") + lit(ScalarValue::new_interval_dt(0, 20)),
    );
    let join = spec(JoinType::Left, vec![0], Some(filter));
    let spec = IntervalSpec { join, time: [1, 1], lower: -10, upper: 20, event_time: true };
    let mut join =
        Subtasks::new(1, vec![vec![0], vec![0]], move || TimedJoin::interval(&spec).unwrap());
    join.send(0, Changes::inserts(batch(0, &[(Some(1), Some(100), 0)])));
    join.send(1, Changes::inserts(batch(1, &[(Some(1), Some(100), 0)])));
    join.send(0, Changes::inserts(batch(0, &[(Some(2), Some(100), 0)])));
    join.watermark(109);
    assert_eq!(join.keys_left(), 2);
    join.watermark(119);
    assert_eq!(
        (join.keys_left(), join.contents.len()),
        (2, 1),
        "right rows are not waited for any more"
    );
    join.watermark(120);
    assert_eq!((join.keys_left(), join.contents.len()), (0, 2), "and neither are left ones");
    assert_eq!(join.watermark, 100);
}

#[test]
fn by_the_clock_nothing_is_late_and_state_goes_a_second_later() {
    let filter = col("u").between(
        col("t") - lit(ScalarValue::new_interval_dt(0, 10)),
        col("t") + lit(ScalarValue::new_interval_dt(0, 20)),
    );
    let join = spec(JoinType::Left, vec![0], Some(filter));
    let spec = IntervalSpec { join, time: [1, 1], lower: -10, upper: 20, event_time: false };
    let mut join =
        Subtasks::new(1, vec![vec![0], vec![0]], move || TimedJoin::interval(&spec).unwrap());
    join.time(100);
    join.send(0, Changes::inserts(batch(0, &[(Some(1), Some(100), 0), (Some(2), Some(100), 1)])));
    join.watermark(5000);
    assert_eq!(join.watermark, 5000, "event time goes by");
    join.rescale(2);
    join.time(1000);
    join.send(1, Changes::inserts(batch(1, &[(Some(1), Some(110), 2)])));
    assert_eq!(join.contents.len(), 1, "a row that was on its way meets its partner");
    join.time(1120);
    assert_eq!((join.keys_left(), join.contents.len()), (2, 1));
    join.time(1121);
    assert_eq!((join.keys_left(), join.contents.len()), (0, 2));
    assert_eq!(join.late(), 0);
}
