//! One file, read line by line from a position.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use memchr::{memchr_iter, memrchr};

use super::error::IngestError;
use super::position::{FilePosition, HEAD_LEN};
use super::rotation::{Candidate, is_compressed};

/// How much is read at once: small enough that the lines are still in the processor's cache when they are parsed.
pub(super) const READ_LEN: usize = 256 << 10;

/// Looks at a file: what it is and how it begins. `None` if there is none.
pub(super) fn inspect(path: &Path, regular: bool) -> Result<Option<Candidate>, IngestError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(IngestError::file("open", path, error)),
    };
    let metadata = file.metadata().map_err(|error| IngestError::file("examine", path, error))?;
    if !metadata.is_file() {
        return Err(IngestError::NotAFile { path: path.to_owned() });
    }
    let compressed = is_compressed(path);
    let (head, length) = if compressed {
        // One that gzip is still writing has hardly a beginning; it is not an error that it ends early.
        let mut head = vec![0; HEAD_LEN];
        let mut filled = 0;
        let mut decoder = MultiGzDecoder::new(BufReader::new(&file));
        while let Ok(read @ 1..) = decoder.read(&mut head[filled..]) {
            filled += read;
        }
        head.truncate(filled);
        (head, compressed_length(&file, metadata.len()).unwrap_or(0))
    } else {
        let head = head(&file, HEAD_LEN).map_err(|error| IngestError::file("read", path, error))?;
        (head, metadata.len())
    };
    Ok(Some(Candidate {
        path: path.to_owned(),
        device: metadata.dev(),
        inode: metadata.ino(),
        length,
        compressed,
        head,
        regular,
    }))
}

/// The first bytes of a file, at most `length` of them.
fn head(file: &File, length: usize) -> io::Result<Vec<u8>> {
    let mut head = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut head[filled..], filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    head.truncate(filled);
    Ok(head)
}

/// The length, modulo 2^32, that the end of a gzip file gives.
fn compressed_length(file: &File, length: u64) -> Option<u64> {
    let mut trailer = [0; 4];
    file.read_exact_at(&mut trailer, length.checked_sub(4)?).ok()?;
    Some(u64::from(u32::from_le_bytes(trailer)))
}

/// What happened to a file while it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is the file it was, and may have grown.
    Same,
    /// It was truncated, or even written anew.
    Truncated,
}

/// A file that is open for reading.
pub(super) struct Source {
    pub(super) path: PathBuf,
    /// What is read and consumed; committed from time to time.
    pub(super) position: FilePosition,
    input: Input,
    /// The file's first bytes, as far as they are known to belong to `position`.
    head: Vec<u8>,
    /// Bytes read; `buffer[start..end]` are not consumed yet and begin at `position.offset`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

enum Input {
    Plain(File),
    Compressed(Box<MultiGzDecoder<BufReader<File>>>),
}

impl Source {
    /// Opens the candidate at the position.
    pub(super) fn open(
        candidate: &Candidate,
        mut position: FilePosition,
    ) -> Result<Source, IngestError> {
        let path = candidate.path.clone();
        let failed = |action| move |error| IngestError::file(action, &candidate.path, error);
        let file = File::open(&path).map_err(failed("open"))?;
        position.name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (position.device, position.inode) = (candidate.device, candidate.inode);
        let input = if candidate.compressed {
            let mut decoder = MultiGzDecoder::new(BufReader::with_capacity(64 << 10, file));
            let skipped = io::copy(&mut (&mut decoder).take(position.offset), &mut io::sink())
                .map_err(failed("decompress"))?;
            if skipped < position.offset {
                let error =
                    io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than it was");
                return Err(failed("decompress")(error));
            }
            Input::Compressed(Box::new(decoder))
        } else {
            Input::Plain(file)
        };
        let mut head = candidate.head.clone();
        head.truncate(position.offset.min(HEAD_LEN as u64) as usize);
        Ok(Source { path, position, input, head, buffer: Vec::new(), start: 0, end: 0 })
    }

    /// Whether the file cannot grow.
    pub(super) fn is_compressed(&self) -> bool {
        matches!(self.input, Input::Compressed(_))
    }

