//! Reads a log through all its files, and goes on as it grows and is rotated.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::IngestError;
use super::position::FilePosition;
use super::rotation::{Candidate, assign, is_compressed, log_name, rotated};
use super::source::{Fate, Line, Source, inspect};

/// Where lines go. Lines between two commits belong together: after [`Output::abort`], or if the process dies, it is as if
/// they had never been written.
pub(super) trait Output {
    /// Writes a line of the file of this name.
    fn write(&mut self, line: Line<'_>, file: &str) -> Result<(), IngestError>;
    /// Commits what was written, together with how far the file was read.
    fn commit(&mut self, position: &FilePosition) -> Result<(), IngestError>;
    /// Undoes what was written since the last commit.
    fn abort(&mut self) -> Result<(), IngestError>;
}

/// What one step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Lines were committed; there may be more.
    Committed,
    /// Nothing new is there.
    Idle,
    /// All is read, and the log is not to be followed.
    Finished,
}

/// How to read a log.
#[derive(Debug, Clone)]
pub(super) struct TailOptions {
    pub(super) file: PathBuf,
    pub(super) follow: bool,
    /// How many bytes to commit at once, at most (not counting what is read at once).
    pub(super) commit_bytes: usize,
    /// What is longer, in bytes, is no line.
    pub(super) longest_line: usize,
    /// How many steps that find nothing new an older file is kept open for: after a rename, nginx writes to it until it
    /// has been told to open its logs again.
    pub(super) patience: u32,
}

/// A log that is being read.
pub(super) struct Tail<O> {
    options: TailOptions,
    pub(super) output: O,
    /// Whether the file was asked for by a name that rotation gave it: then it alone is read.
    by_name: bool,
    /// What is committed, by number.
    known: BTreeMap<u64, FilePosition>,
    /// Open files, oldest first.
    open: Vec<Open>,
    /// The bytes lost and other things that people should be told.
    pub(super) warnings: Vec<String>,
}

struct Open {
    source: Source,
    idle_steps: u32,
}

impl<O: Output> Tail<O> {
    /// Finds the files and their positions. Nothing is read yet.
    ///
    /// `known` are the positions committed for this log, see [`log_path`].
    pub(super) fn open(
        options: TailOptions,
        known: Vec<FilePosition>,
        output: O,
    ) -> Result<Tail<O>, IngestError> {
        let name = file_name(&options.file);
        let by_name = log_name(&name) != name;
        if options.follow && is_compressed(&options.file) {
            return Err(IngestError::FollowCompressed { path: options.file });
        }
        let known = known.into_iter().map(|position| (position.id, position)).collect();
        let mut tail =
            Tail { options, output, by_name, known, open: Vec::new(), warnings: Vec::new() };
        tail.find_files()?;
        if tail.open.is_empty() && !tail.options.follow && !tail.options.file.exists() {
            let error = io::Error::from(io::ErrorKind::NotFound);
            return Err(IngestError::file("open", &tail.options.file, error));
        }
        Ok(tail)
    }

    /// Reads on, commits what was read, and looks for rotation where there is nothing to read.
    pub(super) fn step(&mut self) -> Result<Step, IngestError> {
        loop {
            for at in 0..self.open.len() {
                match self.read(at)? {
                    Reading::Committed => return Ok(Step::Committed),
                    Reading::Nothing => {}
                    Reading::Truncated => {
                        self.open.remove(at);
                        self.find_files()?;
                        // Which files are open, and in which order, is another matter now.
                        return Ok(Step::Committed);
                    }
                }
            }
            if !self.options.follow {
                return Ok(Step::Finished);
            }
            if !self.was_rotated() {
                return self.close_old_files();
            }
            let before = self.open.len();
            self.find_files()?;
            if self.open.len() == before {
                return Ok(Step::Idle);
            }
        }
    }

    /// Reads the lines of one file that are there, up to the size of a commit, and commits them.
    fn read(&mut self, at: usize) -> Result<Reading, IngestError> {
        let Open { source, idle_steps } = &mut self.open[at];
        let name = source.position.name.clone();
        let output = &mut self.output;
        let start = (source.position.offset, source.position.within_line);
        let mut bytes = 0;
        let mut at_end = false;
        while bytes < self.options.commit_bytes && !at_end {
            let read =
                source.read_lines(self.options.longest_line, |line| output.write(line, &name))?;
            bytes += read;
            at_end = read == 0;
        }
        if at_end && !self.options.follow {
            source.finish(|line| output.write(line, &name))?;
        }
        if source.fate()? == Fate::Truncated {
            // Some of the lines may be a mixture of the old and the new file.
            output.abort()?;
            return Ok(Reading::Truncated);
        }
        if bytes > 0 {
            *idle_steps = 0;
        }
        if start == (source.position.offset, source.position.within_line) {
            return Ok(Reading::Nothing);
        }
        output.commit(&source.position)?;
        self.known.insert(source.position.id, source.position.clone());
        Ok(Reading::Committed)
    }

