//! Files that appear when their checkpoint is committed.
//!
//! ```text
//! .<name>.inprogress   being written, or written and flushed and waiting for its checkpoint
//! <name>               committed; renamed from the above
//! name := part-<sink>-<generation>-<subtask>-<number>
//! ```
//!
//! Several sinks, of one job or of several, may write into one folder: `<sink>` is a hash of what tells them apart.
//!
//! Rows may be spread over folders below it by the values of some columns, `dt=2015-07-15/hm=00%3A00`: the encoder gives those columns as
//! the record's key, a JSON object.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use riverrun_dataflow::{
    Barrier, Batch, Committer, Error, Operator, OperatorContext, OperatorState, Output, Result,
    Snapshot, Timestamp, codec, key_hash,
};

use crate::format::folders::NO_VALUE;
use crate::format::{BatchEncoder, RecordOut};

const SUFFIX: &str = ".inprogress";

fn hidden(name: &str) -> String {
    format!(".{name}{SUFFIX}")
}

/// The most files that a sink writes at the same time; one more, and those that there are end.
const MOST_FILES: usize = 100;

/// Where a file is while it waits for its checkpoint: `name` may have folders before it.
fn waiting(folder: &Path, name: &str) -> PathBuf {
    match name.rsplit_once('/') {
        Some((below, name)) => folder.join(below).join(hidden(name)),
        None => folder.join(hidden(name)),
    }
}

/// The folder for a key: `column=value` for each column, with `/` in between, and what a name of a folder should not hold escaped.
fn folder_of(key: &[u8], columns: &[String]) -> Result<String> {
    let values: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(key)
        .map_err(|error| Error::io("naming the folder of a row", error))?;
    let part = |name: &String| {
        let value = match values.get(name) {
            None | Some(serde_json::Value::Null) => NO_VALUE.to_owned(),
            Some(serde_json::Value::String(text)) => escaped(text),
            Some(value) => escaped(&value.to_string()),
        };
        format!("{}={value}/", escaped(name))
    };
    Ok(columns.iter().map(part).collect())
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || "\"#%'*/:=?\\{}[]^".contains(character) {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        } else {
            out.push(character);
        }
    }
    out
}

/// The files of a folder and of those below it that rows are spread over.
pub(super) fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            files.push(entry.path());
        } else if entry.file_name().to_string_lossy().contains('=') {
            files.extend(files_below(&entry.path())?);
        }
    }
    Ok(files)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
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
    /// Columns by which rows are spread over folders.
    spread_by: Vec<String>,
    /// By the key of their rows: empty if rows are not spread.
    current: HashMap<Vec<u8>, CurrentFile>,
    /// Files that ended before their checkpoint, because there were too many.
    ended: Vec<String>,
    /// Files of checkpoints that are not known to be committed yet.
    pending: Vec<(u64, String)>,
}

struct CurrentFile {
    /// With the folders before it.
    name: String,
    writer: BufWriter<File>,
}

impl CurrentFile {
    /// Makes durable what was written.
    fn sync(self, folder: &Path) -> io::Result<String> {
        let file = self.writer.into_inner().map_err(|error| error.into_error())?;
        file.sync_all()?;
        let mut at = waiting(folder, &self.name);
        // The file's entry in its folder, that one's in the folder above, and so on.
        while at.pop() && at.starts_with(folder) {
            sync_folder(&at)?;
        }
        Ok(self.name)
    }
}

impl<E> FileSink<E> {
    /// `sink` tells the sink from all others that may write into the folder.
    pub(super) fn new(folder: PathBuf, sink: &str, spread_by: Vec<String>, encoder: E) -> Self {
        Self {
            folder,
            spread_by,
            encoder,
            operator: String::new(),
            prefix: prefix_of(sink),
            stem: String::new(),
            next_number: 0,
            current: HashMap::new(),
            ended: Vec::new(),
            pending: Vec::new(),
        }
    }
}

/// Writes each record's value into the file for its key.
struct LineWriter<'a> {
    folder: &'a Path,
    stem: &'a str,
    next_number: &'a mut u64,
    spread_by: &'a [String],
    current: &'a mut HashMap<Vec<u8>, CurrentFile>,
    ended: &'a mut Vec<String>,
}

impl LineWriter<'_> {
    /// A new file for rows of this key.
    fn start(&mut self, key: &[u8]) -> Result<()> {
        if self.current.len() >= MOST_FILES {
            for (_, file) in self.current.drain() {
                self.ended
                    .push(file.sync(self.folder).map_err(|error| failed(self.folder, error))?);
            }
        }
        let below =
            if self.spread_by.is_empty() { String::new() } else { folder_of(key, self.spread_by)? };
        let name = format!("{below}{}{}", self.stem, self.next_number);
        *self.next_number += 1;
        let create = || {
            fs::create_dir_all(self.folder.join(&below))?;
            File::create(waiting(self.folder, &name))
        };
        let file = create().map_err(|error| failed(self.folder, error))?;
        let writer = BufWriter::with_capacity(256 << 10, file);
        self.current.insert(key.to_vec(), CurrentFile { name, writer });
        Ok(())
    }
}

impl RecordOut for LineWriter<'_> {
    fn push(&mut self, _: Timestamp, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<()> {
        let key = if self.spread_by.is_empty() { &[] } else { key.unwrap_or_default() };
        if !self.current.contains_key(key) {
            self.start(key)?;
        }
        let Some(file) = self.current.get_mut(key) else { return Ok(()) };
        file.writer
            .write_all(value.unwrap_or_default())
            .and_then(|()| file.writer.write_all(b"\n"))
            .map_err(|error| failed(self.folder, error))
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
            for file in files_below(&self.folder)? {
                let file = file_name(&file);
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
        let mut out = LineWriter {
            folder: &self.folder,
            stem: &self.stem,
            next_number: &mut self.next_number,
            spread_by: &self.spread_by,
            current: &mut self.current,
            ended: &mut self.ended,
        };
        self.encoder.encode(&self.operator, batch, &mut out)
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let finished: Vec<CurrentFile> = self.current.drain().map(|(_, file)| file).collect();
        let names = finished.iter().map(|file| file.name.clone()).chain(self.ended.drain(..));
        self.pending.extend(names.map(|name| (barrier.checkpoint, name)));
        let prepared = self
            .pending
            .iter()
            .map(|(_, name)| codec::encode(name).map_err(|e| Error::state(&self.operator, e)))
            .collect::<Result<Vec<_>>>()?;
        let folder = self.folder.clone();
        Ok(Snapshot::Deferred(Box::new(move || {
            for file in finished {
                file.sync(&folder).map_err(|error| failed(&folder, error))?;
            }
            Ok(OperatorState { prepared, ..OperatorState::default() })
        })))
    }

    fn on_checkpoint_complete(&mut self, checkpoint: u64) -> Result<()> {
        self.pending.retain(|(of, _)| *of > checkpoint);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let names = self.current.drain().map(|(_, file)| file.name).chain(self.ended.drain(..));
        for name in names {
            // What no checkpoint has prepared will never be committed; the committer would remove it as well.
            let _ = fs::remove_file(waiting(&self.folder, &name));
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
            let (from, to) = (waiting(&self.folder, &name), self.folder.join(&name));
            match fs::rename(&from, &to) {
                Ok(()) => to.parent().map_or(Ok(()), sync_folder)?,
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
        for file in files_below(&self.folder)? {
            if committed_name(&file_name(&file), &self.prefix).is_some() {
                fs::remove_file(&file)?;
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
