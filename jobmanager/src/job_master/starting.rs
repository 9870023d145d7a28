//! The beginning of an attempt: a new generation, the newest record, its commits redone, leftovers removed,
//! state spread.

use std::collections::BTreeMap;

use riverrun_dataflow::{
    Committer, CompletedCheckpoint, Deployment, OperatorId, RestoredState, Result, SubtaskId,
};

use super::JobMaster;
use crate::objects;
use crate::recovery::restored_states;

/// What an attempt starts from.
pub(super) struct Recovered {
    pub(super) generation: u64,
    pub(super) newest: Option<CompletedCheckpoint>,
    pub(super) committers: BTreeMap<OperatorId, Box<dyn Committer>>,
    pub(super) restored: BTreeMap<(SubtaskId, OperatorId), RestoredState>,
}

impl JobMaster {
    /// Takes over from whoever ran the job before. Each attempt is a generation of its own, so that whatever an
    /// earlier one left behind can be told apart and fenced.
    pub(super) fn recover(&mut self) -> Result<Recovered> {
        let name = &self.job.graph.name;
        let generation = self.wiring.store.begin_run(name)?;
        self.wiring.board.generation(generation);
        let newest = self.wiring.store.latest(name)?;
        if let Some(record) = &newest {
            self.next_checkpoint = self.next_checkpoint.max(record.checkpoint + 1);
        }
        let restored = match &newest {
            Some(record) => restored_states(
                record,
                &self.job.graph,
                self.job.settings.allow_non_restored_state,
                |handle| self.wiring.storage.read(handle),
            )?,
            None => BTreeMap::new(),
        };
        let committers = self.recover_output(generation, newest.as_ref())?;
        self.delete_leftovers(generation, newest.as_ref());
        Ok(Recovered { generation, newest, committers, restored })
    }

    /// Makes the newest record's output visible and removes what lies beyond it.
    fn recover_output(
        &self,
        generation: u64,
        newest: Option<&CompletedCheckpoint>,
    ) -> Result<BTreeMap<OperatorId, Box<dyn Committer>>> {
        let mut committers = BTreeMap::new();
        for node in self.job.graph.vertices.iter().flat_map(|vertex| &vertex.operators) {
            if let Some(mut committer) = self.job.factory.committer(node.id)? {
                let operator = newest.and_then(|record| record.operators.get(&node.id));
                committer
                    .recover(generation, operator.map_or(&[], |operator| &operator.prepared))?;
                committers.insert(node.id, committer);
            }
        }
        Ok(committers)
    }

    /// Deletes stored state that nothing refers to. It is only in the way, so a failure is no reason to stop.
    fn delete_leftovers(&self, generation: u64, newest: Option<&CompletedCheckpoint>) {
        let job = &self.job.graph.name;
        let left = self.wiring.storage.list(&format!("{job}/")).and_then(|present| {
            self.wiring.storage.delete(&objects::leftovers(job, generation, newest, present))
        });
        if let Err(error) = left {
            tracing::warn!(%job, %error, "old checkpoint state could not be deleted; the next start tries again");
        }
    }

    /// After the last attempt of a job that did not finish: output beyond the newest record is removed now, so that
    /// readers of committed output need not wait for the next start.
    pub(super) fn remove_leftovers(&self) {
        let job = &self.job.graph.name;
        let removed = self.wiring.store.begin_run(job).and_then(|generation| {
            let newest = self.wiring.store.latest(job)?;
            self.recover_output(generation, newest.as_ref())?;
            self.delete_leftovers(generation, newest.as_ref());
            Ok(())
        });
        if let Err(error) = removed {
            tracing::warn!(%job, %error, "output beyond the last checkpoint could not be removed; the next start does it");
        }
    }

    /// The orders for one TaskManager.
    pub(super) fn deployment(&self, manager: usize, recovered: &Recovered) -> Deployment {
        let execution = &self.wiring.execution;
        let subtasks = execution.subtasks_of(manager).to_vec();
        let restored = recovered.restored.iter();
        let restored = restored.filter(|((subtask, _), _)| subtasks.contains(subtask));
        Deployment {
            attempt: self.attempt,
            generation: recovered.generation,
            graph: execution.graph().clone(),
            restored: restored.map(|(key, state)| (*key, state.clone())).collect(),
            subtasks,
        }
    }
}
