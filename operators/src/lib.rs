//! Sources, transforms, windows, aggregates, sinks and record formats.

pub mod generate;
pub mod nginx;
