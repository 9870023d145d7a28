//! What is made of each row of a FROM: `t CROSS JOIN UNNEST(t.xs)`, `t, LATERAL TABLE(f(t.x))`.
//!
//! DataFusion plans the right side as a sub-query that refers to columns of the left one, and cannot do without the reference. Such a sub-query is a
//! chain of nodes over one empty row; put over the left side instead, with its columns beside what the chain makes, it means the same and is an
//! ordinary plan.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{
    Column, DFSchema, NullHandling, Result, ScalarValue, UnnestOptions, not_impl_err, plan_err,
};
use datafusion::functions_nested::map_entries::map_entries_udf;
use datafusion::logical_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion::logical_expr::{
    Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Projection, SubqueryAlias,
};
use datafusion::sql::sqlparser::ast::{
    Expr as Sql, FunctionArg, FunctionArgExpr, TableAlias, TableFactor,
};

/// What the elements are called until they have the name that the query gives them.
const ELEMENT: &str = "__element";

/// Plans `UNNEST(..)` and `LATERAL TABLE(f(..))`: a row for each element, with the fields of ROW elements as columns.
#[derive(Debug)]
pub(super) struct UnnestPlanner;

impl RelationPlanner for UnnestPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let Some((sql, alias)) = unnested(&relation) else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let (sql, alias) = (sql.clone(), alias.clone());
        let list = context.sql_to_expr(sql, &DFSchema::empty())?;
        let plan = rows_of(list)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// The expression whose elements are the rows.
