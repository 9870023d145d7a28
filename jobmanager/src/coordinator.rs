//! When checkpoints begin, when they are complete, when they are given up. Without I/O: facts come in, decisions
//! go out, and the job master carries them out.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use riverrun_dataflow::{
    Barrier, CheckpointId, CompletedCheckpoint, JobGraph, JobSettings, OperatorId, SnapshotKind,
    SubtaskId, SubtaskSnapshot,
};

use crate::commit_record::{Circumstances, commit_record, size_bytes};
use crate::objects;

/// What the job master has to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Inject this barrier at the sources.
    Trigger(Barrier),
    /// The checkpoint took too long. Delete what was written for it; the job goes on.
    Abandon {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// Paths of the objects that were written for it so far.
        objects: Vec<String>,
    },
}

/// What an acknowledgement means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// More are awaited.
    Waiting,
    /// All have come: commit this record, make its output visible, then say [`Coordinator::committed`].
    Complete(Box<CompletedCheckpoint>),
    /// It belongs to a checkpoint that was given up: delete these objects.
    Stale(Vec<String>),
}

/// A checkpoint that was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Its barrier.
    pub barrier: Barrier,
    /// From the barrier's injection until its output was visible.
    pub duration: Duration,
    /// Bytes of state that it added.
    pub bytes: u64,
    /// What follows.
    pub next: Next,
}

/// What follows on a committed checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The job goes on.
    GoOn,
    /// All input was read and everything is committed: finish.
    Finish,
    /// It was the checkpoint that the job was told to stop with.
    Stop,
}

/// Coordinates the checkpoints of one attempt.
///
/// At most one checkpoint is under way: from its trigger until its output is visible, or until it is given up. The first
/// one of an attempt, and the first after one that was given up, is full. Output that was prepared for one that
/// was given up is not lost: it is part of the next record.
pub struct Coordinator {
    graph: Arc<JobGraph>,
    generation: u64,
    settings: JobSettings,
    subtasks: BTreeSet<SubtaskId>,
    /// Source subtasks that have more to read.
    reading: BTreeSet<SubtaskId>,
    next: CheckpointId,
    phase: Phase,
    /// When the next periodic checkpoint is due.
    due: Option<Duration>,
    /// Deltas since the last full one; `None`: the next one has to be full.
    deltas: Option<u32>,
    stop: bool,
    /// The newest record of this attempt.
    newest: Option<CompletedCheckpoint>,
    given_up: GivenUp,
}

/// What came of checkpoints that were given up since the newest record.
#[derive(Default)]
struct GivenUp {
    /// Who has acknowledged them.
    acknowledged: BTreeMap<CheckpointId, BTreeSet<SubtaskId>>,
    /// The output that was prepared for them. A subtask acknowledges in order, so when a later checkpoint is
    /// complete all of it is here.
    prepared: BTreeMap<OperatorId, Vec<Vec<u8>>>,
}

impl GivenUp {
    fn add(&mut self, checkpoint: CheckpointId, subtask: SubtaskId, snapshot: &SubtaskSnapshot) {
        let Some(acknowledged) = self.acknowledged.get_mut(&checkpoint) else { return };
        if acknowledged.insert(subtask) {
            for (id, operator) in &snapshot.operators {
                let prepared = operator.state.prepared.iter().cloned();
                self.prepared.entry(*id).or_default().extend(prepared);
            }
        }
    }
}

enum Phase {
    /// None is under way.
    Quiet,
    /// Barriers travel.
    Collecting {
        barrier: Barrier,
        began: Duration,
        next: Next,
        snapshots: BTreeMap<SubtaskId, SubtaskSnapshot>,
    },
    /// The record is being written, its output made visible.
    Committing { barrier: Barrier, began: Duration, next: Next, bytes: u64 },
    /// The last one is committed.
    Over,
}

impl Coordinator {
    /// A coordinator for an attempt whose subtasks all run since `now`; its first checkpoint gets number `first`.
    pub fn new(
        graph: Arc<JobGraph>,
        settings: JobSettings,
        generation: u64,
        first: CheckpointId,
        now: Duration,
    ) -> Self {
        let sources = graph.vertices.iter().filter(|vertex| graph.is_source(vertex));
        let sources: BTreeSet<_> = sources.map(|vertex| vertex.id).collect();
        Self {
            subtasks: graph.subtasks().collect(),
            reading: graph.subtasks().filter(|id| sources.contains(&id.vertex)).collect(),
            due: settings.checkpoint_interval.map(|interval| now + interval),
            graph,
            generation,
            settings,
            next: first,
            phase: Phase::Quiet,
            deltas: None,
            stop: false,
            newest: None,
            given_up: GivenUp::default(),
        }
    }

    /// A source subtask has read everything.
    pub fn end_of_input(&mut self, subtask: SubtaskId) {
        self.reading.remove(&subtask);
    }

    /// The next checkpoint shall be the last one, and come at once.
    pub fn request_stop(&mut self) {
        self.stop = true;
    }

