//! GROUP BY and DISTINCT.
//!
//! | file | what |
//! |---|---|
//! | `aggregate/shape.rs` | from expressions to what the operators do: [`Shape`] |
//! | `aggregate/projection.rs` | the columns that the operators work on |
//! | `aggregate/call.rs` | how a call of an aggregate function is computed |
//! | `aggregate/grouping_sets.rs` | GROUPING SETS, ROLLUP and CUBE |
//! | `aggregate/windowed.rs` | aggregations on a windowing function |
//!
//! An aggregation by the bounds of a windowing function gives each result once, when its window is over, and forgets the window then. The windowing
//! function itself is not run: rows go into the panes of their windows as they are, and hopping windows share panes.

mod call;
mod grouping_sets;
mod projection;
mod shape;
mod windowed;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::functions_aggregate::count::count_all;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Aggregate, Distinct, Expr};
use riverrun_dataflow::{Columns, DataStream, Environment, Operator, OperatorKind, OperatorSpec};

use self::shape::Shape;
use self::windowed::{Role, Windowed, in_all_sets, roles, tells_window};
use super::planner::planning;
use super::windows::{by_the_clock, never_over};
use super::{Planned, StreamPlanner, WindowColumns};
use crate::operator::aggregate::{
    AggregateSpec, Combine, Expand, GroupAggregate, Holds, OutputColumn, SessionAggregate,
    SessionAssigner, SessionAssignerSpec, SessionSpec, Updates, WindowAggregate, WindowLayout,
    WindowSpec,
};
use crate::plan::WindowKind;
use crate::state::RowKeyPartitioner;
use crate::{Error, Result};

