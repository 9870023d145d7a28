//! From a statement to an answer. Everything here may wait, and runs on threads that may.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use pgwire::api::Type;
use pgwire::error::{PgWireError, PgWireResult};
use tokio::runtime::Handle;

use super::catalog::{self, Relation, Snapshot};
use super::errors::{plain, to_wire};
use super::settings::{Recognised, Settings};
use super::types::postgres_type;
use riverrun_sql::catalog::{Column, Entry};
use riverrun_sql::parser::Parsed;
use riverrun_sql::session::{Engine, Outcome, QueryStream, RunningJob, Session};

/// What a statement has led to.
pub(super) enum Answer {
    /// It is done; this is the tag.
    Done(String),
    /// A transaction begins.
    Begin,
    /// A transaction ends; this is the tag.
    End(&'static str),
    /// Rows that are there.
    Rows(SchemaRef, Vec<RecordBatch>),
    /// Rows that come.
    Query(QueryStream),
    /// A job that was started, and whether the statement is done when the job is.
    Job(Arc<dyn RunningJob>, bool),
}

/// What a statement would return.
pub(super) struct Shape {
    /// The columns.
    pub schema: SchemaRef,
    /// Whether rows are taken back.
    pub changelog: bool,
}

/// Answers the statements of one connection.
#[derive(Clone)]
pub(super) struct Statements {
    session: Arc<Mutex<Session>>,
    settings: Arc<Mutex<Settings>>,
    user: Arc<Mutex<String>>,
}

impl Statements {
    /// A new session.
    pub(super) fn new(engine: Arc<Engine>) -> Self {
        Self {
            session: Arc::new(Mutex::new(Session::new(engine))),
            settings: Arc::default(),
            user: Arc::default(),
        }
    }

    /// Who the client says it is.
    pub(super) fn set_user(&self, user: &str) {
        user.clone_into(&mut lock(&self.user));
    }

    /// A setting that came with the connection.
    ///
    /// # Errors
    /// If the engine does not take it.
    pub(super) fn set(&self, name: &str, value: &str) -> PgWireResult<()> {
        let value = value.replace('\'', "''");
        let statement = format!("SET {name} = '{value}'");
        self.answer(&statement, 0, &statement).map(drop)
    }

    /// Answers a statement, which begins at `start` of what the client sent as `query`.
    ///
    /// # Errors
    /// What is wrong with the statement, with its place in the query.
    pub(super) fn answer(
        &self,
        query: &str,
        start: usize,
        statement: &str,
    ) -> PgWireResult<Answer> {
        let recognised = lock(&self.settings).recognise(statement)?;
        let instead = match recognised {
            None => statement.to_owned(),
            Some(Recognised::Instead(instead)) => instead,
            Some(Recognised::Done(tag)) => return Ok(Answer::Done(tag.to_owned())),
            Some(Recognised::Begin) => return Ok(Answer::Begin),
            Some(Recognised::End(tag)) => return Ok(Answer::End(tag)),
            Some(Recognised::Setting(name, value)) => return text_rows(&[&name], &[vec![value]]),
            Some(Recognised::Rows(names, rows)) => return text_rows(&names, &rows),
        };
        if catalog::is_about_catalog(&instead) {
            let snapshot = self.snapshot();
            let answer = Handle::current().block_on(catalog::query(&instead, &snapshot));
            let (schema, batches) = answer.map_err(|error| not_answered(&error))?;
            return Ok(Answer::Rows(schema, batches));
        }
        let mut session = self.session();
        let wire = |error| to_wire(&error, query, start);
        let parsed = one(session.statements(&instead).map_err(wire)?)?;
        Ok(match session.execute(&parsed).map_err(wire)? {
            Outcome::Done(tag) => Answer::Done(tag),
            Outcome::Rows { schema, batches } => Answer::Rows(schema, batches),
            Outcome::Query(query) if has_one_result(&query) => {
                // Only the end of it is of use, and that may be waited for without holding on to the session.
                drop(session);
                let schema = query.schema().clone();
                Answer::Rows(schema, vec![query.net().map_err(wire)?])
            }
            Outcome::Query(query) => Answer::Query(query),
            Outcome::Job { job, waits } => Answer::Job(job, waits),
        })
    }

