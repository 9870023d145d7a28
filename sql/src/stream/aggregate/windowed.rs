//! Aggregations on a windowing function.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{
    Aggregate, Expr, Extension, Filter, GroupingSet, LogicalPlan, Projection,
};
use datafusion::prelude::cast;

use crate::Result;
use crate::plan::{WindowTvf, is_processing_time};
use crate::stream::planner::planning;

/// What a column of GROUP BY says of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing: it is a part of the key.
    Key,
    /// `window_start`.
    Start,
    /// `window_end`.
    End,
    /// `window_time`.
    Time,
}

const BOUNDS: [Role; 3] = [Role::Start, Role::End, Role::Time];

/// For each column of a plan, which of the windowing function's columns below it is, if it is one.
struct Origins {
    /// Number of the function's columns before those of the window.
    own: usize,
    of: Vec<Option<usize>>,
}

impl Origins {
    fn role(&self, at: usize) -> Role {
        let origin = self.of.get(at).copied().flatten();
        origin.and_then(|origin| origin.checked_sub(self.own)).map_or(Role::Key, |at| BOUNDS[at])
    }
}

/// An aggregation of which each row belongs to the window that a windowing function below has given it.
pub(super) struct Windowed<'a> {
    pub function: &'a WindowTvf,
    /// The roles of the columns of GROUP BY.
    pub roles: Vec<Role>,
    /// The input, where the columns of the window all hold the row's time instead.
    pub input: LogicalPlan,
    /// Whether rows fall into windows by the time at which they are read.
    pub processing_time: bool,
    /// Whether the other columns of GROUP BY are those by which the windowing function tells sessions apart.
    pub by_partition: bool,
}

impl<'a> Windowed<'a> {
    /// The aggregation, if it is one: grouped by a window's bounds, which nobody between here and the windowing function has looked at.
    pub fn of(aggregate: &'a Aggregate) -> Result<Option<Self>> {
        let Some((function, origins)) = find(&aggregate.input) else { return Ok(None) };
        let schema = aggregate.input.schema();
        let groups = grouping_set_to_exprlist(&aggregate.group_expr).map_err(|e| planning(&e))?;
        let roles = roles(&groups, schema, |at| origins.role(at));
        let Some(roles) = roles.filter(|roles| tells_window(roles)) else { return Ok(None) };
        if !in_all_sets(&aggregate.group_expr, &groups, &roles)
            || aggregate.aggr_expr.iter().any(|call| reads(call, schema, &origins))
        {
            return Ok(None);
        }
        let input = with_times(&aggregate.input).map_err(|error| planning(&error))?;
        let keys = groups.iter().zip(&roles).filter(|(_, role)| **role == Role::Key);
        let keys: Option<BTreeSet<usize>> = keys
            .map(|(key, _)| {
                let Expr::Column(column) = key else { return None };
                origins.of.get(schema.maybe_index_of_column(column)?).copied().flatten()
            })
            .collect();
        let partition = function.partition_by.iter().map(|key| {
            let Expr::Column(column) = key else { return None };
            function.input.schema().maybe_index_of_column(column)
        });
        let partition: Option<BTreeSet<usize>> = partition.collect();
        Ok(Some(Self {
            function,
            roles,
            input,
            processing_time: is_processing_time(&function.input, &function.time),
            by_partition: keys.is_some() && keys == partition,
        }))
    }
}

/// The roles of the columns of GROUP BY; `None` if an expression computes something from a bound.
pub(super) fn roles(
    groups: &[&Expr],
    schema: &DFSchemaRef,
    role: impl Fn(usize) -> Role,
) -> Option<Vec<Role>> {
    let role_of = |expr: &&Expr| match expr {
        Expr::Column(column) => Some(role(schema.maybe_index_of_column(column)?)),
        other => {
            let columns = other.column_refs();
            let mut read = columns.iter().map(|column| schema.maybe_index_of_column(column));
            read.all(|at| at.is_some_and(|at| role(at) == Role::Key)).then_some(Role::Key)
        }
    };
    groups.iter().map(role_of).collect()
}

