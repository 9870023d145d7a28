//! Reading: whole batches out of the mapping, checked against the index.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;

use super::{Offsets, Ordering, Partition, Shared};
use crate::aborted::AbortedTransaction;
use crate::batch::Batch;
use crate::compression::Decompressor;
use crate::error::{Error, Result};
use crate::segment::Segment;

/// What a reader may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Isolation {
    /// Everything below the high watermark, aborted transactions included.
    #[default]
    ReadUncommitted,
    /// Everything below the last stable offset. The batches of aborted transactions are among it;
    /// [`Fetch::aborted`] says which to leave out.
    ReadCommitted,
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// The batches, back to back as they are stored. Points into the mapping.
    pub bytes: Bytes,
    /// The same, one by one. The first may begin below the offset asked for.
    pub batches: Vec<Batch>,
    /// For `ReadCommitted`: aborted transactions with records in these batches, by first offset.
    pub aborted: Vec<AbortedTransaction>,
    /// The frontiers when the read began.
    pub high_watermark: i64,
    /// See [`Offsets::last_stable`](super::Offsets::last_stable).
    pub last_stable: i64,
    /// First offset that is kept.
    pub log_start: i64,
}

impl Fetch {
    /// The offset to read from next; `None` if there was nothing.
    pub fn next_offset(&self) -> Option<i64> {
        self.batches.last().map(|batch| batch.header().next_offset())
    }
}

impl Partition {
    /// Reads whole batches from the one that holds `offset`, up to `max_bytes` (the first comes
    /// whatever its size) and at most to the end of a segment. Empty at the frontier.
    ///
    /// Each batch is checked against its checksum in the index, every byte of it, every time.
    ///
    /// # Errors
    /// - `OffsetOutOfRange` below the log start or beyond the log end.
    /// - `Damaged` if the first batch is not what was written. Batches before a damaged one are
    ///   read.
    pub fn read(&self, offset: i64, max_bytes: usize, isolation: Isolation) -> Result<Fetch> {
        loop {
            if let Some(fetch) = self.read_once(offset, max_bytes, isolation)? {
                return Ok(fetch);
            }
        }
    }

    /// `None` if compaction has replaced the segment meanwhile.
    fn read_once(
        &self,
        offset: i64,
        max_bytes: usize,
        isolation: Isolation,
    ) -> Result<Option<Fetch>> {
        let shared = &self.shared;
        let offsets = shared.offsets();
        shared.check_range(offset)?;
        let upper = match isolation {
            Isolation::ReadUncommitted => offsets.high_watermark,
            Isolation::ReadCommitted => offsets.last_stable,
        };
        let mut fetch = Fetch {
            bytes: Bytes::new(),
            batches: Vec::new(),
            aborted: Vec::new(),
            high_watermark: offsets.high_watermark,
            last_stable: offsets.last_stable,
            log_start: offsets.log_start,
        };
        if offset >= upper {
            return Ok(Some(fetch));
        }
        let damaged =
            |e: crate::segment::SegmentError| e.into_error(&shared.topic, shared.partition);
        let mut found = None;
        for segment in shared.segments_for(offset) {
            let entries = segment.entries_from(offset, max_bytes, upper).map_err(damaged)?;
            if entries.is_empty() {
                // Possible only where a segment ends below the next one's base offset.
                continue;
            }
            fetch.bytes = segment.batches(&entries).map_err(damaged)?;
            found = Some(segment);
            break;
        }
        let mut rest = fetch.bytes.clone();
        fetch.batches.reserve(rest.len() >> 16);
        while !rest.is_empty() {
            fetch.batches.push(Batch::parse_first(&mut rest)?);
        }
        if isolation == Isolation::ReadCommitted
            && let (Some(first), Some(last)) = (fetch.batches.first(), fetch.batches.last())
        {
            let aborted = shared.aborted.read().unwrap_or_else(PoisonError::into_inner);
            fetch.aborted = aborted.aborted_in(first.base_offset(), last.header().next_offset());
        }
        // Retention may have removed the segments while this looked for them, or what the aborted index
        // knew of batches that were found: without that, aborted records would pass for committed ones.
        shared.check_range(offset)?;
        // The same goes for compaction, which takes aborted records and what is known of them away together.
        let replaced = isolation == Isolation::ReadCommitted
            && found.is_some_and(|segment| !shared.is_current(&segment));
        Ok((!replaced).then_some(fetch))
    }

    /// The first record, below the high watermark, with this timestamp or a later one: its offset and
    /// timestamp in milliseconds. `None` if there is none. In a columnar topic, the first row of the batch that
    /// has such a row, with the largest timestamp of the batch.
    ///
    /// # Errors
    /// `Damaged`, or a decompression error.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<(i64, i64)>> {
        let shared = &self.shared;
        let damaged =
            |e: crate::segment::SegmentError| e.into_error(&shared.topic, shared.partition);
        let Offsets { log_start, high_watermark, .. } = shared.offsets();
        let mut decompressor = Decompressor::default();
        for segment in shared.segments() {
            if segment.end().offset <= log_start || segment.end().max_timestamp < timestamp {
                continue;
            }
            let Some(mut entry) = segment.entry_for_timestamp(timestamp).map_err(damaged)? else {
                continue;
            };
            // The batch's newest record may lie below the log start; then one of the next has it.
            while entry.next_offset() <= high_watermark {
                let bytes = segment.batches(&[entry]).map_err(damaged)?;
                let batch = Batch::parse(bytes)?;
                let header = batch.header();
                if header.attributes.is_columnar() {
                    // Rows of a batch are not told apart: the first of those that are left stands for all.
                    if header.max_timestamp >= timestamp && header.next_offset() > log_start {
                        return Ok(Some((header.base_offset.max(log_start), header.max_timestamp)));
                    }
                } else if !header.attributes.is_control() {
                    let records = batch.records(&mut decompressor)?;
                    for record in records.iter() {
                        let record = record?;
                        if record.timestamp >= timestamp && record.offset >= log_start {
                            return Ok(Some((record.offset, record.timestamp)));
                        }
                    }
                }
                let next = segment
                    .entries_from(entry.next_offset(), 0, high_watermark)
                    .map_err(damaged)?;
                let Some(next) = next.first() else { break };
                entry = *next;
            }
        }
        Ok(None)
    }
}

impl Shared {
    /// The segment that should hold `offset`, and the one after it.
    fn segments_for(&self, offset: i64) -> impl Iterator<Item = Arc<Segment>> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let at = segments.partition_point(|s| s.base_offset() <= offset).saturating_sub(1);
        [segments.get(at).cloned(), segments.get(at + 1).cloned()].into_iter().flatten()
    }

    fn check_range(&self, offset: i64) -> Result<()> {
        let log_start = self.log_start.load(Ordering::Acquire);
        let log_end = self.log_end.load(Ordering::Acquire);
        if (log_start..=log_end).contains(&offset) {
            return Ok(());
        }
        Err(Error::OffsetOutOfRange {
            topic: self.topic.clone(),
            partition: self.partition,
            offset,
            log_start,
            log_end,
        })
    }
}
