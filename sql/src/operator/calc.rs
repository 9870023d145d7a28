//! Filter and projection: what needs no state.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions,
    TimestampMillisecondArray,
};
use arrow_schema::SchemaRef;
use arrow_select::filter::{FilterBuilder, filter_record_batch};
use datafusion::physical_expr::PhysicalExpr;
use riverrun_dataflow::{Batch, Error, Operator, OperatorContext, Output, Result};

use crate::Changes;

/// What a [`Calc`] does.
#[derive(Debug, Clone)]
pub struct CalcSpec {
    /// Rows for which this is not true are left out.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// The columns of the result, computed of the rows that are left; `None` keeps the rows as they are.
    pub columns: Option<Vec<Arc<dyn PhysicalExpr>>>,
    /// What comes out.
    pub output: SchemaRef,
}

/// Filters and projects rows; weights stay with them.
pub struct Calc {
    spec: CalcSpec,
    operator: String,
}

impl Calc {
    /// The operator of this spec.
    pub fn new(spec: CalcSpec) -> Self {
        Self { spec, operator: "calc".to_owned() }
    }
}

impl Operator for Calc {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let split = batch.split;
        let mut changes = Changes::of(batch, &self.operator)?;
        if let Some(filter) = &self.spec.filter {
            let keep = evaluate_predicate(&self.operator, filter, &changes.rows)?;
            match keep.true_count() {
                0 => return Ok(()),
                all if all == changes.len() => {}
                _ => changes = filtered(&self.operator, changes, &keep)?,
            }
        }
        if let Some(columns) = &self.spec.columns {
            let rows = project(&self.operator, columns, &changes.rows, &self.spec.output)?;
            changes = Changes { rows, weights: changes.weights };
        }
        out.emit(changes.into_batch(&self.operator, split)?)
    }
}

/// The value of an expression for each row, as an array.
///
/// # Errors
/// [`Error::User`] naming `operator` if the expression fails for a row: a division by zero, a text that is no number.
pub fn evaluate(
    operator: &str,
    expression: &Arc<dyn PhysicalExpr>,
    rows: &RecordBatch,
) -> Result<ArrayRef> {
    expression
        .evaluate(rows)
        .and_then(|value| value.into_array(rows.num_rows()))
        .map_err(|error| failed(operator, error))
}

/// The value of an expression for each row, which must be timestamps in milliseconds; `what` names them in messages.
///
/// # Errors
/// As [`evaluate`]; [`Error::WrongBatch`] if the values are something else.
pub fn evaluate_times(
    operator: &str,
    what: &str,
    expression: &Arc<dyn PhysicalExpr>,
    rows: &RecordBatch,
) -> Result<TimestampMillisecondArray> {
    let values = evaluate(operator, expression, rows)?;
    let times = values.as_primitive_opt::<TimestampMillisecondType>();
    times.cloned().ok_or_else(|| Error::WrongBatch {
        operator: operator.to_owned(),
        expected: format!("{what} of TIMESTAMP(3)"),
        got: values.data_type().to_string(),
    })
}

/// For which rows a predicate is true; null is not.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_predicate(
    operator: &str,
    predicate: &Arc<dyn PhysicalExpr>,
    rows: &RecordBatch,
) -> Result<BooleanArray> {
    let value = evaluate(operator, predicate, rows)?;
    let value = value.as_any().downcast_ref::<BooleanArray>().ok_or_else(|| Error::WrongBatch {
        operator: operator.to_owned(),
        expected: "a predicate of BOOLEAN".to_owned(),
        got: value.data_type().to_string(),
    })?;
    Ok(match value.null_count() {
        0 => value.clone(),
        _ => arrow_select::filter::prep_null_mask_filter(value),
    })
}

/// The rows for which `keep` is true, with their weights.
///
/// # Errors
/// [`Error::Io`] naming `operator` if `keep` does not fit the rows.
pub fn filtered(operator: &str, changes: Changes, keep: &BooleanArray) -> Result<Changes> {
    let rows = filter_record_batch(&changes.rows, keep).map_err(|e| Error::io(operator, e))?;
    let weights = match &changes.weights {
        None => None,
        Some(weights) => {
            let filter = FilterBuilder::new(keep).build();
            let kept = filter.filter(weights).map_err(|e| Error::io(operator, e))?;
            kept.as_any().downcast_ref::<Int64Array>().cloned()
        }
    };
    Ok(Changes { rows, weights })
}

/// The columns that expressions make of rows.
///
/// # Errors
/// As [`evaluate`].
pub fn project(
    operator: &str,
    columns: &[Arc<dyn PhysicalExpr>],
    rows: &RecordBatch,
    output: &SchemaRef,
) -> Result<RecordBatch> {
    let arrays: Vec<ArrayRef> =
        columns.iter().map(|column| evaluate(operator, column, rows)).collect::<Result<_>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(output.clone(), arrays, &options)
        .map_err(|error| Error::io(operator, error))
}

/// An expression that failed for a row.
pub(crate) fn failed(operator: &str, error: impl std::fmt::Display) -> Error {
    Error::User {
        place: format!("operator `{operator}`"),
        reason: crate::wording::plain(&error.to_string()),
    }
}
