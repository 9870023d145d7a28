//! Windowing functions and event time in DataFusion's words.

use arrow_schema::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DataFusionError, Result as PlanResult, ScalarValue};
use datafusion::functions::core::expr_fn::get_field;
use datafusion::functions_aggregate::expr_fn::{max, min, sum};
use datafusion::functions_window::expr_fn::{lag, lead};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{
    Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, SortExpr, WindowFunctionDefinition,
    cast, expr::WindowFunction, lit, when,
};

use crate::Result;
use crate::function::windowing::{cumulate_windows, hop_windows};
use crate::plan::{AsOf, EventTime, TemporalJoin, WindowKind, WindowTvf, invalid};
use crate::stream::same_types;

/// Name of the column that holds a row's windows while they are spread.
const WINDOWS: &str = "__windows";

/// Name of the column that holds the time of the version after a row's.
const UNTIL: &str = "__until";

/// The same query without extension nodes.
///
/// # Errors
/// [`crate::Error::Invalid`] with what DataFusion says about it.
pub fn lower(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|plan| {
        let LogicalPlan::Extension(extension) = &plan else { return Ok(Transformed::no(plan)) };
        let node = extension.node.as_any();
        if let Some(node) = node.downcast_ref::<EventTime>() {
            return Ok(Transformed::yes(node.input.as_ref().clone()));
        }
        if let Some(node) = node.downcast_ref::<WindowTvf>() {
            return window(node).map(Transformed::yes);
        }
        if let Some(node) = node.downcast_ref::<TemporalJoin>() {
            return versions(node).map(Transformed::yes);
        }
        Ok(Transformed::no(plan))
    })
    .map(|transformed| transformed.data)
    .map_err(invalid)
}

/// Rows meet the version that holds from before or at their time until the next one.
fn versions(node: &TemporalJoin) -> PlanResult<LogicalPlan> {
    let columns = |plan: &LogicalPlan| -> Vec<Expr> {
        plan.schema().columns().into_iter().map(Expr::Column).collect()
    };
    let result: Vec<Expr> = node.schema.columns().into_iter().map(Expr::Column).collect();
    let keys = same_types(&node.on, node.left.schema(), node.right.schema())
        .map_err(|error| DataFusionError::External(Box::new(error)))?;
    let mut conditions: Vec<Expr> = node.filter.iter().cloned().collect();
    let mut right = node.right.as_ref().clone();
    if let AsOf::EventTime { left, right: since } = &node.as_of {
        let (left, since) = (left.as_ref(), since.as_ref());
        let next = lead(since.clone(), Some(1), None)
            .partition_by(keys.1.clone())
            .order_by(vec![SortExpr::new(since.clone(), true, false)])
            .build()?;
        let mut with_next = columns(&right);
        with_next.push(Expr::Column(Column::from_name(UNTIL)));
        right = LogicalPlanBuilder::from(right)
            .window(vec![next.alias(UNTIL)])?
            .project(with_next)?
            .build()?;
        let until = Expr::Column(Column::from_name(UNTIL));
        conditions.push(left.clone().gt_eq(since.clone()));
        conditions.push(until.clone().is_null().or(left.clone().lt(until)));
    }
    LogicalPlanBuilder::from(node.left.as_ref().clone())
        .join_with_expr_keys(right, node.join_type, keys, conjunction(conditions))?
        .project(result)?
        .build()
}

fn window(node: &WindowTvf) -> PlanResult<LogicalPlan> {
    match node.kind {
        WindowKind::Tumble { size, offset } => spread(node, hop(node, size, size, offset)),
        WindowKind::Hop { slide, size, offset } => spread(node, hop(node, slide, size, offset)),
        WindowKind::Cumulate { step, size, offset } => spread(
            node,
            cumulate_windows().call(vec![node.time.clone(), lit(step), lit(size), lit(offset)]),
        ),
        WindowKind::Session { gap } => sessions(node, gap),
    }
}

fn hop(node: &WindowTvf, slide: i64, size: i64, offset: i64) -> Expr {
    hop_windows().call(vec![node.time.clone(), lit(slide), lit(size), lit(offset)])
}

