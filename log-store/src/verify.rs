//! Verify, dump, repair: what lies in a data directory, looked at without opening a store.
//!
//! [`verify`] and [`dump`] only read, and take no lock: they work on a directory that is damaged, or in
//! use. [`repair`] takes the directory's lock, and acts only when told.
//!
//! All three look segments over in the same way (`survey`): the index says what each batch was, byte
//! for byte; where it cannot, Kafka's checksum and the row of offsets do. Behind damage the walk
//! goes on with the next batch that is whole, so that one flipped bit costs one batch and no more.
//!
//! # What repair does
//!
//! - An index is made again from its segment, and what derives from segments (aborted index, producer
//!   snapshot, recovery point) likewise. Nothing is lost by that.
//! - Where only the front of a batch is damaged (offset, length, epoch, version, checksum), its bytes
//!   are known, and put back. Nothing is lost by that either.
//! - Any other damaged batch is lost. A *gap* takes its place: a control batch over the same bytes and
//!   the same offsets, which readers step over. Nothing else moves, nothing is renumbered, and no
//!   offset is given out again. The offsets lost are reported, and the damaged files are
//!   kept in `<data-dir>/damaged/`.
//! - A torn tail, which nobody was told is durable, is cut off, as opening the store does.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use crate::environment::Environment;
use crate::error::Result;

mod catalog;
mod check;
mod checksum;
mod claims;
mod dump;
mod folder;
mod gap;
mod probe;
mod repair;
mod survey;

pub use catalog::topic_config;
pub use dump::{DumpItem, DumpOptions, DumpedBatch, dump};
pub use repair::{Repair, Repaired, plan, repair};

/// Which partitions to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only this topic.
    pub topic: Option<String>,
    /// Only the partition with this number.
    pub partition: Option<u32>,
}

impl Selection {
    fn holds(&self, topic: &str, partition: u32) -> bool {
        self.topic.as_deref().is_none_or(|wanted| wanted == topic)
            && self.partition.is_none_or(|wanted| wanted == partition)
    }
}

/// What a [`Finding`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// Record batches in a segment.
    Records,
    /// The index of a segment.
    Index,
    /// The aborted index of a segment.
    AbortedIndex,
    /// The producer snapshot.
    Snapshot,
    /// The recovery point.
    RecoveryPoint,
    /// How far the partition is compacted.
    Compaction,
    /// Bytes at the end of the log that nobody was told are durable.
    Tail,
    /// A file that work which was interrupted has left behind.
    Leftover,
}

impl FindingKind {
    /// A name for programs to go by.
    pub fn name(self) -> &'static str {
        match self {
            FindingKind::Records => "records",
            FindingKind::Index => "index",
            FindingKind::AbortedIndex => "aborted_index",
            FindingKind::Snapshot => "producer_snapshot",
            FindingKind::RecoveryPoint => "recovery_point",
            FindingKind::Compaction => "compaction",
            FindingKind::Tail => "tail",
            FindingKind::Leftover => "leftover",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('_', " "))
    }
}

/// One thing that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The file's name in the partition's folder.
    pub file: String,
    /// What it is about.
    pub kind: FindingKind,
    /// Byte position in the file; of a damaged batch, that of its first byte.
    pub position: u64,
    /// The base offset of the batch, or the first offset concerned.
    pub offset: Option<i64>,
    /// Offsets whose records cannot be read any more; empty if there are none.
    pub lost: Range<i64>,
    /// False for what a crash leaves behind, or a process that is writing: opening the store deals with it.
    pub damage: bool,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { topic, partition, file, kind, position, what, remedy, .. } = self;
        write!(f, "{topic}-{partition}: {file} at byte {position}")?;
        if let Some(offset) = self.offset {
            write!(f, " (offset {offset})")?;
        }
        write!(f, ": {kind}: {what}; {remedy}")
    }
}

/// How far a verification has come, and what it found in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Partitions looked at.
    pub partitions: u64,
    /// Segments looked at.
    pub segments: u64,
    /// Whole batches.
    pub batches: u64,
    /// Records in them, as their headers say; marks of transactions count.
    pub records: u64,
    /// Bytes of segments looked at.
    pub bytes: u64,
    /// Bytes of all segments there are to look at.
    pub total_bytes: u64,
    /// What is not as it was written, by topic, partition and file.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// What is really damaged, as opposed to unfinished.
    pub fn damages(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.damage)
    }
}

/// Checks every byte of a data directory, or of a part of it, and changes nothing. `progress` is
/// called after each batch.
///
/// ```
/// use riverrun_log_store::verify::{Selection, verify};
/// use riverrun_log_store::{Environment, Store, StoreOptions, TopicConfig};
///
/// let dir = tempfile::tempdir()?;
/// let store = Store::open(dir.path(), StoreOptions::default())?;
/// store.create_topic("t", TopicConfig::default())?;
/// let found = verify(&Environment::real(), dir.path(), &Selection::default(), &mut |_| {})?;
/// assert!(found.findings.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// `UnknownTopic`, `UnknownPartition`, and operating system errors on folders. Damage is no error, nor
/// are segments that cannot be read: both are in [`Verification::findings`].
pub fn verify(
    environment: &Environment,
    data_dir: &Path,
    selection: &Selection,
    progress: &mut dyn FnMut(&Verification),
) -> Result<Verification> {
    let files = &*environment.files;
    let folders = folder::partitions(files, data_dir, selection)?;
    let mut verification = Verification::default();
    for folder in &folders {
        verification.total_bytes += folder.segment_bytes(files)?;
    }
    for folder in &folders {
        let issues = check::check(files, folder, &mut verification, progress)?;
        verification.findings.extend(issues.into_iter().map(|issue| issue.finding));
    }
    Ok(verification)
}

#[cfg(test)]
#[path = "verify/tests.rs"]
mod tests;
