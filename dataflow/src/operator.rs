//! What an operator is: a synchronous state machine driven by its subtask.
//!
//! # Life of an operator
//!
//! ```text
//! restore?  ->  open  ->  ( process | on_watermark | on_split | on_time )*  ->  on_end_of_input?  ->  close
//!                              ^                                   |
//!                              '---  before_barrier -> snapshot  <-'
//! ```
//!
//! * `restore` comes first and only if there is a checkpoint; then `open`, once.
//! * `before_barrier` may still emit; what it emits belongs to the checkpoint. `snapshot` follows at
//!   once and may not emit.
//! * `on_end_of_input` comes after [`Watermark::MAX`](crate::Watermark::MAX) was passed in. Snapshots may still follow: the
//!   last one commits what the end of the input brought.
//! * `close` comes last, also after a failure or a cancellation, and must not emit.
//!
//! All calls come from one thread. An operator never waits for anything: only sources, sinks and the
//! exchange do. So a test can drive it in one thread; see [`testing`](crate::testing).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{
    Barrier, Batch, Clock, KeyedState, Result, SplitIndex, SubtaskId, Timestamp, Watermark,
};

/// Where an operator runs.
#[derive(Clone)]
pub struct OperatorContext {
    /// Name of the operator, for messages.
    pub operator: String,
    /// Name of the job.
    pub job: String,
    /// Which run of the job this is; a higher generation fences all lower ones.
    pub generation: u64,
    /// The subtask: vertex and index.
    pub subtask: SubtaskId,
    /// Number of subtasks of the vertex.
    pub parallelism: u32,
    /// Number of key groups of the job.
    pub key_groups: u16,
    /// The clock behind processing time.
    pub clock: Arc<dyn Clock>,
    /// Counters that show in metrics and summaries.
    pub metrics: Arc<crate::OperatorMetrics>,
}

/// A source split begins, falls silent or ends, within its operator chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitStatus {
    /// The split has rows to come and holds back event time.
    Active,
    /// The split is caught up and silent; it holds back nobody.
    Idle,
    /// The split is over.
    Finished,
}

/// Where an operator puts what it makes: the next operator of the chain, or the edges that leave it.
///
/// # Errors
/// Every method returns what the receiving operator returns, and [`crate::Error::Cancelled`] when the subtask
/// was told to stop while an edge was full. The caller passes them on.
pub trait Output {
    /// Rows or columns for the main output.
    fn emit(&mut self, batch: Batch) -> Result<()>;
    /// Rows or columns for the side output `tag`; dropped if nothing is connected to it.
    fn emit_side(&mut self, tag: &str, batch: Batch) -> Result<()>;
    /// Event time for all outputs.
    fn emit_watermark(&mut self, watermark: Watermark) -> Result<()>;
    /// News of a source split, for the rest of the chain.
    fn emit_split(&mut self, split: SplitIndex, status: SplitStatus) -> Result<()>;
    /// Nothing will come for now: receivers need not wait for this subtask's event time.
    fn emit_idle(&mut self) -> Result<()>;
}

/// A synchronous state machine over batches. The module's page has the order of calls.
pub trait Operator: Send {
    /// Takes back what earlier snapshots held.
    ///
    /// # Errors
    /// [`crate::Error::State`] if the state is not this operator's.
    fn restore(&mut self, _state: RestoredState) -> Result<()> {
        Ok(())
    }

    /// Gets ready.
    fn open(&mut self, _context: &OperatorContext) -> Result<()> {
        Ok(())
    }

    /// Works on a batch that arrived at input number `input` (0 unless the operator joins streams).
    fn process(&mut self, input: usize, batch: Batch, out: &mut dyn Output) -> Result<()>;

    /// Event time reached `watermark`. Passes it on unless the operator makes its own.
    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        out.emit_watermark(watermark)
    }

    /// A split of the chain's source begins, falls silent or ends.
    fn on_split(
        &mut self,
        split: SplitIndex,
        status: SplitStatus,
        out: &mut dyn Output,
    ) -> Result<()> {
        out.emit_split(split, status)
    }

    /// All inputs are idle. Passes it on.
    fn on_idle(&mut self, out: &mut dyn Output) -> Result<()> {
        out.emit_idle()
    }

    /// When [`Operator::on_time`] wants to be called, in processing time; asked after every other call.
    fn next_timer(&self) -> Option<Timestamp> {
        None
    }

    /// Processing time reached the time that [`Operator::next_timer`] named.
    fn on_time(&mut self, _now: Timestamp, _out: &mut dyn Output) -> Result<()> {
        Ok(())
    }

    /// All inputs have ended.
    fn on_end_of_input(&mut self, _out: &mut dyn Output) -> Result<()> {
        Ok(())
    }

    /// A barrier is about to pass: emit what must not wait for the next checkpoint.
    fn before_barrier(&mut self, _barrier: Barrier, _out: &mut dyn Output) -> Result<()> {
        Ok(())
    }

    /// The state at the barrier, as work that can be finished elsewhere while processing goes on.
    ///
    /// A [`crate::SnapshotKind::Delta`] is asked for only after a snapshot of the same run was taken.
    fn snapshot(&mut self, _barrier: Barrier) -> Result<Snapshot> {
        Ok(Snapshot::Nothing)
    }

    /// The checkpoint is committed: its record is on disk.
    fn on_checkpoint_complete(&mut self, _checkpoint: u64) -> Result<()> {
        Ok(())
    }

    /// Gives everything back.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A snapshot that was begun at the barrier.
pub enum Snapshot {
    /// The operator keeps no state.
    Nothing,
    /// Ready at once.
    Ready(OperatorState),
    /// To be finished on another thread: encoding, and the flush that makes output durable.
    Deferred(Box<dyn FnOnce() -> Result<OperatorState> + Send>),
}

impl Snapshot {
    /// Does what is left to do.
    pub fn finish(self) -> Result<OperatorState> {
        match self {
            Self::Nothing => Ok(OperatorState::default()),
            Self::Ready(state) => Ok(state),
            Self::Deferred(work) => work(),
        }
    }
}

/// What one operator in one subtask hands over at a barrier.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OperatorState {
    /// Sources: position by split, e.g. `nginx-0` -> encoded offset.
    pub positions: BTreeMap<String, Vec<u8>>,
    /// Keyed state.
    pub keyed: Option<KeyedState>,
    /// State that is not keyed: after a restart every subtask gets the lists of all.
    pub list: Vec<Vec<u8>>,
    /// Sinks: output that is durable and waits for the commit of this checkpoint. If the checkpoint is given up,
    /// it is committed with the next one; handing it over again then does no harm.
    pub prepared: Vec<Vec<u8>>,
}

/// What an operator gets back after a restart.
#[derive(Debug, Clone, Default)]
pub struct RestoredState {
    /// The checkpoint that is being restored.
    pub checkpoint: u64,
    /// Sources: the positions of all splits of the vertex, whichever subtask had them.
    pub positions: BTreeMap<String, Vec<u8>>,
    /// Keyed state within this subtask's key groups: one chain (a full snapshot, then deltas) for each
    /// former subtask that held some of it.
    pub keyed: Vec<Vec<KeyedState>>,
    /// The lists of all former subtasks.
    pub list: Vec<Vec<u8>>,
}
