//! Nowhere: for measuring.

use riverrun_dataflow::{Columns, DataStream};
use riverrun_operators::ColumnSinks;

use super::options::Options;
use crate::Result;

/// It has no options.
pub(super) fn check(options: Options<'_>) -> Result<()> {
    options.accept(&["sink.parallelism"]);
    options.finish()
}

/// Ends a stream.
pub(super) fn sink(stream: &DataStream<Columns>) {
    stream.discard();
}
