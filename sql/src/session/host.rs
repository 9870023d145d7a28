//! What SQL needs of the process it runs in.

use std::collections::BTreeMap;
use std::sync::Arc;

use riverrun_dataflow::{Clock, Job, Resources};
use serde::{Deserialize, Serialize};

use crate::Result;

/// The process around SQL: it has the log, runs jobs, and keeps definitions.
///
/// All methods may be called from any thread, and block for as long as they take.
pub trait Host: Send + Sync {
    /// What sources and sinks of jobs find here: the store.
    fn resources(&self) -> Resources;

    /// Processing time.
    fn clock(&self) -> Arc<dyn Clock>;

    /// Starts a job. A durable one is started again, from its last checkpoint, when the process comes back after a crash, by
    /// [`Engine::resume`](super::Engine::resume) with the same submission.
    ///
    /// # Errors
    /// As the JobManager; and if a job of this name is running.
    fn start(&self, job: Job, submission: Submission) -> Result<Arc<dyn RunningJob>>;

    /// Definitions that were kept, as (name, statement), in the order in which they were made.
    fn catalog_entries(&self) -> Result<Vec<(String, String)>>;

    /// Keeps a definition, in place of one of the same name, durably.
    fn put_catalog_entry(&self, name: &str, definition: &str) -> Result<()>;

    /// Forgets a definition.
    fn delete_catalog_entry(&self, name: &str) -> Result<()>;

    /// Deletes a topic and its records.
    fn delete_topic(&self, name: &str) -> Result<()>;

    /// Whether there is a topic of this name.
    fn topic_exists(&self, name: &str) -> bool;

    /// All jobs that are known.
    fn jobs(&self) -> Vec<JobSummary>;

    /// Ends a job for good: it is not started again.
    fn cancel(&self, job: &str, with_savepoint: bool) -> Result<()>;
}

/// What a job is made from, so that it can be planned again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Name of the job.
    pub name: String,
    /// The statement: `INSERT INTO`, `EXECUTE STATEMENT SET` or `CREATE MATERIALIZED VIEW`.
    pub statement: String,
    /// Settings of the session that differ from the defaults.
    pub settings: BTreeMap<String, String>,
    /// Statements that make the temporary tables and views of the session.
    pub temporary: Vec<String>,
    /// Whether the job outlives the process. Queries whose result somebody waits for do not.
    pub durable: bool,
}

/// A job as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSummary {
    /// Its name.
    pub name: String,
    /// Its state: `RUNNING`, `FINISHED`, ...
    pub state: String,
    /// The statement that it was made from; empty for jobs written in Rust.
    pub statement: String,
    /// When it was started, in milliseconds since 1970, if that is known.
    pub started: Option<i64>,
    /// Why it failed, if it did.
    pub failure: Option<String>,
}

/// A job that was started.
pub trait RunningJob: Send + Sync {
    /// Its name.
    fn name(&self) -> String;

    /// Waits for its end and says in a line how it went.
    ///
    /// # Errors
    /// What made it fail.
    fn wait(&self) -> Result<String>;

    /// Ends it at once, without waiting.
    fn cancel(&self);

    /// Ends it after a last checkpoint, without waiting.
    fn stop_with_checkpoint(&self);

    /// Its state: `RUNNING`, `FINISHED`, ...
    fn state(&self) -> String;

    /// How many rows have come to its tables so far, in this run.
    fn rows_written(&self) -> u64;
}