    /// Reads on, and hands each whole line (without its newline) to `take`, with its position. Returns how many bytes
    /// were read: 0 at the end of what is there.
    ///
    /// A line longer than `longest` is handed over in pieces, each marked as such.
    pub(super) fn read_lines<E: From<IngestError>>(
        &mut self,
        longest: usize,
        mut take: impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let read = self.fill().map_err(|error| {
            let action = if self.is_compressed() { "decompress" } else { "read" };
            IngestError::file(action, &self.path, error)
        })?;
        if read == 0 {
            return Ok(0);
        }
        let fresh = &self.buffer[self.start..self.end];
        // What was there before has no newline.
        let fresh_start = fresh.len() - read;
        let whole = match memrchr(b'\n', &fresh[fresh_start..]) {
            Some(at) => fresh_start + at + 1,
            None => 0,
        };
        let mut line_start = 0;
        let mut piece = self.position.within_line;
        for end in memchr_iter(b'\n', &fresh[fresh_start..whole.max(fresh_start)]) {
            let end = fresh_start + end;
            let offset = self.position.offset + line_start as u64;
            take(Line { bytes: &fresh[line_start..end], offset, piece })?;
            piece = false;
            line_start = end + 1;
        }
        self.start += line_start;
        self.position.offset += line_start as u64;
        self.position.within_line = piece;
        if self.end - self.start > longest {
            self.take_rest(true, &mut take)?;
        }
        self.position.note_head(&self.head);
        Ok(read)
    }

    /// Hands over what is left behind the last newline, if the file will not grow any more.
    pub(super) fn finish<E>(
        &mut self,
        mut take: impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.has_rest() {
            self.take_rest(false, &mut take)?;
            self.position.note_head(&self.head);
        }
        Ok(())
    }

    fn take_rest<E>(
        &mut self,
        goes_on: bool,
        take: &mut impl FnMut(Line<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let bytes = &self.buffer[self.start..self.end];
        let piece = goes_on || self.position.within_line;
        take(Line { bytes, offset: self.position.offset, piece })?;
        self.position.offset += bytes.len() as u64;
        self.position.within_line = goes_on;
        self.start = self.end;
        Ok(())
    }

    /// Whether there is something behind the last newline.
    pub(super) fn has_rest(&self) -> bool {
        self.start < self.end
    }

    /// Reads the next bytes into the buffer.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        if self.buffer.len() < self.end + READ_LEN {
            self.buffer.resize(self.end + READ_LEN, 0);
        }
        let next = self.position.offset + self.end as u64;
        let room = &mut self.buffer[self.end..self.end + READ_LEN];
        let read = loop {
            let result = match &mut self.input {
                Input::Plain(file) => file.read_at(room, next),
                Input::Compressed(decoder) => decoder.read(room),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        if self.head.len() < HEAD_LEN && next == self.head.len() as u64 {
            let wanted = (HEAD_LEN - self.head.len()).min(read);
            self.head.extend_from_slice(&room[..wanted]);
        }
        self.end += read;
        Ok(read)
    }

    /// Whether the file is still the one whose beginning was read.
    pub(super) fn fate(&self) -> Result<Fate, IngestError> {
        let Input::Plain(file) = &self.input else { return Ok(Fate::Same) };
        let failed = |error| IngestError::file("read", &self.path, error);
        let end = self.position.offset + (self.end - self.start) as u64;
        let length = file.metadata().map_err(failed)?.len();
        let begins = head(file, self.head.len()).map_err(failed)?;
        Ok(if length >= end && begins == self.head { Fate::Same } else { Fate::Truncated })
    }

    /// Whether `path` is this file (and not one that took its name).
    pub(super) fn is_at(&self, path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| {
            (found.dev(), found.ino()) == (self.position.device, self.position.inode)
        })
    }
}

/// A line of a file, or a piece of one that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// Without the newline.
    pub(super) bytes: &'a [u8],
    /// Where it begins, in (decompressed) bytes from the start of the file.
    pub(super) offset: u64,
    /// Whether it is only a piece of a line.
    pub(super) piece: bool,
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
