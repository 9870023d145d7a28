//! Prepared statements.

use std::collections::BTreeMap;

use async_trait::async_trait;
use pgwire::api::portal::Format;
use pgwire::api::results::FieldInfo;
use pgwire::api::stmt::QueryParser;
use pgwire::api::{ClientInfo, Type};
use pgwire::error::PgWireResult;

use super::connection::Cursors;
use super::cursors::CursorStatement;
use super::errors::plain;
use super::statements::Statements;
use super::{cursors, parameters, types};
use crate::sql::script::{self, split};

/// A prepared statement.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    /// Its text, with parameters.
    pub text: String,
    /// Types of the parameters.
    pub types: Vec<Type>,
}

/// Prepares statements, and tells what they take and return.
pub(super) struct Preparer {
    pub(super) statements: Statements,
    pub(super) cursors: Cursors,
}

#[async_trait]
impl QueryParser for Preparer {
    type Statement = Prepared;

    async fn parse_sql<C>(
        &self,
        _: &C,
        sql: &str,
        named: &[Option<Type>],
    ) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        match split(sql).as_slice() {
            [] => Ok(None),
            [piece] => {
                let text = piece.text.to_owned();
                let query = match cursors::parse(&text) {
                    Some(CursorStatement::Declare { query, .. }) => &text[query..],
                    _ => &text,
                };
                let count = script::parameters(&text);
                // Planning computes; the runtime is told that this thread is busy.
                let inferred = match count {
                    0 => BTreeMap::new(),
                    _ => tokio::task::block_in_place(|| self.statements.parameter_types(query)),
                };
                let types = parameters::types(&text, count, named, &inferred);
                Ok(Some(Prepared { text, types }))
            }
            _ => Err(plain("42601", "several statements cannot be prepared as one")),
        }
    }

    fn get_parameter_types(&self, statement: &Prepared) -> PgWireResult<Vec<Type>> {
        Ok(statement.types.clone())
    }

    fn get_result_schema(
        &self,
        statement: &Prepared,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        match cursors::parse(&statement.text) {
            Some(CursorStatement::Fetch { name, .. }) => {
                // Statements of a connection come one after the other: nobody else has the cursors now.
                let cursors = self.cursors.try_lock().map_err(|_| cursors::unknown(&name))?;
                let cursor = cursors.get(&name).ok_or_else(|| cursors::unknown(&name))?;
                return Ok(cursor.row_schema().as_ref().clone());
            }
            Some(_) => return Ok(Vec::new()),
            None => {}
        }
        let text = parameters::unbound(&statement.text, &statement.types);
        let shape = tokio::task::block_in_place(|| self.statements.shape(&text))?;
        let format = format.unwrap_or(&Format::UnifiedText);
        Ok(shape.map_or_else(Vec::new, |shape| {
            types::fields(&shape.schema, shape.changelog, format).as_ref().clone()
        }))
    }
}
