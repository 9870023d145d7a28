//! The recovery point: how far a partition's log is known to be durable and whole, so that opening it
//! checks only what comes after.
//!
//! # File
//!
//! `recovery-point` has two slots of 512 bytes, written in turn, so that a torn write of one leaves
//! the other:
//!
//! ```text
//! "RRRP" | version u32 | sequence u64 | offset i64 | segment base offset i64 | position u64
//!        | log start i64 | snapshot offset i64 (-1: no producer, no transaction so far) | crc32c u32
//! ```
//!
//! Little endian. The valid slot with the higher sequence counts. An older one is never wrong, only
//! further behind: everything below it is durable as well.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::crc32c;
use crate::environment::{File, Files};
use crate::error::{Error, Result};

pub(crate) const RECOVERY_POINT_FILE: &str = "recovery-point";
pub(crate) const SNAPSHOT_FILE: &str = "producers.snapshot";

const MAGIC: &[u8; 4] = b"RRRP";
const VERSION: u32 = 1;
const SLOT: usize = 512;
const LENGTH: usize = 60;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecoveryPoint {
    /// Everything below this offset is durable.
    pub offset: i64,
    /// Base offset of the segment in which `offset` lies or will lie.
    pub segment: i64,
    /// Position of `offset` in that segment.
    pub position: u64,
    /// First offset that is kept.
    pub log_start: i64,
    /// Offset of the producer snapshot; `None` while no producer has an id and there is no
    /// transaction.
    pub snapshot: Option<i64>,
}

impl RecoveryPoint {
    fn encode(&self, sequence: u64) -> [u8; SLOT] {
        let mut slot = [0; SLOT];
        slot[0..4].copy_from_slice(MAGIC);
        slot[4..8].copy_from_slice(&VERSION.to_le_bytes());
        slot[8..16].copy_from_slice(&sequence.to_le_bytes());
        slot[16..24].copy_from_slice(&self.offset.to_le_bytes());
        slot[24..32].copy_from_slice(&self.segment.to_le_bytes());
        slot[32..40].copy_from_slice(&self.position.to_le_bytes());
        slot[40..48].copy_from_slice(&self.log_start.to_le_bytes());
        slot[48..56].copy_from_slice(&self.snapshot.unwrap_or(-1).to_le_bytes());
        let crc = crc32c(&slot[..LENGTH - 4]);
        slot[LENGTH - 4..LENGTH].copy_from_slice(&crc.to_le_bytes());
        slot
    }

    fn decode(slot: &[u8]) -> Option<(u64, RecoveryPoint)> {
        let slot = slot.first_chunk::<LENGTH>()?;
        let crc = u32::from_le_bytes(field(slot, LENGTH - 4));
        let known = &slot[..4] == MAGIC && u32::from_le_bytes(field(slot, 4)) == VERSION;
        if !known || crc32c(&slot[..LENGTH - 4]) != crc {
            return None;
        }
        let snapshot = i64::from_le_bytes(field(slot, 48));
        let point = RecoveryPoint {
            offset: i64::from_le_bytes(field(slot, 16)),
            segment: i64::from_le_bytes(field(slot, 24)),
            position: u64::from_le_bytes(field(slot, 32)),
            log_start: i64::from_le_bytes(field(slot, 40)),
            snapshot: (snapshot >= 0).then_some(snapshot),
        };
        Some((u64::from_le_bytes(field(slot, 8)), point))
    }
}

fn field<const N: usize>(bytes: &[u8; LENGTH], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

/// Both slots of a recovery point file: `None` for one that is not as it was written.
pub(crate) fn read_slots(file: &dyn File) -> std::io::Result<[Option<(u64, RecoveryPoint)>; 2]> {
    let length = file.len()?.min(2 * SLOT as u64) as usize;
    let mut bytes = [0; 2 * SLOT];
    file.read_at(0, &mut bytes[..length])?;
    Ok([RecoveryPoint::decode(&bytes[..SLOT]), RecoveryPoint::decode(&bytes[SLOT..])])
}

/// The open file.
#[derive(Debug)]
pub(crate) struct RecoveryPointFile {
    file: Arc<dyn File>,
    path: PathBuf,
    sequence: u64,
    current: Option<RecoveryPoint>,
}

impl RecoveryPointFile {
    /// Opens the file in a partition's folder, creating it if needed.
    pub fn open(files: &dyn Files, dir: &Path) -> Result<Self> {
        let path = dir.join(RECOVERY_POINT_FILE);
        let file = match files.open(&path) {
            // Its name must be durable before anybody relies on what is written to it.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                files.create(&path).and_then(|file| files.sync_dir(dir).map(|()| file))
            }
            other => other,
        };
        let file = file.map_err(|e| Error::io("open", &path, e))?;
        let slots = read_slots(&*file).map_err(|e| Error::io("read", &path, e))?;
        let newest = slots.into_iter().flatten().max_by_key(|(sequence, _)| *sequence);
        let sequence = newest.map_or(0, |(sequence, _)| sequence);
        Ok(RecoveryPointFile { file, path, sequence, current: newest.map(|(_, point)| point) })
    }

    /// The recovery point; `None` before the first is written.
    pub fn current(&self) -> Option<RecoveryPoint> {
        self.current
    }

    /// Writes a new one, durably. After an error the old one still counts.
    pub fn write(&mut self, point: RecoveryPoint) -> Result<()> {
        let sequence = self.sequence + 1;
        let position = (sequence % 2) * SLOT as u64;
        self.file
            .write_at(position, &point.encode(sequence))
            .map_err(|e| Error::io("write", &self.path, e))?;
        self.file.sync().map_err(|e| Error::io("sync", &self.path, e))?;
        self.sequence = sequence;
        self.current = Some(point);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::sim::Simulation;

    #[test]
    fn a_torn_slot_leaves_the_one_before() {
        let point = |offset| RecoveryPoint {
            offset,
            segment: 0,
            position: offset as u64 * 10,
            log_start: 0,
            snapshot: None,
        };
        for bit in 0..LENGTH as u64 * 8 {
            let sim = Simulation::new(bit);
            let files = sim.environment().files;
            let dir = Path::new("p");
            files.create_dir(dir).expect("no faults");
            let mut file = RecoveryPointFile::open(&*files, dir).expect("no faults");
            assert_eq!(file.current(), None);
            file.write(point(1)).expect("no faults");
            file.write(point(2)).expect("no faults");
            // The second write went to the first slot.
            assert!(sim.flip_bit(&dir.join(RECOVERY_POINT_FILE), bit));
            let reopened = RecoveryPointFile::open(&*files, dir).expect("no faults");
            assert_eq!(reopened.current(), Some(point(1)), "bit {bit}");
        }
    }
}
