//! Steps of producers with an identity: sending, retrying, committing, aborting, starting anew.

use std::collections::VecDeque;

use riverrun_log_store::{
    Entry, Error, ErrorKind, Partition, ProducerIdentity, Rejection, TransactionOutcome,
    TransactionOwner,
};

use crate::checks::Violation;
use crate::history::{History, KIND_FATE};
use crate::model::{Fate, Place, Prepared, Sent, What};

/// As many batches of a producer are remembered by a partition.
const REMEMBERED: usize = 5;

impl History {
    fn any_producer(&mut self) -> usize {
        self.random.below(self.model.producers.len())
    }

    /// Whether nobody knows what became of the producer's transaction.
    fn in_doubt(&self, index: usize) -> bool {
        let open = self.model.producers[index].open;
        open.is_some_and(|transaction| self.model.transactions[transaction] == Fate::Doubtful)
    }

    /// The producer's identity; it gets one if it has none.
    fn identity(&mut self, index: usize) -> Result<Option<ProducerIdentity>, Violation> {
        if self.model.producers[index].identity.is_none()
            && !self.in_doubt(index)
            && self.initialise(index)?
        {
            self.redo_if_job(index)?;
        }
        Ok(self.model.producers[index].identity)
    }

    /// A job that has started anew decides on what it left open, before it writes.
    fn redo_if_job(&mut self, index: usize) -> Result<(), Violation> {
        let producer = &self.model.producers[index];
        if producer.owner == TransactionOwner::Job
            && producer.identity.is_some()
            && !self.redo_job(index)?
        {
            let producer = &mut self.model.producers[index];
            producer.former.extend(producer.identity.take());
        }
        Ok(())
    }

    fn initialise(&mut self, index: usize) -> Result<bool, Violation> {
        let producer = &self.model.producers[index];
        let (name, owner) = (producer.name.clone(), producer.owner);
        let store = self.store();
        let result = match &name {
            Some(name) => store.init_transactional_producer(name, owner),
            None => store.init_producer(None),
        };
        let identity = self.accept(&format!("initialise {name:?}"), result)?;
        let producer = &mut self.model.producers[index];
        let Some(identity) = identity else {
            if self.metadata_stopped {
                // The new epoch may be there, and the old transaction aborted.
                producer.former.extend(producer.identity.take());
                if let Some(open) = producer.open.filter(|_| owner != TransactionOwner::Job) {
                    self.model.transactions[open] = Fate::Doubtful;
                }
            }
            return Ok(false);
        };
        producer.former.extend(producer.identity.replace(identity));
        if let Some(former) = producer.former.iter().find(|former| **former >= identity) {
            return Err(format!("{name:?} got {identity} after {former}"));
        }
        producer.lanes.clear();
        if owner != TransactionOwner::Job
            && let Some(open) = producer.open.take()
        {
            self.model.transactions[open] = Fate::Aborted;
        }
        Ok(true)
    }

    /// A new instance of a producer takes over.
    pub fn start_anew(&mut self) -> Result<(), Violation> {
        let index = self.any_producer();
        if self.model.producers[index].name.is_none() || self.in_doubt(index) {
            return Ok(());
        }
        if self.initialise(index)? { self.redo_if_job(index) } else { Ok(()) }
    }

    pub fn send(&mut self) -> Result<(), Violation> {
        let index = self.any_producer();
        let Some(identity) = self.identity(index)? else { return Ok(()) };
        if self.in_doubt(index) || !self.end_prepared(index)? {
            return Ok(());
        }
        let place = self.any_place(true);
        if !self.resend(index, &place)? || !self.make_room(index, &place)? {
            return Ok(());
        }
        let transactional = self.model.producers[index].name.is_some();
        let transaction = transactional.then(|| match self.model.producers[index].open {
            Some(open) => open,
            None => {
                self.model.transactions.push(Fate::Open);
                let open = self.model.transactions.len() - 1;
                self.model.producers[index].open = Some(open);
                open
            }
        });
        let lane = self.model.producers[index].lanes.entry(place.clone()).or_default();
        let sequence = lane.next_sequence;
        let ProducerIdentity { id, epoch } = identity;
        let sent = self.build(transaction, |builder| match transactional {
            true => builder.transactional(id, epoch, sequence),
            false => builder.idempotent(id, epoch, sequence),
        })?;
        let lane = self.model.producers[index].lanes.entry(place.clone()).or_default();
        lane.next_sequence += sent.records;
        if lane.sent.len() == REMEMBERED {
            lane.sent.pop_front();
        }
        lane.sent.push_back(sent);
        self.resend(index, &place)?;
        Ok(())
    }

