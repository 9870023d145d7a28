//! The job master: does what is decided, for one job, from its start to its end.

mod attempt;
mod starting;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use riverrun_dataflow::{
    Attempt, CheckpointId, CheckpointStorage, Error, Job, JobStore, Result, TaskManagerGateway,
};

use crate::clock::MonotonicClock;
use crate::execution_graph::ExecutionGraph;
use crate::restart::{Restarts, Verdict};
use crate::state::JobState;
use crate::status::{Board, JobReport};
use crate::wire::Message;

/// Everything that a master talks to.
pub(crate) struct Wiring {
    pub(crate) execution: ExecutionGraph,
    pub(crate) task_managers: Vec<Arc<dyn TaskManagerGateway>>,
    pub(crate) store: Arc<dyn JobStore>,
    pub(crate) storage: Arc<dyn CheckpointStorage>,
    pub(crate) clock: Arc<dyn MonotonicClock>,
    pub(crate) messages: Receiver<Message>,
    pub(crate) board: Arc<Board>,
}

/// What the job's owner wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Intent {
    Run,
    Stop,
    Cancel,
}

/// How an attempt ended without a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Finished,
    Stopped,
    Cancelled,
}

/// Runs one job.
pub(crate) struct JobMaster {
    job: Job,
    wiring: Wiring,
    restarts: Restarts,
    attempt: Attempt,
    /// First number that no checkpoint of this run has had.
    next_checkpoint: CheckpointId,
    intent: Intent,
}

impl JobMaster {
    pub(crate) fn new(job: Job, wiring: Wiring) -> Self {
        let restarts = Restarts::new(job.settings.restart.clone());
        Self { job, wiring, restarts, attempt: 0, next_checkpoint: 1, intent: Intent::Run }
    }

    /// Runs the job to its end.
    pub(crate) fn run(&mut self) -> Result<JobReport> {
        let began = self.wiring.clock.now();
        let ending = match self.run_attempts() {
            Ok(ending) => ending,
            Err(error) => return Err(self.failed(error)),
        };
        let state = match ending {
            Ending::Finished => JobState::Finished,
            Ending::Stopped => {
                self.remove_leftovers();
                JobState::Stopped
            }
            Ending::Cancelled => {
                self.remove_leftovers();
                JobState::Cancelled
            }
        };
        self.wiring.board.become_state(state);
        let duration = self.wiring.clock.now().saturating_sub(began);
        Ok(JobReport { status: self.wiring.board.status(), duration })
    }

    /// After a panic of the master itself: stops what it left running.
    pub(crate) fn panicked(&mut self, message: &str) -> Error {
        self.wiring.task_managers.iter().for_each(|manager| manager.cancel(self.attempt));
        let place = format!("job master of `{}`", self.job.graph.name);
        self.failed(Error::User { place, reason: format!("panicked: {message}") })
    }

    fn failed(&mut self, error: Error) -> Error {
        // A fenced run must not touch what now belongs to its successor.
        if !matches!(error, Error::Fenced { .. }) {
            self.remove_leftovers();
        }
        self.wiring.board.failure(error.to_string());
        self.wiring.board.become_state(JobState::Failed);
        error
    }

    fn run_attempts(&mut self) -> Result<Ending> {
        loop {
            self.attempt += 1;
            self.wiring.board.attempt(self.attempt);
            let error = match self.run_attempt() {
                Ok(ending) => return Ok(ending),
                Err(error) => error,
            };
            let job = &self.job.graph.name;
            if error.is_fatal() {
                return Err(error);
            }
            self.wiring.board.failure(error.to_string());
            let delay = match (self.intent, self.restarts.failed(self.wiring.clock.now())) {
                (Intent::Run, Verdict::GiveUp(why)) => {
                    tracing::error!(%job, %error, "no further try: {why}");
                    return Err(error);
                }
                (Intent::Run, Verdict::RestartAfter(delay)) => delay,
                _ => Duration::ZERO,
            };
            tracing::warn!(%job, attempt = self.attempt, %error, "failed; next try in {delay:?}");
            if self.intent == Intent::Run {
                self.wiring.board.become_state(JobState::Restarting);
                self.pause(delay);
            }
            match self.intent {
                Intent::Run => self.wiring.board.become_state(JobState::Starting),
                Intent::Stop => {
                    self.wiring.board.become_state(JobState::Stopping);
                    return Ok(Ending::Stopped);
                }
                Intent::Cancel => {
                    self.wiring.board.become_state(JobState::Cancelling);
                    return Ok(Ending::Cancelled);
                }
            }
        }
    }

    /// Waits before a restart; an order from the owner ends it.
    fn pause(&mut self, delay: Duration) {
        let until = self.wiring.clock.now() + delay;
        while self.intent == Intent::Run {
            let left = until.saturating_sub(self.wiring.clock.now());
            if left.is_zero() {
                return;
            }
            if let Some(message) = self.receive(Some(left)) {
                self.note(&message);
            }
        }
    }

    /// The next message, `None` if none came in time.
    fn receive(&self, patience: Option<Duration>) -> Option<Message> {
        let messages = &self.wiring.messages;
        match patience {
            // The TaskManagers hold the other end, so it stays connected as long as there is work.
            Some(patience) => match messages.recv_timeout(patience) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => Some(Message::Cancel),
            },
            None => Some(messages.recv().unwrap_or(Message::Cancel)),
        }
    }

    /// Remembers what the owner wants. Cancelling is stronger than stopping.
    fn note(&mut self, message: &Message) {
        let wanted = match message {
            Message::Task(_) => return,
            Message::StopWithCheckpoint => Intent::Stop,
            Message::Cancel => Intent::Cancel,
        };
        self.intent = self.intent.max(wanted);
    }
}
