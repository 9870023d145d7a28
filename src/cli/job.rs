//! `riverrun job`: jobs and their graphs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, anyhow, bail, ensure};
use comfy_table::Table;
use riverrun_dataflow::JobGraph;
use serde::Deserialize;
use serde_json::json;

use super::data_dir::DataDir;
use super::output::{OutputFormat, new_table, print_json, print_table};
use crate::drawing::{GraphFormat, draw};
use crate::embedded::{
    CheckpointDetails, EmbeddedCluster, JobDetails, JobSummary, Jobs, OperatorDetails,
};
use crate::launch::GRAPH_VARIABLE;
use crate::server::{HttpClient, path_segment};

/// What can be asked about jobs.
#[derive(clap::Subcommand)]
pub(super) enum JobCommand {
    /// List the jobs of a server, or those that ran on a data dir
    List {
        #[command(flatten)]
        place: JobPlace,
        /// How to print
        #[arg(long, value_enum, default_value_t)]
        output: OutputFormat,
    },
    /// Draw the job graph of a program, or of a job by its name
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
    /// End a job for good: it is not started again
    Cancel {
        /// Name of the job
        #[arg(value_name = "JOB")]
        job: String,
        #[command(flatten)]
        place: JobPlace,
    },
}

/// Where jobs are asked about.
#[derive(clap::Args)]
pub(super) struct JobPlace {
    /// HTTP address of a running server, which is asked instead of the data dir
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    #[command(flatten)]
    data_dir: DataDir,
}

/// A program with its arguments, or the name of a job.
#[derive(clap::Args)]
pub(super) struct Which {
    /// A job program (a path), or the name of a job
    #[arg(value_name = "BINARY|JOB")]
    job: String,
    /// Arguments for the program
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<String>,
    #[command(flatten)]
    place: JobPlace,
}

impl JobCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::List { place, output } => list(&place.summaries()?, output),
            Self::Graph { what, format } => {
                print!("{}", draw(&what.graph()?, format));
                Ok(())
            }
            Self::Describe { what, output } => describe(&what.details()?, output),
            Self::Cancel { job, place } => {
                place.cancel(&job)?;
                eprintln!("cancelled job `{job}`");
                Ok(())
            }
        }
    }
}

/// What a server answers when it is asked for its jobs.
#[derive(Deserialize)]
struct JobList {
    jobs: Vec<JobSummary>,
}

impl JobPlace {
    fn server(&self) -> Option<HttpClient> {
        self.server.as_deref().map(HttpClient::new)
    }

    /// The jobs on the data dir, which nobody runs now.
    fn stored(&self) -> anyhow::Result<std::sync::Arc<Jobs>> {
        self.data_dir.check_exists()?;
        let cluster = EmbeddedCluster::open(self.data_dir.path()).context(
            "cannot look into the data dir (if it is `riverrun server` that has it open, ask that: --server 127.0.0.1:8081)",
        )?;
        Ok(Jobs::new(std::sync::Arc::new(cluster)))
    }

    fn summaries(&self) -> anyhow::Result<Vec<JobSummary>> {
        match self.server() {
            Some(server) => Ok(server.get::<JobList>("/jobs")?.jobs),
            None => self.stored()?.summaries(),
        }
    }

    fn details(&self, job: &str) -> anyhow::Result<JobDetails> {
        if let Some(server) = self.server() {
            return server.get(&format!("/jobs/{}", path_segment(job)));
        }
        ensure!(
            self.data_dir.path().join("topics").is_dir(),
            "`{job}` is neither a program nor, as there is no store in {}, a job that ran there",
            self.data_dir.path().display()
        );
        let jobs = self.stored()?;
        match jobs.details(job)? {
            Some(details) => Ok(details),
            None => bail!(
                "`{job}` is neither a program nor a job that ran on {}; those are: {}",
                self.data_dir.path().display(),
                some_or(names(&jobs.summaries()?), "none")
            ),
        }
    }

    fn cancel(&self, job: &str) -> anyhow::Result<()> {
        match self.server() {
            Some(server) => server.post(&format!("/jobs/{}/cancel", path_segment(job))),
            None => self.stored()?.cancel(job, false),
        }
    }
}

