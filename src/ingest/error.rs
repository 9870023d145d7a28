//! What can go wrong while a file is read into a topic.

use std::io;
use std::path::{Path, PathBuf};

use riverrun_log_store::ErrorKind;

/// Why an access log could not be read into a topic. What was committed before stays, and the next run goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IngestError {
    /// The operating system refused an operation on the log file, or a compressed file is damaged.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    File {
        /// What was attempted, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's (or the decompressor's) answer.
        source: io::Error,
    },
    /// Pipes, folders and devices cannot be read again from a position.
    #[error("{path} is not a regular file: how far it was read could not be kept; write it to a file first", path = path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A compressed file does not grow.
    #[error("{path} is compressed and does not grow: leave out --follow, or follow the log itself", path = path.display())]
    FollowCompressed {
        /// The path.
        path: PathBuf,
    },
    /// The position that an earlier run left is not readable.
    #[error(
        "the position that an earlier run left cannot be read: {what}; was it written by a newer version?"
    )]
    Position {
        /// What is wrong with it.
        what: String,
    },
    /// The log refused.
    #[error(transparent)]
    Log(#[from] riverrun_log_store::Error),
}

impl IngestError {
    /// Whether it may go well later, as it is.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, IngestError::Log(error) if error.kind() == ErrorKind::Retry)
    }

    pub(super) fn file(action: &'static str, path: &Path, source: io::Error) -> IngestError {
        IngestError::File { action, path: path.to_owned(), source }
    }
}