    /// What is to be done at `now`. To be asked after every fact and at [`Coordinator::deadline`].
    pub fn tick(&mut self, now: Duration) -> Option<Decision> {
        match &mut self.phase {
            Phase::Quiet => {
                let next = if self.reading.is_empty() {
                    Next::Finish
                } else if self.stop {
                    Next::Stop
                } else if self.due.is_some_and(|due| due <= now) {
                    Next::GoOn
                } else {
                    return None;
                };
                Some(self.trigger(next, now))
            }
            Phase::Collecting { barrier, began, snapshots, .. }
                if *began + self.settings.checkpoint_timeout <= now =>
            {
                let checkpoint = barrier.checkpoint;
                let objects = snapshots.values().flat_map(objects::written).collect();
                self.given_up.acknowledged.insert(checkpoint, BTreeSet::new());
                for (subtask, snapshot) in take(snapshots) {
                    self.given_up.add(checkpoint, subtask, &snapshot);
                }
                self.phase = Phase::Quiet;
                // What operators handed over is lost, and with it what a delta would build on.
                self.deltas = None;
                Some(Decision::Abandon { checkpoint, objects })
            }
            _ => None,
        }
    }

    fn trigger(&mut self, next: Next, now: Duration) -> Decision {
        let kind = match self.deltas {
            Some(deltas) if deltas < self.settings.deltas_before_full => SnapshotKind::Delta,
            _ => SnapshotKind::Full,
        };
        let barrier = Barrier { checkpoint: self.next, kind };
        self.next += 1;
        self.due = self.settings.checkpoint_interval.map(|interval| now + interval);
        self.phase = Phase::Collecting { barrier, began: now, next, snapshots: BTreeMap::new() };
        Decision::Trigger(barrier)
    }

    /// A subtask's part of a checkpoint is durable.
    pub fn acknowledged(
        &mut self,
        subtask: SubtaskId,
        checkpoint: CheckpointId,
        snapshot: SubtaskSnapshot,
    ) -> Progress {
        let (barrier, began, next, snapshots) = match &mut self.phase {
            Phase::Collecting { barrier, began, next, snapshots }
                if barrier.checkpoint == checkpoint && self.subtasks.contains(&subtask) =>
            {
                // Said twice, it still counts once.
                snapshots.entry(subtask).or_insert(snapshot);
                if snapshots.len() < self.subtasks.len() {
                    return Progress::Waiting;
                }
                (*barrier, *began, *next, take(snapshots))
            }
            Phase::Committing { barrier, .. } if barrier.checkpoint == checkpoint => {
                return Progress::Waiting;
            }
            _ => return self.stale(subtask, checkpoint, &snapshot),
        };
        let bytes = size_bytes(&snapshots);
        let circumstances = Circumstances {
            graph: &self.graph,
            generation: self.generation,
            barrier,
            finished: next == Next::Finish,
            previous: self.newest.as_ref(),
        };
        let record = commit_record(&circumstances, snapshots, take(&mut self.given_up).prepared);
        self.newest = Some(record.clone());
        self.phase = Phase::Committing { barrier, began, next, bytes };
        Progress::Complete(Box::new(record))
    }

    /// Of a checkpoint that is not under way, prepared output is kept; objects are not, unless they are part of the
    /// newest record.
    fn stale(
        &mut self,
        subtask: SubtaskId,
        checkpoint: CheckpointId,
        snapshot: &SubtaskSnapshot,
    ) -> Progress {
        self.given_up.add(checkpoint, subtask, snapshot);
        let needed = self.newest.as_ref().map(objects::referenced).unwrap_or_default();
        let written = objects::written(snapshot);
        Progress::Stale(written.into_iter().filter(|path| !needed.contains(path)).collect())
    }

    /// The record that [`Progress::Complete`] handed out is on disk and its output visible. `None` if there
    /// was none.
    pub fn committed(&mut self, now: Duration) -> Option<Committed> {
        let Phase::Committing { barrier, began, next, bytes } = self.phase else { return None };
        self.deltas = match barrier.kind {
            SnapshotKind::Full => Some(0),
            SnapshotKind::Delta => self.deltas.map(|deltas| deltas + 1),
        };
        self.phase = if next == Next::GoOn { Phase::Quiet } else { Phase::Over };
        Some(Committed { barrier, duration: now.saturating_sub(began), bytes, next })
    }

    /// When [`Coordinator::tick`] may have something to say again, if no fact comes before.
    pub fn deadline(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Quiet => self.due,
            Phase::Collecting { began, .. } => Some(*began + self.settings.checkpoint_timeout),
            Phase::Committing { .. } | Phase::Over => None,
        }
    }

    /// Number of the next checkpoint.
    pub fn next_checkpoint(&self) -> CheckpointId {
        self.next
    }
}

#[cfg(test)]
#[path = "coordinator_tests.rs"]
mod tests;