fn unnested(relation: &TableFactor) -> Option<(&Sql, &Option<TableAlias>)> {
    match relation {
        TableFactor::UNNEST {
            array_exprs,
            alias,
            with_offset: false,
            with_ordinality: false,
            ..
        } => match array_exprs.as_slice() {
            [one] => Some((one, alias)),
            _ => None,
        },
        TableFactor::Function { lateral: true, name, args, alias, .. } => {
            let is_table = name.to_string().eq_ignore_ascii_case("TABLE");
            match args.as_slice() {
                [FunctionArg::Unnamed(FunctionArgExpr::Expr(call))] if is_table => {
                    Some((call, alias))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// A row for each element of an array, or each entry of a map.
fn rows_of(list: Expr) -> Result<LogicalPlan> {
    let one = LogicalPlanBuilder::empty(true);
    let (list, names) = match type_of(&list)? {
        DataType::List(item) => {
            let names = match item.data_type() {
                DataType::Struct(fields) => {
                    Some(fields.iter().map(|field| field.name().clone()).collect::<Vec<_>>())
                }
                _ => None,
            };
            (list, names)
        }
        DataType::Map(..) => {
            let names = vec!["key".to_owned(), "value".to_owned()];
            (map_entries_udf().call(vec![list]), Some(names))
        }
        other => {
            return plan_err!(
                "rows are made of an ARRAY, a MAP or a table function, not of {}",
                crate::function::type_name(&other)
            );
        }
    };
    let rows = one
        .project([list.alias(ELEMENT)])?
        .unnest_columns_with_options(vec![Column::from_name(ELEMENT)], dropping())?;
    let Some(names) = names else {
        return rows.project([Expr::Column(Column::from_name(ELEMENT)).alias("element")])?.build();
    };
    let rows = rows.unnest_columns_with_options(vec![Column::from_name(ELEMENT)], dropping())?;
    let columns: Vec<Expr> = rows
        .schema()
        .columns()
        .into_iter()
        .zip(names)
        .map(|(column, name)| Expr::Column(column).alias(name))
        .collect();
    rows.project(columns)?.build()
}

fn dropping() -> UnnestOptions {
    UnnestOptions { null_handling: NullHandling::Drop, ..UnnestOptions::default() }
}

/// The type of an expression that refers to nothing but columns of the left side.
fn type_of(expr: &Expr) -> Result<DataType> {
    use datafusion::logical_expr::ExprSchemable;
    expr.get_type(&DFSchema::empty())
}

/// The plan without sub-queries that refer to the other side of their join.
pub(super) fn flattened(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Join(join) if refers(&join.right) => Ok(Transformed::yes(joined(join)?)),
        other => Ok(Transformed::no(other)),
    })
    .map(|transformed| transformed.data)
}

/// Whether the right side of a join is a sub-query that refers to the left.
fn refers(right: &LogicalPlan) -> bool {
    match right {
        LogicalPlan::Subquery(subquery) => {
            !subquery.outer_ref_columns.is_empty() && over_one_row(&subquery.subquery)
        }
        LogicalPlan::SubqueryAlias(alias) => refers(&alias.input),
        LogicalPlan::Projection(projection) => refers(&projection.input),
        _ => false,
    }
}

/// Whether a plan is a chain over one empty row. (Others are for DataFusion's own rules.)
fn over_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::EmptyRelation(empty) => empty.produce_one_row,
        LogicalPlan::Projection(_)
        | LogicalPlan::Unnest(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Subquery(_)
        | LogicalPlan::Filter(_) => plan.inputs().into_iter().all(over_one_row),
        _ => false,
    }
}

fn joined(join: Join) -> Result<LogicalPlan> {
    let outer = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        other => {
            return not_impl_err!(
                "a {other} join with rows that are made of its left side; CROSS JOIN and LEFT JOIN .. ON TRUE are there"
            );
        }
    };
    let always =
        |filter: &Expr| matches!(filter, Expr::Literal(ScalarValue::Boolean(Some(true)), _));
    let filter = join.filter.filter(|filter| !always(filter));
    if outer && (filter.is_some() || !join.on.is_empty()) {
        return not_impl_err!(
            "a LEFT JOIN with rows that are made of its left side, on a condition; ON TRUE is there"
        );
    }
    let mut plan = grafted(&join.right, &join.left, outer)?;
    let equal = join.on.into_iter().map(|(left, right)| left.eq(right));
    if let Some(condition) = equal.chain(filter).reduce(Expr::and) {
        plan = LogicalPlanBuilder::from(plan).filter(condition)?.build()?;
    }
    Ok(plan)
}

/// A chain over one empty row put over `left`: the columns of `left`, then those of the chain.
fn grafted(chain: &LogicalPlan, left: &Arc<LogicalPlan>, outer: bool) -> Result<LogicalPlan> {
    let kept = || left.schema().columns().into_iter().map(Expr::Column);
    match chain {
        LogicalPlan::EmptyRelation(_) => Ok(left.as_ref().clone()),
        LogicalPlan::Subquery(subquery) => grafted(&subquery.subquery, left, outer),
        LogicalPlan::Projection(projection) => {
            let input = grafted(&projection.input, left, outer)?;
            let made = projection.expr.iter().cloned().map(inner);
            let columns = kept().map(Ok).chain(made).collect::<Result<Vec<_>>>()?;
            Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(input))?))
        }
        LogicalPlan::Filter(filter) => {
            let input = grafted(&filter.input, left, outer)?;
            LogicalPlanBuilder::from(input).filter(inner(filter.predicate.clone())?)?.build()
        }
        LogicalPlan::Unnest(unnest) => {
            let input = grafted(&unnest.input, left, outer)?;
            let mut options = unnest.options.clone();
            if outer {
                options.null_handling = NullHandling::PreserveAndExpandEmpty;
            }
            LogicalPlanBuilder::from(input)
                .unnest_columns_with_options(unnest.exec_columns.clone(), options)?
                .build()
        }
        LogicalPlan::SubqueryAlias(SubqueryAlias { input, alias, schema, .. }) => {
            let under = grafted(input, left, outer)?;
            let named =
                input.schema().columns().into_iter().zip(schema.fields()).map(|(column, field)| {
                    Expr::Column(column).alias_qualified(Some(alias.clone()), field.name())
                });
            let columns = kept().chain(named).collect();
            Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(under))?))
        }
        other => {
            not_impl_err!("rows that are made of the left side of a join by {}", other.display())
        }
    }
}

/// The expression with columns of the left side as ordinary ones.
fn inner(expr: Expr) -> Result<Expr> {
    expr.transform(|node| match node {
        Expr::OuterReferenceColumn(_, column) => Ok(Transformed::yes(Expr::Column(column))),
        other => Ok(Transformed::no(other)),
    })
    .map(|transformed| transformed.data)
}

#[cfg(test)]
mod tests;
