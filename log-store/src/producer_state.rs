//! What one partition knows about its producers: which sequence each must send next, which batches
//! are retries, who is fenced, and which transactions are open. Pure: facts in, decisions out.
//!
//! The partition log asks [`ProducerStates::check_append`] before it writes, tells
//! [`ProducerStates::on_appended`] and [`ProducerStates::on_marker`] what it wrote, and replays the same
//! calls over its batches at recovery. The last five batches of each producer are remembered, as
//! many as a Kafka producer may have in flight: a retry of one of them is answered with its first
//! offsets and not written again.
//!
//! ```text
//!   batch of a producer id
//!     |-- never seen here ...................... append (its sequences start where it says)
//!     |-- lower epoch than known ............... fenced
//!     |-- higher epoch ......................... append if the sequence starts at 0
//!     |-- equal to one of the last five ........ duplicate, answered with its offsets
//!     '-- sequence follows the last ............ append; anything else is out of order
//! ```

use std::collections::{BTreeMap, VecDeque};

use crate::batch::BatchHeader;
use crate::transaction::{
    CompletedTransaction, OpenTransaction, ProducerIdentity, TransactionOutcome, Transactions,
};

mod snapshot;

/// Producer id of batches from producers that are not idempotent.
pub const NO_PRODUCER_ID: i64 = -1;

/// How many batches of a producer are remembered for recognising retries.
pub const REMEMBERED_BATCHES: usize = 5;

/// What the state machine needs to know about a batch of an idempotent producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducedBatch {
    /// Producer id and epoch of the batch; the id is not [`NO_PRODUCER_ID`].
    pub identity: ProducerIdentity,
    /// Sequence number of the first record.
    pub base_sequence: i32,
    /// Offset of the last record minus that of the first.
    pub last_offset_delta: i32,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
}

impl ProducedBatch {
    /// What a batch's header says, if it claims to come from an idempotent producer. (A transactional
    /// one without a producer id does: so that it is looked at, and refused.)
    pub fn of(header: &BatchHeader) -> Option<ProducedBatch> {
        let transactional = header.attributes.is_transactional();
        (header.has_producer() || transactional).then_some(ProducedBatch {
            identity: ProducerIdentity { id: header.producer_id, epoch: header.producer_epoch },
            base_sequence: header.base_sequence,
            last_offset_delta: header.last_offset_delta,
            transactional,
        })
    }

    fn last_sequence(&self) -> i32 {
        sequence_after(self.base_sequence, self.last_offset_delta)
    }
}

/// What to do with an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is new and in order: write it.
    Append,
    /// It is a retry of what is in the log already: answer with these offsets, write nothing.
    Duplicate {
        /// Offset of the first record, as first appended.
        base_offset: i64,
        /// Offset of the last record, as first appended.
        last_offset: i64,
    },
}

/// Why a batch of a producer was refused. Nothing of the append was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// A newer instance of the producer has taken over; this one must stop.
    #[error(
        "producer {producer} is fenced: epoch {current} has taken over; start the producer anew to \
         get a new epoch"
    )]
    Fenced {
        /// The producer as it named itself.
        producer: ProducerIdentity,
        /// The epoch that is valid now.
        current: i16,
    },
    /// A batch before this one is missing, or this is a retry from too long ago.
    #[error(
        "producer {producer} sent sequence {sequence} where {expected} is due: an earlier batch is \
         missing or this one is a late retry; send the missing batch first, or start the producer anew"
    )]
    OutOfOrderSequence {
        /// The producer.
        producer: ProducerIdentity,
        /// The sequence that is due.
        expected: i32,
        /// The sequence that was sent.
        sequence: i32,
    },
    /// The header of the batch contradicts itself (negative sequence, records or epoch; a transaction
    /// without a producer id).
    #[error("producer {producer} sent a batch whose header is invalid: {what}")]
    InvalidBatch {
        /// The producer.
        producer: ProducerIdentity,
        /// What is wrong.
        what: &'static str,
    },
    /// The producer has an open transaction here and sent a batch outside of it.
    #[error(
        "producer {producer} sent a batch outside of its transaction, open since offset \
         {first_offset}; commit or abort the transaction first"
    )]
    OutsideTransaction {
        /// The producer.
        producer: ProducerIdentity,
        /// Where its transaction begins.
        first_offset: i64,
    },
    /// An earlier epoch of the producer still has an open transaction here.
    #[error(
        "producer {producer} cannot write: the transaction of its epoch {open}, open since offset \
         {first_offset}, must be committed or aborted first"
    )]
    EarlierTransactionOpen {
        /// The producer.
        producer: ProducerIdentity,
        /// The epoch whose transaction is open.
        open: i16,
        /// Where that transaction begins.
        first_offset: i64,
    },
    /// The producer's transaction is being committed or aborted.
    #[error("the transaction of producer {producer} is being ended; try again when it has ended")]
    TransactionEnding {
        /// The producer.
        producer: ProducerIdentity,
    },
    /// A transactional batch came from a producer that the store has not given an id to.
    #[error("producer {producer} is unknown to the store; initialise the producer first")]
    UnknownProducer {
        /// The producer.
        producer: ProducerIdentity,
    },
    /// Commit and abort markers are written by the store alone.
    #[error("a producer may not send control batches; end the transaction instead")]
    ControlBatch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RememberedBatch {
    base_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
    last_offset: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    epoch: i16,
    /// The sequence that is due; `None` if only a marker was seen, which has no sequence.
    next_sequence: Option<i32>,
    /// Batches of the current epoch, oldest first.
    batches: VecDeque<RememberedBatch>,
    /// When the producer last wrote, in milliseconds of the store's clock.
    last_seen_ms: i64,
}

