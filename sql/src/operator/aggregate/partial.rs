//! The rows between combine and aggregate.
//!
//! ```text
//! key columns | pane | rows | states of call 0 | states of call 1 | .. | set | value | weight
//! ```
//! A batch has first one row for each group (more, if rows were not combined): the weight of its rows and the states of the calls that have some. If there
//! are sets, rows follow for the values that were added to each, set by set: the value as bytes, and its weight. `pane` is there only for windows.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt8Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, Int64Array, RecordBatch, UInt8Array, new_null_array,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat;
use riverrun_dataflow::{Error, Result};

use super::spec::AggregateSpec;

/// Where the columns are.
#[derive(Debug, Clone)]
pub(super) struct PartialLayout {
    pub schema: SchemaRef,
    keys: usize,
    windowed: bool,
    /// The state columns of each call.
    states: Vec<Range<usize>>,
    sets: bool,
}

/// What a combine has added up since it has handed on something last.
pub(super) struct Partial {
    /// The keys of the groups, their weights and the states of calls.
    pub keys: Vec<ArrayRef>,
    pub rows: Int64Array,
    pub states: Vec<ArrayRef>,
    pub sets: Vec<PartialSet>,
}

/// What was added to a set.
pub(super) struct PartialSet {
    pub keys: Vec<ArrayRef>,
    pub values: BinaryArray,
    pub weights: Int64Array,
}

impl PartialLayout {
    pub fn new(spec: &AggregateSpec, windowed: bool) -> Self {
        let mut fields: Vec<Field> = (0..)
            .zip(spec.key_types())
            .map(|(at, of): (usize, _)| Field::new(format!("key{at}"), of, true))
            .collect();
        if windowed {
            fields.push(Field::new("pane", DataType::Int64, false));
        }
        fields.push(Field::new("rows", DataType::Int64, true));
        let mut states = Vec::with_capacity(spec.calls.len());
        for (number, call) in spec.calls.iter().enumerate() {
            let first = fields.len();
            if call.has_state() && call.over == super::Over::Rows {
                for (at, of) in call.function.state_types().iter().enumerate() {
                    fields.push(Field::new(format!("state{number}_{at}"), of.clone(), true));
                }
            }
            states.push(first..fields.len());
        }
        let sets = !spec.sets.is_empty();
        if sets {
            fields.push(Field::new("set", DataType::UInt8, true));
            fields.push(Field::new("value", DataType::Binary, true));
            fields.push(Field::new("weight", DataType::Int64, true));
        }
        let schema = Arc::new(Schema::new(fields));
        Self { schema, keys: spec.keys.len(), windowed, states, sets }
    }

    /// The columns of the key: by them rows are spread.
    pub fn keys(&self) -> Range<usize> {
        0..self.keys
    }

    fn rows_at(&self) -> usize {
        self.keys + usize::from(self.windowed)
    }

    /// The rows to hand on; `pane` is that of windows.
    pub fn batch(
        &self,
        operator: &str,
        partial: Partial,
        pane: Option<i64>,
    ) -> Result<RecordBatch> {
        let groups = partial.rows.len();
        let added: usize = partial.sets.iter().map(|set| set.weights.len()).sum();
        let all = groups + added;
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        let failed = |error| Error::io(operator, error);
        for (at, keys) in partial.keys.into_iter().enumerate() {
            let mut parts: Vec<&dyn Array> = vec![&keys];
            parts.extend(
                partial.sets.iter().filter(|s| !s.weights.is_empty()).map(|s| &*s.keys[at]),
            );
            columns.push(if added == 0 { keys } else { concat(&parts).map_err(failed)? });
        }
        if let Some(pane) = pane {
            columns.push(Arc::new(Int64Array::from_value(pane, all)));
        }
        // Rows of groups, then nulls where values of sets are.
        let padded = |column: ArrayRef| match added {
            0 => Ok(column),
            _ => concat(&[&column, &new_null_array(column.data_type(), added)]).map_err(failed),
        };
        columns.push(padded(Arc::new(partial.rows))?);
        for states in partial.states {
            columns.push(padded(states)?);
        }
        if self.sets {
            let mut numbers = vec![None; groups];
            for (number, set) in (0u8..).zip(&partial.sets) {
                numbers.resize(numbers.len() + set.weights.len(), Some(number));
            }
            columns.push(Arc::new(UInt8Array::from(numbers)));
            let (none, zero) = (BinaryArray::new_null(groups), Int64Array::new_null(groups));
            let mut values: Vec<&dyn Array> = vec![&none];
            values.extend(partial.sets.iter().map(|set| &set.values as &dyn Array));
            columns.push(concat(&values).map_err(failed)?);
            let mut weights: Vec<&dyn Array> = vec![&zero];
            weights.extend(partial.sets.iter().map(|set| &set.weights as &dyn Array));
            columns.push(concat(&weights).map_err(failed)?);
        }
        RecordBatch::try_new(self.schema.clone(), columns).map_err(|e| Error::io(operator, e))
    }

    /// A look at rows that came over the edge.
    pub fn view<'a>(&self, operator: &str, batch: &'a RecordBatch) -> Result<PartialView<'a>> {
        if batch.schema_ref().fields().len() != self.schema.fields().len() {
            return Err(Error::WrongBatch {
                operator: operator.to_owned(),
                expected: "rows of a combine".to_owned(),
                got: format!("{} columns", batch.num_columns()),
            });
        }
        let columns = batch.columns();
        let at = self.rows_at();
        let all = batch.num_rows();
        let mut view = PartialView {
            keys: &columns[..self.keys],
            rows: columns[at].as_primitive::<Int64Type>(),
            states: self.states.iter().map(|range| &columns[range.clone()]).collect(),
            groups: all,
            sets: Vec::new(),
        };
        if self.sets {
            let [set, value, weight] = [3, 2, 1].map(|back| &columns[columns.len() - back]);
            let numbers = set.as_primitive::<UInt8Type>();
            view.groups = numbers.null_count();
            let mut first = view.groups;
            while first < all {
                let number = numbers.value(first);
                let same = (first..all).take_while(|row| numbers.value(*row) == number).count();
                view.sets.push(SetView {
                    set: usize::from(number),
                    rows: first..first + same,
                    values: value.as_binary::<i32>(),
                    weights: weight.as_primitive::<Int64Type>(),
                });
                first += same;
            }
        }
        Ok(view)
    }
}

/// Rows that came over the edge.
pub(super) struct PartialView<'a> {
    pub keys: &'a [ArrayRef],
    pub rows: &'a Int64Array,
    pub states: Vec<&'a [ArrayRef]>,
    /// The first so many rows are groups; the others belong to sets.
    pub groups: usize,
    pub sets: Vec<SetView<'a>>,
}

/// Rows of one set.
pub(super) struct SetView<'a> {
    pub set: usize,
    pub rows: Range<usize>,
    pub values: &'a BinaryArray,
    pub weights: &'a Int64Array,
}
