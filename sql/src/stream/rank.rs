//! Filters on a rank: top-N and deduplication.
//!
//! `WHERE n <= 10` over a sub-query with `ROW_NUMBER() OVER (PARTITION BY p ORDER BY o) AS n` is a Filter over a Window in the optimised plan, with
//! nothing but projections of columns in between. That the filter says which ranks are wanted is what bounds the state, so the two
//! become one operator.

use std::sync::Arc;

use arrow_schema::SortOptions;
use datafusion::common::{DFSchema, DFSchemaRef, ScalarValue};
use datafusion::logical_expr::expr::WindowFunctionParams;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, LogicalPlan, Operator as Comparison, Projection, Window,
    WindowFunctionDefinition,
};

use super::{Planned, StreamPlanner, WindowColumns, planner::planning};
use crate::Result;
use crate::operator::calc::CalcSpec;
use crate::operator::rank::{Rank, RankFunction, RankSpec, WindowRank};

/// A filter that picks ranks.
pub(super) struct RankPattern<'a> {
    window: &'a Window,
    params: &'a WindowFunctionParams,
    function: RankFunction,
    from: u64,
    to: u64,
    /// What else the filter says.
    rest: Option<Expr>,
    /// The filter's columns, and for each the column of the window's plan that it is.
    schema: &'a DFSchemaRef,
    sources: Vec<usize>,
}

impl<'a> RankPattern<'a> {
    /// The pattern, if a plan is a filter that gives a single rank an upper bound.
    pub fn of(plan: &'a LogicalPlan) -> Option<Self> {
        let LogicalPlan::Filter(Filter { predicate, input, .. }) = plan else { return None };
        let schema = input.schema();
        let (window, sources) = window_below(input)?;
        let [Expr::WindowFunction(function)] = window.window_expr.as_slice() else { return None };
        let WindowFunctionDefinition::WindowUDF(udf) = &function.fun else { return None };
        let rank = window.input.schema().fields().len();
        let function_kind = match udf.name() {
            "row_number" => RankFunction::RowNumber,
            "rank" => RankFunction::Rank,
            "dense_rank" => RankFunction::DenseRank,
            _ => return None,
        };
        if sources.iter().filter(|source| **source == rank).count() > 1 {
            return None;
        }
        let is_rank = |expr: &Expr| match uncast(expr) {
            Expr::Column(column) => {
                schema.maybe_index_of_column(column).is_some_and(|at| sources[at] == rank)
            }
            _ => false,
        };
        let (mut from, mut to) = (1, None);
        let mut rest = Vec::new();
        for condition in split_conjunction(predicate) {
            let Some((first, last)) = range(condition, &is_rank) else {
                rest.push(condition.clone());
                continue;
            };
            from = from.max(first);
            to = last.into_iter().chain(to).min();
        }
        Some(Self {
            window,
            params: &function.params,
            function: function_kind,
            from,
            to: to?,
            rest: conjunction(rest),
            schema,
            sources,
        })
    }

    /// Whether expressions over the filter's columns read the rank.
    pub fn is_read_by(&self, exprs: &[Expr]) -> bool {
        let rank = self.window.input.schema().fields().len();
        exprs.iter().any(|expr| {
            expr.column_refs().into_iter().any(|column| {
                // A column that is not found is left for the planner to complain about.
                self.schema.maybe_index_of_column(column).is_none_or(|at| self.sources[at] == rank)
            })
        })
    }
}

