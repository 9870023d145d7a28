//! The file `producers.snapshot`: the producer states of a partition at one offset, so that recovery
//! replays only the batches after it.
//!
//! ```text
//! "RRPS" | version u32 | offset i64 | producers u32 | transactions u32
//! producer     id i64 | epoch i16 | next sequence i32 (-1: unknown) | last seen i64 | batches u8
//!   batch      base sequence i32 | last sequence i32 | base offset i64 | last offset i64
//! transaction  id i64 | epoch i16 | first offset i64
//! crc32c u32 over everything before it
//! ```
//!
//! Little endian. A snapshot may only be written when the log below its offset is durable; otherwise
//! a crash could leave a snapshot that knows batches which the log has lost.

use super::{Producer, ProducerStates, REMEMBERED_BATCHES, RememberedBatch};
use crate::batch::crc32c;
use crate::error::{Error, Result};
use crate::transaction::{OpenTransaction, ProducerIdentity};
use std::collections::VecDeque;

const MAGIC: &[u8; 4] = b"RRPS";
const VERSION: u32 = 1;

impl ProducerStates {
    /// Encodes the states as they are when the log ends at `offset`.
    pub fn encode_snapshot(&self, offset: i64) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.producers.len() * 64);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&(self.producers.len() as u32).to_le_bytes());
        let open = self.transactions.all_open().count() as u32;
        out.extend_from_slice(&open.to_le_bytes());
        for (id, producer) in &self.producers {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&producer.epoch.to_le_bytes());
            out.extend_from_slice(&producer.next_sequence.unwrap_or(-1).to_le_bytes());
            out.extend_from_slice(&producer.last_seen_ms.to_le_bytes());
            out.push(producer.batches.len() as u8);
            for batch in &producer.batches {
                out.extend_from_slice(&batch.base_sequence.to_le_bytes());
                out.extend_from_slice(&batch.last_sequence.to_le_bytes());
                out.extend_from_slice(&batch.base_offset.to_le_bytes());
                out.extend_from_slice(&batch.last_offset.to_le_bytes());
            }
        }
        for transaction in self.transactions.all_open() {
            out.extend_from_slice(&transaction.identity.id.to_le_bytes());
            out.extend_from_slice(&transaction.identity.epoch.to_le_bytes());
            out.extend_from_slice(&transaction.first_offset.to_le_bytes());
        }
        out.extend_from_slice(&crc32c(&out).to_le_bytes());
        out
    }

    /// Decodes a snapshot: the states, and the offset at which they were taken. `name` is for
    /// the error.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedFile`] if anything in it is not as it was written. The caller replays the whole
    /// log instead.
    pub fn decode_snapshot(name: &str, bytes: &[u8]) -> Result<(ProducerStates, i64)> {
        let damaged =
            |what: &str| Error::DamagedFile { file: name.to_owned(), what: what.to_owned() };
        let Some((body, stored)) = bytes.split_last_chunk::<4>() else {
            return Err(damaged("it is shorter than its checksum"));
        };
        if u32::from_le_bytes(*stored) != crc32c(body) {
            return Err(damaged("it does not match its checksum"));
        }
        let mut fields = Fields { rest: body };
        if fields.take::<4>() != Some(*MAGIC) {
            return Err(damaged("it is not a producer snapshot"));
        }
        if fields.u32() != Some(VERSION) {
            return Err(damaged("it was written by another version"));
        }
        fields
            .states()
            .filter(|_| fields.rest.is_empty())
            .ok_or_else(|| damaged("its fields do not add up to its length"))
    }
}

/// Reads fields from the front; `None` at the end of the bytes.
struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn i16(&mut self) -> Option<i16> {
        self.take().map(i16::from_le_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    fn states(&mut self) -> Option<(ProducerStates, i64)> {
        let offset = self.i64()?;
        let (producers, open) = (self.u32()?, self.u32()?);
        let mut states = ProducerStates::default();
        for _ in 0..producers {
            let id = self.i64()?;
            let producer = self.producer()?;
            states.producers.insert(id, producer);
        }
        for _ in 0..open {
            let identity = ProducerIdentity { id: self.i64()?, epoch: self.i16()? };
            let first_offset = self.i64()?;
            states.transactions.restore(OpenTransaction { identity, first_offset });
        }
        Some((states, offset))
    }

    fn producer(&mut self) -> Option<Producer> {
        let epoch = self.i16()?;
        let next_sequence = Some(self.i32()?).filter(|sequence| *sequence >= 0);
        let last_seen_ms = self.i64()?;
        let [count] = self.take::<1>()?;
        if usize::from(count) > REMEMBERED_BATCHES {
            return None;
        }
        let mut batches = VecDeque::with_capacity(REMEMBERED_BATCHES);
        for _ in 0..count {
            batches.push_back(RememberedBatch {
                base_sequence: self.i32()?,
                last_sequence: self.i32()?,
                base_offset: self.i64()?,
                last_offset: self.i64()?,
            });
        }
        Some(Producer { epoch, next_sequence, batches, last_seen_ms })
    }
}
