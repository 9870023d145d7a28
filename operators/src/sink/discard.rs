//! Nowhere.

use riverrun_dataflow::{Batch, Operator, Output, Result};

/// Takes everything and keeps nothing: to see how fast what comes before it is.
pub(super) struct Discard;

impl Operator for Discard {
    fn process(&mut self, _input: usize, _batch: Batch, _out: &mut dyn Output) -> Result<()> {
        Ok(())
    }
}
