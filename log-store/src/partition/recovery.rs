//! Opening a partition: what is below the recovery point is taken as it is, what comes after is
//! checked batch by batch, and a torn tail is cut off.
//!
//! How damage is told from a torn tail: index entries are written only for batches that are durable,
//! and a segment is sealed only when all of it is. So a batch that has an entry, or lies below the
//! recovery point or in a sealed segment, was there once; if it is not whole now, the disk has lost
//! what was acknowledged, and the partition refuses to open. Anything else is a tail that nobody was
//! told about.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::recovery_point::{RecoveryPoint, RecoveryPointFile, SNAPSHOT_FILE};
use super::retention::{TEMPORARY_SUFFIX, TXNINDEX_SUFFIX};
use super::scan::{Scan, fault, read_entry, read_header_ok};
use super::{Partition, Recovered};
use crate::aborted::{AbortedIndex, decode_segment};
use crate::batch::{Batch, BatchHeader, HEADER_LEN};
use crate::compaction;
use crate::environment::{Environment, File, Files, LockGuard};
use crate::error::{Error, Result};
use crate::index::{IndexEntry, encode_header, entries_in, entry_position};
use crate::producer_state::{ProducedBatch, ProducerStates};
use crate::segment::{
    INDEX_SUFFIX, LOG_SUFFIX, NO_TIMESTAMP, Segment, SegmentEnd, SegmentError, base_offset_of,
    file_name,
};
use crate::topic::TopicConfig;
use crate::transaction::ProducerIdentity;

/// Which partition, and where it lives.
pub(crate) struct Place<'a> {
    pub topic: &'a str,
    pub partition: u32,
    pub dir: PathBuf,
    pub environment: &'a Environment,
    pub lock: Option<Arc<dyn LockGuard>>,
}

/// Creates the folder and the first, empty segment of a new partition, durably.
pub(crate) fn create(files: &dyn Files, dir: &Path) -> Result<()> {
    files.create_dir(dir).map_err(|e| Error::io("create folder", dir, e))?;
    let segment = Segment::create(files, dir, 0)?;
    segment.index().sync().map_err(|e| Error::io("sync index in", dir, e))?;
    files.sync_dir(dir).map_err(|e| Error::io("sync folder", dir, e))
}

/// Opens a partition.
///
/// # Errors
/// `Damaged` where something that was durable is not what was written; operating system errors.
pub(crate) fn open(place: Place<'_>, config: TopicConfig) -> Result<Partition> {
    let recovery = Recovery { files: &*place.environment.files, dir: &place.dir };
    let recovered = recovery
        .run(place.environment.clock.now_ms())
        .map_err(|e| e.into_error(place.topic, place.partition))?;
    let rebuilt = recovered.rebuilt;
    let partition = Partition::assemble(place, config, recovered);
    partition.point_after_recovery(rebuilt);
    Ok(partition)
}

struct Recovery<'a> {
    files: &'a dyn Files,
    dir: &'a Path,
}

type Outcome<T> = Result<T, SegmentError>;

