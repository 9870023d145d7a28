//! What is known of a job that is gone with the process.

use std::sync::{Mutex, MutexGuard, PoisonError};

use riverrun_dataflow::{CompletedCheckpoint, Error, JobStore, Result};

/// [`JobStore`] of one job, in memory.
#[derive(Default)]
pub(super) struct PassingJobStore(Mutex<Known>);

#[derive(Default)]
struct Known {
    generation: u64,
    latest: Option<CompletedCheckpoint>,
}

impl PassingJobStore {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobStore for PassingJobStore {
    fn begin_run(&self, _: &str) -> Result<u64> {
        let mut known = self.lock();
        known.generation += 1;
        Ok(known.generation)
    }

    fn latest(&self, _: &str) -> Result<Option<CompletedCheckpoint>> {
        Ok(self.lock().latest.clone())
    }

    fn commit(&self, record: &CompletedCheckpoint) -> Result<()> {
        let mut known = self.lock();
        if record.generation != known.generation {
            let reason =
                format!("run {} has begun, this is run {}", known.generation, record.generation);
            return Err(Error::Fenced { job: record.job.clone(), reason });
        }
        known.latest = Some(record.clone());
        Ok(())
    }
}
