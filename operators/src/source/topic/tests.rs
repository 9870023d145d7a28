//! The topic source on a simulated disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use riverrun_dataflow::{ManualClock, OperatorContext, RestoredState, Timestamp};
use riverrun_log_store::environment::sim::Simulation;
use riverrun_log_store::{
    BatchBuilder, Compression, Partition, ProducerIdentity, StoreOptions, TopicConfig,
    TransactionOutcome, TransactionOwner,
};

use super::*;
use crate::Line;
use crate::format::{DecodedRows, Lines};
use crate::source::tests::{Driven, Said, rows};

pub(super) type Driver = Driven<TopicSource<DecodedRows<Lines>>>;

pub(super) fn store(partitions: u32) -> (Simulation, Store) {
    let simulation = Simulation::new(7);
    let store = Store::open_in(simulation.environment(), "/data", StoreOptions::default()).unwrap();
    let config = TopicConfig { partitions, ..TopicConfig::default() };
    store.create_topic("t", config).unwrap();
    (simulation, store)
}

fn append(
    log: &Partition,
    codec: Compression,
    transaction: Option<(ProducerIdentity, i32)>,
    records: &[(Timestamp, String)],
) {
    let mut builder = BatchBuilder::new(codec).unwrap();
    if let Some((identity, sequence)) = transaction {
        builder.transactional(identity.id, identity.epoch, sequence);
    }
    for (timestamp, value) in records {
        builder.append(*timestamp, None, Some(value.as_bytes()), &[]).unwrap();
    }
    log.append_durable(&mut builder.finish().unwrap()).unwrap();
}

pub(super) fn put(store: &Store, partition: u32, records: &[(Timestamp, &str)]) {
    let log = store.partition("t", partition).unwrap();
    let records: Vec<_> = records.iter().map(|(t, value)| (*t, (*value).to_owned())).collect();
    append(&log, Compression::Lz4, None, &records);
}

fn open_as(
    store: &Store,
    input: TopicInput,
    restored: Option<RestoredState>,
    change: impl FnOnce(&mut OperatorContext),
) -> Driver {
    let mut resources = Resources::default();
    resources.insert(store.clone());
    let source = TopicSource::new(input, DecodedRows::new(Lines), &resources).unwrap();
    Driven::open_as(source, restored, change)
}

pub(super) fn open(store: &Store, input: TopicInput) -> Driver {
    open_as(store, input, None, |_| {})
}

pub(super) fn texts(said: Vec<Said<Line>>) -> Vec<String> {
    rows(said).iter().map(Line::to_string).collect()
}

#[test]
fn goes_on_with_the_partition_that_is_behind_and_ends_where_the_topic_ended() {
    let (_simulation, store) = store(2);
    for base in [100, 300, 500] {
        put(&store, 0, &[(base, "a"), (base + 50, "a")]);
        put(&store, 1, &[(base + 100, "b")]);
    }
    let mut source = open(&store, TopicInput::new("t").bounded().batch_rows(1));
    put(&store, 0, &[(0, "too late")]);
    let said = source.all::<Line>();
    let order: Vec<(u32, Timestamp)> = said
        .iter()
        .filter_map(|said| match said {
            Said::Rows(split, rows) => Some((*split, rows[0].1)),
            _ => None,
        })
        .collect();
    // Split 0 reaches 150, split 1 200, then split 0 is behind again, and so on.
    assert_eq!(order, [(0, 100), (1, 200), (0, 300), (1, 400), (0, 500), (1, 600)]);
    assert_eq!(said[..2], [0, 1].map(|split| Said::Split(split, SplitStatus::Active)));
    assert!(said.contains(&Said::Split(0, SplitStatus::Finished)));
    assert_eq!(said.last(), Some(&Said::End));
    assert!(!texts(said).contains(&"too late".to_owned()));
}