    /// Five batches may be in flight: the oldest must be durable before a sixth is sent.
    fn make_room(&mut self, index: usize, place: &Place) -> Result<bool, Violation> {
        let Some(lane) = self.model.producers[index].lanes.get(place) else { return Ok(true) };
        let durable = self.model.logs[place].durable;
        let oldest = lane.sent.front().filter(|_| lane.sent.len() == REMEMBERED);
        let waits = oldest.is_some_and(|sent| {
            sent.base.is_none_or(|base| base + i64::from(sent.records) > durable)
        });
        if waits { self.flush_place(place) } else { Ok(true) }
    }

    /// Sends again what is not in the log, in order; false if something is still not.
    fn resend(&mut self, index: usize, place: &Place) -> Result<bool, Violation> {
        let Some(identity) = self.model.producers[index].identity else { return Ok(false) };
        let Some(lane) = self.model.producers[index].lanes.get_mut(place) else { return Ok(true) };
        let mut sent: VecDeque<Sent> = std::mem::take(&mut lane.sent);
        let mut all = true;
        for batch in sent.iter_mut().filter(|batch| batch.base.is_none()) {
            let appended = self.append(place, identity.id, &[&*batch])?;
            match appended {
                Some(appended) if appended.duplicate => {
                    let base = appended.base_offset;
                    return Err(format!("{place:?}: taken for a retry of what is at {base}"));
                }
                Some(appended) => batch.base = Some(appended.base_offset),
                None => {
                    all = false;
                    break;
                }
            }
        }
        if let Some(lane) = self.model.producers[index].lanes.get_mut(place) {
            lane.sent = sent;
        }
        Ok(all)
    }

