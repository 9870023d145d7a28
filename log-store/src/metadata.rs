//! What the store knows about itself: a durable map, kept in the topic `__metadata`.
//!
//! Entries have a kind ("topic", "producer", a job's checkpoints) and a key. Each write is one
//! record batch, synced before it returns, and all entries of a batch take effect together. The last
//! write of a key wins; a record without value deletes. The key of a record is the kind, a zero
//! byte, and the key.
//!
//! The log trims itself: when it has grown to several times of what is live, everything live is
//! written into a fresh segment as one batch, and the segments before it are removed. A crash in
//! between leaves both, which reads the same.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, RwLock};

use bytes::Bytes;

use crate::batch::BatchBuilder;
use crate::compression::{Compression, Decompressor};
use crate::error::{Error, Result};
use crate::partition::{Isolation, Partition, guard};

/// The log is trimmed when it has this many bytes, and [`TRIM_RATIO`] times those of the live entries.
const TRIM_FROM: u64 = 4 << 20;
const TRIM_RATIO: u64 = 4;

/// How much is read at once when the store opens.
const READ_BYTES: usize = 1 << 20;

/// One write to the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the entry is about. Without zero bytes.
    pub kind: String,
    /// The key within its kind.
    pub key: String,
    /// The value; `None` deletes the key.
    pub value: Option<Bytes>,
}

impl Entry {
    /// An entry that sets a value.
    pub fn put(kind: &str, key: &str, value: impl AsRef<[u8]>) -> Self {
        let value = Some(Bytes::copy_from_slice(value.as_ref()));
        Entry { kind: kind.to_owned(), key: key.to_owned(), value }
    }

    /// An entry that removes a key.
    pub fn delete(kind: &str, key: &str) -> Self {
        Entry { kind: kind.to_owned(), key: key.to_owned(), value: None }
    }
}

type Live = BTreeMap<String, BTreeMap<String, Bytes>>;

/// The store's metadata; see the module.
#[derive(Debug)]
pub struct Metadata {
    log: Partition,
    /// Held over a write, its sync and its taking effect: readers see only what is durable.
    write: Mutex<()>,
    live: RwLock<Live>,
}

impl Metadata {
    /// Reads the map from its partition.
    pub(crate) fn open(log: Partition) -> Result<Self> {
        let mut live = Live::new();
        let mut decompressor = Decompressor::default();
        let mut offset = log.offsets().log_start;
        loop {
            let fetch = log.read(offset, READ_BYTES, Isolation::ReadUncommitted)?;
            let Some(next) = fetch.next_offset() else { break };
            for batch in &fetch.batches {
                batch.verify_crc()?;
                if batch.header().attributes.is_control() {
                    // A gap that a repair has left: what was there is lost.
                    continue;
                }
                for record in batch.records(&mut decompressor)?.iter() {
                    let record = record?;
                    let (kind, key) = decode_key(record.key.unwrap_or_default())
                        .ok_or_else(|| damaged(record.offset))?;
                    apply(&mut live, kind, key, record.value.map(Bytes::copy_from_slice));
                }
            }
            offset = next;
        }
        Ok(Metadata { log, write: Mutex::new(()), live: RwLock::new(live) })
    }

    /// Sets a value, durably.
    ///
    /// # Errors
    /// As [`Metadata::put_all`].
    pub fn put(&self, kind: &str, key: &str, value: impl AsRef<[u8]>) -> Result<()> {
        self.put_all(&[Entry::put(kind, key, value)])
    }

    /// Removes a key, durably. One that is not there is fine.
    ///
    /// # Errors
    /// As [`Metadata::put_all`].
    pub fn delete(&self, kind: &str, key: &str) -> Result<()> {
        self.put_all(&[Entry::delete(kind, key)])
    }

    /// Makes several writes, durably and all together: after a crash either all of them are there or
    /// none.
    ///
    /// # Errors
    /// `DiskFull`: nothing was written, try again when there is room. `PartitionStopped` if the sync
    /// failed: whether the entries are there will be known when the store is opened again.
    pub fn put_all(&self, entries: &[Entry]) -> Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let _one_at_a_time = guard(&self.write);
        let writes = entries
            .iter()
            .map(|entry| (entry.kind.as_str(), entry.key.as_str(), entry.value.as_deref()));
        self.append(writes)?;
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            apply(&mut live, &entry.kind, &entry.key, entry.value.clone());
        }
        drop(live);
        if let Err(error) = self.trim_if_due() {
            // What was asked for is done; trimming is tried again with the next write.
            tracing::warn!(%error, "cannot trim the metadata log");
        }
        Ok(())
    }

    /// The value of a key.
    pub fn get(&self, kind: &str, key: &str) -> Option<Bytes> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.get(kind)?.get(key).cloned()
    }

    /// All keys of a kind with their values, by key.
    pub fn scan(&self, kind: &str) -> Vec<(String, Bytes)> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let of_kind = live.get(kind).into_iter().flatten();
        of_kind.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// The partition that holds it.
    pub(crate) fn log(&self) -> &Partition {
        &self.log
    }

    fn append<'a>(
        &self,
        writes: impl Iterator<Item = (&'a str, &'a str, Option<&'a [u8]>)>,
    ) -> Result<i64> {
        let now = self.log.shared.environment.clock.now_ms();
        let mut builder = BatchBuilder::new(Compression::None)?;
        for (kind, key, value) in writes {
            builder.append(now, Some(&encode_key(kind, key)), value, &[])?;
        }
        let mut batch = builder.finish()?;
        let appended = self.log.append_trusted(&mut batch)?;
        self.log.flush()?;
        Ok(appended.base_offset)
    }

    fn trim_if_due(&self) -> Result<()> {
        let size = self.log.size_bytes();
        if size < TRIM_FROM {
            return Ok(());
        }
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        let all = || {
            live.iter().flat_map(|(kind, entries)| {
                entries.iter().map(|(key, value)| (kind.as_str(), key.as_str(), Some(&**value)))
            })
        };
        let live_bytes: usize = all()
            .map(|(kind, key, value)| kind.len() + key.len() + value.map_or(0, <[u8]>::len) + 16)
            .sum();
        if live_bytes == 0 || size < live_bytes as u64 * TRIM_RATIO {
            return Ok(());
        }
        self.log.roll_now()?;
        let base = self.append(all())?;
        drop(live);
        self.log.delete_records(base)?;
        Ok(())
    }
}

fn apply(live: &mut Live, kind: &str, key: &str, value: Option<Bytes>) {
    match value {
        Some(value) => {
            if let Some(entries) = live.get_mut(kind) {
                entries.insert(key.to_owned(), value);
            } else {
                live.insert(kind.to_owned(), BTreeMap::from([(key.to_owned(), value)]));
            }
        }
        None => {
            if let Some(entries) = live.get_mut(kind) {
                entries.remove(key);
            }
        }
    }
}

fn encode_key(kind: &str, key: &str) -> Vec<u8> {
    [kind.as_bytes(), &[0], key.as_bytes()].concat()
}

fn decode_key(bytes: &[u8]) -> Option<(&str, &str)> {
    let zero = bytes.iter().position(|byte| *byte == 0)?;
    let kind = std::str::from_utf8(&bytes[..zero]).ok()?;
    let key = std::str::from_utf8(&bytes[zero + 1..]).ok()?;
    Some((kind, key))
}

fn damaged(offset: i64) -> Error {
    Error::DamagedFile {
        file: crate::topic::METADATA_TOPIC.to_owned(),
        what: format!("the record at offset {offset} has no key of the store's"),
    }
}

#[cfg(test)]
#[path = "metadata/tests.rs"]
mod tests;
