//! What a name in a query stands for.

use std::sync::Arc;

use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, LogicalPlanBuilder, TableSource, col, ident,
};

use super::Session;
use crate::batch::BatchScan;
use crate::catalog::{ColumnKind, Entry, Table, View, WatermarkDefinition, nearest};
use crate::parser::QueryText;
use crate::plan::{EventTime, Needs, QueryPlanner, Relation, Rows, invalid};
use crate::{Error, Result};

/// Views may name views; a chain longer than this is taken for a circle.
const DEPTH: usize = 32;

impl Session {
    /// What a name stands for: the session's own tables hide those of all.
    pub(super) fn entry(&self, name: &str) -> Option<Entry> {
        self.temporary.get(name).cloned().or_else(|| self.engine.catalog().get(name).cloned())
    }

    /// What a name stands for, which must be something.
    pub(super) fn known_entry(&self, name: &str) -> Result<Entry> {
        self.entry(name).ok_or_else(|| {
            Error::invalid(match self.suggestion(name) {
                Some(near) => format!("table `{name}` is not known; did you mean `{near}`?"),
                None => format!(
                    "table `{name}` is not known; SHOW TABLES lists what there is, CREATE TABLE makes one"
                ),
            })
        })
    }

    /// The name that was perhaps meant.
    fn suggestion(&self, name: &str) -> Option<String> {
        let catalog = self.engine.catalog();
        let names = self.temporary.iter().chain(catalog.iter()).map(|(name, _)| name);
        nearest(name, names).map(str::to_owned)
    }

