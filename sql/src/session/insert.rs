//! `INSERT INTO` and statement sets: jobs.

use std::sync::Arc;

use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast, col, lit};
use riverrun_dataflow::Environment;

use super::{Outcome, RunningJob, RuntimeMode, Session, Submission};
use crate::catalog::{Entry, Table};
use crate::connector::{self, SinkInput, SinkMode};
use crate::parser::Insert;
use crate::plan::{Relation, Rows, invalid};
use crate::stream::{Planned, StateNote, StreamPlanner};
use crate::{Error, Result};

impl Session {
    pub(super) fn insert(&mut self, inserts: &[Insert]) -> Result<Outcome> {
        let name = match self.settings.text("pipeline.name") {
            "" => {
                let tables: Vec<&str> =
                    inserts.iter().map(|insert| insert.table.as_str()).collect();
                self.free_name(&format!("insert-into_{}", tables.join("_")))
            }
            name => name.to_owned(),
        };
        let (job, bounded) = self.start_inserts(inserts, &name)?;
        Ok(Outcome::Job { job, waits: self.waits_for_job(bounded) })
    }

    /// Whether a statement that starts a job is done when the job is.
    pub(super) fn waits_for_job(&self, bounded: bool) -> bool {
        let Self { settings, .. } = self;
        bounded
            || settings.until_caught_up()
            || settings.mode() == RuntimeMode::Batch
            || settings.flag("table.dml-sync")
    }

    /// Starts the job; says whether all of its input has an end.
    pub(super) fn start_inserts(
        &mut self,
        inserts: &[Insert],
        name: &str,
    ) -> Result<(Arc<dyn RunningJob>, bool)> {
        let env = self.job_environment(name);
        let plans = self.insert_plans(inserts)?;
        let (_, bounded) = self.plan_inserts(&env, &plans)?;
        self.prepare(plans.iter().map(|(table, plan)| (&**table, plan)))?;
        let statement = match inserts {
            [one] => one.text.clone(),
            several => {
                let texts: Vec<String> =
                    several.iter().map(|insert| format!("{};", insert.text)).collect();
                format!("EXECUTE STATEMENT SET BEGIN {} END", texts.join(" "))
            }
        };
        Ok((self.start(&env, self.submission(name, statement))?, bounded))
    }

    pub(super) fn start(
        &self,
        env: &Environment,
        submission: Submission,
    ) -> Result<Arc<dyn RunningJob>> {
        let host = &self.engine.host;
        host.start(env.build(host.resources())?, submission)
    }

    pub(super) fn submission(&self, name: &str, statement: String) -> Submission {
        let temporary = self.temporary.iter().filter_map(|(_, entry)| entry.definition());
        Submission {
            name: name.to_owned(),
            statement,
            settings: self.settings.changed().clone(),
            temporary: temporary.map(str::to_owned).collect(),
            durable: true,
        }
    }

    /// A name that no job that is known has.
    fn free_name(&self, wanted: &str) -> String {
        let jobs = self.engine.host.jobs();
        let taken = |name: &str| jobs.iter().any(|job| job.name == name);
        if !taken(wanted) {
            return wanted.to_owned();
        }
        (2..)
            .map(|number| format!("{wanted}_{number}"))
            .find(|name| !taken(name))
            .unwrap_or_else(|| wanted.to_owned())
    }

    /// The table and the rows of each insert.
    pub(super) fn insert_plans(
        &self,
        inserts: &[Insert],
    ) -> Result<Vec<(Arc<Table>, LogicalPlan)>> {
        inserts.iter().map(|insert| self.insert_plan(insert)).collect()
    }

    /// Adds the inserts to a job, which share what is the same in them; says which state it keeps, and whether all of its input has
    /// an end.
    pub(super) fn plan_inserts(
        &self,
        env: &Environment,
        inserts: &[(Arc<Table>, LogicalPlan)],
    ) -> Result<(Vec<StateNote>, bool)> {
        let mut planner = self.stream_planner(env);
        for (table, plan) in inserts {
            let planned = planner.plan(plan)?;
            end_in(&mut planner, planned, table)?;
        }
        Ok((std::mem::take(&mut planner.state), planner.bounded()))
    }

