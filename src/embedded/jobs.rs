//! The jobs that this process runs, by name, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use anyhow::{Context, bail, ensure};
use riverrun_dataflow::{Job, JobGraph};
use riverrun_jobmanager::{JobHandle, JobReport, JobState, JobStatus};

use super::{EmbeddedCluster, JobDetails, JobSummary, Standing, Submission, Submissions};

/// The jobs of a process. A job that was submitted as text is kept in the store until it is over: a crash or a stop of the
/// process leaves it [`Standing::Wanted`], so that the next server goes on with it.
pub struct Jobs {
    cluster: Arc<EmbeddedCluster>,
    live: Mutex<BTreeMap<String, Arc<JobHandle>>>,
    /// Threads that note how jobs end.
    followers: Mutex<Vec<JoinHandle<()>>>,
}

impl Jobs {
    /// None yet, on this cluster.
    pub fn new(cluster: Arc<EmbeddedCluster>) -> Arc<Self> {
        Arc::new(Self { cluster, live: Mutex::default(), followers: Mutex::default() })
    }

    /// The cluster that they run on.
    pub fn cluster(&self) -> &Arc<EmbeddedCluster> {
        &self.cluster
    }

    /// Starts a job from its last checkpoint, or from the beginning if it has none. With a submission, it is kept in the
    /// store before the job starts, and followed to its end.
    ///
    /// # Errors
    /// If a job of this name runs, if the submission cannot be kept, and as [`EmbeddedCluster::start`].
    pub fn start(
        self: &Arc<Self>,
        job: Job,
        submission: Option<Submission>,
    ) -> anyhow::Result<Arc<JobHandle>> {
        let name = job.graph.name.clone();
        let mut live = self.live();
        ensure!(
            live.get(&name).is_none_or(|handle| handle.status().state.is_over()),
            "a job named `{name}` is running: cancel it first, or give the new one another name"
        );
        let submissions = Submissions::of(self.cluster.store());
        let before = submissions.get(&name)?;
        if let Some(submission) = &submission {
            submissions.put(submission)?;
        }
        let handle = match self.cluster.start(job) {
            Ok(handle) => Arc::new(handle),
            Err(error) => {
                // As if it had never been submitted; if it cannot be undone, the next server start will say why.
                match (&submission, &before) {
                    (Some(_), Some(before)) => submissions.put(before)?,
                    (Some(_), None) => submissions.delete(&name)?,
                    (None, _) => {}
                }
                return Err(error);
            }
        };
        live.insert(name.clone(), handle.clone());
        drop(live);
        if submission.is_some() {
            self.follow(name, handle.clone())?;
        }
        Ok(handle)
    }

    /// Notes in the store how the job ended, when it has.
    fn follow(self: &Arc<Self>, name: String, handle: Arc<JobHandle>) -> anyhow::Result<()> {
        let jobs = Arc::downgrade(self);
        let follower = std::thread::Builder::new()
            .name(format!("end of {name}"))
            .spawn(move || {
                let outcome = handle.wait();
                let standing = match &outcome {
                    Ok(report) if report.status.state == JobState::Finished => Standing::Finished,
                    Ok(report) if report.status.state == JobState::Cancelled => Standing::Cancelled,
                    // Stopped with a checkpoint: it goes on when a server starts.
                    Ok(_) => return,
                    Err(error) => {
                        tracing::error!(job = name, %error, "the job failed for good");
                        Standing::Failed(error.to_string())
                    }
                };
                let Some(jobs) = jobs.upgrade() else { return };
                let noted = Submissions::of(jobs.cluster.store()).set_standing(&name, standing);
                if let Err(error) = noted {
                    tracing::error!(job = name, "cannot note how the job ended: {error:#}");
                }
            })
            .context("cannot start a thread for a job")?;
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|follower| !follower.is_finished());
        followers.push(follower);
        Ok(())
    }

    /// Ends a job for good, at once or after a last checkpoint: no server will start it again.
    ///
    /// # Errors
    /// If there never was such a job, if it is over already, or if that cannot be noted.
    pub fn cancel(&self, name: &str, with_checkpoint: bool) -> anyhow::Result<()> {
        let handle = self.live().get(name).cloned();
        let running = handle.filter(|handle| !handle.status().state.is_over());
        let submissions = Submissions::of(self.cluster.store());
        let submission = submissions.get(name)?;
        let wanted = submission.as_ref().is_some_and(|s| s.standing == Standing::Wanted);
        if running.is_none() && !wanted {
            match self.details(name)? {
                None => bail!("there is no job named `{name}`"),
                Some(job) => bail!("job `{name}` is over already: {}", job.summary.state),
            }
        }
        // First the note, so that a crash in between does not bring the job back.
        if let Some(submission) = submission {
            submissions.put(&Submission { standing: Standing::Cancelled, ..submission })?;
        }
        if let Some(handle) = running {
            if with_checkpoint {
                handle.stop_with_checkpoint();
            } else {
                handle.cancel();
            }
            // A job that failed meanwhile is over as well.
            let _ = handle.wait();
        }
        Ok(())
    }

    /// Stops all jobs with a checkpoint each, and waits for them; the store may be closed then. Submitted ones stay wanted.
    pub fn stop_all(&self) -> Vec<JobReport> {
        let live: Vec<_> = self.live().values().cloned().collect();
        for handle in &live {
            handle.stop_with_checkpoint();
        }
        let reports = live.iter().filter_map(|handle| handle.wait().ok()).collect();
        let followers = self.followers.lock().map(|mut f| std::mem::take(&mut *f));
        for follower in followers.unwrap_or_default() {
            // One that panicked has said so.
            let _ = follower.join();
        }
        reports
    }

    /// How the jobs of this process stand.
    pub fn statuses(&self) -> Vec<JobStatus> {
        self.live().values().map(|handle| handle.status()).collect()
    }

    /// All jobs that ever ran on the store, by name.
    ///
    /// # Errors
    /// If the store's entries about one cannot be read.
    pub fn summaries(&self) -> anyhow::Result<Vec<JobSummary>> {
        let store = self.cluster.store();
        let mut names: BTreeSet<String> = self.cluster.jobs().jobs().into_iter().collect();
        names.extend(Submissions::of(store).all()?.into_iter().map(|submission| submission.job));
        let summary = |name: &String| JobSummary::of(store, name, self.status(name).as_ref());
        names.iter().map(summary).collect()
    }

    /// All about one job; `None` if there never was one of this name.
    ///
    /// # Errors
    /// If the store's entries about it cannot be read.
    pub fn details(&self, name: &str) -> anyhow::Result<Option<JobDetails>> {
        JobDetails::of(self.cluster.store(), name, self.status(name).as_ref())
    }

    /// The graph of a job, if there was one of this name.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn graph(&self, name: &str) -> anyhow::Result<Option<JobGraph>> {
        Ok(self.cluster.jobs().graph(name)?)
    }

    fn status(&self, name: &str) -> Option<JobStatus> {
        self.live().get(name).map(|handle| handle.status())
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<String, Arc<JobHandle>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
