//! One segment: a `.log` file of record batches, byte for byte, and its `.index`.
//!
//! - Contents: batches back to back, offsets rising, nothing before, between or behind them (behind
//!   them, after a crash, a torn tail until recovery has cut it).
//! - Naming: the base offset in 20 digits. It is at most the first batch's base offset, and the next
//!   segment's base offset is at least what follows the last batch.
//! - Threads: one writer at a time (the partition's), any number of readers.
//!
//! Entries of batches that are not durable yet are kept in memory; see [`index`](crate::index) for why.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::environment::{File, Files};
use crate::error::{Error, Result};
use crate::index::{self, INDEX_ENTRY_LEN, IndexEntry};

/// Suffix of segment files.
pub(crate) const LOG_SUFFIX: &str = ".log";
/// Suffix of index files.
pub(crate) const INDEX_SUFFIX: &str = ".index";

/// How many entries are read from the index file at once.
const BLOCK: usize = 64;

/// The largest timestamp of a segment without any.
pub(crate) const NO_TIMESTAMP: i64 = -1;

/// A file name from a base offset.
pub(crate) fn file_name(base_offset: i64, suffix: &str) -> String {
    format!("{base_offset:020}{suffix}")
}

/// The base offset in a file name with this suffix.
pub(crate) fn base_offset_of(name: &str, suffix: &str) -> Option<i64> {
    let digits = name.strip_suffix(suffix)?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

/// Where in a segment something is wrong, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub segment: String,
    pub position: u64,
    pub offset: i64,
    pub what: String,
}

impl Fault {
    pub fn into_error(self, topic: &str, partition: u32) -> Error {
        Error::Damaged {
            topic: topic.to_owned(),
            partition,
            segment: self.segment,
            position: self.position,
            offset: self.offset,
            what: self.what,
        }
    }
}

/// A fault in the bytes, or an operating system error.
#[derive(Debug)]
pub(crate) enum SegmentError {
    Fault(Fault),
    Other(Error),
}

impl From<Error> for SegmentError {
    fn from(error: Error) -> Self {
        SegmentError::Other(error)
    }
}

impl SegmentError {
    pub fn into_error(self, topic: &str, partition: u32) -> Error {
        match self {
            SegmentError::Fault(fault) => fault.into_error(topic, partition),
            SegmentError::Other(error) => error,
        }
    }
}

/// Where the segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentEnd {
    /// Position behind the last batch.
    pub position: u64,
    /// Offset behind the last batch.
    pub offset: i64,
    /// Largest timestamp, or [`NO_TIMESTAMP`].
    pub max_timestamp: i64,
}

#[derive(Debug)]
struct Contents {
    /// Entries in the index file.
    written: u64,
    /// Entries of batches that are not durable yet.
    pending: Vec<IndexEntry>,
    end: SegmentEnd,
}

/// A segment; see the module.
#[derive(Debug)]
pub(crate) struct Segment {
    base_offset: i64,
    log: Arc<dyn File>,
    index: Arc<dyn File>,
    contents: RwLock<Contents>,
    /// Where the last lookup ended: sequential readers need no search.
    hint: AtomicU64,
}

impl Segment {
    /// Creates an empty segment, over leftovers of the same name. Durable once the folder is synced.
    pub fn create(files: &dyn Files, dir: &Path, base_offset: i64) -> Result<Self> {
        let create = |suffix| {
            let path = dir.join(file_name(base_offset, suffix));
            files.create(&path).map_err(|e| Error::io("create", &path, e))
        };
        let (index, log) = (create(INDEX_SUFFIX)?, create(LOG_SUFFIX)?);
        let path = dir.join(file_name(base_offset, INDEX_SUFFIX));
        index
            .write_at(0, &index::encode_header())
            .map_err(|e| Error::io("write the header of", &path, e))?;
        let end = SegmentEnd { position: 0, offset: base_offset, max_timestamp: NO_TIMESTAMP };
        Ok(Self::assemble(base_offset, log, index, 0, end))
    }

    /// A segment whose files have been looked at: `written` entries are in the index file, and the
    /// last of them ends at `end`.
    pub fn assemble(
        base_offset: i64,
        log: Arc<dyn File>,
        index: Arc<dyn File>,
        written: u64,
        end: SegmentEnd,
    ) -> Self {
        let contents = RwLock::new(Contents { written, pending: Vec::new(), end });
        Segment { base_offset, log, index, contents, hint: AtomicU64::new(0) }
    }

    pub fn base_offset(&self) -> i64 {
        self.base_offset
    }