impl StreamPlanner<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Planned> {
        let Aggregate { group_expr: group, aggr_expr: calls, schema, .. } = aggregate;
        let described =
            |exprs: &[Expr]| exprs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let description = match (group.is_empty(), calls.is_empty()) {
            (true, _) => described(calls),
            (false, true) => format!("by {}", described(group)),
            (false, false) => format!("{} by {}", described(calls), described(group)),
        };
        if let Some(windowed) = Windowed::of(aggregate)? {
            if !self.needs_rows(aggregate, &windowed) {
                return self.by_windowing_function(aggregate, &windowed, description);
            }
            if self.updates(true)?.any() {
                return Err(Error::unsupported(
                    "'table.exec.emit.early-fire.enabled' or 'table.exec.emit.allow-lateness' with SESSION windows of rows that may be taken back, \
                     with DISTINCT, ordered or MEDIAN aggregates, grouping sets, or GROUP BY other columns than those of PARTITION BY: their \
                     rows are kept until the session is over",
                ));
            }
        }
        let input = self.plan(&aggregate.input)?;
        if let Some(window) = input.window.clone().filter(|window| window.event_time) {
            let groups = grouping_set_to_exprlist(group).map_err(|error| planning(&error))?;
            // The start need not follow from the end: it stays in the key.
            let role = |at| if at == window.end { Role::End } else { Role::Key };
            let of_start = |at| if at == window.start { Role::Start } else { role(at) };
            let all = roles(&groups, &input.schema, of_start);
            if all.is_some_and(|all| tells_window(&all) && in_all_sets(group, &groups, &all))
                && let Some(roles) = roles(&groups, &input.schema, role)
            {
                let shape = Shape::new(&self.props, &input, group, &roles, calls, schema)?;
                let end = shape.bounds.iter().map(|(_, at)| *at).next().unwrap_or(0);
                let layout = WindowLayout::Given { end };
                return self.in_windows(input, shape, layout, true, schema, description);
            }
        }
        let shape = Shape::new(&self.props, &input, group, &[], calls, schema)?;
        Ok(self.grouped(input, shape, schema, description))
    }

    /// An aggregation on a windowing function, which is not run itself.
    fn by_windowing_function(
        &mut self,
        aggregate: &Aggregate,
        windowed: &Windowed<'_>,
        description: String,
    ) -> Result<Planned> {
        let Aggregate { group_expr: group, aggr_expr: calls, schema, .. } = aggregate;
        let kind = windowed.function.kind;
        let input = self.plan(&windowed.input)?;
        let roles = &windowed.roles;
        let shape = Shape::new(&self.props, &input, group, roles, calls, schema)?;
        let bound = (0..roles.len()).find(|at| roles[*at] != Role::Key);
        let time = bound.and_then(|at| shape.group_sources.get(at).copied().flatten());
        let is_event_time = time.is_some_and(|at| input.time.contains(&at));
        // Where the input ends, its end is event time enough.
        let event_time = is_event_time || !windowed.processing_time;
        if !is_event_time && event_time && self.endless {
            return Err(never_over(kind, &windowed.function.time));
        }
        if !event_time {
            by_the_clock(kind, &input)?;
        }
        let description = format!("{kind}, {description}");
        match kind {
            WindowKind::Session { gap } => {
                self.in_sessions(input, shape, gap, event_time, schema, description)
            }
            _ => {
                let layout = layout(kind, &shape);
                self.in_windows(input, shape, layout, event_time, schema, description)
            }
        }
    }

    /// True if an aggregation by session needs the rows of each session, and not only what they add up to: the windowing function is then run,
    /// and keeps them. States of sessions can be merged when a row joins two of them, but not parted again when one is taken back.
    fn needs_rows(&self, aggregate: &Aggregate, windowed: &Windowed<'_>) -> bool {
        if !matches!(windowed.function.kind, WindowKind::Session { .. }) {
            return false;
        }
        // Whether rows can be taken back is known when they are planned: here in a job that is thrown away.
        let env = Environment::new("look");
        let mut planner = StreamPlanner::new(&env);
        planner.props.clone_from(&self.props);
        planner.settings.clone_from(&self.settings);
        let Ok(input) = planner.plan(&windowed.input) else { return false };
        let Aggregate { group_expr: group, aggr_expr: calls, schema, .. } = aggregate;
        let shape = Shape::new(&planner.props, &input, group, &windowed.roles, calls, schema);
        let mergeable = |shape: &Shape| shape.expand.is_none() && shape.spec.sets.is_empty();
        input.retracts || !windowed.by_partition || !shape.as_ref().is_ok_and(mergeable)
    }

    pub(super) fn distinct(&mut self, distinct: &Distinct) -> Result<Planned> {
        let Distinct::All(plan) = distinct else {
            return Err(Error::unsupported(
                "DISTINCT ON in a streaming query: use ROW_NUMBER() OVER (PARTITION BY ..) = 1",
            ));
        };
        let input = self.plan(plan)?;
        let all: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let shape = Shape::new(&self.props, &input, &all, &[], &[], plan.schema())?;
        Ok(self.grouped(input, shape, plan.schema(), "distinct rows".to_owned()))
    }

    /// Each different row once, and in a last column of this name how often it is there.
    ///
    /// # Errors
    /// [`Error::Invalid`] for columns that cannot be grouped by.
    pub fn counted(&mut self, input: Planned, name: &str) -> Result<Planned> {
        let all: Vec<Expr> = input.schema.columns().into_iter().map(Expr::Column).collect();
        let mut fields: Vec<_> = input.schema.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(name, DataType::Int64, false)));
        let schema = DFSchema::from_unqualified_fields(fields.into(), HashMap::new());
        let schema = Arc::new(schema.map_err(|error| planning(&error))?);
        let shape = Shape::new(&self.props, &input, &all, &[], &[count_all()], &schema)?;
        Ok(self.grouped(input, shape, &schema, "copies of each row".to_owned()))
    }

    /// Adds the operators of an unbounded aggregation.
    fn grouped(
        &mut self,
        input: Planned,
        shape: Shape,
        schema: &DFSchemaRef,
        description: String,
    ) -> Planned {
        let spec = Arc::new(shape.spec.clone());
        let columns: Vec<usize> = (0..spec.keys.len()).collect();
        // The one group of a query without GROUP BY, and grand totals, are always there.
        let ttl = self.time_to_live(&columns).filter(|_| spec.always.is_empty());
        let (ttl, until) = ttl.unzip();
        self.note_groups("aggregate", &spec, schema, until);
        let operator = Self::keyed_spec("aggregate", description.clone(), &columns);
        let (combine, shared) = (spec.clone(), spec.clone());
        let rows = self.expanded(&input, &shape);
        let phases = Phases { spec: &spec, keys: spec.keys.len(), description, schema };
        let stream = self
            .combined(rows, input.parallelism, phases, move || {
                Box::new(Combine::new(combine.clone()))
            })
            .transform(operator, move |_| {
                Ok(Box::new(GroupAggregate::new(shared.clone()).with_time_to_live(ttl)))
            });
        let at = |column: usize| shape.group_sources.iter().position(|from| *from == Some(column));
        let parallelism = self.keyed_parallelism(&columns);
        Planned {
            retracts: !spec.only_appends(),
            keys: vec![columns.clone()],
            spread_by: (!columns.is_empty()).then_some(columns),
            parallelism,
            ..input.moved(stream, schema.clone(), at)
        }
    }

    /// Adds the operators of an aggregation in windows.
    fn in_windows(
        &mut self,
        input: Planned,
        shape: Shape,
        layout: WindowLayout,
        event_time: bool,
        schema: &DFSchemaRef,
        description: String,
    ) -> Result<Planned> {
        let spec = Arc::new(shape.spec.clone());
        let updates = self.updates(event_time)?;
        let holds = match (event_time, updates.early) {
            (false, _) => Holds::Batch,
            (true, Some(_)) => Holds::Many,
            (true, None) => Holds::Windows,
        };
        let window = WindowSpec { aggregate: spec.clone(), layout, event_time, updates };
        self.note_groups("window", &spec, schema, Some(until_over("window", updates)));
        let operator = Self::keyed_spec("window", description.clone(), &spec.keys);
        let combine = spec.clone();
        let rows = self.expanded(&input, &shape);
        let phases = Phases { spec: &spec, keys: spec.keys.len(), description, schema };
        let stream = self
            .combined(rows, input.parallelism, phases, move || {
                Box::new(Combine::in_windows(combine.clone(), layout).holding(holds))
            })
            .transform(operator, move |_| Ok(Box::new(WindowAggregate::new(window.clone()))));
        let result = self.window_results(&input, &shape, stream, event_time, schema);
        Ok(Planned { retracts: updates.any(), ..result })
    }

    /// Adds the operators of an aggregation by session.
    fn in_sessions(
        &mut self,
        input: Planned,
        shape: Shape,
        gap: i64,
        event_time: bool,
        schema: &DFSchemaRef,
        description: String,
    ) -> Result<Planned> {
        let keys = shape.spec.keys.clone();
        let time = shape.bounds.first().map_or(0, |(_, at)| *at);
        let rows = shape.spec.input.clone();
        let sessions = SessionAssignerSpec { keys: keys.clone(), time, gap, input: rows };
        let mut spec = shape.spec.clone();
        spec.input = sessions.output();
        spec.keys.extend([spec.input.fields().len() - 2, spec.input.fields().len() - 1]);
        let spec = Arc::new(spec);
        let updates = self.updates(event_time)?;
        let assign = OperatorSpec::new("sessions", OperatorKind::Transform)
            .described(format!("gap {gap} ms"));
        let rows = self
            .expanded(&input, &shape)
            .transform::<Columns>(assign, move |_| {
                Ok(Box::new(SessionAssigner::new(sessions.clone())))
            })
            .parallelism(input.parallelism);
        let session = SessionSpec { aggregate: spec.clone(), gap, event_time, updates };
        self.note_groups("session", &spec, schema, Some(until_over("session", updates)));
        let operator = Self::keyed_spec("session", description.clone(), &keys);
        let combine = spec.clone();
        let holds = if event_time { Holds::Many } else { Holds::Batch };
        let phases = Phases { spec: &spec, keys: keys.len(), description, schema };
        let stream = self
            .combined(rows, input.parallelism, phases, move || {
                Box::new(Combine::new(combine.clone()).holding(holds))
            })
            .transform(operator, move |_| Ok(Box::new(SessionAggregate::new(session.clone()))));
        let result = self.window_results(&input, &shape, stream, event_time, schema);
        Ok(Planned { retracts: updates.any(), ..result })
    }

    /// What is known of the results of windows.
    fn window_results(
        &self,
        input: &Planned,
        shape: &Shape,
        stream: DataStream<Columns>,
        event_time: bool,
        schema: &DFSchemaRef,
    ) -> Planned {
        let spec = &shape.spec;
        let is = |wanted: OutputColumn| spec.columns.iter().position(|column| *column == wanted);
        let start = is(OutputColumn::WindowStart).or_else(|| {
            // Of windows that rows bring along, the start is a key.
            let start = input.window.as_ref()?.start;
            shape.group_sources.iter().position(|from| *from == Some(start))
        });
        let window = start.zip(is(OutputColumn::WindowEnd));
        let key = |column: &OutputColumn| !matches!(column, OutputColumn::Call(_));
        let group = (0..spec.columns.len()).filter(|at| key(&spec.columns[*at])).collect();
        let spread: Vec<usize> =
            (0..spec.keys.len()).filter_map(|key| is(OutputColumn::Key(key))).collect();
        let time = is(OutputColumn::WindowTime).filter(|_| event_time);
        Planned {
            stream,
            schema: schema.clone(),
            retracts: false,
            time: time.into_iter().collect(),
            window: window.map(|(start, end)| WindowColumns { start, end, event_time }),
            keys: vec![group],
            spread_by: (!spread.is_empty()).then_some(spread),
            parallelism: self.keyed_parallelism(&spec.keys),
        }
    }

    /// When windows give results that are not final, as the session says. By processing time no row is late.
    ///
    /// # Errors
    /// [`Error::Invalid`] if late rows are to change results, but none are taken.
    fn updates(&self, event_time: bool) -> Result<Updates> {
        let millis = |key: &str| {
            let duration = self.settings.duration(key).unwrap_or_default();
            i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
        };
        let enabled = |which: &str| {
            let flag = self.settings.flag(&format!("table.exec.emit.{which}-fire.enabled"));
            flag.then(|| millis(&format!("table.exec.emit.{which}-fire.delay")))
        };
        let (early, late) = (enabled("early"), enabled("late"));
        let lateness = millis("table.exec.emit.allow-lateness");
        if late.is_some() && lateness == 0 {
            return Err(Error::invalid(
                "'table.exec.emit.late-fire.enabled' without 'table.exec.emit.allow-lateness': late rows are left out, so there is nothing to \
                 put out late; say for how long windows take them",
            ));
        }
        Ok(match event_time {
            true => Updates { early, lateness, late: late.filter(|delay| *delay > 0) },
            false => Updates { early, ..Updates::default() },
        })
    }

    fn note_groups(
        &mut self,
        operator: &str,
        spec: &AggregateSpec,
        schema: &DFSchemaRef,
        until: Option<String>,
    ) {
        let names = key_names(spec, schema);
        let keeps = match names.is_empty() {
            true => "one row".to_owned(),
            false => format!("one row per {names}"),
        };
        let sets = match spec.sets.len() {
            0 => String::new(),
            1 => ", and the different values of an aggregate".to_owned(),
            more => format!(", and the different values of {more} aggregates"),
        };
        self.note_state(operator, keeps + &sets, until);
    }

    /// The columns of an aggregation, once for each of its grouping sets.
    fn expanded(&self, input: &Planned, shape: &Shape) -> DataStream<Columns> {
        let columns = shape.columns.columns.iter().flatten().map(ToString::to_string);
        let columns = columns.collect::<Vec<_>>().join(", ");
        let stream = self.calc(input, shape.columns.clone(), columns);
        let Some(expand) = shape.expand.clone() else { return stream };
        let sets = format!("{} grouping sets", expand.sets.len());
        let operator = OperatorSpec::new("expand", OperatorKind::Transform).described(sets);
        stream
            .transform(operator, move |_| Ok(Box::new(Expand::new(expand.clone()))))
            .parallelism(input.parallelism)
    }

    /// Rows combined and spread by their groups; with `ONE_PHASE` they are spread as they are, and combined where their groups are.
    fn combined(
        &self,
        rows: DataStream<Columns>,
        parallelism: u32,
        phases: Phases<'_>,
        combine: impl Fn() -> Box<dyn Operator> + Send + Sync + 'static,
    ) -> DataStream<Columns> {
        let Phases { spec, keys, description, schema } = phases;
        let one_phase = self.settings.text("table.optimizer.agg-phase-strategy") == "ONE_PHASE";
        let spread = |stream: &DataStream<Columns>, keys: Vec<usize>| {
            stream.partition_by(&key_names(spec, schema), move |key_groups| {
                Box::new(RowKeyPartitioner::new(keys.clone(), key_groups))
            })
        };
        let operator = OperatorSpec::new("combine", OperatorKind::Transform).described(description);
        if !one_phase {
            let combined = rows.transform(operator, move |_| Ok(combine()));
            return spread(&combined.parallelism(parallelism), (0..keys).collect());
        }
        let operator = if keys == 0 { operator.single() } else { operator };
        spread(&rows, spec.keys[..keys].to_vec()).transform(operator, move |_| Ok(combine()))
    }
}

