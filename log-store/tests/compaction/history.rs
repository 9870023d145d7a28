//! One history: a store on a simulated disk, the model beside it, and what happens to both.

use std::time::Duration;

use riverrun_log_store::environment::sim::{FaultRates, Simulation};
use riverrun_log_store::verify::{Finding, Selection, verify};
use riverrun_log_store::{
    Appended, BatchBuilder, Compression, Error, MaintenanceReport, Partition, Store, StoreOptions,
    TransactionOwner,
};

use crate::checks::{self, Violation};
use crate::model::{Fate, Model, Producer, Random, Sent};

pub const TOPIC: &str = "table";

pub struct History {
    pub sim: Simulation,
    pub random: Random,
    pub model: Model,
    pub store: Option<Store>,
    pub options: StoreOptions,
    pub delete_retention_ms: i64,
    /// Segments that were compacted.
    pub compacted: usize,
    pub story: Vec<String>,
}

/// Runs a history; returns how many segments were compacted.
pub fn run(seed: u64) -> Result<usize, Violation> {
    let mut random = Random::new(seed);
    let options = StoreOptions {
        compaction_memory: random.pick(&[0, 24 * 8, 24 * 30, 1 << 20]),
        compaction_step_bytes: random.pick(&[1, 1_000, 20_000, 1 << 30]),
        ..StoreOptions::default()
    };
    let delete_retention_ms = random.pick(&[0, 5_000, 60_000]);
    let mut history = History {
        sim: Simulation::new(seed),
        random,
        model: Model::default(),
        store: None,
        options,
        delete_retention_ms,
        compacted: 0,
        story: Vec::new(),
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history.play()));
    let result = result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    });
    result.map(|()| history.compacted).map_err(|violation| {
        let last = history.story.len().saturating_sub(60);
        format!("seed {seed}: {violation}\n  {}", history.story[last..].join("\n  "))
    })
}

fn text(error: Error) -> Violation {
    error.to_string()
}

impl History {
    fn play(&mut self) -> Result<(), Violation> {
        self.open()?;
        let policy = self.random.pick(&["compact", "compact", "compact,delete"]);
        let settings = [
            ("cleanup.policy", policy.to_owned()),
            ("segment.bytes", self.random.pick(&[400, 1_500, 6_000]).to_string()),
            ("min.cleanable.dirty.ratio", self.random.pick(&["0", "0.3", "0.5"]).to_owned()),
            ("delete.retention.ms", self.delete_retention_ms.to_string()),
            ("retention.bytes", self.random.pick(&["3000", "20000", "-1"]).to_owned()),
        ];
        self.tell(format!("{settings:?} {:?}", self.options));
        let settings: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
        self.store().create_topic_with(TOPIC, &settings).map_err(text)?;
        for name in [None, None, Some("a"), Some("b")] {
            let (identity, last, open) = (None, None, None);
            self.model.producers.push(Producer { name, identity, next_sequence: 0, last, open });
        }
        for _ in 0..40 + self.random.below(120) {
            self.step()?;
        }
        self.finish()
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("a store is open between steps")
    }

    pub fn log(&self) -> Result<Partition, Violation> {
        self.store().partition(TOPIC, 0).map_err(text)
    }

    pub fn tell(&mut self, what: impl std::fmt::Display) {
        self.story.push(what.to_string());
    }

    pub fn open(&mut self) -> Result<(), Violation> {
        let store = Store::open_in(self.sim.environment(), "data", self.options.clone());
        self.store = Some(store.map_err(|e| format!("the store does not open: {e}"))?);
        Ok(())
    }

    fn step(&mut self) -> Result<(), Violation> {
        match self.random.below(100) {
            0..25 => self.append_plain(),
            25..60 => {
                let index = self.random.below(self.model.producers.len());
                self.send(index)
            }
            60..70 => {
                let index = self.random.below(self.model.producers.len());
                self.end_transaction(index)
            }
            70..86 => self.maintain().map(|_| ()),
            86..92 => self.interrupted(),
            92..95 => self.reopen(),
            _ => self.check(),
        }
    }

    /// A batch of a few records, of few keys.
    fn build(
        &mut self,
        transaction: Option<usize>,
        origin: impl FnOnce(&mut BatchBuilder),
    ) -> Result<(Vec<u8>, Vec<Sent>), Violation> {
        let mut builder = BatchBuilder::new(self.random.pick(&Compression::ALL)).map_err(text)?;
        origin(&mut builder);
        let at_ms = self.sim.environment().clock.now_ms();
        let mut records = Vec::new();
        for _ in 0..1 + self.random.below(5) {
            let key = format!("key-{}", self.random.below(12)).into_bytes();
            let length = self.random.pick(&[0, 10, 40, 200]);
            let value = (!self.random.percent(25))
                .then(|| (0..length).map(|_| self.random.next() as u8).collect::<Vec<u8>>());
            let timestamp = 1_000 + self.random.below(3_000) as i64;
            builder
                .append(timestamp, Some(&key), value.as_deref(), &[("h", &key)])
                .map_err(text)?;
            records.push(Sent { key, value, timestamp, transaction, at_ms });
        }
        Ok((builder.finish().map_err(text)?, records))
    }

    fn append(&mut self, bytes: &[u8], records: Vec<Sent>) -> Result<Appended, Violation> {
        let appended = self.log()?.append_durable(&mut bytes.to_vec()).map_err(text)?;
        self.tell(format!("append at {} {:?}", appended.base_offset, records[0].transaction));
        for (offset, sent) in (appended.base_offset..).zip(records) {
            if self.model.records.insert(offset, sent).is_some() {
                return Err(format!("offset {offset} was given out twice"));
            }
        }
        Ok(appended)
    }

