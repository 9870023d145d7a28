//! Lines into topics, and the commit.

use std::path::Path;

use riverrun_log_store::{Entry, Error, Producer, ProducerConfig, Store, TopicConfig};
use riverrun_operators::nginx::LineParser;

use super::IngestOptions;
use super::error::IngestError;
use super::flusher::Flusher;
use super::position::{FilePosition, KIND, id_of, key, prefix};
use super::source::{Line, READ_LEN};
use super::tail::Output;

/// Counts of what was committed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    pub(super) lines: u64,
    pub(super) rejected: u64,
    pub(super) bytes: u64,
}

/// Creates the topic and the one for rejected lines, if they are not there.
pub(super) fn create_topics(store: &Store, options: &IngestOptions) -> Result<(), IngestError> {
    create(store, &options.topic, options.partitions)?;
    Ok(create(store, &options.rejected_topic(), 1)?)
}

/// Writes the lines of one log into its topic, in transactions.
pub(super) struct Writer {
    store: Store,
    producer: Producer,
    flusher: Flusher,
    in_transaction: bool,
    parser: LineParser,
    topic: String,
    rejected_topic: String,
    /// The log's path, under which positions are kept.
    log: String,
    longest_line: usize,
    /// Time of the last line that had one: what a line without gets.
    last_time: Option<i64>,
    pending: Done,
    pub(super) done: Done,
}

impl Writer {
    /// Creates the topics if need be, and undoes what an earlier run left uncommitted.
    pub(super) fn open(
        store: &Store,
        options: &IngestOptions,
        log: &Path,
    ) -> Result<Writer, IngestError> {
        let (topic, rejected_topic) = (options.topic.clone(), options.rejected_topic());
        create_topics(store, options)?;
        let largest = store.topic(&topic)?.config.max_message_bytes as usize;
        let log = log_text(log);
        let producer = Producer::new(
            store,
            ProducerConfig {
                compression: options.compression,
                batch_bytes: options.batch_bytes,
                linger: None,
                transactional_id: Some(transactional_id(&topic, &log)),
                ..ProducerConfig::default()
            },
        )?;
        Ok(Writer {
            store: store.clone(),
            producer,
            flusher: Flusher::new(store, &options.topic)?,
            in_transaction: false,
            parser: LineParser::default(),
            topic,
            rejected_topic,
            log,
            // A line (or a piece of one) grows by what is read at once before it is looked at.
            longest_line: largest.saturating_sub(READ_LEN + 4096).clamp(64 << 10, 1 << 20),
            last_time: None,
            pending: Done::default(),
            done: Done::default(),
        })
    }

    /// What is longer is not taken for a line.
    pub(super) fn longest_line(&self) -> usize {
        self.longest_line
    }

    /// What earlier runs committed about the files of this log.
    pub(super) fn positions(&self) -> Result<Vec<FilePosition>, IngestError> {
        let mut positions = positions(&self.store, &self.topic, &self.log)?;
        self.forget_oldest(&mut positions)?;
        Ok(positions)
    }

    /// Drops positions of files that are long gone.
    fn forget_oldest(&self, positions: &mut Vec<FilePosition>) -> Result<(), IngestError> {
        while positions.len() > REMEMBERED_FILES {
            let oldest = positions.remove(0);
            self.store.metadata().delete(KIND, &key(&self.topic, &self.log, oldest.id))?;
        }
        Ok(())
    }

    #[cold]
    fn reject(&mut self, line: Line<'_>, file: &str, reason: &str) -> Result<(), Error> {
        self.pending.rejected += 1;
        let position = line.offset.to_string();
        let headers = [
            ("reason", reason.as_bytes()),
            ("file", file.as_bytes()),
            ("position", position.as_bytes()),
        ];
        self.producer.send(
            &self.rejected_topic,
            None,
            self.last_time,
            None,
            Some(line.bytes),
            &headers,
        )
    }
}

/// How many files of a log are remembered: a log that is rotated every hour has so many in six weeks.
const REMEMBERED_FILES: usize = 1000;

impl Output for Writer {
    #[inline]
    fn write(&mut self, line: Line<'_>, file: &str) -> Result<(), IngestError> {
        if !self.in_transaction {
            self.producer.begin_transaction()?;
            self.in_transaction = true;
        }
        self.pending.bytes += line.bytes.len() as u64 + 1;
        self.flusher.wrote(line.bytes.len());
        if line.piece {
            let reason = format!("a piece of a line of more than {} bytes", self.longest_line);
            return Ok(self.reject(line, file, &reason)?);
        }
        match self.parser.parse_host_and_time(line.bytes) {
            Ok((host, time_ms)) => {
                self.pending.lines += 1;
                self.last_time = Some(time_ms);
                let time = Some(time_ms);
                self.producer.send(&self.topic, None, time, Some(host), Some(line.bytes), &[])?;
            }
            Err(error) => self.reject(line, file, &error.to_string())?,
        }
        Ok(())
    }

    fn commit(&mut self, position: &FilePosition) -> Result<(), IngestError> {
        let key = key(&self.topic, &self.log, position.id);
        let entry = Entry::put(KIND, &key, position.encode());
        if self.in_transaction {
            self.producer.commit_transaction_with(&[entry])?;
            self.in_transaction = false;
        } else {
            self.store.metadata().put_all(&[entry])?;
        }
        self.flusher.committed();
        let pending = std::mem::take(&mut self.pending);
        self.done.lines += pending.lines;
        self.done.rejected += pending.rejected;
        self.done.bytes += pending.bytes;
        Ok(())
    }

    fn abort(&mut self) -> Result<(), IngestError> {
        self.pending = Done::default();
        if std::mem::take(&mut self.in_transaction) {
            self.producer.abort_transaction()?;
        }
        Ok(())
    }
}

/// What was committed about the files of a log, oldest first.
pub(super) fn positions(
    store: &Store,
    topic: &str,
    log: &str,
) -> Result<Vec<FilePosition>, IngestError> {
    let prefix = prefix(topic, log);
    let mut positions = Vec::new();
    for (key, value) in store.metadata().scan(KIND) {
        if let Some(id) = id_of(&key, &prefix) {
            positions.push(FilePosition::decode(id, &value)?);
        }
    }
    positions.sort_by_key(|position| position.id);
    Ok(positions)
}

/// A log's path as a part of keys.
pub(super) fn log_text(log: &Path) -> String {
    match log.to_str() {
        Some(log) => log.to_owned(),
        None => log.as_os_str().as_encoded_bytes().escape_ascii().to_string(),
    }
}

fn create(store: &Store, topic: &str, partitions: u32) -> Result<(), Error> {
    let config = TopicConfig { partitions, ..TopicConfig::default() };
    match store.create_topic(topic, config) {
        Err(Error::TopicExists { .. }) => Ok(()),
        result => result,
    }
}

/// One for each topic and log: so that a second ingestion of the same log takes over from the first, and others are left alone.
fn transactional_id(topic: &str, log: &str) -> String {
    format!("ingest {topic} {log}")
}
