//! The columns that an aggregation works on.

use std::sync::Arc;

use arrow_schema::{Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;

use crate::Result;
use crate::operator::calc::CalcSpec;
use crate::stream::planner::planning;

/// Expressions over the rows of the input, each of which becomes a column once.
pub(super) struct Projection {
    input: SchemaRef,
    expressions: Vec<Arc<dyn PhysicalExpr>>,
    fields: Vec<Field>,
    /// Columns before this one are never shared.
    own: usize,
}

impl Projection {
    pub fn of(input: SchemaRef) -> Self {
        Self { input, expressions: Vec::new(), fields: Vec::new(), own: 0 }
    }

    /// The column of an expression; added if there is none yet.
    pub fn column(&mut self, expression: Arc<dyn PhysicalExpr>) -> Result<usize> {
        let found = self
            .expressions
            .iter()
            .skip(self.own)
            .position(|have| have.as_ref() == expression.as_ref());
        match found {
            Some(at) => Ok(self.own + at),
            None => self.add(expression),
        }
    }

    /// A new column, whether or not there is another of the same expression.
    pub fn add(&mut self, expression: Arc<dyn PhysicalExpr>) -> Result<usize> {
        let of = expression.data_type(&self.input).map_err(|error| planning(&error))?;
        let at = self.expressions.len();
        self.fields.push(Field::new(format!("{at}: {expression}"), of, true));
        self.expressions.push(expression);
        Ok(at)
    }

    /// Columns added from here on do not share those that are there.
    pub fn keep_apart(&mut self) {
        self.own = self.expressions.len();
    }

    /// The columns as a schema.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields.clone()))
    }

    /// The operator that makes the columns.
    pub fn into_spec(self) -> CalcSpec {
        let output = self.schema();
        CalcSpec { filter: None, columns: Some(self.expressions), output }
    }
}
