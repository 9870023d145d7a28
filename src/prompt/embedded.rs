//! Statements answered in this process.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::Context;
use indicatif::{HumanCount, ProgressBar};
use riverrun_dataflow::OperatorKind;
use riverrun_sql::session::{Engine, Outcome, QueryStream, RunningJob, Session};

use super::Backend;
use super::completion::Names;
use super::interrupts::Interrupts;
use super::result::{Complaint, Fixed, Heading, Reply, RowSource, Rows, headings, rows};
use crate::embedded::{EmbeddedCluster, Jobs};
use crate::sql::EmbeddedHost;

/// How often the progress of a job that is waited for is shown.
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// A session on a data dir that this process has open.
pub(super) struct Embedded {
    session: Session,
    jobs: Arc<Jobs>,
    interrupts: Interrupts,
    /// Jobs that go on while other statements are taken.
    started: Vec<Arc<dyn RunningJob>>,
}

impl Embedded {
    /// Opens the store in a folder, made if it is not there.
    ///
    /// # Errors
    /// If it cannot be opened, or the catalog in it cannot be read.
    pub(super) fn open(data_dir: &Path, interrupts: Interrupts) -> anyhow::Result<Self> {
        let cluster = EmbeddedCluster::open(data_dir).context(
            "cannot open the store (if it is `riverrun server` that has it open, ask that: --server 127.0.0.1:5433)",
        )?;
        let jobs = Jobs::new(Arc::new(cluster));
        let engine = Engine::open(Arc::new(EmbeddedHost::new(jobs.clone())))?;
        Ok(Self { session: Session::new(engine), jobs, interrupts, started: Vec::new() })
    }

    /// Waits for a job; a signal stops it with a last checkpoint.
    fn wait(&self, job: &Arc<dyn RunningJob>) -> Result<String, Complaint> {
        let stopped = job.clone();
        let outcome = self.interrupts.during(
            move || stopped.stop_with_checkpoint(),
            || {
                let (ended, end) = channel();
                std::thread::scope(|scope| {
                    scope.spawn(move || {
                        // The other end is there until it has heard.
                        let _ = ended.send(job.wait());
                    });
                    let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
                    let outcome = loop {
                        match end.recv_timeout(BETWEEN_LOOKS) {
                            Ok(outcome) => break Some(outcome),
                            Err(RecvTimeoutError::Disconnected) => break None,
                            Err(RecvTimeoutError::Timeout) => {
                                if let Some(bar) = &bar {
                                    bar.set_message(self.progress(&job.name()));
                                    bar.tick();
                                }
                            }
                        }
                    };
                    if let Some(bar) = bar {
                        bar.finish_and_clear();
                    }
                    outcome
                })
            },
        );
        match outcome {
            Some(outcome) => Ok(outcome?),
            None => Err(Complaint {
                message: format!("waiting for job `{}` failed", job.name()),
                ..Complaint::default()
            }),
        }
    }

    fn progress(&self, name: &str) -> String {
        let Some(status) = self.jobs.statuses().into_iter().find(|status| status.job == name)
        else {
            return name.to_owned();
        };
        let sum = |kind, count: fn(&riverrun_jobmanager::OperatorStatus) -> u64| {
            let operators = status.operators.iter().filter(|operator| operator.kind == kind);
            HumanCount(operators.map(count).sum())
        };
        format!(
            "job `{name}`: {} rows read, {} written, {} checkpoints",
            sum(OperatorKind::Source, |operator| operator.records_out),
            sum(OperatorKind::Sink, |operator| operator.records_in),
            status.completed_checkpoints
        )
    }
}

impl Backend for Embedded {
    fn execute(&mut self, statement: &str) -> Result<Reply, Complaint> {
        let Some(parsed) = self.session.statements(statement)?.into_iter().next() else {
            return Ok(Reply::Done(String::new()));
        };
        Ok(match self.session.execute(&parsed)? {
            Outcome::Done(tag) => Reply::Done(tag),
            Outcome::Rows { schema, batches } => {
                Reply::Rows(Box::new(Fixed::of(&schema, &batches)))
            }
            Outcome::Query(query)
                if query.is_bounded() && (query.retracts() || !query.order().is_empty()) =>
            {
                let (schema, control) = (query.schema().clone(), query.control());
                let net = self.interrupts.during(move || control.cancel(), || query.net())?;
                Reply::Rows(Box::new(Fixed::of(&schema, &[net])))
            }
            Outcome::Query(query) => Reply::Rows(Box::new(Stream::new(query))),
            Outcome::Job { job, waits: true } => Reply::Done(self.wait(&job)?),
            Outcome::Job { job, waits: false } => {
                let name = job.name();
                self.started.push(job);
                Reply::Done(format!("job `{name}` is running"))
            }
        })
    }

    fn finish(&mut self, waits: bool) -> Result<Vec<String>, Complaint> {
        let started = std::mem::take(&mut self.started);
        let mut reports = Vec::new();
        for job in &started {
            if waits {
                reports.push(self.wait(job)?);
                continue;
            }
            job.stop_with_checkpoint();
            reports.push(format!(
                "{}; `riverrun server` goes on with it",
                job.wait().map_err(Complaint::from)?
            ));
        }
        // How each has ended is noted before the store is closed.
        self.jobs.stop_all();
        let closed = self.jobs.cluster().store().close();
        closed.map_err(|error| Complaint { message: error.to_string(), ..Complaint::default() })?;
        Ok(reports)
    }

    fn names(&mut self) -> Names {
        let mut names = Names::default();
        for (table, _) in self.session.entries() {
            let columns = self.session.columns(&table).unwrap_or_default();
            names.add(columns.into_iter().map(|column| column.name));
            names.add([table]);
        }
        let functions = self.session.engine().functions().names();
        names.add(functions.into_iter().map(str::to_owned));
        names
    }

    fn interrupts(&self) -> Interrupts {
        self.interrupts.clone()
    }
}

/// The rows of a query as they come. Dropped, it stops the query.
struct Stream {
    query: QueryStream,
    headings: Vec<Heading>,
}

impl Stream {
    fn new(query: QueryStream) -> Self {
        Self { headings: headings(query.schema()), query }
    }
}

impl RowSource for Stream {
    fn headings(&self) -> &[Heading] {
        &self.headings
    }

    fn is_changelog(&self) -> bool {
        self.query.retracts()
    }

    fn is_bounded(&self) -> bool {
        self.query.is_bounded()
    }

    fn next_rows(&mut self) -> Result<Option<Rows>, Complaint> {
        let changes = self.query.next_changes()?;
        Ok(changes.map(|changes| rows(&changes.rows, |row| changes.weight(row))))
    }

    fn is_live(&self) -> bool {
        !self.query.is_bounded()
    }

    fn stop(&self) -> Box<dyn Fn() + Send + Sync> {
        let control = self.query.control();
        Box::new(move || control.cancel())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.query.control().cancel();
    }
}