/// True if the bounds say which window it is. The end does; as Flink, we ask for the start too.
pub(super) fn tells_window(roles: &[Role]) -> bool {
    roles.contains(&Role::Start) && roles.contains(&Role::End)
}

/// True if the columns of the window are in each grouping set.
pub(super) fn in_all_sets(group: &[Expr], groups: &[&Expr], roles: &[Role]) -> bool {
    match group {
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => {
            let bounds = groups.iter().zip(roles).filter(|(_, role)| **role != Role::Key);
            bounds.into_iter().all(|(bound, _)| sets.iter().all(|set| set.contains(bound)))
        }
        [Expr::GroupingSet(_)] => false,
        _ => true,
    }
}

fn reads(expr: &Expr, schema: &DFSchemaRef, origins: &Origins) -> bool {
    expr.column_refs().into_iter().any(|column| {
        let at = schema.maybe_index_of_column(column);
        at.is_none_or(|at| origins.role(at) != Role::Key)
    })
}

/// The windowing function below a plan that only passes its bounds on, and where its columns are.
fn find(plan: &LogicalPlan) -> Option<(&WindowTvf, Origins)> {
    match plan {
        LogicalPlan::Extension(extension) => {
            let function = extension.node.as_any().downcast_ref::<WindowTvf>()?;
            let of = (0..function.schema.fields().len()).map(Some).collect();
            Some((function, Origins { own: function.input_columns(), of }))
        }
        LogicalPlan::SubqueryAlias(alias) => find(&alias.input),
        LogicalPlan::Filter(filter) => {
            let (function, origins) = find(&filter.input)?;
            let looks = reads(&filter.predicate, filter.input.schema(), &origins);
            (!looks).then_some((function, origins))
        }
        LogicalPlan::Projection(projection) => {
            let (function, origins) = find(&projection.input)?;
            let schema = projection.input.schema();
            let mut of = Vec::with_capacity(projection.expr.len());
            for expr in &projection.expr {
                let mut plain = expr;
                while let Expr::Alias(alias) = plain {
                    plain = &alias.expr;
                }
                if let Expr::Column(column) = plain {
                    of.push(origins.of[schema.maybe_index_of_column(column)?]);
                } else if reads(plain, schema, &origins) {
                    return None;
                } else {
                    of.push(None);
                }
            }
            Some((function, Origins { of, ..origins }))
        }
        _ => None,
    }
}

/// The plan with the row's time in all columns of the window.
fn with_times(plan: &LogicalPlan) -> datafusion::common::Result<LogicalPlan> {
    if let LogicalPlan::Extension(Extension { node }) = plan
        && let Some(function) = node.as_any().downcast_ref::<WindowTvf>()
    {
        let own = function.input_columns();
        let mut columns: Vec<Expr> =
            function.input.schema().columns().into_iter().map(Expr::Column).collect();
        for at in own..own + BOUNDS.len() {
            let field = function.schema.field(at);
            let time = match function.schema.field(own + 2).data_type() == field.data_type() {
                true => function.time.clone(),
                false => cast(function.time.clone(), field.data_type().clone()),
            };
            columns.push(time.alias(field.name()));
        }
        let schema = function.schema.clone();
        // A row without a time is in no window.
        let timed = Filter::try_new(function.time.clone().is_not_null(), function.input.clone())?;
        let input = Arc::new(LogicalPlan::Filter(timed));
        return Projection::try_new_with_schema(columns, input, schema)
            .map(LogicalPlan::Projection);
    }
    let inputs: Vec<LogicalPlan> =
        plan.inputs().into_iter().map(with_times).collect::<datafusion::common::Result<_>>()?;
    plan.with_new_exprs(plan.expressions(), inputs)
}
