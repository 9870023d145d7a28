//! What becomes of records that cannot be decoded.

use std::fmt;
use std::sync::Arc;

use riverrun_dataflow::{Error, OperatorMetrics, Result};
use riverrun_log_store::Record;

use super::dead_letters::DeadLetters;

/// What to do with a record that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OnError {
    /// Fail the subtask, naming the record.
    #[default]
    Fail,
    /// Count it (`rejected_records`), log it, and go on.
    Skip,
    /// As `Skip`, and write it to the topic of this name, which is created if it does not exist: key, value and headers as they
    /// are, with the headers `riverrun.error` (what is wrong) and `riverrun.source` (`topic-partition@offset`) behind them.
    ///
    /// It is on disk before the position behind it is part of a checkpoint, so it is never lost. After a crash the records since the
    /// last checkpoint are read again, and those that are rejected are written again: `riverrun.source` tells which those are.
    DeadLetter(Arc<str>),
}

impl OnError {
    /// [`OnError::DeadLetter`] for a topic.
    pub fn dead_letter(topic: impl Into<Arc<str>>) -> Self {
        Self::DeadLetter(topic.into())
    }
}

/// Where decoders hand in the records that they cannot decode.
#[derive(Debug)]
pub struct Rejects {
    policy: OnError,
    place: String,
    rejected: u64,
    metrics: Option<Arc<OperatorMetrics>>,
    dead_letters: Option<DeadLetters>,
}

/// How many rejected records of a split are logged one by one.
const LOGGED: u64 = 10;

impl Rejects {
    /// Rejects of the split called `place`, to be counted in `metrics`.
    pub fn new(
        policy: OnError,
        place: impl Into<String>,
        metrics: Option<Arc<OperatorMetrics>>,
    ) -> Self {
        Self { policy, place: place.into(), rejected: 0, metrics, dead_letters: None }
    }

    /// Gives them the topic that they are written to, if the policy says so.
    pub(crate) fn with_dead_letters(mut self, dead_letters: Option<DeadLetters>) -> Self {
        self.dead_letters = dead_letters;
        self
    }

    /// What comes from here on is of the split called `place`.
    pub(crate) fn set_place(&mut self, place: &str) {
        if self.place != place {
            place.clone_into(&mut self.place);
        }
    }

    /// The record is not what it should be.
    ///
    /// # Errors
    /// [`Error::Format`] naming the record, if the policy is to fail; [`Error::Io`] if it cannot be written to the dead letters.
    #[cold]
    pub fn reject(&mut self, record: &Record<'_>, reason: impl fmt::Display) -> Result<()> {
        let place = format!("{}@{}", self.place, record.offset);
        match (&self.policy, &self.dead_letters) {
            (OnError::Fail, _) => {
                return Err(Error::Format { place, reason: reason.to_string() });
            }
            (OnError::Skip, _) => {}
            (OnError::DeadLetter(_), Some(letters)) => {
                letters.write(record, &place, &reason.to_string())?;
            }
            (OnError::DeadLetter(topic), None) => {
                let what = format!("writing {place} to the dead letters `{topic}`");
                return Err(Error::io(what, "its source cannot write to topics"));
            }
        }
        self.ignore(record, reason);
        Ok(())
    }

    /// The record is left out whatever the policy says: counted and logged.
    #[cold]
    pub fn ignore(&mut self, record: &Record<'_>, reason: impl fmt::Display) {
        self.rejected += 1;
        if let Some(metrics) = &self.metrics {
            OperatorMetrics::add(&metrics.rejected_records, 1);
        }
        let place = format_args!("{}@{}", self.place, record.offset);
        match self.rejected {
            ..LOGGED => tracing::warn!("skipped {place}: {reason}"),
            LOGGED => tracing::warn!("skipped {place}: {reason}; further ones are only counted"),
            _ => {}
        }
    }

    /// How many records were rejected so far.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }
}
