//! The durable log: record batches, segments, partitions, topics, transactions, retention.

// The files in the order of the data: a record becomes part of a batch ...
pub mod varint;

mod batch;
mod compression;
mod record;

// ... which is appended to a segment of a partition ...
pub mod environment;
mod index;

// ... under the rules of idempotence and transactions ...
mod aborted;
mod producer_state;
mod transaction;

// ... sent by a producer and read by a consumer.
mod partitioner;

mod error;

pub use aborted::AbortedTransaction;
pub use producer_state::{NO_PRODUCER_ID, Rejection};
pub use transaction::{ProducerIdentity, TransactionOutcome};
pub use batch::{
    Attributes, Batch, BatchBuilder, BatchHeader, CRC_START, HEADER_LEN, LENGTH_PREFIX, MAGIC,
    Records, control_batch, crc32c, stamp,
};
pub use compression::{Compression, DEFAULT_MAX_DECOMPRESSED, Decompressor};
pub use partitioner::{Partitioner, murmur2, partition_of_key};
pub use record::{Headers, Record, RecordIter};
pub use environment::Environment;
pub use error::{Error, ErrorKind, Result};
