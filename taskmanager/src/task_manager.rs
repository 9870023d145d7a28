//! Takes orders from a JobManager: starts subtasks, passes on triggers, ends attempts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use riverrun_dataflow::{
    Attempt, Barrier, CheckpointId, CheckpointStorage, Clock, Deployment, Error, JobManagerGateway,
    OperatorFactory, Result, SubtaskId, TaskEvent, TaskManagerGateway,
};

use crate::mailbox::{CHANNEL_CAPACITY, Cancellation, Control, Mailbox};
use crate::snapshot::SnapshotPool;
use crate::subtask::{self, Identity, Setup, Surroundings};
use crate::topology;

/// Runs the subtasks of a job in this process, each on its own thread.
///
/// Dropping it cancels what still runs and waits for it.
pub struct TaskManager {
    slots: u32,
    surroundings: Surroundings,
    attempts: Mutex<BTreeMap<Attempt, Running>>,
}

/// The subtasks of one attempt.
struct Running {
    cancellation: Cancellation,
    mailboxes: Arc<BTreeMap<SubtaskId, Arc<Mailbox>>>,
    sources: Vec<SubtaskId>,
    threads: Vec<JoinHandle<()>>,
    /// Subtasks for which the system gave no thread: they have failed, and finish when the others do.
    threadless: Vec<SubtaskId>,
}

impl TaskManager {
    /// A TaskManager with `slots` slots: that many subtasks of one vertex can run side by side. The operators
    /// come from `factory`, state too large for the commit record goes to `storage`, processing time is `clock`'s, and news goes to
    /// `job_manager`.
    ///
    /// # Errors
    /// [`Error::InvalidJob`] without slots, [`Error::Io`] if the system gives no threads.
    pub fn new(
        slots: u32,
        factory: Arc<dyn OperatorFactory>,
        storage: Arc<dyn CheckpointStorage>,
        clock: Arc<dyn Clock>,
        job_manager: Arc<dyn JobManagerGateway>,
    ) -> Result<Self> {
        // As many as flushes can usefully wait side by side.
        let pool = Arc::new(SnapshotPool::new(slots.clamp(1, 8) as usize)?);
        Ok(Self {
            slots,
            surroundings: Surroundings { factory, storage, clock, job_manager, pool },
            attempts: Mutex::new(BTreeMap::new()),
        })
    }

    fn attempts(&self) -> MutexGuard<'_, BTreeMap<Attempt, Running>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, deployment: &Deployment) -> Result<()> {
        let graph = &deployment.graph;
        let invalid = |reason: String| Err(Error::InvalidJob { job: graph.name.clone(), reason });
        for vertex in &graph.vertices {
            let here = deployment.subtasks.iter().filter(|id| id.vertex == vertex.id).count();
            if here > self.slots as usize {
                return invalid(format!(
                    "{here} subtasks of `{}` do not fit into {} slots; lower the parallelism or \
                     give the TaskManager more slots",
                    vertex.name, self.slots
                ));
            }
            if !graph.is_source(vertex) && topology::channel_inputs(graph, vertex.id).is_empty() {
                return invalid(format!(
                    "nothing leads to `{}`; connect it to a source or leave it out",
                    vertex.name
                ));
            }
        }
        Ok(())
    }

    fn start(&self, deployment: Deployment) -> Running {
        let deployment = Arc::new(deployment);
        let graph = &deployment.graph;
        let cancellation = Cancellation::default();
        let mailboxes: BTreeMap<_, _> = deployment
            .subtasks
            .iter()
            .map(|&id| {
                let channels = topology::channel_inputs(graph, id.vertex).len();
                (id, Mailbox::new(channels, CHANNEL_CAPACITY, cancellation.clone()))
            })
            .collect();
        let mut running = Running {
            cancellation,
            mailboxes: Arc::new(mailboxes),
            sources: Vec::new(),
            threads: Vec::new(),
            threadless: Vec::new(),
        };
        for (&id, mailbox) in running.mailboxes.iter() {
            let Some(vertex) = graph.vertex(id.vertex) else { continue };
            if graph.is_source(vertex) {
                running.sources.push(id);
            }
            let number = format!("{}/{}", id.index + 1, vertex.parallelism);
            let identity = Identity {
                attempt: deployment.attempt,
                subtask: id,
                place: format!("{} {number}", vertex.name),
                job_manager: self.surroundings.job_manager.clone(),
            };
            let setup = Setup {
                identity,
                deployment: deployment.clone(),
                surroundings: self.surroundings.clone(),
                mailbox: mailbox.clone(),
                peers: running.mailboxes.clone(),
                cancellation: running.cancellation.clone(),
            };
            let name = thread_name(&vertex.operators[0].name, &number);
            match std::thread::Builder::new().name(name).spawn(move || subtask::run(setup)) {
                Ok(thread) => running.threads.push(thread),
                Err(cause) => {
                    running.threadless.push(id);
                    self.surroundings.job_manager.report(TaskEvent::Failed {
                        attempt: deployment.attempt,
                        subtask: id,
                        error: Error::io(
                            format!("starting a thread for {} {number}", vertex.name),
                            cause,
                        ),
                    });
                }
            }
        }
        running
    }

    /// Passes an order on to some subtasks of an attempt; an attempt that is over has none.
    fn order(&self, attempt: Attempt, control: Control, to: impl Fn(&Running) -> Vec<SubtaskId>) {
        if let Some(running) = self.attempts().get(&attempt) {
            for id in to(running) {
                if let Some(mailbox) = running.mailboxes.get(&id) {
                    mailbox.order(control);
                }
            }
        }
    }

    /// Reports the end of subtasks that never got a thread.
    fn end_threadless(&self, attempt: Attempt) {
        let threadless = match self.attempts().get_mut(&attempt) {
            Some(running) => std::mem::take(&mut running.threadless),
            None => return,
        };
        for subtask in threadless {
            self.surroundings.job_manager.report(TaskEvent::Finished { attempt, subtask });
        }
    }
}

