//! Gaps: batches that stand where others were lost.
//!
//! A gap takes exactly the bytes and the offsets of what it replaces. So nothing else in the segment moves, no
//! offset is given out again, and readers step over it: it is a control batch of a type that nobody
//! knows, which every client of Kafka's protocol has to skip.

use std::io;
use std::ops::Range;

use crc_fast::{CrcAlgorithm, Digest};

use crate::batch::{Attributes, BatchHeader, CRC_START, HEADER_LEN, LENGTH_PREFIX, MAGIC};
use crate::environment::File;
use crate::partition::LEADER_EPOCH;

/// The control type of gaps ("rr"); Kafka's own are 0 (abort) and 1 (commit).
const GAP_TYPE: [u8; 2] = *b"rr";
/// A control batch, uncompressed, outside of any transaction.
const GAP_ATTRIBUTES: Attributes = Attributes(0x20);
/// Bytes of the shortest record that can be a control record.
const SMALLEST_RECORD: u64 = 11;
/// Bytes that a gap takes at least, if there is a choice.
pub(super) const SMALLEST: u64 = HEADER_LEN as u64 + SMALLEST_RECORD;
/// One gap has at most so many offsets ...
const MOST_OFFSETS: u64 = 1 << 31;
/// ... and bytes.
const MOST_BYTES: u64 = 1 << 30;

/// A gap: its first bytes, after which there are zeros up to its length.
#[derive(Debug)]
pub(super) struct Gap {
    position: u64,
    length: u64,
    front: Vec<u8>,
}

impl Gap {
    /// Writes the gap to its place.
    pub fn write(&self, file: &dyn File) -> io::Result<()> {
        file.write_at(self.position, &self.front)?;
        let zeros = vec![0; (1 << 20).min(self.length as usize)];
        let mut done = self.front.len() as u64;
        while done < self.length {
            let piece = zeros.len().min((self.length - done) as usize);
            file.write_at(self.position + done, &zeros[..piece])?;
            done += piece as u64;
        }
        Ok(())
    }
}

/// Bytes that gaps over so many offsets need.
pub(super) fn room(offsets: &Range<i64>) -> u64 {
    span(offsets).div_ceil(MOST_OFFSETS).max(1) * SMALLEST
}

fn span(offsets: &Range<i64>) -> u64 {
    offsets.end.saturating_sub(offsets.start).max(0) as u64
}

/// How many gaps it takes; `None` if there is no way.
fn pieces(length: u64, offsets: &Range<i64>) -> Option<u64> {
    let span = span(offsets);
    let pieces = span.div_ceil(MOST_OFFSETS).max(length.div_ceil(MOST_BYTES));
    (pieces > 0 && pieces <= span && length / pieces >= HEADER_LEN as u64).then_some(pieces)
}

/// Whether [`fill`] can.
pub(super) fn fits(length: u64, offsets: &Range<i64>) -> bool {
    pieces(length, offsets).is_some()
}

/// Gaps that fill these bytes and offsets; `None` if there is no way to.
pub(super) fn fill(
    position: u64,
    length: u64,
    offsets: &Range<i64>,
    timestamp: i64,
) -> Option<Vec<Gap>> {
    let (pieces, span) = (pieces(length, offsets)?, span(offsets));
    let part = |whole: u64, n: u64| whole / pieces * n + (whole % pieces).min(n);
    let gap = |n: u64| {
        let (from, to) = (part(length, n), part(length, n + 1));
        let (first, next) = (part(span, n), part(span, n + 1));
        let base = offsets.start + first as i64;
        let front = front(base, (next - first - 1) as i32, to - from, timestamp);
        Gap { position: position + from, length: to - from, front }
    };
    Some((0..pieces).map(gap).collect())
}

fn front(base_offset: i64, last_offset_delta: i32, length: u64, timestamp: i64) -> Vec<u8> {
    let payload = length - HEADER_LEN as u64;
    let record = record(payload);
    let mut header = BatchHeader {
        base_offset,
        batch_length: (length - LENGTH_PREFIX as u64) as i32,
        partition_leader_epoch: LEADER_EPOCH,
        magic: MAGIC,
        crc: 0,
        attributes: GAP_ATTRIBUTES,
        last_offset_delta,
        base_timestamp: timestamp,
        max_timestamp: timestamp,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        records_count: i32::from(!record.is_empty()),
    };
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&header.encode()[CRC_START..]);
    digest.update(&record);
    let zeros = vec![0; (1 << 20).min(payload as usize)];
    let mut left = payload - record.len() as u64;
    while left > 0 {
        let piece = zeros.len().min(left as usize);
        digest.update(&zeros[..piece]);
        left -= piece as u64;
    }
    header.crc = digest.finalize() as u32;
    let mut front = header.encode().to_vec();
    front.extend_from_slice(&record);
    front
}

