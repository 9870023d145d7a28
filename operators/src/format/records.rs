//! The records of a log batch as decoders see them, and what becomes of broken ones.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use riverrun_dataflow::{Error, NO_TIMESTAMP, OperatorMetrics, Result, Timestamp};
use riverrun_log_store::{Record, Records};

/// The records of one log batch that are to be decoded.
pub struct BatchRecords<'a> {
    records: &'a Records,
    from: i64,
    place: &'a str,
}

impl<'a> BatchRecords<'a> {
    /// The records with an offset of `from` or more; `place` names the partition in messages.
    pub fn new(records: &'a Records, from: i64, place: &'a str) -> Self {
        Self { records, from, place }
    }

    /// How many records there are at most.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `each` with every record in turn and stops at the first error.
    ///
    /// # Errors
    /// What `each` returns; [`Error::Format`] where the batch does not hold the records it promises.
    #[inline]
    pub fn try_for_each(&self, mut each: impl FnMut(&Record<'_>) -> Result<()>) -> Result<()> {
        let mut failed = None;
        let from = self.from;
        self.records
            .for_each(|record| {
                if record.offset >= from
                    && failed.is_none()
                    && let Err(error) = each(&record)
                {
                    failed = Some(error);
                }
            })
            .map_err(|error| Error::Format {
                place: self.place.to_owned(),
                reason: error.to_string(),
            })?;
        failed.map_or(Ok(()), Err)
    }

    /// A key or value of one of these records as shared bytes, without copying it.
    ///
    /// # Panics
    /// If `part` does not lie within one of the records.
    #[inline]
    pub fn slice_of(&self, part: &[u8]) -> Bytes {
        self.records.slice_of(part)
    }
}

/// The event timestamp of a record: the log's -1 is [`NO_TIMESTAMP`].
#[inline]
pub(crate) fn event_time(record: &Record<'_>) -> Timestamp {
    if record.timestamp == -1 { NO_TIMESTAMP } else { record.timestamp }
}

/// What to do with a record that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// Fail the subtask, naming the record.
    #[default]
    Fail,
    /// Count it (`rejected_records`), log it, and go on.
    Skip,
}

/// Where decoders hand in the records that they cannot decode.
#[derive(Debug)]
pub struct Rejects {
    policy: OnError,
    place: String,
    rejected: u64,
    metrics: Option<Arc<OperatorMetrics>>,
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
        Self { policy, place: place.into(), rejected: 0, metrics }
    }

    /// The record at `offset` is not what it should be.
    ///
    /// # Errors
    /// [`Error::Format`] naming the record, unless the policy is to skip it.
    #[cold]
    pub fn reject(&mut self, offset: i64, reason: impl fmt::Display) -> Result<()> {
        let place = format!("{}@{offset}", self.place);
        if self.policy == OnError::Fail {
            return Err(Error::Format { place, reason: reason.to_string() });
        }
        self.rejected += 1;
        if let Some(metrics) = &self.metrics {
            OperatorMetrics::add(&metrics.rejected_records, 1);
        }
        match self.rejected {
            ..LOGGED => tracing::warn!("skipped {place}: {reason}"),
            LOGGED => tracing::warn!("skipped {place}: {reason}; further ones are only counted"),
            _ => {}
        }
        Ok(())
    }

    /// How many records were rejected so far.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }
}
