//! Records of a topic, exactly once.
//!
//! Every epoch of a subtask is one transaction. Its batches are appended while rows come, without waiting for the disk; at the barrier the
//! partitions that it touched are flushed, together, while the next epoch goes on in another transaction. Each subtask alternates
//! between transactional ids `<job>/<topic>/<sink>/<subtask>/<slot>`: a slot is free again when the checkpoint of
//! its last transaction is known to be committed, so there are two unless checkpoints are given up.
//!
//! A prepared transaction is named by its producer *and* by its first offset in each partition. So a commit
//! that is redone after a crash can never reach a later transaction of the same producer.

mod committer;
mod target;
mod writer;

use std::sync::Arc;

use riverrun_dataflow::{
    Barrier, Batch, DataStream, Error, Operator, OperatorContext, OperatorState, Output, Resources,
    Result, Snapshot, codec,
};
use riverrun_log_store::{Compression, ErrorKind, ProducerIdentity, Store, TransactionOwner};
use serde::{Deserialize, Serialize};

use self::committer::TopicCommitter;
use self::writer::{TopicWriter, Transaction};
use crate::format::BatchEncoder;

/// How often a result can come to be in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// Once, for readers of committed records, who see it when its checkpoint is committed.
    #[default]
    ExactlyOnce,
    /// Once, or several times after failures; it is seen when its checkpoint flushes it, committed or not.
    AtLeastOnce,
}

/// Which topic to write, and how.
///
/// Records with a key go to the partition that Kafka's clients would choose for it; those without fill one partition's batch after the
/// other's. Records without a timestamp get the processing time.
///
/// ```
/// use riverrun_operators::TopicOutput;
/// use riverrun_log_store::Compression;
///
/// let output = TopicOutput::new("ip-counts").partitions(4).compression(Compression::Zstd);
/// ```
#[derive(Debug, Clone)]
pub struct TopicOutput {
    topic: String,
    partitions: u32,
    compression: Compression,
    batch_bytes: usize,
    delivery: Delivery,
    settings: Vec<(String, String)>,
}

impl TopicOutput {
    /// A topic, created with one partition if it does not exist, batches compressed with lz4.
    pub fn new(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            partitions: 1,
            compression: Compression::Lz4,
            batch_bytes: 512 << 10,
            delivery: Delivery::default(),
            settings: Vec::new(),
        }
    }

    /// Sets one of the topic's settings, by Kafka's name for it, if the topic has to be created: `cleanup.policy`, say.
    pub fn setting(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((key.into(), value.into()));
        self
    }

    /// Number of partitions if the topic has to be created.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions.max(1);
        self
    }

    /// How batches are compressed; columns as they are (format=arrow) are not.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Size of a batch before compression, in bytes: 512 KiB unless set.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }

    /// How often a result may come to be in the topic.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    pub(super) fn describe(&self, format: &str) -> String {
        match self.delivery {
            Delivery::ExactlyOnce => format!("{}, {format}, exactly once", self.topic),
            Delivery::AtLeastOnce => format!("{}, {format}, at least once", self.topic),
        }
    }

    fn failed(&self, error: impl std::fmt::Display) -> Error {
        Error::io(format!("writing topic `{}`", self.topic), error)
    }

    /// The error of an append: that of a sink which a newer one has replaced is told apart.
    fn append_failed(&self, job: &str, error: &riverrun_log_store::Error) -> Error {
        match error.kind() {
            ErrorKind::Fenced => Error::Fenced { job: job.to_owned(), reason: error.to_string() },
            _ => self.failed(error),
        }
    }
}

impl From<&str> for TopicOutput {
    fn from(topic: &str) -> Self {
        Self::new(topic)
    }
}

impl From<String> for TopicOutput {
    fn from(topic: String) -> Self {
        Self::new(topic)
    }
}

impl From<&String> for TopicOutput {
    fn from(topic: &String) -> Self {
        Self::new(topic)
    }
}

const NAME: &str = "topic sink";

/// Ends a stream in a topic.
pub(super) fn add<T, E: BatchEncoder + 'static>(
    stream: &DataStream<T>,
    output: TopicOutput,
    description: String,
    encoder: impl Fn() -> E + Send + Sync + 'static,
) -> DataStream<()> {
    let key = super::sink_key(stream.environment(), NAME, &output.topic);
    let (spec, who) = (super::spec(NAME, description), output.topic.clone());
    let delivery = output.delivery;
    let prefix = format!("{key}/");
    let make = move |resources: &Resources| -> Result<Box<dyn Operator>> {
        let store = resources.get::<Store>(&format!("the sink of topic `{}`", output.topic))?;
        Ok(Box::new(TopicSink::new(store, output.clone(), &key, encoder())))
    };
    match delivery {
        Delivery::AtLeastOnce => stream.add_sink(spec, make),
        Delivery::ExactlyOnce => stream.add_committing_sink(spec, make, move |resources| {
            let store = resources.get::<Store>(&format!("the committer of topic `{who}`"))?;
            Ok(Box::new(TopicCommitter::new(store, prefix.clone())))
        }),
    }
}

