//! Where rows come from.

use std::collections::BTreeMap;
use std::task::{Context, Poll};

use crate::{Batch, OperatorContext, RestoredState, Result, SplitIndex, SplitStatus};

/// One thing that a source has to tell.
#[derive(Debug)]
pub enum SourceEvent {
    /// Rows or columns, with the split they came from in [`Batch::split`].
    Batch(Batch),
    /// A split begins, falls silent or ends.
    Split(SplitIndex, SplitStatus),
    /// Everything was read. Not asked again.
    End,
}

/// Reads rows, split by split, and knows how far it got.
///
/// Order of calls, all from one thread: `open` once, with what was restored; then `poll` and `snapshot`
/// in any order; then `close`, also after a failure.
pub trait Source: Send {
    /// Gets ready to read from the restored positions, or from the start. `restored` holds the positions of
    /// *all* splits; the source takes those of the splits that fall to its subtask
    /// (split number modulo parallelism, unless the source's page says otherwise).
    fn open(&mut self, context: &OperatorContext, restored: Option<RestoredState>) -> Result<()>;

    /// The next event. `Pending` means that there is nothing now; the source then wakes the context's
    /// waker when there may be something (more often does no harm). It must not block for longer than a read of
    /// what is already there takes.
    ///
    /// # Errors
    /// Any error fails the subtask; reading goes on from the last checkpoint after the restart.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<SourceEvent>>;

    /// The position of each of its splits right behind the last event that `poll` returned.
    fn snapshot(&mut self) -> Result<BTreeMap<String, Vec<u8>>>;

    /// The checkpoint is committed: nothing before its positions will be asked for again.
    fn on_checkpoint_complete(&mut self, _checkpoint: u64) -> Result<()> {
        Ok(())
    }

    /// Gives everything back.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}
