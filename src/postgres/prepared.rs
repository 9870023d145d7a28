//! Prepared statements.

use async_trait::async_trait;
use pgwire::api::portal::Format;
use pgwire::api::results::FieldInfo;
use pgwire::api::stmt::QueryParser;
use pgwire::api::{ClientInfo, Type};
use pgwire::error::PgWireResult;

use super::errors::plain;
use super::statements::Statements;
use super::{parameters, types};
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
pub(super) struct Preparer(pub(super) Statements);

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
                let types = parameters::types(&text, script::parameters(&text), named);
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
        let text = parameters::unbound(&statement.text, &statement.types);
        // Planning computes; the runtime is told that this thread is busy.
        let shape = tokio::task::block_in_place(|| self.0.shape(&text))?;
        let format = format.unwrap_or(&Format::UnifiedText);
        Ok(shape.map_or_else(Vec::new, |shape| {
            types::fields(&shape.schema, shape.changelog, format).as_ref().clone()
        }))
    }
}
