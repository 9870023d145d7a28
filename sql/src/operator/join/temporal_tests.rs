use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::{DFSchema, JoinType};
use datafusion::logical_expr::build_join_schema;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::create_physical_expr;
use datafusion::prelude::col;
use proptest::prelude::*;

use super::subtasks::{Contents, Subtasks, changes};
use super::*;
use crate::Changes;

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

fn join(join_type: JoinType, filtered: bool) -> Subtasks<TemporalJoin> {
    let sides = [0, 1].map(|side| DFSchema::try_from(schema(side)).unwrap());
    let both = sides[0].join(&sides[1]).unwrap();
    let filter = filtered.then(|| {
        let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        create_physical_expr(&col("a").lt(col("b")), &both, &props, &context).unwrap()
    });
    let input = |side: usize| JoinInput { schema: schema(side), columns: 3, keys: vec![0] };
    let join = JoinSpec {
        join_type,
        inputs: [input(0), input(1)],
        nulls_equal: false,
        filter,
        output: build_join_schema(&sides[0], &sides[1], &join_type).unwrap().inner().clone(),
        retracts: false,
        time_to_live: None,
    };
    let spec = TemporalJoinSpec { join, time: [1, 1] };
    let mut join =
        Subtasks::new(2, vec![vec![0], vec![0]], move || TemporalJoin::new(spec.clone()).unwrap());
    join.times = vec![1];
    join
}

#[derive(Debug, Clone)]
enum Step {
    Rows(Vec<Row>),
    /// New versions of keys: what they replace is taken back if the flag says so, or the key is deleted.
    Versions {
        rows: Vec<Row>,
        upserts: bool,
    },
    Watermark(i64),
    Restart(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = || prop_oneof![1 => Just(None), 9 => (0i64..3).prop_map(Some)];
    let row = (key(), 1i64..40, 0i64..4).prop_map(|(k, t, a)| (k, Some(t), a));
    let version = (key(), 1i64..40, 0i64..6).prop_map(|(k, t, a)| (k, Some(t), a));
    let step = prop_oneof![
        4 => proptest::collection::vec(row, 1..6).prop_map(Step::Rows),
        4 => (proptest::collection::vec(version, 1..4), any::<bool>()).prop_map(|(rows, upserts)| Step::Versions { rows, upserts }),
        3 => (-20i64..1).prop_map(Step::Watermark),
        1 => (1u32..4).prop_map(Step::Restart),
    ];
    proptest::collection::vec(step, 1..40).prop_map(|steps| {
        let shift = |(at, step): (usize, Step)| {
            let now = at as i64 * 6;
            let moved = |rows: Vec<Row>| -> Vec<Row> {
                rows.into_iter().map(|(k, t, a)| (k, t.map(|t| t + now), a)).collect()
            };
            match step {
                Step::Rows(rows) => Step::Rows(moved(rows)),
                Step::Versions { rows, upserts } => Step::Versions { rows: moved(rows), upserts },
                Step::Watermark(behind) => Step::Watermark(now + behind),
                restart => restart,
            }
        };
        steps.into_iter().enumerate().map(shift).collect()
    })
}

fn number(value: Option<i64>) -> String {
    value.map_or("NULL".to_owned(), |value| value.to_string())
}

fn time(value: i64) -> String {
    let rows = batch(0, &[(None, Some(value), 0)]);
    crate::operator::testing::texts(&rows)[0].split('|').nth(1).unwrap().to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// A row meets the version with the highest time up to its own, of those that came before the watermark reached it.
    #[test]
    fn rows_meet_the_version_of_their_time(steps in steps(), left in any::<bool>(), filtered in any::<bool>()) {
        let join_type = if left { JoinType::Left } else { JoinType::Inner };
        let mut join = join(join_type, filtered);
        let mut versions: Vec<Row> = Vec::new();
        let (mut waiting, mut expected): (Vec<Row>, Contents) = (Vec::new(), Contents::new());
        let (mut reached, mut late) = (i64::MIN, 0);
        let mut steps = steps;
        steps.push(Step::Watermark(i64::MAX));
        for step in steps {
            match step {
                Step::Rows(rows) => {
                    join.send(0, Changes::inserts(batch(0, &rows)));
                    let (gone, in_time): (Vec<Row>, Vec<Row>) =
                        rows.into_iter().partition(|row| row.1.unwrap() <= reached);
                    late += gone.len() as u64;
                    waiting.extend(in_time);
                }
                Step::Versions { rows, upserts } => {
                    // A version is newer than all of its key, as from a table with updates in order.
                    let mut all = Vec::new();
                    for row in rows {
                        let newest = versions.iter().filter(|version| version.0 == row.0).max_by_key(|version| version.1).copied();
                        if newest.is_some_and(|newest| newest.1 >= row.1) {
                            continue;
                        }
                        if let Some(newest) = newest.filter(|_| upserts) {
                            all.push((newest, -1));
                        }
                        versions.push(row);
                        all.push((row, 1));
                    }
                    let (rows, weights): (Vec<Row>, Vec<i64>) = all.into_iter().unzip();
                    if !rows.is_empty() {
                        join.send(1, changes(batch(1, &rows), weights));
                    }
                }
                Step::Watermark(to) => {
                    reached = reached.max(to);
                    let (due, rest): (Vec<Row>, Vec<Row>) =
                        waiting.into_iter().partition(|row| row.1.unwrap() <= reached);
                    waiting = rest;
                    for (key, at, a) in due {
                        let found = versions
                            .iter()
                            .filter(|version| key.is_some() && version.0 == key && version.1 <= at)
                            .max_by_key(|version| version.1)
                            .filter(|version| !filtered || a < version.2);
                        let row = format!("{}|{}|{a}", number(key), time(at.unwrap()));
                        let row = match found {
                            Some((j, u, b)) => format!("{row}|{}|{}|{b}", number(*j), time(u.unwrap())),
                            None if left => format!("{row}|NULL|NULL|NULL"),
                            None => continue,
                        };
                        *expected.entry(row).or_default() += 1;
                    }
                    join.watermark(to);
                }
                Step::Restart(parallelism) => {
                    join.checkpoint();
                    join.rescale(parallelism);
                    join.watermark_again(reached);
                }
            }
        }
        prop_assert_eq!(&join.contents, &expected);
        prop_assert_eq!(join.late(), late);
        prop_assert!(join.emitted.iter().all(|changes| changes.weights.is_none()));
        let keys: std::collections::BTreeSet<i64> = versions.iter().filter_map(|version| version.0).collect();
        prop_assert_eq!(join.versions_left(), (keys.len(), 0), "one version a key is left, and no row waits");
    }
}

#[test]
fn a_late_version_holds_for_the_rows_after_it() {
    let mut join = join(JoinType::Inner, false);
    join.send(1, Changes::inserts(batch(1, &[(Some(1), Some(10), 1)])));
    join.send(0, Changes::inserts(batch(0, &[(Some(1), Some(20), 7)])));
    join.watermark(20);
    join.send(1, Changes::inserts(batch(1, &[(Some(1), Some(15), 2)])));
    join.send(0, Changes::inserts(batch(0, &[(Some(1), Some(30), 8), (Some(1), Some(19), 9)])));
    join.watermark(40);
    let numbers: Vec<_> =
        join.contents.keys().map(|row| row.split('|').nth(5).unwrap().to_owned()).collect();
    assert_eq!((numbers, join.late()), (vec!["1".to_owned(), "2".to_owned()], 1));
}