/// What a producer sent last, as far as compaction has to keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastBatch {
    /// The producer's epoch.
    pub epoch: i16,
    /// Base offset of its last batch; `None` if only a marker was seen of this epoch.
    pub base_offset: Option<i64>,
}

/// The producers and open transactions of one partition.
///
/// Producers are ordered by id, so that snapshots of equal states are equal bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerStates {
    producers: BTreeMap<i64, Producer>,
    transactions: Transactions,
}

impl ProducerStates {
    /// The open transactions.
    pub fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    /// Whether no producer is known.
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// The last batch of each producer, by producer id.
    pub fn last_batches(&self) -> impl Iterator<Item = (i64, LastBatch)> {
        self.producers.iter().map(|(id, producer)| {
            let base_offset = producer.batches.back().map(|batch| batch.base_offset);
            (*id, LastBatch { epoch: producer.epoch, base_offset })
        })
    }

    /// The epoch that a producer id last wrote with.
    #[cfg(test)]
    pub fn epoch(&self, producer_id: i64) -> Option<i16> {
        self.producers.get(&producer_id).map(|producer| producer.epoch)
    }

    /// Decides on an append: the batches of idempotent producers in it, in order. Changes nothing.
    ///
    /// # Errors
    ///
    /// The [`Rejection`] of the first batch that may not be written. An append that mixes retries with
    /// new batches is out of order: producers retry whole requests.
    pub fn check_append(&self, batches: &[ProducedBatch]) -> Result<Decision, Rejection> {
        match batches {
            [] => Ok(Decision::Append),
            [batch] => check(self.producers.get(&batch.identity.id), self.open(batch), batch),
            _ => self.check_many(batches),
        }
    }

    fn open(&self, batch: &ProducedBatch) -> Option<OpenTransaction> {
        self.transactions.open(batch.identity.id).copied()
    }

    /// Several batches in one append follow each other: each is checked against what the ones
    /// before it will have changed.
    fn check_many(&self, batches: &[ProducedBatch]) -> Result<Decision, Rejection> {
        let mut staged: BTreeMap<i64, (Option<Producer>, Option<OpenTransaction>)> =
            BTreeMap::new();
        let mut duplicate: Option<(i64, i64)> = None;
        for (position, batch) in batches.iter().enumerate() {
            let id = batch.identity.id;
            let (producer, open) = staged
                .entry(id)
                .or_insert_with(|| (self.producers.get(&id).cloned(), self.open(batch)));
            match check(producer.as_ref(), *open, batch)? {
                Decision::Append if duplicate.is_none() => {
                    // The offset is not known yet, and not looked at while staged.
                    advance(producer, batch, i64::MAX - i64::from(i32::MAX), 0);
                    if batch.transactional && open.is_none() {
                        let identity = batch.identity;
                        *open = Some(OpenTransaction { identity, first_offset: i64::MAX });
                    }
                }
                Decision::Duplicate { base_offset, last_offset }
                    if duplicate.is_some() || position == 0 =>
                {
                    let base = duplicate.map_or(base_offset, |(base, _)| base);
                    duplicate = Some((base, last_offset));
                }
                Decision::Append | Decision::Duplicate { .. } => {
                    let expected = producer.as_ref().and_then(|p| p.next_sequence).unwrap_or(0);
                    return Err(Rejection::OutOfOrderSequence {
                        producer: batch.identity,
                        expected,
                        sequence: batch.base_sequence,
                    });
                }
            }
        }
        Ok(duplicate.map_or(Decision::Append, |(base_offset, last_offset)| Decision::Duplicate {
            base_offset,
            last_offset,
        }))
    }

    /// A batch was written at `base_offset`. Also the way to replay a batch at recovery: what is in
    /// the log is not judged again.
    pub fn on_appended(&mut self, batch: &ProducedBatch, base_offset: i64, now_ms: i64) {
        let id = batch.identity.id;
        match self.producers.get_mut(&id) {
            Some(producer) => advance_known(producer, batch, base_offset, now_ms),
            None => {
                let mut producer = None;
                advance(&mut producer, batch, base_offset, now_ms);
                self.producers.extend(producer.map(|producer| (id, producer)));
            }
        }
        if batch.transactional {
            self.transactions.on_appended(batch.identity, base_offset);
        }
    }

