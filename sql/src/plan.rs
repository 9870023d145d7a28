//! Nodes of logical plans that DataFusion does not know.
//!
//! They stand in its plan as extensions until the streaming planner or the batch planner takes over.
//!
//! | file | what |
//! |---|---|
//! | `plan/windowing.rs` | `TUMBLE`, `HOP`, `CUMULATE`, `SESSION`: [`WindowTvf`] |
//! | `plan/event_time.rs` | a table's `WATERMARK FOR`: [`EventTime`] |

mod event_time;
mod windowing;

pub use event_time::EventTime;
pub use windowing::{WindowKind, WindowTvf};
