//! Appending: checks, offsets, one positioned write.

use std::sync::PoisonError;

use bytes::Bytes;

use super::{Ordering, Partition, Shared, Writer, guard};
use crate::batch::{
    Batch, BatchHeader, COLUMNAR_ALIGNMENT, HEADER_LEN, control_batch, padded_control_batch, stamp,
};
use crate::compression::Decompressor;
use crate::error::{Error, Result};
use crate::index::IndexEntry;
use crate::producer_state::{Decision, ProducedBatch, ProducerStates};
use crate::segment::{LOG_SUFFIX, file_name};
use crate::topic::{FlushMode, RecordFormat};
use crate::transaction::{ProducerIdentity, TransactionOutcome};

/// There is one leader a partition, ever: the store that holds the lock.
pub(crate) const LEADER_EPOCH: i32 = 0;

/// A partition is flushed when this many batches are waiting for their index entry, so that the memory
/// for those stays bounded.
const MAX_PENDING: usize = 1 << 16;

/// Where an append ended up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of the first record.
    pub base_offset: i64,
    /// Offset of the last record.
    pub last_offset: i64,
    /// Whether this was a producer's retry of what is in the log already: these are the offsets from
    /// then, and nothing was written.
    pub duplicate: bool,
}

/// A batch of an append, with where it lies in the caller's bytes.
struct Incoming {
    header: BatchHeader,
    from: usize,
    to: usize,
}

impl Partition {
    /// Appends whole record batches. Base offset and leader epoch are stamped into `batches`, so
    /// that afterwards it holds what was stored.
    ///
    /// The records are written, not durable: acknowledge them after [`Partition::flush`].
    ///
    /// # Errors
    /// Nothing of the append is there after an error.
    /// - `MalformedBatch`, `UnsupportedMagic`, `ChecksumMismatch`, `MessageTooLarge`: the bytes are
    ///   no batches that can be taken.
    /// - `KeyMissing`: the topic is compacted. `WrongFormat`: it takes rows, and these are columns, or the
    ///   other way round.
    /// - `Rejected`, `ProducerFenced`: the rules of idempotence and transactions.
    /// - `DiskFull`: the append is undone, and may be tried again when there is room.
    /// - `PartitionStopped`, `Closed`.
    pub fn append(&self, batches: &mut [u8]) -> Result<Appended> {
        self.append_batches(batches, true)
    }

    /// As [`Partition::append`], without computing Kafka's checksum again: only for batches that this
    /// process has just built, since recovery takes one that is wrong for damage.
    pub fn append_trusted(&self, batches: &mut [u8]) -> Result<Appended> {
        self.append_batches(batches, false)
    }

    /// [`Partition::append`], then [`Partition::flush`].
    ///
    /// # Errors
    /// Theirs.
    pub fn append_durable(&self, batches: &mut [u8]) -> Result<Appended> {
        let appended = self.append(batches)?;
        self.shared.flush_to(appended.last_offset + 1)?;
        Ok(appended)
    }

    fn append_batches(&self, bytes: &mut [u8], verify: bool) -> Result<Appended> {
        let shared = &self.shared;
        let incoming = shared.check_batches(bytes, verify)?;
        let produced: Vec<ProducedBatch> =
            incoming.iter().filter_map(|batch| ProducedBatch::of(&batch.header)).collect();
        let mut writer = shared.writer_with_room(bytes.len() as u64)?;
        if let Some(fence) = shared.fence.get() {
            for batch in &produced {
                fence
                    .check(batch.identity, batch.transactional)
                    .map_err(|rejection| shared.rejected(rejection))?;
            }
        }
        let decision = writer
            .states
            .check_append(&produced)
            .map_err(|rejection| shared.rejected(rejection))?;
        if let Decision::Duplicate { base_offset, last_offset } = decision {
            return Ok(Appended { base_offset, last_offset, duplicate: true });
        }
        let appended = shared.write(&mut writer, bytes, incoming)?;
        let relaxed = shared.flush_mode() != FlushMode::Commit;
        let overdue = writer.active.pending() >= MAX_PENDING;
        drop(writer);
        if relaxed {
            shared.wake();
        }
        if overdue {
            self.flush()?;
        }
        Ok(appended)
    }

