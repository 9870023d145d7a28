//! What is kept of a side's rows, and how columns come back from it.

use std::collections::BTreeSet;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow_schema::DataType;
use arrow_select::take::take;
use riverrun_dataflow::{Error, Result};

use super::JoinInput;
use crate::state::{EncodedRows, RowCodec};

/// Where a column of a kept row comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The key, which the arriving row has as well.
    Key(usize),
    /// The kept columns.
    Kept(usize),
    /// Nobody asks for it.
    Nowhere,
}

/// One side of a join: its keys, and which of its columns are kept.
pub(super) struct Side {
    pub(super) input: JoinInput,
    pub(super) key_codec: RowCodec,
    row_codec: RowCodec,
    /// Positions of the kept columns.
    kept: Vec<usize>,
    /// By column of the join.
    origin: Vec<Origin>,
}

impl Side {
    /// A side of which the columns for which `needed` is true can be asked for later.
    pub(super) fn new(
        operator: &str,
        input: JoinInput,
        needed: impl Fn(usize) -> bool,
    ) -> Result<Self> {
        let mut kept = Vec::new();
        let origin = (0..input.columns)
            .map(|column| match input.keys.iter().position(|key| *key == column) {
                Some(key) => Origin::Key(key),
                None if needed(column) => {
                    kept.push(column);
                    Origin::Kept(kept.len() - 1)
                }
                None => Origin::Nowhere,
            })
            .collect();
        let type_of = |at: &usize| input.schema.field(*at).data_type().clone();
        let key_codec = RowCodec::new(operator, input.keys.iter().map(type_of))?;
        let row_codec = RowCodec::new(operator, kept.iter().map(type_of))?;
        Ok(Self { key_codec, row_codec, kept, origin, input })
    }

    /// The key columns of a batch.
    pub(super) fn key_columns(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        self.input.keys.iter().map(|at| rows.column(*at).clone()).collect()
    }

    /// The kept columns of a batch as bytes.
    pub(super) fn encode(&self, operator: &str, rows: &RecordBatch) -> Result<EncodedRows> {
        let columns: Vec<_> = self.kept.iter().map(|at| rows.column(*at).clone()).collect();
        self.row_codec.encode(operator, &columns, rows.num_rows())
    }

    /// The kept columns of rows.
    pub(super) fn decode<'a>(
        &self,
        operator: &str,
        rows: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>> {
        self.row_codec.decode(operator, rows)
    }

    /// Some of the side's columns, for rows whose kept columns were decoded. `keys` are key columns in which row `i` finds its key at `at[i]`.
    pub(super) fn columns(
        &self,
        operator: &str,
        which: impl IntoIterator<Item = usize>,
        kept: &[ArrayRef],
        keys: &[ArrayRef],
        at: &UInt32Array,
    ) -> Result<Vec<ArrayRef>> {
        which
            .into_iter()
            .map(|column| match self.origin[column] {
                Origin::Key(key) => {
                    take(&keys[key], at, None).map_err(|error| Error::io(operator, error))
                }
                Origin::Kept(column) => Ok(kept[column].clone()),
                Origin::Nowhere => Ok(new_null_array(self.data_type(column), at.len())),
            })
            .collect()
    }

    /// The type of a column.
    fn data_type(&self, column: usize) -> &DataType {
        self.input.schema.field(column).data_type()
    }

    /// Nulls in place of the side's columns.
    pub(super) fn nulls(&self, count: usize) -> impl Iterator<Item = ArrayRef> + '_ {
        (0..self.input.columns).map(move |column| new_null_array(self.data_type(column), count))
    }
}

/// The columns that are needed of a side: all of them if they come out, else those of the filter.
pub(super) fn needed(
    comes_out: bool,
    filter: impl Iterator<Item = usize>,
) -> impl Fn(usize) -> bool {
    let filter: BTreeSet<usize> = filter.collect();
    move |column| comes_out || filter.contains(&column)
}
