//! Runs subtasks: operator chains, exchange, barrier alignment, snapshots.
//!
//! A JobManager calls [`TaskManager::deploy`](riverrun_dataflow::TaskManagerGateway::deploy) with subtasks; each becomes one thread. A
//! source subtask polls its source, all others take elements from their gate. What comes in
//! is pushed through the operator chain, and what leaves the chain goes over the record writers into the
//! mailboxes of the receiving subtasks, where a full channel makes the sender wait. At a barrier the chain hands over its snapshots;
//! a few threads shared by all subtasks finish them, write large state to the checkpoint storage and acknowledge.
//! News goes to the JobManager over its gateway; what a subtask does is decided by the factory that the TaskManager was given,
//! which never names an operator itself.
//!
//! Nothing here costs anything per record: locks, calls and allocations happen per batch at most.
//!
//! In the order of the data:
//!
//! | file | what |
//! |---|---|
//! | `task_manager.rs` | takes orders, starts and stops the subtasks of an attempt |
//! | `topology.rs` | which channel of which subtask an edge leads to |
//! | `subtask.rs`, `subtask/` | a subtask's life, from restore to close |
//! | `mailbox.rs` | bounded channels and control messages of one subtask |
//! | `gate.rs`, `event_time.rs` | barrier alignment, event time over all channels |
//! | `chain.rs` | one operator's output is the next one's input |
//! | `record_writer.rs` | what leaves the chain: FORWARD, REBALANCE, HASH, BROADCAST |
//! | `snapshot.rs` | finishes snapshots in the background and acknowledges them |

mod chain;
mod event_time;
mod gate;
mod mailbox;
mod record_writer;
mod snapshot;
mod subtask;
mod task_manager;
mod topology;

pub use task_manager::TaskManager;
