//! `riverrun job`: jobs and their graphs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow, ensure};
use comfy_table::Table;
use riverrun_dataflow::{CompletedCheckpoint, JobGraph, JobStore, StateHandle};
use serde_json::json;

use super::data_dir::DataDir;
use super::output::{OutputFormat, new_table, print_json, print_table};
use crate::drawing::{GraphFormat, draw};
use crate::embedded::MetadataJobStore;
use crate::launch::GRAPH_VARIABLE;

/// What can be asked about jobs.
#[derive(clap::Subcommand)]
pub(super) enum JobCommand {
    /// List the jobs that ran on this data dir
    List {
        #[command(flatten)]
        data_dir: DataDir,
        /// How to print
        #[arg(long, value_enum, default_value_t)]
        output: OutputFormat,
    },
    /// Draw the job graph of a program, or of a job that ran on this data dir
    Graph {
        #[command(flatten)]
        what: Which,
        /// How to draw
        #[arg(long, value_enum, default_value_t = GraphFormat::Ascii)]
        format: GraphFormat,
    },
    /// Tell a job's operators, and how far its newest checkpoint got
    Describe {
        #[command(flatten)]
        what: Which,
        /// How to print
        #[arg(long, value_enum, default_value_t)]
        output: OutputFormat,
    },
}

/// A program with its arguments, or the name of a job.
#[derive(clap::Args)]
pub(super) struct Which {
    /// A job program (a path), or the name of a job that ran on the data dir
    #[arg(value_name = "BINARY|JOB")]
    job: String,
    /// Arguments for the program
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
    #[command(flatten)]
    data_dir: DataDir,
}

impl JobCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List { data_dir, output } => list(&data_dir, output),
            Self::Graph { what, format } => {
                print!("{}", draw(&what.graph()?, format));
                Ok(())
            }
            Self::Describe { what, output } => describe(&what, output),
        }
    }
}

impl Which {
    fn is_program(&self) -> bool {
        Path::new(&self.job).is_file()
    }

    fn graph(&self) -> anyhow::Result<JobGraph> {
        if self.is_program() {
            return ask_program(Path::new(&self.job), &self.args);
        }
        ensure!(
            self.data_dir.path().join("topics").is_dir(),
            "`{}` is neither a program nor, as there is no store in {}, a job that ran there",
            self.job,
            self.data_dir.path().display()
        );
        let jobs = MetadataJobStore::new(self.data_dir.open_existing()?);
        jobs.graph(&self.job)?.ok_or_else(|| {
            anyhow!(
                "`{}` is neither a program nor a job that ran on {}; those are: {}",
                self.job,
                self.data_dir.path().display(),
                some_or(jobs.jobs().join(", "), "none")
            )
        })
    }
}

fn some_or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}

/// Starts a job program only to have it tell its graph.
fn ask_program(program: &Path, args: &[String]) -> anyhow::Result<JobGraph> {
    let program: PathBuf =
        program.canonicalize().with_context(|| format!("cannot find {}", program.display()))?;
    let answer = Command::new(&program)
        .args(args)
        .env(GRAPH_VARIABLE, "json")
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    if !answer.status.success() {
        return Err(anyhow!(
            "{} did not tell its graph ({}):\n{}",
            program.display(),
            answer.status,
            String::from_utf8_lossy(&answer.stderr).trim_end()
        ));
    }
    serde_json::from_slice(&answer.stdout).with_context(|| {
        format!(
            "{} did not print a job graph; a job program's main is made by `riverrun::main!(job)`",
            program.display()
        )
    })
}

fn list(data_dir: &DataDir, output: OutputFormat) -> anyhow::Result<()> {
    let jobs = MetadataJobStore::new(data_dir.open_existing()?);
    let mut table = new_table(&["job", "runs", "checkpoint", "finished"]);
    for job in jobs.jobs() {
        let (runs, latest) = (jobs.generation(&job)?, jobs.latest(&job)?);
        let checkpoint = latest.as_ref().map(|c| c.checkpoint);
        let finished = latest.as_ref().is_some_and(|c| c.finished);
        match output {
            OutputFormat::Json => print_json(&json!({
                "job": job, "runs": runs, "checkpoint": checkpoint, "finished": finished
            }))?,
            OutputFormat::Table => {
                let checkpoint = checkpoint.map_or("-".to_owned(), |c| c.to_string());
                table.add_row([job, runs.to_string(), checkpoint, finished.to_string()]);
            }
        }
    }
    print_table(output, &table)
}

fn describe(what: &Which, output: OutputFormat) -> anyhow::Result<()> {
    let graph = what.graph()?;
    let has_store = what.data_dir.path().join("topics").is_dir();
    let latest = if has_store {
        MetadataJobStore::new(what.data_dir.open_existing()?).latest(&graph.name)?
    } else {
        None
    };
    if output == OutputFormat::Json {
        let checkpoint = latest.as_ref().map(|c| {
            json!({
                "generation": c.generation, "checkpoint": c.checkpoint, "finished": c.finished,
                "positions": positions(c).into_iter().collect::<std::collections::BTreeMap<_, _>>(),
                "state_bytes": state_bytes(c),
            })
        });
        return print_json(&json!({ "graph": graph, "checkpoint": checkpoint }));
    }
    println!("job {}", graph.name);
    let mut table = new_table(&["vertex", "operator", "kind", "parallelism", "id"]);
    for (number, vertex) in (1..).zip(&graph.vertices) {
        for operator in &vertex.operators {
            let colon = if operator.description.is_empty() { "" } else { ": " };
            table.add_row([
                number.to_string(),
                format!("{}{colon}{}", operator.name, operator.description),
                format!("{:?}", operator.kind).to_lowercase(),
                vertex.parallelism.to_string(),
                operator.id.to_string(),
            ]);
        }
    }
    print_table(output, &table)?;
    match latest {
        None => println!("no checkpoint in {}", what.data_dir.path().display()),
        Some(checkpoint) => print_checkpoint(&checkpoint),
    }
    Ok(())
}

fn print_checkpoint(checkpoint: &CompletedCheckpoint) {
    println!(
        "checkpoint {} of run {}{}, {} bytes of state",
        checkpoint.checkpoint,
        checkpoint.generation,
        if checkpoint.finished { ", finished" } else { "" },
        state_bytes(checkpoint)
    );
    let mut table: Table = new_table(&["split", "position"]);
    for (split, position) in positions(checkpoint) {
        table.add_row([split, position]);
    }
    println!("{table}");
}

fn positions(checkpoint: &CompletedCheckpoint) -> Vec<(String, String)> {
    let of_operator = |bytes: &Vec<u8>| {
        // Sources of ours keep a number; others are shown as they are.
        riverrun_dataflow::codec::decode::<i64>(bytes)
            .map_or_else(|_| format!("{bytes:02x?}"), |number| number.to_string())
    };
    checkpoint
        .operators
        .values()
        .flat_map(|operator| &operator.positions)
        .map(|(split, bytes)| (split.clone(), of_operator(bytes)))
        .collect()
}

fn state_bytes(checkpoint: &CompletedCheckpoint) -> u64 {
    let handles =
        checkpoint.operators.values().flat_map(|operator| operator.keyed.iter().flatten());
    handles.map(|handle| StateHandle::size_bytes(&handle.state)).sum()
}