/// The window below projections that only pick columns, and which of its columns each column is.
fn window_below(plan: &LogicalPlan) -> Option<(&Window, Vec<usize>)> {
    match plan {
        LogicalPlan::Window(window) => Some((window, (0..window.schema.fields().len()).collect())),
        LogicalPlan::SubqueryAlias(alias) => window_below(&alias.input),
        LogicalPlan::Projection(Projection { expr, input, .. }) => {
            let (window, below) = window_below(input)?;
            let sources = expr.iter().map(|expr| match expr.clone().unalias() {
                Expr::Column(column) => {
                    input.schema().maybe_index_of_column(&column).map(|at| below[at])
                }
                _ => None,
            });
            Some((window, sources.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) if cast.field.data_type().is_integer() => uncast(&cast.expr),
        Expr::Alias(alias) => uncast(&alias.expr),
        other => other,
    }
}

/// The first and the last rank for which a condition holds, if it is about nothing else.
fn range(condition: &Expr, is_rank: &dyn Fn(&Expr) -> bool) -> Option<(u64, Option<u64>)> {
    let after = |bound: i128| (bound.saturating_add(1).clamp(1, u64::MAX.into()) as u64, None);
    let up_to = |bound: i128| (1, Some(bound.clamp(0, u64::MAX.into()) as u64));
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (op, bound) = if is_rank(left) {
                (*op, integer(right)?)
            } else if is_rank(right) {
                (op.swap()?, integer(left)?)
            } else {
                return None;
            };
            match op {
                Comparison::Lt => Some(up_to(bound - 1)),
                Comparison::LtEq => Some(up_to(bound)),
                Comparison::Gt => Some(after(bound)),
                Comparison::GtEq => Some(after(bound - 1)),
                Comparison::Eq => Some((after(bound - 1).0, up_to(bound).1)),
                _ => None,
            }
        }
        Expr::Between(between) if !between.negated && is_rank(&between.expr) => {
            Some((after(integer(&between.low)? - 1).0, up_to(integer(&between.high)?).1))
        }
        _ => None,
    }
}

fn integer(expr: &Expr) -> Option<i128> {
    let Expr::Literal(value, _) = uncast(expr) else { return None };
    Some(match value {
        ScalarValue::Int8(Some(value)) => (*value).into(),
        ScalarValue::Int16(Some(value)) => (*value).into(),
        ScalarValue::Int32(Some(value)) => (*value).into(),
        ScalarValue::Int64(Some(value)) => (*value).into(),
        ScalarValue::UInt8(Some(value)) => (*value).into(),
        ScalarValue::UInt16(Some(value)) => (*value).into(),
        ScalarValue::UInt32(Some(value)) => (*value).into(),
        ScalarValue::UInt64(Some(value)) => (*value).into(),
        _ => return None,
    })
}

