//! Joins: which operator, by which keys, and what is known of the result.
//!
//! | file | what |
//! |---|---|
//! | `join/keys.rs` | the columns by which rows meet |
//! | `join/bounds.rs` | how far event times of a pair can be apart, out of the filter |
//! | `join/properties.rs` | what is known of the result |

mod bounds;
mod keys;
mod properties;
#[cfg(test)]
mod tests;

use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::{Expr, Join, build_join_schema};
use riverrun_dataflow::{DataStream, Operator};

use super::planner::planning;
use super::{Planned, StreamPlanner};
use crate::Result;
use crate::operator::join::{
    IntervalSpec, Join as RegularJoin, JoinInput, JoinSpec, TimedJoin, WindowJoinSpec,
};
use crate::plan::is_processing_time;
use bounds::{Bounds, interval_of};
use keys::Keyed;
pub(crate) use keys::same_types;

/// A join with both inputs planned.
struct Planning<'j> {
    join: &'j Join,
    left: Keyed,
    right: Keyed,
    /// All columns of both sides, whichever come out.
    both: DFSchema,
    filter: Option<Expr>,
}

impl StreamPlanner<'_> {
    pub(super) fn join(&mut self, join: &Join) -> Result<Planned> {
        let left = self.plan(&join.left)?;
        let right = self.plan(&join.right)?;
        let both = build_join_schema(&left.schema, &right.schema, &JoinType::Inner)
            .map_err(|error| planning(&error))?;
        let (on, filter) = if join.null_aware { not_in(join) } else { as_is(join) };
        let (left, right) = self.keyed(left, right, &on)?;
        let planning = Planning { join, left, right, both, filter };
        if let Some(windows) = planning.windows() {
            return self.window_join(planning, windows);
        }
        if let Some(bounds) = planning.interval() {
            return self.interval_join(planning, bounds, true);
        }
        if let Some(bounds) = planning.interval_by_the_clock() {
            return self.interval_join(planning, bounds, false);
        }
        self.regular_join(planning)
    }

    fn regular_join(&mut self, planning: Planning<'_>) -> Result<Planned> {
        let retracts = planning.result_retracts();
        let spec = self.join_spec(&planning, retracts)?;
        let keeps = planning.keeps();
        let until = self.state_ttl().map(|ttl| {
            format!("nothing has happened to its key for {ttl:?} (table.exec.state.ttl)")
        });
        self.note_state("join", keeps, until);
        let stream = self.joined("join", &planning, planning.description(), move || {
            Ok(Box::new(RegularJoin::new(spec.clone())?))
        });
        let parallelism = self.keyed_parallelism(&planning.left.keys);
        Ok(planning.planned(stream, retracts, parallelism))
    }

    fn interval_join(
        &mut self,
        planning: Planning<'_>,
        bounds: Bounds,
        event_time: bool,
    ) -> Result<Planned> {
        let spec = IntervalSpec {
            join: self.join_spec(&planning, false)?,
            time: bounds.columns,
            lower: bounds.lower,
            upper: bounds.upper,
            event_time,
        };
        let clock = if event_time { "watermark" } else { "clock" };
        let [left, right] = [(0, bounds.upper), (1, -bounds.lower)].map(|(side, after)| {
            let input = if side == 0 { &planning.left } else { &planning.right };
            let time = input.planned.schema.field(bounds.columns[side]).name();
            format!("the {clock} is {} ms past their {time}", after.max(0))
        });
        self.note_state("interval-join", "rows of the left input", Some(left));
        self.note_state("interval-join", "rows of the right input", Some(right));
        let description = format!(
            "{}, times apart from {} ms to {} ms",
            planning.description(),
            bounds.lower,
            bounds.upper
        );
        let stream = self.joined("interval-join", &planning, description, move || {
            Ok(Box::new(TimedJoin::interval(&spec)?))
        });
        let parallelism = self.keyed_parallelism(&planning.left.keys);
        let mut planned = planning.planned(stream, false, parallelism);
        // By the clock, rows may come out when their event time has long passed.
        planned.time = match event_time {
            true => planning.moved_columns([&[bounds.columns[0]], &[bounds.columns[1]]]),
            false => Vec::new(),
        };
        Ok(planned)
    }

    fn window_join(&mut self, planning: Planning<'_>, ends: [usize; 2]) -> Result<Planned> {
        let spec = WindowJoinSpec { join: self.join_spec(&planning, false)?, window_end: ends };
        let until = Some("the watermark reaches the end of their window".to_owned());
        self.note_state("window-join", "rows of both inputs", until);
        let stream = self.joined("window-join", &planning, planning.description(), move || {
            Ok(Box::new(TimedJoin::window(&spec)?))
        });
        let parallelism = self.keyed_parallelism(&planning.left.keys);
        let mut planned = planning.planned(stream, false, parallelism);
        planned.time = planning.window_times();
        planned.window = planning.result_window();
        Ok(planned)
    }

    fn join_spec(&self, planning: &Planning<'_>, retracts: bool) -> Result<JoinSpec> {
        let filter = match &planning.filter {
            Some(filter) => Some(self.expression(filter, &planning.both)?),
            None => None,
        };
        Ok(JoinSpec {
            join_type: planning.join.join_type,
            inputs: [planning.left.input(), planning.right.input()],
            nulls_equal: planning.join.null_equality == NullEquality::NullEqualsNull,
            filter,
            output: planning.join.schema.inner().clone(),
            retracts,
            time_to_live: self.state_ttl(),
        })
    }

    /// Adds the operator behind an exchange of both sides by their keys.
    fn joined(
        &self,
        name: &str,
        planning: &Planning<'_>,
        description: String,
        make: impl Fn() -> riverrun_dataflow::Result<Box<dyn Operator>> + Send + Sync + 'static,
    ) -> DataStream<riverrun_dataflow::Columns> {
        let (left, right) = (&planning.left, &planning.right);
        let operator = Self::keyed_spec(name, description, &left.keys);
        self.spread(&left.planned, &left.keys).transform_with(
            &self.spread(&right.planned, &right.keys),
            operator,
            move |_| make(),
        )
    }
}

