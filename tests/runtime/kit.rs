//! What the jobs of these tests are made of.

mod job;
mod operators;
mod outside;
mod source;

pub use job::{Cluster, Pipeline, check_counts, node};
pub use operators::Row;
pub use outside::{Chaos, Output, World};
pub use source::Numbers;
