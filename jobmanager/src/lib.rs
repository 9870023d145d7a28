//! Turns a job graph into running subtasks: scheduling, checkpoints, restarts.
//!
//! [`JobManager::start`] checks a job, spreads its subtasks over the slots of the TaskManagers ([`ExecutionGraph`]) and
//! starts a thread, the job master. For each attempt the master takes a new generation from the job store, loads the
//! newest commit record, lets the committers redo its commits and remove what lies beyond it, works out
//! what each subtask gets back ([`restored_states`]), and deploys. Then it turns the subtasks' news into facts for the [`Coordinator`], which
//! decides when a checkpoint begins, when it is complete and when it is given up. A complete one is written to the
//! job store: **that write commits the epoch**. Output is made visible after it, then the TaskManagers are
//! told, and state that nothing refers to any more is deleted. When a subtask fails, the attempt is cancelled, and [`Restarts`] says whether
//! and when there will be another one.
//!
//! All decisions are made by state machines without I/O; only the job master acts.
//!
//! In the order of a job's life:
//!
//! | file | what |
//! |---|---|
//! | `handle.rs` | starts a job; what its owner can ask and see |
//! | `wire.rs` | how news reaches the job master |
//! | `state.rs`, `status.rs` | states of a job and their order; what can be seen from outside |
//! | `execution_graph.rs` | subtasks into slots |
//! | `recovery.rs` | from the newest commit record to what each subtask gets back |
//! | `job_master.rs`, `job_master/` | does what is decided, for one job |
//! | `coordinator.rs` | when checkpoints begin, complete and are given up |
//! | `commit_record.rs` | the record of a checkpoint out of its parts |
//! | `objects.rs` | which stored state is still needed |
//! | `restart.rs` | whether and when to try again |
//! | `clock.rs` | time between things |

mod clock;
mod commit_record;
mod coordinator;
mod execution_graph;
mod handle;
mod job_master;
mod objects;
mod recovery;
mod restart;
mod state;
mod status;
mod wire;

pub use clock::{MachineClock, MonotonicClock};
pub use coordinator::{Committed, Coordinator, Decision, Next, Progress};
pub use execution_graph::ExecutionGraph;
pub use handle::{JobHandle, JobManager, JobResources, TaskManagers};
pub use recovery::restored_states;
pub use restart::{Restarts, Verdict};
pub use state::JobState;
pub use status::{CheckpointStatus, JobReport, JobStatus, OperatorStatus};
