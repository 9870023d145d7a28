//! One attempt: subtasks are deployed, watched, and ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use riverrun_dataflow::{
    Committer, CompletedCheckpoint, Error, OperatorId, Result, SubtaskId, TaskEvent,
};

use super::{Ending, Intent, JobMaster};
use crate::coordinator::{Coordinator, Decision, Next, Progress};
use crate::objects;
use crate::state::JobState;
use crate::wire::Message;

/// Subtasks that take longer than this to close are worth a line in the log.
const SLOW_END: Duration = Duration::from_secs(30);

/// What is known of the attempt that runs.
struct Running {
    /// Subtasks that were deployed and have not reported Finished.
    alive: BTreeSet<SubtaskId>,
    /// Subtasks that have not reported Running.
    starting: BTreeSet<SubtaskId>,
    coordinator: Coordinator,
    committers: BTreeMap<OperatorId, Box<dyn Committer>>,
    newest: Option<CompletedCheckpoint>,
}

impl JobMaster {
    /// Starts all subtasks from the newest record and watches them until they have ended, whatever the reason:
    /// when this returns, nothing of the attempt runs any more.
    pub(super) fn run_attempt(&mut self) -> Result<Ending> {
        let mut recovered = self.recover()?;
        let now = self.wiring.clock.now();
        let coordinator = Coordinator::new(
            self.wiring.execution.graph().clone(),
            self.job.settings.clone(),
            recovered.generation,
            self.next_checkpoint,
            now,
        );
        let mut running = Running {
            alive: BTreeSet::new(),
            starting: BTreeSet::new(),
            coordinator,
            committers: std::mem::take(&mut recovered.committers),
            newest: recovered.newest.take(),
        };
        let mut deployed = Ok(());
        for (index, manager) in self.wiring.task_managers.iter().enumerate() {
            let deployment = self.deployment(index, &recovered);
            let subtasks = deployment.subtasks.clone();
            deployed = manager.deploy(deployment);
            if deployed.is_err() {
                break;
            }
            running.alive.extend(&subtasks);
            running.starting.extend(subtasks);
        }
        drop(recovered);
        let ending = deployed.and_then(|()| self.watch(&mut running));
        self.next_checkpoint = self.next_checkpoint.max(running.coordinator.next_checkpoint());
        if !running.alive.is_empty() {
            self.wiring.task_managers.iter().for_each(|manager| manager.cancel(self.attempt));
            self.await_end(&mut running);
        }
        ending
    }

    /// Acts on messages and on the coordinator's decisions until the attempt ends or is to be ended.
    fn watch(&mut self, running: &mut Running) -> Result<Ending> {
        loop {
            match self.intent {
                Intent::Run => {}
                Intent::Stop => {
                    self.wiring.board.become_state(JobState::Stopping);
                    running.coordinator.request_stop();
                }
                Intent::Cancel => {
                    self.wiring.board.become_state(JobState::Cancelling);
                    return Ok(Ending::Cancelled);
                }
            }
            let mut patience = None;
            if running.starting.is_empty() {
                while let Some(decision) = running.coordinator.tick(self.wiring.clock.now()) {
                    self.carry_out(decision);
                }
                let deadline = running.coordinator.deadline();
                patience =
                    deadline.map(|deadline| deadline.saturating_sub(self.wiring.clock.now()));
            }
            match self.receive(patience) {
                Some(Message::Task(event)) => {
                    if let Some(ending) = self.on_event(running, event)? {
                        return Ok(ending);
                    }
                }
                Some(order) => self.note(&order),
                None => {}
            }
        }
    }

    fn carry_out(&self, decision: Decision) {
        match decision {
            Decision::Trigger(barrier) => {
                for manager in &self.wiring.task_managers {
                    manager.trigger_checkpoint(self.attempt, barrier);
                }
            }
            Decision::Abandon { checkpoint, objects } => {
                tracing::warn!(
                    job = %self.job.graph.name,
                    checkpoint,
                    "not complete after {:?}, given up; the next one is full",
                    self.job.settings.checkpoint_timeout
                );
                self.delete(&objects);
            }
        }
    }

