use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::environment::sim::Simulation;
use crate::{Compression, Producer, ProducerConfig, StoreOptions, TopicConfig};

fn store(partitions: u32) -> (Simulation, Store) {
    let simulation = Simulation::new(11);
    let store = Store::open_in(simulation.environment(), "/data", StoreOptions::default());
    let store = store.expect("an empty disk opens");
    let config = TopicConfig { partitions, ..TopicConfig::default() };
    store.create_topic("t", config).expect("a new topic");
    (simulation, store)
}

/// Appends one batch of records with the timestamps 0, 10, 20, ... behind `first`.
fn produce(store: &Store, partition: u32, first: i64, records: i64) {
    let config = ProducerConfig {
        linger: None,
        idempotence: false,
        compression: Compression::Lz4,
        ..ProducerConfig::default()
    };
    let mut producer = Producer::new(store, config).expect("a producer");
    for number in first..first + records {
        let value = number.to_string();
        producer
            .send("t", Some(partition), Some(number * 10), None, Some(value.as_bytes()), &[])
            .expect("taken");
    }
    producer.flush().expect("flushed");
}

/// Offsets and values of what one poll returns.
fn poll(consumer: &mut Consumer) -> Vec<(u32, i64, String)> {
    let mut decompressor = Decompressor::new();
    let mut all = Vec::new();
    for fetched in consumer.poll(Duration::ZERO).expect("readable") {
        fetched
            .for_each(&mut decompressor, |record| {
                let value = String::from_utf8_lossy(record.value.unwrap_or_default());
                all.push((fetched.partition, record.offset, value.into_owned()));
            })
            .expect("well-formed");
    }
    all
}

fn offsets(consumer: &mut Consumer) -> Vec<i64> {
    poll(consumer).into_iter().map(|(_, offset, _)| offset).collect()
}

fn from(store: &Store, position: Position) -> Consumer {
    let mut consumer = Consumer::new(store, ConsumerConfig::default());
    consumer.assign("t", 0, position).expect("the partition is there");
    consumer
}

#[test]
fn every_position_begins_where_it_says() {
    let (_simulation, store) = store(1);
    produce(&store, 0, 0, 10);
    produce(&store, 0, 10, 10);
    assert_eq!(offsets(&mut from(&store, Position::Earliest)), (0..20).collect::<Vec<_>>());
    assert_eq!(offsets(&mut from(&store, Position::Offset(7))), (7..20).collect::<Vec<_>>());
    assert_eq!(offsets(&mut from(&store, Position::Offset(10))), (10..20).collect::<Vec<_>>());
    assert_eq!(offsets(&mut from(&store, Position::Timestamp(131))), (14..20).collect::<Vec<_>>());
    assert_eq!(offsets(&mut from(&store, Position::Timestamp(500))), []);
    let mut latest = from(&store, Position::Latest);
    assert_eq!(offsets(&mut latest), []);
    produce(&store, 0, 20, 2);
    assert_eq!(offsets(&mut latest), [20, 21]);
    assert_eq!(offsets(&mut latest), []);
}

#[test]
fn positions_follow_and_can_be_moved() {
    let (_simulation, store) = store(2);
    produce(&store, 0, 0, 5);
    produce(&store, 1, 0, 3);
    let mut consumer = Consumer::new(&store, ConsumerConfig::default());
    assert_eq!(consumer.assign_all("t", Position::Earliest).expect("assigned"), 2);
    assert_eq!(consumer.lag(), 8);
    assert_eq!(poll(&mut consumer).len(), 8);
    assert_eq!(consumer.positions().collect::<Vec<_>>(), [("t", 0, 5), ("t", 1, 3)]);
    assert_eq!(consumer.lag(), 0);
    consumer.assign("t", 0, Position::Offset(4)).expect("moved");
    assert_eq!(poll(&mut consumer), [(0, 4, "4".to_string())]);
    assert_eq!(consumer.position("t", 1), Some(3));
    assert!(consumer.unassign("t", 1) && !consumer.unassign("t", 1));
    assert_eq!(consumer.position("t", 1), None);
    let unknown = consumer.assign("t", 2, Position::Latest);
    assert!(matches!(unknown, Err(Error::UnknownPartition { .. })));
}

