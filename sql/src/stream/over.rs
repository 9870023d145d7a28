//! OVER.

mod reach;

use arrow_schema::SortOptions;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Window};
use datafusion::physical_planner::create_window_expr;

use super::rank::picked_schema;
use super::{Planned, StreamPlanner, planner::planning};
use crate::operator::over::{Over, OverFunction, OverSpec, Reach, TimedOver};
use crate::{Error, Result};

impl StreamPlanner<'_> {
    /// A value of each window function for every row. Functions with the same partitions and order become one operator.
    pub(super) fn window(&mut self, window: &Window) -> Result<Planned> {
        let mut planned = self.plan(&window.input)?;
        let own = planned.schema.fields().len();
        let mut done = own;
        for functions in window.window_expr.chunk_by(same_rows) {
            done += functions.len();
            let all: Vec<usize> = (0..done).collect();
            let schema = picked_schema(&window.schema, &all)?;
            planned = self.over(planned, functions, schema)?;
        }
        Ok(planned)
    }

    fn over(&mut self, input: Planned, functions: &[Expr], schema: DFSchemaRef) -> Result<Planned> {
        let params = params_of(&functions[0])?;
        let own = input.schema.fields().len();
        let (input, columns) = self.with_columns(
            input,
            params.partition_by.iter().chain(params.order_by.iter().map(|key| &key.expr)),
        )?;
        let (partition, order) = columns.split_at(params.partition_by.len());
        let order: Vec<(usize, SortOptions)> = order
            .iter()
            .zip(&params.order_by)
            .map(|(column, key)| {
                (*column, SortOptions { descending: !key.asc, nulls_first: key.nulls_first })
            })
            .collect();
        let spec = OverSpec {
            functions: self.over_functions(functions, &input.schema)?,
            input: input.arrow_schema(),
            partition: partition.to_vec(),
            order,
            columns: (0..own).collect(),
            output: schema.inner().clone(),
        };
        let time = timed(&input, &spec);
        let (ttl, until) = self.time_to_live(&spec.partition).unzip();
        self.note_over(&input, &spec, time.is_some(), until.as_ref());

        let names: Vec<String> = functions.iter().map(ToString::to_string).collect();
        let operator = Self::keyed_spec("over", names.join(", "), partition);
        let stream = self.spread(&input, partition);
        let parallelism = self.keyed_parallelism(partition);
        // Where a row may be taken back behind the one that takes its place, both have values for a while.
        let in_order = !partition.is_empty() && (!input.retracts || input.in_order_by(partition));
        let spread_by = in_order.then(|| partition.to_vec());
        let stream = match time {
            Some(_) => stream.transform(operator, move |_| {
                Ok(Box::new(TimedOver::new(spec.clone())?.with_time_to_live(ttl)))
            }),
            None => stream.transform(operator, move |_| {
                Ok(Box::new(Over::new(spec.clone())?.with_time_to_live(ttl)))
            }),
        };
        let planned = Planned { spread_by, ..input };
        let mut planned = planned.moved(stream.parallelism(parallelism), schema, |column| {
            (column < own).then_some(column)
        });
        planned.parallelism = parallelism;
        planned.retracts = time.is_none();
        // Rows have waited for the watermark to reach this time of theirs, and go out before it does.
        planned.time = time.into_iter().collect();
        Ok(planned)
    }

    /// Window functions over the rows of a schema, with what they look at.
    pub(crate) fn over_functions(
        &self,
        functions: &[Expr],
        schema: &DFSchema,
    ) -> Result<Vec<OverFunction>> {
        let function = |expr: &Expr| {
            let function = function_of(expr)?;
            let filter = function.params.filter.as_ref();
            Ok(OverFunction {
                function: create_window_expr(
                    expr,
                    schema,
                    &self.props,
                    &PhysicalPlanningContext::default(),
                )
                .map_err(|error| planning(&error))?,
                filter: filter.map(|filter| self.expression(filter, schema)).transpose()?,
                reach: reach::reach(function),
            })
        };
        functions.iter().map(function).collect()
    }

    fn note_over(&mut self, input: &Planned, spec: &OverSpec, timed: bool, until: Option<&String>) {
        let names: Vec<&str> =
            spec.partition.iter().map(|at| input.schema.field(*at).name().as_str()).collect();
        let of = match names.is_empty() {
            true => String::new(),
            false => format!(" of each {}", names.join(", ")),
        };
        if !timed {
            let work = match of_whole_partitions(spec) {
                true => {
                    "; computes all values of a partition again with each batch that changes it"
                }
                false => "",
            };
            let keeps = format!("all rows{of}, with their values{work}");
            self.note_state("over", keeps, until.cloned());
            return;
        }
        self.note_state(
            "over",
            format!("rows{of} that wait for the watermark"),
            Some("until the watermark passes them".to_owned()),
        );
        // Rows that are kept for a time are kept with those that are not.
        let for_a_time = |of: &OverFunction| matches!(of.reach, Reach::Time(_));
        let rows_until = until.filter(|_| !spec.functions.iter().any(for_a_time));
        let mut notes: Vec<(String, Option<String>)> = Vec::new();
        for function in &spec.functions {
            notes.push(match function.reach {
                Reach::Rows { before: 0, .. } => continue,
                Reach::Rows { before, .. } => {
                    (format!("the last {before} rows{of}"), rows_until.cloned())
                }
                Reach::Time(range) => {
                    (format!("rows{of}"), Some(format!("for {range} ms of event time")))
                }
                Reach::First(rows) => (format!("the first {rows} rows{of}"), rows_until.cloned()),
                Reach::Running | Reach::Numbered(_) => (format!("totals{of}"), until.cloned()),
                Reach::Before | Reach::All => (format!("all rows{of}"), rows_until.cloned()),
            });
        }
        notes.sort();
        notes.dedup();
        for (keeps, until) in notes {
            self.note_state("over", keeps, until);
        }
    }
}

/// True if a row may change the values of all others of its partition.
fn of_whole_partitions(spec: &OverSpec) -> bool {
    spec.functions.iter().any(|of| !matches!(of.reach, Reach::Rows { .. }))
}

/// The event time column, if rows can go out once the watermark has reached them.
fn timed(input: &Planned, spec: &OverSpec) -> Option<usize> {
    let [(time, options)] = spec.order.as_slice() else { return None };
    let waits = |of: &OverFunction| {
        !matches!(of.reach, Reach::All) && !matches!(of.reach, Reach::Rows { after: 1.., .. })
    };
    let fits = !input.retracts
        && !options.descending
        && input.time.contains(time)
        && spec.functions.iter().all(waits);
    fits.then_some(*time)
}

/// Whether two functions look at the same partitions in the same order.
fn same_rows(a: &Expr, b: &Expr) -> bool {
    match (params_of(a), params_of(b)) {
        (Ok(a), Ok(b)) => a.partition_by == b.partition_by && a.order_by == b.order_by,
        _ => false,
    }
}

fn params_of(expr: &Expr) -> Result<&WindowFunctionParams> {
    function_of(expr).map(|function| &function.params)
}

fn function_of(expr: &Expr) -> Result<&WindowFunction> {
    match expr {
        Expr::WindowFunction(function) => Ok(function),
        Expr::Alias(alias) => function_of(&alias.expr),
        other => Err(Error::unsupported(format!("{other} as a window function"))),
    }
}
