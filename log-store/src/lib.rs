//! The durable log: record batches, segments, partitions, topics, transactions, retention.

// The files in the order of the data: a record becomes part of a batch ...
// (L1's modules go here: record, varint, batch, compression)

// ... which is appended to a segment of a partition ...
// (L2's modules go here)

// ... under the rules of idempotence and transactions ...
// (L3's modules go here)

// ... sent by a producer and read by a consumer.

mod error;

pub use error::{Error, ErrorKind, Result};