#[test]
fn a_poll_is_bounded_and_every_partition_gets_its_turn() {
    let (_simulation, store) = store(3);
    for partition in 0..3 {
        for batch in 0..4 {
            produce(&store, partition, batch * 10, 10);
        }
    }
    let config = ConsumerConfig { max_bytes: 1, max_partition_bytes: 1, ..Default::default() };
    let mut consumer = Consumer::new(&store, config);
    consumer.assign_all("t", Position::Earliest).expect("assigned");
    let mut turns = Vec::new();
    loop {
        let read = poll(&mut consumer);
        let Some((partition, ..)) = read.first() else { break };
        assert_eq!(read.len(), 10, "one batch, since each is larger than the limit");
        turns.push(*partition);
    }
    assert_eq!(turns, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
}

#[test]
fn an_offset_that_is_not_there_is_reported_unless_told_otherwise() {
    let (_simulation, store) = store(1);
    produce(&store, 0, 0, 5);
    produce(&store, 0, 5, 5);
    let partition = store.partition("t", 0).expect("the partition");
    partition.delete_records(5).expect("deleted");
    for (policy, begins) in
        [(OutOfRange::Fail, None), (OutOfRange::Earliest, Some(5)), (OutOfRange::Latest, Some(10))]
    {
        for position in [2, 99] {
            let config = ConsumerConfig { out_of_range: policy, ..Default::default() };
            let mut consumer = Consumer::new(&store, config);
            consumer.assign("t", 0, Position::Offset(position)).expect("assigned");
            let polled = consumer.poll(Duration::ZERO);
            match begins {
                None => assert!(matches!(polled, Err(Error::OffsetOutOfRange { .. }))),
                Some(begins) => {
                    assert_eq!(polled.expect("reset").len(), usize::from(begins == 5));
                    assert_eq!(consumer.position("t", 0), Some(10));
                }
            }
        }
    }
}

#[test]
fn an_open_transaction_holds_back_committed_readers_only() {
    let (_simulation, store) = store(1);
    produce(&store, 0, 0, 2);
    let config = ProducerConfig {
        transactional_id: Some("x".to_string()),
        linger: None,
        ..ProducerConfig::default()
    };
    let mut producer = Producer::new(&store, config).expect("a producer");
    producer.begin_transaction().expect("begun");
    producer.send("t", Some(0), None, None, Some(b"open"), &[]).expect("taken");
    producer.flush().expect("flushed");
    produce(&store, 0, 3, 1);

    let mut committed = from(&store, Position::Earliest);
    assert_eq!(offsets(&mut committed), [0, 1]);
    assert_eq!(committed.lag(), 0);
    let uncommitted =
        ConsumerConfig { isolation: Isolation::ReadUncommitted, ..Default::default() };
    let mut uncommitted = Consumer::new(&store, uncommitted);
    uncommitted.assign("t", 0, Position::Earliest).expect("assigned");
    assert_eq!(offsets(&mut uncommitted), [0, 1, 2, 3]);

    producer.abort_transaction().expect("aborted");
    // Offset 2 is aborted, offset 4 the marker; neither is seen, both are passed.
    assert_eq!(offsets(&mut committed), [3]);
    assert_eq!(committed.position("t", 0), Some(5));
    assert_eq!(offsets(&mut uncommitted), []);
    assert_eq!(uncommitted.position("t", 0), Some(5));
}

#[test]
fn a_partition_with_an_error_is_reported_and_the_others_go_on() {
    let (_simulation, store) = store(3);
    for partition in 0..3 {
        produce(&store, partition, 0, 2);
    }
    let mut consumer = Consumer::new(&store, ConsumerConfig::default());
    consumer.assign_all("t", Position::Earliest).expect("assigned");
    consumer.assign("t", 1, Position::Offset(99)).expect("assigned");
    let (mut seen, mut errors) = (Vec::new(), 0);
    for round in 0..6 {
        match consumer.poll(Duration::ZERO) {
            Ok(fetched) => seen.extend(fetched.into_iter().map(|f| (f.partition, f.from_offset))),
            Err(error) => {
                assert!(matches!(error, Error::OffsetOutOfRange { partition: 1, .. }), "{error}");
                errors += 1;
            }
        }
        if round == 2 {
            produce(&store, 0, 2, 2);
            produce(&store, 2, 2, 2);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, [(0, 0), (0, 2), (2, 0), (2, 2)], "all of the others, once");
    assert!(errors >= 2, "the error was reported {errors} times");
}

/// Counts how often it is woken.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_waker_is_woken_once_by_what_can_be_seen() {
    let (_simulation, store) = store(2);
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(counter.clone());
    let woken = || counter.0.load(Ordering::Relaxed);
    let mut consumer = Consumer::new(&store, ConsumerConfig::default());
    consumer.assign_all("t", Position::Earliest).expect("assigned");
    assert!(consumer.register(&waker));
    assert_eq!(woken(), 0);
    produce(&store, 1, 0, 1);
    assert_eq!(woken(), 1);
    assert!(!consumer.register(&waker), "there is something to read");
    produce(&store, 1, 1, 1);
    assert_eq!(woken(), 1, "once");
    assert_eq!(offsets(&mut consumer), [0, 1]);
}

/// Without the waking this would take the whole timeout and find nothing.
#[test]
fn a_waiting_poll_is_woken_by_the_flush() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), StoreOptions::default()).expect("a new store");
    store.create_topic("t", TopicConfig::default()).expect("a new topic");
    let mut consumer = from(&store, Position::Latest);
    let rounds = 50;
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut seen = 0;
            while seen < rounds {
                let fetched = consumer.poll(Duration::from_secs(60)).expect("readable");
                assert!(!fetched.is_empty(), "timed out after {seen} records");
                seen +=
                    fetched.iter().map(|f| i64::from(f.batch.header().records_count)).sum::<i64>();
            }
        });
        for round in 0..rounds {
            produce(&store, 0, round, 1);
        }
        reader.join().expect("every record was seen");
    });
}

#[test]
fn a_waiting_poll_ends_when_the_topic_or_the_store_goes() {
    for close in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(folder.path(), StoreOptions::default()).expect("a new store");
        store.create_topic("t", TopicConfig::default()).expect("a new topic");
        let mut consumer = from(&store, Position::Latest);
        std::thread::scope(|scope| {
            let reader = scope.spawn(move || consumer.poll(Duration::from_secs(60)));
            if close {
                store.close().expect("closed");
            } else {
                store.delete_topic("t").expect("deleted");
            }
            let error = reader.join().expect("no panic").expect_err("there is nothing to wait for");
            assert_eq!(matches!(error, Error::Closed), close, "{error}");
        });
    }
}