    fn on_event(&mut self, running: &mut Running, event: TaskEvent) -> Result<Option<Ending>> {
        match event {
            TaskEvent::Running { attempt, subtask, metrics } if attempt == self.attempt => {
                self.wiring.board.subtask(metrics);
                running.starting.remove(&subtask);
                if running.starting.is_empty() && self.wiring.board.state() == JobState::Starting {
                    self.wiring.board.become_state(JobState::Running);
                }
            }
            TaskEvent::EndOfInput { attempt, subtask } if attempt == self.attempt => {
                running.coordinator.end_of_input(subtask);
            }
            TaskEvent::Acknowledged { attempt, subtask, checkpoint, snapshot }
                if attempt == self.attempt =>
            {
                match running.coordinator.acknowledged(subtask, checkpoint, snapshot) {
                    Progress::Waiting => {}
                    Progress::Stale(objects) => self.delete(&objects),
                    Progress::Complete(record) => return self.commit(running, *record),
                }
            }
            TaskEvent::Failed { attempt, subtask, error } if attempt == self.attempt => {
                let vertex = self.job.graph.vertex(subtask.vertex);
                let vertex = vertex.map_or("", |vertex| vertex.name.as_str());
                tracing::warn!(
                    job = %self.job.graph.name,
                    "subtask {} of {vertex} failed: {error}",
                    subtask.index + 1
                );
                return Err(error);
            }
            TaskEvent::Finished { attempt, subtask } if attempt == self.attempt => {
                running.alive.remove(&subtask);
                return Err(Error::io(
                    format!("subtask {subtask}"),
                    "it ended although nobody told it to",
                ));
            }
            // News of an attempt that is over.
            _ => {}
        }
        Ok(None)
    }

    /// Commits an epoch: the record first, everything else follows from it.
    fn commit(
        &mut self,
        running: &mut Running,
        record: CompletedCheckpoint,
    ) -> Result<Option<Ending>> {
        self.wiring.store.commit(&record)?;
        for (id, committer) in &mut running.committers {
            match record.operators.get(id) {
                Some(operator) if !operator.prepared.is_empty() => {
                    committer.commit(&operator.prepared)?;
                }
                _ => {}
            }
        }
        let checkpoint = record.checkpoint;
        let needed = objects::referenced(&record);
        if let Some(before) = running.newest.replace(record) {
            let unneeded: Vec<_> =
                objects::referenced(&before).difference(&needed).cloned().collect();
            self.delete(&unneeded);
        }
        let Some(committed) = running.coordinator.committed(self.wiring.clock.now()) else {
            return Ok(None);
        };
        self.wiring.board.committed(&committed);
        for manager in &self.wiring.task_managers {
            manager.checkpoint_complete(self.attempt, checkpoint);
        }
        match committed.next {
            Next::GoOn => Ok(None),
            Next::Stop => Ok(Some(Ending::Stopped)),
            Next::Finish => {
                self.wiring.board.become_state(JobState::Finishing);
                for manager in &self.wiring.task_managers {
                    manager.finish(self.attempt);
                }
                self.await_end(running);
                Ok(Some(Ending::Finished))
            }
        }
    }

    /// Waits until every subtask has reported Finished. Failures on the way change nothing any more.
    fn await_end(&mut self, running: &mut Running) {
        while !running.alive.is_empty() {
            match self.receive(Some(SLOW_END)) {
                Some(Message::Task(TaskEvent::Finished { attempt, subtask }))
                    if attempt == self.attempt =>
                {
                    running.alive.remove(&subtask);
                }
                Some(Message::Task(TaskEvent::Failed { attempt, subtask, error }))
                    if attempt == self.attempt =>
                {
                    tracing::debug!(%subtask, %error, "failed while the attempt was being ended");
                }
                Some(message) => self.note(&message),
                None => tracing::warn!(
                    job = %self.job.graph.name,
                    "still waiting for {} subtasks to close, among them {}",
                    running.alive.len(),
                    running.alive.iter().next().map_or_else(String::new, ToString::to_string)
                ),
            }
        }
    }

    fn delete(&self, paths: &[String]) {
        if paths.is_empty() {
            return;
        }
        if let Err(error) = self.wiring.storage.delete(paths) {
            tracing::warn!(
                job = %self.job.graph.name,
                %error,
                "state that is not needed any more could not be deleted; the next start tries again"
            );
        }
    }
}
