//! Sources, transforms, windows, aggregates, sinks and record formats.

pub mod columns;
pub mod format;
pub mod generate;
mod line;
pub mod nginx;
pub mod sink;
pub mod source;

pub use line::Line;
pub use sink::{ColumnSinks, Delivery, SharedWriter, Sinks, TopicOutput};
pub use source::{GeneratorInput, SocketInput, Sources, Start, TopicInput};

pub mod aggregate;
pub mod process;
pub mod running;
#[cfg(test)]
mod test_job;
#[cfg(test)]
mod test_pipeline;
pub mod timestamps;
pub mod transform;
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
