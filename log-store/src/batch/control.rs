//! Control batches: the markers that end a transaction in a partition.
//!
//! A marker is a batch of one record. Its key is `version:i16 type:i16`, its value
//! `version:i16 coordinator_epoch:i32`.

use super::builder::{BatchBuilder, Origin};
use super::{Attributes, Batch};
use crate::compression::{Compression, Decompressor};
use crate::error::Result;
use crate::transaction::{ProducerIdentity, TransactionOutcome};

const ABORT: i16 = 0;
const COMMIT: i16 = 1;

/// What is missing to a multiple of the alignment of columnar topics.
const PADDING: usize = 47;

/// The control batch that ends the transaction of a producer.
///
/// `timestamp_ms` is the time of the decision, in milliseconds since the Unix epoch.
///
/// ```
/// use bytes::Bytes;
/// use riverrun_log_store::{Batch, TransactionOutcome, control_batch};
/// let bytes = control_batch(TransactionOutcome::Commit, 7, 0, 0, 1_700_000_000_000)?;
/// let batch = Batch::parse(Bytes::from(bytes))?;
/// assert!(batch.header().attributes.is_control());
/// assert_eq!(batch.control_marker()?, Some(TransactionOutcome::Commit));
/// # Ok::<(), riverrun_log_store::Error>(())
/// ```
///
/// # Errors
/// None that a caller could cause.
pub fn control_batch(
    outcome: TransactionOutcome,
    producer_id: i64,
    producer_epoch: i16,
    coordinator_epoch: i32,
    timestamp_ms: i64,
) -> Result<Vec<u8>> {
    marker(outcome, (producer_id, producer_epoch), coordinator_epoch, timestamp_ms, &[])
}

/// As [`control_batch`], padded with a header so that the batches behind it in a columnar topic stay aligned.
pub(crate) fn padded_control_batch(
    outcome: TransactionOutcome,
    producer: ProducerIdentity,
    timestamp_ms: i64,
) -> Result<Vec<u8>> {
    let padding = [0; PADDING];
    marker(outcome, (producer.id, producer.epoch), 0, timestamp_ms, &[("", &padding)])
}

fn marker(
    outcome: TransactionOutcome,
    (producer_id, producer_epoch): (i64, i16),
    coordinator_epoch: i32,
    timestamp_ms: i64,
    headers: &[(&str, &[u8])],
) -> Result<Vec<u8>> {
    let code = match outcome {
        TransactionOutcome::Abort => ABORT,
        TransactionOutcome::Commit => COMMIT,
    };
    let mut key = [0; 4];
    key[2..].copy_from_slice(&code.to_be_bytes());
    let mut value = [0; 6];
    value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
    let mut builder = BatchBuilder::new(Compression::None)?;
    builder.set_origin(Origin {
        attributes: Attributes::control(),
        producer_id,
        producer_epoch,
        base_sequence: -1,
    });
    builder.append(timestamp_ms, Some(&key), Some(&value), headers)?;
    builder.finish()
}

pub(super) fn parse(batch: &Batch) -> Result<Option<TransactionOutcome>> {
    if batch.header().records_count == 0 {
        // Compaction leaves such, and so may a repair: it says nothing.
        return Ok(None);
    }
    let records = batch.records(&mut Decompressor::new())?;
    let Some(record) = records.iter().next() else {
        return Err(batch.header().invalid("a control batch without a record"));
    };
    let Some([_, _, high, low, ..]) = record?.key else {
        return Err(batch.header().invalid("a control record with too short a key"));
    };
    Ok(match i16::from_be_bytes([*high, *low]) {
        ABORT => Some(TransactionOutcome::Abort),
        COMMIT => Some(TransactionOutcome::Commit),
        _ => None,
    })
}
