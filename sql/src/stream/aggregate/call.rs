//! How a call of an aggregate function is computed.

use std::sync::Arc;

use arrow_schema::{DataType, SortOptions};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::aggregate::{
    AggregateFunctionExpr, LoweredAggregate, LoweredAggregateBuilder,
};
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};

use super::projection::Projection;
use crate::aggregate::{Count, ExactSum, Generic, StreamAggregate, Sum};
use crate::operator::aggregate::{Call, Over, SetSpec};
use crate::stream::Planned;
use crate::stream::planner::planning;
use crate::{Error, Result};

/// Functions that do not care how often a value is there.
const INDIFFERENT_TO_REPETITION: &[&str] =
    &["min", "max", "bool_and", "bool_or", "bit_and", "bit_or", "approx_distinct", "any_value"];

/// Functions whose state holds all values: it is kept value by value instead.
const OF_ALL_VALUES: &[&str] = &["median", "percentile", "percentile_cont"];

/// Plans the calls of an aggregation.
pub(super) struct Calls<'a> {
    pub input: &'a Planned,
    pub props: &'a ExecutionProps,
    pub columns: &'a mut Projection,
    pub sets: Vec<SetSpec>,
}

impl Calls<'_> {
    /// The call that an expression of an aggregation stands for.
    pub fn call(&mut self, expr: &Expr) -> Result<Call> {
        let (expr, distinct) = without_distinct(expr.clone())?;
        let schema = self.input.arrow_schema();
        let context = PhysicalPlanningContext::default();
        let lowered =
            LoweredAggregateBuilder::new(&expr, &self.input.schema, &schema, self.props, &context);
        let LoweredAggregate { aggregate, filter, .. } =
            lowered.build().map_err(|error| planning(&error))?;
        let name = aggregate.fun().name().to_lowercase();
        let distinct = distinct && !INDIFFERENT_TO_REPETITION.contains(&name.as_str());
        // What stands in WITHIN GROUP is an argument, not an order of rows.
        let order = match aggregate.fun().supports_within_group_clause() {
            true => &[],
            false => aggregate.order_bys(),
        };
        let function = function_of(&name, &aggregate, self.input)?;
        let filter = filter.map(|filter| self.columns.column(filter)).transpose()?;
        let args = aggregate.expressions();
        let exact = function.takes_weights() || !self.input.retracts;
        let keeps_order = matches!(name.as_str(), "first_value" | "last_value") && exact;
        let of_all = OF_ALL_VALUES.contains(&name.as_str());

        if distinct && order.is_empty() && exact && !of_all {
            let skip_nulls = matches!(name.as_str(), "count" | "sum" | "avg");
            let set = self.set(&args, &[], filter, skip_nulls)?;
            return Ok(over(function, Over::Distinct { set }));
        }
        if distinct || of_all || !exact || !(order.is_empty() || keeps_order) {
            if !distinct && order.is_empty() && matches!(name.as_str(), "min" | "max") {
                let set = self.set(&args, &[], filter, true)?;
                return Ok(over(function, Over::Extreme { set, last: name == "max" }));
            }
            let set = self.set(&args, order, filter, false)?;
            return Ok(over(function, Over::All { set, distinct }));
        }
        // COUNT(*) comes as the count of a constant.
        let counts_rows = name == "count" && args.iter().all(is_constant);
        let args = if counts_rows { Vec::new() } else { args };
        let all = args.into_iter().chain(order.iter().map(|by| by.expr.clone()));
        let args = all.map(|arg| self.columns.column(arg)).collect::<Result<_>>()?;
        Ok(Call { function, args, filter, over: Over::Rows })
    }

    /// The set of these values; calls with the same arguments and filter share one.
    fn set(
        &mut self,
        args: &[Arc<dyn PhysicalExpr>],
        order: &[PhysicalSortExpr],
        filter: Option<usize>,
        skip_nulls: bool,
    ) -> Result<usize> {
        let (mut columns, mut sorted) = (Vec::new(), Vec::new());
        for by in order {
            columns.push(self.columns.column(by.expr.clone())?);
            sorted.push(by.options);
        }
        for arg in args {
            columns.push(self.columns.column(arg.clone())?);
            sorted.push(SortOptions::default());
        }
        let args = (order.len()..columns.len()).chain(0..order.len()).collect();
        let set = SetSpec { columns, order: sorted, filter, skip_nulls, args };
        if let Some(at) = self.sets.iter().position(|have| *have == set) {
            return Ok(at);
        }
        if self.sets.len() > 200 {
            return Err(Error::unsupported(
                "more than 200 different DISTINCT aggregates in a query",
            ));
        }
        self.sets.push(set);
        Ok(self.sets.len() - 1)
    }
}

fn over(function: Arc<dyn StreamAggregate>, over: Over) -> Call {
    Call { function, args: Vec::new(), filter: None, over }
}

fn is_constant(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>().is_some_and(|literal| !literal.value().is_null())
}

/// The call without its DISTINCT, and whether it had one.
fn without_distinct(expr: Expr) -> Result<(Expr, bool)> {
    match expr {
        Expr::Alias(alias) => without_distinct(*alias.expr),
        Expr::AggregateFunction(mut call) => {
            let distinct = std::mem::replace(&mut call.params.distinct, false);
            Ok((Expr::AggregateFunction(call), distinct))
        }
        other => Err(Error::unsupported(format!("{other} as an aggregate"))),
    }
}

/// The function of a call: one that takes weights if rows may be taken back and there is one.
fn function_of(
    name: &str,
    call: &Arc<AggregateFunctionExpr>,
    input: &Planned,
) -> Result<Arc<dyn StreamAggregate>> {
    if name == "count" {
        return Ok(Arc::new(Count));
    }
    let generic =
        Generic::new(call.clone(), &input.arrow_schema()).map_err(|error| planning(&error))?;
    if !input.retracts {
        return Ok(Arc::new(generic));
    }
    let result = call.field().data_type().clone();
    let weighted: Option<Arc<dyn StreamAggregate>> = match (name, result) {
        ("sum", DataType::Float64) => Some(Arc::new(ExactSum::SUM)),
        ("avg", DataType::Float64) => Some(Arc::new(ExactSum::AVG)),
        ("sum", result) => Sum::of(&result).map(|sum| Arc::new(sum) as _),
        ("avg", _) => Sum::average(generic.clone()).map(|sum| Arc::new(sum) as _),
        _ => None,
    };
    Ok(weighted.unwrap_or_else(|| Arc::new(generic)))
}
