use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::datasource::MemTable;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, build_join_schema};
use datafusion::physical_expr::create_physical_expr;
use datafusion::prelude::{SessionContext, col};
use proptest::prelude::*;
use riverrun_dataflow::{Barrier, Operator, RestoredState, Snapshot, SnapshotKind};

use super::subtasks::{Contents, Subtasks, add, changes};
use super::*;
use crate::Changes;

const TYPES: [JoinType; 10] = [
    JoinType::Inner,
    JoinType::Left,
    JoinType::Right,
    JoinType::Full,
    JoinType::LeftSemi,
    JoinType::RightSemi,
    JoinType::LeftAnti,
    JoinType::RightAnti,
    JoinType::LeftMark,
    JoinType::RightMark,
];

fn schema(side: usize) -> SchemaRef {
    let names = [["k", "a", "s"], ["j", "b", "t"]][side];
    Arc::new(Schema::new(vec![
        Field::new(names[0], DataType::Int64, true),
        Field::new(names[1], DataType::Int64, true),
        Field::new(names[2], DataType::Utf8, true),
    ]))
}

type Row = (Option<i64>, Option<i64>, Option<String>);

fn batch(side: usize, rows: &[Row]) -> RecordBatch {
    RecordBatch::try_new(
        schema(side),
        vec![
            Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0))),
            Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.1))),
            Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2.as_deref()))),
        ],
    )
    .unwrap()
}

fn df_schema(side: usize) -> DFSchema {
    DFSchema::try_from(schema(side)).unwrap()
}

/// A join of the two test tables by `k = j`, or by nothing.
fn spec(join_type: JoinType, keyed: bool, nulls_equal: bool, filter: Option<&Expr>) -> JoinSpec {
    let both = df_schema(0).join(&df_schema(1)).unwrap();
    let filter = filter.map(|filter| {
        let (props, context) = (ExecutionProps::new(), PhysicalPlanningContext::default());
        create_physical_expr(filter, &both, &props, &context).unwrap()
    });
    let input = |side: usize| JoinInput {
        schema: schema(side),
        columns: 3,
        keys: if keyed { vec![0] } else { vec![] },
    };
    let output = build_join_schema(&df_schema(0), &df_schema(1), &join_type).unwrap();
    JoinSpec {
        join_type,
        inputs: [input(0), input(1)],
        nulls_equal,
        filter,
        output: output.inner().clone(),
        retracts: true,
        time_to_live: None,
    }
}

/// What DataFusion says that the join of these rows is.
fn expected(
    rows: [&[Row]; 2],
    join_type: JoinType,
    keyed: bool,
    nulls_equal: bool,
    filter: Option<&Expr>,
) -> Contents {
    let context = SessionContext::new();
    for side in 0..2 {
        let table = MemTable::try_new(schema(side), vec![vec![batch(side, rows[side])]]).unwrap();
        context.register_table(["l", "r"][side], Arc::new(table)).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let left = context.table("l").await.unwrap().into_unoptimized_plan();
        let right = context.table("r").await.unwrap().into_unoptimized_plan();
        let keys: (Vec<&str>, Vec<&str>) =
            if keyed { (vec!["k"], vec!["j"]) } else { (vec![], vec![]) };
        let equality = match nulls_equal {
            true => NullEquality::NullEqualsNull,
            false => NullEquality::NullEqualsNothing,
        };
        let filter = filter.cloned();
        let plan = LogicalPlanBuilder::from(left)
            .join_detailed(right, join_type, keys, filter, equality)
            .unwrap()
            .build()
            .unwrap();
        let result = context.execute_logical_plan(plan).await.unwrap().collect().await.unwrap();
        let mut contents = Contents::new();
        for batch in result {
            add(&mut contents, &Changes::inserts(batch));
        }
        contents
    })
}