    /// The optimised plan of a query.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub fn logical_plan(&self, query: &QueryText) -> Result<LogicalPlan> {
        self.with_planner(0, |planner| planner.optimize(planner.result(&query.query)?))
    }

    /// Calls `f` with a planner that knows this session's names.
    pub(super) fn with_planner<R>(
        &self,
        depth: usize,
        f: impl FnOnce(&QueryPlanner<'_>) -> Result<R>,
    ) -> Result<R> {
        let find = |name: &str| self.source(name, depth);
        let suggest = |name: &str| self.suggestion(name);
        f(&QueryPlanner::new(&find, &suggest, &self.engine.functions))
    }

    fn source(&self, name: &str, depth: usize) -> Result<Option<Arc<dyn TableSource>>> {
        if depth > DEPTH {
            return Err(Error::invalid(format!(
                "view `{name}` is defined by views that are defined by it, or by more than {DEPTH} one upon the other"
            )));
        }
        let Some(entry) = self.entry(name) else { return Ok(None) };
        let relation = match &entry {
            Entry::Table { table, .. } => self.table_relation(name, table, depth)?,
            Entry::Materialized(view) if view.counts_copies => {
                let counted = self.table_relation(name, &view.table, depth)?;
                let plan = crate::plan::with_copies(self.scan_plan(name, counted)?);
                self.planned(name, plan.map_err(invalid)?)
            }
            Entry::Materialized(view) => self.table_relation(name, &view.table, depth)?,
            Entry::View(view) => self.view_relation(name, view, depth)?,
            Entry::Memory(table) => {
                let scan = self.relation(name, table.schema.clone(), Rows::Memory(table.clone()));
                match &table.watermark {
                    None => scan,
                    Some(watermark) => {
                        let plan = self.scan_plan(name, scan)?;
                        let plan = self.event_time(plan, watermark, depth)?;
                        self.planned(name, plan)
                    }
                }
            }
        };
        Ok(Some(relation.into_source()))
    }

    fn relation(&self, name: &str, schema: arrow_schema::SchemaRef, rows: Rows) -> Relation {
        let host = &self.engine.host;
        let batch = Arc::new(BatchScan { resources: host.resources(), clock: host.clock() });
        Relation { name: name.to_owned(), schema, rows, needs: Needs::default(), batch }
    }

    fn planned(&self, name: &str, plan: LogicalPlan) -> Relation {
        let schema = plan.schema().inner().clone();
        self.relation(name, schema, Rows::Planned(Arc::new(plan)))
    }

    fn view_relation(&self, name: &str, view: &View, depth: usize) -> Result<Relation> {
        let plan = self.with_planner(depth + 1, |planner| planner.plan(&view.query.query))?;
        let plan = renamed(plan, &view.columns, name)?;
        Ok(self.planned(name, plan))
    }

    /// A table as it is read: its record's columns, then computed columns, then event time.
    fn table_relation(&self, name: &str, table: &Arc<Table>, depth: usize) -> Result<Relation> {
        let read = table.source_columns();
        let fields: Vec<_> = read.iter().map(|at| table.columns[*at].field()).collect();
        let schema = Arc::new(arrow_schema::Schema::new(fields));
        let scan = self.relation(name, schema, Rows::Table(table.clone()));
        if read.len() == table.columns.len() && table.watermark.is_none() {
            return Ok(scan);
        }
        let mut plan = self.scan_plan(name, scan)?;
        if read.len() < table.columns.len() {
            let mut columns = Vec::new();
            for column in &table.columns {
                columns.push(match &column.kind {
                    ColumnKind::Computed { expression } => self
                        .with_planner(depth + 1, |planner| {
                            planner.expression(expression, plan.schema())
                        })
                        .map_err(|error| in_column(&column.name, error))?
                        .alias(&column.name),
                    ColumnKind::Physical | ColumnKind::Metadata { .. } => ident(&column.name),
                });
            }
            plan = LogicalPlanBuilder::from(plan)
                .project(columns)
                .and_then(LogicalPlanBuilder::build)
                .map_err(invalid)?;
        }
        if let Some(watermark) = &table.watermark {
            plan = self.event_time(plan, watermark, depth)?;
        }
        Ok(self.planned(name, plan))
    }

    fn scan_plan(&self, name: &str, relation: Relation) -> Result<LogicalPlan> {
        let table = datafusion::common::TableReference::bare(name);
        LogicalPlanBuilder::scan(table, relation.into_source(), None)
            .and_then(LogicalPlanBuilder::build)
            .map_err(invalid)
    }

    fn event_time(
        &self,
        input: LogicalPlan,
        watermark: &WatermarkDefinition,
        depth: usize,
    ) -> Result<LogicalPlan> {
        let of = |text: &str| {
            self.with_planner(depth + 1, |planner| planner.expression(text, input.schema()))
        };
        let quoted = format!("`{}`", watermark.column.replace('`', "``"));
        let time = of(&quoted)?;
        let expression = of(&watermark.expression)?;
        let node = EventTime::try_new(Arc::new(input), time, expression).map_err(invalid)?;
        Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
    }

    /// The types of computed columns, found by planning them.
    pub(super) fn resolved(&self, table: &Table) -> Result<Table> {
        let mut table = table.clone();
        if table.source_columns().len() == table.columns.len() && table.watermark.is_none() {
            return Ok(table);
        }
        let relation = self.table_relation(&table.name, &Arc::new(table.clone()), 0)?;
        for (column, field) in table.columns.iter_mut().zip(relation.schema.fields()) {
            if matches!(column.kind, ColumnKind::Computed { .. }) {
                column.data_type = field.data_type().clone();
                column.nullable = field.is_nullable();
            }
        }
        Ok(table)
    }
}

fn in_column(column: &str, error: Error) -> Error {
    match error {
        Error::Invalid { reason, .. } | Error::Syntax { reason, .. } => {
            Error::invalid(format!("computed column `{column}`: {reason}"))
        }
        error => error,
    }
}

/// The plan with other names for its columns; no names: as it is.
pub(super) fn renamed(plan: LogicalPlan, names: &[String], what: &str) -> Result<LogicalPlan> {
    if names.is_empty() {
        return Ok(plan);
    }
    let fields = plan.schema().fields().len();
    if names.len() != fields {
        return Err(Error::invalid(format!(
            "`{what}` names {} columns, and its query has {fields}",
            names.len()
        )));
    }
    let columns: Vec<Expr> = plan
        .schema()
        .columns()
        .into_iter()
        .zip(names)
        .map(|(column, name)| col(column).alias(name))
        .collect();
    LogicalPlanBuilder::from(plan)
        .project(columns)
        .and_then(LogicalPlanBuilder::build)
        .map_err(invalid)
}
