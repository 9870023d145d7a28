//! Writing: collects records into batches, partition by partition, and sends them.

mod lane;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lane::Lane;

use crate::batch::BatchBuilder;
use crate::compression::Compression;
use crate::coordinator::TransactionOwner;
use crate::environment::Clock;
use crate::error::{Error, Result};
use crate::metadata::Entry;
use crate::partition::Partition;
use crate::partitioner::Partitioner;
use crate::record::Record;
use crate::store::Store;
use crate::transaction::ProducerIdentity;

/// When [`Producer::flush`] may return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acks {
    /// When everything is as durable as each topic's flush mode promises: by default, on disk.
    #[default]
    All,
    /// When everything is written; a crash of the machine may take it away again. Records become
    /// visible to readers with the next flush of the partition, by whomever.
    Written,
}

/// How a [`Producer`] sends.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    /// How batches are compressed. Default: lz4.
    pub compression: Compression,
    /// The codec's level; `None` is the codec's default.
    pub compression_level: Option<i32>,
    /// A batch is sent when its records have this size before compression, in bytes; a single larger
    /// record is a batch of its own. Default: 1 MB, which suits the default of `max.message.bytes`.
    pub batch_bytes: usize,
    /// How long a record may wait for others before it is sent and flushed; `None` sends only full
    /// batches and what [`Producer::flush`] or the end of a transaction sends. Default: 5 ms.
    ///
    /// There is no thread behind this: time is looked at when [`Producer::send`] or
    /// [`Producer::poll`] is called. Who sends seldom calls `flush`.
    pub linger: Option<Duration>,
    /// Makes the producer transactional: under this name the store knows its instances, and fences
    /// the older ones.
    pub transactional_id: Option<String>,
    /// Numbers the batches, so that a batch sent again after an error is recognised. Always the case
    /// with a transactional id. Default: yes.
    pub idempotence: bool,
    /// When a flush may return. Default: when all is durable.
    pub acks: Acks,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        ProducerConfig {
            compression: Compression::Lz4,
            compression_level: None,
            batch_bytes: 1_000_000,
            linger: Some(Duration::from_millis(5)),
            transactional_id: None,
            idempotence: true,
            acks: Acks::All,
        }
    }
}

/// Sends records to topics.
///
/// Nothing is acknowledged before [`Producer::flush`], or the commit of a transaction, returns.
/// Records of one partition keep their order. Records that a partition did not take, for instance
/// because its disk is full, are kept and sent again by the next call that sends.
///
/// ```no_run
/// # use riverrun_log_store::{Producer, ProducerConfig, Store, StoreOptions};
/// let store = Store::open("riverrun-data", StoreOptions::default())?;
/// let mut producer = Producer::new(&store, ProducerConfig::default())?;
/// producer.send("nginx", None, None, Some(b"83.149.9.216"), Some(b"GET / 200"), &[])?;
/// producer.flush()?;
/// # Ok::<(), riverrun_log_store::Error>(())
/// ```
pub struct Producer {
    store: Store,
    clock: Arc<dyn Clock>,
    config: ProducerConfig,
    identity: Option<ProducerIdentity>,
    in_transaction: bool,
    topics: Vec<Topic>,
    /// The topic of the last record, which mostly is the next one's too.
    current: usize,
    /// Since when the oldest record that was not flushed has been waiting.
    waiting_since: Option<Duration>,
    /// What went wrong after a record had been taken; reported by the next call.
    failed: Option<Error>,
    /// A finished batch on its way to a partition; the memory is used again for every batch.
    out: Vec<u8>,
}

struct Topic {
    name: Box<str>,
    partitioner: Partitioner,
    lanes: Vec<Option<Lane>>,
}

