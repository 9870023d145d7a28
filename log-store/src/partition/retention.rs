//! Segments come and go: rolling, the recovery point, retention, deleting records.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::flush::Leadership;
use super::recovery_point::{RecoveryPoint, SNAPSHOT_FILE};
use super::{Ordering, Partition, Shared, Writer, guard};
use crate::aborted::encode_segment;
use crate::environment::Files;
use crate::error::{Error, Result};
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, Segment, file_name};
use crate::topic::{FlushMode, TopicConfig};

/// Suffix of the aborted index of a segment.
pub(crate) const TXNINDEX_SUFFIX: &str = ".txnindex";
/// Suffix of files that are being written and do not count yet.
pub(crate) const TEMPORARY_SUFFIX: &str = ".tmp";

/// The recovery point is moved when an open had to check this many bytes: a process that is killed
/// again and again need not check them again and again.
const POINT_AFTER_CHECKING: u64 = 4 << 20;

/// The recovery point is moved when this many bytes have come since: about a tenth of a second of
/// checking at the next open.
const POINT_EVERY_BYTES: u64 = 256 << 20;

impl Partition {
    /// Removes everything below `up_to` from readers' sight, durably, and the segments that lie wholly
    /// below it from the disk. Returns the new log start offset.
    ///
    /// # Errors
    /// `OffsetOutOfRange` beyond the high watermark; an operating system error.
    pub fn delete_records(&self, up_to: i64) -> Result<i64> {
        let shared = &self.shared;
        let offsets = shared.offsets();
        if up_to > offsets.high_watermark {
            return Err(Error::OffsetOutOfRange {
                topic: shared.topic.clone(),
                partition: shared.partition,
                offset: up_to,
                log_start: offsets.log_start,
                log_end: offsets.high_watermark,
            });
        }
        let Some(leadership) = shared.lead(None)? else { return Ok(offsets.log_start) };
        let mut writer = guard(&shared.writer);
        leadership.flush_held(&mut writer)?;
        shared.raise_log_start(&leadership, &mut writer, up_to)?;
        Ok(shared.offsets().log_start)
    }

    /// Called once after recovery: `rebuilt` if derived files were missing or damaged, and have to be
    /// made anew.
    pub(super) fn point_after_recovery(&self, rebuilt: bool) {
        let shared = &self.shared;
        let write = || {
            if rebuilt {
                let segments = shared.segments();
                for segment in &segments[..segments.len() - 1] {
                    shared.write_aborted(segment, segment.end().offset)?;
                }
            }
            shared.move_recovery_point()
        };
        let due = rebuilt || shared.unpointed.load(Ordering::Relaxed) >= POINT_AFTER_CHECKING;
        if due && let Err(error) = write() {
            tracing::warn!(%error, "cannot move the recovery point");
        }
    }

    /// Seals the active segment, unless it is empty.
    pub(crate) fn roll_now(&self) -> Result<()> {
        self.shared.roll_if(|writer| !writer.active.is_empty())
    }

    /// What has to be done from time to time: background flushes, rolling by age, retention, and
    /// moving the recovery point. Returns how many segments were removed.
    pub(crate) fn maintain(&self) -> Result<usize> {
        let shared = &self.shared;
        let config = shared.config();
        let now = shared.environment.clock.now_ms();
        if let FlushMode::Interval(every) = config.flush_mode
            && now - shared.last_flush_ms.load(Ordering::Relaxed) >= every.as_millis() as i64
        {
            self.flush()?;
        }
        let deletes = config.cleanup_policy.deletes();
        let expired = |max_timestamp: i64| {
            let oldest = config.retention_ms.map(|ms| now.saturating_sub_unsigned(ms));
            deletes && oldest.is_some_and(|oldest| max_timestamp < oldest)
        };
        shared.roll_if(|writer| {
            let old = now - writer.active_since_ms >= config.seal_after_ms();
            !writer.active.is_empty() && (old || expired(writer.active.end().max_timestamp))
        })?;
        let removed = if deletes { shared.apply_retention(&config, expired)? } else { 0 };
        if shared.unpointed.load(Ordering::Relaxed) >= POINT_EVERY_BYTES {
            shared.move_recovery_point()?;
        }
        Ok(removed)
    }

    /// Has the next recovery point written, with the snapshot, also if nothing was appended since the last.
    pub(crate) fn distrust_recovery_point(&self) {
        self.shared.unpointed.fetch_add(1, Ordering::Relaxed);
    }

