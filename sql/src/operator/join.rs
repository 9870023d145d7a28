//! Joins of two streams.
//!
//! The result of a join is a function of the weighted rows that both sides hold; each batch emits by how much its rows change it. A
//! pair has the product of the weights of its rows. A row of a preserved side (the left one of a left, semi, anti or
//! mark join) also has a *single* result, which depends on the sum of the weights of its matches: a null-padded row while that is not above
//! 0, say. That sum can be negative for a while, because a row may be taken back before it was inserted.
//!
//! In the order of a batch's way:
//!
//! | file | what |
//! |---|---|
//! | `join/arrivals.rs` | the batch: keys, equal rows put together |
//! | `join/side.rs` | what is kept of a side's rows, and how columns come back from it |
//! | `join/condition.rs` | the filter over pairs |
//! | `join/matching.rs` | pairs, counts of matches, what changes of single results |
//! | `join/results.rs` | columns of the output |
//! | `join/regular.rs` | the regular join: no end of its state but a time-to-live |
//! | `join/timed.rs` | interval join and window join: rows go when event time has passed them |
//! | `join/temporal.rs` | temporal join: rows meet the version of a table that held at their time |
//! | `join/pending.rs`, `join/versions.rs` | its state: rows that wait, versions by key |
//! | `join/lookup.rs` | lookup join: rows meet a table as it is |
//!
//! Without a filter all rows of a key have the same matches, so that their sum is that of the other side's weights; with one, each row
//! of a preserved side has its own count.

mod arrivals;
mod condition;
mod lookup;
mod matching;
mod pending;
mod regular;
mod results;
mod side;
#[cfg(test)]
mod subtasks;
mod temporal;
#[cfg(test)]
mod temporal_tests;
#[cfg(test)]
mod tests;
mod timed;
#[cfg(test)]
mod timed_tests;
mod versions;

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use datafusion::common::JoinType;
use datafusion::physical_expr::PhysicalExpr;

pub use lookup::{LookupJoin, LookupJoinSpec, LookupTable};
pub use regular::Join;
pub use temporal::{TemporalJoin, TemporalJoinSpec};
pub use timed::{IntervalSpec, TimedJoin, WindowJoinSpec};

/// Rows of an emitted batch at most; also how many candidates are looked at before the filter is asked.
const CHUNK: usize = 8192;

/// One input of a join.
#[derive(Debug, Clone)]
pub struct JoinInput {
    /// Its rows: the columns that the join is of, then perhaps columns that are only keys.
    pub schema: SchemaRef,
    /// How many columns the join is of.
    pub columns: usize,
    /// Positions of the key's columns; as many as the other side has, of the same types.
    pub keys: Vec<usize>,
}

/// What a [`Join`] does.
#[derive(Debug, Clone)]
pub struct JoinSpec {
    /// Which rows come out.
    pub join_type: JoinType,
    /// The two inputs, left and right.
    pub inputs: [JoinInput; 2],
    /// True if a null in a key equals another null.
    pub nulls_equal: bool,
    /// What a pair must also fulfil: an expression over the left columns, then the right ones.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// What comes out: left columns, then right columns; of a semi or anti join those of one side; of a mark join those and the mark.
    pub output: SchemaRef,
    /// False if nothing that came out is ever taken back. Duplicates are then rows of their own.
    pub retracts: bool,
    /// How long the rows of a key are kept after the last change of one of them; `None`: for ever. When they go, results stay as they are.
    pub time_to_live: Option<Duration>,
}

/// What a join type means for the rows of one side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Single {
    /// Nothing comes of a row alone.
    None,
    /// The row, padded with nulls, while it has no match.
    Padded,
    /// The row while it has a match.
    Semi,
    /// The row while it has no match.
    Anti,
    /// The row and whether it has a match.
    Mark,
}

impl Single {
    /// What comes of the rows of the two sides alone.
    fn of(join_type: JoinType) -> [Self; 2] {
        match join_type {
            JoinType::Inner => [Self::None, Self::None],
            JoinType::Left => [Self::Padded, Self::None],
            JoinType::Right => [Self::None, Self::Padded],
            JoinType::Full => [Self::Padded, Self::Padded],
            JoinType::LeftSemi => [Self::Semi, Self::None],
            JoinType::RightSemi => [Self::None, Self::Semi],
            JoinType::LeftAnti => [Self::Anti, Self::None],
            JoinType::RightAnti => [Self::None, Self::Anti],
            JoinType::LeftMark => [Self::Mark, Self::None],
            JoinType::RightMark => [Self::None, Self::Mark],
        }
    }

    /// True if it is there for a row with this sum of matches.
    fn shows(self, matches: i64) -> bool {
        match self {
            Self::None => false,
            Self::Padded | Self::Anti => matches <= 0,
            Self::Semi => matches > 0,
            Self::Mark => true,
        }
    }
}

/// True if pairs come out.
fn makes_pairs(join_type: JoinType) -> bool {
    matches!(join_type, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full)
}
