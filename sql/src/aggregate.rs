//! Aggregate functions over weighted rows, as functions on arrays.
//!
//! A function keeps for each group a row of plain values, its *state*: a few columns of Arrow types. So the state of all functions of a query
//! is one row, which goes over a HASH edge, into a state table and into a checkpoint like any other row. An [`Accumulator`] adds up rows and
//! states of many groups at a time and hands the states out; a [`StreamAggregate`] makes accumulators and turns states into results.
//!
//! | file | what |
//! |---|---|
//! | `aggregate/counts.rs` | COUNT with weights: [`Count`] |
//! | `aggregate/sums.rs` | SUM and AVG of integers and decimals with weights: [`Sum`] |
//! | `aggregate/exact.rs` | SUM and AVG of floating point numbers with weights, exact: [`ExactSum`] |
//! | `aggregate/generic.rs` | any aggregate of DataFusion, for rows that are never taken back: [`Generic`] |
//!
//! Functions for which retractions are no inverses (MIN, STDDEV, those of users) are not here twice: under retraction, and with DISTINCT,
//! the operator keeps the multiset of their arguments and feeds them from it; see [`operator::aggregate`](crate::operator::aggregate).

mod counts;
mod exact;
mod generic;
mod sums;

use std::fmt::Debug;

use arrow_array::{ArrayRef, BooleanArray, Int64Array};
use arrow_schema::DataType;
use datafusion::common::Result;

pub use counts::Count;
pub use exact::ExactSum;
pub use generic::Generic;
pub use sums::Sum;

/// Rows for an [`Accumulator`].
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// The arguments of the function, a column each.
    pub args: &'a [ArrayRef],
    /// Rows for which this is not true do not count.
    pub filter: Option<&'a BooleanArray>,
    /// The weights of the rows; without, all are 1.
    pub weights: Option<&'a Int64Array>,
    /// The group of each row.
    pub group_of: &'a [usize],
    /// Number of groups; it never goes down until the accumulator has handed out its states.
    pub groups: usize,
}

impl Rows<'_> {
    /// Calls `add(row, group, weight)` for the rows that count: those whose arguments are all there and that pass the filter.
    #[inline]
    fn for_each(&self, mut add: impl FnMut(usize, usize, i64)) {
        let nulls: Vec<_> = self
            .args
            .iter()
            .filter_map(|arg| arg.logical_nulls())
            .filter(|n| n.null_count() > 0)
            .collect();
        if nulls.is_empty() && self.filter.is_none() {
            match self.weights {
                None => (0..).zip(self.group_of).for_each(|(row, group)| add(row, *group, 1)),
                Some(weights) => {
                    let rows = self.group_of.iter().zip(weights.values());
                    (0..).zip(rows).for_each(|(row, (group, weight))| add(row, *group, *weight));
                }
            }
            return;
        }
        for (row, group) in self.group_of.iter().enumerate() {
            let passes = self.filter.is_none_or(|filter| {
                arrow_array::Array::is_valid(filter, row) && filter.value(row)
            });
            if passes && nulls.iter().all(|nulls| nulls.is_valid(row)) {
                add(row, *group, self.weights.map_or(1, |weights| weights.value(row)));
            }
        }
    }
}

/// Adds up rows and states of many groups.
pub trait Accumulator: Send {
    /// Adds rows.
    ///
    /// # Errors
    /// What the function says of its arguments.
    fn update(&mut self, rows: Rows<'_>) -> Result<()>;

    /// Adds states: row i of the columns to group `group_of[i]`.
    ///
    /// # Errors
    /// If the columns are not the function's state.
    fn merge(&mut self, states: &[ArrayRef], group_of: &[usize], groups: usize) -> Result<()>;

    /// Makes sure that there are so many groups. To be called where not every group gets a row or a state in the first call that names it.
    ///
    /// # Errors
    /// What the function says of its types.
    fn ensure(&mut self, _groups: usize) -> Result<()> {
        Ok(())
    }

    /// Hands out the states, one row for each of `groups` groups, and starts anew.
    ///
    /// # Errors
    /// What the function says.
    fn finish(&mut self, groups: usize) -> Result<Vec<ArrayRef>>;
}

/// An aggregate function.
pub trait StreamAggregate: Debug + Send + Sync {
    /// The types of the columns of its state.
    fn state_types(&self) -> &[DataType];

    /// True if rows may have weights, negative ones too: taking a row back leaves the state as if it had never come.
    fn takes_weights(&self) -> bool;

    /// An accumulator without groups.
    ///
    /// # Errors
    /// What the function says of its types.
    fn accumulator(&self) -> Result<Box<dyn Accumulator>>;

    /// The result of each row of states.
    ///
    /// # Errors
    /// What the function says: a result out of range.
    fn evaluate(&self, states: &[ArrayRef]) -> Result<ArrayRef>;
}
