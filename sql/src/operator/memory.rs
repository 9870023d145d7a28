//! Rows in memory as a source.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use riverrun_dataflow::{
    Error, OperatorContext, RestoredState, Result, Source, SourceEvent, SplitStatus, codec,
};

use crate::catalog::MemoryTable;

const SPLIT: &str = "memory-0";

/// Yields the batches of a table as they are, in order, then ends. Its position is the number of batches that it yielded.
pub struct MemorySource {
    table: Arc<MemoryTable>,
    columns: Vec<usize>,
    operator: String,
    next: usize,
    /// Whether there is something to read in this subtask: the first one reads everything.
    ours: bool,
    announced: bool,
}

impl MemorySource {
    /// The columns at these positions of a table.
    pub fn new(table: Arc<MemoryTable>, columns: Vec<usize>) -> Self {
        Self {
            table,
            columns,
            operator: "memory".to_owned(),
            next: 0,
            ours: false,
            announced: false,
        }
    }
}

impl Source for MemorySource {
    fn open(&mut self, context: &OperatorContext, restored: Option<RestoredState>) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.ours = context.subtask.index == 0;
        if let Some(bytes) = restored.as_ref().and_then(|state| state.positions.get(SPLIT)) {
            let next: u64 =
                codec::decode(bytes).map_err(|error| Error::state(&self.operator, error))?;
            self.next = usize::try_from(next).unwrap_or(usize::MAX);
        }
        Ok(())
    }

    fn poll(&mut self, _context: &mut Context<'_>) -> Poll<Result<SourceEvent>> {
        if !self.ours {
            return Poll::Ready(Ok(SourceEvent::End));
        }
        if !self.announced {
            self.announced = true;
            return Poll::Ready(Ok(SourceEvent::Split(0, SplitStatus::Active)));
        }
        let Some(batch) = self.table.batches.get(self.next) else {
            return Poll::Ready(Ok(SourceEvent::End));
        };
        self.next += 1;
        let mut changes = batch.clone();
        let projected = changes.rows.project(&self.columns);
        let batch = projected.map_err(|error| Error::io(&self.operator, error)).and_then(|rows| {
            changes.rows = rows;
            changes.into_batch(&self.operator, Some(0))
        });
        Poll::Ready(batch.map(SourceEvent::Batch))
    }

    fn snapshot(&mut self) -> Result<BTreeMap<String, Vec<u8>>> {
        if !self.ours {
            return Ok(BTreeMap::new());
        }
        let position = codec::encode(&(self.next as u64))
            .map_err(|error| Error::state(&self.operator, error))?;
        Ok(BTreeMap::from([(SPLIT.to_owned(), position)]))
    }
}
