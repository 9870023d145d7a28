//! SQL over streams.

mod changes;
mod error;
pub mod state;

pub use changes::{Changes, WEIGHT, with_weight};
pub use error::{Error, Position, Result};
