//! One history: a store on a simulated disk, the model beside it, and what happens to both.

use std::collections::BTreeMap;
use std::time::Duration;

use riverrun_log_store::environment::sim::{FaultRates, Simulation};
use riverrun_log_store::{
    Error, FlushMode, METADATA_TOPIC, Partition, Rejection, Store, StoreOptions, TopicConfig,
    TransactionOwner,
};

use crate::checks::{self, Readable, Violation};
use crate::model::{Log, Model, Place, Producer};
use crate::random::Random;

/// Kind of the metadata entries that say which transactions are committed.
pub const KIND_FATE: &str = "fate";
/// Kind of the metadata entries of the history's own.
pub const KIND_MAP: &str = "map";

/// How a store comes to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The machine loses power.
    Crash,
    /// The process is killed.
    Kill,
    /// The store is closed.
    Close,
}

/// What kind of misfortune a history has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Calm,
    Crashes,
    Errors,
    FullDisk,
    Everything,
}

pub struct History {
    pub sim: Simulation,
    pub random: Random,
    pub model: Model,
    pub store: Option<Store>,
    /// EIO may have happened since the store was opened.
    pub faults: bool,
    /// The disk may be full.
    pub full: bool,
    pub metadata_stopped: bool,
    /// What happened, for the report of a violation.
    pub story: Vec<String>,
    mood: Mood,
}

/// Runs a history; returns the hash of all that it did to the disk.
pub fn run(seed: u64) -> Result<u64, Violation> {
    let mut random = Random::new(seed);
    let moods = [Mood::Calm, Mood::Crashes, Mood::Errors, Mood::FullDisk, Mood::Everything];
    let mood = *random.pick(&moods);
    let mut history = History {
        sim: Simulation::new(seed),
        random,
        model: Model::default(),
        store: None,
        faults: false,
        full: false,
        metadata_stopped: false,
        story: Vec::new(),
        mood,
    };
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| history.play()));
    let result = result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    });
    match result {
        Ok(()) => Ok(history.sim.trace()),
        Err(violation) => {
            let last = history.story.len().saturating_sub(60);
            let story = history.story[last..].join("\n  ");
            Err(format!("seed {seed} ({mood:?}): {violation}\n  {story}"))
        }
    }
}

impl History {
    fn play(&mut self) -> Result<(), Violation> {
        self.open()?;
        self.create_topics()?;
        self.create_producers();
        let steps = 20 + self.random.below(100);
        for _ in 0..steps {
            self.misfortune()?;
            self.step()?;
            self.observe()?;
        }
        self.finish()
    }

    pub fn store(&self) -> &Store {
        self.store.as_ref().expect("a store is open between steps")
    }

    pub fn partition(&self, place: &Place) -> Result<Partition, Violation> {
        let (topic, partition) = place;
        self.store()
            .partition(topic, *partition)
            .map_err(|error| format!("{topic}-{partition} cannot be used: {error}"))
    }

    pub fn tell(&mut self, what: impl std::fmt::Display) {
        self.story.push(what.to_string());
    }

    /// Judges a result: `None` for an error that the simulated disk explains.
    pub fn accept<T>(
        &mut self,
        what: &str,
        result: Result<T, Error>,
    ) -> Result<Option<T>, Violation> {
        let error = match result {
            Ok(value) => {
                self.tell(what);
                return Ok(Some(value));
            }
            Err(error) => error,
        };
        self.tell(format!("{what}: {error}"));
        match &error {
            Error::DiskFull { .. } if self.full => Ok(None),
            Error::Io { .. } if self.faults => Ok(None),
            Error::PartitionStopped { topic, partition, .. } if self.faults => {
                if topic == METADATA_TOPIC {
                    self.metadata_stopped = true;
                } else if let Some(log) = self.model.logs.get_mut(&(topic.clone(), *partition)) {
                    log.stopped = true;
                }
                Ok(None)
            }
            Error::InvalidTransactionState { .. } if self.metadata_stopped => Ok(None),
            // A marker could not be written yet.
            Error::Rejected { rejection: Rejection::TransactionEnding { .. }, .. }
                if self.full || self.faults =>
            {
                Ok(None)
            }
            _ => Err(format!("{what} failed: {error}")),
        }
    }

