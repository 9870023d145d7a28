use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use crate::environment::sim::Simulation;
use crate::{
    Batch, BatchBuilder, Compression, Decompressor, Environment, Error, Isolation,
    MaintenanceReport, Partition, Store, StoreOptions, TransactionOwner,
};

/// A compacted topic of small segments, which is compacted whenever anything is dirty.
struct Table {
    sim: Simulation,
    store: Store,
}

const SETTINGS: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.bytes", "300"), ("min.cleanable.dirty.ratio", "0")];

impl Table {
    fn new(settings: &[(&str, &str)]) -> Self {
        let sim = Simulation::new(3);
        let store = open(&sim);
        store.create_topic_with("t", &SETTINGS).expect("no faults");
        store.alter_topic("t", settings).expect("no faults");
        Table { sim, store }
    }

    fn log(&self) -> Partition {
        self.store.partition("t", 0).expect("it is there")
    }

    /// Appends a record; its timestamp is now.
    fn put(&self, key: &str, value: Option<&str>) -> i64 {
        let now = self.sim.environment().clock.now_ms();
        let mut batch = batch(now, Some(key), value);
        self.log().append_durable(&mut batch).expect("fits").base_offset
    }

    /// Seals what there is: five records of a key of its own.
    fn fill(&self) {
        for value in 0..5 {
            self.put("filler", Some(&value.to_string()));
        }
    }

    fn maintain(&self) -> MaintenanceReport {
        let report = self.store.maintain().expect("open");
        assert_eq!(report.failures, Vec::new());
        report
    }

    fn advance(&self, seconds: u64) {
        self.sim.advance(Duration::from_secs(seconds));
    }

    /// Offset and value by key; "(none)" for tombstones. Panics if a key is there twice below `clean`.
    fn contents(&self, clean: i64) -> BTreeMap<String, (i64, String)> {
        let mut found = BTreeMap::new();
        for (offset, key, value) in records(&self.log()) {
            let before = found.insert(key.clone(), (offset, value));
            assert!(before.is_none() || offset >= clean, "{key} is there twice: {before:?}");
        }
        found
    }
}

fn open(sim: &Simulation) -> Store {
    Store::open_in(sim.environment(), "data", StoreOptions::default()).expect("opens")
}

fn batch(timestamp: i64, key: Option<&str>, value: Option<&str>) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None).expect("a builder");
    let (key, value) = (key.map(str::as_bytes), value.map(str::as_bytes));
    builder.append(timestamp, key, value, &[]).expect("fits");
    builder.finish().expect("a batch")
}

fn batches(log: &Partition) -> Vec<Batch> {
    let mut found = Vec::new();
    let mut offset = log.offsets().log_start;
    loop {
        let fetch = log.read(offset, 1 << 20, Isolation::ReadUncommitted).expect("readable");
        let Some(next) = fetch.next_offset() else { return found };
        found.extend(fetch.batches);
        offset = next;
    }
}

fn records(log: &Partition) -> Vec<(i64, String, String)> {
    let mut found = Vec::new();
    for batch in batches(log).iter().filter(|batch| !batch.header().attributes.is_control()) {
        for record in batch.records(&mut Decompressor::default()).expect("records").iter() {
            let record = record.expect("well formed");
            let text = |bytes: Option<&[u8]>| {
                String::from_utf8_lossy(bytes.unwrap_or(b"(none)")).into_owned()
            };
            found.push((record.offset, text(record.key), text(record.value)));
        }
    }
    found
}

#[test]
fn the_newest_record_of_each_key_stays_at_its_offset() {
    let table = Table::new(&[]);
    table.put("a", Some("1"));
    table.put("b", Some("1"));
    let newest = table.put("a", Some("2"));
    table.fill();
    let (end, size) = (table.log().offsets().log_end, table.log().size_bytes());
    let report = table.maintain();
    assert!(report.segments_compacted > 0 && report.bytes_compacted > 0, "{report:?}");
    assert_eq!(table.log().offsets().log_end, end);
    assert_eq!(table.log().size_bytes(), size - report.bytes_compacted);
    let contents = table.contents(3);
    assert_eq!(contents["a"], (newest, "2".to_owned()));
    assert_eq!(contents["b"], (1, "1".to_owned()));
    assert_eq!(table.maintain().segments_compacted, 0, "there is nothing more to do");
    // And again when there is more.
    table.put("b", Some("2"));
    table.fill();
    table.fill();
    assert!(table.maintain().segments_compacted > 0);
    assert_eq!(table.contents(0)["b"].1, "2");
}

