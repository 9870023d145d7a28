//! The machine's clock.

use std::time::SystemTime;

use riverrun_dataflow::{Clock, Timestamp};

/// Processing time from the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct MachineClock;

impl Clock for MachineClock {
    #[expect(clippy::disallowed_methods, reason = "the edge: where processing time comes from")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // A clock before 1970 is a clock that was never set.
        since.map_or(0, |duration| duration.as_millis() as Timestamp)
    }
}
