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
//! | `user.rs`, `fold.rs`, `table.rs` | functions written in Rust: scalar, aggregate, table |
//! | `scalar.rs`, `argument.rs` | what all scalar functions of ours share: parameters, coercion, errors, reading arguments |
//! | `windowing.rs` | the windows that a row belongs to |
//! | `text.rs`, `pattern.rs`, `time.rs`, ... | one file a group of functions |

mod adapted;
mod argument;
mod average;
mod cast;
mod collection;
mod digest;
mod fold;
mod json;
mod json_path;
mod now;
mod number;
mod pattern;
mod percentile;
mod registry;
mod rewrite;
mod scalar;
mod syntax;
mod table;
mod text;
mod time;
mod time_format;
mod time_unit;
mod types;
mod url;
mod user;
pub mod windowing;

pub use fold::Fold;
pub use registry::{FunctionContext, FunctionRegistry};
pub(crate) use rewrite::call;
pub use rewrite::{rewrite, rewrite_expr};
pub use syntax::parse_prefix;
pub use table::{TableFunction, TableRows, TableSignature};
pub use user::{Argument, Date, Outcome, ScalarFunction, Time};

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::logical_expr::ScalarUDF;

/// A type as SQL writes it, for messages.
pub(crate) fn type_name(data_type: &DataType) -> String {
    types::name(data_type)
}

/// All scalar functions of ours.
fn scalar_functions(context: &Arc<FunctionContext>) -> Vec<Arc<ScalarUDF>> {
    let groups = [
        text::functions,
        pattern::functions,
        url::functions,
        digest::functions,
        time::functions,
        now::functions,
        number::functions,
        collection::functions,
        cast::functions,
        json::functions,
    ];
    let mut functions = adapted::functions();
    functions.extend(groups.into_iter().flat_map(|functions| functions(context)));
    functions
}

/// Names of Flink for what DataFusion calls otherwise.
const ALIASES: [(&str, &str); 8] = [
    ("startswith", "starts_with"),
    ("endswith", "ends_with"),
    ("map_from_arrays", "map"),
    ("row", "struct"),
    ("split", "string_to_array"),
    ("array_contains", "array_has"),
    ("json_object", "json_object_of"),
    ("json_array", "json_array_of"),
];

/// What only `syntax.rs` and `rewrite.rs` call: not listed.
const INTERNAL: [&str; 8] = [
    "cast_to_string",
    "item",
    "json_array_of",
    "json_object_of",
    "json_value_boolean",
    "json_value_double",
    "json_value_int",
    "similar_to",
];

/// The same for aggregates. What `rewrite.rs` gives another name is here so that it is listed.
const AGGREGATE_ALIASES: [(&str, &str); 4] = [
    ("listagg", "string_agg"),
    ("approx_count_distinct", "approx_distinct"),
    ("variance", "var_samp"),
    ("std", "stddev"),
];

#[cfg(test)]
mod tests;