/// A control record of `payload` bytes, without the zeros at its end: its value, and its headers, of
/// which there are zero. Empty if there is no room for one; the batch has no records then.
fn record(payload: u64) -> Vec<u8> {
    if payload < SMALLEST_RECORD {
        return Vec::new();
    }
    // Numbers take one byte or five: with those in between some lengths could not be had.
    let wide = payload > 64;
    let number = |n: u64, record: &mut Vec<u8>| match wide {
        false => record.push((n as u8) << 1),
        true => {
            let raw = n << 1;
            record.extend((0..4).map(|group| (raw >> (7 * group)) as u8 | 0x80));
            record.push((raw >> 28) as u8);
        }
    };
    let width = if wide { 5 } else { 1 };
    let body = payload - width;
    let mut record = Vec::with_capacity(24);
    number(body, &mut record);
    // Attributes, timestamp delta, offset delta, key length, key: version 0 and the type.
    record.extend_from_slice(&[0, 0, 0, 8, 0, 0]);
    record.extend_from_slice(&GAP_TYPE);
    number(body - 9 - width, &mut record);
    record
}

/// Whether this is a gap that a repair has left, by its header and what follows it.
pub(super) fn is_gap(header: &BatchHeader) -> bool {
    header.attributes.is_control() && !header.has_producer()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::batch::Batch;
    use crate::compression::Decompressor;
    use crate::environment::sim::Simulation;

    #[test]
    fn gaps_of_every_length_are_batches_that_say_nothing() {
        let files = Simulation::new(0).environment().files;
        for length in (61..400).chain([70_000, 3_000_000]) {
            let file = files.create(Path::new("log")).expect("no faults");
            file.write_at(0, &vec![0xff; length + 5]).expect("no faults");
            let gaps = fill(3, length as u64, &(100..5000), 7).expect("there is room");
            assert_eq!(gaps.len(), 1);
            gaps[0].write(&*file).expect("no faults");
            let batch = file.slice(3, length).expect("it is there");
            let batch = Batch::parse(batch).unwrap_or_else(|e| panic!("{length}: {e}"));
            batch.verify_crc().unwrap_or_else(|e| panic!("{length}: {e}"));
            assert!(is_gap(batch.header()));
            assert_eq!((batch.base_offset(), batch.last_offset()), (100, 4999));
            assert_eq!(batch.control_marker().unwrap_or_else(|e| panic!("{length}: {e}")), None);
            if length as u64 >= SMALLEST {
                let records = batch.records(&mut Decompressor::new()).expect("uncompressed");
                records.for_each(|_| {}).unwrap_or_else(|e| panic!("{length}: {e}"));
            }
            let around = (file.slice(0, 3), file.slice(3 + length as u64, 2));
            assert!(matches!(around, (Ok(a), Ok(b)) if a == [0xff; 3][..] && b == [0xff; 2][..]));
        }
    }

    #[test]
    fn what_is_too_much_for_one_gap_is_divided() {
        let far = 5 * (1 << 31);
        let gaps = fill(0, 1000, &(10..10 + far), 0).expect("there is room");
        assert_eq!(gaps.len(), 5);
        let mut at = (0, 10);
        for gap in &gaps {
            let header = BatchHeader::parse(&gap.front).expect("a header");
            assert_eq!((gap.position, header.base_offset), at);
            assert_eq!(header.total_len() as u64, gap.length);
            at = (gap.position + gap.length, header.next_offset());
        }
        assert_eq!(at, (1000, 10 + far));
        assert!(fill(0, 60, &(0..1), 0).is_none(), "no room for a header");
        assert!(fill(0, 100, &(5..5), 0).is_none(), "no offset to give it");
        assert_eq!(room(&(0..far)), 5 * SMALLEST);
    }
}
