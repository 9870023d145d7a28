//! `riverrun log`: the log's files, checked, shown and repaired.
//!
//! `verify` and `dump` open no store: they work on a data dir that is damaged, or in use.

mod dump;
mod repair;
mod verify;

use std::path::Path;

use anyhow::{bail, ensure};
use riverrun_log_store::verify::Selection;
use rustix::fs::FlockOperation;

use super::data_dir::DataDir;

/// What can be done with the log's files.
#[derive(clap::Subcommand)]
pub(super) enum LogCommand {
    /// Check every byte, and change nothing; exit code 1 if something is damaged
    ///
    /// Works on a data dir that is in use, too.
    Verify(verify::Verify),
    /// Show record batches as they are on disk, behind damage as well
    ///
    /// Works on a data dir that is in use, too.
    Dump(dump::Dump),
    /// Mend what `verify` has found: says what it would do, and does it with --yes
    ///
    /// What can be made anew is. A batch that cannot be put right is given up: a gap takes its place, so
    /// that readers go on behind it and no offset is given out again. The damaged files are kept in
    /// `<data-dir>/damaged/`.
    Repair(repair::Repair),
}

impl LogCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Verify(command) => command.run(),
            Self::Dump(command) => command.run(),
            Self::Repair(command) => command.run(),
        }
    }
}

/// Which partitions a command is about.
fn select(
    data_dir: &DataDir,
    target: Option<&str>,
    partition: Option<u32>,
) -> anyhow::Result<Selection> {
    let topics = data_dir.path().join("topics");
    ensure!(
        topics.is_dir(),
        "there is no store in {}: name the right folder with --data-dir",
        data_dir.path().display()
    );
    let Some(target) = target else { return Ok(Selection { topic: None, partition }) };
    let topic = Selection { topic: Some(target.to_owned()), partition };
    let Some((prefix, number)) = target.rsplit_once('-') else { return Ok(topic) };
    let Ok(number) = number.parse() else { return Ok(topic) };
    if partition.is_some() || !topics.join(target).is_dir() {
        return Ok(topic);
    }
    if topics.join(format!("{target}-0")).is_dir() {
        bail!(
            "`{target}` is a topic and a partition of `{prefix}`: name the topic, and the partition with \
             --partition"
        );
    }
    Ok(Selection { topic: Some(prefix.to_owned()), partition: Some(number) })
}

/// Says on standard error that a process is writing to the data dir, if one is.
fn warn_if_in_use(data_dir: &Path) {
    let path = data_dir.join("LOCK");
    let Ok(lock) = std::fs::File::open(&path) else { return };
    if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).is_err() {
        let holder = std::fs::read_to_string(&path).unwrap_or_default();
        let holder = match holder.trim() {
            "" => "another process".to_owned(),
            pid => format!("process {pid}"),
        };
        eprintln!("the data dir is in use by {holder}: the ends of its partitions may be moving");
    }
}

/// How many of something, for people.
fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", indicatif::HumanCount(number), if number == 1 { one } else { many })
}
