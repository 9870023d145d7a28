//! What can be seen of a job from outside.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use riverrun_dataflow::{
    Attempt, CheckpointId, JobGraph, OperatorId, OperatorKind, OperatorMetrics, SnapshotKind,
    Timestamp, VertexId,
};

use crate::coordinator::Committed;
use crate::state::JobState;

/// A job at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct JobStatus {
    /// Name of the job.
    pub job: String,
    /// Where it is in its life.
    pub state: JobState,
    /// The newest generation it was given; 0 before the first.
    pub generation: u64,
    /// Number of the present try, counted from 1; 0 before the first.
    pub attempt: Attempt,
    /// How often it was started again after a failure.
    pub restarts: u64,
    /// Checkpoints committed by this run.
    pub completed_checkpoints: u64,
    /// The last of them.
    pub last_checkpoint: Option<CheckpointStatus>,
    /// What made the last failed attempt fail.
    pub last_failure: Option<String>,
    /// The operators in the order of the graph, with the counters of the present attempt added up over subtasks.
    pub operators: Vec<OperatorStatus>,
}

/// A committed checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointStatus {
    /// Its number.
    pub checkpoint: CheckpointId,
    /// Full or delta.
    pub kind: SnapshotKind,
    /// From the injection of its barrier until its output was visible.
    pub duration: Duration,
    /// Bytes of state that it added.
    pub bytes: u64,
}

/// Counters of one operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorStatus {
    /// Its id.
    pub id: OperatorId,
    /// Its name.
    pub name: String,
    /// What it does.
    pub kind: OperatorKind,
    /// The vertex it is chained into.
    pub vertex: VertexId,
    /// Number of subtasks.
    pub parallelism: u32,
    /// Rows that came in.
    pub records_in: u64,
    /// Rows that went out.
    pub records_out: u64,
    /// Bytes that a source read or a sink wrote.
    pub bytes: u64,
    /// Rows that came behind the watermark and were left out of a result.
    pub late_records: u64,
    /// Rows that could not be decoded.
    pub rejected_records: u64,
    /// Event time that all its subtasks have reached; `None` before all time.
    pub watermark: Option<Timestamp>,
}

/// How a job went.
#[derive(Debug, Clone, PartialEq)]
pub struct JobReport {
    /// How it stood in the end: finished, stopped or cancelled.
    pub status: JobStatus,
    /// How long it ran.
    pub duration: Duration,
}

impl JobReport {
    /// Rows that the sources read in the last attempt.
    pub fn records_read(&self) -> u64 {
        self.sum(OperatorKind::Source, |operator| operator.records_out)
    }

    /// Rows that reached the sinks in the last attempt.
    pub fn records_written(&self) -> u64 {
        self.sum(OperatorKind::Sink, |operator| operator.records_in)
    }

    /// Rows that an operator counted as left out, in the last attempt.
    fn left_out(&self, of: impl Fn(&OperatorStatus) -> u64) -> u64 {
        self.status.operators.iter().map(of).sum()
    }

    fn sum(&self, kind: OperatorKind, of: impl Fn(&OperatorStatus) -> u64) -> u64 {
        self.status.operators.iter().filter(|operator| operator.kind == kind).map(of).sum()
    }
}

impl fmt::Display for JobReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = &self.status;
        write!(
            f,
            "job `{}` {} after {:.2} s: {} rows read, {} written, {} checkpoints",
            status.job,
            status.state.to_string().to_lowercase(),
            self.duration.as_secs_f64(),
            self.records_read(),
            self.records_written(),
            status.completed_checkpoints,
        )?;
        let late = self.left_out(|operator| operator.late_records);
        if late > 0 {
            write!(f, ", {late} rows late")?;
        }
        let rejected = self.left_out(|operator| operator.rejected_records);
        if rejected > 0 {
            write!(f, ", {rejected} rows rejected")?;
        }
        match status.restarts {
            0 => Ok(()),
            1 => f.write_str(", 1 restart"),
            restarts => write!(f, ", {restarts} restarts"),
        }
    }
}

/// Where the job master writes what [`JobStatus`] is made from.
pub(crate) struct Board {
    graph: Arc<JobGraph>,
    inner: Mutex<Inner>,
}

struct Inner {
    status: JobStatus,
    metrics: BTreeMap<OperatorId, Vec<Arc<OperatorMetrics>>>,
}

impl Board {
    pub(crate) fn new(graph: Arc<JobGraph>) -> Self {
        let status = JobStatus {
            job: graph.name.clone(),
            state: JobState::Starting,
            generation: 0,
            attempt: 0,
            restarts: 0,
            completed_checkpoints: 0,
            last_checkpoint: None,
            last_failure: None,
            operators: Vec::new(),
        };
        Self { graph, inner: Mutex::new(Inner { status, metrics: BTreeMap::new() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> JobState {
        self.lock().status.state
    }

    pub(crate) fn become_state(&self, next: JobState) {
        let status = &mut self.lock().status;
        debug_assert!(status.state.may_become(next), "{} -> {next}", status.state);
        if status.state != next {
            tracing::info!(job = %status.job, attempt = status.attempt, "{} -> {next}", status.state);
        }
        status.state = next;
    }

    /// A new attempt begins; its subtasks count from zero.
    pub(crate) fn attempt(&self, attempt: Attempt) {
        let mut inner = self.lock();
        inner.status.attempt = attempt;
        inner.status.restarts = attempt.saturating_sub(1);
        inner.metrics.clear();
    }

    pub(crate) fn generation(&self, generation: u64) {
        self.lock().status.generation = generation;
    }

    pub(crate) fn subtask(&self, metrics: Vec<(OperatorId, Arc<OperatorMetrics>)>) {
        let mut inner = self.lock();
        for (operator, metrics) in metrics {
            inner.metrics.entry(operator).or_default().push(metrics);
        }
    }

    pub(crate) fn committed(&self, committed: &Committed) {
        let status = &mut self.lock().status;
        status.completed_checkpoints += 1;
        status.last_checkpoint = Some(CheckpointStatus {
            checkpoint: committed.barrier.checkpoint,
            kind: committed.barrier.kind,
            duration: committed.duration,
            bytes: committed.bytes,
        });
    }

    pub(crate) fn failure(&self, failure: String) {
        self.lock().status.last_failure = Some(failure);
    }

    pub(crate) fn status(&self) -> JobStatus {
        let inner = self.lock();
        let mut status = inner.status.clone();
        for vertex in &self.graph.vertices {
            for node in &vertex.operators {
                let metrics = inner.metrics.get(&node.id).map_or(&[][..], Vec::as_slice);
                let sum =
                    |counter: fn(&OperatorMetrics) -> u64| metrics.iter().map(|m| counter(m)).sum();
                let reached = metrics.iter().map(|m| m.watermark.load(Ordering::Relaxed)).min();
                status.operators.push(OperatorStatus {
                    id: node.id,
                    name: node.name.clone(),
                    kind: node.kind,
                    vertex: vertex.id,
                    parallelism: vertex.parallelism,
                    records_in: sum(|m| OperatorMetrics::read(&m.records_in)),
                    records_out: sum(|m| OperatorMetrics::read(&m.records_out)),
                    bytes: sum(|m| OperatorMetrics::read(&m.bytes)),
                    late_records: sum(|m| OperatorMetrics::read(&m.late_records)),
                    rejected_records: sum(|m| OperatorMetrics::read(&m.rejected_records)),
                    watermark: reached.filter(|&timestamp| timestamp != Timestamp::MIN),
                });
            }
        }
        status
    }
}
