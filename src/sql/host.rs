//! What the SQL engine finds in this process: the store's topics and metadata, and the jobs that run here.

use std::sync::Arc;

use riverrun_dataflow::{Clock, Job, OperatorKind, Resources};
use riverrun_jobmanager::JobHandle;
use riverrun_sql::session::{Engine, Host, JobSummary, RunningJob, Submission};
use riverrun_sql::{Error, Result};

use crate::embedded::{self, Jobs, MachineClock, Standing};

/// Kind of the metadata entries of the catalog: a number that orders them, then the name -> the definition.
const CATALOG: &str = "sql-catalog";

/// [`Host`] on the jobs and the store of this process.
pub struct EmbeddedHost {
    jobs: Arc<Jobs>,
}

impl EmbeddedHost {
    /// On these jobs and their store.
    pub fn new(jobs: Arc<Jobs>) -> Self {
        Self { jobs }
    }

    fn store(&self) -> &riverrun_log_store::Store {
        self.jobs.cluster().store()
    }

    /// The catalog's entries in the order in which they were made: key, name, definition.
    fn entries(&self) -> Result<Vec<(String, String, String)>> {
        let entries = self.store().metadata().scan(CATALOG);
        let entry = |(key, bytes): (String, bytes::Bytes)| {
            let definition = String::from_utf8(bytes.to_vec()).map_err(|_| {
                Error::io("reading the catalog", format!("entry `{key}` is damaged"))
            })?;
            let (_, name) = key.split_once(' ').ok_or_else(|| {
                Error::io("reading the catalog", format!("entry `{key}` is damaged"))
            })?;
            Ok((key.clone(), name.to_owned(), definition))
        };
        entries.into_iter().map(entry).collect()
    }
}

impl Host for EmbeddedHost {
    fn resources(&self) -> Resources {
        self.jobs.cluster().resources()
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(MachineClock)
    }

    fn start(&self, job: Job, submission: Submission) -> Result<Arc<dyn RunningJob>> {
        let name = submission.name.clone();
        let handle = if submission.durable {
            self.jobs.start(job, Some(kept(submission)))
        } else {
            self.jobs.cluster().start_passing(job).map(Arc::new)
        };
        let handle = handle
            .map_err(|error| Error::io(format!("starting job `{name}`"), format!("{error:#}")))?;
        Ok(Arc::new(Running { name, handle }))
    }

    fn catalog_entries(&self) -> Result<Vec<(String, String)>> {
        Ok(self.entries()?.into_iter().map(|(_, name, definition)| (name, definition)).collect())
    }

    fn put_catalog_entry(&self, name: &str, definition: &str) -> Result<()> {
        let entries = self.entries()?;
        let key = match entries.iter().find(|(_, known, _)| known == name) {
            Some((key, ..)) => key.clone(),
            None => {
                let last = entries.last().and_then(|(key, ..)| key.split(' ').next()?.parse().ok());
                format!("{:010} {name}", last.unwrap_or(0u64) + 1)
            }
        };
        self.store()
            .metadata()
            .put(CATALOG, &key, definition)
            .map_err(|error| Error::io(format!("keeping `{name}` in the catalog"), error))
    }

    fn delete_catalog_entry(&self, name: &str) -> Result<()> {
        for (key, known, _) in self.entries()? {
            if known == name {
                self.store().metadata().delete(CATALOG, &key).map_err(|error| {
                    Error::io(format!("removing `{name}` from the catalog"), error)
                })?;
            }
        }
        Ok(())
    }

    fn delete_topic(&self, name: &str) -> Result<()> {
        self.store()
            .delete_topic(name)
            .map_err(|error| Error::io(format!("deleting topic `{name}`"), error))
    }

    fn topic_exists(&self, name: &str) -> bool {
        self.store().topic(name).is_ok()
    }

    fn jobs(&self) -> Vec<JobSummary> {
        let summaries = match self.jobs.summaries() {
            Ok(summaries) => summaries,
            Err(error) => {
                tracing::error!("cannot list jobs: {error:#}");
                Vec::new()
            }
        };
        let summary = |job: embedded::JobSummary| JobSummary {
            name: job.job,
            state: job.state,
            statement: job.statement.unwrap_or_default(),
            started: job.started,
            failure: job.failure,
        };
        summaries.into_iter().map(summary).collect()
    }

    fn cancel(&self, job: &str, with_savepoint: bool) -> Result<()> {
        self.jobs.cancel(job, with_savepoint).map_err(|error| Error::Refused(format!("{error:#}")))
    }
}

/// What the store keeps of a submission.
fn kept(submission: Submission) -> embedded::Submission {
    embedded::Submission {
        job: submission.name,
        statement: submission.statement,
        settings: submission.settings,
        temporary: submission.temporary,
        started: MachineClock.now(),
        standing: Standing::Wanted,
    }
}

/// Starts the jobs again that were submitted and are still wanted, each from its last checkpoint. Those that cannot be started
/// any more are noted as failed. Returns how many run.
///
/// # Errors
/// If the store cannot be read or written.
pub fn resume(engine: &Arc<Engine>, jobs: &Jobs) -> anyhow::Result<usize> {
    let store = jobs.cluster().store();
    let submissions = embedded::Submissions::of(store);
    let mut running = 0;
    for kept in submissions.all()? {
        if kept.standing != Standing::Wanted {
            continue;
        }
        let submission = Submission {
            name: kept.job.clone(),
            statement: kept.statement,
            settings: kept.settings,
            temporary: kept.temporary,
            durable: true,
        };
        match engine.resume(&submission) {
            Ok(_) => running += 1,
            Err(error) => {
                tracing::error!(job = kept.job, %error, "the job cannot be started again");
                submissions.set_standing(&kept.job, Standing::Failed(error.to_string()))?;
            }
        }
    }
    Ok(running)
}

/// A job of this process.
struct Running {
    name: String,
    handle: Arc<JobHandle>,
}

impl RunningJob for Running {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn wait(&self) -> Result<String> {
        Ok(self.handle.wait()?.to_string())
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
        let status = self.handle.status();
        let sinks = status.operators.iter().filter(|of| of.kind == OperatorKind::Sink);
        sinks.map(|sink| sink.records_in).sum()
    }
}
