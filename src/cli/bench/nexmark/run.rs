//! A query run: its tables made, its job started, its time taken, its result read.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use riverrun_dataflow::JobStore;
use riverrun_sql::parser::{CreateTable, Parsed, Statement, parse_script};
use riverrun_sql::session::{Engine, Outcome, RunningJob, Session};
use rustix::time::{ClockId, clock_gettime};

use super::output::Output;
use super::queries::{DDL, Query};
use crate::embedded::{CheckpointDetails, EmbeddedCluster, Jobs};
use crate::expected::Expected;
use crate::sql::EmbeddedHost;

/// Where query 10 writes to, as its script has it.
const FILES: &str = "/tmp/riverrun-nexmark/q10";
/// How often a running job is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A store with events, and SQL on it.
pub(super) struct Workplace {
    cluster: Arc<EmbeddedCluster>,
    engine: Arc<Engine>,
    parallelism: u32,
    checkpoint_interval: Duration,
    blackhole: bool,
}

/// How a query went.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// Rows that are there in the end.
    pub(super) rows: i64,
    /// From the start of the job to its end.
    pub(super) wall: Duration,
    /// CPU time of this process meanwhile.
    pub(super) cpu: Duration,
    /// The most that a checkpoint held.
    pub(super) state_bytes: u64,
    /// How the result differs from what is expected; `None` if nothing is.
    pub(super) compared: Option<Result<(), String>>,
}

/// How a job is settled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With the input that there is.
    CaughtUp,
    /// Not at all.
    Never,
}

impl Workplace {
    /// Opens the store in a folder, or makes it.
    pub(super) fn open(
        folder: &Path,
        parallelism: u32,
        checkpoint_interval: Duration,
        blackhole: bool,
    ) -> anyhow::Result<Workplace> {
        let cluster = Arc::new(EmbeddedCluster::open(folder)?);
        let host = Arc::new(EmbeddedHost::new(Jobs::new(cluster.clone())));
        let engine = Engine::open(host)?;
        Ok(Workplace { cluster, engine, parallelism, checkpoint_interval, blackhole })
    }

    pub(super) fn store(&self) -> &riverrun_log_store::Store {
        self.cluster.store()
    }

    /// Makes the tables and views that queries read. With `files` the events are in files of this folder instead of a topic.
    pub(super) fn define(&self, files: Option<&Path>) -> anyhow::Result<()> {
        let mut session = Session::new(self.engine.clone());
        for mut parsed in parse_script(DDL)? {
            if let (Statement::CreateTable(create), Some(files)) = (&mut parsed.statement, files) {
                let path = files.join(&create.table.name).to_string_lossy().into_owned();
                let options = [("connector", "filesystem"), ("path", &path), ("format", "json")];
                create.table.options =
                    options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            }
            session.execute(&parsed)?;
        }
        Ok(())
    }

    /// Runs a query over all that is there, and compares its result.
    pub(super) fn measure(
        &self,
        query: Query,
        expected: Option<&Expected>,
    ) -> anyhow::Result<Measured> {
        let script = self.script(query)?;
        for parsed in script.iter().filter(|parsed| !is_insert(parsed)) {
            self.session(query, End::CaughtUp)?.execute(parsed)?;
        }
        self.measure_insert(query, &script, expected)
    }

    /// Goes on with a query that was broken off, to the end of what is there.
    pub(super) fn go_on(
        &self,
        query: Query,
        expected: Option<&Expected>,
    ) -> anyhow::Result<Measured> {
        self.measure_insert(query, &self.script(query)?, expected)
    }

    #[expect(clippy::disallowed_methods, reason = "the edge: a benchmark takes the time")]
    fn measure_insert(
        &self,
        query: Query,
        script: &[Parsed],
        expected: Option<&Expected>,
    ) -> anyhow::Result<Measured> {
        let insert = script.iter().find(|parsed| is_insert(parsed));
        let insert = insert.context("the script has no INSERT")?;
        let (begun, cpu) = (Instant::now(), cpu_time());
        let job = start(&mut self.session(query, End::CaughtUp)?, insert)?;
        let mut state_bytes = 0;
        self.watch(&job, |state| {
            state_bytes = state_bytes.max(state.map_or(0, |state| state.state_bytes));
            Ok(false)
        })?;
        let (wall, cpu) = (begun.elapsed(), cpu_time() - cpu);
        let (rows, compared) = self.output(query, script)?.compare(self.store(), expected)?;
        Ok(Measured { rows, wall, cpu, state_bytes, compared })
    }