    /// A marker was written at `offset`. Returns the transaction that it ended, if one was open.
    ///
    /// A marker of a higher epoch fences the lower ones here too, and lets sequences start anew.
    pub fn on_marker(
        &mut self,
        identity: ProducerIdentity,
        outcome: TransactionOutcome,
        offset: i64,
        now_ms: i64,
    ) -> Option<CompletedTransaction> {
        let producer = self.producers.entry(identity.id).or_insert_with(|| Producer {
            epoch: identity.epoch,
            next_sequence: None,
            batches: VecDeque::new(),
            last_seen_ms: now_ms,
        });
        if identity.epoch > producer.epoch {
            producer.epoch = identity.epoch;
            producer.next_sequence = Some(0);
            producer.batches.clear();
        }
        producer.last_seen_ms = now_ms;
        self.transactions.on_marker(identity.id, outcome, offset)
    }

    /// The high watermark moved: see [`Transactions::on_high_watermark`].
    pub fn on_high_watermark(&mut self, high_watermark: i64) {
        self.transactions.on_high_watermark(high_watermark);
    }

    /// Forgets producers that last wrote before `before_ms` and have no open transaction. A retry
    /// from one of them would be taken for new, so this must be longer ago than any retry: Kafka's
    /// default is a day.
    pub fn expire(&mut self, before_ms: i64) {
        let transactions = &self.transactions;
        self.producers.retain(|id, producer| {
            producer.last_seen_ms >= before_ms || transactions.open(*id).is_some()
        });
    }
}

fn check(
    producer: Option<&Producer>,
    open: Option<OpenTransaction>,
    batch: &ProducedBatch,
) -> Result<Decision, Rejection> {
    let identity = batch.identity;
    let invalid = |what| Err(Rejection::InvalidBatch { producer: identity, what });
    if identity.id < 0 {
        return invalid("it has no producer id");
    }
    if identity.epoch < 0 {
        return invalid("its epoch is negative");
    }
    if batch.base_sequence < 0 || batch.last_offset_delta < 0 {
        return invalid("its sequence or record count is negative");
    }
    let Some(producer) = producer else { return Ok(Decision::Append) };
    if identity.epoch < producer.epoch {
        return Err(Rejection::Fenced { producer: identity, current: producer.epoch });
    }
    if identity.epoch == producer.epoch {
        let last_sequence = batch.last_sequence();
        let retried = producer.batches.iter().find(|known| {
            known.base_sequence == batch.base_sequence && known.last_sequence == last_sequence
        });
        if let Some(known) = retried {
            let (base_offset, last_offset) = (known.base_offset, known.last_offset);
            return Ok(Decision::Duplicate { base_offset, last_offset });
        }
    }
    if let Some(open) = open {
        let first_offset = open.first_offset;
        if open.identity.epoch != identity.epoch {
            return Err(Rejection::EarlierTransactionOpen {
                producer: identity,
                open: open.identity.epoch,
                first_offset,
            });
        }
        if !batch.transactional {
            return Err(Rejection::OutsideTransaction { producer: identity, first_offset });
        }
    }
    let expected = if identity.epoch > producer.epoch { Some(0) } else { producer.next_sequence };
    match expected {
        Some(expected) if expected != batch.base_sequence => Err(Rejection::OutOfOrderSequence {
            producer: identity,
            expected,
            sequence: batch.base_sequence,
        }),
        _ => Ok(Decision::Append),
    }
}

fn advance(producer: &mut Option<Producer>, batch: &ProducedBatch, base_offset: i64, now_ms: i64) {
    let producer = producer.get_or_insert_with(|| Producer {
        epoch: batch.identity.epoch,
        next_sequence: None,
        batches: VecDeque::with_capacity(REMEMBERED_BATCHES),
        last_seen_ms: now_ms,
    });
    advance_known(producer, batch, base_offset, now_ms);
}

fn advance_known(producer: &mut Producer, batch: &ProducedBatch, base_offset: i64, now_ms: i64) {
    if batch.identity.epoch != producer.epoch {
        producer.epoch = batch.identity.epoch;
        producer.batches.clear();
    }
    if producer.batches.len() == REMEMBERED_BATCHES {
        producer.batches.pop_front();
    }
    let last_sequence = batch.last_sequence();
    producer.batches.push_back(RememberedBatch {
        base_sequence: batch.base_sequence,
        last_sequence,
        base_offset,
        last_offset: base_offset + i64::from(batch.last_offset_delta),
    });
    producer.next_sequence = Some(sequence_after(last_sequence, 1));
    producer.last_seen_ms = now_ms;
}

/// The sequence `by` records after `sequence`: after `i32::MAX` comes 0.
pub fn sequence_after(sequence: i32, by: i32) -> i32 {
    let room = i32::MAX - sequence;
    if by <= room { sequence + by } else { by - room - 1 }
}

#[cfg(test)]
#[path = "producer_state/tests.rs"]
mod tests;
