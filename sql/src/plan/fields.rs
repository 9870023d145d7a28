//! Fields of a ROW: `bid.price` of a column `bid` is a column `price`.

use arrow_schema::Field;
use datafusion::common::{Result, TableReference};
use datafusion::functions::core::planner::CoreFunctionPlanner;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult};

/// Names what is picked out of a ROW after its field, as Flink does; DataFusion names it after the whole way there (`t.bid[price]`), which nobody can
/// ask for again.
#[derive(Debug, Default)]
pub(crate) struct RowFields(CoreFunctionPlanner);

impl ExprPlanner for RowFields {
    fn plan_compound_identifier(
        &self,
        field: &Field,
        qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let planned = self.0.plan_compound_identifier(field, qualifier, nested_names)?;
        Ok(match (planned, nested_names.last()) {
            (PlannerResult::Planned(expr), Some(name)) => PlannerResult::Planned(expr.alias(name)),
            (planned, _) => planned,
        })
    }
}
