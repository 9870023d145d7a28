//! The operators that SQL's plans are made of: state machines over weighted rows.
//!
//! | file | what |
//! |---|---|
//! | `operator/memory.rs` | rows in memory, as a source |
//! | `operator/last_rows.rs` | changes, of rows that replace each other |
//! | `operator/watermark.rs` | event time |
//! | `operator/aggregate.rs` | aggregates by key: GROUP BY, DISTINCT |
//! | `operator/windows.rs` | the windows that a row belongs to |
//! | `operator/sessions.rs` | the session that a row belongs to |
//! | `operator/calc.rs` | filter and projection, without state |
//! | `operator/unnest.rs` | lists to rows, structs to columns |
//! | `operator/join.rs` | joins of two streams |
//! | `operator/rank.rs` | top-N, deduplication, LIMIT, one row a key: rows by their rank |
//! | `operator/over.rs` | OVER |
//! | `operator/sort.rs` | ORDER BY |
//! | `operator/limit.rs` | LIMIT without an order |
//! | `operator/expiry.rs` | state that nobody has touched for long |
//! | `operator/collect.rs` | the result of a query, for whoever waits for it |

pub mod aggregate;
pub mod calc;
pub mod collect;
mod emission;
mod expiry;
mod groups;
pub mod join;
pub mod last_rows;
pub mod limit;
pub mod memory;
pub mod over;
pub mod rank;
mod reached;
pub mod sessions;
pub mod sort;
#[cfg(test)]
pub(crate) mod testing;
pub mod unnest;
pub mod watermark;
pub mod windows;
