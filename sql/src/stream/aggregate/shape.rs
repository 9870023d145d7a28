//! What the operators of an aggregation do.

use std::sync::Arc;

use arrow_schema::{Field, Schema};
use datafusion::common::{DFSchema, DFSchemaRef, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::physical_expr::create_physical_expr;

use super::call::Calls;
use super::grouping_sets::grouping_sets;
use super::projection::Projection;
use crate::Result;
use crate::operator::aggregate::{AggregateSpec, ExpandSpec, OutputColumn};
use crate::operator::calc::CalcSpec;
use crate::stream::Planned;
use crate::stream::calc::column_of;
use crate::stream::planner::planning;

/// The operators of an aggregation, in the order of the data.
pub(super) struct Shape {
    /// Makes the columns.
    pub columns: CalcSpec,
    /// Repeats rows for grouping sets.
    pub expand: Option<ExpandSpec>,
    /// Combines and aggregates.
    pub spec: AggregateSpec,
    /// For each column of the key the column of the input that it is, if it is one.
    pub key_sources: Vec<Option<usize>>,
}

impl Shape {
    /// Of the rows of `input`, grouped by `group`, with `calls` computed of each group; `output` is what DataFusion's plan says of the result.
    pub fn new(
        props: &ExecutionProps,
        input: &Planned,
        group: &[Expr],
        calls: &[Expr],
        output: &DFSchemaRef,
    ) -> Result<Self> {
        let groups = grouping_set_to_exprlist(group).map_err(|error| planning(&error))?;
        let mut columns = Projection::of(input.arrow_schema());
        let mut keys = Vec::with_capacity(groups.len() + 1);
        for group in &groups {
            keys.push(columns.column(physical(props, group, &input.schema)?)?);
        }
        let mut key_sources: Vec<Option<usize>> =
            groups.iter().map(|group| column_of(group, input)).collect();
        let sets = match output.fields().get(groups.len()) {
            Some(id) => grouping_sets(group, id.data_type())?,
            None => Vec::new(),
        };
        if !sets.is_empty() {
            // Where a grouping column becomes null, an argument of the same expression does not.
            columns.keep_apart();
            key_sources.fill(None);
        }
        let mut planned = Calls { input, props, columns: &mut columns, sets: Vec::new() };
        let mut calls = calls.iter().map(|call| planned.call(call)).collect::<Result<Vec<_>>>()?;
        let mut multisets = planned.sets;
        let mut rows = columns.schema();
        let mut expand = None;
        // Without GROUP BY there is one group, whatever comes.
        let mut always = if group.is_empty() { vec![Vec::new()] } else { Vec::new() };
        if !sets.is_empty() {
            let grouping = keys.len();
            let mut fields: Vec<_> = rows.fields().iter().cloned().collect();
            let id = Field::new("grouping id", output.field(grouping).data_type().clone(), false);
            fields.insert(grouping, Arc::new(id));
            rows = Arc::new(Schema::new(fields));
            // What stood behind the grouping columns stands behind the id.
            let behind = |at: &mut usize| *at += usize::from(*at >= grouping);
            for call in &mut calls {
                call.args.iter_mut().chain(&mut call.filter).for_each(behind);
            }
            for set in &mut multisets {
                set.columns.iter_mut().chain(&mut set.filter).for_each(behind);
            }
            let grand_totals = sets.iter().filter(|(left_out, _)| !left_out.contains(&false));
            for (_, id) in grand_totals {
                let nulls = rows.fields()[..grouping].iter().map(|field| field.data_type());
                let key = nulls.map(ScalarValue::try_from).chain([Ok(id.clone())]);
                let key: datafusion::common::Result<_> = key.collect();
                always.push(key.map_err(|error| planning(&error))?);
            }
            keys.push(grouping);
            key_sources.push(None);
            expand = Some(ExpandSpec { grouping, sets, output: rows.clone() });
        }
        let results = (0..keys.len()).map(OutputColumn::Key);
        let results = results.chain((0..calls.len()).map(OutputColumn::Call)).collect();
        let timely = key_sources.iter().flatten().any(|at| input.time.contains(at));
        let spec = AggregateSpec {
            input: rows,
            keys,
            calls,
            sets: multisets,
            retracts: input.retracts,
            timely,
            always,
            output: output.inner().clone(),
            columns: results,
        };
        Ok(Self { columns: columns.into_spec(), expand, spec, key_sources })
    }
}

fn physical(
    props: &ExecutionProps,
    expr: &Expr,
    schema: &DFSchema,
) -> Result<Arc<dyn datafusion::physical_expr::PhysicalExpr>> {
    create_physical_expr(expr, schema, props, &PhysicalPlanningContext::default())
        .map_err(|error| planning(&error))
}