#[test]
fn is_woken_by_an_append_and_idle_after_a_while() {
    let (_simulation, store) = store(2);
    put(&store, 0, &[(1, "one")]);
    let clock = Arc::new(ManualClock::new(10_000));
    let input = TopicInput::new("t").idle_after(Duration::from_secs(5));
    let mut source = open_as(&store, input, None, |context| context.clock = clock.clone());
    assert_eq!(texts(source.all()), ["one"]);
    assert!(!source.woken.take());
    clock.set(14_999);
    assert_eq!(source.all::<Line>(), []);
    put(&store, 1, &[(2, "two")]);
    assert!(source.woken.take(), "the append wakes the subtask");
    assert_eq!(texts(source.all()), ["two"]);
    clock.set(15_000);
    assert_eq!(source.all::<Line>(), [Said::Split(0, SplitStatus::Idle)]);
    clock.set(30_000);
    assert_eq!(source.all::<Line>(), [Said::Split(1, SplitStatus::Idle)]);
    assert_eq!(source.all::<Line>(), []);
    put(&store, 1, &[(3, "three")]);
    assert_eq!(source.next::<Line>(), Poll::Ready(Said::Split(1, SplitStatus::Active)));
    // A barrier may come here: the row was not handed out yet.
    let state = source.state();
    assert_eq!(texts(source.all()), ["three"]);
    let mut restored = open_as(&store, TopicInput::new("t"), Some(state), |_| {});
    assert_eq!(texts(restored.all()), ["three"]);
}

#[test]
fn an_open_transaction_is_no_silence() {
    let (_simulation, store) = store(1);
    let log = store.partition("t", 0).unwrap();
    let producer = store.init_transactional_producer("job", TransactionOwner::Job).unwrap();
    let clock = Arc::new(ManualClock::new(0));
    let mut source =
        open_as(&store, TopicInput::new("t"), None, |context| context.clock = clock.clone());
    assert_eq!(source.all::<Line>(), [Said::Split(0, SplitStatus::Active)]);
    clock.set(1000);
    assert_eq!(source.all::<Line>(), [Said::Split(0, SplitStatus::Idle)]);
    source.woken.take();
    append(&log, Compression::None, Some((producer, 0)), &[(5, "open".into())]);
    assert!(source.woken.take());
    assert_eq!(source.all::<Line>(), [Said::Split(0, SplitStatus::Active)]);
    clock.set(1_000_000);
    assert_eq!(source.all::<Line>(), [], "rows are to come");
    log.end_transaction(producer, TransactionOutcome::Commit).unwrap();
    log.flush().unwrap();
    assert!(source.woken.take());
    assert_eq!(texts(source.all()), ["open"]);
}

#[test]
fn starts_where_it_is_told() {
    let (_simulation, store) = store(1);
    put(&store, 0, &[(10, "a"), (20, "b")]);
    put(&store, 0, &[(30, "c"), (40, "d")]);
    let from = |start| texts(open(&store, TopicInput::new("t").bounded().start(start)).all());
    assert_eq!(from(Start::Earliest), ["a", "b", "c", "d"]);
    assert_eq!(from(Start::Latest), [""; 0]);
    assert_eq!(from(Start::Offset(1)), ["b", "c", "d"]);
    assert_eq!(from(Start::Offset(99)), [""; 0]);
    assert_eq!(from(Start::Timestamp(35)), ["d"]);
    assert_eq!(from(Start::Timestamp(41)), [""; 0]);
}

#[test]
fn what_cannot_go_on_says_so() {
    let (_simulation, store) = store(1);
    put(&store, 0, &[(10, "a")]);
    let mut resources = Resources::default();
    let source = TopicSource::new("t".into(), DecodedRows::new(Lines), &resources);
    let error = source.map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("the source of topic `t`: needs a"), "{error}");

    resources.insert(store);
    let context = riverrun_dataflow::testing::context(Arc::default(), Arc::default());
    let open = |topic: &str, position: Option<i64>| {
        let positions = position
            .map(|at| ("t-0".to_owned(), riverrun_dataflow::codec::encode(&at).unwrap()))
            .into_iter()
            .collect();
        let restored = RestoredState { positions, ..RestoredState::default() };
        let mut source =
            TopicSource::new(topic.into(), DecodedRows::new(Lines), &resources).unwrap();
        source.open(&context, Some(restored)).unwrap_err()
    };
    assert!(open("u", None).to_string().contains("create it first"));
    let lost = open("t", Some(7));
    assert!(lost.is_fatal() && lost.to_string().contains("up to offset 7"), "{lost}");
}