impl Keyed {
    pub(super) fn input(&self) -> JoinInput {
        JoinInput {
            schema: self.planned.arrow_schema(),
            columns: self.columns,
            keys: self.keys.clone(),
        }
    }
}

impl Planning<'_> {
    /// Positions of the window ends, if rows meet by their windows and nothing is ever taken back.
    fn windows(&self) -> Option<[usize; 2]> {
        let left = self.left.planned.window.as_ref().filter(|window| window.event_time)?;
        let right = self.right.planned.window.as_ref().filter(|window| window.event_time)?;
        let meet = |a: usize, b: usize| {
            self.left.keys.iter().zip(&self.right.keys).any(|(l, r)| (*l, *r) == (a, b))
        };
        let append_only = !self.left.planned.retracts && !self.right.planned.retracts;
        (append_only && !self.marks() && meet(left.start, right.start) && meet(left.end, right.end))
            .then_some([left.end, right.end])
    }

    /// How far the event times of a pair can be apart, if that is bounded and nothing is ever taken back.
    fn interval(&self) -> Option<Bounds> {
        self.interval_of([&self.left.planned.time, &self.right.planned.time])
    }

    /// As [`Planning::interval`], of processing times.
    fn interval_by_the_clock(&self) -> Option<Bounds> {
        let times = [&self.join.left, &self.join.right].map(|plan| -> Vec<usize> {
            let columns = plan.schema().columns().into_iter().enumerate();
            let columns = columns.map(|(at, column)| (at, Expr::Column(column)));
            columns.filter(|(_, of)| is_processing_time(plan, of)).map(|(at, _)| at).collect()
        });
        self.interval_of([&times[0], &times[1]])
    }

    fn interval_of(&self, times: [&[usize]; 2]) -> Option<Bounds> {
        let (left, right) = (&self.left.planned, &self.right.planned);
        if left.retracts || right.retracts || self.marks() {
            return None;
        }
        let equal = self.left.keys.iter().copied().zip(self.right.keys.iter().copied());
        interval_of(self.filter.as_ref(), equal, &self.both, self.left.columns, times)
    }

    fn marks(&self) -> bool {
        matches!(self.join.join_type, JoinType::LeftMark | JoinType::RightMark)
    }

    /// The join as its operator is described.
    fn description(&self) -> String {
        let on: Vec<String> = self.join.on.iter().map(|(l, r)| format!("{l} = {r}")).collect();
        let mut text = format!("{} on {}", self.join.join_type, on.join(" and "));
        if on.is_empty() {
            text = format!("{} of all with all", self.join.join_type);
        }
        if let Some(filter) = &self.filter {
            text = format!("{text} where {filter}");
        }
        text
    }
}

fn as_is(join: &Join) -> (Vec<(Expr, Expr)>, Option<Expr>) {
    (join.on.clone(), join.filter.clone())
}

/// `NOT IN`: a row goes out unless the comparison with some row is true *or unknown*. So the comparison, which comes first among the keys, can be
/// no key of the exchange; the conditions that correlate the sub-query can.
fn not_in(join: &Join) -> (Vec<(Expr, Expr)>, Option<Expr>) {
    let mut on = join.on.iter().cloned();
    match on.next() {
        Some((left, right)) => {
            let compared = left.eq(right).is_not_false();
            let filter = match join.filter.clone() {
                Some(filter) => compared.and(filter),
                None => compared,
            };
            (on.collect(), Some(filter))
        }
        None => (Vec::new(), join.filter.clone().map(Expr::is_not_false)),
    }
}