impl StreamPlanner<'_> {
    /// A filter on ranks. The rank itself goes out only if it is `read` above: without it, a row that moves up or down is no change.
    pub(super) fn rank(&mut self, pattern: &RankPattern<'_>, read: bool) -> Result<Planned> {
        let input = self.plan(&pattern.window.input)?;
        let rank = pattern.window.input.schema().fields().len();
        let numbered = read
            || pattern
                .rest
                .as_ref()
                .is_some_and(|rest| pattern.is_read_by(std::slice::from_ref(rest)));
        let params = pattern.params;
        let (input, columns) = self.with_columns(
            input,
            params.partition_by.iter().chain(params.order_by.iter().map(|key| &key.expr)),
        )?;
        let (partition, order) = columns.split_at(params.partition_by.len());
        let order = order.iter().zip(&params.order_by).map(|(column, key)| {
            (*column, SortOptions { descending: !key.asc, nulls_first: key.nulls_first })
        });
        // The operator puts the rank last; it is put in its place behind it.
        let picked: Vec<usize> = (0..pattern.sources.len())
            .filter(|at| pattern.sources[*at] != rank)
            .chain((0..pattern.sources.len()).filter(|at| pattern.sources[*at] == rank && numbered))
            .collect();
        let schema = picked_schema(pattern.schema, &picked)?;
        let columns: Vec<usize> =
            picked.iter().map(|at| pattern.sources[*at]).filter(|source| *source != rank).collect();
        let spec = RankSpec {
            input: input.arrow_schema(),
            partition: partition.to_vec(),
            order: order.collect(),
            function: pattern.function,
            from: pattern.from,
            to: pattern.to,
            retracts: input.retracts,
            columns,
            numbered: picked.len() > pattern.sources.iter().filter(|at| **at != rank).count(),
            output: schema.inner().clone(),
        };
        let planned = self.ranked(input, spec, schema)?;
        let Some(rest) = &pattern.rest else { return Ok(planned) };
        let filter = self.expression(rest, &planned.schema)?;
        let output = planned.arrow_schema();
        let spec = CalcSpec { filter: Some(filter), columns: None, output };
        let stream = self.calc(&planned, spec, format!("where {rest}"));
        let schema = planned.schema.clone();
        Ok(planned.moved(stream, schema, Some))
    }

    /// Adds the operator that picks ranks.
    pub(super) fn ranked(
        &mut self,
        input: Planned,
        spec: RankSpec,
        schema: DFSchemaRef,
    ) -> Result<Planned> {
        let names = |columns: &mut dyn Iterator<Item = usize>| -> String {
            let names: Vec<_> = columns.map(|at| input.schema.field(at).name().as_str()).collect();
            names.join(", ")
        };
        let key = names(&mut spec.partition.iter().copied());
        let order = names(&mut spec.order.iter().map(|(column, _)| *column));
        let window = input.window.clone().filter(|window| {
            let parts = |column| spec.partition.contains(&column);
            window.event_time && !input.retracts && parts(window.start) && parts(window.end)
        });
        let description = describe(&spec, &key, &order);
        let name = if window.is_some() { "window rank" } else { "rank" };
        let rows = match (spec.retracts, spec.to) {
            (true, _) => "all rows".to_owned(),
            (false, 1) => "one row".to_owned(),
            (false, to) => format!("up to {to} rows"),
        };
        let ties = if !spec.retracts && spec.function != RankFunction::RowNumber {
            " and their ties"
        } else {
            ""
        };
        let of = if key.is_empty() { String::new() } else { format!(" per {key}") };
        let (ttl, until) = self.time_to_live(&spec.partition).unzip();
        let until = match window {
            Some(_) => Some("until the window is over".to_owned()),
            None => until,
        };
        self.note_state(name, format!("{rows}{ties}{of}"), until);

        let stream = self.spread(&input, &spec.partition);
        let operator = Self::keyed_spec(name, description, &spec.partition);
        let parallelism = self.keyed_parallelism(&spec.partition);
        let properties = properties(&input, &spec, window.as_ref());
        let stream = match window {
            Some(WindowColumns { end, .. }) => stream
                .transform(operator, move |_| Ok(Box::new(WindowRank::new(spec.clone(), end)?))),
            None => stream.transform(operator, move |_| {
                Ok(Box::new(Rank::new(spec.clone())?.with_time_to_live(ttl)))
            }),
        };
        Ok(Planned { stream: stream.parallelism(parallelism), schema, parallelism, ..properties })
    }

    /// The stream with columns for expressions that are not columns already, and where each expression's column is.
    pub(super) fn with_columns<'e>(
        &mut self,
        input: Planned,
        exprs: impl Iterator<Item = &'e Expr>,
    ) -> Result<(Planned, Vec<usize>)> {
        let own = input.schema.fields().len();
        let mut fields: Vec<_> = input
            .schema
            .iter()
            .map(|(qualifier, field)| (qualifier.cloned(), field.clone()))
            .collect();
        let mut computed: Vec<&Expr> = Vec::new();
        let mut at = Vec::new();
        for expr in exprs {
            let known = super::calc::column_of(expr, &input)
                .or_else(|| computed.iter().position(|of| *of == expr).map(|of| own + of));
            at.push(known.unwrap_or(own + computed.len()));
            if known.is_none() {
                computed.push(expr);
            }
        }
        if computed.is_empty() {
            return Ok((input, at));
        }
        let mut columns: Vec<_> = (0..own)
            .map(|column| {
                let name = input.schema.field(column).name();
                Arc::new(datafusion::physical_expr::expressions::Column::new(name, column))
                    as Arc<dyn datafusion::physical_expr::PhysicalExpr>
            })
            .collect();
        for (number, expr) in (1..).zip(&computed) {
            let column = self.expression(expr, &input.schema)?;
            let field =
                column.return_field(input.schema.as_arrow()).map_err(|error| planning(&error))?;
            let name = format!("__computed_{number}");
            fields.push((None, Arc::new(field.as_ref().clone().with_name(name))));
            columns.push(column);
        }
        let schema = DFSchema::new_with_metadata(fields, input.schema.metadata().clone())
            .map_err(|error| planning(&error))?;
        let description: Vec<_> = computed.iter().map(ToString::to_string).collect();
        let spec =
            CalcSpec { filter: None, columns: Some(columns), output: schema.inner().clone() };
        let stream = self.calc(&input, spec, format!("with {}", description.join(", ")));
        Ok((input.moved(stream, Arc::new(schema), Some), at))
    }
}

