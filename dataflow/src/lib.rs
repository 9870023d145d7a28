//! The vocabulary of Riverrun's engine, and the DataStream DSL that builds jobs from it.
//!
//! No I/O happens here. A job is built with the DSL ([`Environment`], [`DataStream`]) into a [`JobGraph`] and
//! the code behind it, an [`OperatorFactory`]. A JobManager expands the graph into subtasks and hands them
//! to TaskManagers over the [`TaskManagerGateway`]. In a subtask a [`Source`] yields [`Batch`]es; a chain of
//! [`Operator`]s works on them one batch at a time; what leaves the chain crosses an edge as [`Element`]s, split
//! by a [`Partitioner`] where the edge is HASH. [`Barrier`]s cut the stream into epochs: every operator snapshots its
//! [`StateTable`]s, every sink prepares its output, and one [`CompletedCheckpoint`] in the [`JobStore`] commits it
//! all; [`Committer`]s then make the output visible.
//!
//! In the order of the data:
//!
//! | file | what |
//! |---|---|
//! | `time.rs` | timestamps and watermarks |
//! | `batch.rs` | batches of rows or columns |
//! | `element.rs` | what travels on an edge |
//! | `source.rs` | where rows come from |
//! | `operator.rs` | the order of an operator's calls |
//! | `key.rs`, `partitioner.rs` | keys, key groups, HASH edges |
//! | `state.rs`, `codec.rs` | keyed state and its bytes |
//! | `checkpoint.rs`, `committer.rs` | snapshots, the commit record, visible output |
//! | `graph.rs`, `factory.rs`, `job.rs` | a job without and with its code |
//! | `stream.rs`, `stream/` | the DSL |
//! | `gateway.rs` | what JobManager and TaskManagers say to each other |
//! | `clock.rs`, `metrics.rs`, `testing.rs` | processing time, counters, a harness for tests |

mod batch;
mod checkpoint;
mod clock;
pub mod codec;
mod committer;
mod element;
mod error;
mod factory;
mod gateway;
mod graph;
mod job;
mod key;
mod metrics;
mod operator;
mod partitioner;
mod source;
mod state;
mod stream;
pub mod testing;
mod time;

pub use batch::{AnyRows, Batch, Columns, Data, Record, Rows, SplitIndex};
pub use checkpoint::{
    CheckpointStorage, CompletedCheckpoint, JobStore, KeyedHandle, OperatorCheckpoint,
    OperatorSnapshot, StateHandle, SubtaskSnapshot, state_path,
};
pub use clock::{Clock, ManualClock};
pub use committer::Committer;
pub use element::{Barrier, CheckpointId, Element, SnapshotKind};
pub use error::{Error, Result};
pub use factory::{OperatorFactory, Resources};
pub use gateway::{Attempt, Deployment, JobManagerGateway, TaskEvent, TaskManagerGateway};
pub use graph::{
    EdgeKind, JobEdge, JobGraph, JobVertex, OperatorId, OperatorKind, OperatorNode, SubtaskId,
    VertexId,
};
pub use job::{Job, JobSettings, RestartStrategy};
pub use key::{
    DEFAULT_KEY_GROUPS, KeyGroup, KeyHasher, key_group_of, key_groups_of_subtask, key_hash,
    subtask_of,
};
pub use metrics::OperatorMetrics;
pub use operator::{
    Operator, OperatorContext, OperatorState, Output, RestoredState, Snapshot, SplitStatus,
};
pub use partitioner::{Partitioner, RowPartitioner};
pub use source::{Source, SourceEvent};
pub use state::{Change, Entries, KeyedState, StateTable, TableSnapshot, decode_entries};
pub use stream::{DataStream, Environment, KeyedStream, OperatorSpec};
pub use time::{NO_TIMESTAMP, Timestamp, Watermark, WatermarkFrontier, WatermarkMerger};
