//! How compacted segments take the place of others, so that after a crash at any point either all of the old
//! ones are there or the new one.
//!
//! A segment is three files, and no rename moves three at once. So the new ones are written aside
//! (`.log.cleaned`, `.index.cleaned`, `.txnindex.cleaned`), and their names say how far it has come:
//!
//! ```text
//! 1  all three are written and synced, and so is the folder      .log.cleaned is there:
//!                                                                 it never happened, they are removed
//! 2  .log.cleaned is renamed over the old log, folder synced     .index.cleaned is there without it:
//! 3  the other segments that it replaces are removed, synced      it has happened, and is finished
//! 4  .index.cleaned is renamed, then .txnindex.cleaned, synced
//! ```
//!
//! Step 2 is what counts. From there on an error stops the partition: opening it again finishes the rest.

use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};

use crate::aborted::encode_segment;
use crate::environment::Files;
use crate::error::{Error, Result};
use crate::index::{INDEX_ENTRY_LEN, IndexEntry, entries_in, entry_position};
use crate::partition::{Shared, TXNINDEX_SUFFIX, guard};
use crate::segment::{INDEX_SUFFIX, LOG_SUFFIX, Segment, base_offset_of, file_name};

/// Suffix of files of a compacted segment that are not in their place yet.
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";

/// The name of a file that is not in its place yet.
pub(crate) fn cleaned(base: i64, suffix: &str) -> String {
    file_name(base, suffix) + CLEANED_SUFFIX
}

fn cleaned_base(name: &str, suffix: &str) -> Option<i64> {
    base_offset_of(name.strip_suffix(CLEANED_SUFFIX)?, suffix)
}

