//! The durable log: record batches, segments, partitions, topics, transactions, retention.
//!
//! A [`Store`] is a data directory with topics. A topic has partitions, and a [`Partition`] is a row of
//! record batches in Kafka's format, byte for byte, each record with an offset that is never given to
//! another. What was acknowledged is on disk; what is read was checked against its checksum.
//!
//! ```
//! use riverrun_log_store::{
//!     Decompressor, Producer, ProducerConfig, Store, StoreOptions, TopicConfig,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let store = Store::open(dir.path(), StoreOptions::default())?;
//! store.create_topic("greetings", TopicConfig::default())?;
//!
//! let mut producer = Producer::new(&store, ProducerConfig::default())?;
//! producer.send("greetings", None, None, Some(b"key"), Some(b"hello"), &[])?;
//! producer.flush()?; // durable from here on
//!
//! let fetch = store.partition("greetings", 0)?.read(0, 1 << 20, Default::default())?;
//! let records = fetch.batches[0].records(&mut Decompressor::default())?;
//! let first = records.iter().next().expect("one record was sent")?;
//! assert_eq!(first.value, Some(&b"hello"[..]));
//! # Ok(())
//! # }
//! ```
//!
//! # One append, from entry to exit
//!
//! [`Producer::send`] adds the record to a [`BatchBuilder`]; a full batch is compressed, gets its
//! checksum, and goes to [`Partition::append`]. There the producer's sequence is checked, the offset
//! stamped in (nothing is decoded or compressed again), and the bytes written at the end of the active
//! segment. [`Partition::flush`] syncs the file, once for everyone who waits, then writes the index
//! entries, moves the high watermark and wakes the readers. [`Partition::read`] finds the batch through
//! the index, takes a slice of the memory-mapped segment, checks it and hands it out, uncopied.
//!
//! # Layout, in the order of the data
//!
//! | | |
//! |---|---|
//! | `varint`, `record`, `batch` | records, and the batches they travel in; `compression` for their insides |
//! | `environment` | files, clock and randomness as traits: the real ones, and a simulated disk |
//! | `index`, `segment` | one segment: batches back to back, and an entry with a checksum for each |
//! | `partition` | segments in a row: append, group commit, read, recovery, retention |
//! | `compaction` | of each key the newest record stays |
//! | `topic`, `metadata`, `store` | names and configurations, the store's own durable map, the directory |
//! | `producer_state`, `transaction`, `aborted` | idempotence and transactions of a partition, as pure state machines |
//! | `coordinator` | producer ids, fencing, and commits over many partitions by one write |
//! | `partitioner`, `producer`, `consumer` | clients in the same process |
//! | `verify` | looking at and mending a directory from outside |
//!
//! # Invariants
//!
//! - Nothing is acknowledged before it is synced; after a failed sync nothing more is.
//! - An index entry is written only for a batch that is durable. So damage can be told from a tail that
//!   a crash has torn: the one is refused, the other cut off.
//! - Bytes that fail their checksum are never handed out.
//! - There is no network and no async runtime here, and no clock, file or random number that does not
//!   come through [`environment`].

// The files in the order of the data: a record becomes part of a batch ...
pub mod varint;

mod batch;
mod compression;
mod record;

// ... which is appended to a segment of a partition ...
pub mod environment;
mod index;
mod metadata;
mod partition;
mod segment;
mod store;
mod topic;

// ... under the rules of idempotence and transactions ...
mod aborted;
mod compaction;
mod coordinator;
mod producer_state;
mod transaction;

// ... sent by a producer and read by a consumer.
mod consumer;
mod partitioner;
mod producer;

// ... and looked at, and mended, from outside.
pub mod verify;

mod error;

pub use aborted::AbortedTransaction;
pub use batch::{
    Attributes, Batch, BatchBuilder, BatchHeader, COLUMNAR_ALIGNMENT, CRC_START, ColumnarBatch,
    ColumnarRows, ColumnarWriter, HEADER_LEN, LENGTH_PREFIX, MAGIC, Records, control_batch, crc32c,
    stamp,
};
pub use compression::{Compression, DEFAULT_MAX_DECOMPRESSED, Decompressor};
pub use consumer::{Consumer, ConsumerConfig, Fetched, OutOfRange, Position};
pub use coordinator::{OpenTransactions, TransactionOwner};
pub use environment::Environment;
pub use error::{Error, ErrorKind, Result};
pub use index::IndexEntry;
pub use metadata::{Entry, Metadata};
pub use partition::{Appended, Fetch, Isolation, Offsets, Partition};
pub use partitioner::{Partitioner, murmur2, partition_of_key};
pub use producer::{Acks, Producer, ProducerConfig};
pub use producer_state::{NO_PRODUCER_ID, Rejection};
pub use record::{Headers, Record, RecordIter};
pub use store::{MaintenanceReport, Store, StoreOptions, TopicInfo};
pub use topic::{
    CleanupPolicy, DirtyRatio, FlushMode, METADATA_TOPIC, RecordFormat, TopicConfig,
    check_topic_name,
};
pub use transaction::{ProducerIdentity, TransactionOutcome};
