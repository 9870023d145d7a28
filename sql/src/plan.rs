//! From a query to an optimised logical plan.
//!
//! DataFusion's planner turns a parsed query into a logical plan; what it does not know is planned here and stands in its plan as extension nodes until
//! the streaming planner or the batch planner takes over.
//!
//! | file | what |
//! |---|---|
//! | `plan/query.rs` | the way from query to plan: [`QueryPlanner`] |
//! | `plan/headings.rs` | what columns are called |
//! | `plan/names.rs` | how tables, functions and types are found |
//! | `plan/fields.rs` | what a field of a ROW is called |
//! | `plan/relation.rs` | what a FROM names: [`Relation`] |
//! | `plan/windows.rs`, `plan/windowing.rs` | `TUMBLE`, `HOP`, `CUMULATE`, `SESSION`: [`WindowTvf`] |
//! | `plan/lateral.rs` | `UNNEST` and table functions of a row |
//! | `plan/event_time.rs` | a table's `WATERMARK FOR`: [`EventTime`] |
//! | `plan/versions.rs`, `plan/temporal_join.rs` | `FOR SYSTEM_TIME AS OF`: [`TemporalJoin`] |
//! | `plan/output.rs` | the types of a result |
//! | `plan/copies.rs` | rows that are kept once, with a count |
//! | `plan/reading.rs`, `plan/parts.rs`, `plan/pruning.rs` | how little of each table is to be read: fields, records |
//! | `plan/constant.rs` | rows that a plan itself holds |

mod constant;
mod copies;
mod event_time;
mod fields;
mod headings;
mod lateral;
mod names;
mod output;
mod parts;
mod pruning;
mod query;
mod reading;
mod relation;
mod temporal_join;
mod versions;
mod windowing;
mod windows;

pub use constant::{constant_rows, described};
pub(crate) use copies::{COPIES, with_copies};
pub use event_time::EventTime;
pub use names::FindTable;
#[cfg(test)]
pub(crate) use names::Names;
pub use query::{QueryPlanner, config_options};
pub use reading::{Needs, pruned, read_less};
pub use relation::{Relation, Rows};
pub use temporal_join::{AsOf, TemporalJoin};
pub use windowing::{WindowKind, WindowTvf};

pub(crate) use fields::RowFields;
pub(crate) use query::invalid;
pub(crate) use reading::needs_of;
pub(crate) use versions::is_processing_time;