    /// Runs a query while events come in, and leaves it running: the job has made checkpoints, and is in the middle of events
    /// that no checkpoint covers yet. `write` writes a part of all events, from one fraction to another.
    pub(super) fn run_into_the_middle(
        &self,
        query: Query,
        write: impl Fn(f64, f64) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut session = self.session(query, End::Never)?;
        let mut job = None;
        write(0.0, 0.5)?;
        for parsed in self.script(query)? {
            match session.execute(&parsed)? {
                Outcome::Job { job: started, .. } => job = Some(started),
                _ => continue,
            }
        }
        let job = job.context("the script has no INSERT")?;
        let reach = |number: u64| {
            self.watch(&job, move |state| Ok(state.is_some_and(|state| state.checkpoint >= number)))
        };
        reach(2)?;
        write(0.5, 0.75)?;
        reach(3)?;
        write(0.75, 1.0)
    }

    /// Looks at a job's newest checkpoint now and then, until `look` has seen enough or the job is over.
    fn watch(
        &self,
        job: &Arc<dyn RunningJob>,
        mut look: impl FnMut(Option<&CheckpointDetails>) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let (sender, over) = channel();
        let (waiting, name) = (job.clone(), job.name());
        std::thread::Builder::new().name("bench job".to_owned()).spawn(move || {
            // Nobody listens any more if enough was seen.
            let _ = sender.send(waiting.wait().map(|_| ()));
        })?;
        loop {
            let end = over.recv_timeout(LOOK);
            let latest = self.cluster.jobs().latest(&name)?;
            let enough = look(latest.as_ref().map(CheckpointDetails::of).as_ref())?;
            match end {
                Ok(end) => return Ok(end?),
                Err(RecvTimeoutError::Disconnected) => bail!("job `{name}` is gone"),
                Err(RecvTimeoutError::Timeout) if enough => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn session(&self, query: Query, end: End) -> anyhow::Result<Session> {
        let mut session = Session::new(self.engine.clone());
        let interval = format!("{} ms", self.checkpoint_interval.as_millis());
        for (key, value) in [
            ("parallelism.default", self.parallelism.to_string().as_str()),
            ("execution.checkpointing.interval", &interval),
            ("execution.until-caught-up", if end == End::CaughtUp { "true" } else { "false" }),
            ("pipeline.name", &format!("nexmark-{}", query.name)),
        ] {
            session.settings_mut().set(key, value)?;
        }
        Ok(session)
    }

    /// The statements of a query, with its files beside the store, or with no output at all.
    fn script(&self, query: Query) -> anyhow::Result<Vec<Parsed>> {
        let files = self.cluster.data_dir().join("nexmark-files").join(query.name);
        let text = query.script.replace(FILES, &files.to_string_lossy());
        // Writing files is what query 10 is about.
        let keeps = !self.blackhole || query.script.contains(FILES);
        let text = if keeps { text } else { without_output(&text, query)? };
        Ok(parse_script(&text)?)
    }

    fn output(&self, query: Query, script: &[Parsed]) -> anyhow::Result<Output> {
        let table = script.iter().find_map(|parsed| match &parsed.statement {
            Statement::CreateTable(CreateTable { table, .. }) if table.name == sink(query) => {
                Some(table)
            }
            _ => None,
        });
        let table = table.with_context(|| format!("no statement makes table `{}`", sink(query)))?;
        let topic = table.option("topic").unwrap_or_default().to_owned();
        Ok(match (table.option("connector"), table.option("format")) {
            (Some("blackhole"), _) => Output::Blackhole,
            (Some("filesystem"), _) => {
                Output::Files(table.option("path").unwrap_or_default().into())
            }
            (_, Some("debezium-json")) => Output::Changes(topic),
            _ if table.primary_key.is_empty() => Output::Rows(topic),
            _ => Output::Upserts(topic),
        })
    }
}

fn is_insert(parsed: &Parsed) -> bool {
    matches!(parsed.statement, Statement::Insert(_))
}

fn sink(query: Query) -> String {
    format!("nexmark_{}", query.name)
}

fn start(session: &mut Session, insert: &Parsed) -> anyhow::Result<Arc<dyn RunningJob>> {
    match session.execute(insert)? {
        Outcome::Job { job, .. } => Ok(job),
        _ => Err(anyhow!("INSERT INTO starts no job")),
    }
}

/// The script with a blackhole for its result: the options of the last table that it makes are others.
fn without_output(script: &str, query: Query) -> anyhow::Result<String> {
    let table = script.find(&format!("CREATE TABLE {}", sink(query)));
    let options = table.and_then(|table| Some(table + script[table..].find("WITH (")?));
    let end = options.and_then(|options| Some(options + script[options..].find(");")?));
    let (Some(options), Some(end)) = (options, end) else {
        bail!("the script of {} makes no table `{}`", query.name, sink(query));
    };
    Ok(format!("{}WITH ('connector' = 'blackhole'{}", &script[..options], &script[end..]))
}

/// CPU time of this process, of all its threads.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    // A process has not run for a negative time.
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
