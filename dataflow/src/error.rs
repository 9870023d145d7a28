//! The one error type of the engine's vocabulary, shared by operators and both managers.

use std::fmt;

/// A result whose error is an engine [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong while a job was built, run, snapshotted or restored.
///
/// A subtask that returns one of these fails, and the job restarts from its last checkpoint unless
/// [`Error::is_fatal`] says that trying again cannot help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The job graph, or a setting of the job, cannot work.
    #[error("job `{job}` cannot be built: {reason}")]
    InvalidJob {
        /// Name of the job.
        job: String,
        /// What is wrong and what to do instead.
        reason: String,
    },
    /// An operator got a batch of another type or shape than the graph promised.
    #[error("operator `{operator}` expected batches of {expected} and got {got}")]
    WrongBatch {
        /// Name of the operator.
        operator: String,
        /// Type that the operator was built for.
        expected: String,
        /// Type that arrived.
        got: String,
    },
    /// A record could not be decoded or encoded.
    #[error("{place}: {reason}")]
    Format {
        /// Topic, partition and offset, or file and position.
        place: String,
        /// What is wrong with the record.
        reason: String,
    },
    /// A source or sink could not do its I/O.
    #[error("{what}: {reason}")]
    Io {
        /// What was being read or written.
        what: String,
        /// The cause, as told by the system or the log.
        reason: String,
    },
    /// State could not be written, or does not fit the operator that is to read it.
    #[error("state of operator `{operator}`: {reason}")]
    State {
        /// Name of the operator.
        operator: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The record of a checkpoint could not be written or read.
    #[error("checkpoint {checkpoint} of job `{job}`: {reason}")]
    Checkpoint {
        /// Name of the job.
        job: String,
        /// Number of the checkpoint.
        checkpoint: u64,
        /// What went wrong.
        reason: String,
    },
    /// A newer run of the same job took over; this one must not write any more.
    #[error("job `{job}` was taken over by a newer run of it: {reason}")]
    Fenced {
        /// Name of the job.
        job: String,
        /// What told so.
        reason: String,
    },
    /// User code failed or panicked.
    #[error("{place}: {reason}")]
    User {
        /// The operator whose function failed.
        place: String,
        /// The error or the panic's message.
        reason: String,
    },
    /// The subtask was told to stop while it was waiting.
    #[error("the subtask was cancelled")]
    Cancelled,
}

impl Error {
    /// An [`Error::Io`] from any cause that can be shown.
    pub fn io(what: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::Io { what: what.into(), reason: reason.to_string() }
    }

    /// An [`Error::State`] from any cause that can be shown.
    pub fn state(operator: impl Into<String>, reason: impl fmt::Display) -> Self {
        Self::State { operator: operator.into(), reason: reason.to_string() }
    }

    /// True if a restart from the last checkpoint would only fail in the same way.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::InvalidJob { .. } | Self::State { .. } | Self::Fenced { .. })
    }
}
