//! What clients look up about the database: `pg_catalog` and `information_schema`.
//!
//! A query about them is answered by DataFusion from small tables made for it, one snapshot a query: the tables, views and columns of
//! the SQL catalog, PostgreSQL's types, and many tables that are there and empty, because there are no indexes, policies
//! or triggers.
//!
//! | file | what |
//! |---|---|
//! | `catalog/rewriting.rs` | a question in words that DataFusion knows |
//! | `catalog/headings.rs` | what its columns are called |
//! | `catalog/emptiness.rs` | questions about what is never there |
//! | `catalog/tables.rs`, `catalog/columns.rs`, `catalog/information.rs` | the tables |
//! | `catalog/functions.rs` | PostgreSQL's catalog functions |

mod columns;
mod emptiness;
mod functions;
mod headings;
mod information;
mod rewriting;
mod tables;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::catalog::{
    CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider,
};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;

use crate::sql::script::words;

/// Name of the one database.
pub(super) const DATABASE: &str = "riverrun";

/// A table or view of the SQL catalog, as clients are told.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    /// Its name.
    pub name: String,
    /// `r` for a table, `v` for a view, `m` for a materialized view.
    pub kind: char,
    /// Its columns.
    pub schema: SchemaRef,
    /// The statement that made it.
    pub definition: String,
}

/// Who asks, and about what.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// The user that the client said it is.
    pub user: String,
    /// All relations.
    pub relations: Vec<Relation>,
    /// The connection's settings.
    pub settings: Vec<(String, String)>,
}

/// True if a statement asks about the database and not about data.
pub(super) fn is_about_catalog(statement: &str) -> bool {
    let words = words(statement);
    let begins = words.iter().find(|word| *word != "(").map_or("", String::as_str);
    if !matches!(begins, "SELECT" | "WITH" | "TABLE") {
        return false;
    }
    let followed_by = |at: usize, next: &str| words.get(at + 1).is_some_and(|word| word == next);
    words.iter().enumerate().any(|(at, word)| match word.as_str() {
        "INFORMATION_SCHEMA" | "PG_CATALOG" => followed_by(at, "."),
        "VERSION"
        | "CURRENT_SCHEMAS"
        | "CURRENT_SETTING"
        | "HAS_SCHEMA_PRIVILEGE"
        | "HAS_TABLE_PRIVILEGE"
        | "HAS_DATABASE_PRIVILEGE"
        | "TO_REGCLASS"
        | "TO_REGTYPE"
        | "QUOTE_IDENT" => followed_by(at, "("),
        "CURRENT_SCHEMA" | "CURRENT_DATABASE" | "CURRENT_CATALOG" | "CURRENT_USER"
        | "SESSION_USER" => !words.contains(&"FROM".to_owned()),
        word => {
            word.starts_with("PG_") && columns::is_known(&word.to_ascii_lowercase())
                || word.starts_with("PG_") && followed_by(at, "(")
        }
    })
}

/// The columns that a query about the database returns.
///
/// # Errors
/// What DataFusion says is wrong with it.
pub(super) async fn describe(
    statement: &str,
    snapshot: &Snapshot,
) -> Result<SchemaRef, DataFusionError> {
    let frame = plan(statement, snapshot).await?;
    Ok(headings::unmarked(frame.schema().as_arrow()))
}

/// Answers a query about the database.
///
/// # Errors
/// What DataFusion says is wrong with it.
pub(super) async fn query(
    statement: &str,
    snapshot: &Snapshot,
) -> Result<(SchemaRef, Vec<RecordBatch>), DataFusionError> {
    let frame = plan(statement, snapshot).await?;
    let schema = headings::unmarked(frame.schema().as_arrow());
    Ok((schema, frame.collect().await?))
}

async fn plan(statement: &str, snapshot: &Snapshot) -> Result<DataFrame, DataFusionError> {
    let config = SessionConfig::new()
        .with_default_catalog_and_schema(DATABASE, "pg_catalog")
        .with_create_default_catalog_and_schema(false)
        .with_target_partitions(1)
        .set_str("datafusion.sql_parser.dialect", "postgresql");
    let context = SessionContext::new_with_config(config);
    let catalog = MemoryCatalogProvider::new();
    for (name, tables) in tables::schemas(snapshot)? {
        let schema = MemorySchemaProvider::new();
        for (table, rows) in tables {
            let provider = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
            schema.register_table(table.to_owned(), Arc::new(provider))?;
        }
        catalog.register_schema(name, Arc::new(schema))?;
    }
    context.register_catalog(DATABASE, Arc::new(catalog));
    for function in functions::all(snapshot) {
        context.register_udf(function);
    }
    let question = rewriting::read(statement)?;
    let planned = Box::new(question.statement);
    let planned = context.state().statement_to_plan(Statement::Statement(planned)).await;
    let planned = match planned {
        Ok(plan) => context.execute_logical_plan(plan).await,
        Err(error) => Err(error),
    };
    match (planned, question.empty) {
        // Of what is not there, clients ask in words that need not be understood.
        (Err(_), Some(names)) => {
            let mut columns: Vec<String> = Vec::with_capacity(names.len());
            for (place, name) in names.iter().enumerate() {
                let name = name.replace('"', "\"\"");
                columns.push(format!("CAST(NULL AS VARCHAR) AS \"__{place}__{name}\""));
            }
            context.sql(&format!("SELECT {} WHERE false", columns.join(", "))).await
        }
        (planned, _) => planned,
    }
}

#[cfg(test)]
mod tests;
