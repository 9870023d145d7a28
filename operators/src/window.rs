//! Windows over keyed streams.
//!
//! ```text
//! rows --> combine ==HASH==> window --> WindowResult
//! ```
//!
//! A window over event or processing time is two operators. `combine` sits at the end of the chain that the rows
//! come from and adds them up by (key, pane) before anything crosses the HASH edge; `window` behind the edge merges these
//! partial results, keeps them per pane and fires when time has passed a window's end. Which rows are late is
//! decided by `window` alone, by its watermark, exactly as if every row had crossed the edge by itself. Where
//! that needs the rows (a late output is asked for, or windows are sessions, which have no panes), they cross
//! the edge uncombined.
//!
//! | file | what |
//! |---|---|
//! | `window/assigner.rs` | tumbling, sliding, session windows as a program says them |
//! | `window/stream.rs` | the DSL: [`WindowedStream`] |
//! | `window/layout.rs` | panes |
//! | `window/combine.rs`, `window/partial.rs` | rows to partial results, and over the edge |
//! | `window/operator.rs` | the window operator |
//! | `window/state.rs` | what it asks of its state: what is late, what fires, what goes |
//! | `window/panes.rs`, `window/sessions.rs` | the state of tumbling and sliding windows, and of sessions |
//! | `window/progress.rs` | how far event time had come, in snapshots |

mod assigner;
mod combine;
mod layout;
mod operator;
mod panes;
mod partial;
mod progress;
mod sessions;
mod state;
mod stream;

use riverrun_dataflow::Timestamp;
use serde::{Deserialize, Serialize};

// The parts that do not depend on the kind of batch, for the columnar path.
pub(crate) use assigner::TimeKind;
pub(crate) use layout::PaneLayout;
pub(crate) use panes::PaneState;
pub(crate) use progress::Progress;
pub(crate) use state::{Results, TABLE, WindowState};

pub use assigner::{SessionWindows, SlidingWindows, TumblingWindows, Windows};
pub use partial::Partial;
pub use stream::{WindowedStream, Windowing};

/// A stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First millisecond of the window, since 1970-01-01T00:00:00Z.
    pub start: Timestamp,
    /// First millisecond after the window.
    pub end: Timestamp,
}

impl Window {
    /// The last millisecond that belongs to the window: the timestamp of its results.
    pub fn max_timestamp(&self) -> Timestamp {
        self.end.saturating_sub(1)
    }
}

/// What a window came to for one key. Its event timestamp is the window's last millisecond.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct WindowResult<K, R> {
    /// The key.
    pub key: K,
    /// The window.
    pub window: Window,
    /// What the aggregate says.
    pub value: R,
}

#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod tests;