impl Recovery<'_> {
    fn run(&self, now_ms: i64) -> Outcome<Recovered> {
        let mut recovery_point = RecoveryPointFile::open(self.files, self.dir)?;
        let known = recovery_point.current();
        // Names, and the recovery point itself, may be in memory only: files are removed by what they say.
        self.files.sync_dir(self.dir).map_err(|e| Error::io("sync folder", self.dir, e))?;
        if let Some(known) = known {
            recovery_point.write(known)?;
        }
        compaction::recover(self.files, self.dir)?;
        let bases = self.bases(known)?;
        let (Some(first), Some(last)) = (bases.first().copied(), bases.last().copied()) else {
            return Err(self.no_segments(known));
        };
        let start = RecoveryPoint {
            offset: first,
            segment: first,
            position: 0,
            log_start: first,
            snapshot: None,
        };
        let point = known.unwrap_or(start);
        if point.segment > last {
            let what = "the segment is missing";
            return Err(fault(point.segment, 0, point.offset, what));
        }
        let mut segments = Vec::with_capacity(bases.len());
        for pair in bases.windows(2) {
            segments.push(Arc::new(self.sealed(pair[0], pair[1])?));
        }
        let active = Arc::new(self.active(last, &point)?);
        segments.push(active.clone());
        let log_start = point.log_start.max(first);
        let (states, aborted, rebuilt) =
            self.producers(&segments, &point, known.is_some(), now_ms)?;
        let end = active.end();
        // Without a recovery point the next open would check everything again.
        if known.is_none() && states.is_empty() && aborted.is_empty() {
            recovery_point.write(RecoveryPoint {
                offset: end.offset,
                segment: last,
                position: end.position,
                log_start,
                snapshot: None,
            })?;
        }
        let pointed = if point.segment == last { point.position } else { 0 };
        // One more, so that the recovery point is written again though it may be where it was.
        let checked = end.position.saturating_sub(pointed) + u64::from(rebuilt);
        Ok(Recovered {
            segments,
            active,
            states,
            aborted,
            recovery_point,
            compaction: compaction::open(self.files, self.dir),
            log_start,
            checked,
            rebuilt,
        })
    }

    /// Base offsets of the segments, in order; removes leftovers of interrupted work.
    fn bases(&self, known: Option<RecoveryPoint>) -> Outcome<Vec<i64>> {
        let names = self.files.list(self.dir).map_err(|e| Error::io("list", self.dir, e))?;
        let mut bases: Vec<i64> =
            names.iter().filter_map(|name| base_offset_of(name, LOG_SUFFIX)).collect();
        bases.sort_unstable();
        let mut leftovers: Vec<String> =
            names.iter().filter(|name| name.ends_with(TEMPORARY_SUFFIX)).cloned().collect();
        if let Some(point) = known {
            // Retention got as far as the recovery point, but not to the files.
            let kept = bases.partition_point(|base| *base <= point.log_start).saturating_sub(1);
            for base in bases.drain(..kept) {
                let of_segment = [TXNINDEX_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX];
                leftovers.extend(of_segment.map(|suffix| file_name(base, suffix)));
            }
        }
        for name in leftovers.iter().filter(|name| names.contains(name)) {
            let path = self.dir.join(name);
            self.files.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        Ok(bases)
    }

    fn no_segments(&self, known: Option<RecoveryPoint>) -> SegmentError {
        let point = known.map_or((0, 0), |point| (point.segment, point.offset));
        fault(point.0, 0, point.1, "the segment is missing")
    }

    fn open(&self, base: i64, suffix: &str) -> Outcome<(Arc<dyn File>, u64)> {
        let path = self.dir.join(file_name(base, suffix));
        let file = match self.files.open(&path) {
            // An index can be made again; the log file was in the listing.
            Err(e) if suffix == INDEX_SUFFIX && e.kind() == std::io::ErrorKind::NotFound => {
                self.files.create(&path)
            }
            other => other,
        };
        let file = file.map_err(|e| Error::io("open", &path, e))?;
        let length = file.len().map_err(|e| Error::io("read the length of", &path, e))?;
        Ok((file, length))
    }

    /// A sealed segment: whole if its index ends where both it and the next segment say. Its bytes
    /// are checked when they are read.
    fn sealed(&self, base: i64, next: i64) -> Outcome<Segment> {
        let (log, log_len) = self.open(base, LOG_SUFFIX)?;
        let (index, index_len) = self.open(base, INDEX_SUFFIX)?;
        let entries = entries_in(index_len);
        let whole = entry_position(entries) == index_len;
        if let Some(last) = entries.checked_sub(1).and_then(|last| read_entry(&*index, last))
            && whole
            && read_header_ok(&*index)
            && last.end() == log_len
            && last.next_offset() == next
        {
            let end =
                SegmentEnd { position: log_len, offset: next, max_timestamp: last.max_timestamp };
            return Ok(Segment::assemble(base, log, index, entries, end));
        }
        // Its index is not whole: made anew if the log file is.
        let scan = Scan { base, log: &*log, index: &*index, claims: entries };
        let found = scan.run(0, base, NO_TIMESTAMP, 0, u64::MAX)?;
        if found.end.position != log_len || found.end.offset != next {
            let what = format!("the segment ends at offset {}, not at {next}", found.end.offset);
            return Err(fault(base, found.end.position, found.end.offset, what));
        }
        self.rewrite_index(&*index, base, 0, &found.entries)?;
        let count = found.entries.len() as u64;
        Ok(Segment::assemble(base, log, index, count, found.end))
    }

    /// The segment that is appended to: everything behind the recovery point is checked.
    fn active(&self, base: i64, point: &RecoveryPoint) -> Outcome<Segment> {
        let (log, log_len) = self.open(base, LOG_SUFFIX)?;
        let (index, index_len) = self.open(base, INDEX_SUFFIX)?;
        let (position, offset) =
            if point.segment == base { (point.position, point.offset) } else { (0, base) };
        if log_len < position {
            let what = "the file ends before the recovery point";
            return Err(fault(base, log_len, offset, what));
        }
        let claims = entries_in(index_len);
        let scan = Scan { base, log: &*log, index: &*index, claims };
        // Up to the recovery point the index says what is there; if it cannot, the batches do.
        let trusted = read_header_ok(&*index).then(|| scan.entry_ending_at(position, offset));
        let found = match trusted.flatten() {
            Some((kept, max_timestamp)) => {
                let mut found = scan.run(position, offset, max_timestamp, kept, position)?;
                found.kept = kept;
                found
            }
            None => scan.run(0, base, NO_TIMESTAMP, 0, position)?,
        };
        let path = self.dir.join(file_name(base, LOG_SUFFIX));
        if found.end.position < log_len {
            tracing::warn!(
                path = %path.display(),
                position = found.end.position,
                bytes = log_len - found.end.position,
                "cutting off a torn tail"
            );
            log.truncate(found.end.position).map_err(|e| Error::io("truncate", &path, e))?;
        }
        // What a killed process has written may be in memory only; from here on it counts as durable.
        self.write_again(&*log, position, found.end.position)
            .map_err(|e| Error::io("write again", &path, e))?;
        log.sync().map_err(|e| Error::io("sync", &path, e))?;
        self.rewrite_index(&*index, base, found.kept, &found.entries)?;
        let written = found.kept + found.entries.len() as u64;
        Ok(Segment::assemble(base, log, index, written, found.end))
    }

    /// Writes bytes again that are there already. After a failed sync the operating system shows them
    /// as if they were on disk, and never writes them of itself: a sync alone would succeed and prove
    /// nothing.
    fn write_again(&self, log: &dyn File, mut from: u64, to: u64) -> std::io::Result<()> {
        let mut buffer = vec![0; to.saturating_sub(from).min(1 << 20) as usize];
        while from < to {
            let length = (to - from).min(buffer.len() as u64) as usize;
            log.read_at(from, &mut buffer[..length])?;
            log.write_at(from, &buffer[..length])?;
            from += length as u64;
        }
        Ok(())
    }

    /// Makes the index file consist of its first `kept` entries and these.
    fn rewrite_index(
        &self,
        index: &dyn File,
        base: i64,
        kept: u64,
        entries: &[IndexEntry],
    ) -> Outcome<()> {
        let write = || {
            if kept == 0 {
                index.write_at(0, &encode_header())?;
            }
            index.truncate(entry_position(kept))?;
            let bytes: Vec<u8> = entries.iter().flat_map(IndexEntry::encode).collect();
            index.write_at(entry_position(kept), &bytes)?;
            index.sync()
        };
        let path = self.dir.join(file_name(base, INDEX_SUFFIX));
        Ok(write().map_err(|e| Error::io("rewrite", &path, e))?)
    }

    /// Producer states and aborted transactions: from the snapshot and the aborted indexes, and the
    /// batches after those; from all batches, where one of them is missing or damaged.
    fn producers(
        &self,
        segments: &[Arc<Segment>],
        point: &RecoveryPoint,
        known: bool,
        now_ms: i64,
    ) -> Outcome<(ProducerStates, AbortedIndex, bool)> {
        let mut found = None;
        if known {
            found = match point.snapshot {
                None => Some((ProducerStates::default(), AbortedIndex::default(), point.offset)),
                Some(offset) => self.snapshot(segments, offset),
            };
            if found.is_none() {
                tracing::warn!(
                    dir = %self.dir.display(),
                    "the producer snapshot or an aborted index is missing or damaged: reading all batches"
                );
            }
        }
        let rebuilt = known && found.is_none();
        let start = segments.first().map_or(0, |segment| segment.base_offset());
        let (mut states, mut aborted, from) =
            found.unwrap_or_else(|| (ProducerStates::default(), AbortedIndex::default(), start));
        for segment in segments.iter().filter(|segment| segment.end().offset > from) {
            segment.for_each_entry(|entry| {
                if entry.base_offset < from {
                    return Ok(());
                }
                replay(segment, entry, &mut states, &mut aborted, now_ms)
            })?;
        }
        Ok((states, aborted, rebuilt))
    }

    fn snapshot(
        &self,
        segments: &[Arc<Segment>],
        offset: i64,
    ) -> Option<(ProducerStates, AbortedIndex, i64)> {
        let bytes = self.read_whole(SNAPSHOT_FILE)?;
        let (states, taken_at) = ProducerStates::decode_snapshot(SNAPSHOT_FILE, &bytes).ok()?;
        // A snapshot that was written just before the recovery point could be is newer than that; older
        // ones do not exist.
        let log_end = segments.last()?.end().offset;
        if taken_at < offset || taken_at > log_end {
            return None;
        }
        let mut aborted = AbortedIndex::default();
        for segment in segments.iter().filter(|segment| segment.base_offset() < taken_at) {
            let name = file_name(segment.base_offset(), TXNINDEX_SUFFIX);
            let file = decode_segment(&name, &self.read_whole(&name)?).ok()?;
            let needed = segment.end().offset.min(taken_at);
            if file.base != segment.base_offset() || file.end < needed {
                return None;
            }
            let below = file.entries.into_iter().filter(|entry| entry.last_offset < taken_at);
            below.for_each(|entry| aborted.push(entry));
        }
        Some((states, aborted, taken_at))
    }

    fn read_whole(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.files.open(&self.dir.join(name)).ok()?;
        let mut bytes = vec![0; usize::try_from(file.len().ok()?).ok()?];
        file.read_at(0, &mut bytes).ok()?;
        Some(bytes)
    }
}

