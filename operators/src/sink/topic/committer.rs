//! Makes prepared transactions visible, and removes those that no checkpoint committed.

use std::collections::BTreeSet;
use std::sync::Arc;

use riverrun_dataflow::{Committer, Error, Result, codec};
use riverrun_log_store::{
    Error as LogError, Partition, ProducerIdentity, Store, TransactionOutcome, TransactionOwner,
};

use super::Prepared;

/// Commits and aborts the transactions of one sink: those whose id begins with its prefix.
pub(super) struct TopicCommitter {
    store: Arc<Store>,
    prefix: String,
}

impl TopicCommitter {
    pub(super) fn new(store: Arc<Store>, prefix: String) -> Self {
        Self { store, prefix }
    }

    fn failed(&self, error: impl std::fmt::Display) -> Error {
        Error::io(format!("ending the transactions {}*", self.prefix), error)
    }

    /// Commits those of the prepared transactions that are still open.
    fn redo(&self, prepared: &[Vec<u8>]) -> Result<()> {
        let mut wanted = BTreeSet::new();
        for token in prepared {
            let token: Prepared = codec::decode(token).map_err(|error| {
                Error::state("topic sink", format!("a prepared transaction {error}"))
            })?;
            for (topic, partition, first_offset) in token.parts {
                wanted.insert((topic, partition, token.identity, first_offset));
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let is_wanted = |part: &(String, u32, ProducerIdentity, i64)| wanted.contains(part);
        self.end(TransactionOutcome::Commit, is_wanted)
    }

    /// Ends the sink's open transactions that `which` chooses, in each partition, and makes that durable.
    fn end(
        &self,
        outcome: TransactionOutcome,
        which: impl Fn(&(String, u32, ProducerIdentity, i64)) -> bool,
    ) -> Result<()> {
        let mut touched: Vec<Partition> = Vec::new();
        for open in self.store.open_transactions(&self.prefix) {
            for (topic, partition, first_offset) in open.partitions {
                let part = (topic, partition, open.identity, first_offset);
                if !which(&part) {
                    continue;
                }
                let (topic, partition, identity, _) = part;
                match self.store.partition(&topic, partition) {
                    Ok(log) => {
                        log.end_transaction(identity, outcome)
                            .map_err(|error| self.failed(error))?;
                        touched.push(log);
                    }
                    // The topic was deleted meanwhile, and its transactions with it.
                    Err(LogError::UnknownTopic { .. } | LogError::UnknownPartition { .. }) => {}
                    Err(error) => return Err(self.failed(error)),
                }
            }
        }
        if touched.is_empty() {
            return Ok(());
        }
        self.store.flush_partitions(&touched).map_err(|error| self.failed(error))
    }
}

impl Committer for TopicCommitter {
    fn commit(&mut self, prepared: &[Vec<u8>]) -> Result<()> {
        self.redo(prepared)
    }

    fn recover(&mut self, _generation: u64, prepared: &[Vec<u8>]) -> Result<()> {
        // First nobody may add to what is open. Its epoch stays what it was: that of the tokens.
        for open in self.store.open_transactions(&self.prefix) {
            self.store
                .init_transactional_producer(&open.transactional_id, TransactionOwner::Job)
                .map_err(|error| self.failed(error))?;
        }
        self.redo(prepared)?;
        self.end(TransactionOutcome::Abort, |_| true)
    }
}
