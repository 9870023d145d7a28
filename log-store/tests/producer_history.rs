//! A transactional producer through seeded histories of failing writes and syncs, full disks and
//! crashes: what was committed is there, whole, once and in order; nothing else is.
//!
//! `RIVERRUN_SIM_SEEDS` sets how many histories are run.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use riverrun_log_store::environment::sim::{FaultRates, Simulation};
use riverrun_log_store::{
    Compression, Consumer, ConsumerConfig, Decompressor, ErrorKind, Position, Producer,
    ProducerConfig, Store, StoreOptions, TopicConfig,
};

const PARTITIONS: usize = 2;

/// Values by partition.
type Values = [Vec<u32>; PARTITIONS];

#[derive(Default)]
struct Counts {
    committed: usize,
    aborted: usize,
    refused: usize,
    in_doubt: usize,
    crashes: usize,
}

struct History {
    simulation: Simulation,
    random: SmallRng,
    next_value: u32,
    /// What is committed for certain.
    committed: Values,
    /// What the open transaction has taken.
    open: Values,
    counts: Counts,
}

/// Whether the machine has to crash before it goes on.
#[derive(PartialEq)]
enum Next {
    GoOn,
    Crash { in_doubt: bool },
}

impl History {
    fn open_store(&self) -> (Store, Producer) {
        self.simulation.set_fault_rates(FaultRates::default());
        self.simulation.set_capacity(None);
        let store = Store::open_in(self.simulation.environment(), "/data", StoreOptions::default())
            .expect("a sound disk opens");
        if store.topic("t").is_err() {
            let config = TopicConfig {
                partitions: PARTITIONS as u32,
                segment_bytes: 4_000,
                ..TopicConfig::default()
            };
            store.create_topic("t", config).expect("a new topic");
        }
        let config = ProducerConfig {
            transactional_id: Some("history".to_string()),
            compression: Compression::None,
            batch_bytes: 300,
            linger: Some(Duration::from_millis(3)),
            ..ProducerConfig::default()
        };
        let producer = Producer::new(&store, config).expect("a producer");
        (store, producer)
    }

    fn one_life(&mut self) -> Next {
        let (_store, mut producer) = self.open_store();
        self.open = Values::default();
        self.simulation.set_fault_rates(FaultRates {
            write: 3_000,
            sync: 3_000,
            ..FaultRates::default()
        });
        for _ in 0..self.random.random_range(1..60) {
            let next = self.one_transaction(&mut producer);
            if next != Next::GoOn {
                return next;
            }
        }
        Next::Crash { in_doubt: false }
    }

    fn one_transaction(&mut self, producer: &mut Producer) -> Next {
        producer.begin_transaction().expect("none is open");
        for _ in 0..self.random.random_range(0..12) {
            let next = match self.random.random_range(0..20) {
                0 => producer.flush(),
                1 => producer.poll(),
                2 => {
                    let room = self.random.random_range(0..3_000);
                    self.simulation.set_capacity(Some(self.simulation.used() + room));
                    Ok(())
                }
                3 => {
                    self.simulation.set_capacity(None);
                    Ok(())
                }
                4 => {
                    self.simulation.advance(Duration::from_millis(2));
                    Ok(())
                }
                _ => {
                    let partition = self.random.random_range(0..PARTITIONS);
                    let value = self.next_value;
                    self.next_value += 1;
                    let sent = producer.send(
                        "t",
                        Some(partition as u32),
                        None,
                        None,
                        Some(format!("{value:060}").as_bytes()),
                        &[],
                    );
                    if sent.is_ok() {
                        self.open[partition].push(value);
                    }
                    sent
                }
            };
            match next {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::Retry => self.counts.refused += 1,
                // A partition has stopped: nobody has been promised anything.
                Err(_) => return Next::Crash { in_doubt: false },
            }
        }
        if self.random.random_range(0..40) == 0 {
            return Next::Crash { in_doubt: false };
        }
        match self.random.random_range(0..4) {
            0 => self.abort(producer),
            _ => self.commit(producer),
        }
    }