/// A transaction that is durable and waits for its checkpoint: what the committed checkpoint says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Prepared {
    transactional_id: String,
    identity: ProducerIdentity,
    /// Topic, partition, and the transaction's first offset there.
    parts: Vec<(String, u32, i64)>,
}

/// Encodes batches and appends them to a topic.
struct TopicSink<E> {
    store: Arc<Store>,
    output: TopicOutput,
    encoder: E,
    /// `<job>/<topic>/<sink>`.
    key: String,
    operator: String,
    writer: Option<TopicWriter>,
    slots: Slots,
    /// Transactions of checkpoints that are not known to be committed yet, with their slots.
    pending: Vec<(u64, usize, Prepared)>,
}

/// The transactional ids of a subtask.
#[derive(Default)]
struct Slots {
    ids: Vec<(String, Transaction)>,
    current: usize,
}

impl<E: BatchEncoder> TopicSink<E> {
    fn new(store: Arc<Store>, output: TopicOutput, key: &str, encoder: E) -> Self {
        Self {
            store,
            output,
            encoder,
            key: key.to_owned(),
            operator: String::new(),
            writer: None,
            slots: Slots::default(),
            pending: Vec::new(),
        }
    }

    /// Adds a slot; fences whoever used its id before.
    fn add_slot(&mut self) -> Result<usize> {
        let slot = self.slots.ids.len();
        let id = format!("{}/{slot}", self.key);
        let identity = self
            .store
            .init_transactional_producer(&id, TransactionOwner::Job)
            .map_err(|error| self.output.failed(error))?;
        self.slots.ids.push((id, Transaction::new(identity)));
        Ok(slot)
    }

    /// Goes on in a slot whose last transaction is over.
    fn next_slot(&mut self) -> Result<()> {
        let count = self.slots.ids.len();
        let free = (1..=count)
            .map(|i| (self.slots.current + i) % count)
            .find(|slot| self.pending.iter().all(|(_, used, _)| used != slot));
        self.slots.current = match free {
            Some(slot) => slot,
            None => self.add_slot()?,
        };
        Ok(())
    }
}

impl<E: BatchEncoder> Operator for TopicSink<E> {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        let partitions = self.output.ensure(&self.store, &mut self.encoder, &context.job)?;
        self.writer = Some(TopicWriter::open(&self.store, &self.output, partitions, context)?);
        if self.output.delivery == Delivery::ExactlyOnce {
            self.key = format!("{}/{}", self.key, context.subtask.index);
            self.add_slot()?;
            self.add_slot()?;
            self.slots.current = 0;
        }
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Output) -> Result<()> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let transaction = self.slots.ids.get_mut(self.slots.current).map(|(_, slot)| slot);
        let mut out = writer.begin(transaction);
        self.encoder.encode(&self.operator, batch, &mut out)
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let Some(writer) = &mut self.writer else { return Ok(Snapshot::Nothing) };
        let slot = self.slots.current;
        let current = self.slots.ids.get_mut(slot);
        let (id, mut transaction) = match current {
            Some((id, transaction)) => (Some(id.clone()), Some(transaction)),
            None => (None, None),
        };
        writer.begin(transaction.as_deref_mut()).finish_batches()?;
        let touched = writer.take_touched();
        if let (Some(transactional_id), Some(transaction)) = (id, transaction) {
            let parts: Vec<_> = transaction
                .end()
                .into_iter()
                .map(|(partition, first)| (self.output.topic.clone(), partition, first))
                .collect();
            if !parts.is_empty() {
                let identity = transaction.identity();
                let prepared = Prepared { transactional_id, identity, parts };
                self.pending.push((barrier.checkpoint, slot, prepared));
                self.next_slot()?;
            }
        }
        let prepared = self
            .pending
            .iter()
            .map(|(_, _, token)| codec::encode(token).map_err(|e| Error::state(&self.operator, e)))
            .collect::<Result<Vec<_>>>()?;
        let (store, output) = (self.store.clone(), self.output.clone());
        Ok(Snapshot::Deferred(Box::new(move || {
            if !touched.is_empty() {
                store.flush_partitions(&touched).map_err(|error| output.failed(error))?;
            }
            Ok(OperatorState { prepared, ..OperatorState::default() })
        })))
    }

    fn on_checkpoint_complete(&mut self, checkpoint: u64) -> Result<()> {
        self.pending.retain(|(of, _, _)| *of > checkpoint);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        // What no checkpoint has prepared must not hold back readers until the job runs again.
        let Some(writer) = &mut self.writer else { return Ok(()) };
        if let Some((id, transaction)) = self.slots.ids.get_mut(self.slots.current)
            && let Err(error) = writer.abort(transaction)
        {
            tracing::warn!("transaction {id} is left open for recovery: {error}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
