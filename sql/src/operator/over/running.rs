//! Values over all rows of a partition so far, of which only an accumulator is kept.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt64Array};
use arrow_select::filter::filter;
use arrow_select::take::take;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Accumulator, WindowFrameUnits};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::window::{PlainAggregateWindowExpr, WindowExpr};
use riverrun_dataflow::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{OverFunction, Reach};
use crate::operator::calc::{evaluate_predicate, failed};
use crate::operator::rank::RankFunction;
use crate::state::RowCodec;

/// What is kept of a partition's rows so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Totals {
    /// Number of rows.
    rows: u64,
    /// Number of different times.
    times: u64,
    /// The state of each running aggregate.
    states: Vec<Vec<u8>>,
}

/// A function whose value at a row needs the rows up to it, but not one by one.
pub(super) enum Running {
    Numbered(RankFunction),
    Aggregate(RunningAggregate),
}

/// An aggregate from the first row of a partition on.
pub(super) struct RunningAggregate {
    function: Arc<dyn WindowExpr>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// Rows of the same time have the same value: that with all of them.
    peers: bool,
    state: RowCodec,
}

impl Running {
    /// The running form of a function, if it has one.
    ///
    /// # Errors
    /// [`Error::Io`] if its state cannot be kept as bytes.
    pub fn of(operator: &str, of: &OverFunction) -> Result<Option<Self>> {
        match of.reach {
            Reach::Numbered(function) => return Ok(Some(Self::Numbered(function))),
            Reach::Running => {}
            _ => return Ok(None),
        }
        let Some(aggregate) = aggregate(of.function.as_ref()) else {
            return Err(Error::io(operator, format!("{} has no accumulator", of.function.name())));
        };
        let fields = aggregate.get_aggregate_expr().state_fields();
        let fields = fields.map_err(|error| failed(operator, error))?;
        Ok(Some(Self::Aggregate(RunningAggregate {
            function: of.function.clone(),
            filter: of.filter.clone(),
            peers: of.function.get_window_frame().units != WindowFrameUnits::Rows,
            state: RowCodec::new(operator, fields.iter().map(|field| field.data_type().clone()))?,
        })))
    }
}

fn aggregate(function: &dyn WindowExpr) -> Option<&PlainAggregateWindowExpr> {
    function.as_any().downcast_ref::<PlainAggregateWindowExpr>()
}

/// All running functions of an operator.
pub(super) struct RunningFunctions(pub Vec<Running>);

impl RunningFunctions {
    /// The values of each function for further rows of a partition, of which those of one time are `peers`.
    ///
    /// # Errors
    /// What the functions return.
    pub fn advance(
        &self,
        operator: &str,
        totals: &mut Totals,
        rows: &RecordBatch,
        peers: &[Range<usize>],
    ) -> Result<Vec<ArrayRef>> {
        let aggregates = self.0.iter().filter(|of| matches!(of, Running::Aggregate(_))).count();
        let mut states = std::mem::take(&mut totals.states).into_iter();
        let mut kept = Vec::with_capacity(aggregates);
        let mut values: Vec<ArrayRef> = Vec::with_capacity(self.0.len());
        let (before, times) = (totals.rows, totals.times);
        for function in &self.0 {
            values.push(match function {
                Running::Numbered(RankFunction::RowNumber) => {
                    numbers((0..rows.num_rows() as u64).map(|at| before + at + 1))
                }
                Running::Numbered(RankFunction::Rank) => numbers(
                    peers
                        .iter()
                        .flat_map(|peers| peers.clone().map(|_| before + peers.start as u64 + 1)),
                ),
                Running::Numbered(RankFunction::DenseRank) => numbers(
                    (times + 1..)
                        .zip(peers)
                        .flat_map(|(rank, peers)| peers.clone().map(move |_| rank)),
                ),
                Running::Aggregate(aggregate) => {
                    let state = states.next();
                    let (values, state) =
                        aggregate.advance(operator, state.as_deref(), rows, peers)?;
                    kept.push(state);
                    values
                }
            });
        }
        totals.rows += rows.num_rows() as u64;
        totals.times += peers.len() as u64;
        totals.states = kept;
        Ok(values)
    }
}

