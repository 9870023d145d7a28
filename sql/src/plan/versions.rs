//! `FOR SYSTEM_TIME AS OF`: from what is written to a [`TemporalJoin`].
//!
//! While a FROM is planned item by item, the table with the clause stands in a [`Versioned`] node; when the whole query is planned, the join that
//! holds one becomes a temporal join. It does so before anything is optimised: a filter on a versioned table's rows must not choose among its versions.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{
    Column, DFSchemaRef, JoinType, Result, TableReference, not_impl_err, plan_err,
};
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Extension, Join, LogicalPlan, LogicalPlanBuilder, Operator,
    UserDefinedLogicalNodeCore,
};
use datafusion::sql::sqlparser::ast::{self, FunctionArguments, TableFactor, TableVersion};

use super::{AsOf, EventTime, Relation, Rows, TemporalJoin, WindowTvf};

/// A table of which a join wants the version of a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Versioned {
    input: Arc<LogicalPlan>,
    /// The time, a column of the join's other side; `None`: the present.
    time: Option<Column>,
}

impl PartialOrd for Versioned {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.time.partial_cmp(&other.time)
    }
}

impl UserDefinedLogicalNodeCore for Versioned {
    fn name(&self) -> &str {
        "Versioned"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Versioned")
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match inputs.into_iter().next() {
            Some(input) => Ok(Self { input: Arc::new(input), time: self.time.clone() }),
            None => plan_err!("a versioned table has an input"),
        }
    }
}

/// Plans tables with `FOR SYSTEM_TIME AS OF`.
#[derive(Debug)]
pub(super) struct VersionPlanner;

impl RelationPlanner for VersionPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let mut relation = relation;
        let TableFactor::Table { version, alias, .. } = &mut relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let Some(asked) = version.take() else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let alias = alias.take();
        let TableVersion::ForSystemTimeAsOf(time) = asked else {
            return not_impl_err!("versions of tables other than by FOR SYSTEM_TIME AS OF");
        };
        let input = Arc::new(context.plan(relation)?);
        let node = Versioned { input, time: time_of(&time)? };
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// The column that a time is, which can be resolved only when both sides of the join are known.
fn time_of(time: &ast::Expr) -> Result<Option<Column>> {
    match time {
        ast::Expr::Identifier(name) => Ok(Some(Column::from_name(&name.value))),
        ast::Expr::CompoundIdentifier(parts) => match parts.as_slice() {
            [table, name] => {
                let table = TableReference::bare(table.value.clone());
                Ok(Some(Column::new(Some(table), &name.value)))
            }
            _ => plan_err!("FOR SYSTEM_TIME AS OF takes a column, such as o.ts, not `{time}`"),
        },
        ast::Expr::Function(function)
            if function.name.to_string().eq_ignore_ascii_case("proctime")
                && !matches!(&function.args, FunctionArguments::List(list) if !list.args.is_empty()) =>
        {
            Ok(None)
        }
        _ => plan_err!("FOR SYSTEM_TIME AS OF takes a column, such as o.ts, not `{time}`"),
    }
}

/// The plan with temporal joins in place of joins with versioned tables.
///
/// # Errors
/// If a versioned table is not the right side of a join, or the time is neither event time nor processing time.
pub(super) fn temporal_joins(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Join(join) => match versioned(&join.right)? {
            Some((right, time)) => temporal_join(join, right, time).map(Transformed::yes),
            None => Ok(Transformed::no(LogicalPlan::Join(join))),
        },
        plan => Ok(Transformed::no(plan)),
    })?;
    plan.data.apply_with_subqueries(|plan| match plan {
        LogicalPlan::Extension(extension) if extension.node.as_any().is::<Versioned>() => {
            plan_err!("FOR SYSTEM_TIME AS OF goes with the right side of a JOIN .. ON")
        }
        _ => Ok(TreeNodeRecursion::Continue),
    })?;
    Ok(plan.data)
}

/// A versioned table without its version, and the version's time.
fn versioned(plan: &LogicalPlan) -> Result<Option<(LogicalPlan, Option<Column>)>> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => match versioned(&alias.input)? {
            Some((input, time)) => {
                let builder = LogicalPlanBuilder::from(input).alias(alias.alias.clone())?;
                Ok(Some((builder.build()?, time)))
            }
            None => Ok(None),
        },
        // An alias with column names.
        LogicalPlan::Projection(projection) => match versioned(&projection.input)? {
            Some((input, time)) => {
                let builder = LogicalPlanBuilder::from(input).project(projection.expr.clone())?;
                Ok(Some((builder.build()?, time)))
            }
            None => Ok(None),
        },
        LogicalPlan::Extension(extension) => {
            let node = extension.node.as_any().downcast_ref::<Versioned>();
            Ok(node.map(|node| (node.input.as_ref().clone(), node.time.clone())))
        }
        _ => Ok(None),
    }
}

fn temporal_join(join: Join, right: LogicalPlan, time: Option<Column>) -> Result<LogicalPlan> {
    let left = join.left.clone();
    let as_of = match time {
        None => AsOf::ProcessingTime,
        Some(time) => as_of(&left, &right, time)?,
    };
    let mut on = join.on.clone();
    let mut rest = Vec::new();
    for condition in join.filter.into_iter().flat_map(split_conjunction_owned) {
        match equality(condition, &left, &right) {
            Ok(pair) => on.push(pair),
            Err(condition) => rest.push(condition),
        }
    }
    let (right, join_type) = (Arc::new(right), join.join_type);
    let node = TemporalJoin::try_new(left, right, join_type, on, conjunction(rest), as_of)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// The two sides of an equality of something left with something right.
fn equality(
    condition: Expr,
    left: &LogicalPlan,
    right: &LogicalPlan,
) -> std::result::Result<(Expr, Expr), Expr> {
    let Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b }) = condition else {
        return Err(condition);
    };
    let of = |expr: &Expr, side: &LogicalPlan| {
        let columns = expr.column_refs();
        !columns.is_empty() && columns.iter().all(|column| side.schema().has_column(column))
    };
    if of(&a, left) && of(&b, right) {
        return Ok((*a, *b));
    }
    if of(&b, left) && of(&a, right) {
        return Ok((*b, *a));
    }
    Err(Expr::BinaryExpr(BinaryExpr::new(a, Operator::Eq, b)))
}

