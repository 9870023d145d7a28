//! What a statement can be.

use datafusion::sql::sqlparser::ast::Query;

use crate::catalog::Table;

/// A query, parsed and as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryText {
    /// Parsed.
    pub query: Box<Query>,
    /// As written.
    pub text: String,
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Statement {
    /// `SELECT`, `VALUES`, `WITH`.
    Query(QueryText),
    /// `INSERT INTO`.
    Insert(Insert),
    /// `EXECUTE STATEMENT SET BEGIN ... END`: several inserts as one job.
    StatementSet(Vec<Insert>),
    /// `CREATE [TEMPORARY] TABLE`, also `AS SELECT`.
    CreateTable(CreateTable),
    /// `CREATE [TEMPORARY] VIEW`.
    CreateView(CreateView),
    /// `CREATE MATERIALIZED VIEW`.
    CreateMaterializedView(CreateMaterializedView),
    /// `DROP TABLE | VIEW | MATERIALIZED VIEW`.
    Drop {
        /// What is dropped.
        kind: DropKind,
        /// Its name.
        name: String,
        /// Whether it need not be there.
        if_exists: bool,
    },
    /// `SHOW ...`.
    Show(ShowKind),
    /// `DESCRIBE table`.
    Describe(String),
    /// `EXPLAIN statement`.
    Explain(Box<Statement>),
    /// `SET 'key' = 'value'`; without a key, `SET` shows all settings.
    Set(Option<(String, String)>),
    /// `RESET 'key'`; without a key, all settings.
    Reset(Option<String>),
    /// `STOP JOB 'name'`.
    StopJob {
        /// The job's name.
        job: String,
        /// Whether it takes a last checkpoint.
        with_savepoint: bool,
    },
}

/// `INSERT INTO table [(columns)] query`.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// The table.
    pub table: String,
    /// The columns that the query's columns are for, in order; `None`: all of the table's.
    pub columns: Option<Vec<String>>,
    /// The rows.
    pub query: QueryText,
    /// The statement as written.
    pub text: String,
}

/// `CREATE TABLE`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateTable {
    /// The table. With `AS`, it has columns only where the statement lists some.
    pub table: Table,
    /// Whether the session alone sees it.
    pub temporary: bool,
    /// Whether it may be there already.
    pub if_not_exists: bool,
    /// The rows to begin with.
    pub query: Option<QueryText>,
    /// The statement as written.
    pub text: String,
}

/// `CREATE VIEW`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateView {
    /// Its name.
    pub name: String,
    /// Names for the query's columns; empty: the query's own.
    pub columns: Vec<String>,
    /// The query.
    pub query: QueryText,
    /// Whether the session alone sees it.
    pub temporary: bool,
    /// Whether it replaces a view of the same name.
    pub or_replace: bool,
    /// Whether it may be there already.
    pub if_not_exists: bool,
    /// The statement as written.
    pub text: String,
}

/// `CREATE MATERIALIZED VIEW`.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateMaterializedView {
    /// Its name, and that of the topic with its result.
    pub name: String,
    /// The query.
    pub query: QueryText,
    /// Options of the result's table.
    pub options: std::collections::BTreeMap<String, String>,
    /// Whether it may be there already.
    pub if_not_exists: bool,
    /// The statement as written.
    pub text: String,
}

/// What `DROP` drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropKind {
    /// A table.
    Table,
    /// A view.
    View,
    /// A materialised view: its job is stopped, and its topic deleted.
    MaterializedView,
}

/// What `SHOW` shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShowKind {
    /// Tables and views.
    Tables,
    /// Views.
    Views,
    /// Materialised views.
    MaterializedViews,
    /// Functions.
    Functions,
    /// Jobs.
    Jobs,
    /// The columns of a table.
    Columns(String),
    /// The statement that makes a table or view as it is.
    Create(String),
    /// A setting, or all of them.
    Setting(Option<String>),
}