    fn append_plain(&mut self) -> Result<(), Violation> {
        let (bytes, records) = self.build(None, |_| {})?;
        self.append(&bytes, records).map(|_| ())
    }

    pub fn send(&mut self, index: usize) -> Result<(), Violation> {
        let producer = &self.model.producers[index];
        let (name, next) = (producer.name, producer.next_sequence);
        let identity = match producer.identity {
            Some(identity) => identity,
            None => match name {
                Some(name) => {
                    self.store().init_transactional_producer(name, TransactionOwner::Client)
                }
                None => self.store().init_producer(None),
            }
            .map_err(text)?,
        };
        let open = name.map(|_| match self.model.producers[index].open {
            Some(open) => open,
            None => {
                self.model.fates.push(Fate::Open);
                self.model.fates.len() - 1
            }
        });
        let (bytes, records) = self.build(open, |builder| match name {
            Some(_) => builder.transactional(identity.id, identity.epoch, next),
            None => builder.idempotent(identity.id, identity.epoch, next),
        })?;
        let count = records.len() as i32;
        let appended = self.append(&bytes, records)?;
        let producer = &mut self.model.producers[index];
        producer.identity = Some(identity);
        producer.open = open;
        producer.next_sequence = next + count;
        producer.last = Some((bytes, appended.base_offset));
        Ok(())
    }

    pub fn end_transaction(&mut self, index: usize) -> Result<(), Violation> {
        let producer = &mut self.model.producers[index];
        let (Some(identity), Some(open)) = (producer.identity, producer.open.take()) else {
            return Ok(());
        };
        let commits = self.random.percent(60);
        self.tell(format!("end {open}: {commits}"));
        if commits {
            self.model.fates[open] = Fate::Committed;
            self.store().commit_transaction(identity).map_err(text)
        } else {
            self.model.fates[open] = Fate::Aborted;
            self.store().abort_transaction(identity).map_err(text)?;
            // A new instance, whose sequences begin anew, now and then.
            if self.random.percent(30) {
                let producer = &mut self.model.producers[index];
                (producer.identity, producer.next_sequence, producer.last) = (None, 0, None);
            }
            self.log()?.flush().map_err(text)
        }
    }

    pub fn maintain(&mut self) -> Result<MaintenanceReport, Violation> {
        self.sim.advance(Duration::from_millis(self.random.below(4_000) as u64));
        let report = self.store().maintain().map_err(text)?;
        self.tell(format!("{report:?}"));
        self.compacted += report.segments_compacted;
        match report.failures.first() {
            None => Ok(report),
            Some(failure) => Err(format!("maintenance failed: {failure:?}")),
        }
    }

    /// Something happens in the middle of maintenance; the store is opened again after it.
    fn interrupted(&mut self) -> Result<(), Violation> {
        self.sim.advance(Duration::from_millis(self.random.below(4_000) as u64));
        match self.random.below(3) {
            0 => {
                let operations = self.random.below(60) as u64;
                self.tell(format!("power for {operations} more operations"));
                self.sim.set_fail_after(Some(operations));
            }
            1 => {
                let rate = self.random.pick(&[20_000, 200_000]);
                self.tell(format!("{rate} of a million operations fail"));
                let rates = FaultRates { write: rate, sync: rate, read: rate, directory: rate };
                self.sim.set_fault_rates(rates);
            }
            _ => {
                let room = self.random.below(2_000) as u64;
                self.tell(format!("room for {room} bytes"));
                self.sim.set_capacity(Some(self.sim.used() + room));
            }
        }
        for _ in 0..1 + self.random.below(3) {
            let report = self.store().maintain();
            self.tell(format!("{report:?}"));
        }
        self.sim.set_fail_after(None);
        self.sim.set_fault_rates(FaultRates::default());
        self.sim.set_capacity(None);
        self.reopen()
    }

    pub fn reopen(&mut self) -> Result<(), Violation> {
        let end = self.random.below(3);
        self.tell(["crash", "kill", "close"][end]);
        if end == 2 {
            // A partition that has stopped says so; that is all.
            let closed = self.store().close();
            self.tell(format!("{closed:?}"));
        }
        self.store = None;
        match end {
            0 => self.sim.crash(),
            _ => self.sim.kill_process(),
        }
        self.check_undamaged()?;
        if self.random.percent(20) {
            // The first attempt to open does not get far.
            self.sim.set_fail_after(Some(self.random.below(40) as u64));
            let opened = Store::open_in(self.sim.environment(), "data", self.options.clone());
            self.tell(format!("opening: {:?}", opened.as_ref().err().map(ToString::to_string)));
            drop(opened);
            self.sim.set_fail_after(None);
            self.sim.crash();
            self.check_undamaged()?;
        }
        self.open()?;
        self.check()?;
        self.check_undamaged()
    }

    pub fn verify(&self) -> Result<Vec<Finding>, Violation> {
        let all = Selection::default();
        let found = verify(&self.sim.environment(), "data".as_ref(), &all, &mut |_| {});
        Ok(found.map_err(text)?.findings)
    }

    pub fn check_undamaged(&self) -> Result<(), Violation> {
        match self.verify()?.into_iter().find(|finding| finding.damage) {
            None => Ok(()),
            Some(finding) => Err(format!("verification finds damage: {finding}")),
        }
    }

    pub fn check(&mut self) -> Result<(), Violation> {
        let log = self.log()?;
        let now = self.sim.environment().clock.now_ms();
        let random = &mut self.random;
        checks::check(&self.model, &log, self.delete_retention_ms, now, random).map(|_| ())
    }
}
