//! Batches as compaction leaves them: with fewer records, with none, or in the place of others.
//!
//! Whatever is taken out, a batch keeps its base offset, its last offset and its producer's fields: offsets
//! and sequence numbers stay what they were.

use super::{
    Attributes, BatchHeader, CRC_START, HEADER_LEN, LENGTH_PREFIX, MAGIC, Records, crc32c,
};
use crate::compression::{Compression, Compressor};
use crate::error::Result;
use crate::record::Record;
use crate::varint::{varlong_len, write_varlong};

/// One hole has at most so many offsets.
const MOST_OFFSETS: i64 = 1 << 31;

/// Writes batches anew with some of their records.
#[derive(Default)]
pub(crate) struct BatchRewriter {
    compressors: Vec<Compressor>,
    payload: Vec<u8>,
}

impl BatchRewriter {
    /// Appends the batch that `records` are from to `out`, with the records for which `keep` is true, in
    /// order, and with this delete horizon. It is compressed as it was.
    ///
    /// # Errors
    /// `MalformedBatch`, `Compression`; `out` may then have any bytes behind what it had.
    pub fn rewrite(
        &mut self,
        records: &Records,
        keep: &[bool],
        horizon: Option<i64>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let before = records.header();
        let base_timestamp = horizon.unwrap_or(before.base_timestamp);
        let mut kept = 0;
        let mut max_timestamp = -1;
        self.payload.clear();
        let mut wanted = keep.iter();
        records.for_each(|record| {
            if wanted.next() == Some(&true) {
                kept += 1;
                max_timestamp = max_timestamp.max(record.timestamp);
                encode(&record, before.base_offset, base_timestamp, &mut self.payload);
            }
        })?;
        let compression = before.attributes.compression();
        let start = out.len();
        out.resize(start + HEADER_LEN, 0);
        match compression {
            Compression::None => out.extend_from_slice(&self.payload),
            _ => compressor(&mut self.compressors, compression)?.compress(&self.payload, out)?,
        }
        if out.len() - start > i32::MAX as usize {
            return Err(before.invalid("compacted, it would be larger than a batch can be"));
        }
        let header = BatchHeader {
            attributes: before.attributes.compacted(horizon.is_some(), compression),
            base_timestamp,
            // The time of the append is that of every record.
            max_timestamp: match before.attributes.log_append_time() {
                true => before.max_timestamp,
                false => max_timestamp,
            },
            records_count: kept,
            ..*before
        };
        finish(header, &mut out[start..]);
        Ok(())
    }
}

impl std::fmt::Debug for BatchRewriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BatchRewriter").finish_non_exhaustive()
    }
}

fn compressor(all: &mut Vec<Compressor>, wanted: Compression) -> Result<&mut Compressor> {
    let at = match all.iter().position(|compressor| compressor.compression() == wanted) {
        Some(at) => at,
        None => {
            all.push(Compressor::new(wanted, None)?);
            all.len() - 1
        }
    };
    Ok(&mut all[at])
}

/// Appends the batch of this header, with all its records taken out: what is left says what its producer
/// sent last.
pub(crate) fn emptied(header: &BatchHeader, out: &mut Vec<u8>) {
    let header = BatchHeader {
        attributes: header.attributes.compacted(false, Compression::None),
        base_timestamp: -1,
        max_timestamp: -1,
        records_count: 0,
        ..*header
    };
    finish_empty(header, out);
}

/// Appends batches of nobody, without records, over the offsets of batches that were taken out. So
/// the offsets of a segment follow each other without a break, whatever compaction removes.
pub(crate) fn hole(offsets: std::ops::Range<i64>, epoch: i32, out: &mut Vec<u8>) {
    let mut base = offsets.start;
    while base < offsets.end {
        let span = (offsets.end - base).min(MOST_OFFSETS);
        let header = BatchHeader {
            base_offset: base,
            batch_length: 0,
            partition_leader_epoch: epoch,
            magic: MAGIC,
            crc: 0,
            attributes: Attributes(0),
            last_offset_delta: (span - 1) as i32,
            base_timestamp: -1,
            max_timestamp: -1,
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            records_count: 0,
        };
        finish_empty(header, out);
        base += span;
    }
}

/// Whether a batch is one that [`hole`] has made.
pub(crate) fn is_hole(header: &BatchHeader) -> bool {
    header.records_count == 0 && !header.has_producer() && !header.attributes.is_control()
}

fn finish_empty(header: BatchHeader, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + HEADER_LEN, 0);
    finish(header, &mut out[start..]);
}

/// Fills in the first 61 bytes of `batch`, whose records are in place.
fn finish(mut header: BatchHeader, batch: &mut [u8]) {
    header.batch_length = (batch.len() - LENGTH_PREFIX) as i32;
    batch[..HEADER_LEN].copy_from_slice(&header.encode());
    header.crc = crc32c(&batch[CRC_START..]);
    batch[..HEADER_LEN].copy_from_slice(&header.encode());
}

fn encode(record: &Record<'_>, base_offset: i64, base_timestamp: i64, out: &mut Vec<u8>) {
    let timestamp_delta = record.timestamp.wrapping_sub(base_timestamp);
    let offset_delta = record.offset.wrapping_sub(base_offset);
    let field = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
    let length = |bytes: Option<&[u8]>| varlong_len(field(bytes)) + bytes.map_or(0, <[u8]>::len);
    let headers = record.headers.encoded();
    let body = 1
        + varlong_len(timestamp_delta)
        + varlong_len(offset_delta)
        + length(record.key)
        + length(record.value)
        + varlong_len(record.headers.len() as i64)
        + headers.len();
    write_varlong(out, body as i64);
    out.push(0);
    write_varlong(out, timestamp_delta);
    write_varlong(out, offset_delta);
    for bytes in [record.key, record.value] {
        write_varlong(out, field(bytes));
        out.extend_from_slice(bytes.unwrap_or_default());
    }
    write_varlong(out, record.headers.len() as i64);
    out.extend_from_slice(headers);
}

#[cfg(test)]
#[path = "compacted/tests.rs"]
mod tests;
