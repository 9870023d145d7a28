//! What is known of jobs, on the store's own `__metadata` log: the record of a completed checkpoint is
//! one entry there, written by one fsync'd append.

use std::sync::Mutex;

use riverrun_dataflow::{CompletedCheckpoint, Error, JobGraph, JobStore, Result, codec};
use riverrun_log_store::Store;

const GENERATION: &str = "job-generation";
const CHECKPOINT: &str = "job-checkpoint";
const GRAPH: &str = "job-graph";

/// [`JobStore`] on a [`Store`].
pub struct MetadataJobStore {
    store: Store,
    // Held from the check of the generation to the write, so that no older run can slip in between.
    commits: Mutex<()>,
}

impl MetadataJobStore {
    /// Keeps jobs in this store.
    pub fn new(store: Store) -> Self {
        Self { store, commits: Mutex::new(()) }
    }

    /// Names of all jobs that ever ran here.
    pub fn jobs(&self) -> Vec<String> {
        self.store.metadata().scan(GENERATION).into_iter().map(|(job, _)| job).collect()
    }

    /// The graph that a job had when it was started last.
    pub fn graph(&self, job: &str) -> Result<Option<JobGraph>> {
        let Some(bytes) = self.store.metadata().get(GRAPH, job) else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| failed(job, 0, e))
    }

    /// Keeps a job's graph for whoever asks later.
    pub fn put_graph(&self, graph: &JobGraph) -> Result<()> {
        let bytes = serde_json::to_vec(graph).map_err(|e| failed(&graph.name, 0, e))?;
        if self.store.metadata().get(GRAPH, &graph.name).as_deref() == Some(bytes.as_slice()) {
            return Ok(());
        }
        self.store.metadata().put(GRAPH, &graph.name, &bytes).map_err(|e| failed(&graph.name, 0, e))
    }

    /// The number of the job's newest run; 0 if it never ran.
    pub fn generation(&self, job: &str) -> Result<u64> {
        match self.store.metadata().get(GENERATION, job) {
            None => Ok(0),
            Some(bytes) => codec::decode(&bytes).map_err(|e| failed(job, 0, e)),
        }
    }
}

fn failed(job: &str, checkpoint: u64, reason: impl std::fmt::Display) -> Error {
    Error::Checkpoint { job: job.to_owned(), checkpoint, reason: reason.to_string() }
}

impl JobStore for MetadataJobStore {
    fn begin_run(&self, job: &str) -> Result<u64> {
        let _guard = self.commits.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let generation = self.generation(job)? + 1;
        let bytes = codec::encode(&generation).map_err(|e| failed(job, 0, e))?;
        self.store.metadata().put(GENERATION, job, &bytes).map_err(|e| failed(job, 0, e))?;
        Ok(generation)
    }

    fn latest(&self, job: &str) -> Result<Option<CompletedCheckpoint>> {
        let Some(bytes) = self.store.metadata().get(CHECKPOINT, job) else { return Ok(None) };
        codec::decode(&bytes).map(Some).map_err(|e| failed(job, 0, e))
    }

    fn commit(&self, record: &CompletedCheckpoint) -> Result<()> {
        let _guard = self.commits.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let newest = self.generation(&record.job)?;
        if newest != record.generation {
            return Err(Error::Fenced {
                job: record.job.clone(),
                reason: format!("run {newest} has begun, this is run {}", record.generation),
            });
        }
        let bytes = codec::encode(record).map_err(|e| failed(&record.job, record.checkpoint, e))?;
        self.store
            .metadata()
            .put(CHECKPOINT, &record.job, &bytes)
            .map_err(|e| failed(&record.job, record.checkpoint, e))
    }
}
