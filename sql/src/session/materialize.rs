//! Tables made of queries: `CREATE TABLE AS` and materialised views.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::logical_expr::LogicalPlan;
use riverrun_dataflow::Environment;

use super::insert::end_in;
use super::{Outcome, RunningJob, Session};
use crate::catalog::{Column, ColumnKind, Entry, MaterializedView, Table};
use crate::connector::{self, SinkMode};
use crate::parser::{CreateMaterializedView, CreateTable, Insert, QueryText};
use crate::plan::COPIES;
use crate::{Error, Result};

impl Session {
    /// Makes a table with the columns of a query, then starts the job that fills it.
    pub(super) fn create_table_as(
        &mut self,
        create: &CreateTable,
        query: &QueryText,
    ) -> Result<Outcome> {
        if !create.table.columns.is_empty() {
            return Err(Error::invalid(format!(
                "CREATE TABLE `{}` AS takes its columns from the query: leave them out, or CREATE the table and INSERT INTO it",
                create.table.name
            )));
        }
        let plan = self.logical_plan(query)?;
        let table = Table { columns: columns_of(&plan)?, ..create.table.clone() };
        connector::validate(&table)?;
        connector::sink_mode(&table)?;
        let insert = Insert {
            table: table.name.clone(),
            columns: None,
            query: query.clone(),
            text: format!("INSERT INTO {} {}", quoted(&table.name), query.text),
        };
        let name = table.name.clone();
        let definition = definition(&table, create.temporary);
        self.define(&name, Entry::Table { table: Arc::new(table), definition }, create.temporary)?;
        match self.insert(std::slice::from_ref(&insert)) {
            Ok(outcome) => Ok(outcome),
            Err(error) => {
                // A table that nothing fills is not what was asked for.
                self.drop_entry(crate::parser::DropKind::Table, &name, true)?;
                Err(error)
            }
        }
    }

    /// Keeps the result of a query up to date in a topic.
    pub(super) fn create_materialized_view(
        &mut self,
        create: &CreateMaterializedView,
    ) -> Result<Outcome> {
        if self.is_taken(&create.name, false, create.if_not_exists)? {
            return Ok(Outcome::Done("CREATE MATERIALIZED VIEW".to_owned()));
        }
        let (view, plan, env) = self.materialized(create)?;
        self.check_sources(&plan, &[])?;
        self.make_topic(&view.table)?;
        let topic = view.table.option("topic").map(str::to_owned);
        let started =
            self.start(&env, self.submission(&view.job, create.text.clone())).and_then(|job| {
                let entry = Entry::Materialized(Arc::new(view));
                self.define(&create.name, entry, false).inspect_err(|_| job.cancel())?;
                Ok(job)
            });
        match (started, topic) {
            (Ok(job), _) => Ok(Outcome::Job { job, waits: self.waits_for_job(false) }),
            (Err(error), Some(topic)) => {
                // A view that is not there leaves nothing behind; why it is not there matters more than whether that worked.
                let _ = self.engine.host.delete_topic(&topic);
                Err(error)
            }
            (Err(error), None) => Err(error),
        }
    }

    pub(super) fn load_materialized_view(&mut self, create: &CreateMaterializedView) -> Result<()> {
        let (view, ..) = self.materialized(create)?;
        self.known(&create.name, Entry::Materialized(Arc::new(view)), false);
        Ok(())
    }

    pub(super) fn start_materialized_view(
        &mut self,
        create: &CreateMaterializedView,
        name: &str,
    ) -> Result<Arc<dyn RunningJob>> {
        let (view, plan, env) = self.materialized(create)?;
        self.prepare(std::iter::once((&*view.table, &plan)))?;
        self.start(&env, self.submission(name, create.text.clone()))
    }

