//! OVER: a value for each row, of the rows around it in its partition.
//!
//! DataFusion's window functions compute the values, over rows of a partition that are put in order here. There are two operators:
//!
//! * [`TimedOver`], for rows that are never taken back and are ordered by event time: each row waits for the watermark, gets its value once,
//!   and only what later rows need is kept.
//! * [`Over`], for all else: it keeps the rows of each partition with their values and emits which of them changed.
//!
//! Rows that are equal by the order are ordered by their other columns, nulls first: the result does not depend on which row came first.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_cast::cast;
use arrow_schema::{SchemaRef, SortOptions};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::window::WindowExpr;
use riverrun_dataflow::{Error, Output, Result};

use super::calc::failed;
use super::emission::{Emission, Strings};
use super::rank::RankFunction;
use crate::state::{RowCodec, RowLayout};

mod changing;
mod partial;
mod running;
mod timed;

pub use changing::Over;
pub use timed::TimedOver;

/// What an [`Over`] or [`TimedOver`] does.
#[derive(Debug, Clone)]
pub struct OverSpec {
    /// The rows that come in.
    pub input: SchemaRef,
    /// The columns by which rows are parted; without any all rows are in one partition.
    pub partition: Vec<usize>,
    /// The columns by which the rows of a partition are ordered.
    pub order: Vec<(usize, SortOptions)>,
    /// What is computed for each row.
    pub functions: Vec<OverFunction>,
    /// The columns of the input that go out.
    pub columns: Vec<usize>,
    /// What comes out: those columns, then a value of each function.
    pub output: SchemaRef,
}

/// A window function over the rows that come in.
#[derive(Debug, Clone)]
pub struct OverFunction {
    /// The function.
    pub function: Arc<dyn WindowExpr>,
    /// Its FILTER clause, which the function has too.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// Which rows it looks at.
    pub reach: Reach,
}

/// Which rows of its partition the value of a row depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// So many rows before it and so many behind it.
    Rows {
        /// Before it.
        before: usize,
        /// Behind it.
        after: usize,
    },
    /// Rows whose ordering value is at most so many milliseconds before its own, and its peers.
    Time(i64),
    /// The first rows of the partition, so many, and its peers.
    First(usize),
    /// All rows up to it, of which an aggregate's accumulator is enough.
    Running,
    /// All rows up to it, of which their number is enough.
    Numbered(RankFunction),
    /// All rows up to it, one by one.
    Before,
    /// All rows.
    All,
}

/// What both operators share: how rows are kept, and what goes out.
struct Layout {
    spec: OverSpec,
    rows: RowLayout,
    values: RowCodec,
    emission: Emission,
    emitted: Strings,
}

impl Layout {
    fn new(spec: OverSpec) -> Result<Self> {
        let added = &spec.output.fields()[spec.columns.len()..];
        Ok(Self {
            rows: RowLayout::new("over", &spec.input, &spec.partition, &spec.order, false)?,
            values: RowCodec::new("over", added.iter().map(|field| field.data_type().clone()))?,
            spec,
            emission: Emission::default(),
            emitted: Strings::default(),
        })
    }

    /// Rows that are kept as bytes, as the functions take them.
    fn decode<'a>(
        &self,
        operator: &str,
        keys: impl IntoIterator<Item = &'a [u8]>,
        rests: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<RecordBatch> {
        let columns = self.rows.decode(operator, keys, rests)?;
        RecordBatch::try_new(self.spec.input.clone(), columns)
            .map_err(|error| Error::state(operator, error))
    }

    /// The values of a function as the type that goes out.
    fn typed(&self, operator: &str, function: usize, values: ArrayRef) -> Result<ArrayRef> {
        let of = self.spec.output.field(self.spec.columns.len() + function).data_type();
        if values.data_type() == of {
            return Ok(values);
        }
        cast(&values, of).map_err(|error| failed(operator, error))
    }

    fn push(&mut self, key: &[u8], rest: &[u8], values: &[u8], weight: i64) {
        self.emission.push(key, rest, weight);
        self.emitted.push(values);
    }

    fn emit(&mut self, operator: &str, out: &mut dyn Output) -> Result<()> {
        if self.emission.len() == 0 {
            return Ok(());
        }
        let values = self.values.decode(operator, self.emitted.iter())?;
        self.emitted.clear();
        let OverSpec { columns, output, .. } = &self.spec;
        self.emission.emit(operator, &self.rows, columns, values, output, out)
    }
}

/// The values of a function for the rows of one partition, which must not be empty.
fn evaluate(operator: &str, function: &dyn WindowExpr, rows: &RecordBatch) -> Result<ArrayRef> {
    function.evaluate(rows).map_err(|error| failed(operator, error))
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
