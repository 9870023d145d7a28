//! `riverrun bench nexmark`: events into a topic, each query over them, and whether its result is right.

mod output;
mod queries;
mod run;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, bail};
use comfy_table::Table;
use indicatif::{HumanBytes, HumanCount};
use serde_json::json;

use self::queries::{QUERIES, Query};
use self::run::{Measured, Workplace};
use crate::cli::generate::nexmark::{
    COMBINED, Events, make_topics, write_events, write_side_input,
};
use crate::cli::output::{OutputFormat, new_table, print_json, print_table};
use crate::expected::Expected;

/// Options of `bench nexmark`.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct Nexmark {
    #[command(flatten)]
    events: Events,
    /// Queries to run, e.g. q0,q5 [default: all, q0 to q23]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    queries: Vec<Query>,
    /// Subtasks per operator
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=128))]
    parallelism: u32,
    /// Partitions of the topic with the events [default: as many as subtasks]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    partitions: Option<u32>,
    /// Time between checkpoints
    #[arg(long, default_value = "1s", value_name = "DURATION", value_parser = crate::parse_duration)]
    checkpoint_interval: Duration,
    /// Compare results with those in this folder; tests/compat/nexmark_reference.py makes them
    #[arg(long, value_name = "DIR", conflicts_with = "blackhole")]
    reference: Option<PathBuf>,
    /// Write results nowhere, to measure the queries alone; query 10, which is about files, writes them still
    #[arg(long)]
    blackhole: bool,
    /// Read the events that `riverrun generate nexmark --out DIR --parts N` wrote, instead of making them [default: a topic of new ones]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["crash", "partitions", "seed", "rate", "start", "out_of_order", "count"])]
    files: Option<PathBuf>,
    /// Kill each query in the middle, and let it go on from its last checkpoint; times are not shown then, as only a part of the events is left
    #[arg(long)]
    crash: bool,
    /// Subtasks per operator after the crash [default: one more than before]
    #[arg(long, requires = "crash", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=128))]
    resume_parallelism: Option<u32>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: OutputFormat,
    /// Folder for the store; it must not hold one yet [default: a new one among the temporary files, which is removed]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Run one query in a store of its own, and be killed in the middle of it
    #[arg(long, hide = true)]
    until_killed: bool,
}

impl Nexmark {
    pub(in crate::cli) fn run(self) -> anyhow::Result<()> {
        if self.until_killed {
            return self.run_until_killed();
        }
        let (folder, passing) = match &self.data_dir {
            Some(folder) => (folder.clone(), false),
            None => {
                let name = format!("riverrun-nexmark-{}", std::process::id());
                (std::env::temp_dir().join(name), true)
            }
        };
        anyhow::ensure!(
            !folder.join("topics").exists(),
            "there is a store in {} already; the benchmark wants a folder of its own (--data-dir)",
            folder.display()
        );
        let done = self.run_in(&folder);
        if passing {
            // What is left there is what made the run fail, or nothing.
            let _ = std::fs::remove_dir_all(&folder);
        }
        done
    }

    fn run_in(&self, folder: &Path) -> anyhow::Result<()> {
        let events = match &self.files {
            Some(files) => count_lines(&files.join(COMBINED))?,
            None => self.events.count,
        };
        let shared = if self.crash { None } else { Some(self.filled(folder)?) };
        let mut table =
            new_table(&["query", "rows", "events/s", "wall s", "CPU s", "state", "result"]);
        let (mut wrong, mut failed) = (0, 0);
        for query in self.queries() {
            let expected = self.expected(query);
            let measured = expected.and_then(|expected| match &shared {
                Some(workplace) => workplace.measure(query, expected.as_ref()),
                None => self.crashed(query, &folder.join(query.name), expected.as_ref()),
            });
            match &measured {
                Ok(Measured { compared: Some(Err(_)), .. }) => wrong += 1,
                Ok(_) => {}
                Err(_) => failed += 1,
            }
            self.show(query, events, measured.as_ref(), &mut table)?;
        }
        print_table(self.output, &table)?;
        match (wrong, failed) {
            (0, 0) => Ok(()),
            (wrong, failed) => bail!("{wrong} result(s) wrong, {failed} query(s) could not be run"),
        }
    }

    fn queries(&self) -> Vec<Query> {
        if self.queries.is_empty() { QUERIES.to_vec() } else { self.queries.clone() }
    }

    fn expected(&self, query: Query) -> anyhow::Result<Option<Expected>> {
        self.reference.as_deref().map(|folder| Expected::read(folder, query.name)).transpose()
    }

    fn partitions(&self) -> u32 {
        self.partitions.unwrap_or(self.parallelism)
    }

    fn open(&self, folder: &Path, parallelism: u32) -> anyhow::Result<Workplace> {
        Workplace::open(folder, parallelism, self.checkpoint_interval, self.blackhole)
    }

    /// A store with all events.
    fn filled(&self, folder: &Path) -> anyhow::Result<Workplace> {
        let workplace = self.open(folder, self.parallelism)?;
        make_topics(workplace.store(), self.partitions(), false)?;
        if self.files.is_none() {
            let all = 0..self.events.count;
            write_events(workplace.store(), &self.events, all, self.partitions(), false)?;
        }
        write_side_input(workplace.store())?;
        workplace.define(self.files.as_deref())?;
        Ok(workplace)
    }