    fn resend_all(&mut self, index: usize) -> Result<bool, Violation> {
        let places: Vec<Place> = self.model.producers[index].lanes.keys().cloned().collect();
        for place in &places {
            if !self.resend(index, place)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A batch that is in the log is sent again, as if the answer had been lost.
    pub fn retry(&mut self) -> Result<(), Violation> {
        let index = self.any_producer();
        let Some(identity) = self.model.producers[index].identity else { return Ok(()) };
        let lanes: Vec<Place> = self.model.producers[index].lanes.keys().cloned().collect();
        if lanes.is_empty() || self.in_doubt(index) {
            return Ok(());
        }
        let place = self.random.pick(&lanes).clone();
        let lane = &self.model.producers[index].lanes[&place];
        let known: Vec<Sent> = lane.sent.iter().filter(|s| s.base.is_some()).cloned().collect();
        if known.is_empty() {
            return Ok(());
        }
        let sent = self.random.pick(&known).clone();
        let Some(appended) = self.append(&place, identity.id, &[&sent])? else { return Ok(()) };
        if !appended.duplicate || Some(appended.base_offset) != sent.base {
            return Err(format!("{place:?}: a retry of {:?} got {appended:?}", sent.base));
        }
        Ok(())
    }

    /// Tries to append what must be refused.
    fn expect_refused(
        &mut self,
        place: &Place,
        what: &str,
        sent: &Sent,
        right: impl Fn(&Error) -> bool,
    ) -> Result<(), Violation> {
        let refused = self.partition(place)?.append(&mut sent.bytes.clone());
        match refused {
            Ok(appended) => Err(format!("{place:?}: {what} was taken: {appended:?}")),
            Err(error) if right(&error) => Ok(()),
            Err(error) => self.accept(what, Err::<(), _>(error)).map(|_| ()),
        }
    }

    pub fn send_with_gap(&mut self) -> Result<(), Violation> {
        let index = self.any_producer();
        let producer = &self.model.producers[index];
        let Some(ProducerIdentity { id, epoch }) = producer.identity else { return Ok(()) };
        let known = producer.lanes.iter().find(|(_, lane)| {
            !lane.sent.is_empty() && lane.sent.iter().all(|sent| sent.base.is_some())
        });
        let Some((place, lane)) = known else { return Ok(()) };
        if self.in_doubt(index) {
            return Ok(());
        }
        let (place, sequence) = (place.clone(), lane.next_sequence + 1);
        let transactional = producer.name.is_some();
        let sent = self.build(None, |builder| match transactional {
            true => builder.transactional(id, epoch, sequence),
            false => builder.idempotent(id, epoch, sequence),
        })?;
        self.expect_refused(&place, "a batch after a gap", &sent, |error| {
            matches!(error, Error::Rejected { rejection: Rejection::OutOfOrderSequence { .. }, .. })
        })
    }

    pub fn send_fenced(&mut self) -> Result<(), Violation> {
        let index = self.any_producer();
        let producer = &self.model.producers[index];
        if producer.identity.is_none() || producer.former.is_empty() {
            return Ok(());
        }
        let former = producer.former.clone();
        let ProducerIdentity { id, epoch } = *self.random.pick(&former);
        let place = self.any_place(true);
        let sequence = self.random.below(10) as i32;
        let sent = self.build(None, |builder| builder.transactional(id, epoch, sequence))?;
        self.expect_refused(&place, "a fenced producer's batch", &sent, |error| {
            error.kind() == ErrorKind::Fenced
        })
    }

    pub fn end_transaction(&mut self) -> Result<(), Violation> {
        let index = self.any_producer();
        let producer = &self.model.producers[index];
        let (owner, open) = (producer.owner, producer.open);
        let (Some(identity), Some(transaction)) = (producer.identity, open) else {
            return self.end_prepared(index).map(|_| ());
        };
        if self.in_doubt(index) || !self.resend_all(index)? {
            return Ok(());
        }
        let commit = self.random.percent(70);
        if owner == TransactionOwner::Job {
            return self.prepare(index, transaction, commit);
        }
        let store = self.store();
        let result = match commit {
            true => {
                let entry = Entry::put(KIND_FATE, &transaction.to_string(), "1");
                store.commit_transaction_with(identity, &[entry])
            }
            false => store.abort_transaction(identity),
        };
        let what = if commit { "commit" } else { "abort" };
        let ended = self.accept(&format!("{what} transaction {transaction}"), result)?;
        let fate = &mut self.model.transactions[transaction];
        match ended {
            Some(()) if commit => *fate = Fate::Committed,
            Some(()) => *fate = Fate::Aborted,
            None if self.metadata_stopped => {
                *fate = Fate::Doubtful;
                if !commit {
                    // Its owner starts anew when it can: that aborts it, if it is not yet.
                    let producer = &mut self.model.producers[index];
                    producer.former.extend(producer.identity.take());
                }
                return Ok(());
            }
            None => return Ok(()),
        }
        self.model.producers[index].open = None;
        if commit {
            self.acknowledge(transaction);
        }
        Ok(())
    }

    /// All records of a committed transaction are durable.
    fn acknowledge(&mut self, transaction: usize) {
        for log in self.model.logs.values_mut() {
            let ends = log.entries.iter().filter_map(|entry| match entry.what {
                What::Data { transaction: Some(t), .. } if t == transaction => Some(entry.next),
                _ => None,
            });
            log.durable = ends.fold(log.durable, i64::max);
        }
    }

    /// A job flushes its output, writes its commit record, and ends the transaction.
    fn prepare(&mut self, index: usize, transaction: usize, commit: bool) -> Result<(), Violation> {
        let parts = self.model.parts(transaction);
        let open = parts
            .iter()
            .map(|(place, _)| self.partition(place))
            .collect::<Result<Vec<Partition>, _>>()?;
        let flushed = self.store().flush_partitions(&open);
        if self.accept("flush for a checkpoint", flushed)?.is_none() {
            return Ok(());
        }
        let (fate, outcome) = match commit {
            true => (Fate::Committed, TransactionOutcome::Commit),
            false => (Fate::Aborted, TransactionOutcome::Abort),
        };
        self.tell(format!("checkpoint: {outcome} transaction {transaction}"));
        self.model.transactions[transaction] = fate;
        self.acknowledge(transaction);
        let producer = &mut self.model.producers[index];
        producer.open = None;
        let Some(identity) = producer.identity else { return Ok(()) };
        producer.prepared = Some(Prepared { identity, outcome, parts });
        // The job may die right here.
        if self.random.percent(70) {
            self.end_prepared(index)?;
        }
        Ok(())
    }

    /// Writes the markers that a job's commit record asks for; false if some could not be written.
    fn end_prepared(&mut self, index: usize) -> Result<bool, Violation> {
        let producer = &self.model.producers[index];
        let Some(prepared) = producer.prepared.clone() else { return Ok(true) };
        for (place, _) in &prepared.parts {
            let Prepared { identity, outcome, .. } = prepared;
            let ended = self.partition(place)?.end_transaction(identity, outcome);
            let ended = self.accept(&format!("{} in {place:?}", prepared.outcome), ended)?;
            if ended.is_none() {
                return Ok(false);
            }
            self.observe()?;
            if !self.flush_place(place)? {
                return Ok(false);
            }
        }
        self.model.producers[index].prepared = None;
        Ok(true)
    }

    /// After the store was opened again.
    pub fn restart_producers(&mut self) -> Result<(), Violation> {
        for index in 0..self.model.producers.len() {
            let logs = &self.model.logs;
            let producer = &mut self.model.producers[index];
            for (place, lane) in &mut producer.lanes {
                let log = &logs[place];
                for sent in &mut lane.sent {
                    let same = |entry: &&crate::model::Entry| match &entry.what {
                        What::Data { bytes, .. } => bytes[16..] == sent.bytes[16..],
                        What::Marker(_) => false,
                    };
                    sent.base = log.entries.iter().find(same).map(|entry| entry.base);
                }
            }
            match producer.owner {
                TransactionOwner::Client => {
                    if producer.identity.is_none() {
                        self.initialise(index)?;
                    }
                }
                TransactionOwner::Process => {
                    producer.former.extend(producer.identity.take());
                    producer.lanes.clear();
                }
                TransactionOwner::Job => {
                    producer.former.extend(producer.identity.take());
                    producer.lanes.clear();
                    if !self.redo_job(index)? {
                        return Err("a job's markers are refused without a reason".to_owned());
                    }
                }
            }
        }
        Ok(())
    }

    pub fn finish_producer(&mut self, index: usize) -> Result<(), Violation> {
        if self.model.producers[index].open.is_none() {
            return Ok(());
        }
        if self.random.percent(50) {
            return self.initialise(index).map(|_| ());
        }
        while self.model.producers[index].open.is_some() {
            let before = self.story.len();
            let identity = self.model.producers[index].identity;
            let Some(identity) = identity else {
                return self.initialise(index).map(|_| ());
            };
            if !self.resend_all(index)? {
                return Err("a batch is refused without a reason".to_owned());
            }
            let Some(transaction) = self.model.producers[index].open else { break };
            let entry = Entry::put(KIND_FATE, &transaction.to_string(), "1");
            let ended = self.store().commit_transaction_with(identity, &[entry]);
            self.accept(&format!("last commit ({before})"), ended)?;
            self.model.transactions[transaction] = Fate::Committed;
            self.model.producers[index].open = None;
        }
        Ok(())
    }
}
