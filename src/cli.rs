//! The `riverrun` command line: one file a command.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage. Results go to standard output, everything else to standard error.

mod bench;
mod consume;
mod data_dir;
mod demo;
mod generate;
mod ingest;
mod job;
mod log;
mod output;
mod produce;
mod server;
mod sql;
mod topic;

use std::io::IsTerminal;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use riverrun_jobmanager::JobReport;

use crate::StopSignal;

/// A stream processing engine with a durable log built in.
///
/// Start with `riverrun demo`: an access log flows into a topic, through a job, into counts per IP.
#[derive(Parser)]
#[command(name = "riverrun", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The main job on a bundled access log, start to finish
    Demo(demo::Demo),
    /// SQL over streams: a prompt, or statements of a script
    Sql(sql::Sql),
    /// Store, jobs and network in one process, until it is told to stop
    Server(server::Server),
    /// Make, list, describe, change and delete topics
    #[command(subcommand)]
    Topic(topic::Topic),
    /// Write lines from standard input to a topic
    Produce(produce::Produce),
    /// Read a topic: to what is there now, or on and on with --follow
    Consume(consume::Consume),
    /// Bring log files into a topic, exactly once
    #[command(subcommand)]
    Ingest(ingest::Ingest),
    /// Make up data: access logs and Nexmark events, to files, to standard output, to topics or as a line service
    #[command(subcommand)]
    Generate(generate::Generate),
    /// Measure known workloads, and check their results
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Look at jobs and draw their graphs
    #[command(subcommand)]
    Job(job::JobCommand),
    /// Check, dump and repair the log's files
    #[command(subcommand)]
    Log(log::LogCommand),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    init_tracing();
    let done = match cli.command {
        Command::Demo(command) => command.run(),
        Command::Sql(command) => command.run(),
        Command::Server(command) => command.run(),
        Command::Topic(command) => command.run(),
        Command::Produce(command) => command.run(),
        Command::Consume(command) => command.run(),
        Command::Ingest(command) => command.run(),
        Command::Generate(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Job(command) => command.run(),
        Command::Log(command) => command.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Logs go to standard error; `RUST_LOG` says how much.
pub(crate) fn init_tracing() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // Fails only if a subscriber is set already, which then stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}

/// Prints an error and its causes on standard error.
pub(crate) fn print_error(error: &anyhow::Error) {
    if let Some(shown) = error.downcast_ref::<crate::prompt::Shown>() {
        eprintln!("{shown}");
        return;
    }
    eprint!("error: {error}");
    let mut last = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Many errors repeat their cause in their own text.
        if !last.contains(&cause) {
            eprint!(": {cause}");
        }
        last = cause;
    }
    eprintln!();
}

/// One line on standard error about how a job went.
pub(crate) fn print_report(report: &JobReport) {
    eprintln!("{report}");
}

/// Raises `stop` at the first SIGINT or SIGTERM; the second one ends the process at once.
pub(crate) fn stop_on_signals(stop: &StopSignal) -> anyhow::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])
        .context("cannot listen for signals")?;
    let stop = stop.clone();
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            for signal in signals.forever() {
                if stop.is_raised() {
                    std::process::exit(128 + signal);
                }
                eprintln!("stopping; once more to stop at once");
                stop.raise();
            }
        })
        .context("cannot start a thread for signals")?;
    Ok(())
}
