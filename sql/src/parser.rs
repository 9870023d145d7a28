//! From text to statements.
//!
//! sqlparser cuts the text into tokens and parses queries, with a dialect of ours. Statements that it does not know (`CREATE TABLE` with
//! watermarks and computed columns, statement sets, `SHOW` and their kin) are parsed here, on the same tokens.
//!
//! | file | what |
//! |---|---|
//! | `parser/statement.rs` | what a statement can be |
//! | `parser/dialect.rs` | what queries may look like |
//! | `parser/script.rs` | tokens and their places; several statements in one text |
//! | `parser/command.rs` | the statements themselves |
//! | `parser/table.rs` | `CREATE TABLE` |
//! | `parser/types.rs` | column types |
//! | `parser/group_window.rs` | windows in GROUP BY, the older form |

mod command;
mod dialect;
mod group_window;
mod script;
mod statement;
mod table;
mod types;

pub use script::{Parsed, is_complete, parse_script};
pub use statement::{
    CreateMaterializedView, CreateTable, CreateView, DropKind, Insert, QueryText, ShowKind,
    Statement,
};

pub(crate) use dialect::{StreamDialect, TABLE_ARGUMENT};
pub(crate) use script::parse_expression;
pub(crate) use types::timestamp_type;

#[cfg(test)]
mod tests;
