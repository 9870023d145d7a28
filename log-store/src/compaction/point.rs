//! How far a partition is compacted.
//!
//! # File
//!
//! ```text
//! compaction   "RRCP" | version u32 | clean to i64 | next horizon i64 | crc32c u32
//! ```
//!
//! Little endian, written whole. Nothing depends on it but what the next pass begins with: without it, the
//! partition counts as not compacted at all.

use std::path::Path;

use crate::batch::crc32c;
use crate::environment::Files;
use crate::error::{Error, Result};
use crate::partition::write_whole;

/// The file's name.
pub(crate) const COMPACTION_FILE: &str = "compaction";

const MAGIC: &[u8; 4] = b"RRCP";
const VERSION: u32 = 1;
const LENGTH: usize = 28;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CleanPoint {
    /// Below this offset, no key has two records.
    pub clean_to: i64,
    /// When the next tombstones or markers may go, in milliseconds since the Unix epoch.
    pub horizon: i64,
}

impl Default for CleanPoint {
    /// Nothing is compacted.
    fn default() -> Self {
        CleanPoint { clean_to: 0, horizon: super::filter::NO_HORIZON }
    }
}

impl CleanPoint {
    /// Reads the file in a partition's folder. One that is missing or damaged says nothing.
    pub fn read(files: &dyn Files, dir: &Path) -> Self {
        let read = || {
            let file = files.open(&dir.join(COMPACTION_FILE))?;
            let mut bytes = vec![0; file.len()?.min(1 << 10) as usize];
            file.read_at(0, &mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        let Ok(bytes) = read() else { return CleanPoint::default() };
        CleanPoint::decode(COMPACTION_FILE, &bytes).unwrap_or_else(|error| {
            tracing::warn!(dir = %dir.display(), %error, "compaction begins anew");
            CleanPoint::default()
        })
    }

    /// Writes the file, durably.
    pub fn write(&self, files: &dyn Files, dir: &Path) -> Result<()> {
        write_whole(files, dir, COMPACTION_FILE, &self.encode())
    }

    fn encode(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0..4].copy_from_slice(MAGIC);
        bytes[4..8].copy_from_slice(&VERSION.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.clean_to.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.horizon.to_le_bytes());
        let crc = crc32c(&bytes[..24]);
        bytes[24..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Decodes the file's bytes; `name` is for the error.
    ///
    /// # Errors
    /// `DamagedFile` if they are not what was written.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        let damaged =
            |what: &str| Error::DamagedFile { file: name.to_owned(), what: what.to_owned() };
        let bytes: &[u8; LENGTH] =
            bytes.try_into().map_err(|_| damaged("it does not have the length it should"))?;
        let field = |at: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[at..at + 8]);
            i64::from_le_bytes(field)
        };
        let mut crc = [0; 4];
        crc.copy_from_slice(&bytes[24..]);
        if crc32c(&bytes[..24]) != u32::from_le_bytes(crc) {
            return Err(damaged("it does not match its checksum"));
        }
        if &bytes[..4] != MAGIC || bytes[4..8] != VERSION.to_le_bytes() {
            return Err(damaged("it was written by another version"));
        }
        Ok(CleanPoint { clean_to: field(8), horizon: field(16) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::sim::Simulation;

    #[test]
    fn it_is_read_as_written_and_every_flipped_bit_is_seen() {
        let sim = Simulation::new(1);
        let files = sim.environment().files;
        let dir = Path::new("p");
        files.create_dir(dir).expect("no faults");
        assert_eq!(CleanPoint::read(&*files, dir), CleanPoint::default());
        let point = CleanPoint { clean_to: 77, horizon: 99 };
        for bit in 0..LENGTH as u64 * 8 {
            point.write(&*files, dir).expect("no faults");
            assert_eq!(CleanPoint::read(&*files, dir), point);
            assert!(sim.flip_bit(&dir.join(COMPACTION_FILE), bit));
            assert_eq!(CleanPoint::read(&*files, dir), CleanPoint::default(), "bit {bit}");
        }
    }
}
