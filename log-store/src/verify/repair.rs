//! Repair: does what [`plan`] has said, under the directory's lock.
//!
//! The order is such that an interrupted repair can be run again: damaged files are copied aside, then the
//! damaged bytes are overwritten where they are (nothing else moves, so that the recovery point
//! and the entries of other batches stay right), then the index is replaced as a whole.
//! In the end the partition is opened once, which makes everything else anew, and checked again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use super::check::{Action, Issue, check, offsets};
use super::folder::{Folder, partitions};
use super::survey::{Damage, Mend, SegmentFiles, Stretch};
use super::{Finding, Selection, Verification, checksum, gap};
use crate::aborted::encode_segment;
use crate::compaction::{self, CLEANED_SUFFIX};
use crate::environment::{Environment, Files, LockAttempt, LockGuard};
use crate::error::{Error, Result};
use crate::index::{IndexEntry, encode_header};
use crate::partition::{self, Place, TXNINDEX_SUFFIX, write_whole};
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, file_name};
use crate::store::LOCK_FILE;
use crate::topic::TopicConfig;

/// The folder in the data directory where damaged files are kept.
const DAMAGED_DIR: &str = "damaged";

/// One thing that a repair does, or would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// What is wrong, and where.
    pub finding: Finding,
    /// What is done about it; `None` if a program can do nothing.
    pub action: Option<String>,
    /// Offsets whose records are given up; empty if there are none.
    pub lost: Range<i64>,
}

/// What a repair has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was wrong, and what was done about it.
    pub repairs: Vec<Repair>,
    /// The files as they were before, for whatever may still be got out of them.
    pub kept: Vec<PathBuf>,
    /// What is damaged still.
    pub remaining: Vec<Finding>,
}

/// Says what [`repair`] would do. Only reads.
///
/// # Errors
/// As [`verify`](super::verify()).
pub fn plan(
    environment: &Environment,
    data_dir: &Path,
    selection: &Selection,
) -> Result<Vec<Repair>> {
    let files = &*environment.files;
    let mut repairs = Vec::new();
    for folder in partitions(files, data_dir, selection)? {
        let issues = check(files, &folder, &mut Verification::default(), &mut |_| {})?;
        repairs.extend(issues.into_iter().map(described));
    }
    Ok(repairs)
}

fn described(issue: Issue) -> Repair {
    let Issue { finding, action } = issue;
    let mut lost = finding.lost.clone();
    let action = match action {
        Action::Impossible => {
            lost = 0..0;
            None
        }
        Action::Open if finding.damage => Some("make it anew by opening the partition".to_owned()),
        Action::Open => Some("open the partition, which deals with it".to_owned()),
        Action::Index(_) => Some("make the index anew from the segment".to_owned()),
        Action::Remove(_) => Some("make it anew from the segments".to_owned()),
        Action::Create(_) => Some("create the segment".to_owned()),
        Action::Mend(_, damage) => Some(match damage.mend {
            Mend::Restore(_) => "put the batch's front back as it was".to_owned(),
            Mend::Cut => "cut the bytes off".to_owned(),
            Mend::Fill | Mend::None => format!("give up {}, and leave a gap there", offsets(&lost)),
        }),
    };
    Repair { finding, action, lost }
}

/// Repairs partitions; what is whole is not touched.
///
/// # Errors
/// `Locked` while a process has the store open; `UnknownTopic`, `UnknownPartition`; `DiskFull` and other
/// operating system errors, after which the repair can be run again.
pub fn repair(
    environment: &Environment,
    data_dir: &Path,
    selection: &Selection,
) -> Result<Repaired> {
    let files = &*environment.files;
    // Before the lock's file is made: there may be no store at all.
    let folders = partitions(files, data_dir, selection)?;
    let lock_path = data_dir.join(LOCK_FILE);
    let lock: Arc<dyn LockGuard> =
        match files.lock(&lock_path).map_err(|e| Error::io("lock", &lock_path, e))? {
            LockAttempt::Held(guard) => Arc::from(guard),
            LockAttempt::Taken(pid) => {
                return Err(Error::Locked { dir: data_dir.to_path_buf(), pid });
            }
        };
    let mut repaired = Repaired::default();
    for folder in &folders {
        finish_compaction(files, folder)?;
        let issues = check(files, folder, &mut Verification::default(), &mut |_| {})?;
        if issues.is_empty() {
            continue;
        }
        let work = Work { environment, data_dir, folder, lock: &lock };
        let result = work.run(&issues, &mut repaired.kept);
        repaired.repairs.extend(issues.into_iter().map(described));
        // What stands in the way of opening the partition is found again, below.
        match result {
            Err(Error::Damaged { .. } | Error::DamagedFile { .. }) | Ok(()) => {}
            Err(error) => return Err(error),
        }
        let left = check(files, folder, &mut Verification::default(), &mut |_| {})?;
        let left = left.into_iter().map(|issue| issue.finding).filter(|finding| finding.damage);
        repaired.remaining.extend(left);
    }
    Ok(repaired)
}

