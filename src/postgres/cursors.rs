//! Cursors: how psql (with `\set FETCH_COUNT 1`) and some drivers read a result bit by bit.

use std::ops::Range;
use std::sync::Arc;

use futures_util::{Sink, SinkExt};
use pgwire::api::portal::Format;
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;

use super::connection::{Cancelled, Connection, complete, respond};
use super::errors::plain;
use crate::sql::script::{TokenKind, tokens};

/// A statement about a cursor.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CursorStatement {
    /// `DECLARE name CURSOR FOR query`
    Declare {
        /// Its name.
        name: String,
        /// Where the query begins in the statement.
        query: usize,
    },
    /// `FETCH count FROM name`
    Fetch {
        /// Its name.
        name: String,
        /// How many rows are wanted, 0 for all.
        count: usize,
    },
    /// `CLOSE name`, or `CLOSE ALL`
    Close(Option<String>),
}

/// The error that there is no such cursor.
pub(super) fn unknown(name: &str) -> PgWireError {
    plain("34000", format!("there is no cursor `{name}`"))
}

/// What a statement says about a cursor, if it is about one.
pub(super) fn parse(statement: &str) -> Option<CursorStatement> {
    let tokens: Vec<_> = tokens(statement).filter(|token| token.kind != TokenKind::Space).collect();
    let text = |at: usize| tokens.get(at).map(|token| &statement[token.start..token.end]);
    let is = |at: usize, word: &str| text(at).is_some_and(|text| text.eq_ignore_ascii_case(word));
    let name = |at: usize| text(at).map(|text| text.trim_matches('"').to_owned());
    if is(0, "DECLARE") {
        let cursor = (2..tokens.len()).find(|&at| is(at, "CURSOR"))?;
        let query = (cursor..tokens.len()).find(|&at| is(at, "FOR"))?;
        return Some(CursorStatement::Declare {
            name: name(1)?,
            query: tokens.get(query + 1)?.start,
        });
    }
    if is(0, "CLOSE") {
        return Some(CursorStatement::Close(if is(1, "ALL") { None } else { Some(name(1)?) }));
    }
    if !is(0, "FETCH") {
        return None;
    }
    let mut at = 1;
    let mut count = 1;
    while tokens.len() > at + 1 {
        match text(at)?.to_ascii_uppercase().as_str() {
            "FORWARD" | "NEXT" | "FROM" | "IN" => {}
            "ALL" => count = 0,
            number => count = number.parse().ok().filter(|&count| count > 0)?,
        }
        at += 1;
    }
    Some(CursorStatement::Fetch { name: name(at)?, count })
}

impl Connection {
    /// Opens a cursor, reads from it or closes it. The statement is at a place in what the client sent as `query`. Its columns are described before.
    pub(super) async fn use_cursor<C>(
        &self,
        client: &mut C,
        statement: CursorStatement,
        query: &Arc<str>,
        place: Range<usize>,
        cancelled: &mut Cancelled,
    ) -> PgWireResult<()>
    where
        C: Sink<PgWireBackendMessage> + Unpin + Send,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match statement {
            CursorStatement::Declare { name, query: at } => {
                let (query, start, end) = (query.clone(), place.start + at, place.end);
                let answer = self
                    .ask(move |statements| statements.answer(&query, start, &query[start..end]));
                let answer = self.unless_cancelled(cancelled, answer).await??;
                let response = respond(answer, &Format::UnifiedText)?;
                self.cursors.lock().await.insert(name, response);
                client.feed(complete("DECLARE CURSOR")).await?;
            }
            CursorStatement::Fetch { name, count } => {
                // Taken out, so that a cursor whose rows fail is closed.
                let cursor = self.cursors.lock().await.remove(&name);
                let mut cursor = cursor.ok_or_else(|| unknown(&name))?;
                let (sent, _) = self.send_rows(client, &mut cursor, count, cancelled).await?;
                self.cursors.lock().await.insert(name, cursor);
                client.feed(complete(&format!("FETCH {sent}"))).await?;
            }
            CursorStatement::Close(name) => {
                let mut cursors = self.cursors.lock().await;
                match name {
                    Some(name) => drop(cursors.remove(&name)),
                    None => cursors.clear(),
                }
                client.feed(complete("CLOSE CURSOR")).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_psql_says_about_cursors_is_understood() {
        let declare = "DECLARE _psql_cursor NO SCROLL CURSOR FOR\nSELECT 'FOR' FROM t";
        let query = declare.find("SELECT").unwrap();
        let name = || "_psql_cursor".to_owned();
        assert_eq!(parse(declare), Some(CursorStatement::Declare { name: name(), query }));
        for (statement, count) in [
            ("FETCH FORWARD 10 FROM _psql_cursor", 10),
            ("fetch next from \"_psql_cursor\"", 1),
            ("FETCH ALL IN _psql_cursor", 0),
            ("FETCH _psql_cursor", 1),
        ] {
            let expected = CursorStatement::Fetch { name: name(), count };
            assert_eq!(parse(statement), Some(expected), "{statement}");
        }
        assert_eq!(parse("CLOSE _psql_cursor"), Some(CursorStatement::Close(Some(name()))));
        assert_eq!(parse("CLOSE ALL"), Some(CursorStatement::Close(None)));
        for other in ["FETCH BACKWARD 1 FROM c", "FETCH -1 FROM c", "SELECT 1", "DECLARE c CURSOR"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