    /// Appends the marker that ends a transaction, if `decide` says so when it sees the states. The
    /// marker is written, not durable.
    pub(crate) fn append_marker(
        &self,
        identity: ProducerIdentity,
        outcome: TransactionOutcome,
        decide: impl FnOnce(&ProducerStates) -> Result<bool>,
    ) -> Result<Option<Appended>> {
        let shared = &self.shared;
        let now = shared.environment.clock.now_ms();
        let mut marker = match shared.config().format {
            RecordFormat::Rows => control_batch(outcome, identity.id, identity.epoch, 0, now)?,
            RecordFormat::Arrow => padded_control_batch(outcome, identity, now)?,
        };
        let mut writer = shared.writer_with_room(marker.len() as u64)?;
        if !decide(&writer.states)? {
            return Ok(None);
        }
        let header = BatchHeader::parse(&marker)?;
        let incoming = vec![Incoming { header, from: 0, to: marker.len() }];
        let appended = shared.write_batches(&mut writer, &mut marker, incoming)?;
        let offset = appended.base_offset;
        shared.note_marker(&mut writer.states, identity, outcome, offset, now);
        shared.advance(&mut writer, None);
        drop(writer);
        shared.wake();
        Ok(Some(appended))
    }
}

impl Shared {
    pub fn note_marker(
        &self,
        states: &mut ProducerStates,
        identity: ProducerIdentity,
        outcome: TransactionOutcome,
        offset: i64,
        now_ms: i64,
    ) {
        let completed = states.on_marker(identity, outcome, offset, now_ms);
        if let Some(aborted) = completed.and_then(|completed| completed.aborted) {
            let mut index = self.aborted.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            index.push(aborted);
        }
    }

    fn rejected(&self, rejection: crate::producer_state::Rejection) -> Error {
        Error::Rejected { topic: self.topic.clone(), partition: self.partition, rejection }
    }

    fn check_batches(&self, bytes: &[u8], verify: bool) -> Result<Vec<Incoming>> {
        let (limit, compacts, format) = {
            let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
            let limit = config.max_message_bytes as usize;
            (limit, config.cleanup_policy.compacts(), config.format)
        };
        let mut decompressor = None;
        let mut incoming = Vec::with_capacity(1);
        let mut from = 0;
        while from < bytes.len() {
            let header = BatchHeader::parse(&bytes[from..])?;
            let to = from + header.total_len();
            let Some(batch) = bytes.get(from..to) else {
                return Err(header.invalid("it is cut short"));
            };
            if batch.len() > limit {
                let topic = self.topic.clone();
                return Err(Error::MessageTooLarge { topic, size: batch.len(), limit });
            }
            if header.attributes.is_control() {
                return Err(self.rejected(crate::producer_state::Rejection::ControlBatch));
            }
            self.check_format(format, &header)?;
            let records = match format {
                RecordFormat::Rows => header.last_offset_delta.checked_add(1),
                // Its offsets count the rows of its one record.
                RecordFormat::Arrow => Some(1),
            };
            if header.records_count < 1 || Some(header.records_count) != records {
                return Err(header.invalid("its offsets do not count its records"));
            }
            if verify {
                header.verify_crc(batch)?;
            }
            if compacts {
                self.check_keys(batch, decompressor.get_or_insert_with(Decompressor::default))?;
            }
            incoming.push(Incoming { header, from, to });
            from = to;
        }
        if incoming.is_empty() {
            return Err(Error::MalformedBatch { reason: "there is no batch to append".to_owned() });
        }
        Ok(incoming)
    }

