//! Aggregates by key: what GROUP BY and DISTINCT run on.
//!
//! It takes two operators. In front of the HASH edge a [`Combine`] adds up the rows of each group as they come and hands on one row of
//! partial states for each: what goes over the edge is groups, not rows. Behind the edge a [`GroupAggregate`] merges the partial states into
//! its state and puts out what has changed, or a [`WindowAggregate`] keeps them until their windows are over.
//!
//! | file | what |
//! |---|---|
//! | `aggregate/spec.rs` | what is aggregated: [`AggregateSpec`] |
//! | `aggregate/grouping.rs` | rows to groups |
//! | `aggregate/partial.rs` | the rows between the two operators |
//! | `aggregate/local.rs` | groups of rows that are not yet handed on |
//! | `aggregate/combine.rs` | the operator before the edge: [`Combine`] |
//! | `aggregate/states.rs` | keyed state behind the edge |
//! | `aggregate/sets.rs` | results that are computed from all values of a group |
//! | `aggregate/group.rs` | the operator behind the edge, unbounded: [`GroupAggregate`] |
//! | `aggregate/windows.rs` | which windows rows fall into: [`WindowLayout`] |
//! | `aggregate/window.rs` | the operator behind the edge, in windows: [`WindowAggregate`] |
//! | `aggregate/session.rs` | sessions: [`SessionAssigner`], [`SessionAggregate`] |
//! | `aggregate/emitted.rs` | results of windows that may have to be taken back |
//! | `aggregate/expand.rs` | rows for each of several grouping sets: [`Expand`] |
//!
//! A call is computed in one of several ways ([`Over`]). Where rows have inverses, or are never taken back, the state is that of the
//! function. DISTINCT keeps the multiset of the values of each group, shared by all calls with the same arguments, and lets the function see a value only
//! when it appears or vanishes. MIN and MAX under retraction read the ends of the multiset. What else cannot take rows back is computed anew from the
//! multiset.

mod combine;
mod emitted;
mod expand;
mod group;
mod grouping;
mod local;
mod partial;
mod session;
mod sets;
mod spec;
mod states;
mod window;
mod windows;

pub use combine::{Combine, Holds};
pub use expand::{Expand, ExpandSpec};
pub use group::GroupAggregate;
pub use session::{SessionAggregate, SessionAssigner, SessionAssignerSpec, SessionSpec};
pub use spec::{AggregateSpec, Call, OutputColumn, Over, SetSpec};
pub use window::{Updates, WindowAggregate, WindowSpec};
pub use windows::WindowLayout;
pub(super) use windows::out_of_range;
