//! Rows that a plan itself holds.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::common::{DFSchema, DFSchemaRef, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;

use super::query::invalid;
use crate::{Error, Result};

/// The rows of constant expressions.
///
/// # Errors
/// [`Error::Invalid`] for an expression that has no value.
pub fn constant_rows(
    schema: &DFSchemaRef,
    rows: &[Vec<Expr>],
    mut expression: impl FnMut(&Expr, &DFSchema) -> Result<Arc<dyn PhysicalExpr>>,
) -> Result<RecordBatch> {
    let nothing = DFSchema::empty();
    let one = RecordBatch::try_new_with_options(
        nothing.inner().clone(),
        Vec::new(),
        &RecordBatchOptions::new().with_row_count(Some(1)),
    )
    .map_err(|error| Error::invalid(error.to_string()))?;
    let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::new(); schema.fields().len()];
    for row in rows {
        for (column, expr) in columns.iter_mut().zip(row) {
            let value = expression(expr, &nothing)?.evaluate(&one).map_err(invalid)?;
            let array = value.into_array(1).map_err(invalid)?;
            column.push(ScalarValue::try_from_array(&array, 0).map_err(invalid)?);
        }
    }
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (column, field) in columns.into_iter().zip(schema.fields()) {
        let array = if column.is_empty() {
            arrow_array::new_empty_array(field.data_type())
        } else {
            ScalarValue::iter_to_array(column).map_err(invalid)?
        };
        arrays.push(
            arrow_cast::cast(&array, field.data_type())
                .map_err(|error| Error::invalid(error.to_string()))?,
        );
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(schema.inner().clone(), arrays, &options)
        .map_err(|error| Error::invalid(error.to_string()))
}

/// The rows as a short text, by which operators over different rows are told apart.
pub fn described(rows: &[Vec<Expr>]) -> String {
    let texts = rows.iter().map(|row| {
        let row: Vec<String> = row.iter().map(ToString::to_string).collect();
        format!("({})", row.join(", "))
    });
    texts.collect::<Vec<_>>().join(", ")
}
