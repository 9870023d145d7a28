//! The DataStream DSL: how a job is written in Rust.
//!
//! A program makes an [`Environment`], adds sources to it, and calls methods on the [`DataStream`]s it gets. Nothing runs
//! meanwhile: the calls build a graph, which [`Environment::build`] turns into a [`Job`](crate::Job). The
//! sources, transforms, windows and sinks that programs use are methods added by extension traits of the operators crate; here is
//! what they stand on: [`Environment::add_source`], [`DataStream::transform`], [`DataStream::add_sink`].

mod build;
mod data_stream;
mod environment;
mod keyed_stream;

pub use data_stream::DataStream;
pub use environment::{Environment, OperatorSpec};
pub use keyed_stream::KeyedStream;
