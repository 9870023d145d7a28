//! The topic sink and its committer on a simulated disk, with everything crashing.

use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use riverrun_dataflow::testing::{Collected, context};
use riverrun_dataflow::{Committer, ManualClock, Rows, SnapshotKind};
use riverrun_log_store::environment::sim::Simulation;
use riverrun_log_store::{Decompressor, Isolation, StoreOptions};

use super::*;
use crate::format::{EncodedRows, ToJson};

const KEY: &str = "job/out/0";

type Sink = TopicSink<EncodedRows<u32, ToJson<u32>>>;

fn open_store(simulation: &Simulation) -> Arc<Store> {
    Arc::new(Store::open_in(simulation.environment(), "/data", StoreOptions::default()).unwrap())
}

fn open_sink(store: &Arc<Store>, output: TopicOutput, index: u32, parallelism: u32) -> Sink {
    let encoder = ToJson::keyed_with(|n: &u32, key| key.extend_from_slice(&n.to_be_bytes()));
    let mut sink = TopicSink::new(store.clone(), output, KEY, EncodedRows::new(encoder));
    let mut context = context(Arc::new(ManualClock::new(1_000)), Arc::default());
    (context.subtask.index, context.parallelism) = (index, parallelism);
    sink.open(&context).unwrap();
    sink
}

fn output(partitions: u32) -> TopicOutput {
    TopicOutput::new("out").partitions(partitions).batch_bytes(200)
}

fn committer(store: &Arc<Store>) -> TopicCommitter {
    TopicCommitter::new(store.clone(), format!("{KEY}/"))
}

fn write(sink: &mut Sink, rows: impl IntoIterator<Item = u32>) {
    let mut batch = Rows::default();
    rows.into_iter().for_each(|row| batch.push(row, i64::from(row)));
    sink.process(0, Batch::rows(batch, None), &mut Collected::default()).unwrap();
}

fn barrier(checkpoint: u64) -> Barrier {
    Barrier { checkpoint, kind: SnapshotKind::Full }
}

/// What a reader of committed records finds, by partition.
fn committed(store: &Store) -> Vec<Vec<u32>> {
    let Ok(topic) = store.topic("out") else { return Vec::new() };
    (0..topic.config.partitions)
        .map(|partition| {
            let log = store.partition("out", partition).unwrap();
            let (mut at, mut found) = (0, Vec::new());
            loop {
                let fetch = log.read(at, 1 << 20, Isolation::ReadCommitted).unwrap();
                let Some(next) = fetch.next_offset() else { return found };
                at = next;
                for batch in &fetch.batches {
                    let header = batch.header();
                    let aborted = fetch.aborted.iter().any(|aborted| {
                        aborted.producer_id == header.producer_id
                            && aborted.first_offset <= header.base_offset
                            && header.base_offset <= aborted.last_offset
                    });
                    if header.attributes.is_control() || aborted {
                        continue;
                    }
                    for record in batch.records(&mut Decompressor::new()).unwrap().iter() {
                        let record = record.unwrap();
                        let row = serde_json::from_slice(record.value.unwrap()).unwrap();
                        assert_eq!(record.key, Some(&u32::to_be_bytes(row)[..]));
                        assert_eq!(record.timestamp, i64::from(row));
                        found.push(row);
                    }
                }
            }
        })
        .collect()
}

fn all_committed(store: &Store) -> Vec<u32> {
    let mut all = committed(store).concat();
    all.sort_unstable();
    all
}

#[test]
fn rows_are_seen_when_their_checkpoint_is_committed() {
    let store = open_store(&Simulation::new(1));
    let mut sink = open_sink(&store, output(2), 0, 1);
    assert_eq!(store.topic("out").unwrap().config.partitions, 2);
    write(&mut sink, 0..100);
    let first = sink.snapshot(barrier(1)).unwrap();
    write(&mut sink, 100..150);
    let first = first.finish().unwrap().prepared;
    assert_eq!((first.len(), all_committed(&store).len()), (1, 0));
    committer(&store).commit(&first).unwrap();
    committer(&store).commit(&first).unwrap();
    assert_eq!(all_committed(&store), (0..100).collect::<Vec<_>>());
    sink.on_checkpoint_complete(1).unwrap();
    let second = sink.snapshot(barrier(2)).unwrap().finish().unwrap().prepared;
    committer(&store).commit(&second).unwrap();
    assert_eq!(all_committed(&store), (0..150).collect::<Vec<_>>());
    assert_eq!(sink.slots.ids.len(), 2);
    // Keys stay together.
    for (partition, rows) in (0..).zip(committed(&store)) {
        for row in rows {
            let chosen = riverrun_log_store::partition_of_key(&row.to_be_bytes(), 2);
            assert_eq!(chosen, partition);
        }
    }
}

