//! Which producers the store has given identities to, where their transactions have records, and
//! whether they may write now. Pure: no I/O; shared by all partitions of a store.
//!
//! Every append of a transactional batch passes [`ProducerRegistry::admit`] *while it holds its
//! partition's append lock*. So when an epoch has been raised, or a transaction's end has begun,
//! whoever then takes a partition's lock sees all that the producer was admitted to write there, and
//! nothing follows. Lock order: partition, then registry; never the other way round.
//!
//! ```text
//!            admit: enlists the partition
//!             .---.
//!             v   |        begin_end                 decide
//!   Ready ----'---'------------------> Ending -----------------> Ready, with unresolved parts
//!     ^                                  |  \                     (admit refuses those partitions,
//!     '----------------------------------'   '---> Undecided      resolve removes them)
//!               release (nothing decided)          (the decision's fate is not known: only
//!                                                   opening the store again will tell)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::record::{DecidedTransaction, ProducerRecord, TransactionOwner, TransactionPart};
use crate::error::{Error, Result};
use crate::producer_state::Rejection;
use crate::transaction::ProducerIdentity;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Ready,
    Ending,
    Undecided,
}

#[derive(Clone, Debug)]
struct Registered {
    transactional_id: String,
    epoch: i16,
    owner: TransactionOwner,
    phase: Phase,
    /// Partitions that the open transaction may have records in.
    enlisted: BTreeMap<Arc<str>, BTreeSet<u32>>,
    /// Decided transactions with the parts whose marker is not known to be durable.
    unresolved: Vec<DecidedTransaction>,
}

impl Registered {
    fn is_unresolved(&self, topic: &str, partition: u32) -> bool {
        let mut parts = self.unresolved.iter().flat_map(|decided| &decided.parts);
        parts.any(|part| part.partition == partition && part.topic == topic)
    }
}

#[derive(Debug, Default)]
struct Registrations {
    by_id: BTreeMap<i64, Registered>,
    ids: BTreeMap<String, i64>,
}

/// See the [module](self).
#[derive(Debug, Default)]
pub struct ProducerRegistry {
    registrations: Mutex<Registrations>,
}

/// What the registry knows about a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The identity that is valid now.
    pub identity: ProducerIdentity,
    /// Who decides on its open transactions.
    pub owner: TransactionOwner,
}

impl ProducerRegistry {
    fn lock(&self) -> MutexGuard<'_, Registrations> {
        self.registrations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a transactional id, or replaces what is known of it. Lower epochs, and other producer
    /// ids that it had, are fenced from now on. Enlisted partitions stay.
    pub fn register(&self, transactional_id: &str, record: &ProducerRecord) {
        register(&mut self.lock(), transactional_id, record);
    }

    /// What is known of a transactional id.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidTransactionState`] while its transaction is being ended, or if how it ended is
    /// not known.
    pub fn registration(&self, transactional_id: &str) -> Result<Option<Registration>> {
        let registrations = self.lock();
        let Some(id) = registrations.ids.get(transactional_id) else { return Ok(None) };
        let Some(registered) = registrations.by_id.get(id) else { return Ok(None) };
        ready(*id, registered)?;
        Ok(Some(Registration {
            identity: ProducerIdentity { id: *id, epoch: registered.epoch },
            owner: registered.owner,
        }))
    }

    /// The transactional id that a producer id belongs to.
    pub fn transactional_id(&self, producer_id: i64) -> Option<String> {
        self.lock().by_id.get(&producer_id).map(|registered| registered.transactional_id.clone())
    }

    /// Whether a batch of this producer may be written to this partition now; enlists the partition in
    /// the producer's transaction. To be called while the partition's append lock is held.
    pub fn admit(
        &self,
        producer: ProducerIdentity,
        transactional: bool,
        topic: &Arc<str>,
        partition: u32,
    ) -> Result<(), Rejection> {
        let mut registrations = self.lock();
        let Some(registered) = registrations.by_id.get_mut(&producer.id) else {
            // Producers without a transactional id are known to their partitions alone.
            return if transactional {
                Err(Rejection::UnknownProducer { producer })
            } else {
                Ok(())
            };
        };
        if producer.epoch < registered.epoch {
            return Err(Rejection::Fenced { producer, current: registered.epoch });
        }
        if producer.epoch > registered.epoch {
            return Err(Rejection::UnknownProducer { producer });
        }
        if registered.phase != Phase::Ready || registered.is_unresolved(topic, partition) {
            return Err(Rejection::TransactionEnding { producer });
        }
        if transactional {
            match registered.enlisted.get_mut(&**topic) {
                Some(partitions) => {
                    partitions.insert(partition);
                }
                None => {
                    registered.enlisted.insert(topic.clone(), BTreeSet::from([partition]));
                }
            }
        }
        Ok(())
    }

    /// Enlists a partition in which a transaction was found open when the store was opened.
    pub fn enlist(&self, producer_id: i64, topic: &Arc<str>, partition: u32) {
        if let Some(registered) = self.lock().by_id.get_mut(&producer_id) {
            registered.enlisted.entry(topic.clone()).or_default().insert(partition);
        }
    }

    /// The partitions that the producer's transaction may have records in.
    #[cfg(test)]
    pub fn enlisted(&self, producer: ProducerIdentity) -> Result<Vec<(Arc<str>, u32)>> {
        let mut registrations = self.lock();
        current(&mut registrations, producer).map(|registered| pairs(registered))
    }