fn row() -> impl Strategy<Value = Row> {
    (
        prop_oneof![1 => Just(None), 8 => (0i64..5).prop_map(Some)],
        prop_oneof![1 => Just(None), 6 => (0i64..6).prop_map(Some)],
        prop_oneof![1 => Just(None), 3 => "[a-b]{0,2}".prop_map(Some)],
    )
}

/// Rows that are there in the end, and rows that come and go.
fn side() -> impl Strategy<Value = (Vec<Row>, Vec<Row>)> {
    (proptest::collection::vec(row(), 0..25), proptest::collection::vec(row(), 0..12))
}

/// All changes of a side in some order: a row may go before it came.
fn history(kept: &[Row], passing: &[Row], seed: u64) -> Vec<(Row, i64)> {
    use rand::SeedableRng;
    use rand::seq::SliceRandom;
    let mut history: Vec<(Row, i64)> = kept.iter().map(|row| (row.clone(), 1)).collect();
    for row in passing {
        history.push((row.clone(), 1));
        history.push((row.clone(), -1));
    }
    history.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
    history
}

/// Sends both histories in batches, by turns, with a restart in the middle.
fn run(mut join: Subtasks<Join>, histories: [Vec<(Row, i64)>; 2], size: usize) -> Subtasks<Join> {
    let mut batches: Vec<(usize, Vec<(Row, i64)>)> = Vec::new();
    let chunks: Vec<Vec<_>> =
        histories.iter().map(|history| history.chunks(size).collect()).collect();
    for at in 0..chunks[0].len().max(chunks[1].len()) {
        for (side, chunks) in chunks.iter().enumerate() {
            if let Some(chunk) = chunks.get(at) {
                batches.push((side, chunk.to_vec()));
            }
        }
    }
    let count = batches.len();
    for (at, (side, rows)) in batches.into_iter().enumerate() {
        let (rows, weights): (Vec<Row>, Vec<i64>) = rows.into_iter().unzip();
        join.send(side, changes(batch(side, &rows), weights));
        if at == count / 3 {
            join.checkpoint();
        }
        if at == count / 2 && join.rescalable {
            join.rescale(3);
        }
    }
    if join.rescalable {
        join.rescale(1);
    }
    join
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// Whatever the order in which rows come and go: the output adds up to the join of what is there in the end.
    #[test]
    fn the_output_is_the_join_of_what_is_there(
        left in side(),
        right in side(),
        which in 0..TYPES.len(),
        keyed in prop::bool::weighted(0.8),
        nulls_equal in any::<bool>(),
        filtered in any::<bool>(),
        size in 1usize..9,
        seed in any::<u64>(),
    ) {
        let join_type = TYPES[which];
        let filter = (filtered || !keyed).then(|| col("a").lt(col("b")));
        let spec = spec(join_type, keyed, nulls_equal, filter.as_ref());
        let keys = if keyed { vec![0] } else { vec![] };
        let mut subtasks = Subtasks::new(if keyed { 2 } else { 1 }, vec![keys.clone(), keys], move || {
            Join::new(spec.clone()).unwrap()
        });
        subtasks.rescalable = keyed;
        let histories = [history(&left.0, &left.1, seed), history(&right.0, &right.1, seed ^ 1)];
        let subtasks = run(subtasks, histories, size);
        let expected = expected([&left.0, &right.0], join_type, keyed, nulls_equal, filter.as_ref());
        prop_assert_eq!(&subtasks.contents, &expected);
    }

    /// A join of insertions that takes nothing back says so, and puts out duplicates one by one.
    #[test]
    fn insertions_stay_insertions(
        left in proptest::collection::vec(row(), 0..40),
        right in proptest::collection::vec(row(), 0..40),
        semi in any::<bool>(),
        filtered in any::<bool>(),
        size in 1usize..30,
    ) {
        let join_type = if semi { JoinType::LeftSemi } else { JoinType::Inner };
        let filter = filtered.then(|| col("a").lt(col("b")));
        let spec = JoinSpec { retracts: false, ..spec(join_type, true, false, filter.as_ref()) };
        let mut join = Subtasks::new(1, vec![vec![0], vec![0]], move || Join::new(spec.clone()).unwrap());
        for (side, rows) in [(1, &right), (0, &left)] {
            for rows in rows.chunks(size) {
                join.send(side, Changes::inserts(batch(side, rows)));
            }
        }
        prop_assert!(join.emitted.iter().all(|changes| changes.weights.is_none()));
        let expected = expected([&left, &right], join_type, true, false, filter.as_ref());
        prop_assert_eq!(&join.contents, &expected);
    }
}

