use std::time::Duration;

use super::*;
use crate::environment::sim::Simulation;
use crate::metadata::Entry;
use crate::partitioner::partition_of_key;
use crate::{
    Consumer, ConsumerConfig, Decompressor, ErrorKind, Isolation, Position, StoreOptions,
    TopicConfig,
};

/// A simulated store with a topic `t`.
fn store(partitions: u32) -> (Simulation, Store) {
    let simulation = Simulation::new(7);
    let store = Store::open_in(simulation.environment(), "/data", StoreOptions::default());
    let store = store.expect("an empty disk opens");
    let config = TopicConfig { partitions, max_message_bytes: 100_000, ..TopicConfig::default() };
    store.create_topic("t", config).expect("a new topic");
    (simulation, store)
}

fn config() -> ProducerConfig {
    ProducerConfig { linger: None, ..ProducerConfig::default() }
}

fn transactional(id: &str) -> ProducerConfig {
    ProducerConfig { transactional_id: Some(id.to_string()), ..config() }
}

fn send(producer: &mut Producer, value: &str) -> Result<()> {
    producer.send("t", Some(0), None, None, Some(value.as_bytes()), &[])
}

/// Values in a partition, as a reader of this isolation sees them, with their offsets.
fn values(store: &Store, partition: u32, isolation: Isolation) -> Vec<String> {
    let mut consumer =
        Consumer::new(store, ConsumerConfig { isolation, ..ConsumerConfig::default() });
    consumer.assign("t", partition, Position::Earliest).expect("the partition is there");
    let mut decompressor = Decompressor::new();
    let mut values = Vec::new();
    loop {
        let fetched = consumer.poll(Duration::ZERO).expect("readable");
        if fetched.is_empty() {
            return values;
        }
        for batch in fetched {
            batch
                .for_each(&mut decompressor, |record| {
                    let value = record.value.unwrap_or_default();
                    values.push(String::from_utf8_lossy(value).into_owned());
                })
                .expect("well-formed");
        }
    }
}

fn committed(store: &Store) -> Vec<String> {
    values(store, 0, Isolation::ReadCommitted)
}

#[test]
fn what_was_flushed_is_there_in_order() {
    let (_simulation, store) = store(1);
    let mut producer = Producer::new(&store, config()).expect("a producer");
    let expected: Vec<_> = (0..1000).map(|number| format!("value {number}")).collect();
    for value in &expected {
        send(&mut producer, value).expect("taken");
    }
    assert!(committed(&store).is_empty(), "nothing is seen before it is flushed");
    producer.flush().expect("flushed");
    assert_eq!(committed(&store), expected);
    producer.flush().expect("nothing to do");
    assert_eq!(committed(&store).len(), expected.len());
}

#[test]
fn keys_go_where_kafka_puts_them() {
    let (_simulation, store) = store(5);
    let mut producer = Producer::new(&store, config()).expect("a producer");
    for number in 0..200 {
        let key = format!("10.0.0.{number}");
        producer
            .send("t", None, None, Some(key.as_bytes()), Some(key.as_bytes()), &[])
            .expect("taken");
    }
    producer.flush().expect("flushed");
    let mut found = 0;
    for partition in 0..5 {
        for key in values(&store, partition, Isolation::ReadCommitted) {
            assert_eq!(partition_of_key(key.as_bytes(), 5), partition);
            found += 1;
        }
    }
    assert_eq!(found, 200);
}

#[test]
fn records_without_a_key_fill_one_batch_after_another() {
    let (_simulation, store) = store(4);
    let batched = ProducerConfig { batch_bytes: 2_000, compression: Compression::None, ..config() };
    let mut producer = Producer::new(&store, batched).expect("a producer");
    for _ in 0..400 {
        producer.send("t", None, None, None, Some(&[7; 100]), &[]).expect("taken");
    }
    producer.flush().expect("flushed");
    let counts: Vec<_> =
        (0..4).map(|partition| values(&store, partition, Isolation::ReadCommitted).len()).collect();
    assert_eq!(counts.iter().sum::<usize>(), 400);
    // A batch of 2,000 bytes holds 14 to 19 such records.
    assert!(counts.iter().all(|count| (80..=120).contains(count)), "{counts:?}");
}

