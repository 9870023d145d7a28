//! The rows of a collection.

use std::collections::BTreeMap;
use std::task::{Context, Poll};

use riverrun_dataflow::{
    Batch, OperatorContext, Record, RestoredState, Result, Rows, Source, SourceEvent, SplitStatus,
    Timestamp,
};

const SPLIT: &str = "collection";

/// Rows of a batch.
const BATCH_ROWS: usize = 1024;

/// Yields rows that it was given.
pub(super) struct CollectionSource<T> {
    rows: Vec<(T, Timestamp)>,
    next: u64,
    announced: bool,
    /// Subtasks other than the first have nothing to do.
    idle: bool,
    operator: String,
}

impl<T> CollectionSource<T> {
    pub(super) fn new(rows: Vec<(T, Timestamp)>) -> Self {
        Self { rows, next: 0, announced: false, idle: false, operator: String::new() }
    }
}

impl<T: Record> Source for CollectionSource<T> {
    fn open(&mut self, context: &OperatorContext, restored: Option<RestoredState>) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.idle = context.subtask.index != 0;
        if let Some(bytes) = restored.as_ref().and_then(|state| state.positions.get(SPLIT)) {
            self.next = super::position(&self.operator, SPLIT, bytes)?;
        }
        Ok(())
    }

    fn poll(&mut self, _context: &mut Context<'_>) -> Poll<Result<SourceEvent>> {
        if self.idle {
            return Poll::Ready(Ok(SourceEvent::End));
        }
        if !self.announced {
            self.announced = true;
            return Poll::Ready(Ok(SourceEvent::Split(0, SplitStatus::Active)));
        }
        let start = usize::try_from(self.next).unwrap_or(usize::MAX).min(self.rows.len());
        let rows = &self.rows[start..(start + BATCH_ROWS).min(self.rows.len())];
        if rows.is_empty() {
            return Poll::Ready(Ok(SourceEvent::End));
        }
        self.next = (start + rows.len()) as u64;
        let (values, timestamps) = rows.iter().cloned().unzip();
        Poll::Ready(Ok(SourceEvent::Batch(Batch::rows(Rows { values, timestamps }, Some(0)))))
    }

    fn snapshot(&mut self) -> Result<BTreeMap<String, Vec<u8>>> {
        if self.idle {
            return Ok(BTreeMap::new());
        }
        let position = super::encoded(&self.operator, &self.next)?;
        Ok(BTreeMap::from([(SPLIT.to_owned(), position)]))
    }
}
