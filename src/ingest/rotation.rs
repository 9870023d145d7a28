//! Which files a log consists of, and which of them are the ones that were read before.
//!
//! A log `access.log` is rotated to `access.log.1`, then `access.log.2`, or `.2.gz`; or to `access.log-20260131` and
//! so on. Either the file is renamed and a new one takes its place (it keeps its inode), or it is copied and then
//! truncated (the copy keeps its first bytes). [`assign`] finds each file again by either.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use super::position::FilePosition;

/// A file that is there.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Its size in (decompressed) bytes; modulo 2^32 if it is compressed.
    pub(super) length: u64,
    pub(super) compressed: bool,
    /// Its first bytes, decompressed.
    pub(super) head: Vec<u8>,
    /// Whether its name is one that rotation gives, or the log's own: only then may it be a new part of the log.
    pub(super) regular: bool,
}

impl Candidate {
    fn may_be(&self, known: &FilePosition, by_inode: bool) -> bool {
        let same = (self.device, self.inode) == (known.device, known.inode);
        let long_enough = self.compressed || self.length >= known.offset;
        let recognised = if by_inode { same } else { known.head_length > 0 };
        recognised && long_enough && known.begins_like(&self.head)
    }
}

/// Which files to read, oldest first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Assignment {
    /// Files that were known before: index of the position, and of the candidate.
    pub(super) known: Vec<(usize, usize)>,
    /// Files that were not: indexes of candidates.
    pub(super) new: Vec<usize>,
    /// Positions within the log's newest known file, if it is nowhere to be found: what was written to it since is lost.
    pub(super) lost: Option<usize>,
}

/// Decides which candidates (oldest first; the log itself, if there is one, last) are which known files (oldest first).
///
/// What is newer than the newest known file is a new part of the log. If none of the known ones is found, only the log
/// itself is.
pub(super) fn assign(known: &[FilePosition], candidates: &[Candidate]) -> Assignment {
    let mut found: Vec<Option<usize>> = vec![None; known.len()];
    let mut taken = vec![false; candidates.len()];
    // An inode together with a beginning is the surest sign; then beginnings alone, uncompressed files first, since a
    // compressed one beside them is still being written.
    type Pass<'a> = &'a dyn Fn(&Candidate, &FilePosition) -> bool;
    let passes: [Pass<'_>; 3] = [
        &|candidate, known| candidate.may_be(known, true),
        &|candidate, known| !candidate.compressed && candidate.may_be(known, false),
        &|candidate, known| candidate.may_be(known, false),
    ];
    let mut find = |found: &mut [Option<usize>], started: bool| {
        for matches in passes {
            for (position, found) in known.iter().zip(&mut *found).rev() {
                if found.is_none() && (position.offset > 0) == started {
                    *found = (0..candidates.len())
                        .rev()
                        .find(|&at| !taken[at] && matches(&candidates[at], position));
                    if let Some(at) = *found {
                        taken[at] = true;
                    }
                }
            }
        }
        (0..known.len()).filter(|&at| !known[at].by_name).filter_map(|at| found[at]).max()
    };
    // A file of which nothing was read has only its inode, which says little: it may have been filled, copied and
    // truncated since. So it counts only if there is nothing better, and else is found once more, as new.
    let anchor = find(&mut found, true).or_else(|| find(&mut found, false));
    let first_new = match anchor {
        Some(anchor) => anchor + 1,
        None => candidates.len().saturating_sub(1),
    };
    let newest = (0..known.len()).rfind(|&at| !known[at].by_name);
    Assignment {
        known: found.iter().enumerate().filter_map(|(at, found)| Some((at, (*found)?))).collect(),
        new: (first_new..candidates.len())
            .filter(|&at| !taken[at] && candidates[at].regular)
            .collect(),
        lost: newest.filter(|&at| found[at].is_none() && known[at].offset > 0),
    }
}

/// What a rotated file's name has after the log's.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Suffix {
    /// `-20260131`, `.2026-01-31T00`: later is newer.
    Date(String),
    /// `.1`, `.2`: higher is older.
    Number(u32),
}

impl Suffix {
    fn parse(rest: &str) -> Option<Suffix> {
        let rest = rest.strip_suffix(".gz").unwrap_or(rest);
        let digits = rest.strip_prefix(['.', '-', '_'])?;
        if let (true, Ok(number)) = (digits.len() <= 5, digits.parse()) {
            return Some(Suffix::Number(number));
        }
        let date = digits.starts_with(|first: char| first.is_ascii_digit())
            && digits.chars().all(|c| c.is_ascii_digit() || "-_.:T".contains(c))
            && digits.chars().filter(char::is_ascii_digit).count() >= 6;
        date.then(|| Suffix::Date(digits.to_owned()))
    }

    /// Oldest first.
    fn order(&self, other: &Suffix) -> Ordering {
        match (self, other) {
            (Suffix::Number(a), Suffix::Number(b)) => b.cmp(a),
            (Suffix::Date(a), Suffix::Date(b)) => a.cmp(b),
            (Suffix::Date(_), Suffix::Number(_)) => Ordering::Less,
            (Suffix::Number(_), Suffix::Date(_)) => Ordering::Greater,
        }
    }
}

/// The log that a file of this name belongs to: `access.log.2.gz` belongs to `access.log`.
pub(super) fn log_name(name: &str) -> &str {
    // The shortest name whose rest is a rotated file's suffix, so that `-2026-01-31` is taken off as a whole.
    (1..name.len())
        .filter(|&at| name.is_char_boundary(at))
        .find(|&at| Suffix::parse(&name[at..]).is_some())
        .map_or(name.strip_suffix(".gz").unwrap_or(name), |at| &name[..at])
}

/// Of the `names` in a folder, those that may be rotated files of the log `log`, oldest first, each with whether it is one
/// that rotation gives.
pub(super) fn rotated<'a>(log: &str, names: &'a [String]) -> Vec<(&'a str, bool)> {
    let mut rotated: Vec<(&str, Option<Suffix>)> = names
        .iter()
        .filter_map(|name| {
            let rest = name.strip_prefix(log).filter(|rest| !rest.is_empty())?;
            Some((name.as_str(), Suffix::parse(rest)))
        })
        .collect();
    rotated.sort_by(|(a_name, a), (b_name, b)| {
        let order = match (a, b) {
            (Some(a), Some(b)) => a.order(b),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        // Of a file and its compressed form, the compressed one comes first: it is seen as the older.
        order.then_with(|| b_name.cmp(a_name))
    });
    rotated.into_iter().map(|(name, suffix)| (name, suffix.is_some())).collect()
}

/// Whether a file of this name is compressed.
pub(super) fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "gz")
}

#[cfg(test)]
#[path = "rotation_tests.rs"]
mod tests;