#[test]
fn a_record_waits_no_longer_than_it_may() {
    let (simulation, store) = store(1);
    let lingering =
        ProducerConfig { linger: Some(Duration::from_millis(5)), ..ProducerConfig::default() };
    let mut producer = Producer::new(&store, lingering).expect("a producer");
    send(&mut producer, "first").expect("taken");
    simulation.advance(Duration::from_millis(4));
    producer.poll().expect("nothing is due");
    assert!(committed(&store).is_empty());
    simulation.advance(Duration::from_millis(1));
    producer.poll().expect("flushed");
    assert_eq!(committed(&store), ["first"]);

    // The next record begins to wait anew, and a later one takes it along.
    send(&mut producer, "second").expect("taken");
    simulation.advance(Duration::from_millis(6));
    send(&mut producer, "third").expect("taken");
    assert_eq!(committed(&store), ["first", "second", "third"]);
}

#[test]
fn a_full_disk_loses_and_doubles_nothing() {
    let (simulation, store) = store(1);
    let plain = ProducerConfig { compression: Compression::None, batch_bytes: 5_000, ..config() };
    let mut producer = Producer::new(&store, plain).expect("a producer");
    simulation.set_capacity(Some(simulation.used() + 20_000));
    let mut sent = Vec::new();
    let mut refused = 0;
    for number in 0..100 {
        let value = format!("{number:0>990}");
        match send(&mut producer, &value) {
            Ok(()) => sent.push(value),
            Err(error) => {
                assert!(matches!(error, Error::DiskFull { .. }), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the disk was not full");
    assert!(matches!(producer.flush(), Err(Error::DiskFull { .. })));
    simulation.set_capacity(None);
    send(&mut producer, "there is room again").expect("taken");
    sent.push("there is room again".to_string());
    producer.flush().expect("flushed");
    assert_eq!(committed(&store), sent);
}

#[test]
fn a_batch_too_large_for_its_topic_does_not_block_the_next() {
    let (_simulation, store) = store(1);
    let plain = ProducerConfig { compression: Compression::None, ..config() };
    let mut producer = Producer::new(&store, plain).expect("a producer");
    send(&mut producer, "before").expect("taken");
    let large = "x".repeat(200_000);
    send(&mut producer, &large).expect("taken, since compression might have made it fit");
    send(&mut producer, "behind").expect_err("the large one is sent, and refused");
    send(&mut producer, "behind").expect("taken");
    producer.flush().expect("flushed");
    assert_eq!(committed(&store), ["before", "behind"]);
}

#[test]
fn errors_of_the_caller_are_told_at_once() {
    let (_simulation, store) = store(2);
    let mut producer = Producer::new(&store, config()).expect("a producer");
    let unknown = producer.send("nothing", None, None, None, None, &[]);
    assert!(matches!(unknown, Err(Error::UnknownTopic { .. })));
    let unknown = producer.send("t", Some(2), None, None, None, &[]);
    assert!(matches!(unknown, Err(Error::UnknownPartition { .. })));
    assert!(matches!(producer.begin_transaction(), Err(Error::InvalidTransactionState { .. })));

    let mut producer = Producer::new(&store, transactional("a")).expect("a producer");
    let outside = send(&mut producer, "outside of a transaction");
    assert!(matches!(outside, Err(Error::InvalidTransactionState { .. })));
    assert!(producer.commit_transaction().is_err() && producer.abort_transaction().is_err());
    producer.begin_transaction().expect("begun");
    assert!(matches!(producer.begin_transaction(), Err(Error::InvalidTransactionState { .. })));

    let level = ProducerConfig { compression_level: Some(99), ..config() };
    assert!(matches!(Producer::new(&store, level), Err(Error::InvalidConfig { .. })));
}

#[test]
fn partitions_that_are_added_are_used() {
    let (_simulation, store) = store(1);
    let mut producer = Producer::new(&store, config()).expect("a producer");
    send(&mut producer, "first").expect("taken");
    store.add_partitions("t", 3).expect("added");
    producer.send("t", Some(2), None, None, Some(b"third"), &[]).expect("taken");
    producer.flush().expect("flushed");
    assert_eq!(values(&store, 2, Isolation::ReadCommitted), ["third"]);
}

#[test]
fn a_transaction_becomes_visible_as_a_whole() {
    let (_simulation, store) = store(2);
    let mut producer = Producer::new(&store, transactional("job")).expect("a producer");
    producer.begin_transaction().expect("begun");
    for partition in [0, 1] {
        producer.send("t", Some(partition), None, None, Some(b"a"), &[]).expect("taken");
    }
    producer.flush().expect("flushed");
    for partition in [0, 1] {
        assert!(values(&store, partition, Isolation::ReadCommitted).is_empty());
        assert_eq!(values(&store, partition, Isolation::ReadUncommitted), ["a"]);
    }
    let entry = Entry::put("ingest", "access.log", b"position 10");
    producer.commit_transaction_with(&[entry]).expect("committed");
    for partition in [0, 1] {
        assert_eq!(values(&store, partition, Isolation::ReadCommitted), ["a"]);
    }
    let stored = store.metadata().get("ingest", "access.log");
    assert_eq!(stored.as_deref(), Some(&b"position 10"[..]));
}

#[test]
fn an_aborted_transaction_is_never_seen_and_the_next_one_is() {
    let (_simulation, store) = store(1);
    let mut producer = Producer::new(&store, transactional("job")).expect("a producer");
    for (value, commit) in [("a", true), ("b", false), ("c", true)] {
        producer.begin_transaction().expect("begun");
        send(&mut producer, value).expect("taken");
        producer.flush().expect("flushed");
        // This one has not even been appended when the transaction ends.
        send(&mut producer, &value.to_uppercase()).expect("taken");
        if commit {
            producer.commit_transaction().expect("committed");
        } else {
            producer.abort_transaction().expect("aborted");
        }
    }
    assert_eq!(committed(&store), ["a", "A", "c", "C"]);
    assert_eq!(values(&store, 0, Isolation::ReadUncommitted), ["a", "A", "b", "c", "C"]);
}

#[test]
fn an_empty_transaction_commits_its_metadata() {
    let (_simulation, store) = store(1);
    let mut producer = Producer::new(&store, transactional("job")).expect("a producer");
    producer.begin_transaction().expect("begun");
    let entry = Entry::put("ingest", "f", b"1");
    producer.commit_transaction_with(&[entry]).expect("committed");
    assert_eq!(store.metadata().get("ingest", "f").as_deref(), Some(&b"1"[..]));
}

#[test]
fn a_newer_producer_of_the_same_id_fences_the_older() {
    let (_simulation, store) = store(1);
    let mut old = Producer::new(&store, transactional("job")).expect("a producer");
    old.begin_transaction().expect("begun");
    send(&mut old, "left open").expect("taken");
    old.flush().expect("flushed");

    let mut new = Producer::new(&store, transactional("job")).expect("a producer");
    assert!(new.identity() > old.identity());
    send(&mut old, "too late").expect("taken, not sent");
    let fenced = old.commit_transaction().expect_err("fenced");
    assert_eq!(fenced.kind(), ErrorKind::Fenced, "{fenced}");

    new.begin_transaction().expect("begun");
    send(&mut new, "new").expect("taken");
    new.commit_transaction().expect("committed");
    assert_eq!(committed(&store), ["new"]);
}
