//! From statements to what they do.
//!
//! An [`Engine`] holds what all sessions of a process share: the catalog, the functions, and the [`Host`] that runs jobs. A [`Session`] takes
//! statements one after the other, with settings and temporary tables of its own.
//!
//! | file | what |
//! |---|---|
//! | `session/host.rs` | what SQL needs of the process it runs in |
//! | `session/engine.rs` | what sessions share |
//! | `session/settings.rs` | `SET` |
//! | `session/statement.rs` | a statement done: [`Session::execute`] |
//! | `session/define.rs` | `CREATE` and `DROP` |
//! | `session/naming.rs` | what a name in a query stands for |
//! | `session/query.rs` | `SELECT`: [`QueryStream`] |
//! | `session/parameters.rs` | the types of `$1` |
//! | `session/insert.rs` | `INSERT INTO` and statement sets: jobs |
//! | `session/materialize.rs` | `CREATE TABLE AS`, materialised views |
//! | `session/explain.rs`, `session/show.rs` | what there is, and what would be done |
//! | `session/readable.rs` | plans as they are shown |
//! | `session/place.rs` | where an error is that does not say so |

mod define;
mod engine;
mod explain;
mod host;
mod insert;
mod materialize;
mod naming;
mod parameters;
mod place;
mod query;
mod readable;
mod settings;
mod show;
mod statement;

pub use engine::Engine;
pub use host::{Host, JobSummary, RunningJob, Submission};
pub use query::{QueryControl, QueryStream};
pub(crate) use readable::readable;
pub use settings::{RuntimeMode, Settings};
pub use statement::{Outcome, Session};

#[cfg(test)]
mod tests;