/// Feeds one stored batch to the state machines.
fn replay(
    segment: &Segment,
    entry: &IndexEntry,
    states: &mut ProducerStates,
    aborted: &mut AbortedIndex,
    now_ms: i64,
) -> Outcome<()> {
    let mut bytes = [0; HEADER_LEN];
    let path = segment.name();
    segment
        .log()
        .read_at(entry.position, &mut bytes)
        .map_err(|e| Error::io("read", Path::new(&path), e))?;
    let unreadable = |error: Error| {
        fault(segment.base_offset(), entry.position, entry.base_offset, error.to_string())
    };
    let header = BatchHeader::parse(&bytes).map_err(unreadable)?;
    if header.attributes.is_control() {
        let batch = Batch::parse(segment.batches(&[*entry])?).map_err(unreadable)?;
        if let Some(outcome) = batch.control_marker().map_err(unreadable)? {
            let identity =
                ProducerIdentity { id: header.producer_id, epoch: header.producer_epoch };
            let completed = states.on_marker(identity, outcome, header.base_offset, now_ms);
            if let Some(entry) = completed.and_then(|completed| completed.aborted) {
                aborted.push(entry);
            }
        }
    } else if let Some(batch) = ProducedBatch::of(&header) {
        states.on_appended(&batch, header.base_offset, now_ms);
    }
    Ok(())
}
