//! The one error type of SQL.

use std::fmt;

/// A result whose error is an SQL [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in a statement something is wrong, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The character of the line.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What went wrong with a statement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not SQL.
    #[error("{}{reason}", at(position))]
    Syntax {
        /// Where, if it is known.
        position: Option<Position>,
        /// What was found, and what was expected.
        reason: String,
    },
    /// The statement is SQL but cannot mean anything: an unknown table, column or function, types that do not fit.
    #[error("{}{reason}", at(position))]
    Invalid {
        /// Where, if it is known.
        position: Option<Position>,
        /// What is wrong, and what to do instead.
        reason: String,
    },
    /// The statement means something that cannot be done here.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// The query is understood, but its sink or its mode cannot take its result.
    #[error("{0}")]
    Refused(String),
    /// The engine failed at it: while it ran, or while it was started.
    #[error(transparent)]
    Engine(#[from] riverrun_dataflow::Error),
    /// Something outside: the catalog's storage, a folder.
    #[error("{what}: {reason}")]
    Io {
        /// What was being done.
        what: String,
        /// The cause, as told by the system.
        reason: String,
    },
    /// The query was stopped by whoever asked it.
    #[error("the query was cancelled")]
    Cancelled,
}

fn at(position: &Option<Position>) -> String {
    position.map(|position| format!("{position}: ")).unwrap_or_default()
}

impl Error {
    /// An [`Error::Invalid`] without a place.
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { position: None, reason: reason.into() }
    }

    /// An [`Error::Unsupported`].
    pub fn unsupported(reason: impl Into<String>) -> Self {
        Self::Unsupported(reason.into())
    }

    /// An [`Error::Io`] from any cause that can be shown.
    pub fn io(what: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::Io { what: what.into(), reason: reason.to_string() }
    }

    /// Where in the statement, if it is known.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Syntax { position, .. } | Self::Invalid { position, .. } => *position,
            _ => None,
        }
    }
}
