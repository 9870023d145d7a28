//! The table of the tests, and what DataFusion says of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::{Aggregate, Expr, Extension, LogicalPlan, LogicalPlanBuilder};
use datafusion::prelude::{SessionConfig, SessionContext, col};
use proptest::prelude::*;

use crate::Changes;
use crate::plan::{WindowKind, WindowTvf};

/// A row of `t (k, a, d, f, s, b, ts)`.
pub type Row = (
    Option<&'static str>,
    Option<i64>,
    Option<i64>,
    Option<i8>,
    Option<String>,
    Option<bool>,
    Option<i64>,
);

pub fn row() -> impl Strategy<Value = Row> {
    (
        proptest::option::weighted(0.9, prop_oneof![Just("x"), Just("y"), Just("")]),
        proptest::option::weighted(0.8, -3i64..6),
        proptest::option::weighted(0.8, -200i64..200),
        proptest::option::weighted(0.8, any::<i8>()),
        proptest::option::weighted(0.8, "[ab]{0,2}"),
        proptest::option::weighted(0.8, any::<bool>()),
        proptest::option::weighted(0.95, -20i64..60),
    )
}

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, true),
        Field::new("a", DataType::Int64, true),
        Field::new("d", DataType::Decimal128(10, 2), true),
        Field::new("f", DataType::Float64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("b", DataType::Boolean, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]))
}

fn columns(rows: &[&Row]) -> RecordBatch {
    let decimals = Decimal128Array::from_iter(rows.iter().map(|row| row.2.map(i128::from)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.0))),
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.1))),
        Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()),
        // Sums are exact in any order.
        Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.3.map(|f| f64::from(f) / 8.0)))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.4.as_deref()))),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.5))),
        Arc::new(TimestampMillisecondArray::from_iter(rows.iter().map(|row| row.6))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

pub fn batches(rows: &[(Row, i64)], weighted: bool) -> Changes {
    let batch = columns(&rows.iter().map(|(row, _)| row).collect::<Vec<_>>());
    match weighted {
        false => Changes::inserts(batch),
        true => Changes::weighted(batch, rows.iter().map(|(_, weight)| *weight).collect()),
    }
}

/// What the rows add up to.
pub fn net(rows: &[(Row, i64)]) -> RecordBatch {
    let mut sums: BTreeMap<&Row, i64> = BTreeMap::new();
    for (row, weight) in rows {
        *sums.entry(row).or_default() += weight;
    }
    let all: Vec<&Row> =
        sums.into_iter().flat_map(|(row, n)| std::iter::repeat_n(row, n.max(0) as usize)).collect();
    columns(&all)
}

fn context(rows: RecordBatch) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(1);
    let context = SessionContext::new_with_config(config);
    let table = MemTable::try_new(schema(), vec![vec![rows]]).unwrap();
    context.register_table("t", Arc::new(table)).unwrap();
    context
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn aggregation(context: &SessionContext, query: &str) -> Aggregate {
    let state = context.state();
    let plan = block_on(state.create_logical_plan(query)).unwrap();
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {}).unwrap();
    fn find(plan: &LogicalPlan) -> Option<Aggregate> {
        match plan {
            LogicalPlan::Aggregate(aggregate) => Some(aggregate.clone()),
            other => other.inputs().into_iter().find_map(find),
        }
    }
    find(&plan).unwrap()
}

/// The aggregation of a query over `t`.
pub fn planned(query: &str) -> Aggregate {
    aggregation(&context(columns(&[])), query)
}

/// An aggregation over a windowing function over `t`.
pub fn in_windows(kind: WindowKind, group: Vec<Expr>, calls: Vec<Expr>) -> Aggregate {
    in_windows_of(&context(columns(&[])), kind, group, calls)
}

fn in_windows_of(
    context: &SessionContext,
    kind: WindowKind,
    group: Vec<Expr>,
    calls: Vec<Expr>,
) -> Aggregate {
    let scan = block_on(context.table("t")).unwrap().into_unoptimized_plan();
    let keys = vec![col("k")];
    let function = WindowTvf::try_new(Arc::new(scan), kind, col("ts"), keys).unwrap();
    let input = LogicalPlan::Extension(Extension { node: Arc::new(function) });
    let plan = LogicalPlanBuilder::from(input).aggregate(group, calls).unwrap().build().unwrap();
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate,
        other => panic!("no aggregation: {other}"),
    }
}

/// What DataFusion says the aggregation of a query is, as rows with their number.
pub fn reference(query: &str, rows: &RecordBatch) -> BTreeMap<String, i64> {
    let context = context(rows.clone());
    let plan = LogicalPlan::Aggregate(aggregation(&context, query));
    run(&context, plan)
}

/// What DataFusion says an aggregation in windows is.
pub fn reference_in_windows(
    kind: WindowKind,
    group: Vec<Expr>,
    calls: Vec<Expr>,
    rows: &RecordBatch,
) -> BTreeMap<String, i64> {
    let context = context(rows.clone());
    let plan = LogicalPlan::Aggregate(in_windows_of(&context, kind, group, calls));
    run(&context, crate::batch::lower(plan).unwrap())
}

fn run(context: &SessionContext, plan: LogicalPlan) -> BTreeMap<String, i64> {
    let batches = block_on(DataFrame::new(context.state(), plan).collect()).unwrap();
    let mut result = BTreeMap::new();
    for batch in batches {
        add_up(&mut result, &Changes::inserts(batch));
    }
    result
}

/// Adds weighted rows, as text.
pub fn add_up(result: &mut BTreeMap<String, i64>, changes: &Changes) {
    let options = FormatOptions::new().with_null("NULL");
    let columns: Vec<ArrayRef> = changes.rows.columns().iter().map(rounded).collect();
    let formatters: Vec<_> =
        columns.iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    for row in 0..changes.len() {
        let text: Vec<String> = formatters.iter().map(|f| f.value(row).to_string()).collect();
        *result.entry(text.join("|")).or_default() += changes.weight(row);
    }
    result.retain(|_, weight| *weight != 0);
}

/// Deviations are computed in different orders: their last digits do not count.
fn rounded(column: &ArrayRef) -> ArrayRef {
    use arrow_array::cast::AsArray;
    match column.as_primitive_opt::<arrow_array::types::Float64Type>() {
        Some(numbers) => Arc::new(StringArray::from_iter(
            numbers.iter().map(|number| number.map(|number| format!("{:.8e}", number + 0.0))),
        )),
        None => column.clone(),
    }
}
