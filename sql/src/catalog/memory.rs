//! Tables whose rows are in memory: for programs that have rows at hand, and for tests.

use arrow_schema::SchemaRef;

use super::WatermarkDefinition;
use crate::Changes;

/// Rows in batches. A stream of them has the batches as they are, in order; its end is the end of the table.
#[derive(Debug, Clone)]
pub struct MemoryTable {
    /// The rows' columns.
    pub schema: SchemaRef,
    /// The rows; their weights may take rows back, in any order.
    pub batches: Vec<Changes>,
    /// How event time follows from a row, if it does.
    pub watermark: Option<WatermarkDefinition>,
}

impl MemoryTable {
    /// Whether some rows are not plain insertions.
    pub fn retracts(&self) -> bool {
        self.batches.iter().any(|batch| batch.weights.is_some())
    }
}
