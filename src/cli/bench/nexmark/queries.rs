//! The queries: the scripts in `examples/sql/nexmark`, to the letter.

use std::str::FromStr;

use anyhow::anyhow;

/// Tables and views that the queries read.
pub(super) const DDL: &str = include_str!("../../../../examples/sql/nexmark/ddl.sql");

macro_rules! queries {
    ($($name:literal),*) => {
        &[$(Query {
            name: $name,
            script: include_str!(concat!("../../../../examples/sql/nexmark/", $name, ".sql")),
        }),*]
    };
}

/// All queries, in their order.
pub(super) const QUERIES: &[Query] = queries!(
    "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "q8", "q9", "q10", "q11", "q12", "q13", "q14",
    "q15", "q16", "q17", "q18", "q19", "q20", "q21", "q22", "q23"
);

/// A query's script.
#[derive(Debug, Clone, Copy)]
pub(super) struct Query {
    /// `q0`.
    pub(super) name: &'static str,
    /// A table for its result, `nexmark_q0`, what else it needs, and an INSERT.
    pub(super) script: &'static str,
}

impl FromStr for Query {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Query> {
        let found = QUERIES.iter().find(|query| query.name == name);
        found.copied().ok_or_else(|| anyhow!("there is no query `{name}`; there are q0 to q23"))
    }
}