    /// A view, its query, and the job that keeps its result up to date. Rows that can be taken back need a key by which they replace each other; if the query
    /// has none it is the whole row, with how often it is there beside it.
    fn materialized(
        &self,
        create: &CreateMaterializedView,
    ) -> Result<(MaterializedView, LogicalPlan, Environment)> {
        let job = format!("materialized-view_{}", create.name);
        let env = self.job_environment(&job);
        let plan = self.logical_plan(&create.query)?;
        let mut planner = self.stream_planner(&env);
        let mut planned = planner.plan(&plan)?;
        let mut options = BTreeMap::from([
            ("connector".to_owned(), "riverrun".to_owned()),
            ("topic".to_owned(), create.name.clone()),
            ("format".to_owned(), "json".to_owned()),
        ]);
        options.extend(create.options.clone());
        let mut table = Table {
            name: create.name.clone(),
            columns: columns_of(&plan)?,
            watermark: None,
            primary_key: Vec::new(),
            partitioned_by: Vec::new(),
            options,
        };
        let names = |columns: &[Column]| columns.iter().map(|c| c.name.clone()).collect();
        let mut counts_copies = false;
        if planned.retracts {
            if let Some(key) = planned.keys.iter().min_by_key(|key| key.len()) {
                table.primary_key = key.iter().map(|at| table.columns[*at].name.clone()).collect();
            } else if connector::sink_mode(&table)? == SinkMode::Append {
                table.primary_key = names(&table.columns);
                planned = planner.counted(planned, COPIES)?;
                table.columns.push(Column {
                    name: COPIES.to_owned(),
                    data_type: DataType::Int64,
                    nullable: false,
                    kind: ColumnKind::Physical,
                });
                counts_copies = true;
            }
        }
        connector::validate(&table)?;
        end_in(&mut planner, planned, &table)?;
        drop(planner);
        let definition = create.text.clone();
        let table = Arc::new(table);
        Ok((MaterializedView { table, counts_copies, job, definition }, plan, env))
    }

    /// The topic of a result is there before the first row: the view can be asked at once.
    fn make_topic(&self, table: &Table) -> Result<()> {
        let Some(topic) = table.option("topic") else { return Ok(()) };
        if self.engine.host.topic_exists(topic) {
            return Err(Error::invalid(format!(
                "topic `{topic}` is there already: name another one WITH ('topic' = '..'), or delete it"
            )));
        }
        connector::make(table, &self.engine.host.resources())
    }
}

/// The columns of a query's rows, as a table's.
fn columns_of(plan: &LogicalPlan) -> Result<Vec<Column>> {
    let mut columns: Vec<Column> = Vec::new();
    for field in plan.schema().fields() {
        if columns.iter().any(|column| &column.name == field.name()) {
            return Err(Error::invalid(format!(
                "the query has two columns `{}`: name one of them AS something else",
                field.name()
            )));
        }
        columns.push(Column {
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            nullable: true,
            kind: ColumnKind::Physical,
        });
    }
    Ok(columns)
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// The statement that makes a table of plain columns.
fn definition(table: &Table, temporary: bool) -> String {
    let mut parts: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let data_type = crate::function::type_name(&column.data_type);
            format!("{} {data_type}", quoted(&column.name))
        })
        .collect();
    if !table.primary_key.is_empty() {
        let key: Vec<String> = table.primary_key.iter().map(|name| quoted(name)).collect();
        parts.push(format!("PRIMARY KEY ({}) NOT ENFORCED", key.join(", ")));
    }
    if let Some(watermark) = &table.watermark {
        parts.push(format!(
            "WATERMARK FOR {} AS {}",
            quoted(&watermark.column),
            watermark.expression
        ));
    }
    let options: Vec<String> = table
        .options
        .iter()
        .map(|(key, value)| format!("{} = {}", text(key), text(value)))
        .collect();
    format!(
        "CREATE {}TABLE {} ({}) WITH ({})",
        if temporary { "TEMPORARY " } else { "" },
        quoted(&table.name),
        parts.join(", "),
        options.join(", ")
    )
}
