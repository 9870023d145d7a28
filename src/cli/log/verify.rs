//! `riverrun log verify`.

use anyhow::bail;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use riverrun_log_store::Environment;
use riverrun_log_store::verify::{Finding, Verification, verify};
use serde_json::{Value, json};

use super::{count, select, warn_if_in_use};
use crate::cli::data_dir::DataDir;
use crate::cli::output::{OutputFormat, print_json};

/// From so many bytes on it may take seconds: then there is a bar.
const BAR_FROM_BYTES: u64 = 512 << 20;

/// Options of `log verify`.
#[derive(clap::Args)]
pub(in crate::cli) struct Verify {
    /// Only this topic, or this partition: TOPIC or TOPIC-PARTITION
    #[arg(value_name = "TOPIC")]
    target: Option<String>,
    /// Only the partition with this number
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    #[command(flatten)]
    data_dir: DataDir,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: OutputFormat,
}

impl Verify {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let selection = select(&self.data_dir, self.target.as_deref(), self.partition)?;
        warn_if_in_use(self.data_dir.path());
        let mut bar: Option<ProgressBar> = None;
        let verification =
            verify(&Environment::real(), self.data_dir.path(), &selection, &mut |at| {
                if at.total_bytes >= BAR_FROM_BYTES {
                    bar.get_or_insert_with(|| new_bar(at.total_bytes)).set_position(at.bytes);
                }
            })?;
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
        self.print(&verification)?;
        let damages = verification.damages().count() as u64;
        if damages > 0 {
            bail!(
                "{} found in {}; `riverrun log repair` says what can be done",
                count(damages, "damage", "damages"),
                self.data_dir.path().display()
            );
        }
        Ok(())
    }

    fn print(&self, found: &Verification) -> anyhow::Result<()> {
        match self.output {
            OutputFormat::Json => {
                for finding in &found.findings {
                    print_json(&to_json("finding", finding))?;
                }
                print_json(&json!({
                    "type": "summary", "partitions": found.partitions, "segments": found.segments,
                    "batches": found.batches, "records": found.records, "bytes": found.bytes,
                    "damages": found.damages().count(), "findings": found.findings.len(),
                }))
            }
            OutputFormat::Table => {
                for finding in &found.findings {
                    let mark = if finding.damage { "DAMAGED" } else { "note   " };
                    println!("{mark} {finding}");
                }
                println!(
                    "checked {}, {}, {} with {}, {}: {}",
                    count(found.partitions, "partition", "partitions"),
                    count(found.segments, "segment", "segments"),
                    count(found.batches, "batch", "batches"),
                    count(found.records, "record", "records"),
                    HumanBytes(found.bytes),
                    match found.damages().count() as u64 {
                        0 => "all as it was written".to_owned(),
                        damages => count(damages, "damage", "damages"),
                    }
                );
                Ok(())
            }
        }
    }
}

/// A finding with stable field names.
pub(super) fn to_json(kind: &str, finding: &Finding) -> Value {
    json!({
        "type": kind,
        "topic": finding.topic,
        "partition": finding.partition,
        "file": finding.file,
        "position": finding.position,
        "offset": finding.offset,
        "kind": finding.kind.name(),
        "damage": finding.damage,
        "lost_from": (!finding.lost.is_empty()).then_some(finding.lost.start),
        "lost_to": (!finding.lost.is_empty()).then_some(finding.lost.end - 1),
        "what": finding.what,
        "remedy": finding.remedy,
    })
}

fn new_bar(bytes: u64) -> ProgressBar {
    let template = "{elapsed_precise} [{bar:30}] {bytes}/{total_bytes} ({bytes_per_sec})";
    let bar = ProgressBar::new(bytes);
    // The template is a constant; a wrong one falls back to the plain bar.
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
