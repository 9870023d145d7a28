//! A compacted segment while it is being written, aside.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::swap;
use crate::batch::{BatchHeader, HEADER_LEN, hole};
use crate::environment::{File, Files};
use crate::error::{Error, Result};
use crate::index::{IndexEntry, encode_header, entry_position};
use crate::partition::LEADER_EPOCH;
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, NO_TIMESTAMP, Segment, SegmentEnd};

/// How much is written at once.
const BUFFER: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(super) struct Output {
    base: i64,
    log: Arc<dyn File>,
    index: Arc<dyn File>,
    paths: [PathBuf; 2],
    /// Batches that are not written yet.
    batches: Vec<u8>,
    /// Index entries that are not written yet.
    entries: Vec<u8>,
    /// How many index entries are written.
    written: u64,
    /// Where what came so far ends, what is not written yet included.
    end: SegmentEnd,
    /// Offsets that were taken out and not accounted for yet.
    hole: Range<i64>,
}

impl Output {
    /// Begins a segment, in files that do not count yet; see [`swap`].
    pub fn create(files: &dyn Files, dir: &Path, base: i64) -> Result<Self> {
        swap::discard(files, dir, base)?;
        let paths = [LOG_SUFFIX, INDEX_SUFFIX].map(|suffix| dir.join(swap::cleaned(base, suffix)));
        let create = |path: &Path| files.create(path).map_err(|e| Error::io("create", path, e));
        let log = create(&paths[0])?;
        // An index without a log would say that the log is in its place already.
        files.sync_dir(dir).map_err(|e| Error::io("sync folder", dir, e))?;
        let index = create(&paths[1])?;
        let header = encode_header();
        index.write_at(0, &header).map_err(|e| Error::io("write to", &paths[1], e))?;
        Ok(Output {
            base,
            log,
            index,
            paths,
            batches: Vec::with_capacity(BUFFER),
            entries: Vec::new(),
            written: 0,
            end: SegmentEnd { position: 0, offset: base, max_timestamp: NO_TIMESTAMP },
            hole: base..base,
        })
    }

    /// The base offset.
    pub fn base(&self) -> i64 {
        self.base
    }

    /// Bytes of the batches so far.
    pub fn size_bytes(&self) -> u64 {
        self.end.position
    }

    /// Adds a batch, which follows what came before.
    pub fn put(&mut self, batch: &[u8]) -> Result<()> {
        self.fill_hole()?;
        self.append(batch)
    }

    /// Adds nothing for these offsets, which follow what came before.
    pub fn skip(&mut self, header: &BatchHeader) {
        if self.hole.is_empty() {
            self.hole = header.base_offset..header.base_offset;
        }
        self.hole.end = header.next_offset();
    }

    fn fill_hole(&mut self) -> Result<()> {
        let offsets = std::mem::replace(&mut self.hole, 0..0);
        if offsets.is_empty() {
            return Ok(());
        }
        let mut batches = Vec::new();
        hole(offsets, LEADER_EPOCH, &mut batches);
        batches.chunks(HEADER_LEN).try_for_each(|batch| self.append(batch))
    }

    fn append(&mut self, batch: &[u8]) -> Result<()> {
        let header = BatchHeader::parse(batch)?;
        debug_assert_eq!(header.base_offset, self.end.offset, "offsets go on without a break");
        let entry = IndexEntry::of(&header, batch, self.end.position, self.end.max_timestamp);
        self.end = SegmentEnd {
            position: entry.end(),
            offset: entry.next_offset(),
            max_timestamp: entry.max_timestamp,
        };
        self.entries.extend_from_slice(&entry.encode());
        self.batches.extend_from_slice(batch);
        if self.batches.len() + self.entries.len() >= BUFFER { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<()> {
        let position = self.end.position - self.batches.len() as u64;
        let [log, index] = &self.paths;
        self.log.write_at(position, &self.batches).map_err(|e| Error::io("write to", log, e))?;
        let position = entry_position(self.written);
        self.index
            .write_at(position, &self.entries)
            .map_err(|e| Error::io("write to", index, e))?;
        self.written = crate::index::entries_in(position + self.entries.len() as u64);
        self.batches.clear();
        self.entries.clear();
        Ok(())
    }

    /// Ends the segment, durably.
    pub fn finish(mut self) -> Result<Segment> {
        self.fill_hole()?;
        self.write()?;
        let [log, index] = &self.paths;
        self.log.sync().map_err(|e| Error::io("sync", log, e))?;
        self.index.sync().map_err(|e| Error::io("sync", index, e))?;
        Ok(Segment::assemble(self.base, self.log, self.index, self.written, self.end))
    }
}