    /// Flushes everything and moves the recovery point to the end, so that the next open has
    /// nothing to check; then refuses further work.
    pub(crate) fn close(&self) -> Result<()> {
        let result = match self.shared.check_running() {
            Ok(()) => self.shared.move_recovery_point(),
            // What was acknowledged is on disk; the rest is for recovery to judge.
            Err(_) => Ok(()),
        };
        self.shared.close();
        result
    }
}

impl Shared {
    pub fn wants_roll(&self, writer: &Writer, size: u64) -> bool {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        let end = writer.active.end().position;
        !writer.active.is_empty() && end + size > config.segment_bytes
    }

    /// Rolls if `size` more bytes still ask for it when nobody else is at work.
    pub fn roll(&self, size: u64) -> Result<()> {
        self.roll_if(|writer| self.wants_roll(writer, size))
    }

    fn roll_if(&self, wanted: impl Fn(&Writer) -> bool) -> Result<()> {
        if !wanted(&guard(&self.writer)) {
            return Ok(());
        }
        let Some(leadership) = self.lead(None)? else { return Ok(()) };
        let mut writer = guard(&self.writer);
        if wanted(&writer) {
            self.seal(&leadership, &mut writer)?;
        }
        drop(writer);
        drop(leadership);
        self.wake();
        Ok(())
    }

    /// Seals the active segment and starts the next one. In this order, so that a crash in between
    /// leaves something that recovery understands: the old segment whole and its index durable, then
    /// the new segment, then the recovery point.
    fn seal(&self, leadership: &Leadership<'_>, writer: &mut Writer) -> Result<()> {
        leadership.flush_held(writer)?;
        let end = writer.active.end();
        self.sync_index(&writer.active)?;
        self.write_aborted(&writer.active, end.offset)?;
        let next = match self.create_segment(end.offset) {
            Ok(next) => Arc::new(next),
            Err(error) => return Err(self.undo_segment(end.offset, error)),
        };
        self.segments.write().unwrap_or_else(PoisonError::into_inner).push(next.clone());
        writer.active = next;
        writer.active_since_ms = self.environment.clock.now_ms();
        if let Err(error) =
            self.write_recovery_point(writer, self.log_start.load(Ordering::Acquire))
        {
            // The old one is still right, and the next open checks a little more.
            tracing::warn!(%error, "cannot move the recovery point");
        }
        Ok(())
    }

    fn create_segment(&self, base: i64) -> Result<Segment> {
        let files = &*self.environment.files;
        let next = Segment::create(files, &self.dir, base)?;
        let index = self.dir.join(file_name(base, INDEX_SUFFIX));
        next.index().sync().map_err(|e| Error::io("sync", &index, e))?;
        files.sync_dir(&self.dir).map_err(|e| Error::io("sync folder", &self.dir, e))?;
        Ok(next)
    }

    /// A segment could not be created: removes what there is of it. Were it left, and the one before
    /// appended to, recovery would find two segments that hold the same offsets; so if it cannot be
    /// removed, the partition stops.
    fn undo_segment(&self, base: i64, error: Error) -> Error {
        let files = &*self.environment.files;
        let remove = |suffix| match files.remove(&self.dir.join(file_name(base, suffix))) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        let undone = remove(LOG_SUFFIX)
            .and_then(|()| remove(INDEX_SUFFIX))
            .and_then(|()| files.sync_dir(&self.dir));
        match undone {
            Ok(()) => error,
            Err(undo) => self.stop("undo a new segment in", &self.dir, &undo),
        }
    }

    fn sync_index(&self, segment: &Segment) -> Result<()> {
        let path = self.dir.join(file_name(segment.base_offset(), INDEX_SUFFIX));
        segment.persist_entries(segment.pending()).map_err(|e| Error::io("write", &path, e))?;
        segment.index().sync().map_err(|e| self.stop("sync", &path, &e))
    }

    /// Writes the segment's aborted index, for the markers below `end`.
    fn write_aborted(&self, segment: &Segment, end: i64) -> Result<()> {
        let base = segment.base_offset();
        let bytes = {
            let aborted = self.aborted.read().unwrap_or_else(PoisonError::into_inner);
            encode_segment(base, end, aborted.ended_in(base, end))
        };
        let files = &*self.environment.files;
        write_whole(files, &self.dir, &file_name(base, TXNINDEX_SUFFIX), &bytes)
    }

