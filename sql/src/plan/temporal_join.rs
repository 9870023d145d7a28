//! The join of rows with a table as it was at a time.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, JoinType, Result, plan_err};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore, build_join_schema};

/// At which time the right table is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub enum AsOf {
    /// Each left row meets the newest version of its key that is not newer than the row.
    EventTime {
        /// The time of a left row: a column.
        left: Box<Expr>,
        /// The time since when a right row holds: a column.
        right: Box<Expr>,
    },
    /// Each left row meets the table as it is when the row comes.
    ProcessingTime,
}

/// `left JOIN right FOR SYSTEM_TIME AS OF left.time ON ..`: the columns of both sides, like a join's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TemporalJoin {
    /// The rows.
    pub left: Arc<LogicalPlan>,
    /// The table.
    pub right: Arc<LogicalPlan>,
    /// Inner or left.
    pub join_type: JoinType,
    /// Pairs of expressions that must be equal.
    pub on: Vec<(Expr, Expr)>,
    /// What else must hold.
    pub filter: Option<Expr>,
    /// Which time.
    pub as_of: AsOf,
    /// Left columns, then right ones.
    pub schema: DFSchemaRef,
}

impl TemporalJoin {
    /// The node over two inputs.
    ///
    /// # Errors
    /// If the join is neither inner nor left, or has no keys.
    pub fn try_new(
        left: Arc<LogicalPlan>,
        right: Arc<LogicalPlan>,
        join_type: JoinType,
        on: Vec<(Expr, Expr)>,
        filter: Option<Expr>,
        as_of: AsOf,
    ) -> Result<Self> {
        if !matches!(join_type, JoinType::Inner | JoinType::Left) {
            return plan_err!(
                "FOR SYSTEM_TIME AS OF goes with JOIN and LEFT JOIN, not with a {join_type} join"
            );
        }
        if on.is_empty() {
            return plan_err!(
                "a join FOR SYSTEM_TIME AS OF needs ON with an equality of a column of each side"
            );
        }
        let schema = Arc::new(build_join_schema(left.schema(), right.schema(), &join_type)?);
        Ok(Self { left, right, join_type, on, filter, as_of, schema })
    }
}

impl PartialOrd for TemporalJoin {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.on.partial_cmp(&other.on)
    }
}

impl UserDefinedLogicalNodeCore for TemporalJoin {
    fn name(&self) -> &str {
        "TemporalJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let on = self.on.iter().flat_map(|(left, right)| [left.clone(), right.clone()]);
        let times = match &self.as_of {
            AsOf::EventTime { left, right } => vec![left.as_ref().clone(), right.as_ref().clone()],
            AsOf::ProcessingTime => Vec::new(),
        };
        on.chain(times).chain(self.filter.clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let on: Vec<String> = self.on.iter().map(|(l, r)| format!("{l} = {r}")).collect();
        write!(f, "TemporalJoin: {} on {}", self.join_type, on.join(" and "))?;
        if let Some(filter) = &self.filter {
            write!(f, " where {filter}")?;
        }
        match &self.as_of {
            AsOf::EventTime { left, right } => write!(f, ", {right} as of {left}"),
            AsOf::ProcessingTime => f.write_str(", as of now"),
        }
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (mut exprs, mut inputs) = (exprs.into_iter(), inputs.into_iter());
        let mut next = || match exprs.next() {
            Some(expr) => Ok(expr),
            None => plan_err!("an expression of a temporal join is gone"),
        };
        let mut on = Vec::with_capacity(self.on.len());
        for _ in &self.on {
            on.push((next()?, next()?));
        }
        let as_of = match &self.as_of {
            AsOf::EventTime { .. } => {
                AsOf::EventTime { left: Box::new(next()?), right: Box::new(next()?) }
            }
            AsOf::ProcessingTime => AsOf::ProcessingTime,
        };
        let filter = self.filter.is_some().then(next).transpose()?;
        match (inputs.next(), inputs.next()) {
            (Some(left), Some(right)) => {
                Self::try_new(Arc::new(left), Arc::new(right), self.join_type, on, filter, as_of)
            }
            _ => plan_err!("a temporal join has two inputs"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let left_columns = self.left.schema().fields().len();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let mut need = |at: usize| match at.checked_sub(left_columns) {
            None => left.push(at),
            Some(at) => right.push(at),
        };
        output_columns.iter().for_each(|at| need(*at));
        for expr in self.expressions() {
            for column in expr.column_refs() {
                need(self.schema.maybe_index_of_column(column)?);
            }
        }
        for needed in [&mut left, &mut right] {
            needed.sort_unstable();
            needed.dedup();
        }
        Some(vec![left, right])
    }
}
