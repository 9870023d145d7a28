//! Errors as PostgreSQL tells them: an SQLSTATE, the place in the statement, a hint.

use pgwire::error::{ErrorInfo, PgWireError};
use riverrun_sql::{Error, Position};

/// An error of a statement that begins `start` characters into what the client sent as `query`.
pub(super) fn to_wire(error: &Error, query: &str, start: usize) -> PgWireError {
    let message = match error {
        // Their own text begins with the place, which clients show in their way.
        Error::Syntax { reason, .. } | Error::Invalid { reason, .. } => reason.clone(),
        other => other.to_string(),
    };
    let mut info = ErrorInfo::new("ERROR".to_owned(), state(error).to_owned(), message);
    let place = error.position().and_then(|position| character(&query[start..], position));
    info.position = place.map(|character| (query[..start].chars().count() + character).to_string());
    PgWireError::UserError(Box::new(info))
}

/// An error that has nothing to do with the engine.
pub(super) fn plain(state: &str, message: impl Into<String>) -> PgWireError {
    let info = ErrorInfo::new("ERROR".to_owned(), state.to_owned(), message.into());
    PgWireError::UserError(Box::new(info))
}

/// The SQLSTATE that drivers choose their exception by.
fn state(error: &Error) -> &'static str {
    match error {
        Error::Syntax { .. } => "42601",
        Error::Invalid { .. } => "42000",
        Error::Unsupported(_) | Error::Refused(_) => "0A000",
        Error::Engine(_) => "58000",
        Error::Io { .. } => "58030",
        Error::Cancelled => "57014",
        _ => "XX000",
    }
}

/// The number of a character in a statement, counted from 1.
fn character(statement: &str, position: Position) -> Option<usize> {
    let line = usize::try_from(position.line).ok()?.checked_sub(1)?;
    let column = usize::try_from(position.column).ok()?;
    let mut lines = statement.split_inclusive('\n');
    let before: usize = lines.by_ref().take(line).map(|line| line.chars().count()).sum();
    let characters = match lines.next() {
        Some(line) => line.chars().count(),
        // The end of a text may be the beginning of a line.
        None if statement.is_empty() || statement.ends_with('\n') => 0,
        None => return None,
    };
    (column >= 1 && column <= characters + 1).then_some(before + column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_over_the_whole_query() {
        let query = "SELECT 'ö'; SELECT\n  nope";
        let error = Error::Invalid {
            position: Some(Position { line: 2, column: 3 }),
            reason: "no column `nope`".to_owned(),
        };
        let PgWireError::UserError(info) = to_wire(&error, query, "SELECT 'ö'; ".len()) else {
            panic!("not an error for users");
        };
        let at = query.chars().position(|c| c == 'n').unwrap() + 1;
        assert_eq!(info.position, Some(at.to_string()));
        assert_eq!(info.code, "42000");
        let beyond = Position { line: 9, column: 1 };
        assert_eq!(character("SELECT 1", beyond), None);
    }
}
