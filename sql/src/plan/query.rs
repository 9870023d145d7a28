//! From a parsed query to an optimised logical plan.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::analyzer::Analyzer;
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};
use datafusion::sql::planner::{NullOrdering, ParserOptions, PlannerContext, SqlToRel};
use datafusion::sql::sqlparser::ast::{Query, Statement};

use super::names::{FindTable, Names};
use super::versions::temporal_joins;
use crate::function::FunctionRegistry;
use crate::{Error, Position, Result};

/// Plans queries against what a session can name.
pub struct QueryPlanner<'a> {
    names: Names<'a>,
    options: Arc<ConfigOptions>,
}

/// How DataFusion is set for us: identifiers keep their case, nulls come first in ascending order (as in Flink), and sub-queries become joins.
pub fn config_options() -> ConfigOptions {
    let mut options = ConfigOptions::new();
    options.sql_parser.enable_ident_normalization = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    options.sql_parser.collect_spans = true;
    options.sql_parser.default_null_ordering = "nulls_min".to_owned();
    options.execution.time_zone = Some("UTC".to_owned());
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    options
}

impl<'a> QueryPlanner<'a> {
    /// A planner that finds tables by `find`; `suggest` knows the name that was perhaps meant.
    pub fn new(
        find: FindTable<'a>,
        suggest: &'a dyn Fn(&str) -> Option<String>,
        functions: &'a FunctionRegistry,
    ) -> Self {
        let options = Arc::new(config_options());
        Self { names: Names::new(find, suggest, functions, options.clone()), options }
    }

    /// The plan of a query as it is written.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what the query names or does that cannot be.
    pub fn plan(&self, query: &Query) -> Result<LogicalPlan> {
        if !query.locks.is_empty() {
            return Err(Error::unsupported("FOR UPDATE and FOR SHARE: rows are never locked"));
        }
        let mut query = query.clone();
        super::headings::name_columns(&mut query);
        crate::function::rewrite(&mut query)?;
        self.to_rel()
            .sql_statement_to_plan(Statement::Query(Box::new(query)))
            .and_then(super::lateral::flattened)
            .and_then(temporal_joins)
            .map_err(invalid)
    }

    /// As [`QueryPlanner::plan`], for a query whose rows somebody gets to see: their types are those of SQL.
    ///
    /// # Errors
    /// As [`QueryPlanner::plan`].
    pub fn result(&self, query: &Query) -> Result<LogicalPlan> {
        self.plan(query).and_then(|plan| super::output::signed(plan).map_err(invalid))
    }

    /// The plan of an expression over rows.
    ///
    /// # Errors
    /// As [`QueryPlanner::plan`].
    pub fn expression(&self, text: &str, schema: &DFSchema) -> Result<Expr> {
        let expr = crate::parser::parse_expression(text)?;
        let expr =
            self.to_rel().sql_to_expr(expr, schema, &mut PlannerContext::new()).map_err(invalid)?;
        Ok(expr)
    }

    /// The plan with its types agreed, everything moved to where it costs least, and scans that know what is needed of them.
    ///
    /// # Errors
    /// [`Error::Invalid`] for types that do not fit each other.
    pub fn optimize(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan =
            Analyzer::new().execute_and_check(plan, &self.options, |_, _| {}).map_err(invalid)?;
        // Without a time at which the query began: `now()` of a stream is the time of each batch.
        let context = OptimizerContext::new_with_config_options(self.options.clone())
            .without_query_execution_start_time();
        Optimizer::with_rules(rules())
            .optimize(plan, &context, |_, _| {})
            .and_then(super::read_less)
            .map_err(invalid)
    }

    fn to_rel(&self) -> SqlToRel<'_, Names<'a>> {
        let options = ParserOptions::new()
            .with_enable_ident_normalization(false)
            .with_map_string_types_to_utf8view(false)
            .with_collect_spans(true)
            .with_default_null_ordering(NullOrdering::NullsMin);
        SqlToRel::new_with_options(&self.names, options)
    }
}

/// DataFusion's rules, without the one that turns a single DISTINCT aggregate into two levels of GROUP BY: on a stream that would keep twice the
/// state.
fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let all = Optimizer::new().rules;
    all.into_iter()
        .filter(|rule| rule.name() != "single_distinct_aggregation_to_group_by")
        .collect()
}

/// What DataFusion says about a query, with the place if it knows it.
pub(crate) fn invalid(error: DataFusionError) -> Error {
    let position = error
        .diagnostic()
        .and_then(|diagnostic| diagnostic.span)
        .map(|span| Position { line: span.start.line, column: span.start.column });
    let root = error.find_root();
    if let DataFusionError::External(inner) = root
        && let Some(ours) = inner.downcast_ref::<Error>()
    {
        return match ours {
            Error::Unsupported(reason) => Error::Unsupported(reason.clone()),
            Error::Refused(reason) => Error::Refused(reason.clone()),
            other => Error::Invalid {
                position: other.position().or(position),
                reason: match other {
                    Error::Syntax { reason, .. } | Error::Invalid { reason, .. } => reason.clone(),
                    other => other.to_string(),
                },
            },
        };
    }
    let text = match root {
        DataFusionError::Plan(text)
        | DataFusionError::NotImplemented(text)
        | DataFusionError::Execution(text)
        | DataFusionError::Configuration(text) => text.clone(),
        DataFusionError::SchemaError(schema, _) => schema.to_string(),
        other => other.strip_backtrace(),
    };
    // Our functions say themselves which argument is wrong.
    let text = match text.split_once("user-defined coercion failed with: ") {
        Some((_, reason)) => crate::wording::plain(reason),
        None => crate::wording::plain(&text),
    };
    match root {
        DataFusionError::NotImplemented(_) => Error::Unsupported(text),
        _ => Error::Invalid { position, reason: lower_first(&text) },
    }
}

/// DataFusion's sentences begin with a capital; ours stand behind `error: `.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}
