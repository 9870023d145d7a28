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
use super::windowed::Role;
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
    /// For each column of GROUP BY, the id of grouping sets among them, the column of the input that it is, if it is one.
    pub group_sources: Vec<Option<usize>>,
    /// The columns of GROUP BY that are columns of the rows' window, and where they are among the columns of the operators.
    pub bounds: Vec<(Role, usize)>,
}

impl Shape {
    /// Of the rows of `input`, grouped by `group`, with `calls` computed of each group; `output` is what DataFusion's plan says of the result.
    /// `roles` says which columns of the group are bounds of the row's window; without, none is.
    pub fn new(
        props: &ExecutionProps,
        input: &Planned,
        group: &[Expr],
        roles: &[Role],
        calls: &[Expr],
        output: &DFSchemaRef,
    ) -> Result<Self> {
        let groups = grouping_set_to_exprlist(group).map_err(|error| planning(&error))?;
        let mut columns = Projection::of(input.arrow_schema());
        let (mut keys, mut bounds, mut results) = (Vec::new(), Vec::new(), Vec::new());
        for (number, group) in groups.iter().enumerate() {
            // Each is a column of its own: some may become null, and not others.
            let at = columns.add(physical(props, group, &input.schema)?)?;
            let role = roles.get(number).copied().unwrap_or(Role::Key);
            results.push(match role {
                Role::Key => OutputColumn::Key(keys.len()),
                Role::Start => OutputColumn::WindowStart,
                Role::End => OutputColumn::WindowEnd,
                Role::Time => OutputColumn::WindowTime,
            });
            match role {
                Role::Key => keys.push(at),
                role => bounds.push((role, at)),
            }
        }
        let mut group_sources: Vec<Option<usize>> =
            groups.iter().map(|group| column_of(group, input)).collect();
        let sets = match output.fields().get(groups.len()) {
            Some(id) => grouping_sets(group, id.data_type())?,
            None => Vec::new(),
        };
        if !sets.is_empty() {
            // Where a grouping column becomes null, an argument of the same expression does not.
            columns.keep_apart();
            group_sources.fill(None);
        }
        let mut planned = Calls { input, props, columns: &mut columns, sets: Vec::new() };
        let mut calls = calls.iter().map(|call| planned.call(call)).collect::<Result<Vec<_>>>()?;
        let mut multisets = planned.sets;
        let mut rows = columns.schema();
        let mut expand = None;
        // Without GROUP BY there is one group, whatever comes.
        let mut always = if group.is_empty() { vec![Vec::new()] } else { Vec::new() };
        if !sets.is_empty() {
            let grouping = groups.len();
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
            results.push(OutputColumn::Key(keys.len()));
            keys.push(grouping);
            group_sources.push(None);
            expand = Some(ExpandSpec { grouping, sets, output: rows.clone() });
        }
        results.extend((0..calls.len()).map(OutputColumn::Call));
        let timely = group_sources.iter().flatten().any(|at| input.time.contains(at));
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
        Ok(Self { columns: columns.into_spec(), expand, spec, group_sources, bounds })
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
