//! The second half of an exactly-once sink: it makes prepared output visible.

use crate::Result;

/// Makes output of committed checkpoints visible, and removes output that no checkpoint committed.
///
/// One committer per sink operator, called by the JobManager only. A sink *prepares* at a barrier: its output is
/// durable, but nobody sees it. The record of the completed checkpoint lists what was prepared; once
/// that record is on disk the output is committed, and all that the committer does follows from it and can be redone at
/// any time. So `commit` must be idempotent.
pub trait Committer: Send {
    /// Makes the output behind these tokens visible. Tokens that were committed before are passed over.
    fn commit(&mut self, prepared: &[Vec<u8>]) -> Result<()>;

    /// Called once before a run starts: redoes the commit of the newest checkpoint (`prepared`; empty
    /// if there is none), then fences earlier generations and removes whatever they left beyond it.
    fn recover(&mut self, generation: u64, prepared: &[Vec<u8>]) -> Result<()>;
}
