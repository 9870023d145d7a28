//! The folders of a data directory's partitions, found without opening a store.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Selection;
use super::survey::SegmentFiles;
use crate::compaction::{cleaned, unfinished};
use crate::environment::{File, Files};
use crate::error::{Error, Result};
use crate::partition::{RECOVERY_POINT_FILE, RecoveryPoint, read_slots};
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, base_offset_of, file_name};
use crate::store::TOPICS_DIR;

/// The folder of one partition.
pub(super) struct Folder {
    pub topic: String,
    pub partition: u32,
    pub dir: PathBuf,
}

/// The partitions of a data directory, by name and number.
pub(super) fn partitions(
    files: &dyn Files,
    data_dir: &Path,
    selection: &Selection,
) -> Result<Vec<Folder>> {
    let topics = data_dir.join(TOPICS_DIR);
    let names = files.list(&topics).map_err(|e| Error::io("list", &topics, e))?;
    let mut folders: Vec<Folder> = names
        .iter()
        .filter_map(|name| {
            let (topic, partition) = name.rsplit_once('-')?;
            let partition = partition.parse().ok()?;
            let dir = topics.join(name);
            selection.holds(topic, partition).then(|| Folder {
                topic: topic.to_owned(),
                partition,
                dir,
            })
        })
        .collect();
    folders.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    if folders.is_empty()
        && let Some(topic) = &selection.topic
    {
        return Err(match selection.partition {
            None => Error::UnknownTopic { topic: topic.clone() },
            Some(partition) => {
                let topic_alone = Selection { topic: Some(topic.clone()), partition: None };
                let partitions = partitions(files, data_dir, &topic_alone)?.len() as u32;
                Error::UnknownPartition { topic: topic.clone(), partition, partitions }
            }
        });
    }
    Ok(folders)
}

/// What the recovery point file of a partition says.
#[derive(Debug, Default)]
pub(super) struct Point {
    /// Whether there is a file with anything in it.
    pub present: bool,
    /// How many of its slots hold something that is not what was written.
    pub damaged_slots: usize,
    /// The newest good one.
    pub newest: Option<RecoveryPoint>,
}

/// What is in a partition's folder.
pub(super) struct Look {
    pub point: Point,
    /// Names of the files.
    pub names: Vec<String>,
    /// The segments that belong to the partition, in order.
    pub segments: Vec<SegmentFiles>,
    /// Base offsets of those that are only waiting to be removed.
    pub left_over: Vec<i64>,
}

/// How often a folder is looked at before what contradicts itself is taken for damage.
const LOOKS: usize = 5;