fn remove(files: &dyn Files, path: &Path) -> Result<()> {
    match files.remove(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

fn sync_dir(files: &dyn Files, dir: &Path) -> Result<()> {
    files.sync_dir(dir).map_err(|e| Error::io("sync folder", dir, e))
}

/// Removes what was written aside, if there is anything; the log last.
pub(crate) fn discard(files: &dyn Files, dir: &Path, base: i64) -> Result<()> {
    let names = files.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let left = |suffix| names.contains(&cleaned(base, suffix));
    if ![LOG_SUFFIX, INDEX_SUFFIX, TXNINDEX_SUFFIX].into_iter().any(left) {
        return Ok(());
    }
    for suffix in [TXNINDEX_SUFFIX, INDEX_SUFFIX] {
        remove(files, &dir.join(cleaned(base, suffix)))?;
    }
    sync_dir(files, dir)?;
    remove(files, &dir.join(cleaned(base, LOG_SUFFIX)))?;
    sync_dir(files, dir)
}

/// A swap that has happened, as far as it counts, and is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfinished {
    /// Base offset of the new segment.
    pub base: i64,
    /// Its end: segments that begin between the two are replaced by it.
    pub end: i64,
}

/// The swaps in a folder that are to be finished; there is one at most, unless somebody has meddled.
///
/// # Errors
/// `DamagedFile` if it cannot be told which segments are replaced.
pub(crate) fn unfinished(
    files: &dyn Files,
    dir: &Path,
    names: &[String],
) -> Result<Vec<Unfinished>> {
    let mut found = Vec::new();
    for name in names {
        let Some(base) = cleaned_base(name, INDEX_SUFFIX) else { continue };
        if names.contains(&cleaned(base, LOG_SUFFIX)) {
            continue;
        }
        let path = dir.join(name);
        let last = || {
            let index = files.open_read_only(&path)?;
            let Some(last) = entries_in(index.len()?).checked_sub(1) else { return Ok(None) };
            let mut bytes = [0; INDEX_ENTRY_LEN];
            index.read_at(entry_position(last), &mut bytes)?;
            Ok(IndexEntry::decode(&bytes))
        };
        let end =
            last().map_err(|e| Error::io("read", &path, e))?.ok_or_else(|| Error::DamagedFile {
                file: path.display().to_string(),
                what: "its last entry is not what was written, and says which segments were \
                       compacted: restore the folder from a backup"
                    .to_owned(),
            })?;
        found.push(Unfinished { base, end: end.next_offset() });
    }
    Ok(found)
}

/// Finishes or undoes what a crash has interrupted. The folder's names must be durable.
pub(crate) fn recover(files: &dyn Files, dir: &Path) -> Result<()> {
    let names = files.list(dir).map_err(|e| Error::io("list", dir, e))?;
    for name in &names {
        if let Some(base) = cleaned_base(name, LOG_SUFFIX) {
            discard(files, dir, base)?;
        }
    }
    for swap in unfinished(files, dir, &names)? {
        finish(files, dir, swap)?;
    }
    // All but the last rename was done.
    for name in &names {
        let left = cleaned_base(name, TXNINDEX_SUFFIX).filter(|base| {
            ![LOG_SUFFIX, INDEX_SUFFIX].iter().any(|suffix| names.contains(&cleaned(*base, suffix)))
        });
        if let Some(base) = left {
            put_in_place(files, dir, base, TXNINDEX_SUFFIX)?;
            sync_dir(files, dir)?;
        }
    }
    Ok(())
}

fn put_in_place(files: &dyn Files, dir: &Path, base: i64, suffix: &str) -> Result<()> {
    let (from, to) = (dir.join(cleaned(base, suffix)), dir.join(file_name(base, suffix)));
    files.rename(&from, &to).map_err(|e| Error::io("rename", &from, e))
}

/// Steps 3 and 4.
fn finish(files: &dyn Files, dir: &Path, swap: Unfinished) -> Result<()> {
    let names = files.list(dir).map_err(|e| Error::io("list", dir, e))?;
    for suffix in [TXNINDEX_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX] {
        for name in &names {
            let replaced = base_offset_of(name, suffix)
                .is_some_and(|base| swap.base < base && base < swap.end);
            if replaced {
                remove(files, &dir.join(name))?;
            }
        }
    }
    sync_dir(files, dir)?;
    for suffix in [INDEX_SUFFIX, TXNINDEX_SUFFIX] {
        // An earlier attempt may have come further than the folder says in order.
        if files.open_read_only(&dir.join(cleaned(swap.base, suffix))).is_ok() {
            put_in_place(files, dir, swap.base, suffix)?;
        }
    }
    sync_dir(files, dir)
}

/// Puts a compacted segment, written aside, in the place of `old`, which it was made from. `gone` are the
/// offsets of markers that it does not have any more. False if retention has removed one of the
/// old ones meanwhile: then nothing has happened.
///
/// # Errors
/// Those of writing the aborted index, after which nothing has happened either; `PartitionStopped` once
/// it counts.
pub(super) fn swap_in(
    shared: &Shared,
    old: &[Arc<Segment>],
    new: Segment,
    gone: &[i64],
) -> Result<bool> {
    let files = &*shared.environment.files;
    let dir = &shared.dir;
    let (base, end) = (new.base_offset(), new.end().offset);
    let _shape = guard(&shared.reshaping);
    shared.check_running()?;
    let Some(at) = place_of(&shared.segments(), old) else { return Ok(false) };
    let aborted = {
        let aborted = shared.aborted.read().unwrap_or_else(PoisonError::into_inner);
        let mut entries = aborted.ended_in(base, end).to_vec();
        entries.retain(|entry| gone.binary_search(&entry.last_offset).is_err());
        encode_segment(base, end, &entries)
    };
    let path = dir.join(cleaned(base, TXNINDEX_SUFFIX));
    let write = || {
        let file = files.create(&path)?;
        file.write_at(0, &aborted)?;
        file.sync()
    };
    write().map_err(|e| Error::io("write", &path, e))?;
    sync_dir(files, dir)?;

    let swapped = put_in_place(files, dir, base, LOG_SUFFIX)
        .and_then(|()| sync_dir(files, dir))
        .and_then(|()| finish(files, dir, Unfinished { base, end }));
    if let Err(error) = swapped {
        return Err(shared.stop("swap in a compacted segment in", dir, &io::Error::other(error)));
    }
    let mut segments = shared.segments.write().unwrap_or_else(PoisonError::into_inner);
    segments.splice(at..at + old.len(), [Arc::new(new)]);
    drop(segments);
    // Only now: who has found an old segment still needs it, and looks whether the segment is still there.
    let mut aborted = shared.aborted.write().unwrap_or_else(PoisonError::into_inner);
    aborted.forget_markers(gone);
    Ok(true)
}

/// Where `old` stand among the segments.
fn place_of(segments: &[Arc<Segment>], old: &[Arc<Segment>]) -> Option<usize> {
    let first = old.first()?;
    let at = segments.iter().position(|segment| Arc::ptr_eq(segment, first))?;
    let there = segments.get(at..at + old.len())?;
    there.iter().zip(old).all(|(a, b)| Arc::ptr_eq(a, b)).then_some(at)
}