    /// What a statement would return; `None` if it returns no rows. Nothing is done.
    ///
    /// # Errors
    /// What is wrong with the statement.
    pub(super) fn shape(&self, statement: &str) -> PgWireResult<Option<Shape>> {
        // On a copy: what is only described does not take effect.
        let recognised = lock(&self.settings).clone().recognise(statement)?;
        match recognised {
            None => {}
            Some(Recognised::Setting(name, _)) => return Ok(Some(text_shape(&[&name]))),
            Some(Recognised::Rows(names, _)) => return Ok(Some(text_shape(&names))),
            Some(_) => return Ok(None),
        }
        if catalog::is_about_catalog(statement) {
            let snapshot = self.snapshot();
            let answer = Handle::current().block_on(catalog::describe(statement, &snapshot));
            let schema = answer.map_err(|error| not_answered(&error))?;
            return Ok(Some(Shape { schema, changelog: false }));
        }
        let session = self.session();
        let wire = |error| to_wire(&error, statement, 0);
        let parsed = one(session.statements(statement).map_err(wire)?)?;
        let Some(schema) = session.describe(&parsed).map_err(wire)? else { return Ok(None) };
        let changelog = session.gives_changes(&parsed).map_err(wire)?;
        Ok(Some(Shape { schema, changelog }))
    }

    /// The types of a statement's parameters, by number, as far as they follow from what stands beside them.
    pub(super) fn parameter_types(&self, statement: &str) -> BTreeMap<usize, Type> {
        if catalog::is_about_catalog(statement) {
            return BTreeMap::new();
        }
        let session = self.session();
        // What is wrong with the statement is said when it is described or executed.
        let Ok(Ok(parsed)) = session.statements(statement).map(one) else { return BTreeMap::new() };
        let types = session.parameter_types(&parsed).into_iter();
        types.map(|(number, data_type)| (number, postgres_type(&data_type))).collect()
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        lock(&self.session)
    }

    fn snapshot(&self) -> Snapshot {
        let session = self.session();
        let relation = |(name, entry): (String, Entry)| Relation {
            schema: Arc::new(Schema::new(
                // A view whose tables are gone has no columns, but is there.
                session
                    .columns(&name)
                    .unwrap_or_default()
                    .iter()
                    .map(Column::field)
                    .collect::<Vec<_>>(),
            )),
            kind: match &entry {
                Entry::View(_) => 'v',
                Entry::Materialized(_) => 'm',
                _ => 'r',
            },
            definition: entry.definition().unwrap_or_default().to_owned(),
            name,
        };
        let relations = session.entries().into_iter().map(relation).collect();
        let settings = lock(&self.settings);
        Snapshot {
            user: lock(&self.user).clone(),
            relations,
            settings: settings.all().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
        }
    }
}

/// Whether a query is only of use as a whole: it ends, and its rows have an order or are taken back on the way.
fn has_one_result(query: &QueryStream) -> bool {
    query.is_bounded() && (query.retracts() || !query.order().is_empty())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn one(mut statements: Vec<Parsed>) -> PgWireResult<Parsed> {
    match (statements.pop(), statements.len()) {
        (Some(statement), 0) => Ok(statement),
        _ => Err(plain("42601", "one statement at a time can be prepared")),
    }
}

fn not_answered(error: &datafusion::error::DataFusionError) -> PgWireError {
    plain("0A000", format!("this question about the catalog is not understood: {error}"))
}

fn text_shape(names: &[&str]) -> Shape {
    let fields: Vec<Field> =
        names.iter().map(|name| Field::new(*name, DataType::Utf8, false)).collect();
    Shape { schema: Arc::new(Schema::new(fields)), changelog: false }
}

fn text_rows(names: &[&str], rows: &[Vec<String>]) -> PgWireResult<Answer> {
    let schema = text_shape(names).schema;
    let column = |at: usize| -> ArrayRef {
        Arc::new(rows.iter().map(|row| row.get(at)).collect::<StringArray>())
    };
    let columns = (0..names.len()).map(column).collect();
    let batch = RecordBatch::try_new(schema.clone(), columns)
        .map_err(|error| plain("XX000", error.to_string()))?;
    Ok(Answer::Rows(schema, vec![batch]))
}
