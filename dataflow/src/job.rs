//! A job, ready to run: its graph, its code and its settings.

use std::sync::Arc;
use std::time::Duration;

use crate::{JobGraph, OperatorFactory};

/// A job with everything that a JobManager needs.
#[derive(Clone)]
pub struct Job {
    /// What it is made of.
    pub graph: JobGraph,
    /// The code.
    pub factory: Arc<dyn OperatorFactory>,
    /// How it is run.
    pub settings: JobSettings,
}

/// How a job is run.
#[derive(Debug, Clone)]
pub struct JobSettings {
    /// Time from the start of one checkpoint to the start of the next; `None`: only the final one.
    pub checkpoint_interval: Option<Duration>,
    /// A checkpoint that has not completed by then is given up.
    pub checkpoint_timeout: Duration,
    /// After how many deltas the next snapshot is full again.
    pub deltas_before_full: u32,
    /// What to do when a subtask fails.
    pub restart: RestartStrategy,
    /// Whether to start although the newest checkpoint holds state of an operator that the job no longer
    /// has. That state is lost then.
    pub allow_non_restored_state: bool,
}

impl Default for JobSettings {
    fn default() -> Self {
        Self {
            checkpoint_interval: Some(Duration::from_secs(1)),
            checkpoint_timeout: Duration::from_secs(600),
            deltas_before_full: 10,
            restart: RestartStrategy::default(),
            allow_non_restored_state: false,
        }
    }
}

/// What to do when a subtask fails, as in Flink.
#[derive(Debug, Clone, PartialEq)]
pub enum RestartStrategy {
    /// Fail the job.
    None,
    /// Restart up to `attempts` times, waiting `delay` before each.
    FixedDelay {
        /// How often.
        attempts: u32,
        /// How long to wait.
        delay: Duration,
    },
    /// Restart as long as no more than `failures` fall within `interval`.
    FailureRate {
        /// How many failures are tolerated within the interval.
        failures: u32,
        /// The interval.
        interval: Duration,
        /// How long to wait before a restart.
        delay: Duration,
    },
    /// Restart for ever, waiting longer each time.
    ExponentialDelay {
        /// First wait.
        initial: Duration,
        /// Longest wait.
        max: Duration,
        /// By what the wait grows each time (2.0 doubles it).
        multiplier: f64,
        /// After running that long without a failure, waits begin anew at `initial`.
        reset_after: Duration,
    },
}

impl Default for RestartStrategy {
    fn default() -> Self {
        Self::ExponentialDelay {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(60),
            multiplier: 1.5,
            reset_after: Duration::from_secs(3600),
        }
    }
}
