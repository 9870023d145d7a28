//! Time between things, as a trait so that the state machines can be tested without waiting.

use std::time::{Duration, Instant};

/// Tells how much time has passed since some moment of its own; never goes back.
pub trait MonotonicClock: Send + Sync {
    /// Time since that moment.
    fn now(&self) -> Duration;
}

/// The machine's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct MachineClock(Instant);

impl MachineClock {
    /// Counts from now on.
    #[expect(clippy::disallowed_methods, reason = "the edge: the one place that asks the machine")]
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl MonotonicClock for MachineClock {
    #[expect(clippy::disallowed_methods, reason = "the edge: the one place that asks the machine")]
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}
