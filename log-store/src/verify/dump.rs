//! Dump: what is in segments, batch by batch, and behind damage as well.

use std::io;
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;

use super::folder::{Folder, partitions};
use super::survey::{SegmentFiles, Stretch};
use super::{Selection, gap};
use crate::batch::{Batch, BatchHeader, HEADER_LEN, is_hole};
use crate::environment::{Environment, File};
use crate::error::{Error, Result};
use crate::index::{INDEX_ENTRY_LEN, IndexEntry, entries_in, entry_position};
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, file_name};

/// What to show besides batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DumpOptions {
    /// Begin with the batch that holds this offset, or the first after it.
    pub from_offset: i64,
    /// Show the index of each segment, too.
    pub index: bool,
}

/// One thing in a partition.
#[derive(Debug)]
pub enum DumpItem<'a> {
    /// A segment begins.
    Segment {
        /// The topic.
        topic: &'a str,
        /// The partition.
        partition: u32,
        /// The segment's file name.
        name: &'a str,
        /// Its length in bytes.
        length: u64,
    },
    /// A whole batch.
    Batch(DumpedBatch<'a>),
    /// Bytes that are not what was written; it goes on behind them.
    Damage {
        /// Byte position in the segment.
        position: u64,
        /// How many bytes.
        length: u64,
        /// The offsets that should be there.
        offsets: Range<i64>,
        /// The header that is there, if it can be taken for one.
        header: Option<BatchHeader>,
        /// What is wrong.
        what: &'a str,
    },
    /// Bytes at the end that nobody was told are durable.
    Tail {
        /// Byte position in the segment.
        position: u64,
        /// How many bytes.
        length: u64,
        /// What is wrong.
        what: &'a str,
    },
    /// An entry of the segment's index.
    Index {
        /// Byte position in the index file.
        position: u64,
        /// The entry; `None` if it is damaged.
        entry: Option<IndexEntry>,
    },
}

/// A whole batch in a segment.
#[derive(Debug)]
pub struct DumpedBatch<'a> {
    /// The header.
    pub header: BatchHeader,
    /// Position, length, and the checksum over all of it.
    pub entry: IndexEntry,
    /// Whether it stands where a repair gave up what was there.
    pub gap: bool,
    /// Whether it stands where compaction removed what was there.
    pub hole: bool,
    log: &'a dyn File,
    path: &'a Path,
}

impl DumpedBatch<'_> {
    /// Reads all of the batch.
    ///
    /// # Errors
    /// An operating system error; or what [`Batch::parse`] says, if the file has changed meanwhile.
    pub fn read(&self) -> Result<Batch> {
        let mut bytes = vec![0; self.entry.length as usize];
        let read = self.log.read_at(self.entry.position, &mut bytes);
        read.map_err(|e| Error::io("read", self.path, e))?;
        Batch::parse(Bytes::from(bytes))
    }
}

/// Shows what is in partitions to `visit`, in order.
///
/// # Errors
/// `visit`'s; `UnknownTopic`, `UnknownPartition`, operating system errors. Damage is no error, but an
/// item.
pub fn dump<E: From<Error>>(
    environment: &Environment,
    data_dir: &Path,
    selection: &Selection,
    options: DumpOptions,
    mut visit: impl FnMut(DumpItem<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let files = &*environment.files;
    for folder in partitions(files, data_dir, selection)? {
        for segment in folder.look(files)?.segments {
            let before = segment.next.is_some_and(|next| next <= options.from_offset);
            if before || segment.log_missing {
                continue;
            }
            dump_segment(&folder, &segment, options, &mut visit)?;
        }
    }
    Ok(())
}

fn dump_segment<E: From<Error>>(
    folder: &Folder,
    segment: &SegmentFiles,
    options: DumpOptions,
    visit: &mut impl FnMut(DumpItem<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let name = file_name(segment.base, LOG_SUFFIX);
    let path = folder.dir.join(&name);
    let log = &*segment.log;
    visit(DumpItem::Segment {
        topic: &folder.topic,
        partition: folder.partition,
        name: &name,
        length: segment.log_length,
    })?;
    segment.survey(|stretch| match stretch {
        Stretch::Batch(found) if found.entry.next_offset() <= options.from_offset => Ok(()),
        Stretch::Batch(found) => visit(DumpItem::Batch(DumpedBatch {
            header: found.header,
            entry: found.entry,
            gap: gap::is_gap(&found.header),
            hole: is_hole(&found.header),
            log,
            path: &path,
        })),
        Stretch::Damage(damage) => {
            let mut front = [0; HEADER_LEN];
            let read = log.read_at(damage.position, &mut front);
            visit(DumpItem::Damage {
                position: damage.position,
                length: damage.length,
                offsets: damage.offsets,
                header: read.ok().and_then(|()| BatchHeader::parse(&front).ok()),
                what: &damage.what,
            })
        }
        Stretch::Tail { position, what, .. } => {
            visit(DumpItem::Tail { position, length: segment.log_length - position, what: &what })
        }
    })?;
    if options.index { dump_index(folder, segment, visit) } else { Ok(()) }
}

fn dump_index<E: From<Error>>(
    folder: &Folder,
    segment: &SegmentFiles,
    visit: &mut impl FnMut(DumpItem<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let Some(index) = &segment.index else { return Ok(()) };
    for ordinal in 0..entries_in(segment.index_length) {
        let position = entry_position(ordinal);
        let mut bytes = [0; INDEX_ENTRY_LEN];
        index.read_at(position, &mut bytes).map_err(|e: io::Error| {
            Error::io("read", &folder.dir.join(file_name(segment.base, INDEX_SUFFIX)), e)
        })?;
        visit(DumpItem::Index { position, entry: IndexEntry::decode(&bytes) })?;
    }
    Ok(())
}
