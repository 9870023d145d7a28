//! The durable log: record batches, segments, partitions, topics, transactions, retention.

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
pub use coordinator::{OpenTransactions, TransactionOwner};
pub use producer_state::{NO_PRODUCER_ID, Rejection};
pub use transaction::{ProducerIdentity, TransactionOutcome};
pub use batch::{
    Attributes, Batch, BatchBuilder, BatchHeader, CRC_START, HEADER_LEN, LENGTH_PREFIX, MAGIC,
    Records, control_batch, crc32c, stamp,
};
pub use compression::{Compression, DEFAULT_MAX_DECOMPRESSED, Decompressor};
pub use consumer::{Consumer, ConsumerConfig, Fetched, OutOfRange, Position};
pub use partitioner::{Partitioner, murmur2, partition_of_key};
pub use producer::{Acks, Producer, ProducerConfig};
pub use record::{Headers, Record, RecordIter};
pub use environment::Environment;
pub use metadata::{Entry, Metadata};
pub use partition::{Appended, Fetch, Isolation, Offsets, Partition};
pub use store::{MaintenanceReport, Store, StoreOptions, TopicInfo};
pub use topic::{FlushMode, METADATA_TOPIC, TopicConfig, check_topic_name};
pub use error::{Error, ErrorKind, Result};