    /// Sees to it that a job can run: what it reads must be there, or be made by itself; what it writes is made.
    pub(super) fn prepare<'a>(
        &self,
        inserts: impl Iterator<Item = (&'a Table, &'a LogicalPlan)> + Clone,
    ) -> Result<()> {
        let written: Vec<&str> =
            inserts.clone().filter_map(|(table, _)| table.option("topic")).collect();
        for (_, plan) in inserts.clone() {
            self.check_sources(plan, &written)?;
        }
        let resources = self.engine.host.resources();
        inserts.map(|(table, _)| table).try_for_each(|table| connector::make(table, &resources))
    }

    /// Whether what a plan reads is there, or one of the topics that are about to be made.
    pub(super) fn check_sources(&self, plan: &LogicalPlan, made: &[&str]) -> Result<()> {
        let resources = self.engine.host.resources();
        let mut found = Ok(());
        let walked = plan.apply_with_subqueries(|node| {
            let LogicalPlan::TableScan(scan) = node else { return Ok(TreeNodeRecursion::Continue) };
            let Some(relation) = Relation::of(&scan.source) else {
                return Ok(TreeNodeRecursion::Continue);
            };
            found = match &relation.rows {
                Rows::Planned(plan) => self.check_sources(plan, made),
                Rows::Table(table)
                    if !table.option("topic").is_some_and(|topic| made.contains(&topic)) =>
                {
                    let columns = relation.table_columns(table, scan.projection.as_deref());
                    connector::check_source(table, &columns, &resources)
                }
                Rows::Table(_) | Rows::Memory(_) => Ok(()),
            };
            Ok(if found.is_ok() { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
        });
        walked.map_err(invalid).and(found)
    }

    /// The table and the optimised plan of the rows, which have just the columns that the table takes.
    pub(super) fn insert_plan(&self, insert: &Insert) -> Result<(Arc<Table>, LogicalPlan)> {
        let table = match self.known_entry(&insert.table)? {
            Entry::Table { table, .. } => table,
            entry => {
                return Err(Error::invalid(format!(
                    "`{}` is a {}: only tables take rows",
                    insert.table,
                    match entry {
                        Entry::Memory(_) => "table in memory",
                        other => other.kind(),
                    }
                )));
            }
        };
        let plan = self.with_planner(0, |planner| {
            let plan = planner.plan(&insert.query.query)?;
            planner.optimize(fitted(plan, &table, insert.columns.as_deref())?)
        })?;
        Ok((table, plan))
    }
}

/// Ends a stream in a table, whose columns it has.
pub(super) fn end_in(
    planner: &mut StreamPlanner<'_>,
    mut planned: Planned,
    table: &Table,
) -> Result<()> {
    let upsert_key = match connector::sink_mode(table)? {
        SinkMode::Upsert { key } => {
            planned = planner.one_row_per_key(planned, &key)?;
            Some(key)
        }
        SinkMode::Append | SinkMode::Changelog => planned.keys.first().cloned(),
    };
    let input = SinkInput { retracts: planned.retracts, upsert_key };
    connector::sink(&planned.stream, table, &planned.arrow_schema(), &input)
}

/// The rows of a query as a table takes them: its columns in its order, cast to its types, NULL where the statement names no value.
fn fitted(plan: LogicalPlan, table: &Table, names: Option<&[String]>) -> Result<LogicalPlan> {
    let columns = table.sink_columns();
    let given = plan.schema().columns();
    let targets: Vec<usize> = match names {
        None => columns.clone(),
        Some(names) => names
            .iter()
            .map(|name| {
                let at = table.position(name).filter(|at| columns.contains(at));
                at.ok_or_else(|| {
                    let takes: Vec<&str> =
                        columns.iter().map(|at| table.columns[*at].name.as_str()).collect();
                    Error::invalid(format!(
                        "`{}` has no column `{name}` that takes values; it has {}",
                        table.name,
                        takes.join(", ")
                    ))
                })
            })
            .collect::<Result<_>>()?,
    };
    let mut named = vec![false; table.columns.len()];
    for at in &targets {
        if std::mem::replace(&mut named[*at], true) {
            let name = &table.columns[*at].name;
            return Err(Error::invalid(format!(
                "column `{name}` is named twice: a row has one value for it"
            )));
        }
    }
    if given.len() != targets.len() {
        let takes: Vec<&str> = targets.iter().map(|at| table.columns[*at].name.as_str()).collect();
        return Err(Error::invalid(format!(
            "the query has {} columns, and `{}` takes {} ({})",
            given.len(),
            table.name,
            targets.len(),
            takes.join(", ")
        )));
    }
    let mut exprs = Vec::new();
    for at in &columns {
        let column = &table.columns[*at];
        let value: Expr = match targets.iter().position(|target| target == at) {
            Some(place) => {
                let from = plan.schema().field(place).data_type();
                if !castable(from, &column.data_type) {
                    return Err(Error::invalid(format!(
                        "column {} of the query is {}, and column `{}` of `{}` is {}: CAST it",
                        place + 1,
                        crate::function::type_name(from),
                        column.name,
                        table.name,
                        crate::function::type_name(&column.data_type),
                    )));
                }
                cast(col(given[place].clone()), column.data_type.clone())
            }
            None if column.nullable => lit(ScalarValue::Null),
            None => {
                return Err(Error::invalid(format!(
                    "column `{}` of `{}` is NOT NULL, and the statement gives no value for it",
                    column.name, table.name
                )));
            }
        };
        let value = match value {
            Expr::Literal(ScalarValue::Null, _) => cast(value, column.data_type.clone()),
            value => value,
        };
        exprs.push(value.alias(&column.name));
    }
    LogicalPlanBuilder::from(plan)
        .project(exprs)
        .and_then(LogicalPlanBuilder::build)
        .map_err(invalid)
}

/// Whether values are cast without being asked: within numbers, within timestamps, from what is NULL, and between texts; not from text to
/// number or back, which would hide a mistake.
fn castable(from: &arrow_schema::DataType, to: &arrow_schema::DataType) -> bool {
    use arrow_schema::DataType::{Null, Timestamp};
    let timestamp = |t: &arrow_schema::DataType| matches!(t, Timestamp(..));
    let text = |t: &arrow_schema::DataType| t.is_string();
    from == to
        || *from == Null
        || (from.is_numeric() && to.is_numeric())
        || (timestamp(from) && timestamp(to))
        || (text(from) && text(to))
        || (from.is_nested() && to.is_nested() && arrow_cast::can_cast_types(from, to))
        || (from.is_binary() && to.is_binary())
        || (from.is_temporal()
            && to.is_temporal()
            && arrow_cast::can_cast_types(from, to)
            && !timestamp(from))
}
