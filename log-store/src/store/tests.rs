use super::*;
use crate::batch::BatchBuilder;
use crate::compression::Compression;
use crate::environment::sim::{FaultRates, Simulation};
use crate::partition::Isolation;

fn open(sim: &Simulation) -> Store {
    Store::open_in(sim.environment(), "data", StoreOptions::default()).expect("opens")
}

fn batch(value: &str) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None).expect("no codec");
    builder.append(0, None, Some(value.as_bytes()), &[]).expect("fits");
    builder.finish().expect("no codec")
}

#[test]
fn topics_and_their_records_survive_a_crash() {
    let sim = Simulation::new(1);
    let store = open(&sim);
    let config = TopicConfig { partitions: 2, ..TopicConfig::default() };
    store.create_topic("a", config.clone()).expect("new");
    assert!(matches!(
        store.create_topic("a", config.clone()),
        Err(Error::TopicExists { topic }) if topic == "a"
    ));
    assert!(matches!(store.create_topic("a/b", config), Err(Error::InvalidTopicName { .. })));
    assert!(store.create_topic(METADATA_TOPIC, TopicConfig::default()).is_err());
    let partition = store.partition("a", 1).expect("there");
    partition.append_durable(&mut batch("x")).expect("fits");
    store.alter_topic("a", &[("retention.ms", "5"), ("partitions", "3")]).expect("valid");
    assert!(store.alter_topic("a", &[("partitions", "2")]).is_err(), "never fewer");
    assert!(store.alter_topic("a", &[("retention.ms", "6"), ("x", "y")]).is_err());
    sim.crash();
    let store = open(&sim);
    let info = store.topic("a").expect("there");
    assert_eq!((info.config.partitions, info.config.retention_ms), (3, Some(5)));
    assert_eq!(store.topics(), [info]);
    let offsets = store.partition("a", 1).expect("there").offsets();
    assert_eq!(offsets.high_watermark, 1);
    assert!(matches!(store.partition("a", 3), Err(Error::UnknownPartition { partitions: 3, .. })));
    assert!(matches!(store.partition("b", 0), Err(Error::UnknownTopic { .. })));
}

#[test]
fn a_deleted_topic_is_gone_and_its_name_free() {
    let sim = Simulation::new(2);
    let store = open(&sim);
    store.create_topic("a", TopicConfig::default()).expect("new");
    let old = store.partition("a", 0).expect("there");
    old.append_durable(&mut batch("x")).expect("fits");
    store.delete_topic("a").expect("there");
    assert!(matches!(old.append(&mut batch("y")), Err(Error::Closed)));
    store.create_topic("a", TopicConfig::default()).expect("free");
    assert_eq!(store.partition("a", 0).expect("there").offsets().log_end, 0);
    store.delete_topic("a").expect("there");
    sim.crash();
    assert!(open(&sim).topics().is_empty());
    assert!(sim.paths().iter().all(|path| !path.to_string_lossy().contains("/a-0/")));
}

#[test]
fn an_interrupted_deletion_is_finished_at_the_next_open() {
    for seed in 0..20 {
        let sim = Simulation::new(seed);
        let store = open(&sim);
        store.create_topic("a", TopicConfig::default()).expect("new");
        store.partition("a", 0).expect("there").append_durable(&mut batch("x")).expect("fits");
        sim.set_fault_rates(FaultRates { directory: 300_000, ..FaultRates::default() });
        let deleted = store.delete_topic("a");
        sim.set_fault_rates(FaultRates::default());
        assert!(store.topic("a").is_err(), "gone, whatever is left of its files: {deleted:?}");
        sim.crash();
        let store = open(&sim);
        assert!(store.topics().is_empty(), "seed {seed}");
        store.create_topic("a", TopicConfig::default()).expect("free");
        assert_eq!(store.partition("a", 0).expect("there").offsets().log_end, 0);
    }
}

#[test]
fn a_second_store_on_the_directory_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("new");
    let error = Store::open(dir.path(), StoreOptions::default()).expect_err("locked");
    let message = error.to_string();
    let pid = std::process::id().to_string();
    assert!(message.contains(&pid) && message.contains("in use"), "{message}");
    store.create_topic("t", TopicConfig::default()).expect("new");
    for _ in 0..20 {
        // Dropping frees the directory at once, whatever the background thread is doing.
        let clone = store.clone();
        drop(clone);
    }
    drop(store);
    for _ in 0..20 {
        let store = Store::open(dir.path(), StoreOptions::default()).expect("free again");
        store.topic("t").expect("there");
    }
}

#[test]
fn one_damaged_partition_keeps_nobody_else_from_working() {
    let sim = Simulation::new(3);
    let store = open(&sim);
    store.create_topic("a", TopicConfig { partitions: 2, ..TopicConfig::default() }).expect("new");
    for n in 0..2 {
        let partition = store.partition("a", n).expect("there");
        partition.append_durable(&mut batch("x")).expect("fits");
    }
    sim.kill_process();
    drop(store);
    assert!(sim.flip_bit("data/topics/a-0/00000000000000000000.log".as_ref(), 500));
    let store = open(&sim);
    for _ in 0..2 {
        let error = store.partition("a", 0).expect_err("damaged").to_string();
        assert!(error.contains("a-0") && error.contains("00000000000000000000.log"), "{error}");
        assert!(error.contains("offset 0"), "{error}");
    }
    store.partition("a", 1).expect("there").append_durable(&mut batch("y")).expect("fits");
}

