//! From a logical plan to a job graph.
//!
//! The planner walks DataFusion's optimised plan from its inputs up and adds an operator to the job for each node. With every stream goes what
//! is known of its rows ([`Planned`]): whether rows can be retracted, which columns are event time, which are unique, which state
//! has been kept on the way. One file a kind of node:
//!
//! | file | what |
//! |---|---|
//! | `stream/planned.rs` | a stream and what is known of it |
//! | `stream/planner.rs` | the walk; expressions |
//! | `stream/shared.rs` | what is used more than once |
//! | `stream/scan.rs` | tables, event time, constant rows |
//! | `stream/windows.rs` | windowing functions |
//! | `stream/calc.rs` | projection and filter |
//! | `stream/upsert.rs` | what stands before a sink that replaces rows by key |
//! | `stream/rank.rs` | filters on a rank: top-N, deduplication |
//! | `stream/over.rs` | OVER |
//! | `stream/sort.rs` | ORDER BY and LIMIT |
//! | `stream/aggregate.rs` | GROUP BY and DISTINCT |
//! | `stream/join.rs`, `stream/temporal.rs` | joins |
//! | `stream/union.rs`, `stream/unnest.rs` | UNION ALL, UNNEST |

mod aggregate;
mod calc;
#[cfg(test)]
mod clock_tests;
mod join;
mod over;
mod planned;
mod planner;
mod rank;
#[cfg(test)]
mod ranking_tests;
mod scan;
mod shared;
mod sort;
mod temporal;
#[cfg(test)]
pub(crate) mod testing;
mod union;
mod unnest;
mod upsert;
mod windows;

pub(crate) use join::same_types;
pub use planned::{Planned, StateNote, WindowColumns};
pub use planner::StreamPlanner;
