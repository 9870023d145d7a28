//! Riverrun: a stream processing engine with a durable log built in.
//!
//! This crate puts the parts together and is what programs depend on. A job is an ordinary program:
//!
//! ```no_run
//! use riverrun::prelude::*;
//!
//! #[derive(clap::Args)]
//! struct Options {
//!     /// Topic to read.
//!     #[arg(long, default_value = "lines")]
//!     topic: String,
//! }
//!
//! riverrun::main!(count_words);
//!
//! fn count_words(env: &Environment, options: Options) -> anyhow::Result<()> {
//!     env.from_topic(&options.topic, Lines).map(|line: Line| line.len() as u64).print();
//!     Ok(())
//! }
//! ```
//!
//! Run directly, it executes in an embedded cluster on an embedded store (`--data-dir`): one JobManager and one
//! TaskManager in this process, the log in a folder. In the order of a run:
//!
//! | file | what |
//! |---|---|
//! | `launch.rs` | from a program's arguments to a running job, or to its graph |
//! | `environment.rs` | where a program puts its job together |
//! | `embedded.rs`, `embedded/` | store, TaskManager and JobManager in this process; checkpoints on the store and in a folder |
//! | `ingest.rs`, `ingest/` | access logs into topics, exactly once |
//! | `drawing.rs`, `drawing/` | job graphs as text, dot and JSON |
//! | `sql.rs`, `sql/` | what the faces of SQL share |
//! | `prompt.rs`, `prompt/` | SQL typed at a prompt, or from a script |
//! | `postgres.rs`, `postgres/` | SQL over PostgreSQL's wire protocol |
//! | `server.rs`, `server/` | everything in one process that is reached over the network |
//! | `expected.rs`, `expected/` | results that an independent engine came to, and comparing with them |
//! | `main.rs`, `cli.rs`, `cli/` | the `riverrun` command line |

// The example that `riverrun demo` runs says `riverrun::`, as every program does.
extern crate self as riverrun;

pub mod cli;
pub mod drawing;
pub mod embedded;
mod environment;
pub mod expected;
pub mod ingest;
mod launch;
mod postgres;
mod prompt;
pub mod server;
pub mod sql;

pub use environment::Environment;
pub use launch::{JobOptions, StopSignal, launch, parse_duration};

pub use riverrun_dataflow as dataflow;
pub use riverrun_log_store as log_store;
pub use riverrun_operators as operators;

/// What programs import.
pub mod prelude {
    pub use crate::Environment;
    pub use riverrun_dataflow::{DataStream, KeyedStream, Record, Timestamp};
    pub use riverrun_operators::prelude::*;
}

/// The `main` of a job: `riverrun::main!(job)`, where `job` is a `fn(&Environment, Args) -> anyhow::Result<()>` and `Args`
/// implements [`clap::Args`].
///
/// The program then takes its own arguments and those of [`JobOptions`], and answers
/// `riverrun job graph PROGRAM` with its graph.
#[macro_export]
macro_rules! main {
    ($job:path) => {
        fn main() -> ::std::process::ExitCode {
            $crate::launch($job)
        }
    };
}