    /// Begins to end the producer's transaction: from now on nothing more is admitted, until the
    /// returned [`Ending`] says how it went. Dropped without a word, it releases the producer.
    ///
    /// # Errors
    ///
    /// [`Error::ProducerFenced`], [`Error::UnknownProducer`], and
    /// [`Error::InvalidTransactionState`] if the transaction is being ended already.
    pub fn begin_end(&self, producer: ProducerIdentity) -> Result<Ending<'_>> {
        let mut registrations = self.lock();
        let registered = current(&mut registrations, producer)?;
        ready(producer.id, registered)?;
        registered.phase = Phase::Ending;
        Ok(Ending {
            registry: self,
            producer,
            transactional_id: registered.transactional_id.clone(),
            owner: registered.owner,
            partitions: pairs(registered),
            unresolved: registered.unresolved.clone(),
            next_phase: Phase::Ready,
        })
    }

    /// A marker is durable: the partition may take the producer's next transaction.
    pub fn resolve(&self, producer_id: i64, part: &TransactionPart) {
        if let Some(registered) = self.lock().by_id.get_mut(&producer_id) {
            for decided in &mut registered.unresolved {
                decided.parts.retain(|other| other != part);
            }
            registered.unresolved.retain(|decided| !decided.parts.is_empty());
        }
    }

    /// All decided transactions with parts whose marker is not known to be durable, with the producer
    /// id that they are registered under.
    pub fn all_unresolved(&self) -> Vec<(i64, DecidedTransaction)> {
        let registrations = self.lock();
        let mut all = Vec::new();
        for (id, registered) in &registrations.by_id {
            all.extend(registered.unresolved.iter().map(|decided| (*id, decided.clone())));
        }
        all
    }
}

fn register(registrations: &mut Registrations, transactional_id: &str, record: &ProducerRecord) {
    let id = record.identity.id;
    let previous = registrations.ids.insert(transactional_id.to_owned(), id);
    if let Some(previous) = previous.filter(|previous| *previous != id)
        && let Some(registered) = registrations.by_id.get_mut(&previous)
    {
        // The name moves on; batches of the old id find a fence.
        registered.epoch = i16::MAX;
        registered.phase = Phase::Undecided;
        registered.unresolved.clear();
    }
    let enlisted = registrations.by_id.remove(&id).map(|old| old.enlisted).unwrap_or_default();
    let registered = Registered {
        transactional_id: transactional_id.to_owned(),
        epoch: record.identity.epoch,
        owner: record.owner,
        phase: Phase::Ready,
        enlisted,
        unresolved: record.decided.clone(),
    };
    registrations.by_id.insert(id, registered);
}

fn pairs(registered: &Registered) -> Vec<(Arc<str>, u32)> {
    let topics = registered.enlisted.iter();
    topics.flat_map(|(topic, all)| all.iter().map(|p| (topic.clone(), *p))).collect()
}

fn current(
    registrations: &mut Registrations,
    producer: ProducerIdentity,
) -> Result<&mut Registered> {
    let ProducerIdentity { id: producer_id, epoch } = producer;
    match registrations.by_id.get_mut(&producer_id) {
        Some(registered) if registered.epoch == epoch => Ok(registered),
        Some(registered) if registered.epoch > epoch => {
            Err(Error::ProducerFenced { producer_id, epoch, current: registered.epoch })
        }
        _ => Err(Error::UnknownProducer { producer_id }),
    }
}

fn ready(producer_id: i64, registered: &Registered) -> Result<()> {
    let reason = match registered.phase {
        Phase::Ready => return Ok(()),
        Phase::Ending => "it is being committed or aborted already; try again when that has ended",
        Phase::Undecided => {
            "writing its end failed, so it is not known whether it is committed; open the store \
             again, which finds out"
        }
    };
    Err(Error::InvalidTransactionState { producer_id, reason: reason.to_owned() })
}

/// A transaction whose end has begun.
#[derive(Debug)]
pub struct Ending<'a> {
    registry: &'a ProducerRegistry,
    /// The producer.
    pub producer: ProducerIdentity,
    /// Its transactional id.
    pub transactional_id: String,
    /// Who decides on its open transactions.
    pub owner: TransactionOwner,
    /// Partitions that the transaction may have records in.
    pub partitions: Vec<(Arc<str>, u32)>,
    /// Earlier transactions with parts whose marker is not known to be durable.
    pub unresolved: Vec<DecidedTransaction>,
    next_phase: Phase,
}

impl Ending<'_> {
    /// Whether it was decided before how this part ends; only its marker is missing. It is open still, but
    /// nobody may decide again: were the marker of the first decision to fail once more, and that of the
    /// second to succeed, a committed transaction would be aborted.
    pub fn has_decided(&self, part: &TransactionPart) -> bool {
        self.unresolved.iter().any(|decided| decided.parts.contains(part))
    }

    /// The decision is durable: the enlisted partitions are those of the next transaction from now on,
    /// and those of `decided` admit nothing until their marker is durable.
    pub fn decided(self, decided: Option<DecidedTransaction>) {
        let mut registrations = self.registry.lock();
        if let Some(registered) = registrations.by_id.get_mut(&self.producer.id) {
            registered.enlisted.clear();
            registered.unresolved.extend(decided.filter(|decided| !decided.parts.is_empty()));
        }
    }

    /// The producer has been initialised anew, durably: the old epoch is fenced, the new one may begin.
    pub fn registered(self, record: &ProducerRecord) {
        register(&mut self.registry.lock(), &self.transactional_id, record);
    }

    /// The decision was attempted, and whether it is durable is not known.
    pub fn undecided(mut self) {
        self.next_phase = Phase::Undecided;
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if let Some(registered) = self.registry.lock().by_id.get_mut(&self.producer.id)
            && registered.phase == Phase::Ending
        {
            registered.phase = self.next_phase;
        }
    }
}

#[cfg(test)]
#[path = "registry/tests.rs"]
mod tests;
