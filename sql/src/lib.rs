//! SQL over streams: Flink's dialect, planned onto the job graph.
//!
//! A text is parsed into statements. A query becomes DataFusion's logical plan, optimised by its rules; from there two ways lead on. In
//! batch mode DataFusion runs it once, over what the tables hold now. In streaming mode the plan becomes a job: each node an operator of ours, on
//! Arrow columns, with state that is kept by key group and snapshotted like that of any job. Rows carry **weights**: +1 inserts, -1 takes
//! back. An operator's output is a function of all it was given, in whatever order, and it puts out differences of that; so a
//! streaming query over input that ends gives what the batch query gives.
//!
//! In the order of a statement:
//!
//! | module | what |
//! |---|---|
//! | `parser` | from text to statements |
//! | `session` | from statements to what they do: [`session::Engine`], [`session::Session`], and [`session::Host`], the process around |
//! | `catalog` | what statements can name |
//! | `function` | scalar, aggregate, window and table functions |
//! | `plan` | from a query to an optimised logical plan |
//! | `batch` | from a logical plan to a result, on DataFusion's engine |
//! | `stream` | from a logical plan to a job graph |
//! | `connector` | where tables' rows come from and go to |
//! | `operator`, `aggregate` | what streaming plans are made of |
//! | `state`, `changes.rs` | rows as bytes, keyed state, weights |
//! | `error.rs`, `wording.rs` | what went wrong, in the words of SQL |

pub mod aggregate;
pub mod batch;
pub mod catalog;
mod changes;
pub mod connector;
mod error;
pub mod function;
pub mod operator;
pub mod parser;
pub mod plan;
pub mod session;
pub mod state;
pub mod stream;
mod wording;

pub use changes::{Changes, WEIGHT, with_weight};
pub use error::{Error, Position, Result};
