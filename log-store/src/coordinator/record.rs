//! What `__metadata` keeps about producers.
//!
//! - kind `producer`, key: the transactional id, value: a [`ProducerRecord`]. It is replaced whenever
//!   the producer starts anew or commits, in one durable write with whatever else belongs to that
//!   transaction: **that write is the commit.**
//! - kind `producer-ids`, key `next`, value: the first producer id that has not been reserved.
//!
//! A value is one version byte and a bincode body.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::transaction::{ProducerIdentity, TransactionOutcome};

/// Kind of the entries of transactional producers.
pub const KIND_PRODUCER: &str = "producer";
/// Kind of the entry that reserves producer ids.
pub const KIND_IDS: &str = "producer-ids";
/// Its key.
pub const KEY_NEXT_ID: &str = "next";

const VERSION: u8 = 1;

/// A transaction's part in one partition. Epoch and first offset name the transaction, so that a marker
/// which is written again at the next start can never end a later one: of one epoch, a transaction
/// that is decided on has been flushed before, and no durable offset is ever used twice.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TransactionPart {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: u32,
    /// The producer's epoch that wrote it.
    pub epoch: i16,
    /// Offset of the transaction's first record there.
    pub first_offset: i64,
}

/// A transaction whose end is decided, and the partitions that must have its marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedTransaction {
    /// The producer at the time.
    pub identity: ProducerIdentity,
    /// How it ended.
    pub outcome: TransactionOutcome,
    /// Where it has records.
    pub parts: Vec<TransactionPart>,
}

/// Who owns a transactional id, and so decides on a transaction that is open when the store is opened
/// or when the id is initialised anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransactionOwner {
    /// A producer in this process: when the store is opened, its open transaction is aborted, for
    /// nobody is left to end it. So it is when the id is initialised anew.
    Process,
    /// A client that may outlive the store's process: its transaction stays open at a restart, and
    /// is aborted when the id is initialised anew.
    #[default]
    Client,
    /// A job, whose own commit record decides: its transactions stay open until it ends them, however
    /// long that takes, and also when the id is initialised anew.
    Job,
}

/// What is known about one transactional id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerRecord {
    /// The identity that is valid now; lower epochs are fenced.
    pub identity: ProducerIdentity,
    /// Who decides on its open transactions.
    pub owner: TransactionOwner,
    /// Decided transactions that may not have all their markers yet: the latest one always, earlier
    /// ones only as long as a partition cannot take its marker.
    pub decided: Vec<DecidedTransaction>,
}

impl ProducerRecord {
    /// Removes a topic's parts; returns whether there were any.
    pub fn remove_topic(&mut self, topic: &str) -> bool {
        let count = |decided: &[DecidedTransaction]| -> usize {
            decided.iter().map(|decided| decided.parts.len()).sum()
        };
        let before = count(&self.decided);
        self.decided.iter_mut().for_each(|d| d.parts.retain(|part| part.topic != topic));
        self.decided.retain(|decided| !decided.parts.is_empty());
        count(&self.decided) != before
    }

    /// The record's bytes.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![VERSION];
        bincode::serde::encode_into_std_write(self, &mut bytes, bincode::config::standard())
            .map_err(|error| Error::InvalidTransactionState {
                producer_id: self.identity.id,
                reason: format!("its record cannot be encoded: {error}"),
            })?;
        Ok(bytes)
    }

    /// Decodes the record of a transactional id.
    ///
    /// # Errors
    ///
    /// [`Error::DamagedFile`] if the bytes are not as they were written.
    pub fn decode(transactional_id: &str, bytes: &[u8]) -> Result<ProducerRecord> {
        let damaged = |what: String| Error::DamagedFile {
            file: format!("entry `{KIND_PRODUCER}/{transactional_id}` of __metadata"),
            what,
        };
        let Some((&VERSION, body)) = bytes.split_first() else {
            return Err(damaged("it was written by another version".to_owned()));
        };
        let config = bincode::config::standard().with_limit::<{ 64 << 20 }>();
        let (record, read) = bincode::serde::decode_from_slice(body, config)
            .map_err(|error| damaged(error.to_string()))?;
        if read != body.len() {
            return Err(damaged("bytes are left over".to_owned()));
        }
        Ok(record)
    }
}

/// The value that says which producer ids are reserved: all below `next`.
pub fn encode_next_id(next: i64) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&next.to_le_bytes());
    bytes
}

/// Decodes [`encode_next_id`].
///
/// # Errors
///
/// [`Error::DamagedFile`] if the bytes are not as they were written.
pub fn decode_next_id(bytes: &[u8]) -> Result<i64> {
    match bytes {
        [VERSION, next @ ..] if next.len() == 8 => {
            let mut field = [0; 8];
            field.copy_from_slice(next);
            Ok(i64::from_le_bytes(field))
        }
        _ => Err(Error::DamagedFile {
            file: format!("entry `{KIND_IDS}` of __metadata"),
            what: "it was written by another version".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_round_trip(
            id in any::<i64>(), epoch in any::<i16>(), commit in any::<bool>(),
            parts in prop::collection::vec((".{0,12}", any::<u32>(), any::<i64>()), 0..6),
            bytes in prop::collection::vec(any::<u8>(), 0..60),
        ) {
            let identity = ProducerIdentity { id, epoch };
            let outcome = if commit { TransactionOutcome::Commit } else { TransactionOutcome::Abort };
            let parts = parts
                .into_iter()
                .map(|(topic, partition, first_offset)| TransactionPart {
                    topic,
                    partition,
                    epoch,
                    first_offset,
                })
                .collect();
            let decided = vec![DecidedTransaction { identity, outcome, parts }];
            let record = ProducerRecord { identity, owner: TransactionOwner::Job, decided };
            let encoded = record.encode().expect("encodes");
            prop_assert_eq!(ProducerRecord::decode("x", &encoded).expect("decodes"), record);
            for len in 0..encoded.len() {
                prop_assert!(ProducerRecord::decode("x", &encoded[..len]).is_err());
            }
            // Arbitrary bytes neither panic nor allocate much.
            ProducerRecord::decode("x", &bytes).ok();
        }

        #[test]
        fn next_ids_round_trip(next in any::<i64>()) {
            prop_assert_eq!(decode_next_id(&encode_next_id(next)).expect("decodes"), next);
            prop_assert!(decode_next_id(&[]).is_err());
            prop_assert!(decode_next_id(&[1, 2]).is_err());
        }
    }
}