/// What an interrupted compaction has left is dealt with as an open would, so that the segments are those that
/// [`plan`] has seen.
fn finish_compaction(files: &dyn Files, folder: &Folder) -> Result<()> {
    let dir = &folder.dir;
    if !folder.names(files)?.iter().any(|name| name.ends_with(CLEANED_SUFFIX)) {
        return Ok(());
    }
    files.sync_dir(dir).map_err(|e| Error::io("sync folder", dir, e))?;
    match compaction::recover(files, dir) {
        // It is found again, and told, when the partition is opened.
        Err(Error::DamagedFile { .. }) => Ok(()),
        other => other,
    }
}

/// One partition being repaired.
struct Work<'a> {
    environment: &'a Environment,
    data_dir: &'a Path,
    folder: &'a Folder,
    lock: &'a Arc<dyn LockGuard>,
}

impl Work<'_> {
    fn files(&self) -> &dyn Files {
        &*self.environment.files
    }

    fn path(&self, base: i64, suffix: &str) -> PathBuf {
        self.folder.dir.join(file_name(base, suffix))
    }

    fn run(&self, issues: &[Issue], kept: &mut Vec<PathBuf>) -> Result<()> {
        let mut mends: BTreeMap<i64, Vec<&Damage>> = BTreeMap::new();
        let mut indexes = BTreeSet::new();
        let mut rebuilt = false;
        for issue in issues {
            match &issue.action {
                Action::Mend(base, damage) => mends.entry(*base).or_default().push(damage),
                Action::Index(base) => {
                    indexes.insert(*base);
                }
                Action::Create(base) => {
                    indexes.insert(*base);
                    let path = self.path(*base, LOG_SUFFIX);
                    self.files().create(&path).map_err(|e| Error::io("create", &path, e))?;
                    self.sync_dir()?;
                }
                Action::Remove(name) => {
                    rebuilt = true;
                    let path = self.folder.dir.join(name);
                    self.files().remove(&path).map_err(|e| Error::io("remove", &path, e))?;
                }
                Action::Open | Action::Impossible => {}
            }
        }
        for (base, damages) in &mends {
            for suffix in [LOG_SUFFIX, INDEX_SUFFIX] {
                kept.extend(self.keep(&file_name(*base, suffix))?);
            }
            let path = self.path(*base, LOG_SUFFIX);
            self.mend(&path, damages).map_err(|e| Error::io("mend", &path, e))?;
            indexes.insert(*base);
        }
        self.rebuild_indexes(&indexes)?;
        self.sync_dir()?;
        self.open(rebuilt)
    }

    fn sync_dir(&self) -> Result<()> {
        let dir = &self.folder.dir;
        self.files().sync_dir(dir).map_err(|e| Error::io("sync folder", dir, e))
    }

    /// Copies a file to the folder of damaged files; returns the copy's path, if there is such a file.
    fn keep(&self, name: &str) -> Result<Option<PathBuf>> {
        let from = self.folder.dir.join(name);
        let old = match self.files().open_read_only(&from) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| Error::io("open", &from, e))?,
        };
        let partition = format!("{}-{}", self.folder.topic, self.folder.partition);
        let dir = self.data_dir.join(DAMAGED_DIR).join(partition);
        self.files().create_dir(&dir).map_err(|e| Error::io("create folder", &dir, e))?;
        let there = self.files().list(&dir).map_err(|e| Error::io("list", &dir, e))?;
        let free = (0..).map(|n| match n {
            0 => name.to_owned(),
            n => format!("{name}.{n}"),
        });
        let free = free.into_iter().find(|name| !there.contains(name)).unwrap_or_default();
        let to = dir.join(free);
        let copy = || {
            let new = self.files().create(&to)?;
            let length = old.len()?;
            let mut piece = Vec::new();
            let mut done = 0;
            while done < length {
                piece.clear();
                piece.resize(checksum::PIECE.min((length - done) as usize), 0);
                // What cannot be read is kept as zeros.
                let _ = old.read_at(done, &mut piece);
                new.write_at(done, &piece)?;
                done += piece.len() as u64;
            }
            new.sync()?;
            self.files().sync_dir(&dir)
        };
        copy().map_err(|e| Error::io("copy a damaged file to", &to, e))?;
        Ok(Some(to))
    }

    fn mend(&self, path: &Path, damages: &[&Damage]) -> io::Result<()> {
        let log = self.files().open(path)?;
        for damage in damages {
            match &damage.mend {
                Mend::Restore(front) => log.write_at(damage.position, front)?,
                Mend::Cut => log.truncate(damage.position)?,
                Mend::Fill => {
                    let Damage { position, length, offsets, max_timestamp, .. } = damage;
                    let gaps = gap::fill(*position, *length, offsets, *max_timestamp);
                    for gap in gaps.into_iter().flatten() {
                        gap.write(&*log)?;
                    }
                }
                Mend::None => {}
            }
        }
        log.sync()
    }

    /// Makes indexes anew, of segments that are whole.
    fn rebuild_indexes(&self, bases: &BTreeSet<i64>) -> Result<()> {
        let files = self.files();
        let segments = self.folder.look(files)?.segments;
        for segment in segments.into_iter().filter(|segment| bases.contains(&segment.base)) {
            // An entry promises that its batch is durable.
            let path = self.path(segment.base, LOG_SUFFIX);
            let synced = files.open(&path).and_then(|log| log.sync());
            synced.map_err(|e| Error::io("sync", &path, e))?;
            let base = segment.base;
            let Some(entries) = entries(segment) else { continue };
            let mut bytes = encode_header().to_vec();
            bytes.extend(entries.iter().flat_map(IndexEntry::encode));
            write_whole(files, &self.folder.dir, &file_name(base, INDEX_SUFFIX), &bytes)?;
        }
        Ok(())
    }

    /// Opens the partition as the store does, and makes anew what derives from its batches.
    fn open(&self, rebuild_aborted: bool) -> Result<()> {
        let Folder { topic, partition, dir } = self.folder;
        let place = Place {
            topic,
            partition: *partition,
            dir: dir.clone(),
            environment: self.environment,
            lock: Some(self.lock.clone()),
        };
        let open = partition::open(place, TopicConfig::default())?;
        let shared = &open.shared;
        {
            let aborted = shared.aborted.read().unwrap_or_else(PoisonError::into_inner);
            let transactional =
                !aborted.is_empty() || !open.with_states(|states| states.is_empty());
            for segment in shared.segments() {
                let (base, end) = (segment.base_offset(), segment.end().offset);
                if transactional || rebuild_aborted {
                    let bytes = encode_segment(base, end, aborted.ended_in(base, end));
                    write_whole(self.files(), dir, &file_name(base, TXNINDEX_SUFFIX), &bytes)?;
                }
            }
        }
        open.distrust_recovery_point();
        open.close()
    }
}

/// The entries that a segment's index should have; `None` while something in it is damaged.
fn entries(segment: SegmentFiles) -> Option<Vec<IndexEntry>> {
    let mut entries = Vec::new();
    let unaided = SegmentFiles { index: None, index_length: 0, ..segment };
    let surveyed = unaided.survey(|stretch| match stretch {
        Stretch::Batch(found) => {
            entries.push(found.entry);
            Ok(())
        }
        Stretch::Damage(_) => Err(()),
        Stretch::Tail { .. } => Ok(()),
    });
    surveyed.ok().map(|_| entries)
}