    fn commit(&mut self, producer: &mut Producer) -> Next {
        loop {
            match producer.commit_transaction() {
                Ok(()) => {
                    self.counts.committed += 1;
                    for (committed, open) in self.committed.iter_mut().zip(&mut self.open) {
                        committed.append(open);
                    }
                    return Next::GoOn;
                }
                Err(error) if error.kind() == ErrorKind::Retry => {
                    self.counts.refused += 1;
                    if self.random.random_bool(0.3) {
                        return self.abort(producer);
                    }
                    self.simulation.set_capacity(None);
                }
                Err(_) => return Next::Crash { in_doubt: true },
            }
        }
    }

    fn abort(&mut self, producer: &mut Producer) -> Next {
        self.simulation.set_capacity(None);
        if producer.abort_transaction().is_err() {
            return Next::Crash { in_doubt: false };
        }
        self.counts.aborted += 1;
        self.open = Values::default();
        Next::GoOn
    }

    /// After a crash: the committed values, and, if the commit was in doubt, the whole of that
    /// transaction or nothing of it.
    fn check(&mut self, in_doubt: bool) {
        let (store, _producer) = self.open_store();
        let found = read(&store);
        if found == self.committed {
            return;
        }
        assert!(in_doubt, "found {found:?}\ninstead of {:?}", self.committed);
        let mut with_open = self.committed.clone();
        for (committed, open) in with_open.iter_mut().zip(&self.open) {
            committed.extend(open);
        }
        assert!(
            found == with_open,
            "found {found:?}\ninstead of {with_open:?} or without the last"
        );
        self.committed = with_open;
    }
}

fn read(store: &Store) -> Values {
    let mut consumer = Consumer::new(store, ConsumerConfig::default());
    consumer.assign_all("t", Position::Earliest).expect("the topic is there");
    let mut decompressor = Decompressor::new();
    let mut values = Values::default();
    loop {
        let fetched = consumer.poll(Duration::ZERO).expect("readable");
        if fetched.is_empty() {
            return values;
        }
        for batch in fetched {
            let partition = batch.partition as usize;
            batch
                .for_each(&mut decompressor, |record| {
                    let text = std::str::from_utf8(record.value.unwrap_or_default());
                    let value = text.ok().and_then(|text| text.parse().ok()).expect("a number");
                    values[partition].push(value);
                })
                .expect("well-formed");
        }
    }
}

fn run(seed: u64) -> (u64, Counts) {
    let mut history = History {
        simulation: Simulation::new(seed),
        random: SmallRng::seed_from_u64(seed),
        next_value: 0,
        committed: Values::default(),
        open: Values::default(),
        counts: Counts::default(),
    };
    for _ in 0..4 {
        let Next::Crash { in_doubt } = history.one_life() else { continue };
        history.counts.crashes += 1;
        history.counts.in_doubt += usize::from(in_doubt);
        if history.random.random_bool(0.5) {
            history.simulation.crash();
        } else {
            history.simulation.kill_process();
        }
        history.check(in_doubt);
        // What looking at it has opened is not to be open still.
        history.simulation.kill_process();
    }
    (history.simulation.trace(), history.counts)
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..5 {
        assert_eq!(run(seed).0, run(seed).0, "seed {seed}");
    }
    assert_ne!(run(0).0, run(1).0);
}

#[test]
fn what_was_committed_is_there_once_and_in_order() {
    let seeds = std::env::var("RIVERRUN_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let mut total = Counts::default();
    for seed in 0..seeds.unwrap_or(150) {
        // Shown when the test fails.
        println!("seed {seed}");
        let (_, counts) = run(seed);
        total.committed += counts.committed;
        total.aborted += counts.aborted;
        total.refused += counts.refused;
        total.in_doubt += counts.in_doubt;
        total.crashes += counts.crashes;
    }
    // The histories reach what they are meant to reach.
    let Counts { committed, aborted, refused, in_doubt, crashes } = total;
    println!(
        "{committed} committed, {aborted} aborted, {refused} refused, {in_doubt} in doubt, {crashes} crashes"
    );
    assert!(committed > 500 && aborted > 100 && refused > 50 && in_doubt > 5 && crashes > 100);
}
