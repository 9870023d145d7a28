//! `riverrun log repair`.

use anyhow::bail;
use riverrun_log_store::Environment;
use riverrun_log_store::verify::{self, plan, repair};
use serde_json::json;

use super::verify::to_json;
use super::{count, select, warn_if_in_use};
use crate::cli::data_dir::DataDir;
use crate::cli::output::{OutputFormat, print_json};

/// Options of `log repair`.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("which").args(["target", "all"])))]
pub(in crate::cli) struct Repair {
    /// This partition, or all of this topic: TOPIC-PARTITION or TOPIC
    #[arg(value_name = "TOPIC-PARTITION")]
    target: Option<String>,
    /// Only the partition with this number
    #[arg(long, value_name = "N", requires = "target")]
    partition: Option<u32>,
    /// All partitions of all topics
    #[arg(long)]
    all: bool,
    /// Do it, instead of saying what would be done
    #[arg(long, requires = "which")]
    yes: bool,
    #[command(flatten)]
    data_dir: DataDir,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: OutputFormat,
}

impl Repair {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let selection = select(&self.data_dir, self.target.as_deref(), self.partition)?;
        let (environment, dir) = (Environment::real(), self.data_dir.path());
        if !self.yes {
            warn_if_in_use(dir);
            let plan = plan(&environment, dir, &selection)?;
            self.print(&plan, "would")?;
            if plan.is_empty() {
                return Ok(());
            }
            bail!(
                "nothing has been changed; `riverrun log repair {} --yes` does it",
                self.target.as_deref().unwrap_or("--all")
            );
        }
        let done = repair(&environment, dir, &selection)?;
        self.print(&done.repairs, "done")?;
        for path in &done.kept {
            match self.output {
                OutputFormat::Json => print_json(&json!({ "type": "kept", "path": path }))?,
                OutputFormat::Table => println!("kept as it was: {}", path.display()),
            }
        }
        for finding in &done.remaining {
            match self.output {
                OutputFormat::Json => print_json(&to_json("remaining", finding))?,
                OutputFormat::Table => println!("DAMAGED {finding}"),
            }
        }
        if !done.remaining.is_empty() {
            bail!(
                "{} still",
                count(done.remaining.len() as u64, "damage is there", "damages are there")
            );
        }
        Ok(())
    }

    fn print(&self, repairs: &[verify::Repair], tense: &str) -> anyhow::Result<()> {
        let lost: i64 = repairs.iter().map(|repair| repair.lost.end - repair.lost.start).sum();
        for repair in repairs {
            let finding = &repair.finding;
            let action = repair.action.as_deref().unwrap_or("nothing that a program can do");
            match self.output {
                OutputFormat::Json => {
                    let mut object = to_json("repair", finding);
                    object["action"] = json!(repair.action);
                    object["done"] = json!(tense == "done" && repair.action.is_some());
                    print_json(&object)?;
                }
                OutputFormat::Table => {
                    let (topic, partition, file) =
                        (&finding.topic, finding.partition, &finding.file);
                    let position = finding.position;
                    println!("{topic}-{partition}: {file} at byte {position}: {}", finding.what);
                    println!("    {tense}: {action}");
                }
            }
        }
        if self.output == OutputFormat::Table {
            let lost = match lost {
                0 => "no record is lost".to_owned(),
                lost => format!("{} given up", count(lost as u64, "offset is", "offsets are")),
            };
            println!("{}; {lost}", count(repairs.len() as u64, "repair", "repairs"));
        }
        Ok(())
    }
}
