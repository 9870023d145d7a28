//! Windowing table functions.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};
use datafusion::common::{DFSchema, DFSchemaRef, Result, plan_err};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNodeCore};

/// Names of the columns that a windowing function adds.
const ADDED: [&str; 3] = ["window_start", "window_end", "window_time"];

/// Which windows. All times are in milliseconds; all but the gap's window starts are aligned to 1970-01-01T00:00:00 plus `offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WindowKind {
    /// Windows of one size, one after the other.
    Tumble {
        /// Length of a window.
        size: i64,
        /// By how much windows are moved.
        offset: i64,
    },
    /// Windows of one size, one beginning every `slide`.
    Hop {
        /// Time from one window to the next.
        slide: i64,
        /// Length of a window.
        size: i64,
        /// By how much windows are moved.
        offset: i64,
    },
    /// Windows that begin together every `size` and grow by `step` up to it.
    Cumulate {
        /// By how much a window is longer than the one before.
        step: i64,
        /// Length of the longest; a multiple of `step`.
        size: i64,
        /// By how much windows are moved.
        offset: i64,
    },
    /// Rows of a key that are less than `gap` apart.
    Session {
        /// How long there must be nothing before a new window begins.
        gap: i64,
    },
}

impl fmt::Display for WindowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = match self {
            Self::Tumble { size, offset } => {
                write!(f, "TUMBLE {size} ms")?;
                *offset
            }
            Self::Hop { slide, size, offset } => {
                write!(f, "HOP {size} ms every {slide} ms")?;
                *offset
            }
            Self::Cumulate { step, size, offset } => {
                write!(f, "CUMULATE {size} ms by {step} ms")?;
                *offset
            }
            Self::Session { gap } => {
                write!(f, "SESSION gap {gap} ms")?;
                0
            }
        };
        if offset == 0 { Ok(()) } else { write!(f, ", offset {offset} ms") }
    }
}

/// The rows of the input, each as often as it has windows, with the columns `window_start`, `window_end` and `window_time` (the last
/// millisecond of the window, of the time column's type) behind its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WindowTvf {
    /// The rows.
    pub input: Arc<LogicalPlan>,
    /// Which windows.
    pub kind: WindowKind,
    /// The time by which rows fall into windows: a column of the input.
    pub time: Expr,
    /// For sessions: the columns that make the key. Otherwise empty.
    pub partition_by: Vec<Expr>,
    /// The rows with their windows.
    pub schema: DFSchemaRef,
}

impl WindowTvf {
    /// The node over an input.
    ///
    /// # Errors
    /// If the time column is not a TIMESTAMP(3) or TIMESTAMP_LTZ(3), or the input has a column with the name of one of the window's.
    pub fn try_new(
        input: Arc<LogicalPlan>,
        kind: WindowKind,
        time: Expr,
        partition_by: Vec<Expr>,
    ) -> Result<Self> {
        let time_type = time.get_type(input.schema())?;
        if !matches!(time_type, DataType::Timestamp(TimeUnit::Millisecond, _)) {
            return plan_err!(
                "the time column {time} of a window must be TIMESTAMP(3) or TIMESTAMP_LTZ(3), and is {time_type}: CAST it"
            );
        }
        let mut fields: Vec<_> = input
            .schema()
            .iter()
            .map(|(qualifier, field)| (qualifier.cloned(), field.clone()))
            .collect();
        for name in ADDED {
            if fields.iter().any(|(_, field)| field.name() == name) {
                return plan_err!(
                    "the input of a windowing function has a column `{name}` already: rename it in a sub-query"
                );
            }
        }
        let bound = DataType::Timestamp(TimeUnit::Millisecond, None);
        let types = [bound.clone(), bound, time_type];
        for (name, data_type) in ADDED.into_iter().zip(types) {
            fields.push((None, Arc::new(Field::new(name, data_type, false))));
        }
        let schema = DFSchema::new_with_metadata(fields, input.schema().metadata().clone())?;
        Ok(Self { input, kind, time, partition_by, schema: Arc::new(schema) })
    }

    /// Number of columns of the input: `window_start` stands behind them, then `window_end` and `window_time`.
    pub fn input_columns(&self) -> usize {
        self.input.schema().fields().len()
    }
}

impl PartialOrd for WindowTvf {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.kind.partial_cmp(&other.kind)
    }
}

impl UserDefinedLogicalNodeCore for WindowTvf {
    fn name(&self) -> &str {
        "WindowTvf"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let mut all = vec![self.time.clone()];
        all.extend(self.partition_by.iter().cloned());
        all
    }

    /// A filter on the rows' own columns can as well be applied before they get their windows. (Not so for sessions: rows that are left out would
    /// no longer hold a session together.)
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        let own = match self.kind {
            WindowKind::Session { .. } => 0,
            _ => self.input_columns(),
        };
        self.schema.fields().iter().skip(own).map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "WindowTvf: {}, on {}", self.kind, self.time)?;
        if self.partition_by.is_empty() {
            return Ok(());
        }
        let keys: Vec<String> = self.partition_by.iter().map(ToString::to_string).collect();
        write!(f, ", by {}", keys.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (mut exprs, mut inputs) = (exprs.into_iter(), inputs.into_iter());
        match (exprs.next(), inputs.next(), inputs.next()) {
            (Some(time), Some(input), None) => {
                Self::try_new(Arc::new(input), self.kind, time, exprs.collect())
            }
            _ => plan_err!("a windowing function has a time and one input"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let own = self.input_columns();
        let mut needed: Vec<usize> = output_columns.iter().copied().filter(|c| *c < own).collect();
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
