//! What sources of lines make of them: rows, or columns by way of a decoder.

use riverrun_dataflow::{
    Batch, NO_TIMESTAMP, OperatorContext, Resources, Result, Rows, SplitIndex,
};

use crate::Line;
use crate::format::{BatchRecords, ColumnDecoder, DeadLetters, OnError, Rejects};

/// Takes the lines of a batch.
pub(super) trait LineTarget: Send {
    /// The source is about to run.
    fn open(&mut self, _context: &OperatorContext) {}

    /// Adds a line, which begins at `at` in what it is of.
    fn line(&mut self, line: Line, at: u64);

    /// The lines so far; there may be no row in the batch. `place` names what they are of in messages.
    fn finish(&mut self, split: SplitIndex, place: &str) -> Result<Batch>;

    /// What was rejected is durable before the position behind it is told.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Lines as rows.
#[derive(Default)]
pub(super) struct LineRows(Rows<Line>);

impl LineTarget for LineRows {
    #[inline]
    fn line(&mut self, line: Line, _at: u64) {
        self.0.push(line, NO_TIMESTAMP);
    }

    fn finish(&mut self, split: SplitIndex, _place: &str) -> Result<Batch> {
        let room = self.0.len();
        let rows = std::mem::replace(&mut self.0, Rows::with_capacity(room));
        Ok(Batch::rows(rows, Some(split)))
    }
}

/// Lines as columns.
pub(super) struct LineColumns<D> {
    lines: Vec<Line>,
    at: Vec<u64>,
    decoder: D,
    rejects: Rejects,
    policy: OnError,
    dead_letters: Option<DeadLetters>,
}

impl<D: ColumnDecoder> LineColumns<D> {
    pub(super) fn new(decoder: D, policy: OnError, resources: &Resources) -> Result<Self> {
        let dead_letters = DeadLetters::of(&policy, resources)?;
        let rejects = Rejects::new(policy.clone(), "", None);
        Ok(Self { lines: Vec::new(), at: Vec::new(), decoder, rejects, policy, dead_letters })
    }
}

impl<D: ColumnDecoder> LineTarget for LineColumns<D> {
    fn open(&mut self, context: &OperatorContext) {
        self.rejects = Rejects::new(self.policy.clone(), "", Some(context.metrics.clone()))
            .with_dead_letters(self.dead_letters.clone());
    }

    #[inline]
    fn line(&mut self, line: Line, at: u64) {
        self.lines.push(line);
        self.at.push(at);
    }

    fn finish(&mut self, split: SplitIndex, place: &str) -> Result<Batch> {
        self.rejects.set_place(place);
        let records = BatchRecords::of_lines(&self.lines, &self.at, place);
        self.decoder.decode(&records, &mut self.rejects)?;
        self.lines.clear();
        self.at.clear();
        Ok(Batch::columns(self.decoder.finish(), Some(split)))
    }

    fn flush(&mut self) -> Result<()> {
        self.dead_letters.as_ref().map_or(Ok(()), DeadLetters::flush)
    }
}