    fn check_format(&self, expected: RecordFormat, header: &BatchHeader) -> Result<()> {
        let found = match header.attributes.is_columnar() {
            true => RecordFormat::Arrow,
            false => RecordFormat::Rows,
        };
        if found != expected {
            return Err(Error::WrongFormat {
                topic: self.topic.clone(),
                expected: expected.holds(),
                found: found.holds(),
            });
        }
        if found == RecordFormat::Arrow && !header.total_len().is_multiple_of(COLUMNAR_ALIGNMENT) {
            return Err(header.invalid("its length would put those behind it out of alignment"));
        }
        Ok(())
    }

    /// Compaction goes by keys: a record without one would be there for ever.
    fn check_keys(&self, batch: &[u8], decompressor: &mut Decompressor) -> Result<()> {
        let batch = Batch::parse(Bytes::copy_from_slice(batch))?;
        for (record, at) in batch.records(decompressor)?.iter().zip(0..) {
            if record?.key.is_none() {
                return Err(Error::KeyMissing { topic: self.topic.clone(), record: at });
            }
        }
        Ok(())
    }

    fn write(
        &self,
        writer: &mut Writer,
        bytes: &mut [u8],
        incoming: Vec<Incoming>,
    ) -> Result<Appended> {
        let now = self.environment.clock.now_ms();
        let headers: Vec<BatchHeader> = incoming.iter().map(|batch| batch.header).collect();
        let appended = self.write_batches(writer, bytes, incoming)?;
        let mut offset = appended.base_offset;
        for header in headers {
            if let Some(batch) = ProducedBatch::of(&header) {
                writer.states.on_appended(&batch, offset, now);
            }
            offset += i64::from(header.last_offset_delta) + 1;
        }
        self.advance(writer, None);
        Ok(appended)
    }

    /// Stamps, writes and indexes. The frontiers stay as they are.
    fn write_batches(
        &self,
        writer: &mut Writer,
        bytes: &mut [u8],
        incoming: Vec<Incoming>,
    ) -> Result<Appended> {
        let end = writer.active.end();
        let (mut offset, mut max_timestamp) = (end.offset, end.max_timestamp);
        let mut entries = Vec::with_capacity(incoming.len());
        for Incoming { mut header, from, to } in incoming {
            let batch = &mut bytes[from..to];
            stamp(batch, offset, LEADER_EPOCH);
            header.base_offset = offset;
            header.partition_leader_epoch = LEADER_EPOCH;
            let entry = IndexEntry::of(&header, batch, end.position + from as u64, max_timestamp);
            (offset, max_timestamp) = (entry.next_offset(), entry.max_timestamp);
            entries.push(entry);
        }
        if let Err(error) = writer.active.log().write_at(end.position, bytes) {
            return Err(self.undo(writer, end.position, error));
        }
        if writer.active.is_empty() {
            writer.active_since_ms = self.environment.clock.now_ms();
        }
        writer.active.extend(&entries);
        self.unpointed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Ok(Appended { base_offset: end.offset, last_offset: offset - 1, duplicate: false })
    }

    /// A write failed: cuts off what it may have left. On a full disk that is all; after any other
    /// error the partition stops.
    fn undo(&self, writer: &Writer, position: u64, error: std::io::Error) -> Error {
        let path = self.dir.join(file_name(writer.active.base_offset(), LOG_SUFFIX));
        let cut = writer.active.log().truncate(position);
        match (Error::io("append to", &path, error), cut) {
            (full @ Error::DiskFull { .. }, Ok(())) => full,
            (Error::Io { source, .. }, _) => self.stop("write to", &path, &source),
            (_, Err(cut)) => self.stop("undo a write to", &path, &cut),
            (other, Ok(())) => other,
        }
    }

    /// The writer, after rolling to a new segment if `size` more bytes ask for it.
    fn writer_with_room(&self, size: u64) -> Result<std::sync::MutexGuard<'_, Writer>> {
        debug_assert!(size >= HEADER_LEN as u64, "a batch has a header");
        loop {
            {
                let writer = guard(&self.writer);
                self.check_running()?;
                if !self.wants_roll(&writer, size) {
                    return Ok(writer);
                }
            }
            self.roll(size)?;
        }
    }
}
