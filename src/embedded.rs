//! An embedded cluster: the store in a folder, one JobManager and one TaskManager, all in this process.

mod checkpoint_storage;
mod job_store;
mod jobs;
mod machine_clock;
mod passing;
mod submission;
mod summary;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, anyhow};
use riverrun_dataflow::{Job, JobStore, Resources, TaskManagerGateway};
use riverrun_jobmanager::{JobHandle, JobManager, JobReport, JobResources};
use riverrun_log_store::{Store, StoreOptions};
use riverrun_taskmanager::TaskManager;

pub use checkpoint_storage::ObjectStorage;
pub use job_store::MetadataJobStore;
pub use jobs::Jobs;
pub use machine_clock::MachineClock;
use passing::PassingJobStore;
pub use submission::{Standing, Submission, Submissions};
pub use summary::{CheckpointDetails, JobDetails, JobSummary, OperatorDetails};

use crate::{Environment, StopSignal};

/// A store in a folder, and jobs on it.
pub struct EmbeddedCluster {
    data_dir: PathBuf,
    store: Store,
    jobs: Arc<MetadataJobStore>,
    storage: Arc<ObjectStorage>,
}

impl EmbeddedCluster {
    /// Opens (or makes) the store in `data_dir`. One process at a time can have it open.
    ///
    /// # Errors
    /// What the log says: the folder is in use, cannot be read, or is damaged.
    pub fn open(data_dir: &Path) -> anyhow::Result<Self> {
        let store = Store::open(data_dir, StoreOptions::default())?;
        let jobs = Arc::new(MetadataJobStore::new(store.clone()));
        let storage = Arc::new(ObjectStorage::local(&data_dir.join("checkpoints"))?);
        Ok(Self { data_dir: data_dir.to_owned(), store, jobs, storage })
    }

    /// The folder.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The log.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What is known of jobs.
    pub fn jobs(&self) -> &MetadataJobStore {
        &self.jobs
    }

    /// What operators of a job find here.
    pub fn resources(&self) -> Resources {
        let mut resources = Resources::default();
        resources.insert(self.store.clone());
        resources
    }

    /// Starts a job from its last checkpoint, or from the beginning if there is none.
    ///
    /// # Errors
    /// As [`JobManager::start`], and if the job's graph cannot be kept.
    pub fn start(&self, job: Job) -> anyhow::Result<JobHandle> {
        self.jobs.put_graph(&job.graph)?;
        start(job, self.jobs.clone(), self.storage.clone())
    }

    /// Starts a job that nothing is kept of: a query whose result somebody waits for.
    ///
    /// # Errors
    /// As [`JobManager::start`].
    pub fn start_passing(&self, job: Job) -> anyhow::Result<JobHandle> {
        start(job, Arc::new(PassingJobStore::default()), Arc::new(ObjectStorage::memory()))
    }

    /// Runs a program's job to its end, or until `stop` is raised: then with a final checkpoint.
    ///
    /// # Errors
    /// What made a task of the environment or the job fail.
    pub fn run(&self, env: &Environment, stop: &StopSignal) -> anyhow::Result<Option<JobReport>> {
        let (before, beside) = env.take_tasks();
        for task in before {
            task(&self.store, stop)?;
            if stop.is_raised() {
                return Ok(None);
            }
        }
        let handle = Arc::new(self.start(env.build(self.resources())?)?);
        let stopping = Arc::downgrade(&handle);
        stop.on_raise(move || {
            if let Some(handle) = stopping.upgrade() {
                handle.stop_with_checkpoint();
            }
        });
        let failure: Mutex<Option<anyhow::Error>> = Mutex::new(None);
        let report = std::thread::scope(|scope| {
            for task in beside {
                let failure = &failure;
                scope.spawn(move || {
                    let _stops_the_job = RaiseOnPanic(stop);
                    if let Err(error) = task(&self.store, stop) {
                        failure.lock().unwrap_or_else(|p| p.into_inner()).get_or_insert(error);
                        stop.raise();
                    }
                });
            }
            let report = handle.wait();
            stop.raise();
            report
        });
        if let Some(error) = failure.into_inner().map_err(|_| anyhow!("a task panicked"))? {
            return Err(error);
        }
        report.map(Some).with_context(|| format!("job `{}` failed", env.name()))
    }
}

fn start(
    job: Job,
    store: Arc<dyn JobStore>,
    storage: Arc<ObjectStorage>,
) -> anyhow::Result<JobHandle> {
    let slots = job.graph.vertices.iter().map(|vertex| vertex.parallelism).max().unwrap_or(1);
    let (factory, snapshots) = (job.factory.clone(), storage.clone());
    let resources = JobResources {
        store,
        storage,
        task_managers: Box::new(move |gateway| {
            let clock = Arc::new(MachineClock);
            let manager = TaskManager::new(slots, factory, snapshots, clock, gateway)?;
            Ok(vec![Arc::new(manager) as Arc<dyn TaskManagerGateway>])
        }),
    };
    Ok(JobManager::start(job, resources)?)
}

/// Raises the signal if the thread that holds this panics: a job must not run on without the task beside it.
struct RaiseOnPanic<'a>(&'a StopSignal);

impl Drop for RaiseOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.raise();
        }
    }
}
