//! `riverrun ingest`: files into topics.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::ensure;
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use riverrun_log_store::Compression;

use super::data_dir::DataDir;
use crate::StopSignal;
use crate::ingest::{IngestOptions, ingest_with_progress};

/// What can be ingested.
#[derive(clap::Subcommand)]
pub(super) enum Ingest {
    /// nginx access logs, combined or common: one record a line, keyed by IP, with the line's own time
    ///
    /// Exactly once: started again, it goes on where it was. A line that does not parse goes to `T.rejected`
    /// with the reason as a header.
    Nginx(Nginx),
}

impl Ingest {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Nginx(command) => command.run(),
        }
    }
}

/// Options of `ingest nginx`.
#[derive(clap::Args)]
pub(super) struct Nginx {
    /// The log file; `.gz` is fine
    file: PathBuf,
    /// Topic to write to; made if it is not there
    #[arg(long, default_value = "nginx", value_name = "T")]
    topic: String,
    /// Partitions of the topic if it has to be made
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    partitions: u32,
    /// Go on with what is added to the file, through rotation, until interrupted
    #[arg(long)]
    follow: bool,
    /// How batches are compressed: none, gzip, snappy, lz4 or zstd
    #[arg(long, default_value = "lz4", value_name = "CODEC")]
    compression: Compression,
    #[command(flatten)]
    data_dir: DataDir,
}

impl Nginx {
    fn run(self) -> anyhow::Result<()> {
        ensure!(
            self.follow || self.file.exists(),
            "there is no file {}: check the path, or wait for it with --follow",
            self.file.display()
        );
        let store = self.data_dir.open()?;
        let stop = StopSignal::default();
        super::stop_on_signals(&stop)?;
        let bar = progress(self.follow, std::fs::metadata(&self.file).map_or(0, |m| m.len()));
        let options = IngestOptions {
            partitions: self.partitions,
            compression: self.compression,
            follow: self.follow,
            ..IngestOptions::new(self.file, &self.topic)
        };
        let report = ingest_with_progress(&store, &options, &stop, &mut |so_far| {
            bar.set_position(so_far.bytes);
            bar.set_message(format!(
                "{} lines, {} rejected",
                HumanCount(so_far.lines),
                HumanCount(so_far.rejected)
            ));
        })?;
        bar.finish_and_clear();
        store.close()?;
        eprintln!(
            "{} lines ({}) into `{}`, {} rejected{}",
            report.lines,
            HumanBytes(report.bytes),
            self.topic,
            report.rejected,
            if report.rejected > 0 {
                format!(" (see `{}.rejected`)", self.topic)
            } else {
                String::new()
            }
        );
        Ok(())
    }
}

/// A bar on a terminal once it takes longer than a moment; nothing elsewhere.
fn progress(follow: bool, bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = if follow {
        "{elapsed_precise} {msg} ({bytes_per_sec})"
    } else {
        "{elapsed_precise} [{bar:30}] {bytes}/{total_bytes} ({bytes_per_sec}) {msg}"
    };
    let bar = if follow { ProgressBar::no_length() } else { ProgressBar::new(bytes) };
    // Both templates are constants; a wrong one falls back to the plain bar.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
