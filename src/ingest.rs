//! Access logs into topics, exactly once.
//!
//! [`ingest`] reads an nginx access log into a topic, one record a line: key is the client's address, timestamp the line's
//! own time, value the line. How far each file was read is committed in the same transaction as its lines, so whenever the
//! process dies, the next one goes on where the log says.
//!
//! In the order of the data:
//!
//! - `rotation`: which files a log consists of, and which of them were read before.
//! - `source`: one file (plain or compressed), read line by line.
//! - `tail`: all files of a log, as they grow and are rotated; one step reads and commits some megabytes.
//! - `writer`: lines into the topic, or, if they do not parse, into the topic for rejected ones; and the commit.
//! - `flusher`: has the disk write in the meantime.
//! - `position`: what is committed about a file.
//!
//! Files can be told apart only by looking: there is no notification that is there on every file system and comes before
//! the file is gone. So a log that is followed is looked at every 100 ms: one read, which finds nothing, and two
//! questions about the file, some microseconds in all.

mod error;
mod flusher;
mod position;
mod rotation;
mod source;
mod tail;
mod writer;

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use riverrun_log_store::{Compression, Store};

pub use error::IngestError;

use crate::StopSignal;
use tail::{Step, Tail, TailOptions, log_path};
use writer::{Done, Writer};

/// What to read, and where to.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// The log, or a rotated file of it; compressed if its name ends in `.gz`.
    pub file: PathBuf,
    /// The topic; it is created if there is none. Lines that do not parse go to the topic of this name and `.rejected`.
    pub topic: String,
    /// How many partitions the topic gets if it is created.
    pub partitions: u32,
    /// How batches are compressed.
    pub compression: Compression,
    /// Whether to go on when the end is reached, through rotation, until told to stop.
    pub follow: bool,
    /// How many bytes of records make a batch, before compression.
    pub batch_bytes: usize,
    /// How many bytes of the file are committed at once, at most: a tenth of a second's work by default. What is there is
    /// committed in any case before anything is waited for.
    pub commit_bytes: usize,
}

impl IngestOptions {
    /// Reads `file` to its end into `topic`, in 4 partitions with lz4.
    pub fn new(file: impl Into<PathBuf>, topic: impl Into<String>) -> IngestOptions {
        IngestOptions {
            file: file.into(),
            topic: topic.into(),
            partitions: 4,
            compression: Compression::Lz4,
            follow: false,
            batch_bytes: 512 << 10,
            commit_bytes: 32 << 20,
        }
    }

    /// The topic for lines that do not parse.
    pub fn rejected_topic(&self) -> String {
        format!("{}.rejected", self.topic)
    }
}

/// What was done so far, or in all; of this run only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngestReport {
    /// Lines that became records of the topic.
    pub lines: u64,
    /// Lines that did not parse and went to the topic for rejected ones.
    pub rejected: u64,
    /// What both had in bytes, newlines included.
    pub bytes: u64,
    /// What people should know, such as that a part of the log was gone before it was read.
    pub warnings: Vec<String>,
}

impl IngestReport {
    fn add(&mut self, done: Done) {
        self.lines += done.lines;
        self.rejected += done.rejected;
        self.bytes += done.bytes;
    }
}

/// Reads a log into a topic: to its end, or, if the log is followed, until `stop` is raised.
///
/// Everything that is reported is committed, durably. Raising `stop` ends a run after the commit that is under way. When the
/// disk is full, a log that is followed waits for room; else that is an error.
///
/// # Errors
/// [`IngestError`]; what was committed before stays committed.
pub fn ingest(
    store: &Store,
    options: &IngestOptions,
    stop: &StopSignal,
) -> Result<IngestReport, IngestError> {
    ingest_with_progress(store, options, stop, &mut |_| {})
}

/// Creates the topics that [`ingest`] writes, if they are not there: for whoever reads them before it has begun.
///
/// # Errors
/// Those of [`ingest`].
pub fn create_topics(store: &Store, options: &IngestOptions) -> Result<(), IngestError> {
    writer::create_topics(store, options)
}

/// [`ingest`] that calls `progress` after every commit, several times a second.
///
/// # Errors
/// Those of [`ingest`].
pub fn ingest_with_progress(
    store: &Store,
    options: &IngestOptions,
    stop: &StopSignal,
    progress: &mut dyn FnMut(&IngestReport),
) -> Result<IngestReport, IngestError> {
    let mut tail = open(store, options)?;
    let waiting = thread::current();
    stop.on_raise(move || waiting.unpark());
    let mut report = IngestReport::default();
    while !stop.is_raised() {
        let step = tail.step();
        report.add(std::mem::take(&mut tail.output.done));
        for warning in tail.warnings.drain(..) {
            tracing::warn!("{warning}");
            report.warnings.push(warning);
        }
        match step {
            Ok(Step::Committed) => progress(&report),
            Ok(Step::Idle) => thread::park_timeout(LOOK_EVERY),
            Ok(Step::Finished) => break,
            Err(error) if options.follow && error.may_pass() => {
                tracing::warn!("{error}; trying again");
                // What was not committed is read once more.
                tail = loop {
                    thread::park_timeout(TRY_AGAIN_EVERY);
                    if stop.is_raised() {
                        return Ok(report);
                    }
                    match open(store, options) {
                        Ok(tail) => break tail,
                        Err(error) if error.may_pass() => {}
                        Err(error) => return Err(error),
                    }
                };
            }
            Err(error) => return Err(error),
        }
    }
    Ok(report)
}

/// How long to wait for a log that has nothing new.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long to wait for a disk that is full.
const TRY_AGAIN_EVERY: Duration = Duration::from_secs(1);

/// How many looks without anything new a renamed file is kept open for: five seconds.
const PATIENCE: u32 = 50;

fn open(store: &Store, options: &IngestOptions) -> Result<Tail<Writer>, IngestError> {
    let log = log_path(&options.file)?;
    // The writer first: by announcing itself it undoes what a predecessor had not committed.
    let writer = Writer::open(store, options, &log)?;
    let known = writer.positions()?;
    let tail = TailOptions {
        file: options.file.clone(),
        follow: options.follow,
        commit_bytes: options.commit_bytes,
        longest_line: writer.longest_line(),
        patience: PATIENCE,
    };
    Tail::open(tail, known, writer)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
