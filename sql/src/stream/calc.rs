//! Projection and filter.

use arrow_schema::{DataType, TimeUnit};
use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection};
use riverrun_dataflow::{Columns, DataStream, OperatorKind, OperatorSpec};

use super::rank::RankPattern;
use super::{Planned, StreamPlanner};
use crate::Result;
use crate::operator::calc::{Calc, CalcSpec};

impl StreamPlanner<'_> {
    pub(super) fn projection(&mut self, projection: &Projection) -> Result<Planned> {
        let input = match RankPattern::of(&projection.input) {
            Some(pattern) => self.rank(&pattern, pattern.is_read_by(&projection.expr))?,
            None => self.plan(&projection.input)?,
        };
        let columns = self.expressions(&projection.expr, &input.schema)?;
        let spec = CalcSpec {
            filter: None,
            columns: Some(columns),
            output: projection.schema.inner().clone(),
        };
        let description: Vec<String> = projection.expr.iter().map(ToString::to_string).collect();
        let stream = self.calc(&input, spec, description.join(", "));
        // Where a column of the input went, if it was taken as it is.
        let sources: Vec<Option<usize>> =
            projection.expr.iter().map(|expr| column_of(expr, &input)).collect();
        let times = projection.expr.iter().map(|expr| time_of(expr, &input));
        let times =
            (0..).zip(times).filter(|(_, time)| time.is_some_and(|t| input.time.contains(&t)));
        let time = times.map(|(at, _)| at).collect();
        let planned = input.moved(stream, projection.schema.clone(), |column| {
            sources.iter().position(|source| *source == Some(column))
        });
        Ok(Planned { time, ..planned })
    }

    pub(super) fn filter(&mut self, filter: &Filter) -> Result<Planned> {
        let plan = LogicalPlan::Filter(filter.clone());
        if let Some(pattern) = RankPattern::of(&plan) {
            let ranked = self.rank(&pattern, true)?;
            return self.in_order_of(ranked, filter.input.schema());
        }
        let input = self.plan(&filter.input)?;
        let predicate = self.expression(&filter.predicate, &input.schema)?;
        let output = input.arrow_schema();
        let spec = CalcSpec { filter: Some(predicate), columns: None, output };
        let stream = self.calc(&input, spec, format!("where {}", filter.predicate));
        let schema = input.schema.clone();
        Ok(input.moved(stream, schema, Some))
    }

    /// The same columns in the order of a schema.
    fn in_order_of(&self, input: Planned, schema: &DFSchemaRef) -> Result<Planned> {
        let columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
        let sources: Vec<Option<usize>> =
            columns.iter().map(|column| column_of(column, &input)).collect();
        if (0..).zip(&sources).all(|(at, source)| *source == Some(at)) {
            return Ok(input);
        }
        let columns = self.expressions(&columns, &input.schema)?;
        let output = schema.inner().clone();
        let spec = CalcSpec { filter: None, columns: Some(columns), output };
        let stream = self.calc(&input, spec, "columns in order".to_owned());
        Ok(input.moved(stream, schema.clone(), |column| {
            sources.iter().position(|source| *source == Some(column))
        }))
    }

    /// Adds a calc that runs where its input does.
    pub(super) fn calc(
        &self,
        input: &Planned,
        spec: CalcSpec,
        description: String,
    ) -> DataStream<Columns> {
        let operator = OperatorSpec::new("calc", OperatorKind::Transform).described(description);
        input
            .stream
            .transform(operator, move |_| Ok(Box::new(Calc::new(spec.clone()))))
            .parallelism(input.parallelism)
    }
}

/// The input column that has the same times as an expression: one that it only renames, or gives another time zone.
fn time_of(expr: &Expr, input: &Planned) -> Option<usize> {
    let is_time = |of: &DataType| matches!(of, DataType::Timestamp(TimeUnit::Millisecond, _));
    match expr {
        Expr::Cast(cast) if is_time(cast.field.data_type()) => {
            let column = time_of(&cast.expr, input)?;
            is_time(input.schema.field(column).data_type()).then_some(column)
        }
        Expr::Alias(alias) => time_of(&alias.expr, input),
        other => column_of(other, input),
    }
}

/// The input column that an expression only renames, if it does.
pub(super) fn column_of(expr: &Expr, input: &Planned) -> Option<usize> {
    match expr {
        Expr::Column(column) => input.schema.maybe_index_of_column(column),
        Expr::Alias(alias) => column_of(&alias.expr, input),
        _ => None,
    }
}
