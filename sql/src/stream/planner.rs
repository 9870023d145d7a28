//! The walk over the logical plan.

use std::sync::Arc;
use std::time::Duration;

use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use riverrun_dataflow::{Columns, DataStream, Environment, OperatorKind, OperatorSpec};

use super::shared::Shared;
use super::{Planned, StateNote};
use crate::plan::{EventTime, TemporalJoin, WindowTvf, needs_of};
use crate::session::Settings;
use crate::state::RowKeyPartitioner;
use crate::{Error, Result};

/// Adds the operators of a query to a job.
pub struct StreamPlanner<'a> {
    /// The job.
    pub env: &'a Environment,
    /// What expressions need to be planned.
    pub props: ExecutionProps,
    /// Whether a source was added that has no end.
    pub(super) endless: bool,
    /// What was planned before and can be used again.
    shared: Shared,
    /// The session's settings.
    pub settings: Settings,
    /// State that operators keep, in the order in which they were added.
    pub state: Vec<StateNote>,
}

impl<'a> StreamPlanner<'a> {
    /// A planner that adds to `env`.
    pub fn new(env: &'a Environment) -> Self {
        Self {
            env,
            props: ExecutionProps::new(),
            endless: false,
            shared: Shared::default(),
            settings: Settings::default(),
            state: Vec::new(),
        }
    }

    /// How long state that is not touched is kept; `None`: for ever.
    pub(super) fn state_ttl(&self) -> Option<Duration> {
        self.settings.duration("table.exec.state.ttl")
    }

    /// How long state by key is kept that is not touched, in milliseconds, and what `EXPLAIN` says of it. Rows that are not parted by a key are always
    /// touched.
    pub(super) fn time_to_live(&self, keys: &[usize]) -> Option<(i64, String)> {
        let ttl = self.state_ttl().filter(|_| !keys.is_empty())?.as_millis();
        let until = format!("it was not touched for {ttl} ms (table.exec.state.ttl)");
        Some((i64::try_from(ttl).unwrap_or(i64::MAX), until))
    }

    /// Whether all sources that were added so far have an end.
    pub fn bounded(&self) -> bool {
        !self.endless
    }

    /// Adds the operators of a plan and returns its result; where the same was planned before, adds nothing and returns what that led to.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for what cannot be done on streams.
    pub fn plan(&mut self, plan: &LogicalPlan) -> Result<Planned> {
        let needs = needs_of(plan);
        if let Some(planned) = self.shared.find(plan, &needs) {
            return Ok(planned);
        }
        let planned = self.node(plan)?;
        self.shared.add(plan, needs, &planned);
        Ok(planned)
    }

    fn node(&mut self, plan: &LogicalPlan) -> Result<Planned> {
        match plan {
            LogicalPlan::Projection(projection) => self.projection(projection),
            LogicalPlan::Filter(filter) => self.filter(filter),
            LogicalPlan::TableScan(scan) => self.scan(scan),
            LogicalPlan::SubqueryAlias(alias) => self.alias(alias),
            LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => self.constant(plan),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::Sort(sort) => self.sort(sort),
            LogicalPlan::Limit(limit) => self.limit(limit),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::Extension(extension) => self.extension(extension),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Distinct(distinct) => self.distinct(distinct),
            other => Err(Error::unsupported(format!(
                "{} in a streaming query",
                other.display().to_string().split([':', ' ']).next().unwrap_or_default()
            ))),
        }
    }

    fn extension(&mut self, extension: &Extension) -> Result<Planned> {
        let node = extension.node.as_any();
        if let Some(node) = node.downcast_ref::<EventTime>() {
            return self.event_time(node);
        }
        if let Some(node) = node.downcast_ref::<WindowTvf>() {
            return self.windows(node);
        }
        if let Some(node) = node.downcast_ref::<TemporalJoin>() {
            return self.temporal_join(node);
        }
        Err(Error::unsupported(format!("{} in a streaming query", extension.node.name())))
    }

    /// An expression over the rows of a schema.
    ///
    /// # Errors
    /// [`Error::Invalid`] with what DataFusion says about it.
    pub fn expression(&self, expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>> {
        create_physical_expr(expr, schema, &self.props, &PhysicalPlanningContext::default())
            .map_err(|error| planning(&error))
    }

    /// Several expressions over the rows of a schema.
    ///
    /// # Errors
    /// As [`StreamPlanner::expression`].
    pub fn expressions<'e>(
        &self,
        exprs: impl IntoIterator<Item = &'e Expr>,
        schema: &DFSchema,
    ) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
        exprs.into_iter().map(|expr| self.expression(expr, schema)).collect()
    }

    /// The stream spread by the hash of some of its columns, so that rows with the same values meet in one subtask; without columns
    /// all rows are to meet in one: the operator that takes them must be added with [`StreamPlanner::keyed_spec`].
    pub fn spread(&self, planned: &Planned, columns: &[usize]) -> DataStream<Columns> {
        let names: Vec<&str> =
            columns.iter().map(|at| planned.schema.field(*at).name().as_str()).collect();
        let columns = columns.to_vec();
        planned.stream.partition_by(&names.join(", "), move |key_groups| {
            Box::new(RowKeyPartitioner::new(columns.clone(), key_groups))
        })
    }

    /// The spec of an operator with keyed state behind [`StreamPlanner::spread`]: in one subtask only if there are no key columns.
    pub fn keyed_spec(name: &str, description: String, keys: &[usize]) -> OperatorSpec {
        let spec = OperatorSpec::new(name, OperatorKind::Keyed).described(description);
        if keys.is_empty() { spec.single() } else { spec }
    }

    /// Number of subtasks of an operator made by [`StreamPlanner::keyed_spec`] with these keys.
    pub fn keyed_parallelism(&self, keys: &[usize]) -> u32 {
        if keys.is_empty() { 1 } else { self.env.parallelism() }
    }

    /// Notes the state of an operator for `EXPLAIN`.
    pub fn note_state(
        &mut self,
        operator: impl Into<String>,
        keeps: impl Into<String>,
        until: Option<String>,
    ) {
        self.state.push(StateNote { operator: operator.into(), keeps: keeps.into(), until });
    }
}

/// What DataFusion says about a plan, in one line.
pub(crate) fn planning(error: &DataFusionError) -> Error {
    Error::invalid(crate::wording::plain(&error.strip_backtrace()))
}
