//! The end of a query whose result somebody waits for.

use std::sync::mpsc::SyncSender;

use riverrun_dataflow::{Batch, Error, Operator, OperatorContext, Output, Result};

use crate::Changes;

/// What whoever waits for a result gets.
pub enum Collected {
    /// Rows.
    Rows(Changes),
    /// Nothing more, and whether that is as it should be.
    End(crate::Result<()>),
}

/// Hands rows to whoever asked, batch by batch, and waits while they are not taken.
pub struct Collect {
    results: SyncSender<Collected>,
    operator: String,
}

impl Collect {
    /// Sends to `results`.
    pub fn new(results: SyncSender<Collected>) -> Self {
        Self { results, operator: "collect".to_owned() }
    }
}

impl Operator for Collect {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Output) -> Result<()> {
        let changes = Changes::of(batch, &self.operator)?;
        if changes.is_empty() {
            return Ok(());
        }
        // Nobody listens any more: the query was stopped.
        self.results.send(Collected::Rows(changes)).map_err(|_| Error::Cancelled)
    }
}