    pub fn end(&self) -> SegmentEnd {
        self.read().end
    }

    /// The `.log` file.
    pub fn log(&self) -> &Arc<dyn File> {
        &self.log
    }

    /// The `.index` file.
    pub fn index(&self) -> &Arc<dyn File> {
        &self.index
    }

    /// The segment's name, for messages.
    pub fn name(&self) -> String {
        file_name(self.base_offset, LOG_SUFFIX)
    }

    /// How many batches are not in the index file yet.
    pub fn pending(&self) -> usize {
        self.read().pending.len()
    }

    /// Whether the segment has no batches.
    pub fn is_empty(&self) -> bool {
        let contents = self.read();
        contents.written == 0 && contents.pending.is_empty()
    }

    fn read(&self) -> RwLockReadGuard<'_, Contents> {
        self.contents.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Contents> {
        self.contents.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of batches that have been written to the log file at the end, in order.
    pub fn extend(&self, entries: &[IndexEntry]) {
        let Some(last) = entries.last() else { return };
        let mut contents = self.write();
        contents.pending.extend_from_slice(entries);
        contents.end = SegmentEnd {
            position: last.end(),
            offset: last.next_offset(),
            max_timestamp: last.max_timestamp,
        };
    }

    /// Writes the entries of the first `count` pending batches, which are durable now, to the index
    /// file. Does not sync it.
    pub fn persist_entries(&self, count: usize) -> std::io::Result<()> {
        if count == 0 {
            return Ok(());
        }
        let (position, bytes) = {
            let contents = self.read();
            let entries = &contents.pending[..count];
            let bytes: Vec<u8> = entries.iter().flat_map(IndexEntry::encode).collect();
            (index::entry_position(contents.written), bytes)
        };
        self.index.write_at(position, &bytes)?;
        let mut contents = self.write();
        contents.pending.drain(..count);
        contents.written += count as u64;
        Ok(())
    }

    fn fault(&self, position: u64, offset: i64, what: impl Into<String>) -> SegmentError {
        SegmentError::Fault(Fault { segment: self.name(), position, offset, what: what.into() })
    }

    fn block(
        &self,
        contents: &Contents,
        from: u64,
        out: &mut Vec<IndexEntry>,
    ) -> Result<(), SegmentError> {
        out.clear();
        if from >= contents.written {
            let skip = (from - contents.written) as usize;
            out.extend(contents.pending.iter().skip(skip).take(BLOCK));
            return Ok(());
        }
        let count = BLOCK.min((contents.written - from) as usize);
        let mut buffer = [0; BLOCK * INDEX_ENTRY_LEN];
        let bytes = &mut buffer[..count * INDEX_ENTRY_LEN];
        self.index.read_at(index::entry_position(from), bytes).map_err(|e| {
            let name = file_name(self.base_offset, INDEX_SUFFIX);
            Error::io("read index", Path::new(&name), e)
        })?;
        let (entries, _) = bytes.as_chunks::<INDEX_ENTRY_LEN>();
        for (at, entry) in entries.iter().enumerate() {
            let Some(entry) = IndexEntry::decode(entry) else {
                // Entries before it are good: whoever asks for those gets them.
                if at > 0 {
                    break;
                }
                return Err(self.fault(
                    0,
                    self.base_offset,
                    format!("index entry {from} is damaged"),
                ));
            };
            out.push(entry);
        }
        Ok(())
    }

    fn entry(&self, contents: &Contents, ordinal: u64) -> Result<IndexEntry, SegmentError> {
        if ordinal >= contents.written {
            return Ok(contents.pending[(ordinal - contents.written) as usize]);
        }
        let mut bytes = [0; INDEX_ENTRY_LEN];
        self.index.read_at(index::entry_position(ordinal), &mut bytes).map_err(|e| {
            let name = file_name(self.base_offset, INDEX_SUFFIX);
            Error::io("read index", Path::new(&name), e)
        })?;
        IndexEntry::decode(&bytes).ok_or_else(|| {
            self.fault(0, self.base_offset, format!("index entry {ordinal} is damaged"))
        })
    }

    /// The first entry for which `is_reached` holds; it must hold for all that follow.
    fn search(
        &self,
        contents: &Contents,
        is_reached: impl Fn(&IndexEntry) -> bool,
    ) -> Result<u64, SegmentError> {
        let mut low = 0;
        let mut high = contents.written + contents.pending.len() as u64;
        while low < high {
            let middle = low + (high - low) / 2;
            if is_reached(&self.entry(contents, middle)?) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(low)
    }

    /// Entries of the batch that holds `offset` (or the first after it) and of those that follow, as
    /// long as they end at or before `upper` and have at most `max_bytes` together; the first is
    /// there whatever its size.
    pub fn entries_from(
        &self,
        offset: i64,
        max_bytes: usize,
        upper: i64,
    ) -> Result<Vec<IndexEntry>, SegmentError> {
        let contents = self.read();
        let total = contents.written + contents.pending.len() as u64;
        let mut block = Vec::new();
        let mut ordinal = self.hint.load(Ordering::Relaxed);
        let hinted = ordinal < total && self.block(&contents, ordinal, &mut block).is_ok() && {
            let exact = block
                .first()
                .is_some_and(|first| first.base_offset <= offset && offset <= first.last_offset());
            exact || (offset == self.base_offset && ordinal == 0)
        };
        if !hinted {
            ordinal = self.search(&contents, |entry| entry.last_offset() >= offset)?;
            block.clear();
        }
        let mut found: Vec<IndexEntry> = Vec::new();
        let mut bytes = 0;
        'blocks: while ordinal < total {
            if block.is_empty() {
                match self.block(&contents, ordinal, &mut block) {
                    Ok(()) if !block.is_empty() => {}
                    // What was found is good; the next read will begin at the damage.
                    Err(error) if found.is_empty() => return Err(error),
                    _ => break,
                }
            }
            for entry in block.drain(..) {
                bytes += entry.length as usize;
                let fits = found.is_empty() || bytes <= max_bytes;
                if !fits || entry.next_offset() > upper {
                    break 'blocks;
                }
                if let Some(before) = found.last()
                    && before.end() != entry.position
                {
                    let what = format!("index entry {ordinal} does not follow the one before it");
                    return Err(self.fault(entry.position, entry.base_offset, what));
                }
                found.push(entry);
                ordinal += 1;
            }
        }
        self.hint.store(ordinal, Ordering::Relaxed);
        Ok(found)
    }

    /// All entries from the first on, in the blocks in which they are read.
    pub fn for_each_entry(
        &self,
        mut visit: impl FnMut(&IndexEntry) -> Result<(), SegmentError>,
    ) -> Result<(), SegmentError> {
        let mut block = Vec::new();
        let mut ordinal = 0;
        loop {
            self.block(&self.read(), ordinal, &mut block)?;
            if block.is_empty() {
                return Ok(());
            }
            for entry in block.drain(..) {
                visit(&entry)?;
                ordinal += 1;
            }
        }
    }

    /// The largest timestamp of the first batch; `None` if the segment is empty or the batch has none.
    pub fn first_timestamp(&self) -> Result<Option<i64>, SegmentError> {
        let contents = self.read();
        if contents.written + contents.pending.len() as u64 == 0 {
            return Ok(None);
        }
        let timestamp = self.entry(&contents, 0)?.max_timestamp;
        Ok((timestamp != NO_TIMESTAMP).then_some(timestamp))
    }

    /// The first batch that has a record with this timestamp or a later one.
    pub fn entry_for_timestamp(&self, timestamp: i64) -> Result<Option<IndexEntry>, SegmentError> {
        let contents = self.read();
        let ordinal = self.search(&contents, |entry| entry.max_timestamp >= timestamp)?;
        if ordinal == contents.written + contents.pending.len() as u64 {
            return Ok(None);
        }
        self.entry(&contents, ordinal).map(Some)
    }

    /// The bytes of neighbouring batches, checked. If one of them is damaged, those before it; if it
    /// is the first, the error.
    pub fn batches(&self, entries: &[IndexEntry]) -> Result<Bytes, SegmentError> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(Bytes::new());
        };
        let length = (last.end() - first.position) as usize;
        let bytes =
            self.log.slice(first.position, length).map_err(|e| self.unreadable(first, e))?;
        for entry in entries {
            let from = (entry.position - first.position) as usize;
            if !entry.fits(&bytes[from..from + entry.length as usize]) {
                if from > 0 {
                    return Ok(bytes.slice(..from));
                }
                let what = "the batch does not match its checksum in the index";
                return Err(self.fault(entry.position, entry.base_offset, what));
            }
        }
        Ok(bytes)
    }

    fn unreadable(&self, first: &IndexEntry, error: std::io::Error) -> SegmentError {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            let what = "the file ends before this batch does";
            return self.fault(first.position, first.base_offset, what);
        }
        SegmentError::Other(Error::io("read", Path::new(&self.name()), error))
    }
}