    pub fn open(&mut self) -> Result<(), Violation> {
        let environment = self.sim.environment();
        let store = Store::open_in(environment, "data", StoreOptions::default());
        self.store = Some(store.map_err(|error| format!("the store does not open: {error}"))?);
        Ok(())
    }

    fn create_topics(&mut self) -> Result<(), Violation> {
        let segment_bytes = *self.random.pick(&[600, 2_000, 10_000]);
        let plain = TopicConfig { partitions: 2, segment_bytes, ..TopicConfig::default() };
        let trimmed = TopicConfig { partitions: 1, retention_bytes: Some(4_000), ..plain.clone() };
        let flush_mode = match self.random.percent(50) {
            true => FlushMode::Os,
            false => FlushMode::Interval(Duration::from_secs(1)),
        };
        let relaxed = TopicConfig { partitions: 1, flush_mode, ..plain.clone() };
        for (name, config) in [("plain", plain), ("trimmed", trimmed), ("relaxed", relaxed)] {
            self.create_topic(name, config)?;
        }
        Ok(())
    }

    pub fn create_topic(&mut self, name: &str, config: TopicConfig) -> Result<(), Violation> {
        let created = self.store().create_topic(name, config.clone());
        // A deletion that is not finished yet may stand in the way.
        let created = match created {
            Err(Error::DamagedFile { .. } | Error::TopicExists { .. })
                if self.faults || self.full =>
            {
                return Ok(());
            }
            other => self.accept(&format!("create topic {name}"), other)?,
        };
        if created.is_none() && self.metadata_stopped {
            self.model.doubtful_topics.push(name.to_owned());
        }
        if created.is_some() {
            self.adopt_topic(name, &config);
        }
        Ok(())
    }

    pub fn adopt_topic(&mut self, name: &str, config: &TopicConfig) {
        for partition in 0..config.partitions {
            let relaxed = config.flush_mode != FlushMode::Commit;
            let trims = config.retention_bytes.is_some();
            let log = Log { relaxed, trims, ..Log::default() };
            self.model.logs.insert((name.to_owned(), partition), log);
        }
    }

    pub fn forget_topic(&mut self, name: &str) {
        self.model.logs.retain(|(topic, _), _| topic != name);
        for producer in &mut self.model.producers {
            producer.lanes.retain(|(topic, _), _| topic != name);
            if let Some(prepared) = &mut producer.prepared {
                prepared.parts.retain(|((topic, _), _)| topic != name);
            }
        }
    }

    fn create_producers(&mut self) {
        let owners = [
            (None, TransactionOwner::Client),
            (None, TransactionOwner::Client),
            (Some("process"), TransactionOwner::Process),
            (Some("client-a"), TransactionOwner::Client),
            (Some("client-b"), TransactionOwner::Client),
            (Some("job"), TransactionOwner::Job),
        ];
        for (name, owner) in owners {
            self.model.producers.push(Producer {
                name: name.map(str::to_owned),
                owner,
                identity: None,
                former: Vec::new(),
                open: None,
                prepared: None,
                lanes: BTreeMap::new(),
            });
        }
    }

    /// Perhaps something bad happens, or stops happening.
    fn misfortune(&mut self) -> Result<(), Violation> {
        let errors = matches!(self.mood, Mood::Errors | Mood::Everything);
        let full = matches!(self.mood, Mood::FullDisk | Mood::Everything);
        if errors && self.random.percent(5) {
            let rate = |random: &mut Random| {
                if random.percent(50) { *random.pick(&[10_000, 100_000, 500_000]) } else { 0 }
            };
            let random = &mut self.random;
            let rates = FaultRates {
                write: rate(random),
                sync: rate(random),
                read: 0,
                directory: rate(random),
            };
            self.faults = true;
            self.tell(format!("{rates:?}"));
            self.sim.set_fault_rates(rates);
        } else if self.faults && self.random.percent(20) {
            self.sim.set_fault_rates(FaultRates::default());
        }
        if full && self.random.percent(5) {
            let room = self.random.below(3_000) as u64;
            self.full = true;
            self.tell(format!("room for {room} bytes"));
            self.sim.set_capacity(Some(self.sim.used() + room));
        } else if self.full && self.random.percent(15) {
            self.tell("room for everything");
            self.sim.set_capacity(None);
        }
        if self.mood != Mood::Calm && self.random.percent(4) {
            // Power fails in the middle of one of the next steps.
            let operations = self.random.below(25) as u64;
            self.faults = true;
            self.tell(format!("power for {operations} more operations"));
            self.sim.set_fail_after(Some(operations));
            for _ in 0..3 {
                self.mutate()?;
                self.observe()?;
            }
            return self.reopen(End::Crash);
        }
        let stopped = self.metadata_stopped || self.model.logs.values().any(|log| log.stopped);
        let often = match self.mood {
            Mood::Calm => 1,
            _ if stopped => 20,
            Mood::Crashes => 8,
            _ => 3,
        };
        if self.random.percent(often) {
            let ends = match self.mood {
                Mood::Calm => &[End::Close][..],
                _ => &[End::Crash, End::Crash, End::Kill, End::Close][..],
            };
            let end = *self.random.pick(ends);
            self.reopen(end)?;
        }
        Ok(())
    }

