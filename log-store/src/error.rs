//! The crate's one error type.
//!
//! A message names the thing, the place and the remedy. Callers branch on the variant; what they
//! can do about each is in [`Error::kind`].

use std::io;
use std::path::{Path, PathBuf};

use crate::producer_state::Rejection;

/// The result of everything in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request itself is wrong: change it.
    Invalid,
    /// The thing asked for does not exist (any more).
    NotFound,
    /// It may succeed later as it is, e.g. once the disk has room.
    Retry,
    /// A newer producer or transaction owner has taken over: stop.
    Fenced,
    /// Bytes on disk, or bytes handed in, are not what was written.
    Damaged,
    /// This partition or store takes nothing more until it is opened again.
    Stopped,
    /// The operating system refused.
    Io,
}

/// Everything that can go wrong in the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation on a file.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was attempted, as a verb: "open", "write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The disk has no room. What was being appended is undone; appending may be tried again.
    #[error("no space left on the disk that holds {path}: free some room and try again", path = path.display())]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
    },
    /// Another process has the data directory open.
    #[error("data directory {dir} is in use by {holder}: stop it first, or use another directory",
        dir = dir.display(), holder = holder_text(*pid))]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The process that holds it, if it left its id.
        pid: Option<u32>,
    },
    /// The store has been closed.
    #[error("the store has been closed: open it again")]
    Closed,

    /// A topic of that name exists already.
    #[error("topic `{topic}` exists already")]
    TopicExists {
        /// The topic.
        topic: String,
    },
    /// There is no such topic.
    #[error("there is no topic `{topic}`: create it first (`riverrun topic create {topic}`)")]
    UnknownTopic {
        /// The topic.
        topic: String,
    },
    /// The topic has fewer partitions.
    #[error("topic `{topic}` has no partition {partition}: it has {partitions}, counted from 0")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// A name that Kafka would refuse as well.
    #[error(
        "`{topic}` cannot name a topic: {reason}; use 1 to 249 of a-z, A-Z, 0-9, `.`, `_` and `-`"
    )]
    InvalidTopicName {
        /// The name.
        topic: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A configuration value that cannot be.
    #[error("configuration `{key}` cannot be `{value}`: {reason}")]
    InvalidConfig {
        /// The configuration's name, as Kafka's.
        key: String,
        /// The value given.
        value: String,
        /// What would be right.
        reason: String,
    },

    /// A batch larger than the topic takes.
    #[error(
        "a batch of {size} bytes is too large for topic `{topic}`, which takes {limit}: send \
         smaller batches or raise `max.message.bytes`"
    )]
    MessageTooLarge {
        /// The topic.
        topic: String,
        /// The batch's size in bytes.
        size: usize,
        /// The topic's limit in bytes.
        limit: usize,
    },
    /// A record without a key, sent to a topic that is compacted by key. Nothing of the append was written.
    #[error(
        "record {record} of a batch has no key, but topic `{topic}` is compacted by key: give each \
         record a key, or set `cleanup.policy=delete`"
    )]
    KeyMissing {
        /// The topic.
        topic: String,
        /// Which record of its batch, counted from 0.
        record: usize,
    },
    /// A batch that is not of the topic's format. Nothing of the append was written.
    #[error("a batch of {found} was sent to topic `{topic}`, which takes {expected} (`format`)")]
    WrongFormat {
        /// The topic.
        topic: String,
        /// What it takes.
        expected: &'static str,
        /// What was sent.
        found: &'static str,
    },
    /// An offset outside of what the partition holds.
    #[error(
        "offset {offset} of {topic}-{partition} is out of range: the log holds {log_start} to {log_end}"
    )]
    OffsetOutOfRange {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The offset asked for.
        offset: i64,
        /// The first offset there is.
        log_start: i64,
        /// The offset after the last.
        log_end: i64,
    },
    /// An fsync or write failed: nothing more is acknowledged, since a retry could lie.
    #[error(
        "{topic}-{partition} has stopped after {cause}: check the disk, then open the store again"
    )]
    PartitionStopped {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// What failed.
        cause: String,
    },
    /// Stored bytes are not what was written.
    #[error(
        "{topic}-{partition} is damaged in segment {segment} at byte {position} (offset {offset}): \
         {what}; see `riverrun log verify`, then `riverrun log repair`"
    )]
    Damaged {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The segment's file name.
        segment: String,
        /// Byte position in the segment.
        position: u64,
        /// The offset that should be there.
        offset: i64,
        /// What is wrong.
        what: String,
    },
    /// A file of the store, other than a segment, is not what was written.
    #[error("{file} is damaged: {what}")]
    DamagedFile {
        /// The file's name or path.
        file: String,
        /// What is wrong, and what to do about it.
        what: String,
    },

    /// Bytes that are no record batch.
    #[error("malformed record batch: {reason}")]
    MalformedBatch {
        /// What is wrong.
        reason: String,
    },
    /// A record batch whose checksum does not fit.
    #[error(
        "record batch at offset {base_offset} fails its checksum: found {found:#010x}, expected {expected:#010x}"
    )]
    ChecksumMismatch {
        /// The batch's base offset.
        base_offset: i64,
        /// The checksum that the batch carries.
        expected: u32,
        /// The checksum of its bytes.
        found: u32,
    },
    /// A record batch format other than v2.
    #[error("record batch format v{magic} is not supported: only v2 is (Kafka 0.11 and later)")]
    UnsupportedMagic {
        /// The format version found.
        magic: i8,
    },
    /// A compression code or name that Kafka does not know.
    #[error("unknown compression `{name}`: use none, gzip, snappy, lz4 or zstd")]
    UnknownCompression {
        /// The code or name.
        name: String,
    },
    /// A codec that refused to compress.
    #[error("cannot compress with {codec}: {reason}")]
    Compression {
        /// The codec.
        codec: &'static str,
        /// What it said.
        reason: String,
    },
    /// Compressed bytes that do not decode.
    #[error("cannot decompress {codec}: {reason}")]
    Decompression {
        /// The codec.
        codec: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Records that would take more memory than allowed.
    #[error("{codec} records would decompress to more than {limit} bytes")]
    DecompressedTooLarge {
        /// The codec.
        codec: &'static str,
        /// The limit in bytes.
        limit: usize,
    },

    /// A producer's batch was refused; nothing of the append was written.
    #[error("{topic}-{partition} refused an append: {rejection}")]
    Rejected {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// Why.
        rejection: Rejection,
    },
    /// A newer instance with the same transactional id has taken over.
    #[error(
        "producer {producer_id} at epoch {epoch} is fenced: epoch {current} has taken over; start \
         the producer anew"
    )]
    ProducerFenced {
        /// The producer.
        producer_id: i64,
        /// The epoch it came with.
        epoch: i16,
        /// The epoch that owns the id now.
        current: i16,
    },
    /// A producer id that was never given out to a transactional producer.
    #[error("producer {producer_id} is not known to the store: initialise the producer first")]
    UnknownProducer {
        /// The producer.
        producer_id: i64,
    },
    /// A transaction operation that does not fit the transaction's state.
    #[error("transaction of producer {producer_id}: {reason}")]
    InvalidTransactionState {
        /// The producer.
        producer_id: i64,
        /// What does not fit.
        reason: String,
    },
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Io { .. } => ErrorKind::Io,
            Error::DiskFull { .. } | Error::Locked { .. } => ErrorKind::Retry,
            Error::Closed | Error::PartitionStopped { .. } => ErrorKind::Stopped,
            Error::UnknownTopic { .. }
            | Error::UnknownPartition { .. }
            | Error::OffsetOutOfRange { .. } => ErrorKind::NotFound,
            Error::TopicExists { .. }
            | Error::InvalidTopicName { .. }
            | Error::InvalidConfig { .. }
            | Error::MessageTooLarge { .. }
            | Error::KeyMissing { .. }
            | Error::WrongFormat { .. }
            | Error::UnsupportedMagic { .. }
            | Error::UnknownCompression { .. }
            | Error::Compression { .. }
            | Error::UnknownProducer { .. }
            | Error::InvalidTransactionState { .. } => ErrorKind::Invalid,
            Error::ProducerFenced { .. } => ErrorKind::Fenced,
            Error::Rejected { rejection, .. } => match rejection {
                Rejection::Fenced { .. } => ErrorKind::Fenced,
                Rejection::TransactionEnding { .. } => ErrorKind::Retry,
                _ => ErrorKind::Invalid,
            },
            Error::Damaged { .. }
            | Error::DamagedFile { .. }
            | Error::MalformedBatch { .. }
            | Error::ChecksumMismatch { .. }
            | Error::Decompression { .. }
            | Error::DecompressedTooLarge { .. } => ErrorKind::Damaged,
        }
    }

    /// An operating system error, told apart into "disk full" and the rest.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::StorageFull {
            return Error::DiskFull { path: path.to_path_buf() };
        }
        Error::Io { action, path: path.to_path_buf(), source }
    }
}

fn holder_text(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_string(),
    }
}
