//! Records into batches into partitions, within a transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use riverrun_dataflow::{Clock, NO_TIMESTAMP, OperatorContext, OperatorMetrics, Result, Timestamp};
use riverrun_log_store::{
    Appended, BatchBuilder, ColumnarBatch, Partition, Partitioner, ProducerIdentity, Store,
    TransactionOutcome,
};

use super::TopicOutput;
use crate::format::{ColumnMessage, RecordOut};

/// The sequence number behind `rows` rows: they wrap to 0 after `i32::MAX`.
fn sequence_after(first: i32, rows: u32) -> i32 {
    ((i64::from(first) + i64::from(rows)) % (i64::from(i32::MAX) + 1)) as i32
}

/// A producer and what its current transaction has written.
pub(super) struct Transaction {
    identity: ProducerIdentity,
    /// Next sequence number by partition.
    sequences: BTreeMap<u32, i32>,
    /// First offset by partition.
    parts: BTreeMap<u32, i64>,
}

impl Transaction {
    pub(super) fn new(identity: ProducerIdentity) -> Self {
        Self { identity, sequences: BTreeMap::new(), parts: BTreeMap::new() }
    }

    pub(super) fn identity(&self) -> ProducerIdentity {
        self.identity
    }

    /// Partition and first offset of all that was appended; the next record begins another transaction.
    pub(super) fn end(&mut self) -> BTreeMap<u32, i64> {
        std::mem::take(&mut self.parts)
    }
}

/// Collects records into batches and appends them.
pub(super) struct TopicWriter {
    output: TopicOutput,
    job: String,
    partitions: Vec<Part>,
    partitioner: Partitioner,
    clock: Arc<dyn Clock>,
    metrics: Arc<OperatorMetrics>,
    buffer: Vec<u8>,
    /// Partitions with appended batches that are not flushed.
    touched: Vec<usize>,
}

struct Part {
    log: Partition,
    builder: BatchBuilder,
    touched: bool,
}

impl TopicWriter {
    pub(super) fn open(
        store: &Store,
        output: &TopicOutput,
        partitions: u32,
        context: &OperatorContext,
    ) -> Result<Self> {
        let open = |partition| {
            let log = store.partition(&output.topic, partition)?;
            Ok(Part { log, builder: BatchBuilder::new(output.compression)?, touched: false })
        };
        let parts = (0..partitions).map(open).collect::<riverrun_log_store::Result<Vec<_>>>();
        Ok(Self {
            partitions: parts.map_err(|error| output.failed(error))?,
            partitioner: Partitioner::new(partitions, context.subtask.index),
            output: output.clone(),
            job: context.job.clone(),
            clock: context.clock.clone(),
            metrics: context.metrics.clone(),
            buffer: Vec::new(),
            touched: Vec::new(),
        })
    }

    /// Goes on writing, in a transaction or (at least once) without one.
    pub(super) fn begin<'a>(&'a mut self, transaction: Option<&'a mut Transaction>) -> Writing<'a> {
        Writing { now: None, writer: self, transaction }
    }

    /// The partitions with appends that are not flushed; they count as flushed from here.
    pub(super) fn take_touched(&mut self) -> Vec<Partition> {
        let touched = std::mem::take(&mut self.touched);
        touched
            .into_iter()
            .map(|index| {
                self.partitions[index].touched = false;
                self.partitions[index].log.clone()
            })
            .collect()
    }

    /// Aborts what the transaction has appended.
    pub(super) fn abort(&mut self, transaction: &mut Transaction) -> Result<()> {
        let identity = transaction.identity;
        for (partition, _) in transaction.end() {
            self.partitions[partition as usize]
                .log
                .end_transaction(identity, TransactionOutcome::Abort)
                .map_err(|error| self.output.failed(error))?;
        }
        Ok(())
    }
}

/// A [`TopicWriter`] that is being written to.
pub(super) struct Writing<'a> {
    writer: &'a mut TopicWriter,
    transaction: Option<&'a mut Transaction>,
    now: Option<Timestamp>,
}

