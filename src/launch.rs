//! From a program's arguments to a running job, or to its graph.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::Environment;
use crate::embedded::EmbeddedCluster;

/// Set to make a program print its job graph as JSON instead of running: how `riverrun job graph` asks.
pub const GRAPH_VARIABLE: &str = "RIVERRUN_JOB_GRAPH";

/// Options that every job program takes.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Job options")]
pub struct JobOptions {
    /// Folder of the embedded store; made if it is not there
    #[arg(long, env = "RIVERRUN_DATA_DIR", default_value = "./riverrun-data", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Subtasks per operator
    #[arg(long, env = "RIVERRUN_PARALLELISM", default_value_t = 1, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=128))]
    pub parallelism: u32,
    /// Time between checkpoints, e.g. 50ms, 1s
    #[arg(long, default_value = "1s", value_name = "DURATION", value_parser = parse_duration)]
    pub checkpoint_interval: Duration,
    /// Name that the job's checkpoints are kept under [default: the program's name]
    #[arg(long, value_name = "NAME")]
    pub job_name: Option<String>,
}

/// Reads a duration such as `500ms`, `5s`, `1m`, `2h` or `1d`.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(riverrun::parse_duration("50ms"), Ok(Duration::from_millis(50)));
/// assert_eq!(riverrun::parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
/// assert!(riverrun::parse_duration("5").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let hint = || format!("`{text}` is not a duration; write e.g. 50ms, 5s, 1m or 2h");
    let split = text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(hint)?;
    let number: f64 = text[..split].trim().parse().map_err(|_| hint())?;
    let seconds = match &text[split..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(hint()),
    };
    Duration::try_from_secs_f64(number * seconds)
        .ok()
        .filter(|duration| *duration >= Duration::from_millis(1))
        .ok_or_else(|| format!("`{text}` is not a duration of at least 1ms"))
}

/// Says that a task or a job is to come to a clean end. All clones are the same signal.
#[derive(Clone, Default)]
pub struct StopSignal(Arc<Stop>);

#[derive(Default)]
struct Stop {
    raised: AtomicBool,
    waiting: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
}

impl StopSignal {
    /// Raises it. Raising it again does nothing.
    pub fn raise(&self) {
        self.0.raised.store(true, Ordering::SeqCst);
        let waiting = std::mem::take(&mut *self.waiting());
        for action in waiting {
            action();
        }
    }

    /// True once it was raised.
    pub fn is_raised(&self) -> bool {
        self.0.raised.load(Ordering::SeqCst)
    }

    /// The flag itself, for loops that take one.
    pub fn flag(&self) -> &AtomicBool {
        &self.0.raised
    }

    /// Has `action` done when the signal is raised; at once if it is raised already.
    pub fn on_raise(&self, action: impl FnOnce() + Send + 'static) {
        let mut waiting = self.waiting();
        if self.is_raised() {
            drop(waiting);
            action();
        } else {
            waiting.push(Box::new(action));
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn FnOnce() + Send>>> {
        self.0.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[derive(Parser)]
struct Program<A: clap::Args> {
    #[command(flatten)]
    job: JobOptions,
    // Last, so that the help begins with what the program says of itself.
    #[command(flatten)]
    own: A,
}

/// Runs a job program: what [`main!`](crate::main) calls.
///
/// Exit codes: 0 done (also when interrupted and stopped cleanly), 1 failed, 2 wrong usage.
pub fn launch<A: clap::Args>(job: impl FnOnce(&Environment, A) -> anyhow::Result<()>) -> ExitCode {
    let program = Program::<A>::parse();
    crate::cli::init_tracing();
    match run(program, job) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            crate::cli::print_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run<A: clap::Args>(
    program: Program<A>,
    job: impl FnOnce(&Environment, A) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let name = std::env::args_os()
        .next()
        .and_then(|path| PathBuf::from(path).file_stem().map(|s| s.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "job".to_owned());
    let env = Environment::new(&name.replace('_', "-"), program.job);
    job(&env, program.own)?;
    if std::env::var_os(GRAPH_VARIABLE).is_some() {
        println!("{}", serde_json::to_string(&env.graph()?)?);
        return Ok(());
    }
    // A graph that cannot run is told before anything is opened or ingested.
    env.graph()?;
    let cluster = EmbeddedCluster::open(&env.options().data_dir).with_context(|| {
        format!("cannot open the store in {}", env.options().data_dir.display())
    })?;
    let stop = StopSignal::default();
    crate::cli::stop_on_signals(&stop)?;
    let report = cluster.run(&env, &stop)?;
    // Flushed and told so, the log need not be checked when it is opened next.
    cluster.store().close()?;
    if let Some(report) = report {
        crate::cli::print_report(&report);
    }
    Ok(())
}