/// Every row once for each of its windows.
fn spread(node: &WindowTvf, windows: Expr) -> PlanResult<LogicalPlan> {
    let input = own_columns(node);
    let mut columns = input.clone();
    columns.push(windows.alias(WINDOWS));
    let window = |field: &str| get_field(Expr::Column(Column::from_name(WINDOWS)), field);
    let mut result = input;
    result.extend(bounds(node, window("window_start"), window("window_end"))?);
    LogicalPlanBuilder::from(node.input.as_ref().clone())
        .project(columns)?
        .unnest_column(Column::from_name(WINDOWS))?
        .project(result)?
        .build()
}

/// Rows of a key belong to one session as long as the next is at most `gap` away.
fn sessions(node: &WindowTvf, gap: i64) -> PlanResult<LogicalPlan> {
    let (time, began, session) = ("__time", "__began", "__session");
    let column = |name: &str| Expr::Column(Column::from_name(name));
    let keys = node.partition_by.clone();
    let by_time = || vec![SortExpr::new(column(time), true, false)];

    let mut timed = own_columns(node);
    timed.push(cast(node.time.clone(), DataType::Int64).alias(time));
    let mut plan = LogicalPlanBuilder::from(node.input.as_ref().clone())
        .filter(node.time.clone().is_not_null())?
        .project(timed)?;

    let before = lag(column(time), Some(1), None)
        .partition_by(keys.clone())
        .order_by(by_time())
        .build()?
        .alias("__before");
    plan = plan.window(vec![before])?;
    let new = when((column(time) - column("__before")).lt_eq(lit(gap)), lit(0_i64))
        .otherwise(lit(1_i64))?;
    let mut with_new = own_columns(node);
    with_new.extend([column(time), new.alias(began)]);
    plan = plan.project(with_new)?;

    let number = over(sum(column(began)), keys.clone(), by_time())?.alias(session);
    plan = plan.window(vec![number])?;
    let mut of_session = keys;
    of_session.push(column(session));
    let first = over(min(node.time.clone()), of_session.clone(), Vec::new())?.alias("__first");
    let last = over(max(node.time.clone()), of_session, Vec::new())?.alias("__last");
    plan = plan.window(vec![first, last])?;

    let mut result = own_columns(node);
    result.extend(bounds(node, column("__first"), column("__last") + interval(gap))?);
    plan.project(result)?.build()
}

/// An aggregate over the rows of a partition.
fn over(aggregate: Expr, keys: Vec<Expr>, order: Vec<SortExpr>) -> PlanResult<Expr> {
    let Expr::AggregateFunction(aggregate) = aggregate else { return Ok(aggregate) };
    let function = WindowFunctionDefinition::AggregateUDF(aggregate.func);
    let function = Expr::from(WindowFunction::new(function, aggregate.params.args));
    let function = function.partition_by(keys);
    // Without an order, the whole partition is one row's neighbourhood.
    if order.is_empty() { function.build() } else { function.order_by(order).build() }
}

/// The columns of the input, as they are.
fn own_columns(node: &WindowTvf) -> Vec<Expr> {
    node.input.schema().iter().map(|(q, field)| Expr::from((q, field))).collect()
}

/// `window_start`, `window_end` and `window_time`, of the types that the node promises.
fn bounds(node: &WindowTvf, start: Expr, end: Expr) -> PlanResult<[Expr; 3]> {
    let own = node.input_columns();
    let data_type = |at: usize| node.schema.field(own + at).data_type().clone();
    let time = cast(end.clone(), data_type(1)) - interval(1);
    Ok([
        cast(start, data_type(0)).alias("window_start"),
        cast(end, data_type(1)).alias("window_end"),
        cast(time, data_type(2)).alias("window_time"),
    ])
}

/// A number of milliseconds as an interval.
fn interval(milliseconds: i64) -> Expr {
    Expr::Literal(ScalarValue::new_interval_mdn(0, 0, milliseconds * 1_000_000), None)
}
