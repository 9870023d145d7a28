//! GROUP BY and DISTINCT.

mod call;
mod grouping_sets;
mod projection;
mod shape;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::logical_expr::{Aggregate, Distinct, Expr, LogicalPlan};
use riverrun_dataflow::{Columns, DataStream, OperatorKind, OperatorSpec};

use self::shape::Shape;
use super::{Planned, StreamPlanner};
use crate::operator::aggregate::{AggregateSpec, Combine, Expand, GroupAggregate};
use crate::state::RowKeyPartitioner;
use crate::{Error, Result};

impl StreamPlanner<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Planned> {
        let input = self.plan(&aggregate.input)?;
        let (group, calls) = (&aggregate.group_expr, &aggregate.aggr_expr);
        let shape = Shape::new(&self.props, &input, group, calls, &aggregate.schema)?;
        let described =
            |exprs: &[Expr]| exprs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let description = match (group.is_empty(), calls.is_empty()) {
            (true, _) => described(calls),
            (false, true) => format!("by {}", described(group)),
            (false, false) => format!("{} by {}", described(calls), described(group)),
        };
        Ok(self.grouped(input, shape, aggregate.schema.clone(), description))
    }

    pub(super) fn distinct(&mut self, distinct: &Distinct) -> Result<Planned> {
        let Distinct::All(input) = distinct else {
            return Err(Error::unsupported(
                "DISTINCT ON in a streaming query: use ROW_NUMBER() OVER (PARTITION BY ..) = 1",
            ));
        };
        self.distinct_rows(input)
    }

    fn distinct_rows(&mut self, plan: &Arc<LogicalPlan>) -> Result<Planned> {
        let input = self.plan(plan)?;
        let all: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let shape = Shape::new(&self.props, &input, &all, &[], plan.schema())?;
        Ok(self.grouped(input, shape, plan.schema().clone(), "distinct rows".to_owned()))
    }

    /// Adds the operators of an unbounded aggregation.
    fn grouped(
        &mut self,
        input: Planned,
        shape: Shape,
        schema: datafusion::common::DFSchemaRef,
        description: String,
    ) -> Planned {
        let combined = self.combined(&input, &shape, &description);
        let spec = Arc::new(shape.spec);
        let keys: Vec<usize> = (0..spec.keys.len()).collect();
        let names: Vec<&str> = keys.iter().map(|at| schema.field(*at).name().as_str()).collect();
        let keeps = match names.is_empty() {
            true => "one row".to_owned(),
            false => format!("one row per {}", names.join(", ")),
        };
        let sets = match spec.sets.len() {
            0 => String::new(),
            1 => ", and the different values of an aggregate".to_owned(),
            more => format!(", and the different values of {more} aggregates"),
        };
        self.note_state("aggregate", keeps + &sets, None);
        let operator = Self::keyed_spec("aggregate", description, &keys);
        let shared = spec.clone();
        let stream = exchanged(&combined, &spec, &names.join(", "))
            .transform(operator, move |_| Ok(Box::new(GroupAggregate::new(shared.clone()))));
        let at = |column: usize| shape.key_sources.iter().position(|from| *from == Some(column));
        let parallelism = self.keyed_parallelism(&keys);
        Planned {
            retracts: !spec.only_appends(),
            keys: vec![keys.clone()],
            spread_by: (!keys.is_empty()).then_some(keys),
            parallelism,
            ..input.moved(stream, schema, at)
        }
    }

    /// The rows of an aggregation's input, combined where they are.
    fn combined(&self, input: &Planned, shape: &Shape, description: &str) -> DataStream<Columns> {
        let columns = shape.columns.columns.iter().flatten().map(ToString::to_string);
        let columns = columns.collect::<Vec<_>>().join(", ");
        let mut stream = self.calc(input, shape.columns.clone(), columns);
        if let Some(expand) = shape.expand.clone() {
            let sets = format!("{} grouping sets", expand.sets.len());
            let operator = OperatorSpec::new("expand", OperatorKind::Transform).described(sets);
            stream = stream
                .transform(operator, move |_| Ok(Box::new(Expand::new(expand.clone()))))
                .parallelism(input.parallelism);
        }
        let operator = OperatorSpec::new("combine", OperatorKind::Transform).described(description);
        let spec = Arc::new(shape.spec.clone());
        stream
            .transform(operator, move |_| Ok(Box::new(Combine::new(spec.clone()))))
            .parallelism(input.parallelism)
    }
}

/// Combined rows over the HASH edge.
fn exchanged(
    combined: &DataStream<Columns>,
    spec: &AggregateSpec,
    names: &str,
) -> DataStream<Columns> {
    let keys = Combine::key_columns(spec);
    combined.partition_by(names, move |key_groups| {
        Box::new(RowKeyPartitioner::new(keys.clone(), key_groups))
    })
}
