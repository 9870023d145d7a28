//! The filter over pairs.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use riverrun_dataflow::{Error, Result};

use super::JoinInput;
use crate::operator::calc::{evaluate_predicate, failed};

/// A filter that is given only the columns that it reads.
pub(super) struct Condition {
    expression: Arc<dyn PhysicalExpr>,
    /// Positions of its columns, by side.
    columns: [Vec<usize>; 2],
    schema: SchemaRef,
}

impl Condition {
    /// A filter over the left columns, then the right ones.
    pub(super) fn new(
        operator: &str,
        filter: &Arc<dyn PhysicalExpr>,
        inputs: &[JoinInput; 2],
    ) -> Result<Self> {
        let mut read: Vec<usize> =
            collect_columns(filter).iter().map(|column| column.index()).collect();
        read.sort_unstable();
        read.dedup();
        let left = inputs[0].columns;
        let field = |at: &usize| match at.checked_sub(left) {
            None => inputs[0].schema.field(*at).clone().with_nullable(true),
            Some(at) => inputs[1].schema.field(at).clone().with_nullable(true),
        };
        let schema = Arc::new(Schema::new(read.iter().map(field).collect::<Vec<_>>()));
        let expression = filter
            .clone()
            .transform(|expression| {
                let moved = expression.downcast_ref::<Column>().and_then(|column| {
                    let at = read.binary_search(&column.index()).ok()?;
                    Some(Arc::new(Column::new(column.name(), at)) as Arc<dyn PhysicalExpr>)
                });
                Ok(moved.map_or_else(|| Transformed::no(expression), Transformed::yes))
            })
            .data()
            .map_err(|error| failed(operator, error))?;
        let (of_left, of_right) = read.iter().partition::<Vec<usize>, _>(|at| **at < left);
        let of_right = of_right.into_iter().map(|at| at - left).collect();
        Ok(Self { expression, columns: [of_left, of_right], schema })
    }

    /// The columns that it reads of a side.
    pub(super) fn columns(&self, side: usize) -> impl Iterator<Item = usize> + '_ {
        self.columns[side].iter().copied()
    }

    /// For which pairs it is true; `columns` are those of [`Condition::columns`], by side.
    pub(super) fn holds(
        &self,
        operator: &str,
        columns: [Vec<ArrayRef>; 2],
        count: usize,
    ) -> Result<BooleanArray> {
        let arrays = columns.into_iter().flatten().collect();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let pairs = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|error| Error::io(operator, error))?;
        let holds = evaluate_predicate(operator, &self.expression, &pairs)?;
        debug_assert_eq!(holds.null_count(), 0);
        Ok(holds)
    }
}
