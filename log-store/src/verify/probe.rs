//! Looking for whole batches in the bytes of a segment, without and with what the index says of them.

use std::io;

use super::checksum;
use super::survey::Mend;
use crate::batch::{BatchHeader, CRC_START, HEADER_LEN, LENGTH_PREFIX, MAGIC};
use crate::environment::File;
use crate::index::IndexEntry;
use crate::partition::LEADER_EPOCH;

/// Reads a segment here and there.
pub(super) struct Probe<'a> {
    log: &'a dyn File,
    length: u64,
    buffer: Vec<u8>,
}

impl<'a> Probe<'a> {
    pub fn new(log: &'a dyn File, length: u64) -> Self {
        Probe { log, length, buffer: Vec::new() }
    }

    /// The batch at `position`, if it is whole and has this base offset, with the checksum over all of
    /// it; otherwise what is wrong.
    pub fn batch(&mut self, position: u64, offset: i64) -> Result<(BatchHeader, u32), String> {
        let left = self.length.saturating_sub(position);
        if left < HEADER_LEN as u64 {
            return Err(match left {
                0 => "the file ends before this batch".to_owned(),
                _ => format!("{left} bytes are too few for a batch"),
            });
        }
        let mut front = [0; HEADER_LEN];
        let unreadable = |error: io::Error| format!("it cannot be read: {error}");
        self.log.read_at(position, &mut front).map_err(unreadable)?;
        let header = BatchHeader::parse(&front).map_err(|error| error.to_string())?;
        if header.base_offset != offset {
            return Err(format!("its base offset is {}, not {offset}", header.base_offset));
        }
        if header.partition_leader_epoch != LEADER_EPOCH {
            let epoch = header.partition_leader_epoch;
            return Err(format!("its leader epoch is {epoch}, not {LEADER_EPOCH}"));
        }
        let length = header.total_len() as u64;
        if length > left {
            return Err(format!("it has {length} bytes by its header, of which {left} are there"));
        }
        let rest = length - CRC_START as u64;
        let from = position + CRC_START as u64;
        let crc = checksum::of_range(self.log, from, rest, &mut self.buffer).map_err(unreadable)?;
        if crc != header.crc {
            return Err(format!(
                "its bytes have the checksum {crc:#010x}, its header says {:#010x}",
                header.crc
            ));
        }
        Ok((header, checksum::combined(&front[..CRC_START], crc, rest)))
    }

    /// The header of a whole batch at `position`, whatever its base offset.
    pub fn any_batch(&mut self, position: u64) -> Option<BatchHeader> {
        let mut base = [0; 8];
        self.log.read_at(position, &mut base).ok()?;
        self.batch(position, i64::from_be_bytes(base)).ok().map(|(header, _)| header)
    }

    /// What can be done about the batch that `claim` describes, and, if one flipped bit explains it,
    /// which.
    pub fn mend(&mut self, claim: &IndexEntry) -> (Mend, Option<(u64, u8)>) {
        let length = u64::from(claim.length);
        if claim.end() > self.length || length < HEADER_LEN as u64 {
            return (Mend::Fill, None);
        }
        let mut front = [0; CRC_START];
        let log = self.log;
        if log.read_at(claim.position, &mut front).is_err() {
            return (Mend::Fill, None);
        }
        let (from, rest) = (claim.position + CRC_START as u64, length - CRC_START as u64);
        let Ok(crc) = checksum::of_range(log, from, rest, &mut self.buffer) else {
            return (Mend::Fill, None);
        };
        let found = checksum::combined(&front, crc, rest);
        let bit = checksum::flipped_bit(claim.checksum, found, length);
        // What the front must have been, with Kafka's checksum as it is there, or as it should be.
        front[..8].copy_from_slice(&claim.base_offset.to_be_bytes());
        front[8..12].copy_from_slice(&((length - LENGTH_PREFIX as u64) as i32).to_be_bytes());
        front[12..16].copy_from_slice(&LEADER_EPOCH.to_be_bytes());
        front[16] = MAGIC as u8;
        front[17..].copy_from_slice(&crc.to_be_bytes());
        if checksum::combined(&front, crc, rest) == claim.checksum {
            return (Mend::Restore(front), bit);
        }
        (Mend::Fill, bit)
    }

    /// Looks for a whole batch from position `from` on, with a base offset from `lowest` on, below a
    /// position and offset that are known.
    pub fn search(&mut self, from: u64, lowest: i64, limit: (u64, i64)) -> Option<(u64, i64)> {
        let to = limit.0.min(self.length);
        let mut piece = Vec::new();
        let mut start = from;
        while start + HEADER_LEN as u64 <= to {
            let length = checksum::PIECE.min((to - start) as usize);
            piece.resize(length, 0);
            if self.log.read_at(start, &mut piece).is_err() {
                // A piece that cannot be read is stepped over.
                start += length as u64;
                continue;
            }
            for (at, front) in piece.windows(HEADER_LEN).enumerate() {
                let base = base_offset(front);
                let likely = front[16] == MAGIC as u8 && (lowest..limit.1).contains(&base);
                let position = start + at as u64;
                if likely
                    && let Ok((header, _)) = self.batch(position, base)
                    && self.leads_on(
                        position + header.total_len() as u64,
                        header.next_offset(),
                        limit,
                    )
                {
                    return Some((position, base));
                }
            }
            start += (length - HEADER_LEN + 1) as u64;
        }
        None
    }

    /// Whether what is at `position` goes on with `offset`. Kafka's checksum does not cover the base
    /// offset: without an index entry, this is what vouches for it.
    fn leads_on(&self, position: u64, offset: i64, limit: (u64, i64)) -> bool {
        if position >= limit.0 {
            return (position, offset) == limit;
        }
        let mut base = [0; 8];
        self.log.read_at(position, &mut base).is_ok() && i64::from_be_bytes(base) == offset
    }
}

fn base_offset(front: &[u8]) -> i64 {
    front.first_chunk().map_or(-1, |base| i64::from_be_bytes(*base))
}
