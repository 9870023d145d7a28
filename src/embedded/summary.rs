//! What is told about jobs, to people and to programs. The field names are fixed: scripts rely on them.

use std::collections::BTreeMap;

use riverrun_dataflow::{CompletedCheckpoint, JobGraph, JobStore, StateHandle};
use riverrun_jobmanager::{JobStatus, OperatorStatus};
use riverrun_log_store::Store;
use serde::{Deserialize, Serialize};

use super::{MetadataJobStore, Standing, Submissions};

/// A job in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSummary {
    /// Its name.
    pub job: String,
    /// As in Flink: RUNNING, FINISHED, ...; STOPPED if nobody runs it now.
    pub state: String,
    /// How often it was started.
    pub runs: u64,
    /// The newest checkpoint.
    pub checkpoint: Option<u64>,
    /// True if that checkpoint is at the end of all input.
    pub finished: bool,
    /// How often this run was started again after a failure.
    pub restarts: u64,
    /// When it was started last, in milliseconds since 1970, if it was submitted as SQL.
    pub started: Option<i64>,
    /// The SQL that it was submitted as, if it was.
    pub statement: Option<String>,
    /// What made it fail, now or the last time.
    pub failure: Option<String>,
}

/// All about one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobDetails {
    /// As in the list.
    pub summary: JobSummary,
    /// What it is made of, if it was ever started.
    pub graph: Option<JobGraph>,
    /// How far its newest checkpoint got.
    pub checkpoint: Option<CheckpointDetails>,
    /// The operators' counters, while it runs.
    pub operators: Vec<OperatorDetails>,
}

/// A completed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointDetails {
    /// The run that wrote it.
    pub generation: u64,
    /// Its number.
    pub checkpoint: u64,
    /// True if it is at the end of all input.
    pub finished: bool,
    /// How far each split was read.
    pub positions: BTreeMap<String, String>,
    /// Size of the state.
    pub state_bytes: u64,
}

/// An operator of a running job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorDetails {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Number of subtasks.
    pub parallelism: u32,
    /// Rows that came in.
    pub records_in: u64,
    /// Rows that went out.
    pub records_out: u64,
    /// Bytes read or written outside.
    pub bytes: u64,
    /// Rows behind the watermark.
    pub late_records: u64,
    /// Rows that could not be decoded.
    pub rejected_records: u64,
    /// Event time reached, in milliseconds since 1970.
    pub watermark: Option<i64>,
}

impl JobSummary {
    /// What is known of a job: by the store, and by whoever runs it now.
    ///
    /// # Errors
    /// If the store's entries about the job cannot be read.
    pub fn of(store: &Store, job: &str, live: Option<&JobStatus>) -> anyhow::Result<Self> {
        let jobs = MetadataJobStore::new(store.clone());
        let submission = Submissions::of(store).get(job)?;
        let latest = jobs.latest(job)?;
        let finished = latest.as_ref().is_some_and(|checkpoint| checkpoint.finished);
        let standing = submission.as_ref().map(|submission| &submission.standing);
        let state = match (live, standing) {
            (Some(live), _) => live.state.to_string(),
            (None, Some(Standing::Finished)) => "FINISHED".to_owned(),
            (None, Some(Standing::Cancelled)) => "CANCELLED".to_owned(),
            (None, Some(Standing::Failed(_))) => "FAILED".to_owned(),
            (None, None) if finished => "FINISHED".to_owned(),
            (None, _) => "STOPPED".to_owned(),
        };
        let failure = match (live, standing) {
            (_, Some(Standing::Failed(reason))) => Some(reason.clone()),
            (Some(live), _) => live.last_failure.clone(),
            _ => None,
        };
        Ok(Self {
            job: job.to_owned(),
            state,
            runs: jobs.generation(job)?,
            checkpoint: latest.map(|checkpoint| checkpoint.checkpoint),
            finished,
            restarts: live.map_or(0, |live| live.restarts),
            started: submission.as_ref().map(|submission| submission.started),
            statement: submission.map(|submission| submission.statement),
            failure,
        })
    }
}

impl JobDetails {
    /// All that is known of a job; `None` if there never was one of this name.
    ///
    /// # Errors
    /// If the store's entries about the job cannot be read.
    pub fn of(store: &Store, job: &str, live: Option<&JobStatus>) -> anyhow::Result<Option<Self>> {
        let jobs = MetadataJobStore::new(store.clone());
        let graph = jobs.graph(job)?;
        let summary = JobSummary::of(store, job, live)?;
        if graph.is_none() && summary.runs == 0 && summary.statement.is_none() {
            return Ok(None);
        }
        let checkpoint = jobs.latest(job)?.as_ref().map(CheckpointDetails::of);
        let operators = live.iter().flat_map(|live| &live.operators).map(Into::into).collect();
        Ok(Some(Self { summary, graph, checkpoint, operators }))
    }
}

impl CheckpointDetails {
    /// What a commit record tells.
    pub fn of(record: &CompletedCheckpoint) -> Self {
        let position = |bytes: &Vec<u8>| {
            // Sources of ours keep a number; others are shown as they are.
            riverrun_dataflow::codec::decode::<i64>(bytes)
                .map_or_else(|_| format!("{bytes:02x?}"), |number| number.to_string())
        };
        let operators = record.operators.values();
        let positions = operators.clone().flat_map(|operator| &operator.positions);
        let state = operators.flat_map(|operator| operator.keyed.iter().flatten());
        Self {
            generation: record.generation,
            checkpoint: record.checkpoint,
            finished: record.finished,
            positions: positions.map(|(split, at)| (split.clone(), position(at))).collect(),
            state_bytes: state.map(|handle| StateHandle::size_bytes(&handle.state)).sum(),
        }
    }
}

impl From<&OperatorStatus> for OperatorDetails {
    fn from(status: &OperatorStatus) -> Self {
        Self {
            id: status.id.to_string(),
            name: status.name.clone(),
            parallelism: status.parallelism,
            records_in: status.records_in,
            records_out: status.records_out,
            bytes: status.bytes,
            late_records: status.late_records,
            rejected_records: status.rejected_records,
            watermark: status.watermark,
        }
    }
}
