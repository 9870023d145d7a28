//! The states of a job.

use std::fmt;

/// Where a job is in its life.
///
/// ```text
///   Starting --> Running --> Finishing --> Finished
///     ^  |          |
///     |  v          v
///   Restarting <----'
///
///   any of these --> Stopping   --> Stopped (or --> Finishing, if all input was read by then)
///   any of these --> Cancelling --> Cancelled
///   any of these --> Failed
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum JobState {
    /// Recovering from the newest record and starting its subtasks.
    Starting,
    /// All subtasks run.
    Running,
    /// An attempt failed: its subtasks are being cancelled, or the restart's delay is waited for.
    Restarting,
    /// All input was read and committed; the subtasks are closing.
    Finishing,
    /// Told to stop: waiting for the last checkpoint, then for the subtasks to close.
    Stopping,
    /// Told to cancel: waiting for the subtasks to close.
    Cancelling,
    /// Over: all input was read and its results are committed.
    Finished,
    /// Over: stopped with a checkpoint to go on from.
    Stopped,
    /// Over: cancelled; what came after the last checkpoint was thrown away.
    Cancelled,
    /// Over: it failed in a way that a restart cannot help, or too often.
    Failed,
}

impl JobState {
    /// True if the job will not run any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Stopped | Self::Cancelled | Self::Failed)
    }

    /// True if `next` may follow. Staying is always allowed.
    pub fn may_become(self, next: Self) -> bool {
        use JobState::*;
        self == next
            || match next {
                Starting => matches!(self, Restarting),
                Running => matches!(self, Starting),
                Restarting => matches!(self, Starting | Running),
                Finishing => matches!(self, Running | Stopping),
                Finished => matches!(self, Finishing),
                Stopped => matches!(self, Stopping),
                Cancelled => matches!(self, Cancelling),
                Stopping | Cancelling | Failed => !self.is_over(),
            }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Restarting => "RESTARTING",
            Self::Finishing => "FINISHING",
            Self::Stopping => "STOPPING",
            Self::Cancelling => "CANCELLING",
            Self::Finished => "FINISHED",
            Self::Stopped => "STOPPED",
            Self::Cancelled => "CANCELLED",
            Self::Failed => "FAILED",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::JobState::*;

    #[test]
    fn what_is_over_stays_over() {
        let all = [
            Starting, Running, Restarting, Finishing, Stopping, Cancelling, Finished, Stopped,
            Cancelled, Failed,
        ];
        for over in all.into_iter().filter(|state| state.is_over()) {
            assert!(all.iter().all(|&next| next == over || !over.may_become(next)), "{over}");
        }
        for alive in all.into_iter().filter(|state| !state.is_over()) {
            assert!(alive.may_become(Failed) && alive.may_become(Cancelling), "{alive}");
        }
        assert!(!Starting.may_become(Finished) && !Restarting.may_become(Running));
    }
}