    pub fn metadata_value(&self, kind: &str, key: &str) -> Option<u64> {
        let bytes = self.store().metadata().get(kind, key)?;
        String::from_utf8_lossy(&bytes).parse().ok()
    }

    /// The frontiers after a step: they move forward, and account for every offset.
    pub fn observe(&mut self) -> Result<(), Violation> {
        let places: Vec<Place> = self.model.logs.keys().cloned().collect();
        for place in &places {
            let name = format!("{}-{}", place.0, place.1);
            let offsets = self.partition(place)?.offsets();
            let log = self.model.logs.get_mut(place).expect("is known");
            let ordered =
                [offsets.log_start, offsets.last_stable, offsets.high_watermark, offsets.log_end];
            if !ordered.is_sorted() {
                return Err(format!("{name}: {offsets:?} are out of order"));
            }
            if offsets.log_start < log.log_start || offsets.high_watermark < log.high_watermark {
                return Err(format!("{name}: {offsets:?} went back"));
            }
            if offsets.log_start > log.log_start && !log.trims {
                return Err(format!("{name}: {offsets:?}, but nothing was to be removed"));
            }
            let end = log.end().max(log.log_start);
            if offsets.log_end < end {
                return Err(format!("{name}: {offsets:?}, but {end} was given out"));
            }
            // Markers are the store's own; they are read, and judged, later.
            for base in end..offsets.log_end {
                let what = crate::model::What::Marker(None);
                log.entries.push(crate::model::Entry { base, next: base + 1, what });
            }
            log.log_start = offsets.log_start;
            log.high_watermark = offsets.high_watermark;
            if !log.relaxed {
                // Readers count on what they see.
                log.durable = log.durable.max(offsets.high_watermark);
            }
        }
        Ok(())
    }

    pub fn check_all(&mut self, readable: Readable) -> Result<(), Violation> {
        let places: Vec<Place> = self.model.logs.keys().cloned().collect();
        places.iter().try_for_each(|place| self.check(place, readable))
    }

    pub fn check(&mut self, place: &Place, readable: Readable) -> Result<(), Violation> {
        let open = self.partition(place)?;
        let log = self.model.logs.get_mut(place).expect("is known");
        checks::check(place, log, &self.model.transactions, &open, readable, &mut self.random)
    }

    /// The end of a history: everything is decided, closed, and read a last time; then, perhaps, damaged.
    fn finish(&mut self) -> Result<(), Violation> {
        let last = *self.random.pick(&[End::Crash, End::Kill, End::Close]);
        self.reopen(if self.mood == Mood::Calm { End::Close } else { last })?;
        self.tell("finish");
        for producer in 0..self.model.producers.len() {
            self.finish_producer(producer)?;
        }
        let open = self.store().open_transactions("");
        if !open.is_empty() {
            return Err(format!("still open: {open:?}"));
        }
        let logs: Vec<Place> = self.model.logs.keys().cloned().collect();
        for place in &logs {
            let flushed = self.partition(place)?.flush();
            self.accept("flush", flushed)?;
        }
        self.observe()?;
        self.check_all(Readable::All)?;
        for (place, log) in &self.model.logs {
            let offsets = self.partition(place)?.offsets();
            if offsets.last_stable != log.end().max(log.log_start) {
                return Err(format!("{place:?}: {offsets:?} at the end of everything"));
            }
        }
        if self.random.percent(40) {
            self.damage()?;
        }
        Ok(())
    }
}