/// What a time means: that of the left rows, or the present.
fn as_of(left: &LogicalPlan, right: &LogicalPlan, time: Column) -> Result<AsOf> {
    let schema = left.schema();
    let at = match &time.relation {
        Some(_) => schema.maybe_index_of_column(&time),
        None => schema.index_of_column_by_name(None, &time.name),
    };
    let Some(at) = at else {
        return plan_err!(
            "FOR SYSTEM_TIME AS OF {time}: the left side of the join has no such column"
        );
    };
    let left_time = Expr::Column(Column::from(schema.qualified_field(at)));
    if !matches!(left_time.get_type(schema)?, DataType::Timestamp(..)) {
        return plan_err!("FOR SYSTEM_TIME AS OF {time}: the column is no TIMESTAMP");
    }
    match origin(left, at) {
        Origin::ProcessingTime => Ok(AsOf::ProcessingTime),
        Origin::EventTime => match (0..right.schema().fields().len())
            .find(|at| origin(right, *at) == Origin::EventTime)
        {
            Some(at) => {
                let right = Expr::Column(Column::from(right.schema().qualified_field(at)));
                Ok(AsOf::EventTime { left: Box::new(left_time), right: Box::new(right) })
            }
            None => plan_err!(
                "FOR SYSTEM_TIME AS OF {time}: the right table has no event time, so that it is not known since when a row of it holds: \
                 give it a WATERMARK, or look it up as it is by a column AS PROCTIME()"
            ),
        },
        Origin::Value => plan_err!(
            "FOR SYSTEM_TIME AS OF {time}: the column is neither event time (WATERMARK FOR it) nor processing time (AS PROCTIME())"
        ),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    EventTime,
    ProcessingTime,
    Value,
}

/// True if an expression over the rows of a plan is the time at which they were read: `PROCTIME()`.
pub(crate) fn is_processing_time(plan: &LogicalPlan, expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => call.func.name().eq_ignore_ascii_case("proctime"),
        Expr::Alias(alias) => is_processing_time(plan, &alias.expr),
        Expr::Cast(cast) => is_processing_time(plan, &cast.expr),
        Expr::Column(column) => {
            let at = plan.schema().maybe_index_of_column(column);
            at.is_some_and(|at| origin(plan, at) == Origin::ProcessingTime)
        }
        _ => false,
    }
}

/// What a column of a plan holds.
fn origin(plan: &LogicalPlan, at: usize) -> Origin {
    let through = |input: &LogicalPlan, column: &Column| {
        input.schema().maybe_index_of_column(column).map_or(Origin::Value, |at| origin(input, at))
    };
    match plan {
        LogicalPlan::Projection(projection) => {
            match projection.expr.get(at).map(|expr| expr.clone().unalias_nested().data) {
                Some(Expr::Column(column)) => through(&projection.input, &column),
                Some(expr) if is_processing_time(&projection.input, &expr) => {
                    Origin::ProcessingTime
                }
                _ => Origin::Value,
            }
        }
        LogicalPlan::SubqueryAlias(alias) => origin(&alias.input, at),
        LogicalPlan::Filter(filter) => origin(&filter.input, at),
        LogicalPlan::Window(window) if at < window.input.schema().fields().len() => {
            origin(&window.input, at)
        }
        LogicalPlan::Join(join) => {
            let left = join.left.schema().fields().len();
            match (join.join_type, at.checked_sub(left)) {
                (JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full, Some(at)) => {
                    origin(&join.right, at)
                }
                (_, None) => origin(&join.left, at),
                _ => Origin::Value,
            }
        }
        LogicalPlan::TableScan(scan) => {
            let relation = Relation::of(&scan.source);
            let at = scan.projection.as_ref().map_or(Some(at), |all| all.get(at).copied());
            match (relation.map(|relation| relation.rows.clone()), at) {
                (Some(Rows::Planned(plan)), Some(at)) => origin(&plan, at),
                _ => Origin::Value,
            }
        }
        LogicalPlan::Extension(extension) => {
            let node = extension.node.as_any();
            if let Some(node) = node.downcast_ref::<EventTime>() {
                return match &node.time {
                    Expr::Column(time)
                        if node.input.schema().maybe_index_of_column(time) == Some(at) =>
                    {
                        Origin::EventTime
                    }
                    _ => origin(&node.input, at),
                };
            }
            if let Some(node) = node.downcast_ref::<WindowTvf>() {
                let own = node.input_columns();
                let of_time = || match &node.time {
                    Expr::Column(time) => through(&node.input, time),
                    _ => Origin::Value,
                };
                return match at {
                    at if at < own => origin(&node.input, at),
                    at if at == own + 2 => of_time(),
                    _ => Origin::Value,
                };
            }
            if let Some(node) = node.downcast_ref::<TemporalJoin>() {
                let left = node.left.schema().fields().len();
                return match at.checked_sub(left) {
                    None => origin(&node.left, at),
                    Some(_) => Origin::Value,
                };
            }
            Origin::Value
        }
        _ => Origin::Value,
    }
}
