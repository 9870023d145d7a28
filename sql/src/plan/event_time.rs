//! Where a stream gets its watermarks.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};
use datafusion::common::{DFSchemaRef, Result, plan_err};
use datafusion::logical_expr::{
    Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNodeCore, cast,
};

/// `WATERMARK FOR time AS watermark`: the rows of the input unchanged, with event time. Batch queries pass over it.
///
/// All filters stay above it: a row that a query leaves out moves event time all the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventTime {
    /// The rows.
    pub input: Arc<LogicalPlan>,
    /// The event time column.
    pub time: Expr,
    /// How far event time has come once a row was seen.
    pub watermark: Expr,
}

impl EventTime {
    /// The node over an input.
    ///
    /// # Errors
    /// If the time column is not a TIMESTAMP(3) or TIMESTAMP_LTZ(3), or the watermark is no timestamp.
    pub fn try_new(input: Arc<LogicalPlan>, time: Expr, watermark: Expr) -> Result<Self> {
        let time_type = time.get_type(input.schema())?;
        if !matches!(time_type, DataType::Timestamp(TimeUnit::Millisecond, _)) {
            return plan_err!(
                "the event time column {time} must be TIMESTAMP(3) or TIMESTAMP_LTZ(3), and is {time_type}"
            );
        }
        let watermark_type = watermark.get_type(input.schema())?;
        if !matches!(watermark_type, DataType::Timestamp(..)) {
            return plan_err!(
                "a WATERMARK must be a timestamp such as {time} - INTERVAL '5' SECOND, and `{watermark}` is {watermark_type}"
            );
        }
        let watermark =
            if watermark_type == time_type { watermark } else { cast(watermark, time_type) };
        Ok(Self { input, time, watermark })
    }
}

impl PartialOrd for EventTime {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.time.partial_cmp(&other.time)
    }
}

impl UserDefinedLogicalNodeCore for EventTime {
    fn name(&self) -> &str {
        "EventTime"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.time.clone(), self.watermark.clone()]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "EventTime: {}, watermark {}", self.time, self.watermark)
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (mut exprs, mut inputs) = (exprs.into_iter(), inputs.into_iter());
        match (exprs.next(), exprs.next(), inputs.next()) {
            (Some(time), Some(watermark), Some(input)) => {
                Ok(Self { input: Arc::new(input), time, watermark })
            }
            _ => plan_err!("event time has a column, a watermark and one input"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut needed = output_columns.to_vec();
        for expr in self.expressions() {
            for column in expr.column_refs() {
                needed.push(self.input.schema().maybe_index_of_column(column)?);
            }
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}
