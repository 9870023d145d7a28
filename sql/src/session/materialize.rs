//! Tables made of queries: `CREATE TABLE AS` and materialised views.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::logical_expr::LogicalPlan;

use super::{Outcome, RunningJob, Session};
use crate::catalog::{Column, ColumnKind, Entry, MaterializedView, Table};
use crate::connector::{self, SinkMode};
use crate::parser::{CreateMaterializedView, CreateTable, Insert, QueryText};
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
            Ok(job) => Ok(Outcome::Job(job)),
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
        let entry = self.materialized(create)?;
        let Entry::Materialized(view) = &entry else { return Ok(Outcome::Done(String::new())) };
        let (table, job) = (view.table.clone(), view.job.clone());
        self.make_topic(&table)?;
        let job = self.run_materialized(create, &table, &job)?;
        if let Err(error) = self.define(&create.name, entry, false) {
            job.cancel();
            return Err(error);
        }
        Ok(Outcome::Job(job))
    }

    pub(super) fn load_materialized_view(&mut self, create: &CreateMaterializedView) -> Result<()> {
        let entry = self.materialized(create)?;
        self.known(&create.name, entry, false);
        Ok(())
    }

    pub(super) fn start_materialized_view(
        &mut self,
        create: &CreateMaterializedView,
        name: &str,
    ) -> Result<Arc<dyn RunningJob>> {
        let Entry::Materialized(view) = self.materialized(create)? else {
            return Err(Error::invalid(format!("`{}` is no materialized view", create.name)));
        };
        self.run_materialized(create, &view.table, name)
    }

    fn run_materialized(
        &self,
        create: &CreateMaterializedView,
        table: &Table,
        name: &str,
    ) -> Result<Arc<dyn RunningJob>> {
        let env = self.job_environment(name);
        let plan = self.logical_plan(&create.query)?;
        self.plan_sink(&env, table, &plan)?;
        self.start(&env, self.submission(name, create.text.clone()))
    }

    /// The table of a view's result. Rows that can be taken back need a key by which they replace each other.
    fn materialized(&self, create: &CreateMaterializedView) -> Result<Entry> {
        let plan = self.logical_plan(&create.query)?;
        let env = self.job_environment("materialized view");
        let planned = self.stream_planner(&env).plan(&plan)?;
        let mut columns = columns_of(&plan)?;
        let mut primary_key = Vec::new();
        if planned.retracts {
            let key = planned.keys.iter().min_by_key(|key| key.len()).ok_or_else(|| {
                Error::Refused(format!(
                    "the rows of materialized view `{}` change, and nothing tells which replaces which: GROUP BY the columns that \
                     are to be its key",
                    create.name
                ))
            })?;
            for at in key {
                columns[*at].nullable = false;
                primary_key.push(columns[*at].name.clone());
            }
        }
        let mut options = BTreeMap::from([
            ("connector".to_owned(), "riverrun".to_owned()),
            ("topic".to_owned(), create.name.clone()),
            ("format".to_owned(), "json".to_owned()),
        ]);
        options.extend(create.options.clone());
        let table = Table {
            name: create.name.clone(),
            columns,
            watermark: None,
            primary_key,
            partitioned_by: Vec::new(),
            options,
        };
        connector::validate(&table)?;
        Ok(Entry::Materialized(Arc::new(MaterializedView {
            table: Arc::new(table),
            job: format!("materialized-view_{}", create.name),
            definition: create.text.clone(),
        })))
    }

    /// The topic of a result is there before the first row: the view can be asked at once.
    fn make_topic(&self, table: &Table) -> Result<()> {
        let Some(topic) = table.option("topic") else { return Ok(()) };
        let mut configs = BTreeMap::new();
        if matches!(connector::sink_mode(table)?, SinkMode::Upsert { .. }) {
            configs.insert("cleanup.policy".to_owned(), "compact".to_owned());
        }
        let partitions = table.option("sink.partitions").and_then(|n| n.parse().ok()).unwrap_or(1);
        if self.engine.host.topic_exists(topic) {
            return Err(Error::invalid(format!(
                "topic `{topic}` is there already: name another one WITH ('topic' = '..'), or delete it"
            )));
        }
        self.engine.host.create_topic(topic, partitions, &configs)
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
