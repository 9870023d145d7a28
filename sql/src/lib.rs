//! SQL over streams.

pub mod aggregate;
pub mod batch;
pub mod catalog;
mod changes;
pub mod connector;
mod error;
pub mod function;
pub mod operator;
pub mod parser;
pub mod plan;
pub mod session;
pub mod state;
pub mod stream;

pub use changes::{Changes, WEIGHT, with_weight};
pub use error::{Error, Position, Result};
