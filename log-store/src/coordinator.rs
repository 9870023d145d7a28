//! The coordinator of producers and transactions: gives out producer ids, fences old instances, and
//! commits over many partitions with one durable write.
//!
//! # A transaction, from begin to end
//!
//! 1. [`Store::init_producer`] gives a transactional id its producer id and a new epoch, durably; older
//!    epochs are fenced.
//! 2. The producer's first transactional batch in a partition opens the transaction there. Nothing
//!    else has to be said: every append passes the [`registry`], which remembers the partition.
//! 3. [`Store::commit_transaction`] lets nothing more in, makes the records durable in all partitions at
//!    once, and then writes one batch to `__metadata`: whatever entries the caller wants committed
//!    with it, and the producer's [`record`], which names each partition and the transaction's first
//!    offset there. **That write is the commit.**
//! 4. Commit markers follow in each partition and make the records visible to `read_committed` readers.
//!    They are written again when the store is opened, wherever one is missing: the first offset says
//!    whether the transaction that is open there is the one that was meant.
//!
//! An abort goes the same way, except that a transaction whose [`TransactionOwner`] is
//! this process needs no record: it is what happens anyway.
//!
//! A job decides by a commit record of its own. It uses no commit of ours, but
//! [`Partition::end_transaction`], which does nothing where there is nothing to end, and
//! [`Store::open_transactions`] to find what a crash left open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::error::{Error, ErrorKind, Result};
use crate::metadata::Entry;
use crate::partition::{Fence, Partition, guard};
use crate::producer_state::Rejection;
use crate::store::Store;
use crate::transaction::{OpenTransaction, ProducerIdentity, TransactionOutcome};

mod record;
mod registry;

pub use record::TransactionOwner;
use record::{
    DecidedTransaction, KEY_NEXT_ID, KIND_IDS, KIND_PRODUCER, ProducerRecord, TransactionPart,
};
use registry::{Ending, ProducerRegistry};

/// How many producer ids one durable write reserves. A crash skips the rest.
const ID_BLOCK: i64 = 1_000;

/// The last epoch that a producer id is used with; the one above it is left for fencing.
const LAST_EPOCH: i16 = i16::MAX - 1;

/// The coordinator's state in a store.
#[derive(Debug, Default)]
pub(crate) struct Coordinator {
    registry: Arc<ProducerRegistry>,
    ids: Mutex<IdBlock>,
    /// Serialises the first initialisations of transactional ids.
    initialising: Mutex<()>,
    /// Serialises writing missing markers.
    resolving: Mutex<()>,
}

#[derive(Debug, Default)]
struct IdBlock {
    next: i64,
    reserved: i64,
}

/// Lets one partition's appends pass the registry.
#[derive(Debug)]
struct Admission {
    registry: Arc<ProducerRegistry>,
    topic: Arc<str>,
    partition: u32,
}

impl Fence for Admission {
    fn check(&self, identity: ProducerIdentity, transactional: bool) -> Result<(), Rejection> {
        self.registry.admit(identity, transactional, &self.topic, self.partition)
    }
}

/// A producer's transaction that is open in some partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTransactions {
    /// The transactional id.
    pub transactional_id: String,
    /// The producer id, with the epoch that wrote the records.
    pub identity: ProducerIdentity,
    /// Topic, partition and first offset of each part, sorted.
    pub partitions: Vec<(String, u32, i64)>,
}

impl Coordinator {
    /// Puts the coordinator in front of a partition's appends. Every partition but the store's own
    /// must have it before anybody can append to it.
    pub(crate) fn guard_partition(&self, partition: &Partition) {
        partition.set_fence(Arc::new(Admission {
            registry: self.registry.clone(),
            topic: partition.topic().into(),
            partition: partition.index(),
        }));
    }
}

