//! Files that appear when their checkpoint is committed.
//!
//! ```text
//! .<name>.inprogress   being written, or written and flushed and waiting for its checkpoint
//! <name>               committed; renamed from the above
//! name := part-<sink>-<generation>-<subtask>-<number>
//! ```
//!
//! Several sinks, of one job or of several, may write into one folder: `<sink>` is a hash of what tells them apart.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use riverrun_dataflow::{
    Barrier, Batch, Committer, Error, Operator, OperatorContext, OperatorState, Output, Result,
    Snapshot, Timestamp, codec, key_hash,
};

use crate::format::{BatchEncoder, RecordOut};

const SUFFIX: &str = ".inprogress";

fn hidden(name: &str) -> String {
    format!(".{name}{SUFFIX}")
}

/// What the names of a sink's files begin with.
fn prefix_of(sink: &str) -> String {
    format!("part-{:08x}-", key_hash(sink) >> 32)
}

/// The name that a file will have once it is committed, if it is one that waits for that.
fn committed_name<'a>(file: &'a str, prefix: &str) -> Option<&'a str> {
    let name = file.strip_prefix('.')?.strip_suffix(SUFFIX)?;
    name.starts_with(prefix).then_some(name)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn failed(folder: &Path, error: impl std::fmt::Display) -> Error {
    Error::io(format!("writing files into {}", folder.display()), error)
}

/// Writes the values of encoded records, each on a line.
pub(super) struct FileSink<E> {
    folder: PathBuf,
    encoder: E,
    operator: String,
    /// `part-<sink>-`.
    prefix: String,
    /// `part-<sink>-<generation>-<subtask>-`.
    stem: String,
    next_number: u64,
    current: Option<CurrentFile>,
    /// Files of checkpoints that are not known to be committed yet.
    pending: Vec<(u64, String)>,
}

struct CurrentFile {
    name: String,
    writer: BufWriter<File>,
}

impl<E> FileSink<E> {
    /// `sink` tells the sink from all others that may write into the folder.
    pub(super) fn new(folder: PathBuf, sink: &str, encoder: E) -> Self {
        Self {
            folder,
            encoder,
            operator: String::new(),
            prefix: prefix_of(sink),
            stem: String::new(),
            next_number: 0,
            current: None,
            pending: Vec::new(),
        }
    }
}

struct LineWriter<'a>(&'a mut BufWriter<File>, &'a Path);

impl RecordOut for LineWriter<'_> {
    fn push(&mut self, _: Timestamp, _key: Option<&[u8]>, value: Option<&[u8]>) -> Result<()> {
        self.0
            .write_all(value.unwrap_or_default())
            .and_then(|()| self.0.write_all(b"\n"))
            .map_err(|error| failed(self.1, error))
    }
}

impl<E: BatchEncoder> Operator for FileSink<E> {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.stem = format!("{}{}-{}-", self.prefix, context.generation, context.subtask.index);
        let scan = || -> io::Result<u64> {
            fs::create_dir_all(&self.folder)?;
            let mut next = 0;
            // Numbers go on behind those of an earlier try of the same run.
            for entry in fs::read_dir(&self.folder)? {
                let file = entry?.file_name().to_string_lossy().into_owned();
                let name = committed_name(&file, &self.prefix).unwrap_or(&file);
                let number = name.strip_prefix(&self.stem).and_then(|n| n.parse::<u64>().ok());
                next = next.max(number.map_or(0, |number| number + 1));
            }
            Ok(next)
        };
        self.next_number = scan().map_err(|error| failed(&self.folder, error))?;
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Output) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        if self.current.is_none() {
            let name = format!("{}{}", self.stem, self.next_number);
            self.next_number += 1;
            let file = File::create(self.folder.join(hidden(&name)))
                .map_err(|error| failed(&self.folder, error))?;
            let writer = BufWriter::with_capacity(256 << 10, file);
            self.current = Some(CurrentFile { name, writer });
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        let mut out = LineWriter(&mut current.writer, &self.folder);
        self.encoder.encode(&self.operator, batch, &mut out)
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let finished = self.current.take();
        if let Some(file) = &finished {
            self.pending.push((barrier.checkpoint, file.name.clone()));
        }
        let prepared = self
            .pending
            .iter()
            .map(|(_, name)| codec::encode(name).map_err(|e| Error::state(&self.operator, e)))
            .collect::<Result<Vec<_>>>()?;
        let folder = self.folder.clone();
        Ok(Snapshot::Deferred(Box::new(move || {
            if let Some(file) = finished {
                let sync = || -> io::Result<()> {
                    let file = file.writer.into_inner().map_err(|error| error.into_error())?;
                    file.sync_all()?;
                    sync_folder(&folder)
                };
                sync().map_err(|error| failed(&folder, error))?;
            }
            Ok(OperatorState { prepared, ..OperatorState::default() })
        })))
    }

    fn on_checkpoint_complete(&mut self, checkpoint: u64) -> Result<()> {
        self.pending.retain(|(of, _)| *of > checkpoint);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if let Some(file) = self.current.take() {
            // What no checkpoint has prepared will never be committed; the committer would remove it as well.
            let _ = fs::remove_file(self.folder.join(hidden(&file.name)));
        }
        Ok(())
    }
}

/// Gives prepared files their final names.
pub(super) struct FileCommitter {
    folder: PathBuf,
    prefix: String,
}

impl FileCommitter {
    /// `sink` as the sink itself was given it.
    pub(super) fn new(folder: PathBuf, sink: &str) -> Self {
        Self { folder, prefix: prefix_of(sink) }
    }

    fn rename(&self, prepared: &[Vec<u8>]) -> io::Result<()> {
        for token in prepared {
            let name: String = codec::decode(token).map_err(io::Error::other)?;
            let (from, to) = (self.folder.join(hidden(&name)), self.folder.join(&name));
            match fs::rename(&from, &to) {
                Ok(()) => {}
                // Renamed before.
                Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => {}
                // Renamed before, and taken away by whoever the files are for.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    tracing::warn!("{} is gone: it was committed before", to.display());
                }
                Err(error) => return Err(error),
            }
        }
        if prepared.is_empty() { Ok(()) } else { sync_folder(&self.folder) }
    }

    fn remove_leftovers(&self) -> io::Result<()> {
        if !self.folder.exists() {
            return Ok(());
        }
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if committed_name(&entry.file_name().to_string_lossy(), &self.prefix).is_some() {
                fs::remove_file(entry.path())?;
            }
        }
        sync_folder(&self.folder)
    }
}

impl Committer for FileCommitter {
    fn commit(&mut self, prepared: &[Vec<u8>]) -> Result<()> {
        self.rename(prepared).map_err(|error| failed(&self.folder, error))
    }

    fn recover(&mut self, _generation: u64, prepared: &[Vec<u8>]) -> Result<()> {
        self.rename(prepared)
            .and_then(|()| self.remove_leftovers())
            .map_err(|error| failed(&self.folder, error))
    }
}
