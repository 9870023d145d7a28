//! Starts a job; what its owner can ask and see.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use riverrun_dataflow::{
    CheckpointStorage, Error, Job, JobManagerGateway, JobStore, Result, TaskManagerGateway,
};

use crate::clock::{MachineClock, MonotonicClock};
use crate::execution_graph::ExecutionGraph;
use crate::job_master::{JobMaster, Wiring};
use crate::status::{Board, JobReport, JobStatus};
use crate::wire::{Message, Reports};

/// Gives the TaskManagers of a job, which are to report to the gateway passed in.
pub type TaskManagers =
    Box<dyn FnOnce(Arc<dyn JobManagerGateway>) -> Result<Vec<Arc<dyn TaskManagerGateway>>>>;

/// What a JobManager needs besides the job.
pub struct JobResources {
    /// Where the job's subtasks run. They have to be given the job's own factory.
    pub task_managers: TaskManagers,
    /// Where commit records are kept.
    pub store: Arc<dyn JobStore>,
    /// Where state too large for them is kept.
    pub storage: Arc<dyn CheckpointStorage>,
}

/// Runs jobs.
pub struct JobManager;

impl JobManager {
    /// Starts a job from its newest commit record, or from the beginning if it has none. A record that says
    /// that the job had finished is gone on from like any other: its sources read what has come since.
    ///
    /// # Errors
    /// [`Error::InvalidJob`] if the graph cannot run or there are too few slots; [`Error::Io`] if there is no
    /// thread for the job. What goes wrong later comes out of [`JobHandle::wait`].
    pub fn start(job: Job, resources: JobResources) -> Result<JobHandle> {
        Self::start_with_clock(job, resources, Arc::new(MachineClock::start()))
    }

    /// As [`JobManager::start`], with another clock behind intervals, timeouts and delays.
    pub fn start_with_clock(
        job: Job,
        resources: JobResources,
        clock: Arc<dyn MonotonicClock>,
    ) -> Result<JobHandle> {
        let (sender, messages) = channel();
        let task_managers = (resources.task_managers)(Arc::new(Reports(sender.clone())))?;
        let slots: Vec<_> = task_managers.iter().map(|manager| manager.slots()).collect();
        let execution = ExecutionGraph::place(Arc::new(job.graph.clone()), &slots)?;
        let board = Arc::new(Board::new(execution.graph().clone()));
        let outcome = Arc::new(Outcome::default());
        let name = job.graph.name.clone();
        let wiring = Wiring {
            execution,
            task_managers,
            store: resources.store,
            storage: resources.storage,
            clock,
            messages,
            board: board.clone(),
        };
        let master = JobMaster::new(job, wiring);
        let ended = outcome.clone();
        std::thread::Builder::new()
            .name("job master".into())
            .spawn(move || ended.set(supervise(master)))
            .map_err(|cause| Error::io(format!("starting job `{name}`"), cause))?;
        Ok(JobHandle { board, outcome, messages: sender })
    }
}

/// Runs the master; a panic in it (in a committer, say) is a failure of the job like others.
fn supervise(mut master: JobMaster) -> Result<JobReport> {
    catch_unwind(AssertUnwindSafe(|| master.run())).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Err(master.panicked(&text.unwrap_or_else(|| "no message".into())))
    })
}

/// A running job. Dropping the handle lets it run on.
pub struct JobHandle {
    board: Arc<Board>,
    outcome: Arc<Outcome>,
    messages: Sender<Message>,
}

impl JobHandle {
    /// Waits until the job is over: finished, stopped or cancelled.
    ///
    /// # Errors
    /// What made the job fail. Asked again, an [`Error::User`] with the same text.
    pub fn wait(&self) -> Result<JobReport> {
        self.outcome.wait(&self.status().job)
    }

    /// Takes a last checkpoint and ends the job there. If an attempt has just failed, the checkpoint before is the last.
    pub fn stop_with_checkpoint(&self) {
        self.tell(Message::StopWithCheckpoint);
    }

    /// Ends the job at once. Started again, it goes on from its last checkpoint.
    pub fn cancel(&self) {
        self.tell(Message::Cancel);
    }

    /// How the job stands.
    pub fn status(&self) -> JobStatus {
        self.board.status()
    }

    fn tell(&self, message: Message) {
        // Over already, if nobody listens.
        let _ = self.messages.send(message);
    }
}

/// How the job ended, for whoever waits.
#[derive(Default)]
struct Outcome {
    inner: Mutex<Ended>,
    set: Condvar,
}

#[derive(Default)]
enum Ended {
    #[default]
    NotYet,
    Well(Box<JobReport>),
    Badly(Error),
    /// As before, but the error itself was handed out.
    Told(String),
}

impl Outcome {
    fn set(&self, outcome: Result<JobReport>) {
        *self.inner.lock().unwrap_or_else(PoisonError::into_inner) = match outcome {
            Ok(report) => Ended::Well(Box::new(report)),
            Err(error) => Ended::Badly(error),
        };
        self.set.notify_all();
    }

    fn wait(&self, job: &str) -> Result<JobReport> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        while matches!(*inner, Ended::NotYet) {
            inner = self.set.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        let text = match &*inner {
            Ended::Well(report) => return Ok(report.as_ref().clone()),
            Ended::Badly(error) => error.to_string(),
            Ended::Told(text) => text.clone(),
            Ended::NotYet => unreachable!("waited for above"),
        };
        match std::mem::replace(&mut *inner, Ended::Told(text)) {
            Ended::Badly(error) => Err(error),
            Ended::Told(reason) => Err(Error::User { place: format!("job `{job}`"), reason }),
            _ => unreachable!("the other two were handled above"),
        }
    }
}
