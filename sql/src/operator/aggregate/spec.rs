//! What is aggregated.

use std::sync::Arc;

use arrow_schema::{DataType, SchemaRef, SortOptions};
use datafusion::common::ScalarValue;

use crate::aggregate::StreamAggregate;

/// What the operators of an aggregation share.
#[derive(Debug, Clone)]
pub struct AggregateSpec {
    /// The rows that come in.
    pub input: SchemaRef,
    /// The columns that make a group.
    pub keys: Vec<usize>,
    /// The aggregates.
    pub calls: Vec<Call>,
    /// The multisets that some of the calls share.
    pub sets: Vec<SetSpec>,
    /// True if rows of the input may be taken back.
    pub retracts: bool,
    /// True if a key column is event time: a group must not be held back when a watermark passes.
    pub timely: bool,
    /// The keys of groups that are there without rows too: of the one group where there are no key columns, and of grand totals.
    pub always: Vec<Vec<ScalarValue>>,
    /// The rows that come out, one for each group.
    pub output: SchemaRef,
    /// Where each of their columns comes from.
    pub columns: Vec<OutputColumn>,
}

/// One call of an aggregate function.
#[derive(Debug, Clone)]
pub struct Call {
    /// The function.
    pub function: Arc<dyn StreamAggregate>,
    /// Its arguments, as columns of the input.
    pub args: Vec<usize>,
    /// A column of BOOLEAN; rows for which it is not true do not count.
    pub filter: Option<usize>,
    /// From what it is computed.
    pub over: Over,
}

/// From what a call is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// From the rows as they come.
    Rows,
    /// From the values of a set as they appear and vanish.
    Distinct {
        /// The set.
        set: usize,
    },
    /// It is the first value of a set of one column, or the last.
    Extreme {
        /// The set.
        set: usize,
        /// The last.
        last: bool,
    },
    /// Anew from all values of a set, whenever one has changed.
    All {
        /// The set.
        set: usize,
        /// Each value once, however often it is there.
        distinct: bool,
    },
}

/// A multiset of values that is kept for each group.
#[derive(Debug, Clone, PartialEq)]
pub struct SetSpec {
    /// The columns of a value, in the order by which values are sorted.
    pub columns: Vec<usize>,
    /// How each of them is sorted.
    pub order: Vec<SortOptions>,
    /// A column of BOOLEAN; rows for which it is not true are not in the set.
    pub filter: Option<usize>,
    /// Rows with a null in one of the columns are not in the set.
    pub skip_nulls: bool,
    /// Which columns of the value are the arguments of functions over it, in their order.
    pub args: Vec<usize>,
}

/// Where a column of the result comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputColumn {
    /// The key column of this number.
    Key(usize),
    /// The call of this number.
    Call(usize),
    /// The first instant of the window.
    WindowStart,
    /// The instant behind the last one of the window.
    WindowEnd,
    /// The last millisecond of the window.
    WindowTime,
}

impl AggregateSpec {
    /// True if a group that is there never changes and never goes: nothing but new groups comes out.
    pub fn only_appends(&self) -> bool {
        self.calls.is_empty() && !self.retracts
    }

    /// The types of the columns of the key.
    pub fn key_types(&self) -> impl Iterator<Item = DataType> + '_ {
        self.keys.iter().map(|at| self.type_of(*at))
    }

    pub(super) fn type_of(&self, column: usize) -> DataType {
        self.input.field(column).data_type().clone()
    }

    /// The type of the result of a call.
    pub(super) fn result_type(&self, call: usize) -> DataType {
        let at = self.columns.iter().position(|column| *column == OutputColumn::Call(call));
        at.map_or(DataType::Null, |at| self.output.field(at).data_type().clone())
    }

    /// The types of a set's columns, with their order.
    pub(super) fn set_types(
        &self,
        set: usize,
    ) -> impl Iterator<Item = (DataType, SortOptions)> + '_ {
        let set = &self.sets[set];
        set.columns.iter().zip(&set.order).map(|(at, order)| (self.type_of(*at), *order))
    }
}

impl Call {
    /// True if the state of the call is the function's.
    pub(super) fn has_state(&self) -> bool {
        matches!(self.over, Over::Rows | Over::Distinct { .. })
    }
}
