//! How far event time had come, as snapshots keep it.

use riverrun_dataflow::{Error, Result, Timestamp, codec};

/// The watermark up to which an operator's results are out. It outlives a restart, so that nothing is put out a second time because of a
/// row that is late.
///
/// At a barrier all subtasks of an operator have got the same watermarks; should they differ, the lowest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reached(Timestamp);

impl Default for Reached {
    fn default() -> Self {
        Self(Timestamp::MIN)
    }
}

impl Reached {
    /// Of the lists that former subtasks left.
    ///
    /// # Errors
    /// [`Error::State`] naming `operator` if they hold something else.
    pub fn restored(operator: &str, list: &[Vec<u8>]) -> Result<Self> {
        let decode = |bytes: &Vec<u8>| {
            codec::decode(bytes).map_err(|error| {
                Error::state(operator, format!("how far event time had come {error}"))
            })
        };
        let times: Vec<Timestamp> = list.iter().map(decode).collect::<Result<_>>()?;
        Ok(Self(times.into_iter().min().unwrap_or(Timestamp::MIN)))
    }

    /// For a snapshot's list.
    ///
    /// # Errors
    /// [`Error::State`] naming `operator`.
    pub fn encode(self, operator: &str) -> Result<Vec<u8>> {
        codec::encode(&self.0).map_err(|error| Error::state(operator, error))
    }

    /// Moves on.
    pub fn advance_to(&mut self, to: Timestamp) {
        self.0 = self.0.max(to);
    }

    /// The time.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}
