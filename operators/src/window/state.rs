//! What a window operator asks of its state.
//!
//! A state knows which rows are late, which windows fire when time moves, and what is over by then; it does not
//! know what moves time, nor how rows arrive. "Time" is event time or processing time.

use std::ops::Range;

use riverrun_dataflow::{
    KeyGroup, KeyedState, Record, Result, SnapshotKind, TableSnapshot, Timestamp,
};

use super::WindowResult;
use super::progress::Progress;
use crate::aggregate::Aggregate;

/// Results, each with its timestamp.
pub(crate) type Results<K, A> = Vec<(WindowResult<K, <A as Aggregate>::Output>, Timestamp)>;

/// The number of a state's table in snapshots.
pub(crate) const TABLE: u8 = 0;

/// Accumulators by key and window, and how far time has come.
pub(crate) trait WindowState<K: Record, A: Aggregate>: Send {
    /// What a key's part of the state is stored as.
    type Entry: Record;

    /// Tells which key groups are this subtask's, and how far time had come when the snapshots were taken that were
    /// restored.
    fn open(&mut self, groups: Range<KeyGroup>, key_groups: u16, progress: &[Progress]);

    /// The accumulator for a row of `key` at the time `at`, and what adds to it; `None` if the row is late.
    fn admit(&mut self, at: Timestamp, key: K) -> Option<(&A, &mut A::Accumulator)>;

    /// New results of windows that had fired before rows were admitted that were late, but not too late: one for
    /// each key and window, however many rows there were.
    fn updates(&mut self) -> Results<K, A>;

    /// The time up to which all windows have fired.
    fn reached(&self) -> Timestamp;

    /// The time up to which windows of any key have fired.
    fn furthest(&self) -> Timestamp;

    /// The last millisecond of the next window to fire, or an earlier time.
    fn next_end(&self) -> Option<Timestamp>;

    /// The last millisecond of the last window that has rows, or what is reached if that is later.
    fn end_of_all(&self) -> Timestamp;

    /// Moves time on to `to`: the results of the windows that end, in the order of their ends. Drops what is over.
    fn advance(&mut self, to: Timestamp) -> Results<K, A>;

    /// What a snapshot needs: the table, and how far time has come.
    fn snapshot(
        &mut self,
        kind: SnapshotKind,
        signature: &str,
    ) -> (TableSnapshot<K, Self::Entry>, Progress);

    /// Takes back the table; `open` follows.
    fn restore(&mut self, operator: &str, chains: &[Vec<KeyedState>]) -> Result<()>;
}