fn numbers(values: impl Iterator<Item = u64>) -> ArrayRef {
    Arc::new(UInt64Array::from_iter_values(values))
}

impl RunningAggregate {
    /// The values for further rows, and the state behind them.
    fn advance(
        &self,
        operator: &str,
        state: Option<&[u8]>,
        rows: &RecordBatch,
        peers: &[Range<usize>],
    ) -> Result<(ArrayRef, Vec<u8>)> {
        let bad = |error| failed(operator, error);
        let Some(aggregate) = aggregate(self.function.as_ref()) else {
            return Err(Error::io(operator, "an aggregate without an accumulator"));
        };
        let mut accumulator = aggregate.get_aggregate_expr().create_accumulator().map_err(bad)?;
        if let Some(state) = state {
            let state = self.state.decode(operator, [state])?;
            accumulator.merge_batch(&state).map_err(bad)?;
        }
        let args = self.function.evaluate_args(rows).map_err(bad)?;
        let filter = self.filter.as_ref();
        let filter = filter.map(|of| evaluate_predicate(operator, of, rows)).transpose()?;
        let steps = Steps { operator, args, filter };
        let mut results: Vec<ScalarValue> = Vec::with_capacity(rows.num_rows());
        if self.peers {
            for peers in peers {
                steps.take(accumulator.as_mut(), peers.clone())?;
                results.push(accumulator.evaluate().map_err(bad)?);
            }
        } else {
            for row in 0..rows.num_rows() {
                steps.take(accumulator.as_mut(), row..row + 1)?;
                results.push(accumulator.evaluate().map_err(bad)?);
            }
        }
        let mut values = ScalarValue::iter_to_array(results).map_err(bad)?;
        if self.peers && peers.len() < rows.num_rows() {
            let of =
                (0..).zip(peers).flat_map(|(number, peers)| peers.clone().map(move |_| number));
            let of = UInt64Array::from_iter_values(of);
            values = take(&values, &of, None).map_err(|error| Error::io(operator, error))?;
        }
        Ok((values, self.encoded(operator, accumulator.as_mut())?))
    }

    fn encoded(&self, operator: &str, accumulator: &mut dyn Accumulator) -> Result<Vec<u8>> {
        let bad = |error| failed(operator, error);
        let state = accumulator.state().map_err(bad)?;
        let columns: Vec<ArrayRef> = state
            .iter()
            .zip(self.state.types())
            .map(|(value, of)| value.cast_to(of).and_then(|value| value.to_array()).map_err(bad))
            .collect::<Result<_>>()?;
        Ok(self.state.encode(operator, &columns, 1)?.row(0).to_vec())
    }
}

/// Rows on their way into an accumulator.
struct Steps<'a> {
    operator: &'a str,
    args: Vec<ArrayRef>,
    filter: Option<BooleanArray>,
}

impl Steps<'_> {
    fn take(&self, accumulator: &mut dyn Accumulator, rows: Range<usize>) -> Result<()> {
        let slice = |array: &ArrayRef| array.slice(rows.start, rows.len());
        let args: Vec<ArrayRef> = match &self.filter {
            None => self.args.iter().map(slice).collect(),
            Some(mask) => {
                let mask = mask.slice(rows.start, rows.len());
                let kept = self.args.iter().map(|array| filter(&slice(array), &mask));
                kept.collect::<Result<_, _>>().map_err(|error| Error::io(self.operator, error))?
            }
        };
        accumulator.update_batch(&args).map_err(|error| failed(self.operator, error))
    }
}

/// The rows of each time; times ascend.
pub(super) fn peers(times: &[i64]) -> Vec<Range<usize>> {
    let mut start = 0;
    times
        .chunk_by(|a, b| a == b)
        .map(|same| {
            let peers = start..start + same.len();
            start = peers.end;
            peers
        })
        .collect()
}
