//! A statement done.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use super::place::placed;
use super::{Engine, QueryStream, RunningJob, Settings};
use crate::catalog::Catalog;
use crate::parser::{Parsed, Statement, parse_script};
use crate::{Error, Result};

/// What came of a statement.
pub enum Outcome {
    /// It is done. The text says what was: `CREATE TABLE`.
    Done(String),
    /// Rows that are all there: of SHOW, DESCRIBE and EXPLAIN.
    Rows {
        /// Their columns.
        schema: SchemaRef,
        /// The rows.
        batches: Vec<RecordBatch>,
    },
    /// Rows that are to come.
    Query(QueryStream),
    /// A job was started.
    Job {
        /// The job.
        job: Arc<dyn RunningJob>,
        /// Whether the statement is done when the job is, and not before: all of its input has an end, or the session wants it so.
        waits: bool,
    },
}

/// Takes statements one after the other.
pub struct Session {
    pub(super) engine: Arc<Engine>,
    pub(super) settings: Settings,
    /// Tables and views that this session alone sees.
    pub(super) temporary: Catalog,
}

impl Session {
    /// A session with default settings.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, settings: Settings::default(), temporary: Catalog::default() }
    }

    /// What all sessions share.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The session's settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The session's settings, to be changed.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// The statements of a text.
    ///
    /// # Errors
    /// As [`parse_script`].
    pub fn statements(&self, text: &str) -> Result<Vec<Parsed>> {
        parse_script(text)
    }

    /// Does what a statement says. Queries and jobs go on when this returns.
    ///
    /// # Errors
    /// What is wrong with the statement, with its place in the script where that is known; or what went wrong.
    pub fn execute(&mut self, parsed: &Parsed) -> Result<Outcome> {
        self.execute_statement(&parsed.statement).map_err(|error| placed(error, parsed))
    }

    fn execute_statement(&mut self, statement: &Statement) -> Result<Outcome> {
        let done = |what: &str| Ok(Outcome::Done(what.to_owned()));
        match statement {
            Statement::Query(query) => self.query(query).map(Outcome::Query),
            Statement::Insert(insert) => self.insert(std::slice::from_ref(insert)),
            Statement::StatementSet(inserts) => self.insert(inserts),
            Statement::CreateTable(create) => self.create_table(create),
            Statement::CreateView(create) => self.create_view(create),
            Statement::CreateMaterializedView(create) => self.create_materialized_view(create),
            Statement::Drop { kind, name, if_exists } => self.drop_entry(*kind, name, *if_exists),
            Statement::Show(kind) => self.show(kind),
            Statement::Describe(name) => self.describe_table(name),
            Statement::Explain(statement) => self.explain(statement),
            Statement::Set(None) => self.show_settings(),
            Statement::Set(Some((key, value))) => {
                self.settings.set(key, value)?;
                done("SET")
            }
            Statement::Reset(key) => {
                self.settings.reset(key.as_deref())?;
                done("RESET")
            }
            Statement::StopJob { job, with_savepoint } => {
                self.engine.host.cancel(job, *with_savepoint)?;
                done("STOP JOB")
            }
        }
    }

    /// The columns of a statement's rows, without running it; `None` if it gives no rows.
    ///
    /// # Errors
    /// As [`Session::execute`].
    pub fn describe(&self, parsed: &Parsed) -> Result<Option<SchemaRef>> {
        Ok(match &parsed.statement {
            Statement::Query(query) => Some(
                self.logical_plan(query)
                    .map_err(|error| placed(error, parsed))?
                    .schema()
                    .inner()
                    .clone(),
            ),
            Statement::Show(kind) => Some(self.show_schema(kind)),
            Statement::Describe(_) => Some(super::show::describe_schema()),
            Statement::Explain(_) => Some(super::show::text_schema("plan")),
            Statement::Set(None) => Some(super::show::settings_schema()),
            _ => None,
        })
    }

    /// Makes what a definition says known, without keeping it: it was kept before, or is the session's own.
    pub(super) fn load(&mut self, definition: &str) -> Result<()> {
        match super::engine::single(definition)? {
            Statement::CreateTable(create) => self.load_table(&create),
            Statement::CreateView(create) => self.load_view(&create),
            Statement::CreateMaterializedView(create) => self.load_materialized_view(&create),
            _ => Err(Error::invalid(format!("`{definition}` defines nothing"))),
        }
    }

    /// Starts the job of a statement under the name that it had.
    pub(super) fn start_again(
        &mut self,
        statement: &Statement,
        name: &str,
    ) -> Result<Arc<dyn RunningJob>> {
        match statement {
            Statement::Insert(insert) => {
                self.start_inserts(std::slice::from_ref(insert), name).map(|(job, _)| job)
            }
            Statement::StatementSet(inserts) => {
                self.start_inserts(inserts, name).map(|(job, _)| job)
            }
            Statement::CreateMaterializedView(create) => self.start_materialized_view(create, name),
            _ => Err(Error::invalid(format!("job `{name}` is none that a statement makes"))),
        }
    }
}
