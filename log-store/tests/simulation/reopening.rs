//! The store ends, one way or another, and is opened again: what was in doubt is learned, and must be
//! one of the things that it may be.

use riverrun_log_store::environment::sim::FaultRates;
use riverrun_log_store::{Store, StoreOptions, TransactionOutcome, TransactionOwner};

use crate::checks::{self, Readable, Violation};
use crate::history::{End, History, KIND_FATE, KIND_MAP};
use crate::model::{Fate, Place};

impl History {
    /// The store ends and is opened again; the model learns what was in doubt.
    pub fn reopen(&mut self, end: End) -> Result<(), Violation> {
        self.tell(format!("{end:?}"));
        if end == End::Close {
            let closed = self.store().close();
            self.accept("close", closed)?;
        }
        self.store = None;
        self.sim.set_fail_after(None);
        let mut lossless = end != End::Crash;
        match end {
            End::Crash => self.sim.crash(),
            End::Kill | End::Close => self.sim.kill_process(),
        }
        // Sometimes the first attempt to open meets the same faults.
        if (self.faults || self.full) && self.random.percent(30) {
            let store = Store::open_in(self.sim.environment(), "data", StoreOptions::default());
            self.tell(format!(
                "opening under faults: {:?}",
                store.as_ref().map(|_| ()).err().map(|e| e.to_string())
            ));
            drop(store);
            match self.random.percent(50) {
                true => {
                    self.sim.crash();
                    lossless = false;
                }
                false => self.sim.kill_process(),
            }
        }
        self.sim.set_fault_rates(FaultRates::default());
        self.sim.set_capacity(None);
        (self.faults, self.full) = (false, false);
        self.open()?;
        self.metadata_stopped = false;
        self.adopt_topics();
        self.adopt_metadata()?;
        self.adopt_transactions()?;
        let places: Vec<Place> = self.model.logs.keys().cloned().collect();
        for place in &places {
            let open = self.partition(place)?;
            let log = self.model.logs.get_mut(place).expect("is known");
            checks::adopt(place, log, &open, lossless, &mut self.random)?;
        }
        self.restart_producers()?;
        self.observe()?;
        self.check_all(Readable::All)
    }

    fn adopt_topics(&mut self) {
        for name in std::mem::take(&mut self.model.doubtful_topics) {
            match self.store().topic(&name) {
                Ok(info) if !self.model.logs.contains_key(&(name.clone(), 0)) => {
                    self.adopt_topic(&name, &info.config);
                }
                Ok(_) => {}
                Err(_) => self.forget_topic(&name),
            }
        }
    }

    fn adopt_metadata(&mut self) -> Result<(), Violation> {
        let mut model = std::mem::take(&mut self.model.metadata);
        for (key, values) in &mut model {
            let value = self.metadata_value(KIND_MAP, key);
            if !values.contains(&value) {
                return Err(format!("metadata {key} is {value:?}, expected one of {values:?}"));
            }
            *values = vec![value];
        }
        self.model.metadata = model;
        Ok(())
    }

    /// What the metadata say about transactions is what counts; but nobody who was told may have been
    /// told otherwise.
    fn adopt_transactions(&mut self) -> Result<(), Violation> {
        for index in 0..self.model.producers.len() {
            let producer = &mut self.model.producers[index];
            let Some(transaction) = producer.open else { continue };
            if producer.owner == TransactionOwner::Job {
                continue;
            }
            let owner = producer.owner;
            let committed = self.metadata_value(KIND_FATE, &transaction.to_string()).is_some();
            let fate = &mut self.model.transactions[transaction];
            *fate = match (*fate, committed, owner) {
                (Fate::Doubtful, true, _) => Fate::Committed,
                (Fate::Open | Fate::Doubtful, false, TransactionOwner::Process) => Fate::Aborted,
                (Fate::Open | Fate::Doubtful, false, _) => Fate::Open,
                (before, ..) => {
                    return Err(format!(
                        "transaction {transaction} was {before:?}, now committed: {committed}"
                    ));
                }
            };
            if *fate != Fate::Open {
                self.model.producers[index].open = None;
            }
        }
        for (transaction, fate) in self.model.transactions.iter().enumerate() {
            let committed = self.metadata_value(KIND_FATE, &transaction.to_string()).is_some();
            if committed && *fate != Fate::Committed {
                return Err(format!(
                    "transaction {transaction} is {fate:?}, but its entry is there"
                ));
            }
        }
        Ok(())
    }

    /// What the owner of a job does when it starts anew: redo what its commit record says, abort the rest.
    /// False if it could not be done; then the job has to start anew again.
    pub fn redo_job(&mut self, index: usize) -> Result<bool, Violation> {
        let name = self.model.producers[index].name.clone().unwrap_or_default();
        if let Some(transaction) = self.model.producers[index].open.take() {
            self.model.transactions[transaction] = Fate::Aborted;
        }
        let prepared = self.model.producers[index].prepared.clone();
        for open in self.store().open_transactions(&name) {
            for (topic, partition, first) in open.partitions {
                let place = (topic, partition);
                let part = (place.clone(), first);
                let commit = prepared.as_ref().is_some_and(|prepared| {
                    prepared.outcome == TransactionOutcome::Commit
                        && prepared.identity == open.identity
                        && prepared.parts.contains(&part)
                });
                let outcome =
                    if commit { TransactionOutcome::Commit } else { TransactionOutcome::Abort };
                let ended = self.partition(&place)?.end_transaction(open.identity, outcome);
                if self.accept(&format!("redo {outcome} in {place:?}"), ended)?.is_none() {
                    return Ok(false);
                }
                self.observe()?;
                if !self.flush_place(&place)? {
                    return Ok(false);
                }
            }
        }
        // Markers of an earlier attempt may be written, but not durable.
        for (place, _) in prepared.iter().flat_map(|prepared| &prepared.parts) {
            if !self.flush_place(place)? {
                return Ok(false);
            }
        }
        self.model.producers[index].prepared = None;
        Ok(true)
    }
}
