//! `riverrun demo`: the main job on a bundled access log, start to finish.

mod ingested;
mod replay;
mod scoreboard;

// The job is the example's, to the letter.
#[allow(dead_code, reason = "its main is not called here")]
#[path = "../../examples/nginx_ip_counts.rs"]
mod nginx_ip_counts;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::HumanCount;
use riverrun_jobmanager::JobReport;

use self::ingested::Ingested;
use self::nginx_ip_counts::{Options, nginx_ip_counts};
use self::scoreboard::Scoreboard;
use crate::drawing::{GraphFormat, draw};
use crate::embedded::EmbeddedCluster;
use crate::{Environment, JobOptions, StopSignal};

/// Requests to a real nginx, recorded for this purpose; tools/demo-log tells how.
const BUNDLED: &[u8] = include_bytes!("../demo/access.log.gz");

/// Options of `demo`.
#[derive(clap::Args)]
pub(super) struct Demo {
    /// How long the log is replayed
    #[arg(long, default_value = "8s", value_name = "DURATION", value_parser = crate::parse_duration)]
    replay: Duration,
    /// Subtasks per operator
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=128))]
    parallelism: u32,
    /// Folder for the store; it must not hold one yet [default: a new one among the temporary files]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Demo {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let dir = self.folder()?;
        let log = dir.join("access.log");
        let stop = StopSignal::default();
        super::stop_on_signals(&stop)?;
        let live = self.environment("ip-counts", &dir);
        nginx_ip_counts(&live, options(Some(&log), true, "ip-counts"))?;
        println!(
            "An nginx access log flows into the topic `nginx`, through this job, into the topic `ip-counts`:\n"
        );
        println!("{}", draw(&live.graph()?, GraphFormat::Ascii));

        let lines = replay::lines(BUNDLED).context("the bundled log cannot be read")?;
        let cluster = EmbeddedCluster::open(&dir)?;
        println!(
            "Replaying {} requests to {} while the job counts them per IP and five seconds ...\n",
            HumanCount(lines.len() as u64),
            log.display()
        );
        let mut board = Scoreboard::new(std::io::stdout().is_terminal());
        let stopped =
            live_part(&cluster, &live, &log, lines.as_slice(), self.replay, &stop, &mut board)?;
        if !stopped {
            println!("Interrupted. What was committed until then is in {}.", dir.display());
            return Ok(());
        }

        println!(
            "\nThe log has ended. The job was stopped with a checkpoint; now it goes on from there, to the end:"
        );
        let rest = self.environment("ip-counts", &dir);
        nginx_ip_counts(&rest, options(None, false, "ip-counts"))?;
        cluster.run(&rest, &StopSignal::default())?;
        board.update(cluster.store(), "ip-counts")?;
        board.finish();

        let again = self.environment("ip-counts-again", &dir);
        nginx_ip_counts(&again, options(None, false, "ip-counts-again"))?;
        let (took, _) = timed(|| cluster.run(&again, &StopSignal::default()))?;
        let mut second = Scoreboard::new(false);
        second.update(cluster.store(), "ip-counts-again")?;
        summary(&board, &second, lines.len(), took, &dir)
    }

    fn folder(&self) -> anyhow::Result<PathBuf> {
        let dir = match &self.data_dir {
            Some(dir) => dir.clone(),
            None => std::env::temp_dir().join(format!("riverrun-demo-{}", std::process::id())),
        };
        anyhow::ensure!(
            !dir.join("topics").exists(),
            "there is a store in {} already; the demo wants a folder of its own (--data-dir)",
            dir.display()
        );
        std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
        Ok(dir)
    }

    fn environment(&self, name: &str, dir: &Path) -> Environment {
        let options = JobOptions {
            data_dir: dir.to_owned(),
            parallelism: self.parallelism,
            checkpoint_interval: Duration::from_millis(200),
            job_name: None,
        };
        Environment::new(name, options)
    }
}

fn options(input: Option<&Path>, follow: bool, output_topic: &str) -> Options {
    Options {
        input: input.map(Path::to_owned),
        topic: Some("nginx".to_owned()),
        socket: None,
        window: Duration::from_secs(5),
        out_of_orderness: Duration::from_secs(2),
        output_topic: output_topic.to_owned(),
        follow,
        columns: false,
    }
}

/// Replays the log while the job follows it. False if it was interrupted.
fn live_part(
    cluster: &EmbeddedCluster,
    env: &Environment,
    log: &Path,
    lines: &[Vec<u8>],
    replay: Duration,
    stop: &StopSignal,
    board: &mut Scoreboard,
) -> anyhow::Result<bool> {
    let job_stop = StopSignal::default();
    let forward = job_stop.clone();
    stop.on_raise(move || forward.raise());
    let (ended, job_ended) = std::sync::mpsc::channel();
    // The log is there before the job looks for it.
    std::fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    std::thread::scope(|scope| {
        let job = job_stop.clone();
        let writer = scope.spawn(move || replay::write(lines, log, replay, &job));
        // The environment is not for other threads: the job runs on this one, the scoreboard on its own.
        let job = job_stop.clone();
        let store = cluster.store().clone();
        let shown = scope.spawn(move || -> anyhow::Result<()> {
            let mut ingested = Ingested::default();
            loop {
                let over = job_ended.recv_timeout(Duration::from_millis(250)).is_ok();
                board.update(&store, "ip-counts")?;
                board.show();
                if over {
                    return Ok(());
                }
                if ingested.update(&store)? >= lines.len() as u64 {
                    job.raise();
                }
            }
        });
        let run = cluster.run(env, &job_stop);
        job_stop.raise();
        let _ = ended.send(());
        let shown = shown.join().map_err(|_| anyhow::anyhow!("the scoreboard panicked"))?;
        let written = writer.join().map_err(|_| anyhow::anyhow!("the replay panicked"))?;
        run?;
        written?;
        shown
    })?;
    Ok(!stop.is_raised())
}

#[expect(clippy::disallowed_methods, reason = "the demo tells how long the job took")]
fn timed(
    run: impl FnOnce() -> anyhow::Result<Option<JobReport>>,
) -> anyhow::Result<(Duration, Option<JobReport>)> {
    let begun = Instant::now();
    let report = run()?;
    Ok((begun.elapsed(), report))
}

fn summary(
    board: &Scoreboard,
    second: &Scoreboard,
    lines: usize,
    took: Duration,
    dir: &Path,
) -> anyhow::Result<()> {
    let seconds = took.as_secs_f64();
    println!("\nSummary");
    println!("  {:>9} lines read from the log", HumanCount(lines as u64));
    println!("  {:>9} requests counted", HumanCount(board.requests()));
    println!("  {:>9} results, one for each IP and window", HumanCount(board.results()));
    println!("  {:>9} IPs in {} windows", HumanCount(board.ips()), board.windows());
    println!(
        "  A second job then counted the topic as fast as it could: {:.2} s, {} requests a second.",
        seconds,
        HumanCount((lines as f64 / seconds) as u64)
    );
    anyhow::ensure!(
        board.same_as(second),
        "the two runs differ: please report this with the folder {}",
        dir.display()
    );
    println!("  Its results are the same, to the last one.");
    let dir = dir.display();
    println!("\nLook around:");
    println!("  riverrun topic list --data-dir {dir}");
    println!("  riverrun consume ip-counts --data-dir {dir} --max-records 10");
    println!("  riverrun job describe ip-counts --data-dir {dir}");
    Ok(())
}