    pub fn move_recovery_point(&self) -> Result<()> {
        let Some(leadership) = self.lead(None)? else { return Ok(()) };
        let mut writer = guard(&self.writer);
        leadership.flush_held(&mut writer)?;
        let log_start = self.log_start.load(Ordering::Acquire);
        let current = guard(&self.recovery_point).current();
        let is_there = current.is_some_and(|point| point.log_start == log_start);
        if is_there && self.unpointed.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        self.sync_index(&writer.active)?;
        let result = self.write_recovery_point(&writer, log_start);
        drop(writer);
        drop(leadership);
        self.wake();
        result
    }

    /// Writes the recovery point at the log end, which must be durable, index included.
    fn write_recovery_point(&self, writer: &Writer, log_start: i64) -> Result<()> {
        let end = writer.active.end();
        let plain = writer.states.is_empty()
            && self.aborted.read().unwrap_or_else(PoisonError::into_inner).is_empty();
        if !plain {
            self.write_aborted(&writer.active, end.offset)?;
            let snapshot = writer.states.encode_snapshot(end.offset);
            write_whole(&*self.environment.files, &self.dir, SNAPSHOT_FILE, &snapshot)?;
        }
        guard(&self.recovery_point).write(RecoveryPoint {
            offset: end.offset,
            segment: writer.active.base_offset(),
            position: end.position,
            log_start,
            snapshot: (!plain).then_some(end.offset),
        })?;
        self.unpointed.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn apply_retention(
        &self,
        config: &TopicConfig,
        expired: impl Fn(i64) -> bool,
    ) -> Result<usize> {
        let segments = self.segments();
        let stable = self.last_stable.load(Ordering::Acquire);
        let mut size: u64 = segments.iter().map(|segment| segment.end().position).sum();
        let mut up_to = None;
        for segment in &segments[..segments.len() - 1] {
            let end = segment.end();
            let too_large = config.retention_bytes.is_some_and(|limit| {
                size.saturating_sub(end.position) >= limit && end.position > 0
            });
            // What an open transaction may still commit stays.
            if end.offset > stable || !(too_large || expired(end.max_timestamp)) {
                break;
            }
            size -= end.position;
            up_to = Some(end.offset);
        }
        let Some(up_to) = up_to else { return Ok(0) };
        let Some(leadership) = self.lead(None)? else { return Ok(0) };
        let mut writer = guard(&self.writer);
        leadership.flush_held(&mut writer)?;
        self.raise_log_start(&leadership, &mut writer, up_to)
    }

    /// Moves the log start, durably, and removes segments that lie wholly below it; returns how many.
    /// Everything appended must be durable.
    fn raise_log_start(
        &self,
        leadership: &Leadership<'_>,
        writer: &mut Writer,
        up_to: i64,
    ) -> Result<usize> {
        let before = self.log_start.load(Ordering::Acquire);
        if up_to <= before {
            return Ok(0);
        }
        let _shape = guard(&self.reshaping);
        // An active segment that goes wholly is replaced by an empty one, whose name keeps the log end.
        if up_to == writer.active.end().offset && !writer.active.is_empty() {
            self.seal(leadership, writer)?;
        } else {
            self.sync_index(&writer.active)?;
        }
        self.write_recovery_point(writer, up_to)?;
        self.log_start.store(up_to, Ordering::Release);
        self.aborted.write().unwrap_or_else(PoisonError::into_inner).remove_below(up_to);
        let removed: Vec<Arc<Segment>> = {
            let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
            let last = segments.len() - 1;
            let count = segments[..last].partition_point(|s| s.end().offset <= up_to);
            segments.drain(..count).collect()
        };
        for segment in &removed {
            self.remove_files(segment)?;
        }
        if !removed.is_empty() {
            let files = &self.environment.files;
            files.sync_dir(&self.dir).map_err(|e| Error::io("sync folder", &self.dir, e))?;
        }
        Ok(removed.len())
    }

    /// Removes a segment's files; the log file last, so that recovery never meets an index alone that
    /// it would have to explain.
    fn remove_files(&self, segment: &Segment) -> Result<()> {
        for suffix in [TXNINDEX_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX] {
            let path = self.dir.join(file_name(segment.base_offset(), suffix));
            match self.environment.files.remove(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(Error::io("remove", &path, e)),
            }
        }
        Ok(())
    }
}

/// Writes a small file so that after a crash either the old or the new one is there, whole.
pub(crate) fn write_whole(files: &dyn Files, dir: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let path = dir.join(name);
    let temporary = dir.join(format!("{name}{TEMPORARY_SUFFIX}"));
    let write = || {
        let file = files.create(&temporary)?;
        file.write_at(0, bytes)?;
        file.sync()?;
        files.rename(&temporary, &path)?;
        files.sync_dir(dir)
    };
    write().map_err(|e| Error::io("write", &path, e))
}