fn names(jobs: &[JobSummary]) -> String {
    jobs.iter().map(|job| job.job.as_str()).collect::<Vec<_>>().join(", ")
}

impl Which {
    fn details(&self) -> anyhow::Result<JobDetails> {
        if !Path::new(&self.job).is_file() {
            return self.place.details(&self.job);
        }
        let graph = ask_program(Path::new(&self.job), &self.args)?;
        if self.place.server.is_some() || self.place.data_dir.path().join("topics").is_dir() {
            // The program may have run there under the name that it gives its job.
            if let Ok(details) = self.place.details(&graph.name) {
                return Ok(JobDetails { graph: Some(graph), ..details });
            }
        }
        let summary = JobSummary {
            job: graph.name.clone(),
            state: "CREATED".to_owned(),
            runs: 0,
            checkpoint: None,
            finished: false,
            restarts: 0,
            started: None,
            statement: None,
            failure: None,
        };
        Ok(JobDetails { summary, graph: Some(graph), checkpoint: None, operators: Vec::new() })
    }

    fn graph(&self) -> anyhow::Result<JobGraph> {
        if Path::new(&self.job).is_file() {
            return ask_program(Path::new(&self.job), &self.args);
        }
        let details = self.place.details(&self.job)?;
        details
            .graph
            .ok_or_else(|| anyhow!("job `{}` was never started: it has no graph", self.job))
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

fn list(jobs: &[JobSummary], output: OutputFormat) -> anyhow::Result<()> {
    let mut table = new_table(&["job", "state", "runs", "checkpoint", "restarts", "failure"]);
    for job in jobs {
        if output == OutputFormat::Json {
            print_json(&serde_json::to_value(job)?)?;
            continue;
        }
        let dash = || "-".to_owned();
        table.add_row([
            job.job.clone(),
            job.state.clone(),
            job.runs.to_string(),
            job.checkpoint.map_or_else(dash, |checkpoint| checkpoint.to_string()),
            job.restarts.to_string(),
            job.failure.clone().unwrap_or_else(dash),
        ]);
    }
    print_table(output, &table)
}

fn describe(job: &JobDetails, output: OutputFormat) -> anyhow::Result<()> {
    if output == OutputFormat::Json {
        let mut fields = serde_json::to_value(&job.summary)?;
        fields["graph"] = json!(job.graph);
        fields["checkpoint"] = json!(job.checkpoint);
        fields["operators"] = json!(job.operators);
        return print_json(&fields);
    }
    println!("job {}: {}", job.summary.job, job.summary.state);
    if let Some(statement) = &job.summary.statement {
        println!("{statement}");
    }
    if let Some(failure) = &job.summary.failure {
        println!("failure: {failure}");
    }
    let mut table = new_table(&["vertex", "operator", "kind", "parallelism", "id"]);
    for (number, vertex) in (1..).zip(job.graph.iter().flat_map(|graph| &graph.vertices)) {
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
    if !job.operators.is_empty() {
        print_counters(&job.operators);
    }
    match &job.checkpoint {
        None => println!("no checkpoint"),
        Some(checkpoint) => print_checkpoint(checkpoint),
    }
    Ok(())
}

fn print_counters(operators: &[OperatorDetails]) {
    let mut table: Table =
        new_table(&["id", "rows in", "rows out", "late", "rejected", "watermark"]);
    for operator in operators {
        let watermark = match operator.watermark {
            None => "-".to_owned(),
            Some(i64::MAX) => "end of input".to_owned(),
            Some(watermark) => super::output::rfc3339(watermark),
        };
        table.add_row([
            operator.id.clone(),
            operator.records_in.to_string(),
            operator.records_out.to_string(),
            operator.late_records.to_string(),
            operator.rejected_records.to_string(),
            watermark,
        ]);
    }
    println!("{}", table.trim_fmt());
}

fn print_checkpoint(checkpoint: &CheckpointDetails) {
    println!(
        "checkpoint {} of run {}{}, {} bytes of state",
        checkpoint.checkpoint,
        checkpoint.generation,
        if checkpoint.finished { ", finished" } else { "" },
        checkpoint.state_bytes
    );
    let mut table: Table = new_table(&["split", "position"]);
    for (split, position) in &checkpoint.positions {
        table.add_row([split, position]);
    }
    println!("{table}");
}