impl Folder {
    /// The recovery point.
    fn point(&self, files: &dyn Files) -> Result<Point> {
        let path = self.dir.join(RECOVERY_POINT_FILE);
        let file = match files.open_read_only(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Point::default()),
            other => other.map_err(|e| Error::io("open", &path, e))?,
        };
        let read = || {
            let mut bytes = vec![0; file.len()?.min(1 << 20) as usize];
            file.read_at(0, &mut bytes)?;
            Ok((read_slots(&*file)?, bytes))
        };
        let (slots, bytes) = read().map_err(|e| Error::io("read", &path, e))?;
        let half = bytes.len().min(1024).div_ceil(2).max(512).min(bytes.len());
        let blank = |part: &[u8]| part.iter().all(|byte| *byte == 0);
        let written = [!blank(&bytes[..half]), !blank(&bytes[half..])];
        let damaged_slots =
            slots.iter().zip(written).filter(|(slot, written)| *written && slot.is_none()).count();
        let newest = slots.into_iter().flatten().max_by_key(|(sequence, _)| *sequence);
        Ok(Point { present: !blank(&bytes), damaged_slots, newest: newest.map(|(_, point)| point) })
    }

    /// Bytes of all segments.
    pub fn segment_bytes(&self, files: &dyn Files) -> Result<u64> {
        let names = self.names(files)?;
        let segments = names.iter().filter(|name| base_offset_of(name, LOG_SUFFIX).is_some());
        // One that cannot be opened is reported when its turn comes.
        let length = |name| files.open_read_only(&self.dir.join(name)).and_then(|file| file.len());
        Ok(segments.map(|name| length(name).unwrap_or(0)).sum())
    }

    /// Names of the files.
    pub fn names(&self, files: &dyn Files) -> Result<Vec<String>> {
        files.list(&self.dir).map_err(|e| Error::io("list", &self.dir, e))
    }

    /// What is in the folder. A process may be compacting the partition: what is seen in the middle of that is
    /// looked at again.
    pub fn look(&self, files: &dyn Files) -> Result<Look> {
        let mut looks = 0;
        loop {
            let point = self.point(files)?;
            let names = self.names(files)?;
            let (segments, left_over) = self.segments(files, &names, point.newest)?;
            looks += 1;
            if looks == LOOKS || segments.iter().all(SegmentFiles::fits_together) {
                return Ok(Look { point, names, segments, left_over });
            }
        }
    }

    /// The segments that belong to the partition, in order, and the base offsets of those that are
    /// only waiting to be removed.
    fn segments(
        &self,
        files: &dyn Files,
        names: &[String],
        point: Option<RecoveryPoint>,
    ) -> Result<(Vec<SegmentFiles>, Vec<i64>)> {
        let swaps = match unfinished(files, &self.dir, names) {
            // Then the segments contradict each other, which is told.
            Err(Error::DamagedFile { .. }) => Vec::new(),
            swaps => swaps?,
        };
        let mut bases: Vec<i64> =
            names.iter().filter_map(|name| base_offset_of(name, LOG_SUFFIX)).collect();
        bases.sort_unstable();
        let mut left_over = Vec::new();
        if let Some(point) = point {
            let kept = bases.partition_point(|base| *base <= point.log_start).saturating_sub(1);
            left_over = bases.drain(..kept).collect();
            // The recovery point knows of a segment that is not there.
            if bases.last().is_none_or(|last| *last < point.segment) {
                bases.push(point.segment);
            }
        }
        bases.retain(|base| {
            let replaced = swaps.iter().any(|swap| swap.base < *base && *base < swap.end);
            if replaced {
                left_over.push(*base);
            }
            !replaced
        });
        let mut segments = Vec::with_capacity(bases.len());
        for (at, base) in bases.iter().copied().enumerate() {
            let next = bases.get(at + 1).copied();
            let durable = match point {
                Some(point) if point.segment == base => (point.position, point.offset),
                _ => (0, base),
            };
            // The index first: by the time its entries are there, so are their batches.
            let index_name = match swaps.iter().any(|swap| swap.base == base) {
                true => cleaned(base, INDEX_SUFFIX),
                false => file_name(base, INDEX_SUFFIX),
            };
            let (index, index_length) = self.open(files, &index_name)?;
            let (log, log_length) = self.open(files, &file_name(base, LOG_SUFFIX))?;
            let log_missing = log.is_none();
            segments.push(SegmentFiles {
                base,
                next,
                log: log.unwrap_or_else(|| Arc::new(Nothing)),
                log_missing,
                log_length,
                index,
                index_length,
                durable,
            });
        }
        Ok((segments, left_over))
    }

    fn open(&self, files: &dyn Files, name: &str) -> Result<(Option<Arc<dyn File>>, u64)> {
        let path = self.dir.join(name);
        match files.open_read_only(&path) {
            Ok(file) => {
                let length = file.len().map_err(|e| Error::io("read the length of", &path, e))?;
                Ok((Some(file), length))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok((None, 0)),
            Err(e) => Err(Error::io("open", &path, e)),
        }
    }

    /// All bytes of a small file; `None` if it is not there.
    pub fn read_whole(&self, files: &dyn Files, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.dir.join(name);
        let read = || {
            let file = files.open_read_only(&path)?;
            let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
            file.read_at(0, &mut bytes)?;
            Ok(bytes)
        };
        match read() {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if io::Error::kind(&e) == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &path, e)),
        }
    }
}

/// Stands in for a file that is not there.
#[derive(Debug)]
struct Nothing;

impl File for Nothing {
    fn len(&self) -> io::Result<u64> {
        Ok(0)
    }
    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn read_at(&self, _: u64, _: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
    fn slice(&self, _: u64, _: usize) -> io::Result<bytes::Bytes> {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::NotFound.into())
    }
}
