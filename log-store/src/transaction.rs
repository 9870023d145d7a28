//! The transactions of one partition, and the last stable offset that follows from them. Pure: facts
//! in, decisions out.
//!
//! ```text
//!   offset   0   1   2   3   4   5   6   7   8
//!            a   B   a   c   B   c   C   .   .        a, B, c: records of three producers
//!                                                     C: c's commit marker, not yet durable
//!   open:    a since 0, B since 1        ended, marker above the high watermark: c since 3
//!   first unstable offset = 0            last stable offset = min(first unstable, high watermark)
//! ```
//!
//! A transaction stops holding back readers only when its marker lies below the high watermark:
//! before that a crash could take the marker away again, and a reader would have seen records whose
//! fate is not yet on disk.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::aborted::AbortedTransaction;

/// Who produces: a producer id and the epoch of the instance that holds it. A higher epoch of the
/// same id fences the lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProducerIdentity {
    /// The producer id, unique in the store and never given out twice.
    pub id: i64,
    /// The epoch, from 0.
    pub epoch: i16,
}

impl fmt::Display for ProducerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (epoch {})", self.id, self.epoch)
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TransactionOutcome {
    /// Its records never become visible to `read_committed` readers.
    Abort,
    /// Its records become visible to `read_committed` readers.
    Commit,
}

impl fmt::Display for TransactionOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Abort => "abort",
            Self::Commit => "commit",
        })
    }
}

/// A transaction that has records in this partition and no marker yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// The producer, with the epoch that wrote the records.
    pub identity: ProducerIdentity,
    /// Offset of its first record. Offsets are never reused, so the first offset names one
    /// transaction of this partition for good.
    pub first_offset: i64,
}

/// A transaction that a marker has just ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompletedTransaction {
    /// The transaction as it was while open.
    pub transaction: OpenTransaction,
    /// How it ended.
    pub outcome: TransactionOutcome,
    /// Offset of the marker.
    pub marker_offset: i64,
    /// The entry for the aborted index, if it was aborted.
    pub aborted: Option<AbortedTransaction>,
}

/// Open transactions of one partition, at most one a producer id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transactions {
    open: BTreeMap<i64, OpenTransaction>,
    /// First offset of each open transaction, with its producer id.
    open_from: BTreeMap<i64, i64>,
    /// First offset of each ended transaction whose marker may lie above the high watermark, with
    /// the marker's offset.
    ended: BTreeMap<i64, i64>,
}

impl Transactions {
    /// The open transaction of a producer id.
    pub fn open(&self, producer_id: i64) -> Option<&OpenTransaction> {
        self.open.get(&producer_id)
    }

    /// All open transactions, by producer id.
    pub fn all_open(&self) -> impl Iterator<Item = &OpenTransaction> {
        self.open.values()
    }

    /// A transactional batch was appended: opens the producer's transaction unless it is open.
    pub fn on_appended(&mut self, identity: ProducerIdentity, base_offset: i64) {
        if let std::collections::btree_map::Entry::Vacant(entry) = self.open.entry(identity.id) {
            entry.insert(OpenTransaction { identity, first_offset: base_offset });
            self.open_from.insert(base_offset, identity.id);
        }
    }

    /// A marker was appended: ends the open transaction of that producer id, whatever its epoch. `None`
    /// if there is none.
    pub fn on_marker(
        &mut self,
        producer_id: i64,
        outcome: TransactionOutcome,
        marker_offset: i64,
    ) -> Option<CompletedTransaction> {
        let transaction = self.open.remove(&producer_id)?;
        self.open_from.remove(&transaction.first_offset);
        self.ended.insert(transaction.first_offset, marker_offset);
        let aborted = (outcome == TransactionOutcome::Abort).then(|| AbortedTransaction {
            producer_id,
            first_offset: transaction.first_offset,
            last_offset: marker_offset,
            // Whatever ends later was open now, or begins after this marker.
            last_stable_offset: self
                .open_from
                .first_key_value()
                .map_or(marker_offset + 1, |(first, _)| *first),
        });
        Some(CompletedTransaction { transaction, outcome, marker_offset, aborted })
    }

    /// The high watermark moved: markers below it hold nothing back any more.
    pub fn on_high_watermark(&mut self, high_watermark: i64) {
        if !self.ended.is_empty() {
            self.ended.retain(|_, marker_offset| *marker_offset >= high_watermark);
        }
    }

    /// The first offset that belongs to a transaction whose end is not below the high watermark.
    pub fn first_unstable_offset(&self) -> Option<i64> {
        let open = self.open_from.first_key_value().map(|(first, _)| *first);
        let ended = self.ended.first_key_value().map(|(first, _)| *first);
        open.into_iter().chain(ended).min()
    }

    /// The last stable offset at this high watermark: every record below it is decided for good.
    pub fn last_stable_offset(&self, high_watermark: i64) -> i64 {
        self.first_unstable_offset().map_or(high_watermark, |first| first.min(high_watermark))
    }

    /// Puts back an open transaction, from a snapshot.
    pub(crate) fn restore(&mut self, transaction: OpenTransaction) {
        self.open.insert(transaction.identity.id, transaction);
        self.open_from.insert(transaction.first_offset, transaction.identity.id);
    }
}

#[cfg(test)]
#[path = "transaction/tests.rs"]
mod tests;
