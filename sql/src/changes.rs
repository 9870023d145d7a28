//! Weighted rows: what the operators of SQL work on.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use riverrun_dataflow::{Batch, Columns, Error, Result, SplitIndex};

/// Name of the weight column on an edge.
pub const WEIGHT: &str = "__weight";

/// Rows with a weight each: +n inserts the row n times, -n takes it back n times.
///
/// Without weights every row counts once: that is what append-only streams carry. An update is two rows, the old one
/// with -1 and the new one with +1, in one batch where possible. Rows of several batches may come in any order: a row may be taken back before it was
/// inserted.
///
/// On an edge the weights are the last column of the batch, called [`WEIGHT`]; see [`Columns::weight_column`].
#[derive(Debug, Clone)]
pub struct Changes {
    /// The rows, without weights.
    pub rows: RecordBatch,
    /// One weight a row, never null and never 0; `None`: all are +1.
    pub weights: Option<Int64Array>,
}

impl Changes {
    /// Rows that are all inserted.
    pub fn inserts(rows: RecordBatch) -> Self {
        Self { rows, weights: None }
    }

    /// Rows with weights; rows whose weight is 0 must have been left out.
    pub fn weighted(rows: RecordBatch, weights: Int64Array) -> Self {
        debug_assert_eq!(rows.num_rows(), weights.len());
        Self { rows, weights: Some(weights) }
    }

    /// What arrived at an operator.
    ///
    /// # Errors
    /// [`Error::WrongBatch`] if the batch holds rows of the typed DSL.
    pub fn of(batch: Batch, operator: &str) -> Result<Self> {
        let columns = batch.into_columns(operator)?;
        let Some(at) = columns.weight_column else { return Ok(Self::inserts(columns.batch)) };
        let mut rows = columns.batch;
        let weights = rows.remove_column(at);
        match weights.as_any().downcast_ref::<Int64Array>() {
            Some(weights) => Ok(Self::weighted(rows, weights.clone())),
            None => Err(Error::WrongBatch {
                operator: operator.to_owned(),
                expected: "weights of Int64".to_owned(),
                got: weights.data_type().to_string(),
            }),
        }
    }

    /// What leaves an operator.
    ///
    /// # Errors
    /// [`Error::Io`] naming `operator` if rows and weights do not fit each other.
    pub fn into_batch(self, operator: &str, split: Option<SplitIndex>) -> Result<Batch> {
        let Some(weights) = self.weights else {
            let columns = Columns { batch: self.rows, time_column: None, weight_column: None };
            return Ok(Batch::columns(columns, split));
        };
        let schema = with_weight(self.rows.schema_ref());
        let at = self.rows.num_columns();
        let mut arrays = self.rows.columns().to_vec();
        arrays.push(Arc::new(weights) as ArrayRef);
        let batch =
            RecordBatch::try_new(schema, arrays).map_err(|error| Error::io(operator, error))?;
        let columns = Columns { batch, time_column: None, weight_column: Some(at) };
        Ok(Batch::columns(columns, split))
    }

    /// Number of rows (not the sum of their weights).
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// True if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The weight of a row.
    #[inline]
    pub fn weight(&self, row: usize) -> i64 {
        self.weights.as_ref().map_or(1, |weights| weights.value(row))
    }
}

/// The schema with the weight column behind it.
pub fn with_weight(schema: &SchemaRef) -> SchemaRef {
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(WEIGHT, DataType::Int64, false)));
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_travel_as_the_last_column() {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let rows =
            RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(vec![1, 2]))]).unwrap();
        let changes = Changes::weighted(rows.clone(), Int64Array::from(vec![1, -1]));
        let batch = changes.into_batch("test", Some(3)).unwrap();
        assert_eq!((batch.len(), batch.split), (2, Some(3)));
        let back = Changes::of(batch, "test").unwrap();
        assert_eq!((back.rows.clone(), back.weight(0), back.weight(1)), (rows.clone(), 1, -1));
        let plain = Changes::inserts(rows.clone()).into_batch("test", None).unwrap();
        let plain = Changes::of(plain, "test").unwrap();
        assert!(plain.weights.is_none() && plain.weight(1) == 1);
    }
}
