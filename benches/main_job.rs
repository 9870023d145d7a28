//! The main job against a hand-written loop, and the log against plain file I/O: ratios from one run.
//!
//! `cargo bench -p riverrun` runs everything; `RIVERRUN_BENCH_LINES` (default ten million) and `RIVERRUN_BENCH_ROUNDS`
//! (default 3; medians are taken) make it shorter or longer. Every measurement is a process of its own, so that CPU
//! time and peak memory are its own too. BENCHMARKS.md says what came out and where the time goes.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

#[path = "main_job/hand_loop.rs"]
mod hand_loop;
#[path = "main_job/job.rs"]
mod job;
#[path = "main_job/log.rs"]
mod log;
#[path = "main_job/measure.rs"]
mod measure;
#[path = "main_job/query.rs"]
mod query;

use std::path::{Path, PathBuf};

use measure::{Measured, median};
use riverrun::operators::generate::{AccessLogGenerator, GeneratorOptions};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let Some(stage) = std::env::var_os("RIVERRUN_BENCH_STAGE") {
        return measure::child(|| run_stage(&stage.to_string_lossy(), &arguments));
    }
    let lines: u64 = number("RIVERRUN_BENCH_LINES", 10_000_000)?;
    let rounds = number("RIVERRUN_BENCH_ROUNDS", 3)? as usize;
    let folder = tempfile::Builder::new().prefix("riverrun-bench").tempdir_in(target_folder())?;
    let log = folder.path().join("access.log");
    println!("{lines} lines, {rounds} rounds, medians; folder {}", folder.path().display());
    write_log(&log, lines)?;
    println!("access log: {} MiB\n", std::fs::metadata(&log)?.len() >> 20);

    main_job(folder.path(), &log, lines, rounds)?;
    flat_memory(folder.path(), &log, lines)?;
    log::compare(folder.path(), rounds)
}

/// Every stage is `name` with its arguments, run in a child process.
fn run_stage(stage: &str, arguments: &[String]) -> anyhow::Result<u64> {
    let path = |i: usize| PathBuf::from(&arguments[i]);
    match stage {
        "loop" => hand_loop::count(&path(0)),
        "ingest" => job::ingest_file(&path(0), &path(1)),
        "job" => job::count_topic(&path(0), arguments[1].parse()?, false),
        "columns" => job::count_topic(&path(0), arguments[1].parse()?, true),
        "sql" => query::count_topic(&path(0), arguments[1].parse()?),
        other => log::run_stage(other, &path(0)),
    }
}

fn main_job(folder: &Path, log: &Path, lines: u64, rounds: usize) -> anyhow::Result<()> {
    let mut hand = Vec::new();
    let mut ingest = Vec::new();
    let configurations =
        [("job", 1u32), ("columns", 1), ("sql", 1), ("job", 2), ("columns", 2), ("sql", 2)];
    let mut jobs: Vec<Vec<Measured>> = vec![Vec::new(); configurations.len()];
    for round in 0..rounds {
        hand.push(measure::stage("loop", &[log.as_os_str()])?);
        let data_dir = folder.join(format!("data-{round}"));
        ingest.push(measure::stage("ingest", &[log.as_os_str(), data_dir.as_os_str()])?);
        for ((stage, parallelism), measured) in configurations.iter().zip(&mut jobs) {
            let parallelism = parallelism.to_string();
            let result = measure::stage(stage, &[data_dir.as_os_str(), parallelism.as_ref()])?;
            let found = match *stage {
                "sql" => query::checksum(&data_dir, &query::output_topic(&parallelism))?,
                "job" => job::checksum(&data_dir, &format!("ip-counts-rows-{parallelism}"))?,
                _ => job::checksum(&data_dir, &format!("ip-counts-columns-{parallelism}"))?,
            };
            anyhow::ensure!(
                found == hand[0].answer,
                "{stage} at parallelism {parallelism} has other results than the loop"
            );
            measured.push(result);
        }
        std::fs::remove_dir_all(&data_dir)?;
    }
    let hand = median(&hand);
    println!(
        "{:<28}{:>12}{:>12}{:>12}{:>12}{:>10}",
        "", "M lines/s", "wall ratio", "CPU ratio", "target", "peak MiB"
    );
    let row = |name: &str, measured: &Measured, target: &str| {
        println!(
            "{name:<28}{:>12.2}{:>12.2}{:>12.2}{target:>12}{:>10}",
            lines as f64 / measured.wall / 1e6,
            hand.wall / measured.wall,
            hand.cpu / measured.cpu,
            measured.peak_bytes >> 20
        );
    };
    row("hand-written loop", &hand, "");
    row("ingest, lz4, fsync", &median(&ingest), "0.3");
    let names = [
        "job, parallelism 1",
        "job --columns, 1",
        "the query in SQL, 1",
        "job, parallelism 2",
        "job --columns, 2",
        "the query in SQL, 2",
    ];
    let targets = ["0.5", "0.6", "", "0.8 wall", "", ""];
    for ((name, measured), target) in names.iter().zip(&jobs).zip(targets) {
        row(name, &median(measured), target);
    }
    for (query, job, parallelism) in [(2, 0, 1), (5, 3, 2)] {
        let [query, job] = [query, job].map(|at: usize| median(&jobs[at]));
        println!(
            "SQL against the Rust job, parallelism {parallelism}: wall {:.2}, CPU {:.2} (target: at least 0.7)",
            job.wall / query.wall,
            job.cpu / query.cpu
        );
    }
    println!();
    Ok(())
}

/// Peak memory of the job over a tenth of the lines and over all of them.
fn flat_memory(folder: &Path, log: &Path, lines: u64) -> anyhow::Result<()> {
    let part = folder.join("part.log");
    write_log(&part, lines / 10)?;
    let mut peaks = Vec::new();
    for (name, file) in [("data-part", part.as_path()), ("data-all", log)] {
        let data_dir = folder.join(name);
        measure::stage("ingest", &[file.as_os_str(), data_dir.as_os_str()])?;
        let job = measure::stage("job", &[data_dir.as_os_str(), "1".as_ref()])?;
        peaks.push(job.peak_bytes);
        std::fs::remove_dir_all(&data_dir)?;
    }
    println!(
        "peak memory of the job: {} MiB over {} lines, {} MiB over {lines}: ratio {:.2} (target: at most 1.10)\n",
        peaks[0] >> 20,
        lines / 10,
        peaks[1] >> 20,
        peaks[1] as f64 / peaks[0] as f64
    );
    Ok(())
}

fn write_log(path: &Path, lines: u64) -> anyhow::Result<()> {
    use std::io::Write;
    let mut generator = AccessLogGenerator::new(GeneratorOptions {
        seed: 1,
        lines_per_second: 10_000,
        out_of_orderness_ms: 10_000,
        ..GeneratorOptions::default()
    });
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    let mut line = Vec::new();
    for _ in 0..lines {
        line.clear();
        generator.next_line(&mut line);
        line.push(b'\n');
        out.write_all(&line)?;
    }
    out.flush()?;
    Ok(())
}

fn number(variable: &str, default: u64) -> anyhow::Result<u64> {
    std::env::var(variable).map_or(Ok(default), |text| Ok(text.parse()?))
}

/// Where this benchmark was built: on a real disk, which a temporary folder may not be.
fn target_folder() -> PathBuf {
    let exe = std::env::current_exe().unwrap_or_default();
    exe.parent().map_or_else(std::env::temp_dir, Path::to_owned)
}