/// Producers and transactions.
impl Store {
    /// Gives a producer its identity. Without a transactional id: a new producer id, for idempotence
    /// alone. With one: the id's producer id with the next epoch, durably; older instances are fenced
    /// from now on, and the transaction that they left open is aborted
    /// ([`TransactionOwner::Client`]).
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTransactionState`] while an older instance is in the middle of a commit;
    /// otherwise what writing to `__metadata` reports. Nothing has changed then.
    pub fn init_producer(&self, transactional_id: Option<&str>) -> Result<ProducerIdentity> {
        match transactional_id {
            None => Ok(ProducerIdentity { id: self.next_producer_id()?, epoch: 0 }),
            Some(id) => self.init_transactional_producer(id, TransactionOwner::default()),
        }
    }

    /// As [`Store::init_producer`], and says who decides on transactions that are left open.
    ///
    /// # Errors
    ///
    /// As there; also [`Error::InvalidTransactionState`] if the producer id's epochs are used up while
    /// a [`TransactionOwner::Job`] has a transaction open.
    pub fn init_transactional_producer(
        &self,
        transactional_id: &str,
        owner: TransactionOwner,
    ) -> Result<ProducerIdentity> {
        self.resolve_transactions();
        let coordinator = self.coordinator();
        let registry = &coordinator.registry;
        let _one_at_a_time = guard(&coordinator.initialising);
        let Some(known) = registry.registration(transactional_id)? else {
            let identity = ProducerIdentity { id: self.next_producer_id()?, epoch: 0 };
            let record = ProducerRecord { identity, owner, decided: Vec::new() };
            self.metadata().put_all(&[entry(transactional_id, &record)?])?;
            registry.register(transactional_id, &record);
            return Ok(identity);
        };

        let ending = registry.begin_end(known.identity)?;
        let (old_id, epoch) = (known.identity.id, known.identity.epoch + 1);
        let mut left_open = self.open_parts(old_id);
        left_open.retain(|part| !ending.has_decided(part));
        let exhausted = epoch > LAST_EPOCH;
        if exhausted && owner == TransactionOwner::Job && !left_open.is_empty() {
            return Err(Error::InvalidTransactionState {
                producer_id: old_id,
                reason: "its epochs are used up; end its open transactions, then start anew"
                    .to_owned(),
            });
        }
        let identity = match exhausted {
            true => ProducerIdentity { id: self.next_producer_id()?, epoch: 0 },
            false => ProducerIdentity { id: old_id, epoch },
        };
        let mut decided = ending.unresolved.clone();
        if owner != TransactionOwner::Job && !left_open.is_empty() {
            decided.push(DecidedTransaction {
                // With the new epoch in the markers, the partitions fence the old one themselves.
                identity: ProducerIdentity { id: old_id, epoch },
                outcome: TransactionOutcome::Abort,
                parts: left_open,
            });
        }
        let record = ProducerRecord { identity, owner, decided };
        self.decide(ending, &[], &record)?.registered(&record);
        self.resolve_transactions();
        Ok(identity)
    }

    /// Commits the producer's transaction: all its records in all partitions, or, if this fails,
    /// none. Without records nothing happens.
    ///
    /// When this returns, the records are visible to `read_committed` readers; only in a partition
    /// that could not take its marker just now (a full disk) they become so later, at the latest when
    /// the store is opened again.
    ///
    /// # Errors
    ///
    /// - [`Error::ProducerFenced`], [`Error::UnknownProducer`].
    /// - [`ErrorKind::Retry`]: the transaction is still open; commit again later, or abort.
    /// - [`Error::PartitionStopped`] of one of its partitions: it is still open, and is aborted when the
    ///   producer is initialised anew.
    /// - [`Error::PartitionStopped`] of `__metadata`: whether it is committed will be known when the
    ///   store has been opened again; until then the producer can do nothing.
    pub fn commit_transaction(&self, producer: ProducerIdentity) -> Result<()> {
        self.commit_transaction_with(producer, &[])
    }

    /// As [`Store::commit_transaction`], with entries that are written to `__metadata` if, and only
    /// if, the transaction commits. They are also written if the transaction has no records.
    ///
    /// # Errors
    ///
    /// As [`Store::commit_transaction`].
    pub fn commit_transaction_with(
        &self,
        producer: ProducerIdentity,
        entries: &[Entry],
    ) -> Result<()> {
        self.end_with(producer, TransactionOutcome::Commit, entries)
    }

    /// Aborts the producer's transaction in all partitions. Without records nothing happens.
    ///
    /// # Errors
    ///
    /// As [`Store::commit_transaction`].
    pub fn abort_transaction(&self, producer: ProducerIdentity) -> Result<()> {
        self.end_with(producer, TransactionOutcome::Abort, &[])
    }

    /// The open transactions of all transactional ids that begin with `prefix`, by id and epoch.
    pub fn open_transactions(&self, prefix: &str) -> Vec<OpenTransactions> {
        let registry = &self.coordinator().registry;
        let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for partition in self.partitions() {
            let open: Vec<OpenTransaction> =
                partition.with_states(|states| states.transactions().all_open().copied().collect());
            for transaction in open {
                let identity = transaction.identity;
                if let Some(name) = registry.transactional_id(identity.id)
                    && name.starts_with(prefix)
                {
                    let part =
                        (partition.topic().to_owned(), partition.index(), transaction.first_offset);
                    found.entry((name, identity)).or_default().push(part);
                }
            }
        }
        let all = found.into_iter().map(|((transactional_id, identity), mut partitions)| {
            partitions.sort();
            OpenTransactions { transactional_id, identity, partitions }
        });
        all.collect()
    }

    /// Writes the markers that decided transactions still lack, as far as the partitions take them.
    /// Called wherever a producer starts or commits, and by [`Store::maintain`].
    pub(crate) fn resolve_transactions(&self) {
        let all = self.coordinator().registry.all_unresolved();
        if all.is_empty() {
            return;
        }
        let _one_at_a_time = guard(&self.coordinator().resolving);
        for (producer_id, decided) in all {
            self.write_markers(producer_id, &decided);
        }
    }

    /// Brings producers and transactions back when the store is opened: reads all records, writes the
    /// markers that a crash has prevented, and aborts what belonged to the process that is gone.
    pub(crate) fn recover_transactions(&self) -> Result<()> {
        let coordinator = self.coordinator();
        if let Some(value) = self.metadata().get(KIND_IDS, KEY_NEXT_ID) {
            let next = record::decode_next_id(&value)?;
            *guard(&coordinator.ids) = IdBlock { next, reserved: next };
        }
        for (name, value) in self.metadata().scan(KIND_PRODUCER) {
            let record = ProducerRecord::decode(&name, &value)?;
            coordinator.registry.register(&name, &record);
        }
        self.resolve_transactions();
        for open in self.open_transactions("") {
            for (topic, partition, _) in &open.partitions {
                coordinator.registry.enlist(open.identity.id, &topic.as_str().into(), *partition);
            }
            let known = coordinator.registry.registration(&open.transactional_id)?;
            if let Some(known) = known.filter(|known| known.owner == TransactionOwner::Process) {
                let ending = coordinator.registry.begin_end(known.identity)?;
                let parts = open.partitions.into_iter();
                let decided = DecidedTransaction {
                    identity: open.identity,
                    outcome: TransactionOutcome::Abort,
                    parts: parts
                        .map(|part| part_of(open.identity.epoch, part))
                        .filter(|part| !ending.has_decided(part))
                        .collect(),
                };
                ending.decided(Some(decided));
            }
        }
        self.resolve_transactions();
        Ok(())
    }

    /// The writes that go with the deletion of a topic: producers forget that they have committed or
    /// aborted there, or a topic of the same name, whose offsets begin at 0 again, might get a marker
    /// that was meant for the old one.
    pub(crate) fn entries_without_topic(&self, topic: &str) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for (name, value) in self.metadata().scan(KIND_PRODUCER) {
            let mut record = ProducerRecord::decode(&name, &value)?;
            if record.remove_topic(topic) {
                entries.push(entry(&name, &record)?);
            }
        }
        Ok(entries)
    }

    fn next_producer_id(&self) -> Result<i64> {
        let mut ids = guard(&self.coordinator().ids);
        if ids.next == ids.reserved {
            let reserved = ids.reserved + ID_BLOCK;
            self.metadata().put(KIND_IDS, KEY_NEXT_ID, record::encode_next_id(reserved))?;
            ids.reserved = reserved;
        }
        ids.next += 1;
        Ok(ids.next - 1)
    }

    fn end_with(
        &self,
        producer: ProducerIdentity,
        outcome: TransactionOutcome,
        entries: &[Entry],
    ) -> Result<()> {
        self.resolve_transactions();
        let ending = self.coordinator().registry.begin_end(producer)?;
        let mut logs = Vec::new();
        let mut parts = Vec::new();
        for (topic, partition) in &ending.partitions {
            let Some(log) = self.find(topic, *partition)? else { continue };
            let open = log.with_states(|s| s.transactions().open(producer.id).copied());
            // An open transaction of an earlier epoch is the job's to decide on, not this producer's.
            if let Some(open) = open.filter(|open| open.identity.epoch == producer.epoch) {
                let place = (topic.to_string(), *partition, open.first_offset);
                let part = part_of(producer.epoch, place);
                if !ending.has_decided(&part) {
                    parts.push(part);
                    logs.push(log);
                }
            }
        }
        // An abort by this process needs no record: it is what happens anyway. What is recorded must be
        // durable: offsets that a crash takes away are used again, by another transaction.
        let commits = outcome == TransactionOutcome::Commit;
        let recorded = commits || ending.owner != TransactionOwner::Process;
        if recorded {
            self.flush_partitions(&logs)?;
        }
        let decided = (!parts.is_empty()).then_some(DecidedTransaction {
            identity: producer,
            outcome,
            parts,
        });
        let ending = if !entries.is_empty() || (recorded && decided.is_some()) {
            let all = ending.unresolved.iter().chain(&decided).cloned().collect();
            let record = ProducerRecord { identity: producer, owner: ending.owner, decided: all };
            self.decide(ending, entries, &record)?
        } else {
            ending
        };
        ending.decided(decided);
        self.resolve_transactions();
        Ok(())
    }

    /// Makes a decision durable. If it is not known whether it is, the producer may do nothing more.
    fn decide<'a>(
        &self,
        ending: Ending<'a>,
        entries: &[Entry],
        record: &ProducerRecord,
    ) -> Result<Ending<'a>> {
        let mut all = entries.to_vec();
        all.push(entry(&ending.transactional_id, record)?);
        match self.metadata().put_all(&all) {
            Ok(()) => Ok(ending),
            Err(error) if matches!(error.kind(), ErrorKind::Retry | ErrorKind::Invalid) => {
                Err(error)
            }
            Err(error) => {
                ending.undecided();
                Err(error)
            }
        }
    }

    /// Writes the markers of a decided transaction where they are missing, and notes where they are
    /// durable. What fails is tried again later.
    fn write_markers(&self, producer_id: i64, decided: &DecidedTransaction) {
        let registry = &self.coordinator().registry;
        let mut written = Vec::new();
        for part in &decided.parts {
            match self.write_marker(decided, part) {
                Ok(Some(log)) => written.push((part, log)),
                // The topic was deleted, and its transactions with it.
                Ok(None) => registry.resolve(producer_id, part),
                Err(error) => warn_pending(part, &error),
            }
        }
        let logs: Vec<Partition> = written.iter().map(|(_, log)| log.clone()).collect();
        // All at once; then each by itself says how it went.
        let all = self.flush_partitions(&logs);
        for (part, log) in written {
            match all.as_ref().map_or_else(|_| log.flush(), |()| Ok(())) {
                Ok(()) => registry.resolve(producer_id, part),
                Err(error) => warn_pending(part, &error),
            }
        }
    }

    fn write_marker(
        &self,
        decided: &DecidedTransaction,
        part: &TransactionPart,
    ) -> Result<Option<Partition>> {
        let Some(log) = self.find(&part.topic, part.partition)? else { return Ok(None) };
        let DecidedTransaction { identity, outcome, .. } = decided;
        log.append_marker(*identity, *outcome, |states| {
            let open = states.transactions().open(identity.id);
            Ok(open.is_some_and(|open| {
                (open.identity.epoch, open.first_offset) == (part.epoch, part.first_offset)
            }))
        })?;
        Ok(Some(log))
    }

    /// Where a producer id has an open transaction, whatever its epoch.
    fn open_parts(&self, producer_id: i64) -> Vec<TransactionPart> {
        let all = self.partitions().into_iter();
        let mut parts: Vec<TransactionPart> = all
            .filter_map(|log| {
                let open = log.with_states(|s| s.transactions().open(producer_id).copied())?;
                let part = (log.topic().to_owned(), log.index(), open.first_offset);
                Some(part_of(open.identity.epoch, part))
            })
            .collect();
        parts.sort();
        parts
    }

    /// A partition; `None` if its topic was deleted.
    fn find(&self, topic: &str, partition: u32) -> Result<Option<Partition>> {
        match self.partition(topic, partition) {
            Ok(log) => Ok(Some(log)),
            Err(Error::UnknownTopic { .. } | Error::UnknownPartition { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Partition {
    /// Ends the transaction that this producer has open here, for owners that decide by a commit
    /// record of their own; see [`TransactionOwner::Job`]. Returns the marker's offset, or `None` if
    /// the producer has no open transaction of this epoch here; so it can be repeated at will.
    ///
    /// The marker is written, not durable: readers see its effect after a flush.
    ///
    /// # Errors
    ///
    /// [`Error::DiskFull`] (try again), [`Error::PartitionStopped`], [`Error::Closed`].
    pub fn end_transaction(
        &self,
        producer: ProducerIdentity,
        outcome: TransactionOutcome,
    ) -> Result<Option<i64>> {
        let appended = self.append_marker(producer, outcome, |states| {
            Ok(states.transactions().open(producer.id).is_some_and(|o| o.identity == producer))
        })?;
        Ok(appended.map(|appended| appended.base_offset))
    }
}

fn entry(transactional_id: &str, record: &ProducerRecord) -> Result<Entry> {
    Ok(Entry::put(KIND_PRODUCER, transactional_id, record.encode()?))
}

fn part_of(epoch: i16, part: (String, u32, i64)) -> TransactionPart {
    let (topic, partition, first_offset) = part;
    TransactionPart { topic, partition, epoch, first_offset }
}

fn warn_pending(part: &TransactionPart, error: &Error) {
    let TransactionPart { topic, partition, .. } = part;
    tracing::warn!(topic, partition, %error, "a transaction marker waits until it can be written");
}

#[cfg(test)]
#[path = "coordinator/tests.rs"]
mod tests;
