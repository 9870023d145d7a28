//! What is on its way from a producer to one partition.

use super::ProducerConfig;
use crate::batch::{BatchBuilder, BatchHeader};
use crate::error::{Error, Result};
use crate::partition::Partition;
use crate::transaction::ProducerIdentity;

/// What a record takes beside key and value, at most, without headers.
const RECORD_OVERHEAD: usize = 32;

pub(super) struct Lane {
    pub(super) partition: Partition,
    pub(super) builder: BatchBuilder,
    /// A finished batch that the partition did not take; goes before all others.
    refused: Option<Vec<u8>>,
    /// Whether something was appended since the last flush.
    pub(super) unflushed: bool,
    batch_bytes: usize,
    identity: Option<ProducerIdentity>,
    transactional: bool,
}

pub(super) fn new_builder(config: &ProducerConfig) -> Result<BatchBuilder> {
    match config.compression_level {
        Some(level) => BatchBuilder::with_level(config.compression, level),
        None => BatchBuilder::new(config.compression),
    }
}

impl Lane {
    /// `limit` is the largest batch that the topic takes, in bytes.
    pub(super) fn new(
        partition: Partition,
        config: &ProducerConfig,
        identity: Option<ProducerIdentity>,
        limit: usize,
    ) -> Result<Lane> {
        let mut lane = Lane {
            partition,
            builder: new_builder(config)?,
            refused: None,
            unflushed: false,
            batch_bytes: config.batch_bytes.min(limit),
            identity,
            transactional: config.transactional_id.is_some(),
        };
        // A new producer id or epoch begins at 0 in every partition.
        lane.go_on_at(0);
        Ok(lane)
    }

    fn go_on_at(&mut self, sequence: i32) {
        match self.identity {
            Some(ProducerIdentity { id, epoch }) if self.transactional => {
                self.builder.transactional(id, epoch, sequence);
            }
            Some(ProducerIdentity { id, epoch }) => self.builder.idempotent(id, epoch, sequence),
            None => {}
        }
    }

    /// Whether the batch is to be sent before such a record is added.
    #[inline]
    pub(super) fn is_full_with(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> bool {
        let record = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len) + RECORD_OVERHEAD;
        self.builder.size_bytes() + record > self.batch_bytes && !self.builder.is_empty()
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.refused.is_some() || !self.builder.is_empty()
    }

    pub(super) fn unsent_records(&self) -> usize {
        let header = self.refused.as_ref().and_then(|batch| BatchHeader::parse(batch).ok());
        self.builder.len() + header.map_or(0, |header| header.records_count as usize)
    }

    /// Appends the batch that was refused, if there is one, then the one being built. `out` is room to
    /// finish it in.
    pub(super) fn send(&mut self, out: &mut Vec<u8>) -> Result<()> {
        if let Some(mut batch) = self.refused.take() {
            self.append(&mut batch)?;
        }
        if self.builder.is_empty() {
            return Ok(());
        }
        out.clear();
        self.builder.finish_into(out)?;
        self.append(out)
    }

    /// Appends a finished batch; where it is refused, its bytes are taken and kept.
    fn append(&mut self, batch: &mut Vec<u8>) -> Result<()> {
        match self.partition.append_trusted(batch) {
            Ok(_) => {
                self.unflushed = true;
                Ok(())
            }
            Err(error @ Error::MessageTooLarge { .. }) => {
                // It will never be taken: it must not stand in the way of those behind it.
                self.reuse_sequence_of(batch);
                Err(error)
            }
            Err(error) => {
                self.refused = Some(std::mem::take(batch));
                Err(error)
            }
        }
    }

    /// Forgets everything that was not appended.
    pub(super) fn discard(&mut self) {
        if let Some(batch) = self.refused.take() {
            self.reuse_sequence_of(&batch);
        }
        self.builder.clear();
    }

    /// The log has never seen this batch, so its sequence numbers are the next ones.
    fn reuse_sequence_of(&mut self, batch: &[u8]) {
        if let Ok(header) = BatchHeader::parse(batch) {
            self.go_on_at(header.base_sequence);
        }
    }
}