/// What is said of an aggregation that comes in two phases.
struct Phases<'a> {
    spec: &'a AggregateSpec,
    /// By how many columns of the key rows are spread.
    keys: usize,
    description: String,
    schema: &'a DFSchemaRef,
}

/// Until when the state of a window is kept.
fn until_over(window: &str, updates: Updates) -> String {
    match updates.lateness {
        0 => format!("its {window} is over"),
        lateness => format!("its {window} is over, and {lateness} ms of event time more"),
    }
}

fn key_names(spec: &AggregateSpec, schema: &DFSchemaRef) -> String {
    let columns = spec.columns.iter().enumerate();
    let keys = columns.filter(|(_, column)| matches!(column, OutputColumn::Key(_)));
    keys.map(|(at, _)| schema.field(at).name().as_str()).collect::<Vec<_>>().join(", ")
}

/// Where rows go that hold their time in the columns of the window.
fn layout(kind: WindowKind, shape: &Shape) -> WindowLayout {
    let time = shape.bounds.iter().map(|(_, at)| *at).next().unwrap_or(0);
    // The values of a set are kept by window: those of several panes cannot be put together.
    let shared = shape.spec.sets.is_empty();
    match kind {
        WindowKind::Tumble { size, offset } => {
            WindowLayout::Hop { time, size, slide: size, offset, shared }
        }
        WindowKind::Hop { slide, size, offset } => {
            WindowLayout::Hop { time, size, slide, offset, shared }
        }
        WindowKind::Cumulate { step, size, offset } => {
            WindowLayout::Cumulate { time, size, step, offset, shared }
        }
        // Planned elsewhere.
        WindowKind::Session { .. } => WindowLayout::Given { end: time },
    }
}