#[test]
fn many_partitions_are_flushed_together() {
    let dir = tempfile::tempdir().expect("a folder");
    let store = Store::open(dir.path(), StoreOptions::default()).expect("new");
    store.create_topic("t", TopicConfig { partitions: 8, ..TopicConfig::default() }).expect("new");
    let partitions: Vec<Partition> =
        (0..8).map(|n| store.partition("t", n).expect("there")).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..5 {
                    for partition in &partitions {
                        partition.append(&mut batch(&format!("{round}"))).expect("fits");
                    }
                    store.flush_partitions(&partitions).expect("no faults");
                }
            });
        }
    });
    for partition in &partitions {
        let offsets = partition.offsets();
        assert_eq!((offsets.high_watermark, offsets.log_end), (20, 20));
        let fetch = partition.read(0, 1 << 20, Isolation::ReadCommitted).expect("readable");
        assert_eq!(fetch.batches.len(), 20);
    }
    store.close().expect("no faults");
    assert!(matches!(store.partition("t", 0), Err(Error::Closed)));
    assert!(matches!(partitions[0].append(&mut batch("z")), Err(Error::Closed)));
}

#[test]
fn a_topic_flushed_in_the_background_shows_appends_at_once() {
    let sim = Simulation::new(4);
    let store = open(&sim);
    let flush_mode = FlushMode::Interval(Duration::from_millis(100));
    store.create_topic("t", TopicConfig { flush_mode, ..TopicConfig::default() }).expect("new");
    let partition = store.partition("t", 0).expect("there");
    partition.append(&mut batch("x")).expect("fits");
    assert_eq!(partition.offsets().high_watermark, 1);
    store.maintain().expect("open");
    sim.advance(Duration::from_millis(100));
    let report = store.maintain().expect("open");
    assert!(report.failures.is_empty());
    sim.crash();
    assert_eq!(open(&sim).partition("t", 0).expect("there").offsets().log_end, 1);
}

/// Appenders, readers and retention at the same time, with a roll every few batches: nothing is lost,
/// doubled or changed, and nobody waits forever.
#[test]
fn appends_reads_rolls_and_retention_at_the_same_time() {
    const APPENDERS: i64 = 3;
    const EACH: i64 = 400;
    // In memory where there is such a place: this is about threads, not about the disk.
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory).expect("a folder"),
        false => tempfile::tempdir().expect("a folder"),
    };
    let options =
        StoreOptions { maintenance_interval: Duration::from_millis(1), ..StoreOptions::default() };
    let store = Store::open(dir.path(), options).expect("new");
    let config = TopicConfig {
        segment_bytes: 3_000,
        retention_bytes: Some(60_000),
        ..TopicConfig::default()
    };
    store.create_topic("t", config).expect("new");
    let partition = store.partition("t", 0).expect("there");
    let done = AtomicBool::new(false);
    let appended = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (partition, done) = (&partition, &done);
            scope.spawn(move || {
                let isolation = match reader {
                    0 => Isolation::ReadUncommitted,
                    _ => Isolation::ReadCommitted,
                };
                let mut offset = 0;
                while offset < APPENDERS * EACH {
                    let finished = done.load(Ordering::Acquire);
                    let fetch = match partition.read(offset, 2_000, isolation) {
                        Ok(fetch) => fetch,
                        Err(Error::OffsetOutOfRange { log_start, .. }) if log_start > offset => {
                            offset = log_start;
                            continue;
                        }
                        Err(error) => panic!("{error}"),
                    };
                    for batch in &fetch.batches {
                        assert_eq!(batch.base_offset(), offset, "no gap, nothing twice");
                        batch.verify_crc().expect("whole");
                        offset = batch.header().next_offset();
                    }
                    assert!(!finished || fetch.next_offset().is_some(), "all of it is there");
                    std::thread::yield_now();
                }
            });
        }
        let appenders: Vec<_> = (0..APPENDERS)
            .map(|appender| {
                let (partition, appended) = (&partition, &appended);
                scope.spawn(move || {
                    for at in 0..EACH {
                        let value = format!("{appender} {at} {}", "x".repeat(at as usize % 200));
                        let put = partition.append_durable(&mut batch(&value)).expect("fits");
                        assert!(partition.offsets().high_watermark > put.last_offset);
                        guard(appended).insert(put.base_offset, value);
                    }
                })
            })
            .collect();
        appenders.into_iter().for_each(|thread| thread.join().expect("no panic"));
        done.store(true, Ordering::Release);
    });
    let check = |partition: &Partition| {
        let appended = guard(&appended);
        assert_eq!(appended.len() as i64, APPENDERS * EACH, "no offset given out twice");
        let mut offset = partition.offsets().log_start;
        assert!(offset > 0, "retention has been at work");
        while offset < APPENDERS * EACH {
            let fetch = match partition.read(offset, 1 << 20, Isolation::ReadUncommitted) {
                Ok(fetch) => fetch,
                // Retention is still at work.
                Err(Error::OffsetOutOfRange { log_start, .. }) if log_start > offset => {
                    offset = log_start;
                    continue;
                }
                Err(error) => panic!("{error}"),
            };
            for batch in fetch.batches {
                let records = batch.records(&mut crate::Decompressor::default()).expect("records");
                for record in records.iter() {
                    let record = record.expect("well formed");
                    let expected = appended.get(&record.offset).map(String::as_bytes);
                    assert_eq!(record.value, expected);
                    offset = record.offset + 1;
                }
            }
        }
    };
    check(&partition);
    drop((partition, store));
    let store = Store::open(dir.path(), StoreOptions::default()).expect("free again");
    check(&store.partition("t", 0).expect("there"));
}
