//! What travels on an edge, in order.

use serde::{Deserialize, Serialize};

use crate::{Batch, Watermark};

/// One thing on an edge.
#[derive(Debug)]
pub enum Element {
    /// Rows or columns.
    Batch(Batch),
    /// Event time has come this far.
    Watermark(Watermark),
    /// A checkpoint cuts the stream here.
    Barrier(Barrier),
    /// The sender has nothing for now and must not hold back event time; ends with the next batch or watermark.
    Idle,
    /// Nothing but barriers follows: all rows were sent, and [`Watermark::MAX`] before this.
    EndOfInput,
}

/// Number of a checkpoint within a job, counted from 1; the epoch that it commits.
pub type CheckpointId = u64;

/// The mark that separates what belongs to a checkpoint from what comes after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barrier {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// Whether operators hand over all their state or what changed since the last checkpoint.
    pub kind: SnapshotKind,
}

/// How much state a snapshot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotKind {
    /// Everything.
    Full,
    /// Only what changed since the snapshot before.
    Delta,
}
