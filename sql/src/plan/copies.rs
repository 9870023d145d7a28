//! Rows that are kept once, with how often they are there.

use datafusion::common::{Column, NullHandling, Result, UnnestOptions};
use datafusion::functions_nested::repeat::array_repeat_udf;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};

/// The column that says how often a row is there.
pub(crate) const COPIES: &str = "__copies";

/// The rows of a plan as often as its last column says, without that column.
pub(crate) fn with_copies(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut columns = plan.schema().columns();
    let Some(copies) = columns.pop() else { return Ok(plan) };
    let shown: Vec<Expr> = columns.into_iter().map(Expr::Column).collect();
    let repeated = array_repeat_udf().call(vec![lit(true), Expr::Column(copies)]);
    let options = UnnestOptions { null_handling: NullHandling::Drop, ..UnnestOptions::default() };
    LogicalPlanBuilder::from(plan)
        .project(shown.iter().cloned().chain([repeated.alias(COPIES)]))?
        .unnest_columns_with_options(vec![Column::from_name(COPIES)], options)?
        .project(shown)?
        .build()
}