#[test]
fn an_epoch_without_rows_has_no_transaction() {
    let store = open_store(&Simulation::new(1));
    let mut sink = open_sink(&store, output(1), 0, 1);
    assert!(sink.snapshot(barrier(1)).unwrap().finish().unwrap().prepared.is_empty());
    assert!(store.open_transactions("").is_empty());
}

#[test]
fn checkpoints_that_were_given_up_are_committed_with_the_next() {
    let store = open_store(&Simulation::new(1));
    let mut sink = open_sink(&store, output(1), 0, 1);
    let mut prepared = Vec::new();
    for checkpoint in 1..=4 {
        write(&mut sink, [checkpoint]);
        let state = sink.snapshot(barrier(checkpoint.into())).unwrap().finish().unwrap();
        prepared = state.prepared;
        assert_eq!(prepared.len(), checkpoint as usize);
    }
    assert_eq!(sink.slots.ids.len(), 5, "none of the four transactions is over");
    committer(&store).commit(&prepared).unwrap();
    assert_eq!(all_committed(&store), [1, 2, 3, 4]);
    sink.on_checkpoint_complete(4).unwrap();
    write(&mut sink, [5]);
    assert_eq!(sink.snapshot(barrier(5)).unwrap().finish().unwrap().prepared.len(), 1);
    assert_eq!(sink.slots.ids.len(), 5);
}

#[test]
fn a_redone_commit_does_not_reach_a_later_transaction_of_the_same_producer() {
    let store = open_store(&Simulation::new(1));
    let mut sink = open_sink(&store, output(1), 0, 1);
    write(&mut sink, [1]);
    let one = sink.snapshot(barrier(1)).unwrap().finish().unwrap().prepared;
    committer(&store).commit(&one).unwrap();
    sink.on_checkpoint_complete(1).unwrap();
    write(&mut sink, [2]);
    drop(sink.snapshot(barrier(2)).unwrap().finish().unwrap());
    // The first slot again, but the record of the second checkpoint is never written.
    write(&mut sink, 30..100);
    assert_eq!(sink.slots.current, 0);
    committer(&store).recover(1, &one).unwrap();
    assert_eq!(all_committed(&store), [1]);
    assert!(store.open_transactions("").is_empty());
}

#[test]
fn an_old_sink_is_fenced_and_a_closed_one_leaves_nothing_open() {
    let store = open_store(&Simulation::new(1));
    let mut old = open_sink(&store, output(1), 0, 1);
    write(&mut old, 0..100);
    committer(&store).recover(2, &[]).unwrap();
    let mut new = open_sink(&store, output(1), 0, 1);
    write(&mut new, 0..100);
    let mut batch = Rows::default();
    (0..100u32).for_each(|row| batch.push(row, 0));
    let error = old.process(0, Batch::rows(batch, None), &mut Collected::default()).unwrap_err();
    assert!(error.is_fatal(), "{error}");
    assert_eq!(store.open_transactions(KEY).len(), 1);
    new.close().unwrap();
    assert!(store.open_transactions(KEY).is_empty());
}

#[test]
fn at_least_once_is_seen_at_the_flush() {
    let store = open_store(&Simulation::new(1));
    let output = output(1).delivery(Delivery::AtLeastOnce);
    let mut sink = open_sink(&store, output, 0, 1);
    write(&mut sink, 0..3);
    let state = sink.snapshot(barrier(1)).unwrap().finish().unwrap();
    assert!(state.prepared.is_empty());
    assert_eq!(all_committed(&store), [0, 1, 2]);
}

/// The commit record of a job that copies the numbers 0, 1, 2, ... into a topic.
#[derive(Clone, Default)]
struct Record {
    next: u32,
    prepared: Vec<Vec<u8>>,
}

/// Where a run stops.
#[derive(Clone, Copy, PartialEq)]
enum Stop {
    WhileWriting,
    BeforeFlush,
    BeforeRecord,
    BeforeCommit,
    InCommit,
    BeforeNotice,
    /// The checkpoint is given up, the run goes on.
    GivenUp,
    Never,
}