impl Running {
    fn all(&self) -> Vec<SubtaskId> {
        self.mailboxes.keys().copied().collect()
    }

    fn cancel(&self) {
        self.cancellation.cancel();
        self.mailboxes.values().for_each(|mailbox| mailbox.interrupt());
    }
}

/// The system cuts names off behind 15 bytes; what tells subtasks apart is at the end.
fn thread_name(operator: &str, number: &str) -> String {
    let room = 15usize.saturating_sub(number.len() + 1);
    let short: String = operator
        .chars()
        .filter(|c| *c != '\0')
        .scan(0, |bytes, c| {
            *bytes += c.len_utf8();
            (*bytes <= room).then_some(c)
        })
        .collect();
    format!("{short} {number}")
}

impl TaskManagerGateway for TaskManager {
    fn slots(&self) -> u32 {
        self.slots
    }

    fn deploy(&self, deployment: Deployment) -> Result<()> {
        self.check(&deployment)?;
        let attempt = deployment.attempt;
        let mut attempts = self.attempts();
        // Attempts that are over keep nothing but their thread handles.
        attempts.retain(|_, running| !running.threads.iter().all(JoinHandle::is_finished));
        attempts.insert(attempt, self.start(deployment));
        Ok(())
    }

    fn trigger_checkpoint(&self, attempt: Attempt, barrier: Barrier) {
        self.order(attempt, Control::Trigger(barrier), |running| running.sources.clone());
    }

    fn checkpoint_complete(&self, attempt: Attempt, checkpoint: CheckpointId) {
        self.order(attempt, Control::Complete(checkpoint), Running::all);
    }

    fn finish(&self, attempt: Attempt) {
        self.order(attempt, Control::Finish, Running::all);
        self.end_threadless(attempt);
    }

    fn cancel(&self, attempt: Attempt) {
        if let Some(running) = self.attempts().get(&attempt) {
            running.cancel();
        }
        self.end_threadless(attempt);
    }
}

impl Drop for TaskManager {
    fn drop(&mut self) {
        let attempts = std::mem::take(&mut *self.attempts());
        attempts.values().for_each(Running::cancel);
        for thread in attempts.into_values().flat_map(|running| running.threads) {
            // A subtask's panics were caught and reported.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_named_after_its_subtask() {
        assert_eq!(thread_name("window", "1/2"), "window 1/2");
        assert_eq!(thread_name("a very long operator", "12/128"), "a very l 12/128");
        assert!(thread_name("größenordnungen", "1/2").len() <= 15);
    }
}
