//! The operators that SQL's plans are made of: state machines over weighted rows.
//!
//! | file | what |
//! |---|---|
//! | `operator/calc.rs` | filter and projection, without state |
//! | `operator/rank.rs` | top-N, deduplication, LIMIT, one row a key: rows by their rank |

pub mod calc;
mod emission;
mod groups;
pub mod rank;
mod reached;
#[cfg(test)]
mod testing;