const STOPS: [Stop; 10] = [
    Stop::WhileWriting,
    Stop::BeforeFlush,
    Stop::BeforeRecord,
    Stop::BeforeCommit,
    Stop::InCommit,
    Stop::BeforeNotice,
    Stop::GivenUp,
    Stop::Never,
    Stop::Never,
    Stop::Never,
];

/// A run of the job with some subtasks.
struct Run<'a> {
    store: &'a Arc<Store>,
    sinks: Vec<Sink>,
    /// The number that is written next.
    next: u32,
}

impl Run<'_> {
    fn write(&mut self, numbers: u32, rng: &mut SmallRng) {
        for _ in 0..numbers {
            let subtask = rng.random_range(0..self.sinks.len());
            write(&mut self.sinks[subtask], [self.next]);
            self.next += 1;
        }
    }

    /// One epoch. False if the run stopped in it; the record is then what is durable.
    fn epoch(
        &mut self,
        checkpoint: u64,
        record: &mut Record,
        stop: Stop,
        rng: &mut SmallRng,
    ) -> bool {
        self.write(rng.random_range(0..60), rng);
        if stop == Stop::WhileWriting {
            return false;
        }
        let snapshots: Vec<_> =
            self.sinks.iter_mut().map(|sink| sink.snapshot(barrier(checkpoint)).unwrap()).collect();
        let at_barrier = self.next;
        // The next epoch begins at once.
        self.write(rng.random_range(0..40), rng);
        if stop == Stop::BeforeFlush {
            return false;
        }
        let mut prepared = Vec::new();
        for snapshot in snapshots {
            prepared.extend(snapshot.finish().unwrap().prepared);
        }
        match stop {
            Stop::BeforeRecord => return false,
            Stop::GivenUp => return true,
            _ => *record = Record { next: at_barrier, prepared },
        }
        match stop {
            Stop::BeforeCommit => return false,
            Stop::InCommit => {
                let part = rng.random_range(0..=record.prepared.len());
                committer(self.store).commit(&record.prepared[..part]).unwrap();
                return false;
            }
            _ => committer(self.store).commit(&record.prepared).unwrap(),
        }
        if stop == Stop::BeforeNotice {
            return false;
        }
        for sink in &mut self.sinks {
            sink.on_checkpoint_complete(checkpoint).unwrap();
        }
        true
    }
}

/// Whatever stops, wherever, and at whatever parallelism it goes on: what committed readers see is what the records say, each
/// number once.
#[test]
fn every_number_once_whatever_stops() {
    let seeds = std::env::var("RIVERRUN_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(80);
    for seed in 0..seeds {
        let mut rng = SmallRng::seed_from_u64(seed);
        let simulation = Simulation::new(seed);
        let mut store = open_store(&simulation);
        let mut record = Record::default();
        let mut checkpoint = 0;
        let partitions = rng.random_range(1..4);
        for run in 0..rng.random_range(2..8) {
            committer(&store).recover(run, &record.prepared).unwrap();
            let expected: Vec<u32> = (0..record.next).collect();
            assert_eq!(all_committed(&store), expected, "seed {seed}, run {run}");
            assert!(store.open_transactions("").is_empty(), "seed {seed}, run {run}");
            let parallelism = rng.random_range(1..4);
            let sinks = (0..parallelism)
                .map(|index| open_sink(&store, output(partitions), index, parallelism))
                .collect();
            let mut run = Run { store: &store, sinks, next: record.next };
            loop {
                checkpoint += 1;
                let stop = STOPS[rng.random_range(0..STOPS.len())];
                if !run.epoch(checkpoint, &mut record, stop, &mut rng) {
                    break;
                }
            }
            let mut sinks = run.sinks;
            match rng.random_range(0..4) {
                // Only the job stops, tidily or not.
                0 => sinks.iter_mut().for_each(|sink| sink.close().unwrap()),
                1 => {}
                // The process dies, or the machine.
                kind => {
                    drop((sinks, store));
                    if kind == 2 {
                        simulation.kill_process()
                    } else {
                        simulation.crash()
                    }
                    store = open_store(&simulation);
                }
            }
        }
        committer(&store).recover(99, &record.prepared).unwrap();
        let expected: Vec<u32> = (0..record.next).collect();
        assert_eq!(all_committed(&store), expected, "seed {seed}, at the end");
    }
}

mod columns;
