//! How far event time had come, as snapshots keep it.

use riverrun_dataflow::{Error, Result, Timestamp, Watermark, codec};

/// The watermark up to which an operator's results are out. It outlives a restart, so that nothing is put out a second time because of a
/// row that is late.
///
/// At a barrier all subtasks of an operator have got the same watermarks. Only behind the end of their input they differ: there event time
/// stands at what each had last, and for the run that goes on from there the highest counts, whatever its parallelism.
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
        Ok(Self(times.into_iter().max().unwrap_or(Timestamp::MIN)))
    }

    /// How far event time comes by a watermark. The end of the input is no time: a run that goes on from there, with newer rows, must not take all
    /// of them for late. So it counts as the time of the last thing that waits for event time, if anything does.
    pub fn by(watermark: Watermark, last: Option<Timestamp>) -> Timestamp {
        match watermark {
            Watermark::MAX => last.unwrap_or(Timestamp::MIN),
            watermark => watermark.timestamp(),
        }
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