/// What is known of ranked rows. Stream, schema and parallelism are still the input's.
fn properties(input: &Planned, spec: &RankSpec, window: Option<&WindowColumns>) -> Planned {
    let at = |column: usize| spec.columns.iter().position(|of| *of == column);
    let mut planned = input.clone().moved(input.stream.clone(), input.schema.clone(), at);
    let partition: Option<Vec<usize>> = spec.partition.iter().map(|column| at(*column)).collect();
    let own_key = partition.clone().filter(|_| spec.function == RankFunction::RowNumber);
    let own_key = match own_key {
        Some(key) if spec.from >= spec.to => Some(key),
        Some(key) if spec.numbered => Some([key, vec![spec.columns.len()]].concat()),
        _ => None,
    };
    planned.spread_by = partition.filter(|partition| !partition.is_empty());
    // Where a row may be taken back behind the one that takes its place, there are two rows of a key of the input for a while, but
    // never two of the same rank.
    if input.retracts && !input.in_order_by(&spec.partition) {
        match own_key {
            Some(_) => planned.keys.clear(),
            None => planned.spread_by = None,
        }
    }
    planned.keys.extend(own_key);
    planned.retracts = window.is_none();
    match window {
        // Rows wait for the end of their window: no other time of theirs is still ahead of the watermark.
        Some(_) => planned.time.retain(|at| spec.output.field(*at).name() == "window_time"),
        None => planned.time.clear(),
    }
    planned
}

fn describe(spec: &RankSpec, key: &str, order: &str) -> String {
    let function = match spec.function {
        RankFunction::RowNumber => "row number",
        RankFunction::Rank => "rank",
        RankFunction::DenseRank => "dense rank",
    };
    let ranks = match (spec.from, spec.to) {
        (from, to) if from == to => format!("{function} {from}"),
        (from, u64::MAX) => format!("{function} from {from}"),
        (from, to) => format!("{function} {from} to {to}"),
    };
    // Part of what the operator means, and so of what its state is found by.
    let directions: String = spec
        .order
        .iter()
        .map(|(_, options)| match (options.descending, options.nulls_first) {
            (false, true) => "a",
            (false, false) => "A",
            (true, true) => "D",
            (true, false) => "d",
        })
        .collect();
    let key = if key.is_empty() { String::new() } else { format!(" by {key}") };
    let order =
        if order.is_empty() { String::new() } else { format!(" order {order} {directions}") };
    let rank = if spec.numbered { ", numbered" } else { "" };
    format!("{ranks}{key}{order}{rank}")
}

/// Some columns of a schema.
pub(super) fn picked_schema(schema: &DFSchema, picked: &[usize]) -> Result<DFSchemaRef> {
    let fields = picked.iter().map(|at| {
        let (qualifier, field) = schema.qualified_field(*at);
        (qualifier.cloned(), field.clone())
    });
    DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())
        .map(Arc::new)
        .map_err(|error| planning(&error))
}