#[test]
fn records_without_a_key_are_refused_unless_they_came_before() {
    let table = Table::new(&[("cleanup.policy", "delete")]);
    let mut keyless = batch(1, None, Some("old"));
    table.log().append_durable(&mut keyless).expect("fits");
    table.store.alter_topic("t", &[("cleanup.policy", "compact")]).expect("known");
    let mut builder = BatchBuilder::new(Compression::Zstd).expect("a builder");
    builder.append(1, Some(b"key"), Some(b"value"), &[]).expect("fits");
    builder.append(1, None, Some(b"value"), &[]).expect("fits");
    let refused = table.log().append(&mut builder.finish().expect("a batch"));
    let error = refused.expect_err("a record has no key");
    assert!(matches!(&error, Error::KeyMissing { topic, record: 1 } if topic == "t"), "{error}");
    assert!(error.to_string().contains("`t`"), "{error}");
    table.fill();
    table.maintain();
    let first = records(&table.log()).into_iter().next().expect("it is there");
    assert_eq!(first, (0, "(none)".to_owned(), "old".to_owned()));
}

#[test]
fn tombstones_stay_for_their_time_after_they_were_compacted() {
    let table = Table::new(&[("delete.retention.ms", "60000")]);
    table.put("a", Some("1"));
    let tombstone = table.put("a", None);
    table.fill();
    table.advance(1_000);
    table.maintain();
    let now = table.sim.environment().clock.now_ms();
    assert_eq!(table.contents(0)["a"], (tombstone, "(none)".to_owned()));
    let holder = batches(&table.log())
        .into_iter()
        .find(|batch| batch.header().delete_horizon().is_some())
        .expect("the tombstone's batch says how long");
    assert_eq!(holder.header().delete_horizon(), Some(now + 60_000));
    table.advance(59);
    table.maintain();
    assert!(table.contents(0).contains_key("a"));
    // The topic is silent: its time is over all the same.
    table.advance(1);
    table.maintain();
    assert!(!table.contents(0).contains_key("a"));
    let holes = batches(&table.log());
    assert!(holes.iter().all(|batch| batch.header().delete_horizon().is_none()));
}

#[test]
fn young_records_are_left_alone_and_old_ones_are_not() {
    let settings = [
        ("min.compaction.lag.ms", "10000"),
        ("max.compaction.lag.ms", "100000"),
        ("min.cleanable.dirty.ratio", "1"),
    ];
    let table = Table::new(&settings);
    table.put("a", Some("1"));
    table.put("a", Some("2"));
    table.fill();
    table.maintain();
    assert_eq!(records(&table.log())[0].2, "1");
    table.advance(50);
    table.maintain();
    assert_eq!(records(&table.log())[0].2, "1", "the ratio of 1 is never exceeded");
    table.advance(51);
    table.maintain();
    assert_eq!(records(&table.log())[0].2, "2", "it was dirty for too long");
    // That also seals a segment that nobody writes to any more.
    table.put("b", Some("1"));
    table.put("b", Some("2"));
    table.advance(101);
    table.maintain();
    table.maintain();
    assert_eq!(table.contents(0)["b"].1, "2");
}

#[test]
fn what_is_not_decided_is_not_compacted() {
    let table = Table::new(&[("delete.retention.ms", "0")]);
    let producer =
        table.store.init_transactional_producer("p", TransactionOwner::Client).expect("no faults");
    table.put("a", Some("1"));
    let mut sequence = 0;
    let mut send = |value: &str| {
        let mut builder = BatchBuilder::new(Compression::None).expect("a builder");
        builder.transactional(producer.id, producer.epoch, sequence);
        builder.append(1, Some(b"a"), Some(value.as_bytes()), &[]).expect("fits");
        sequence += 1;
        let mut batch = builder.finish().expect("a batch");
        table.log().append_durable(&mut batch).expect("fits");
    };
    send("2");
    table.fill();
    table.maintain();
    assert_eq!(records(&table.log())[0].2, "1", "the transaction may be aborted");
    table.store.abort_transaction(producer).expect("no faults");
    send("3");
    table.store.commit_transaction(producer).expect("no faults");
    table.fill();
    table.maintain();
    let values: Vec<String> =
        records(&table.log()).into_iter().filter(|r| r.1 == "a").map(|r| r.2).collect();
    assert_eq!(values, ["3"]);
    table.put("a", Some("4"));
    table.fill();
    table.fill();
    table.maintain();
    table.maintain();
    let markers = batches(&table.log());
    let markers = markers.iter().filter(|batch| batch.header().attributes.is_control()).count();
    assert_eq!(
        markers, 1,
        "that of the aborted transaction is gone; the other one's producer is known by it"
    );
}

#[test]
fn readers_keep_what_they_hold() {
    let table = Table::new(&[]);
    table.put("a", Some("1"));
    table.put("a", Some("2"));
    table.fill();
    let before = table.log().read(0, 1, Isolation::ReadUncommitted).expect("readable").bytes;
    let copy = Bytes::copy_from_slice(&before);
    assert!(table.maintain().segments_compacted > 0);
    assert_eq!(before, copy);
    // Their position lies in a hole now.
    let next = table.log().read(1, 1, Isolation::ReadUncommitted).expect("readable");
    assert!(next.next_offset().is_some_and(|next| next > 1));
}