fn plain(join_type: JoinType) -> Subtasks<Join> {
    let spec = spec(join_type, true, false, None);
    Subtasks::new(1, vec![vec![0], vec![0]], move || Join::new(spec.clone()).unwrap())
}

fn rows(of: impl IntoIterator<Item = (i64, i64)>) -> Vec<Row> {
    of.into_iter().map(|(k, a)| (Some(k), Some(a), None)).collect()
}

#[test]
fn an_update_of_nothing_that_is_read_changes_nothing() {
    let mut join = plain(JoinType::LeftSemi);
    join.send(0, Changes::inserts(batch(0, &rows([(1, 1)]))));
    join.send(1, Changes::inserts(batch(1, &rows([(1, 10)]))));
    let emitted = join.emitted.len();
    join.send(1, changes(batch(1, &rows([(1, 10), (1, 11)])), vec![-1, 1]));
    assert_eq!(join.emitted.len(), emitted);
}

#[test]
fn hot_keys_come_out_in_bounded_batches() {
    let mut join = plain(JoinType::Full);
    join.send(0, Changes::inserts(batch(0, &rows((0..300).map(|a| (7, a))))));
    join.send(1, Changes::inserts(batch(1, &rows((0..300).map(|b| (7, b))))));
    assert_eq!(join.contents.values().sum::<i64>(), 300 * 300);
    join.send(1, changes(batch(1, &rows((0..300).map(|b| (7, b)))), vec![-1; 300]));
    assert_eq!(join.contents.len(), 300, "left rows alone");
    assert!(join.contents.keys().all(|row| row.ends_with("NULL|NULL|NULL")));
}

#[test]
fn keys_that_nothing_happens_to_go_after_their_time_and_results_stay() {
    let ttl = Some(Duration::from_secs(60));
    let spec = JoinSpec { time_to_live: ttl, ..spec(JoinType::Inner, true, false, None) };
    let mut join =
        Subtasks::new(1, vec![vec![0], vec![0]], move || Join::new(spec.clone()).unwrap());
    let left = Changes::inserts(batch(0, &rows([(1, 1), (2, 2)])));
    let right = |key| Changes::inserts(batch(1, &rows([(key, 10)])));
    join.send(0, left);
    join.time(40_000);
    join.send(1, right(2));
    join.time(70_000);
    join.rescale(1);
    assert_eq!(join.contents.len(), 1);
    join.send(1, right(1));
    join.send(0, Changes::inserts(batch(0, &rows([(2, 3)]))));
    assert_eq!(join.contents.len(), 2, "key 1 was forgotten, key 2 was not");
    join.time(1_000_000);
    join.checkpoint();
    assert_eq!(join.only().matching.buckets.keys(), 0);
}

#[test]
fn a_checkpoint_of_another_join_is_refused() {
    let spec_of = |join_type| spec(join_type, true, false, None);
    let mut inner = plain(JoinType::Inner);
    let state = inner
        .only()
        .snapshot(Barrier { checkpoint: 1, kind: SnapshotKind::Full })
        .and_then(Snapshot::finish)
        .unwrap();
    let restored = RestoredState { list: state.list, ..Default::default() };
    let mut left = Join::new(spec_of(JoinType::Left)).unwrap();
    let error = left.restore(restored).unwrap_err();
    assert!(error.to_string().contains("Inner join of"), "{error}");
}
