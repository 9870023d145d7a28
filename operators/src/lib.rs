//! Sources, transforms, windows, aggregates, sinks and record formats.

pub mod format;
pub mod generate;
mod line;
pub mod nginx;

pub use line::Line;

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

    pub use crate::aggregate::{Aggregate, Number};
    pub use crate::process::{
        MapState, ProcessContext, ProcessFunction, Processing, States, TimerKind, ValueState,
    };
    pub use crate::running::{Running, RunningAggregates};
    pub use crate::timestamps::{AssignTimestamps, WatermarkStrategy};
    pub use crate::transform::{Collector, Transforms};
    pub use crate::window::{
        SessionWindows, SlidingWindows, TumblingWindows, Window, WindowResult, WindowedStream,
        Windowing,
    };
}
