//! The functions of SQL: DataFusion's, those of Flink that DataFusion lacks or means differently, and the user's own.
//!
//! A statement passes through here twice. First [`rewrite()`] turns what has a syntax of its own (`EXTRACT(YEAR FROM t)`,
//! `TIMESTAMPDIFF(DAY, a, b)`, `a[1]`) into plain calls. Then the planner looks each name up in the [`FunctionRegistry`]. Where a
//! name is known to both Flink and DataFusion, Flink's meaning wins; see `docs/src/sql-functions.md` for all of them.
//!
//! Files, in the order of a call:
//!
//! | file | what |
//! |---|---|
//! | `syntax.rs`, `rewrite.rs` | special syntax becomes plain calls |
//! | `registry.rs` | names and what they stand for |
//! | `user.rs`, `table.rs` | functions written in Rust: scalar, aggregate, table |
//! | `scalar.rs`, `argument.rs` | what all scalar functions of ours share: parameters, coercion, errors, reading arguments |
//! | `windowing.rs` | the windows that a row belongs to |
//! | `text.rs`, `pattern.rs`, `time.rs`, ... | one file a group of functions |

mod argument;
mod registry;
mod rewrite;
mod scalar;
mod table;
mod types;
pub mod windowing;

pub use registry::{FunctionContext, FunctionRegistry};
pub use rewrite::{rewrite, rewrite_expr};
pub use table::{TableFunction, TableRows, TableSignature};

use arrow_schema::DataType;

/// A type as SQL writes it, for messages.
pub(crate) fn type_name(data_type: &DataType) -> String {
    types::name(data_type)
}
