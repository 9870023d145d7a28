//! Checkpoints: what subtasks hand over, the record that commits an epoch, and where both are kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{CheckpointId, KeyGroup, OperatorId, OperatorState, Result, SnapshotKind, SubtaskId};

/// Where a piece of state is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateHandle {
    /// Small enough to be part of the record itself.
    Inline(Vec<u8>),
    /// An object in [`CheckpointStorage`].
    Object {
        /// Its path, relative to the storage.
        path: String,
        /// Its size in bytes.
        bytes: u64,
        /// CRC-32C of its bytes.
        checksum: u32,
    },
}

impl StateHandle {
    /// Size in bytes of what it leads to.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Object { bytes, .. } => *bytes,
        }
    }
}

/// One keyed snapshot of one operator in one subtask: the encoding of a [`KeyedState`](crate::KeyedState) and
/// the key groups that it may hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedHandle {
    /// Full or delta.
    pub kind: SnapshotKind,
    /// First key group of the subtask.
    pub first_group: KeyGroup,
    /// Key group behind the last one of the subtask.
    pub end_group: KeyGroup,
    /// Where the bytes are.
    pub state: StateHandle,
}

/// What one operator in one subtask contributes to a checkpoint, with its keyed state stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorSnapshot {
    /// The part of the state that is small: positions, lists and prepared output (`keyed` is `None`).
    pub state: OperatorState,
    /// The keyed state, if there is some.
    pub keyed: Option<KeyedHandle>,
}

/// What one subtask hands over when its part of a checkpoint is durable.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubtaskSnapshot {
    /// By operator of the chain; operators without state are left out.
    pub operators: BTreeMap<OperatorId, OperatorSnapshot>,
}

/// The commit record of an epoch. Once it is on disk, the epoch is committed: input positions, state
/// and output together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedCheckpoint {
    /// Name of the job.
    pub job: String,
    /// Which run of the job wrote it.
    pub generation: u64,
    /// The checkpoint's number: the epoch it commits.
    pub checkpoint: CheckpointId,
    /// True if every input had ended and nothing was left to do.
    pub finished: bool,
    /// Per operator what its subtasks left.
    pub operators: BTreeMap<OperatorId, OperatorCheckpoint>,
}

/// The part of a [`CompletedCheckpoint`] that belongs to one operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorCheckpoint {
    /// Name of the operator, for messages about state that nobody takes.
    pub name: String,
    /// Source positions by split.
    pub positions: BTreeMap<String, Vec<u8>>,
    /// Chains of keyed state (a full snapshot, then deltas), one for each subtask.
    pub keyed: Vec<Vec<KeyedHandle>>,
    /// Lists of all subtasks.
    pub list: Vec<Vec<u8>>,
    /// Output to make visible.
    pub prepared: Vec<Vec<u8>>,
}

/// What is durably known of a job between its runs.
///
/// # Contract
/// `commit` is atomic and durable: after it returned, `latest` returns the new record, whatever
/// happens; if it failed, either record may come back. `begin_run` hands out a generation higher than every
/// earlier one, durably, and from then on a `commit` with a lower generation is refused.
pub trait JobStore: Send + Sync {
    /// Starts a run and returns its generation.
    ///
    /// # Errors
    /// [`crate::Error::Checkpoint`] if it cannot be made durable.
    fn begin_run(&self, job: &str) -> Result<u64>;

    /// The newest record of a job.
    fn latest(&self, job: &str) -> Result<Option<CompletedCheckpoint>>;

    /// Commits an epoch.
    ///
    /// # Errors
    /// [`crate::Error::Fenced`] if a newer run has begun, [`crate::Error::Checkpoint`] if the write failed.
    fn commit(&self, checkpoint: &CompletedCheckpoint) -> Result<()>;
}

/// Where state too large for the record is kept: a folder, or an object store.
///
/// # Contract
/// Objects are immutable. `write` returns when the object is durable. `delete` of an object that is not
/// there is no error.
pub trait CheckpointStorage: Send + Sync {
    /// Writes an object at `path` (parts joined by `/`) and returns its handle.
    fn write(&self, path: &str, bytes: Vec<u8>) -> Result<StateHandle>;

    /// Reads what a handle leads to, checked against its size and checksum.
    fn read(&self, handle: &StateHandle) -> Result<Vec<u8>>;

    /// Removes objects.
    fn delete(&self, paths: &[String]) -> Result<()>;

    /// The paths of all objects below a prefix.
    fn list(&self, prefix: &str) -> Result<Vec<String>>;
}

/// Names the object of one operator's keyed state.
pub fn state_path(
    job: &str,
    generation: u64,
    checkpoint: CheckpointId,
    subtask: SubtaskId,
    operator: OperatorId,
) -> String {
    format!("{job}/{generation}/{checkpoint}/{operator}-{}", subtask.index)
}
