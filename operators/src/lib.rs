//! Sources, transforms, windows, aggregates, sinks and record formats.

pub mod nginx;