    /// Runs a query in a process that is killed in the middle, and then to its end at another parallelism.
    fn crashed(
        &self,
        query: Query,
        folder: &Path,
        expected: Option<&Expected>,
    ) -> anyhow::Result<Measured> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = Command::new(program);
        command.args(["bench", "nexmark", "--until-killed", "--queries", query.name]);
        command.arg("--data-dir").arg(folder);
        for (option, value) in [
            ("--events", self.events.count.to_string()),
            ("--seed", self.events.seed.to_string()),
            ("--rate", self.events.rate.to_string()),
            ("--start", self.events.start.to_rfc3339()),
            ("--out-of-order", self.events.out_of_order.to_string()),
            ("--parallelism", self.parallelism.to_string()),
            ("--partitions", self.partitions().to_string()),
            ("--checkpoint-interval", format!("{}ms", self.checkpoint_interval.as_millis())),
        ] {
            command.args([option, &value]);
        }
        let ended = command.output().context("cannot start another process of this program")?;
        if let Some(code) = ended.status.code() {
            let told = String::from_utf8_lossy(&ended.stderr);
            let reason = told.lines().rev().find_map(|line| line.strip_prefix("error: "));
            bail!("{}", reason.map_or_else(|| format!("exit code {code}: {told}"), str::to_owned));
        }
        let parallelism = self.resume_parallelism.unwrap_or(self.parallelism + 1);
        self.open(folder, parallelism)?.go_on(query, expected)
    }

    fn run_until_killed(&self) -> anyhow::Result<()> {
        let (Some(folder), [query]) = (&self.data_dir, self.queries.as_slice()) else {
            bail!("one query and a --data-dir are needed");
        };
        let workplace = self.open(folder, self.parallelism)?;
        make_topics(workplace.store(), self.partitions(), false)?;
        write_side_input(workplace.store())?;
        workplace.define(None)?;
        workplace.run_into_the_middle(*query, |from, to| {
            let at = |fraction: f64| (self.events.count as f64 * fraction) as u64;
            let part = at(from)..at(to);
            write_events(workplace.store(), &self.events, part, self.partitions(), false)
        })?;
        // As if the machine had killed it: nothing is flushed, closed or told.
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)?;
        Ok(())
    }

    fn show(
        &self,
        query: Query,
        events: u64,
        measured: Result<&Measured, &anyhow::Error>,
        table: &mut Table,
    ) -> anyhow::Result<()> {
        let verdict = match measured {
            Ok(Measured { compared: None, .. }) => "not compared".to_owned(),
            Ok(Measured { compared: Some(Ok(())), .. }) => "right".to_owned(),
            Ok(Measured { compared: Some(Err(difference)), .. }) => format!("WRONG: {difference}"),
            Err(error) => format!("cannot be run: {error:#}"),
        };
        let rate = |run: &Measured| events as f64 / run.wall.as_secs_f64();
        // After a crash only the rest of the events is processed, so times say nothing about the whole.
        let timed = !self.crash;
        if self.output == OutputFormat::Json {
            let run = measured.ok();
            let times = run.filter(|_| timed);
            return print_json(&json!({
                "query": query.name,
                "parallelism": self.parallelism,
                "events": events,
                "rows": run.map(|run| run.rows),
                "events_per_second": times.map(|run| rate(run).round()),
                "wall_seconds": times.map(|run| run.wall.as_secs_f64()),
                "cpu_seconds": times.map(|run| run.cpu.as_secs_f64()),
                "state_bytes": run.map(|run| run.state_bytes),
                "result": verdict,
            }));
        }
        let time = |shown: &dyn Fn() -> String| if timed { shown() } else { "-".to_owned() };
        let mut cells = vec![query.name.to_owned()];
        match measured {
            Ok(run) => cells.extend([
                HumanCount(run.rows.unsigned_abs()).to_string(),
                time(&|| HumanCount(rate(run) as u64).to_string()),
                time(&|| format!("{:.2}", run.wall.as_secs_f64())),
                time(&|| format!("{:.2}", run.cpu.as_secs_f64())),
                HumanBytes(run.state_bytes).to_string(),
            ]),
            Err(_) => cells.extend(["-"; 5].map(str::to_owned)),
        }
        cells.push(verdict);
        table.add_row(cells);
        Ok(())
    }
}

/// How many lines the files in a folder have.
fn count_lines(folder: &Path) -> anyhow::Result<u64> {
    let context =
        || format!("cannot read {}: `riverrun generate nexmark --out` makes it", folder.display());
    let mut lines = 0;
    for entry in std::fs::read_dir(folder).with_context(context)? {
        let mut file = std::fs::File::open(entry.with_context(context)?.path())?;
        let mut part = vec![0; 1 << 18];
        loop {
            let read = file.read(&mut part).with_context(context)?;
            if read == 0 {
                break;
            }
            lines += memchr::memchr_iter(b'\n', &part[..read]).count() as u64;
        }
    }
    anyhow::ensure!(lines > 0, "there are no events in {}", folder.display());
    Ok(lines)
}
