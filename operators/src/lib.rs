//! Sources, transforms, windows, aggregates, sinks and record formats: what jobs are made of.
//!
//! A job is written with the methods that this crate's extension traits add to the engine's `DataStream`; the
//! [`prelude`] has them all. Each method adds an operator, a synchronous state machine over batches. In the main job a
//! *source* reads record batches of a topic and a *format* turns them into rows, or straight into columns;
//! *transforms* work on the rows; *timestamps* give them event time and the stream its watermarks; the *window's*
//! combiner adds them up by key and pane, and across the HASH edge the window itself merges these partial results and fires; a
//! format makes records of what it fires, and a *sink* prepares them for the commit of the checkpoint.
//!
//! In the order of the data:
//!
//! | file | what |
//! |---|---|
//! | `generate.rs` | made-up access logs and Nexmark events, from a seed |
//! | `source.rs` | topic, files, socket, collection, generator |
//! | `format.rs`, `nginx.rs`, `line.rs` | what records hold: lines, JSON, nginx |
//! | `transform.rs` | map, filter, flat_map and their kin |
//! | `timestamps.rs` | event time and watermarks |
//! | `aggregate.rs` | count, sum, min, max, average, reduce, and one's own |
//! | `window.rs` | tumbling, sliding, session windows |
//! | `running.rs`, `process.rs` | keyed streams without windows: running aggregates, functions with state and timers |
//! | `columns.rs` | the same path on Arrow columns |
//! | `sink.rs` | topic and files, exactly once; print |

pub mod columns;
pub mod format;
pub mod generate;
mod line;
pub mod nginx;
pub mod sink;
pub mod source;

pub use line::Line;
pub use sink::{ColumnSinks, Delivery, SharedWriter, Sinks, TopicOutput};
pub use source::{
    End, GeneratorInput, Numbers, SocketInput, Sources, Span, Start, TopicCheck, TopicInput, Wanted,
};

pub mod aggregate;
pub mod process;
pub mod running;
#[cfg(test)]
mod test_job;
#[cfg(test)]
mod test_pipeline;
pub mod timestamps;
pub mod transform;
mod validity;
pub mod window;

/// What a program that describes a job needs.
pub mod prelude {
    pub use riverrun_dataflow::{DataStream, Environment, KeyedStream, Record, Timestamp};

    pub use crate::Line;
    pub use crate::aggregate::{Aggregate, Number};
    pub use crate::columns::{ColumnStreams, ColumnsToJson};
    pub use crate::format::{Json, Lines, Nginx, NginxFields, OnError, ToJson, ToLines};
    pub use crate::process::{
        MapState, ProcessContext, ProcessFunction, Processing, States, TimerKind, ValueState,
    };
    pub use crate::running::{Running, RunningAggregates};
    pub use crate::sink::{ColumnSinks, Delivery, SharedWriter, Sinks, TopicOutput};
    pub use crate::source::{GeneratorInput, SocketInput, Sources, Start, TopicInput};
    pub use crate::timestamps::{AssignTimestamps, WatermarkStrategy};
    pub use crate::transform::{Collector, Transforms};
    pub use crate::window::{
        SessionWindows, SlidingWindows, TumblingWindows, Window, WindowResult, WindowedStream,
        Windowing,
    };
}