    /// Whether the log's name stands for another file than the newest one that is open.
    fn was_rotated(&self) -> bool {
        let file = &self.options.file;
        match self.open.last() {
            Some(newest) => !newest.source.is_at(file) && file.exists(),
            None => file.exists(),
        }
    }

    /// Closes the files that a newer one has replaced and that have not grown for a while.
    fn close_old_files(&mut self) -> Result<Step, IngestError> {
        let newest = self.open.len().saturating_sub(1);
        let mut step = Step::Idle;
        let mut at = 0;
        for index in 0..self.open.len() {
            let Open { source, idle_steps } = &mut self.open[at];
            *idle_steps = idle_steps.saturating_add(1);
            if index == newest || *idle_steps <= self.options.patience {
                at += 1;
                continue;
            }
            if source.has_rest() {
                let name = source.position.name.clone();
                source.finish(|line| self.output.write(line, &name))?;
                self.output.commit(&source.position)?;
                self.known.insert(source.position.id, source.position.clone());
                step = Step::Committed;
            }
            self.open.remove(at);
        }
        Ok(step)
    }

    /// Looks which files there are, and opens those that have something to read and are not open.
    fn find_files(&mut self) -> Result<(), IngestError> {
        let candidates = self.candidates()?;
        let known: Vec<FilePosition> = self.known.values().cloned().collect();
        let assignment = assign(&known, &candidates);
        let is_open = |open: &[Open], id| open.iter().any(|open| open.source.position.id == id);

        let live = candidates.len().wrapping_sub(1);
        for &(position, candidate) in &assignment.known {
            let (position, candidate_at) = (&known[position], candidate);
            let candidate = &candidates[candidate_at];
            let unread = if candidate.compressed {
                candidate.length != position.offset & u64::from(u32::MAX)
            } else {
                // A file that was just renamed may still grow.
                candidate.length > position.offset || candidate_at + 2 >= live
            };
            if unread && !is_open(&self.open, position.id) {
                self.push(Source::open(candidate, position.clone())?);
            }
        }
        for &candidate in &assignment.new {
            let candidate = &candidates[candidate];
            // One of which nothing was read is found as new, once more.
            let same = |open: &Open| {
                let position = &open.source.position;
                (position.device, position.inode) == (candidate.device, candidate.inode)
            };
            if self.open.iter().any(same) {
                continue;
            }
            let id = self.known.keys().next_back().map_or(0, |newest| newest + 1);
            let position = FilePosition {
                by_name: self.by_name,
                ..FilePosition::new(id, candidate.device, candidate.inode)
            };
            let source = Source::open(candidate, position)?;
            // From here on it is known, so that what follows it is found even if it is renamed before it has a line.
            self.output.commit(&source.position)?;
            self.known.insert(id, source.position.clone());
            self.push(source);
        }
        if let Some(lost) = assignment.lost.map(|at| &known[at]) {
            let was_open = is_open(&self.open, lost.id);
            // A log that is not there at all (yet) will be looked for again.
            if !was_open && !self.by_name && !candidates.is_empty() {
                self.warnings.push(format!(
                    "{} was read up to byte {} and is neither there any more nor among its rotated files: what was \
                     written to it after that, if anything, is lost",
                    self.options.file.with_file_name(&lost.name).display(),
                    lost.offset,
                ));
            }
        }
        Ok(())
    }

    fn push(&mut self, source: Source) {
        let at = self.open.partition_point(|open| open.source.position.id < source.position.id);
        self.open.insert(at, Open { source, idle_steps: 0 });
    }

    /// The files that the log may consist of, oldest first.
    fn candidates(&self) -> Result<Vec<Candidate>, IngestError> {
        let file = &self.options.file;
        let mut candidates = Vec::new();
        // A log that was never read begins with itself, not with its past.
        let begun = !self.known.is_empty();
        if begun && !self.by_name {
            let folder = folder(file);
            let failed = |error| IngestError::file("list", folder, error);
            let names = fs::read_dir(folder)
                .map_err(failed)?
                .map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()))
                .collect::<Result<Vec<String>, io::Error>>()
                .map_err(failed)?;
            for (name, regular) in rotated(&file_name(file), &names) {
                // Other things may have such a name, and one may have been renamed just now.
                if let Ok(Some(candidate)) = inspect(&folder.join(name), regular) {
                    candidates.push(candidate);
                }
            }
        }
        candidates.extend(inspect(file, true)?);
        Ok(candidates)
    }
}

enum Reading {
    Committed,
    Nothing,
    Truncated,
}

fn file_name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// The path under which a log's positions are kept: absolute, and the same for all its rotated files.
pub(super) fn log_path(file: &Path) -> Result<PathBuf, IngestError> {
    let parent = folder(file);
    let parent = parent.canonicalize().map_err(|error| IngestError::file("find", parent, error))?;
    Ok(parent.join(log_name(&file_name(file))))
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