/// One partition as it should be read.
struct Model {
    log: Partition,
    /// Committed values in the order of their offsets.
    committed: Vec<String>,
}

/// Partitions with batches of all kinds: plain, and of transactions that are committed, aborted, interleaved.
fn random_topic(store: &Store, rng: &mut SmallRng) -> Vec<Model> {
    let producers: Vec<_> = (0..3)
        .map(|i| store.init_transactional_producer(&format!("p{i}"), TransactionOwner::Job))
        .collect::<Result<_, _>>()
        .unwrap();
    let partitions = store.topic("t").unwrap().config.partitions;
    (0..partitions)
        .map(|partition| {
            let log = store.partition("t", partition).unwrap();
            let mut sequences = [0; 3];
            // Values with their producer, `None` for those that are sure.
            let mut values: Vec<(Option<usize>, String)> = Vec::new();
            for step in 0..rng.random_range(0..30) {
                let who = rng.random_range(0..6usize);
                if who < 3 && rng.random_bool(0.4) {
                    let commit = rng.random_bool(0.5);
                    let outcome = match commit {
                        true => TransactionOutcome::Commit,
                        false => TransactionOutcome::Abort,
                    };
                    log.end_transaction(producers[who], outcome).unwrap();
                    values.retain(|(of, _)| *of != Some(who) || commit);
                    for value in values.iter_mut().filter(|(of, _)| *of == Some(who)) {
                        value.0 = None;
                    }
                    continue;
                }
                let records: Vec<_> = (0..rng.random_range(1..9))
                    .map(|i| (rng.random_range(0..1000), format!("{partition}/{step}/{i}")))
                    .collect();
                let transaction = (who < 3).then(|| {
                    let sequence = sequences[who];
                    sequences[who] += records.len() as i32;
                    (producers[who], sequence)
                });
                let codec = Compression::ALL[rng.random_range(0..5)];
                append(&log, codec, transaction, &records);
                let of = transaction.map(|_| who);
                values.extend(records.into_iter().map(|(_, value)| (of, value)));
            }
            for producer in producers.iter().copied() {
                log.end_transaction(producer, TransactionOutcome::Abort).unwrap();
            }
            log.flush().unwrap();
            let sure = values.into_iter().filter(|(of, _)| of.is_none());
            Model { log, committed: sure.map(|(_, value)| value).collect() }
        })
        .collect()
}

/// Whatever the topic holds, whenever the source is stopped and whatever its parallelism then is: every committed record
/// is read once, in its partition's order, and nothing else.
#[test]
fn reads_every_committed_record_once() {
    let seeds = std::env::var("RIVERRUN_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    for seed in 0..seeds {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (_simulation, store) = store(rng.random_range(1..5));
        let models = random_topic(&store, &mut rng);
        let mut read: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        let mut positions = BTreeMap::new();
        let mut ended = false;
        while !ended {
            let parallelism = rng.random_range(1..4);
            ended = true;
            let mut next = BTreeMap::new();
            for index in 0..parallelism {
                let input = TopicInput::new("t").bounded().batch_rows(rng.random_range(1..20));
                let state = RestoredState { positions: positions.clone(), ..Default::default() };
                let mut source = open_as(&store, input, Some(state), |context| {
                    (context.subtask.index, context.parallelism) = (index, parallelism);
                });
                let mut patience = rng.random_range(1..12);
                loop {
                    match source.next::<Line>() {
                        Poll::Ready(Said::Rows(split, rows)) => {
                            let rows = rows.into_iter().map(|(line, _)| line.to_string());
                            read.entry(split).or_default().extend(rows);
                        }
                        Poll::Ready(Said::Split(..)) => {}
                        Poll::Ready(Said::End) => break,
                        Poll::Pending => panic!("seed {seed}: a bounded source does not wait"),
                    }
                    patience -= 1;
                    if patience == 0 {
                        ended = false;
                        break;
                    }
                }
                next.extend(source.source.snapshot().unwrap());
            }
            positions = next;
        }
        for (partition, model) in (0..).zip(&models) {
            let read = read.remove(&partition).unwrap_or_default();
            let offsets = model.log.offsets();
            assert_eq!(read, model.committed, "seed {seed}, partition {partition}, {offsets:?}");
        }
    }
}

mod columns;
