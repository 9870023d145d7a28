//! A host for sessions: the embedded cluster on a store in a folder of its own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrow_array::RecordBatch;
use riverrun::embedded::{EmbeddedCluster, MachineClock};
use riverrun_dataflow::{Clock, Job, Resources};
use riverrun_jobmanager::JobHandle;
use riverrun_sql::session::{Engine, Host, JobSummary, Outcome, RunningJob, Session, Submission};
use riverrun_sql::{Error, Result};

/// Runs jobs in this process; keeps definitions in memory.
pub struct Cluster {
    cluster: EmbeddedCluster,
    definitions: Mutex<Vec<(String, String)>>,
    queries: AtomicU64,
    _folder: tempfile::TempDir,
}

impl Cluster {
    pub fn engine() -> Arc<Engine> {
        let folder = tempfile::tempdir().unwrap();
        let cluster = EmbeddedCluster::open(folder.path()).unwrap();
        Engine::open(Arc::new(Self {
            cluster,
            definitions: Mutex::default(),
            queries: AtomicU64::new(0),
            _folder: folder,
        }))
        .unwrap()
    }
}

fn io(error: impl std::fmt::Display) -> Error {
    Error::io("test host", error)
}

impl Host for Cluster {
    fn resources(&self) -> Resources {
        self.cluster.resources()
    }
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(MachineClock)
    }
    fn start(&self, mut job: Job, submission: Submission) -> Result<Arc<dyn RunningJob>> {
        if !submission.durable {
            // Each query is a job of its own, which goes on from no other's checkpoint.
            let number = self.queries.fetch_add(1, Ordering::Relaxed);
            job.graph.name = format!("{}-{number}", submission.name);
        }
        let handle = self.cluster.start(job).map_err(io)?;
        Ok(Arc::new(Running { name: submission.name, handle }))
    }
    fn catalog_entries(&self) -> Result<Vec<(String, String)>> {
        Ok(self.definitions.lock().unwrap().clone())
    }
    fn put_catalog_entry(&self, name: &str, definition: &str) -> Result<()> {
        self.delete_catalog_entry(name)?;
        self.definitions.lock().unwrap().push((name.to_owned(), definition.to_owned()));
        Ok(())
    }
    fn delete_catalog_entry(&self, name: &str) -> Result<()> {
        self.definitions.lock().unwrap().retain(|(known, _)| known != name);
        Ok(())
    }
    fn delete_topic(&self, name: &str) -> Result<()> {
        self.cluster.store().delete_topic(name).map(|_| ()).map_err(io)
    }
    fn topic_exists(&self, name: &str) -> bool {
        self.cluster.store().topic(name).is_ok()
    }
    fn jobs(&self) -> Vec<JobSummary> {
        let summary = |name: String| JobSummary {
            name,
            state: String::new(),
            statement: String::new(),
            started: None,
            failure: None,
        };
        self.cluster.jobs().jobs().into_iter().map(summary).collect()
    }
    fn cancel(&self, job: &str, _with_savepoint: bool) -> Result<()> {
        Err(Error::invalid(format!("there is no job `{job}`")))
    }
}

struct Running {
    name: String,
    handle: JobHandle,
}

impl RunningJob for Running {
    fn name(&self) -> String {
        self.name.clone()
    }
    fn wait(&self) -> Result<String> {
        self.handle.wait().map(|report| report.to_string()).map_err(Error::from)
    }
    fn cancel(&self) {
        self.handle.cancel();
    }
    fn stop_with_checkpoint(&self) {
        self.handle.stop_with_checkpoint();
    }
    fn state(&self) -> String {
        self.handle.status().state.to_string()
    }
    fn rows_written(&self) -> u64 {
        self.handle.wait().map_or(0, |report| report.records_written())
    }
}

/// Runs a script; jobs to their end. The rows of its last query.
pub fn run(session: &mut Session, script: &str) -> Result<Option<RecordBatch>> {
    let mut last = None;
    for parsed in session.statements(script)? {
        match session.execute(&parsed)? {
            Outcome::Query(query) => last = Some(query.net()?),
            Outcome::Job { job, .. } => {
                job.wait()?;
            }
            Outcome::Rows { .. } | Outcome::Done(_) => {}
        }
    }
    Ok(last)
}

/// The rows as texts, sorted: for results without an order.
pub fn sorted_rows(batch: &RecordBatch) -> Vec<String> {
    let options = arrow_cast::display::FormatOptions::new().with_null("NULL");
    let columns: Vec<_> = batch
        .columns()
        .iter()
        .map(|column| arrow_cast::display::ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    let mut rows: Vec<String> = (0..batch.num_rows())
        .map(|row| {
            let cells: Vec<String> =
                columns.iter().map(|column| column.value(row).to_string()).collect();
            cells.join(" | ")
        })
        .collect();
    rows.sort_unstable();
    rows
}
