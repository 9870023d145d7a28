//! How JobManager and TaskManagers talk: the only thing they know of each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{
    Barrier, CheckpointId, Error, JobGraph, OperatorId, OperatorMetrics, RestoredState, Result,
    SubtaskId, SubtaskSnapshot,
};

/// One try at running a job: a number that grows with every restart within a run, so that messages of an
/// earlier try can be told apart.
pub type Attempt = u64;

/// Orders to start subtasks.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The try these subtasks belong to.
    pub attempt: Attempt,
    /// Which run of the job this is; fences earlier ones.
    pub generation: u64,
    /// The whole graph: subtasks need it to find their peers.
    pub graph: Arc<JobGraph>,
    /// The subtasks to start here.
    pub subtasks: Vec<SubtaskId>,
    /// State to begin with, for the operators that had some. Keyed chains are within the subtask's groups.
    pub restored: BTreeMap<(SubtaskId, OperatorId), RestoredState>,
}

/// What a JobManager can ask of a TaskManager. No call waits for the work to be done; the outcome comes back as a
/// [`TaskEvent`].
pub trait TaskManagerGateway: Send + Sync {
    /// Number of slots: how many subtasks of one vertex can run here side by side.
    fn slots(&self) -> u32;

    /// Starts subtasks. Each reports [`TaskEvent::Running`] or [`TaskEvent::Failed`].
    fn deploy(&self, deployment: Deployment) -> Result<()>;

    /// Injects a barrier at the sources of an attempt.
    fn trigger_checkpoint(&self, attempt: Attempt, barrier: Barrier);

    /// A checkpoint's record is on disk, its output committed.
    fn checkpoint_complete(&self, attempt: Attempt, checkpoint: CheckpointId);

    /// Everything is committed: all subtasks close. Each reports [`TaskEvent::Finished`].
    fn finish(&self, attempt: Attempt);

    /// All subtasks of an attempt stop where they are and close. Each reports [`TaskEvent::Finished`]
    /// (also if it had failed before): after that nothing of the attempt runs or writes here.
    fn cancel(&self, attempt: Attempt);
}

/// What a TaskManager has to say.
#[derive(Debug)]
pub enum TaskEvent {
    /// A subtask has restored its state and opened its operators.
    Running {
        /// The try.
        attempt: Attempt,
        /// The subtask.
        subtask: SubtaskId,
        /// Its counters, by operator.
        metrics: Vec<(OperatorId, Arc<OperatorMetrics>)>,
    },
    /// A source subtask has read everything and sent the end of its input on. It stays for checkpoints.
    EndOfInput {
        /// The try.
        attempt: Attempt,
        /// The subtask.
        subtask: SubtaskId,
    },
    /// A subtask's part of a checkpoint is durable.
    Acknowledged {
        /// The try.
        attempt: Attempt,
        /// The subtask.
        subtask: SubtaskId,
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Its part.
        snapshot: SubtaskSnapshot,
    },
    /// A subtask failed or panicked. It has closed its operators as far as it could.
    Failed {
        /// The try.
        attempt: Attempt,
        /// The subtask.
        subtask: SubtaskId,
        /// Why.
        error: Error,
    },
    /// A subtask closed after `finish` or `cancel`.
    Finished {
        /// The try.
        attempt: Attempt,
        /// The subtask.
        subtask: SubtaskId,
    },
}

/// Where TaskManagers report to.
pub trait JobManagerGateway: Send + Sync {
    /// Takes an event; never waits.
    fn report(&self, event: TaskEvent);
}