impl Writing<'_> {
    /// Appends the batches that have begun.
    pub(super) fn finish_batches(&mut self) -> Result<()> {
        for index in 0..self.writer.partitions.len() {
            if !self.writer.partitions[index].builder.is_empty() {
                self.append(index)?;
            }
        }
        Ok(())
    }

    fn append(&mut self, index: usize) -> Result<()> {
        let writer = &mut *self.writer;
        let part = &mut writer.partitions[index];
        writer.buffer.clear();
        let next_sequence = part.builder.next_sequence();
        let appended = part
            .builder
            .finish_into(&mut writer.buffer)
            .and_then(|()| part.log.append_trusted(&mut writer.buffer))
            .map_err(|error| writer.output.append_failed(&writer.job, &error))?;
        self.appended(index, next_sequence, appended);
        Ok(())
    }

    /// The writer's buffer was appended to this partition.
    fn appended(&mut self, index: usize, next_sequence: i32, appended: Appended) {
        let writer = &mut *self.writer;
        OperatorMetrics::add(&writer.metrics.bytes, writer.buffer.len() as u64);
        if let Some(transaction) = &mut self.transaction {
            transaction.sequences.insert(index as u32, next_sequence);
            transaction.parts.entry(index as u32).or_insert(appended.base_offset);
        }
        if !std::mem::replace(&mut writer.partitions[index].touched, true) {
            writer.touched.push(index);
        }
    }
}

impl RecordOut for Writing<'_> {
    #[inline]
    fn push(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<()> {
        self.push_with_headers(timestamp, key, value, &[])
    }

    /// Appends a batch of its own. Partitions are filled one batch after the other.
    fn push_columns(&mut self, columns: ColumnMessage<'_>) -> Result<()> {
        let writer = &mut *self.writer;
        let index = match writer.partitions.len() {
            1 => 0,
            _ => writer.partitioner.choose(None) as usize,
        };
        let max_timestamp = match columns.timestamp {
            NO_TIMESTAMP => *self.now.get_or_insert_with(|| writer.clock.now()),
            timestamp => timestamp,
        };
        let producer = self.transaction.as_ref().map(|transaction| {
            let sequence = transaction.sequences.get(&(index as u32)).copied().unwrap_or(0);
            (transaction.identity, sequence)
        });
        let batch = ColumnarBatch {
            rows: columns.rows,
            max_timestamp,
            schema_id: columns.schema_id,
            producer,
            transactional: producer.is_some(),
        };
        let mut batch = batch.begin(std::mem::take(&mut writer.buffer));
        batch.message().extend_from_slice(columns.message);
        let log = &writer.partitions[index].log;
        let appended = batch.finish().and_then(|bytes| {
            writer.buffer = bytes;
            log.append_trusted(&mut writer.buffer)
        });
        let appended =
            appended.map_err(|error| writer.output.append_failed(&writer.job, &error))?;
        let first = producer.map_or(0, |(_, sequence)| sequence);
        self.appended(index, sequence_after(first, columns.rows), appended);
        if self.writer.partitions.len() > 1 {
            self.writer.partitioner.batch_finished(index as u32);
        }
        Ok(())
    }

    #[inline]
    fn push_with_headers(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, &[u8])],
    ) -> Result<()> {
        let writer = &mut *self.writer;
        let index = match writer.partitions.len() {
            1 => 0,
            _ => writer.partitioner.choose(key) as usize,
        };
        let timestamp = match timestamp {
            NO_TIMESTAMP => *self.now.get_or_insert_with(|| writer.clock.now()),
            timestamp => timestamp,
        };
        let part = &mut writer.partitions[index];
        if part.builder.is_empty()
            && let Some(transaction) = &self.transaction
        {
            let identity = transaction.identity;
            let sequence = transaction.sequences.get(&(index as u32)).copied().unwrap_or(0);
            part.builder.transactional(identity.id, identity.epoch, sequence);
        }
        part.builder
            .append(timestamp, key, value, headers)
            .map_err(|error| writer.output.failed(error))?;
        if part.builder.size_bytes() >= writer.output.batch_bytes {
            self.append(index)?;
            if self.writer.partitions.len() > 1 && key.is_none() {
                self.writer.partitioner.batch_finished(index as u32);
            }
        }
        Ok(())
    }
}
