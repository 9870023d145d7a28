//! Aggregates: what windows and running aggregates compute over the rows of a key.
//!
//! An [`Aggregate`] works on accumulators that can be merged, so that rows can be combined before they cross a
//! HASH edge, panes shared between sliding windows, and sessions joined.

mod arithmetic;
mod number;

use riverrun_dataflow::Record;

pub use arithmetic::{Average, Count, Max, Min, Reduce, Sum};
pub use number::Number;

/// A computation over any number of rows, in pieces that can be merged.
///
/// # Contract
/// Merging must not depend on how the rows were cut into pieces: for all rows a and b,
/// `merge(add(create(), a), add(create(), b))` and `add(add(create(), a), b)` give the same result, in
/// either order.
///
/// ```
/// use riverrun_operators::prelude::*;
///
/// /// How far apart the smallest and the largest row are.
/// #[derive(Clone)]
/// struct Spread;
///
/// impl Aggregate for Spread {
///     type Input = i64;
///     type Accumulator = (i64, i64);
///     type Output = i64;
///
///     fn create(&self) -> (i64, i64) {
///         (i64::MAX, i64::MIN)
///     }
///     fn add(&self, accumulator: &mut (i64, i64), row: i64) {
///         accumulator.0 = accumulator.0.min(row);
///         accumulator.1 = accumulator.1.max(row);
///     }
///     fn merge(&self, into: &mut (i64, i64), from: (i64, i64)) {
///         into.0 = into.0.min(from.0);
///         into.1 = into.1.max(from.1);
///     }
///     fn result(&self, accumulator: (i64, i64)) -> i64 {
///         accumulator.1 - accumulator.0
///     }
/// }
///
/// let mut accumulator = Spread.create();
/// for row in [5, 2, 9] {
///     Spread.add(&mut accumulator, row);
/// }
/// assert_eq!(Spread.result(accumulator), 7);
/// ```
pub trait Aggregate: Clone + Send + Sync + 'static {
    /// The rows.
    type Input: Record;
    /// What is kept per key (and pane) while rows come in. Part of the format of state.
    type Accumulator: Record;
    /// The result for one key (and window).
    type Output: Record;

    /// An accumulator of no rows.
    fn create(&self) -> Self::Accumulator;

    /// Adds a row.
    fn add(&self, accumulator: &mut Self::Accumulator, row: Self::Input);

    /// Adds all that `from` holds.
    fn merge(&self, into: &mut Self::Accumulator, from: Self::Accumulator);

    /// The result. Asked only of accumulators that have seen a row.
    fn result(&self, accumulator: Self::Accumulator) -> Self::Output;

    /// What the aggregate is called in descriptions. Restored state of an aggregate of another name is refused.
    fn name(&self) -> &str {
        "aggregate"
    }
}

#[cfg(test)]
mod tests;