impl Producer {
    /// A producer that sends to `store`.
    ///
    /// With a transactional id this fences older producers of that id, and aborts the transaction that
    /// they left open.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a compression level that the codec does not know; or what the
    /// store reports when it writes down the new producer.
    pub fn new(store: &Store, config: ProducerConfig) -> Result<Producer> {
        // What is wrong with the configuration is better seen here than with the first record.
        lane::new_builder(&config)?;
        let identity = match &config.transactional_id {
            Some(id) => Some(store.init_transactional_producer(id, TransactionOwner::Process)?),
            None if config.idempotence => Some(store.init_producer(None)?),
            None => None,
        };
        Ok(Producer {
            store: store.clone(),
            clock: store.environment().clock.clone(),
            config,
            identity,
            in_transaction: false,
            topics: Vec::new(),
            current: 0,
            waiting_since: None,
            failed: None,
            out: Vec::new(),
        })
    }

    /// The producer id and epoch; `None` without idempotence.
    pub fn identity(&self) -> Option<ProducerIdentity> {
        self.identity
    }

    /// Takes a record and sends it sooner or later: it may wait for others, see
    /// [`ProducerConfig::linger`].
    ///
    /// Without a `partition`, the key decides, as in Kafka; without a key too, whole batches go to
    /// one partition after the other. `timestamp_ms` is in milliseconds since the Unix epoch; `None`
    /// is now.
    ///
    /// # Errors
    /// After an error the record has not been taken, and may be sent again.
    /// [`Error::UnknownTopic`] and [`Error::UnknownPartition`]; [`Error::InvalidTransactionState`]
    /// for a transactional producer outside of a transaction; or what a partition reported when
    /// records before this one were sent.
    pub fn send(
        &mut self,
        topic: &str,
        partition: Option<u32>,
        timestamp_ms: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &[u8])],
    ) -> Result<()> {
        self.send_by(topic, partition, timestamp_ms, key, value, |builder, timestamp_ms| {
            builder.append(timestamp_ms, key, value, headers)
        })
    }

    /// As [`Producer::send`]: a copy of a record, its key, value, timestamp and headers as they are, with `more` headers behind them.
    ///
    /// # Errors
    /// As [`Producer::send`].
    pub fn send_copy(
        &mut self,
        topic: &str,
        partition: Option<u32>,
        record: &Record<'_>,
        more: &[(&str, &[u8])],
    ) -> Result<()> {
        let (key, value) = (record.key, record.value);
        let more = more.iter().map(|(name, value)| (name.as_bytes(), Some(*value)));
        let headers = record.headers.iter().chain(more);
        let timestamp_ms = Some(record.timestamp);
        self.send_by(topic, partition, timestamp_ms, key, value, |builder, timestamp_ms| {
            builder.append_with_headers(timestamp_ms, key, value, headers)
        })
    }

    fn send_by(
        &mut self,
        topic: &str,
        partition: Option<u32>,
        timestamp_ms: Option<i64>,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        append: impl FnOnce(&mut BatchBuilder, i64) -> Result<()>,
    ) -> Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.config.transactional_id.is_some() && !self.in_transaction {
            return Err(self.invalid_state("a record was sent outside of a transaction"));
        }
        let timestamp_ms = timestamp_ms.unwrap_or_else(|| self.clock.now_ms());
        let at = self.topic(topic)?;
        let partition = partition.unwrap_or_else(|| self.topics[at].partitioner.choose(key));
        let lane = self.lane(at, partition)?;

        if lane.is_full_with(key, value) {
            self.send_batch(at, partition)?;
        }
        append(&mut self.lane(at, partition)?.builder, timestamp_ms)?;
        if self.config.linger.is_some() {
            self.linger();
        }
        Ok(())
    }

    /// Sends and flushes what has waited long enough. For whoever has nothing to send right now.
    ///
    /// # Errors
    /// As [`Producer::flush`].
    pub fn poll(&mut self) -> Result<()> {
        if self.waiting_since.is_some() {
            self.linger();
        }
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Sends everything and returns when it is acknowledged, see [`ProducerConfig::acks`]. All
    /// partitions are flushed at the same time.
    ///
    /// # Errors
    /// What the partitions report. [`Error::DiskFull`]: what was not sent is kept, call again when
    /// there is room. [`Error::MessageTooLarge`]: the batch was given up, its records are not in the
    /// log; the others can be flushed by calling again. [`Error::PartitionStopped`] or
    /// [`Error::ProducerFenced`]: nothing more can be sent.
    pub fn flush(&mut self) -> Result<()> {
        self.failed = None;
        self.send_all()?;
        match self.config.acks {
            Acks::All => self.flush_partitions()?,
            Acks::Written => {}
        }
        self.waiting_since = None;
        self.follow_topics();
        Ok(())
    }

    /// Begins a transaction: what is sent from now on becomes visible to consumers that read
    /// committed records when it is committed, all at once, or never.
    ///
    /// # Errors
    /// [`Error::InvalidTransactionState`] without a transactional id, or in a transaction.
    pub fn begin_transaction(&mut self) -> Result<()> {
        if self.config.transactional_id.is_none() {
            return Err(self.invalid_state("the producer has no transactional id"));
        }
        if self.in_transaction {
            return Err(self.invalid_state("it has begun already: commit or abort it first"));
        }
        self.in_transaction = true;
        Ok(())
    }

    /// Commits the transaction: when this returns, all its records are durable and visible.
    ///
    /// # Errors
    /// As [`Producer::flush`] and [`Store::commit_transaction`], which says in what state the
    /// transaction is then; [`Error::InvalidTransactionState`] outside of a transaction.
    pub fn commit_transaction(&mut self) -> Result<()> {
        self.commit_transaction_with(&[])
    }

    /// Commits the transaction together with entries of the store's metadata: they are part of the
    /// same record on disk, so there is no moment at which one counts and the other does not. That
    /// is how a reader of files remembers how far it came, exactly once.
    ///
    /// # Errors
    /// As [`Producer::commit_transaction`].
    pub fn commit_transaction_with(&mut self, entries: &[Entry]) -> Result<()> {
        let identity = self.open_transaction()?;
        self.failed = None;
        self.send_all()?;
        self.store.commit_transaction_with(identity, entries)?;
        self.transaction_ended();
        Ok(())
    }

    /// Aborts the transaction: its records are never seen by consumers that read committed records.
    ///
    /// # Errors
    /// [`Error::InvalidTransactionState`] outside of a transaction; or what the store reports.
    pub fn abort_transaction(&mut self) -> Result<()> {
        let identity = self.open_transaction()?;
        self.failed = None;
        for lane in self.lanes_mut() {
            lane.discard();
        }
        self.store.abort_transaction(identity)?;
        self.transaction_ended();
        Ok(())
    }

    fn open_transaction(&self) -> Result<ProducerIdentity> {
        match self.identity {
            Some(identity) if self.in_transaction => Ok(identity),
            _ => Err(self.invalid_state("none has begun")),
        }
    }

    fn transaction_ended(&mut self) {
        self.in_transaction = false;
        self.waiting_since = None;
        // Ending a transaction makes its records durable first.
        for lane in self.lanes_mut() {
            lane.unflushed = false;
        }
        self.follow_topics();
    }

    /// Flushes if the oldest record has waited long enough. The record that was just taken is not
    /// to be sent again by its caller, so an error waits for the next call.
    fn linger(&mut self) {
        let Some(linger) = self.config.linger else { return };
        let now = self.clock.monotonic();
        let since = *self.waiting_since.get_or_insert(now);
        if now.saturating_sub(since) >= linger {
            self.failed = self.flush().err();
        }
    }

    fn send_all(&mut self) -> Result<()> {
        for at in 0..self.topics.len() {
            for partition in 0..self.topics[at].lanes.len() {
                if self.topics[at].lanes[partition].as_ref().is_some_and(Lane::has_unsent) {
                    self.send_batch(at, partition as u32)?;
                }
            }
        }
        Ok(())
    }

    fn send_batch(&mut self, at: usize, partition: u32) -> Result<()> {
        let topic = &mut self.topics[at];
        if let Some(lane) = &mut topic.lanes[partition as usize] {
            lane.send(&mut self.out)?;
            topic.partitioner.batch_finished(partition);
        }
        Ok(())
    }

    fn flush_partitions(&mut self) -> Result<()> {
        let lanes = self.topics.iter().flat_map(|topic| topic.lanes.iter().flatten());
        let partitions: Vec<Partition> =
            lanes.filter(|lane| lane.unflushed).map(|lane| lane.partition.clone()).collect();
        if partitions.is_empty() {
            return Ok(());
        }
        self.store.flush_partitions(&partitions)?;
        for lane in self.lanes_mut() {
            lane.unflushed = false;
        }
        Ok(())
    }

    /// Takes up partitions that were added to a topic meanwhile.
    fn follow_topics(&mut self) {
        for topic in &mut self.topics {
            // A topic that is gone says so when the next record is sent to it.
            let Ok(info) = self.store.topic(&topic.name) else { continue };
            if info.config.partitions > topic.partitioner.partitions() {
                topic.partitioner.set_partitions(info.config.partitions);
                topic.lanes.resize_with(info.config.partitions as usize, || None);
            }
        }
    }

    /// Where the topic is in `topics`.
    fn topic(&mut self, name: &str) -> Result<usize> {
        let is_it = |topic: &Topic| &*topic.name == name;
        if !self.topics.get(self.current).is_some_and(is_it) {
            self.current = match self.topics.iter().position(is_it) {
                Some(at) => at,
                None => self.open_topic(name)?,
            };
        }
        Ok(self.current)
    }

    fn open_topic(&mut self, name: &str) -> Result<usize> {
        let partitions = self.store.topic(name)?.config.partitions;
        let start = self.store.environment().random.next_u64() as u32;
        let mut lanes = Vec::new();
        lanes.resize_with(partitions as usize, || None);
        let partitioner = Partitioner::new(partitions, start);
        self.topics.push(Topic { name: name.into(), partitioner, lanes });
        Ok(self.topics.len() - 1)
    }

    /// What is on its way to a partition; begins it with the partition's first record.
    #[inline]
    fn lane(&mut self, at: usize, partition: u32) -> Result<&mut Lane> {
        let partition = partition as usize;
        if self.topics[at].lanes.get(partition).is_none_or(Option::is_none) {
            self.open_lane(at, partition)?;
        }
        // Just opened if it was not there.
        self.topics[at].lanes[partition].as_mut().ok_or(Error::Closed)
    }

    #[cold]
    fn open_lane(&mut self, at: usize, partition: usize) -> Result<()> {
        if partition >= self.topics[at].lanes.len() {
            // Perhaps it was added since.
            self.follow_topics();
        }
        let topic = &mut self.topics[at];
        let handle = self.store.partition(&topic.name, partition as u32)?;
        let limit = self.store.topic(&topic.name)?.config.max_message_bytes as usize;
        if partition >= topic.lanes.len() {
            topic.lanes.resize_with(partition + 1, || None);
        }
        topic.lanes[partition] = Some(Lane::new(handle, &self.config, self.identity, limit)?);
        Ok(())
    }

    fn lanes_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.topics.iter_mut().flat_map(|topic| topic.lanes.iter_mut().flatten())
    }

    fn invalid_state(&self, reason: &str) -> Error {
        let producer_id = self.identity.map_or(-1, |identity| identity.id);
        Error::InvalidTransactionState { producer_id, reason: reason.to_string() }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let unsent: usize = self.lanes_mut().map(|lane| lane.unsent_records()).sum();
        if unsent > 0 && !self.in_transaction {
            tracing::warn!(unsent, "a producer was dropped with records that were never flushed");
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("config", &self.config)
            .field("identity", &self.identity)
            .field("in_transaction", &self.in_transaction)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
