//! Jobs that were submitted as text: what it takes to plan one again after a restart, and how it stands.

use std::collections::BTreeMap;

use anyhow::Context;
use riverrun_log_store::Store;
use serde::{Deserialize, Serialize};

const SUBMISSION: &str = "job-submission";

/// A job that was submitted as text, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submission {
    /// Name of the job.
    pub job: String,
    /// The statement.
    pub statement: String,
    /// The settings under which it was planned.
    pub settings: BTreeMap<String, String>,
    /// Statements that make the temporary tables and views that it names.
    pub temporary: Vec<String>,
    /// When it was started last, in milliseconds since 1970.
    pub started: i64,
    /// How the job stands.
    pub standing: Standing,
}

/// How a submitted job stands, whatever process runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It is to run: a server that starts goes on with it from its last checkpoint.
    Wanted,
    /// It read all its input to the end.
    Finished,
    /// Somebody ended it for good.
    Cancelled,
    /// It failed in a way that a restart cannot help, or could not be started any more.
    Failed(String),
}

/// The submissions in a store's metadata.
pub struct Submissions<'a>(&'a Store);

impl<'a> Submissions<'a> {
    /// Those of this store.
    pub fn of(store: &'a Store) -> Self {
        Self(store)
    }

    /// The submission of a job, if it has one.
    ///
    /// # Errors
    /// If the entry cannot be read.
    pub fn get(&self, job: &str) -> anyhow::Result<Option<Submission>> {
        self.0.metadata().get(SUBMISSION, job).map(|bytes| decode(job, &bytes)).transpose()
    }

    /// All, by name.
    ///
    /// # Errors
    /// If an entry cannot be read.
    pub fn all(&self) -> anyhow::Result<Vec<Submission>> {
        let entries = self.0.metadata().scan(SUBMISSION);
        entries.iter().map(|(job, bytes)| decode(job, bytes)).collect()
    }

    /// Keeps a submission, durably, in place of an earlier one of the same name.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put(&self, submission: &Submission) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(submission).context("a submission cannot be encoded")?;
        self.0
            .metadata()
            .put(SUBMISSION, &submission.job, bytes)
            .with_context(|| format!("cannot keep the submission of job `{}`", submission.job))
    }

    /// Forgets a submission.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn delete(&self, job: &str) -> anyhow::Result<()> {
        self.0
            .metadata()
            .delete(SUBMISSION, job)
            .with_context(|| format!("cannot forget the submission of job `{job}`"))
    }

    /// Changes how a job stands. A job that was not submitted is left alone, and so is one that was cancelled: whoever runs
    /// it may hear of its end later.
    ///
    /// # Errors
    /// If the change cannot be read or written.
    pub fn set_standing(&self, job: &str, standing: Standing) -> anyhow::Result<()> {
        match self.get(job)? {
            Some(old) if old.standing != Standing::Cancelled && old.standing != standing => {
                self.put(&Submission { standing, ..old })
            }
            _ => Ok(()),
        }
    }
}

fn decode(job: &str, bytes: &[u8]) -> anyhow::Result<Submission> {
    serde_json::from_slice(bytes).with_context(|| {
        format!("the submission of job `{job}` in the store's metadata is damaged")
    })
}
