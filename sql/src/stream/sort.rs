//! ORDER BY and LIMIT.

use arrow_schema::SortOptions;
use datafusion::logical_expr::{
    Expr, FetchType, Limit as LimitPlan, LogicalPlan, SkipType, Sort as SortPlan, SortExpr,
};

use super::rank::picked_schema;
use super::{Planned, StreamPlanner, planner::planning};
use crate::operator::limit::Limit;
use crate::operator::rank::{RankFunction, RankSpec};
use crate::operator::sort::{Sort, SortSpec, SortUntil};
use crate::{Error, Result};

impl StreamPlanner<'_> {
    pub(super) fn limit(&mut self, limit: &LimitPlan) -> Result<Planned> {
        let literal = || Error::unsupported("LIMIT and OFFSET that are not plain numbers");
        let SkipType::Literal(skip) = limit.get_skip_type().map_err(|error| planning(&error))?
        else {
            return Err(literal());
        };
        let FetchType::Literal(fetch) = limit.get_fetch_type().map_err(|error| planning(&error))?
        else {
            return Err(literal());
        };
        let (skip, fetch) = (skip as u64, fetch.map_or(u64::MAX, |fetch| fetch as u64));
        let LogicalPlan::Sort(sort) = limit.input.as_ref() else {
            let input = self.plan(&limit.input)?;
            return self.first_of(input, &[], skip, fetch);
        };
        // The sort may have a limit of its own, of which this one leaves a part.
        let fetch = match sort.fetch {
            Some(rows) => fetch.min((rows as u64).saturating_sub(skip)),
            None => fetch,
        };
        let input = self.plan(&sort.input)?;
        self.first_of(input, &sort.expr, skip, fetch)
    }

    pub(super) fn sort(&mut self, sort: &SortPlan) -> Result<Planned> {
        let input = self.plan(&sort.input)?;
        if let Some(fetch) = sort.fetch {
            return self.first_of(input, &sort.expr, 0, fetch as u64);
        }
        let schema = input.schema.clone();
        let own: Vec<usize> = (0..schema.fields().len()).collect();
        let (input, order) = self.ordered(input, &sort.expr)?;
        let until = match order.first() {
            Some((time, options))
                if input.time.contains(time) && !options.descending && !input.retracts =>
            {
                SortUntil::Watermark { time: *time }
            }
            _ if self.bounded() => SortUntil::End,
            _ => {
                return Err(Error::Refused(
                    "ORDER BY cannot be done on rows without an end: order by an event time column ascending first, over rows \
                     that are not taken back; or add LIMIT; or take the present end of the sources as their end"
                        .to_owned(),
                ));
            }
        };
        let (keeps, ends) = match until {
            SortUntil::Watermark { .. } => ("rows", "until the watermark passes them"),
            SortUntil::End => ("all rows", "until the end of the input"),
        };
        self.note_state("sort", keeps, Some(ends.to_owned()));
        let spec = SortSpec { rows: input.arrow_schema(), order, until };
        let keys: Vec<String> = sort.expr.iter().map(ToString::to_string).collect();
        let operator = Self::keyed_spec("sort", keys.join(", "), &[]);
        let stream = self
            .spread(&input, &[])
            .transform(operator, move |_| Ok(Box::new(Sort::new(spec.clone())?)));
        let mut planned = Planned { stream, parallelism: 1, retracts: false, ..input };
        planned.spread_by = None;
        match until {
            // Rows go out before the watermark that they have waited for: that time alone is still ahead of it.
            SortUntil::Watermark { time } => planned.time.retain(|at| *at == time),
            // All rows come behind the last watermark.
            SortUntil::End => planned.time.clear(),
        }
        self.only(planned, &own, schema)
    }

    /// The rows from `skip` on, `fetch` of them, in an order.
    fn first_of(
        &mut self,
        input: Planned,
        order: &[SortExpr],
        skip: u64,
        fetch: u64,
    ) -> Result<Planned> {
        if order.is_empty() && !input.retracts {
            let operator = Self::keyed_spec("limit", format!("{fetch} after {skip}"), &[]);
            let stream = self
                .spread(&input, &[])
                .transform(operator, move |_| Ok(Box::new(Limit::new(skip, fetch))));
            return Ok(Planned { stream, parallelism: 1, spread_by: None, ..input });
        }
        let schema = input.schema.clone();
        let columns = (0..schema.fields().len()).collect();
        let (input, order) = self.ordered(input, order)?;
        let spec = RankSpec {
            input: input.arrow_schema(),
            partition: Vec::new(),
            order,
            function: RankFunction::RowNumber,
            from: skip.saturating_add(1),
            to: skip.saturating_add(fetch),
            retracts: input.retracts,
            columns,
            numbered: false,
            output: schema.inner().clone(),
        };
        self.ranked(input, spec, schema)
    }

    /// The stream with columns for what it is ordered by, and the order.
    fn ordered(
        &mut self,
        input: Planned,
        order: &[SortExpr],
    ) -> Result<(Planned, Vec<(usize, SortOptions)>)> {
        let (input, columns) = self.with_columns(input, order.iter().map(|key| &key.expr))?;
        let order = columns.into_iter().zip(order).map(|(column, key)| {
            (column, SortOptions { descending: !key.asc, nulls_first: key.nulls_first })
        });
        Ok((input, order.collect()))
    }

    /// The stream with nothing but some of its columns, if it has more.
    pub(super) fn only(
        &self,
        input: Planned,
        columns: &[usize],
        schema: datafusion::common::DFSchemaRef,
    ) -> Result<Planned> {
        if columns.len() == input.schema.fields().len() {
            return Ok(input);
        }
        let picked = picked_schema(&input.schema, columns)?;
        let exprs: Vec<Expr> = picked.columns().into_iter().map(Expr::Column).collect();
        let exprs = self.expressions(&exprs, &input.schema)?;
        let spec = crate::operator::calc::CalcSpec {
            filter: None,
            columns: Some(exprs),
            output: schema.inner().clone(),
        };
        let stream = self.calc(&input, spec, "without computed columns".to_owned());
        let at = |column| columns.iter().position(|of| *of == column);
        Ok(input.moved(stream, schema, at))
    }
}