#[test]
fn mapped_bytes_outlive_the_files_they_are_from() {
    let dir = tempfile::tempdir().expect("a folder");
    let environment = Environment { background: false, ..Environment::real() };
    let open = || Store::open_in(environment.clone(), dir.path(), StoreOptions::default());
    let store = open().expect("opens");
    store.create_topic_with("t", &SETTINGS).expect("there is room");
    store.alter_topic("t", &[("segment.bytes", "50000")]).expect("known");
    let log = store.partition("t", 0).expect("it is there");
    let value = "v".repeat(10_000);
    for at in 0..40 {
        let key = format!("key {}", at % 4);
        log.append_durable(&mut batch(at, Some(&key), Some(&value))).expect("there is room");
    }
    let before = log.read(0, 1 << 20, Isolation::ReadUncommitted).expect("readable").bytes;
    assert!(before.len() > 4 << 10, "mapped, not copied");
    let copy = Bytes::copy_from_slice(&before);
    let report = store.maintain().expect("open");
    assert!(report.segments_compacted > 5, "{report:?}");
    assert_eq!(before, copy);
    let expected = records(&log);
    assert!(expected.len() < 12, "four keys, and what is in the active segment");
    drop((log, store));
    let log = open().expect("opens").partition("t", 0).expect("it is there");
    assert_eq!(records(&log), expected);
    let all = crate::verify::Selection::default();
    let found = crate::verify::verify(&environment, dir.path(), &all, &mut |_| {}).expect("runs");
    assert_eq!(found.findings, Vec::new());
}

#[test]
fn small_segments_become_one() {
    let table = Table::new(&[]);
    for at in 0..100 {
        table.put(&format!("key {}", at % 3), Some("value"));
    }
    let before = table.log().segment_count();
    table.maintain();
    let after = table.log().segment_count();
    assert!(before > 20 && after <= 3, "{before} segments became {after}");
    assert_eq!(table.contents(90).len(), 3);
}

#[test]
fn retention_and_compaction_go_together() {
    let settings = [("cleanup.policy", "compact,delete"), ("retention.ms", "50000")];
    let table = Table::new(&settings);
    table.put("old", Some("1"));
    table.fill();
    table.maintain();
    table.advance(49);
    assert_eq!(table.contents(0)["old"].1, "1");
    table.fill();
    table.advance(2);
    table.maintain();
    assert!(!table.contents(0).contains_key("old"), "it is too old");
    assert!(table.log().offsets().log_start > 0);
    assert!(table.contents(0).contains_key("filler"));
    // With compaction alone, age does not count.
    table.store.alter_topic("t", &[("cleanup.policy", "compact")]).expect("known");
    table.advance(1_000);
    table.maintain();
    assert!(table.contents(0).contains_key("filler"));
}

#[test]
fn a_damaged_batch_is_reported_and_left_alone_for_a_while() {
    let table = Table::new(&[]);
    table.put("a", Some("1"));
    table.fill();
    let path = "data/topics/t-0/00000000000000000000.log".as_ref();
    assert!(table.sim.flip_bit(path, 8 * 70));
    let report = table.store.maintain().expect("open");
    let (topic, partition, error) = report.failures.first().expect("it cannot be compacted");
    assert_eq!((topic.as_str(), *partition), ("t", 0));
    assert!(error.contains("damaged"), "{error}");
    assert_eq!(table.maintain().segments_compacted, 0, "not again at once");
    assert!(table.sim.flip_bit(path, 8 * 70));
    table.advance(61);
    assert!(table.maintain().segments_compacted > 0);
}

#[test]
fn power_fails_at_every_point() {
    let keys = ["a", "b", "filler"];
    for operations in 0.. {
        let table = Table::new(&[]);
        let newest = ["1", "2"].map(|value| keys.map(|key| table.put(key, Some(value))))[1];
        table.fill();
        let (sim, offsets) = (table.sim.clone(), table.log().offsets());
        let before = records(&table.log());
        sim.set_fail_after(Some(operations));
        let done = table.store.maintain().is_ok_and(|report| report.failures.is_empty());
        drop(table);
        sim.set_fail_after(None);
        sim.crash();
        let table = Table { store: open(&sim), sim };
        assert_eq!(table.log().offsets(), offsets, "after {operations} operations");
        let after = records(&table.log());
        assert!(after.iter().all(|record| before.contains(record)), "after {operations}");
        for (key, offset) in keys.iter().zip(newest).take(2) {
            assert_eq!(table.contents(0)[*key], (offset, "2".to_owned()));
        }
        // What was left undone is done now.
        table.maintain();
        table.contents(offsets.log_end - 5);
        assert!(table.sim.paths().iter().all(|path| {
            let name = path.to_string_lossy();
            !name.ends_with(super::CLEANED_SUFFIX) && !name.ends_with(".tmp")
        }));
        if done {
            assert!(operations > 20, "a pass takes more than {operations} operations");
            return;
        }
    }
}
