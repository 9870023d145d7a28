//! Random stores on the simulated disk, damaged in every way, verified, read, repaired and read again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::*;
use crate::batch::{BatchBuilder, CRC_START};
use crate::compression::{Compression, Decompressor};
use crate::environment::sim::{FaultRates, Simulation};
use crate::error::Error;
use crate::index::{INDEX_HEADER_LEN, IndexEntry};
use crate::partition::{Isolation, Partition, RECOVERY_POINT_FILE, SNAPSHOT_FILE};
use crate::producer::{Producer, ProducerConfig};
use crate::store::{Store, StoreOptions};
use crate::topic::TopicConfig;

const DIR: &str = "data";
const TOPIC: &str = "t";

/// A store that was filled at random, and what its partition 0 holds, by offset.
struct Filled {
    sim: Simulation,
    records: BTreeMap<i64, Vec<u8>>,
    log_end: i64,
}

/// Small numbers drawn from the simulation's own stream.
fn draw(sim: &Simulation, below: u64) -> u64 {
    sim.draw() % below
}

fn open(sim: &Simulation) -> Result<Store> {
    Store::open_in(sim.environment(), DIR, StoreOptions::default())
}

fn fill(seed: u64, transactions: bool) -> Filled {
    fill_and(seed, transactions, !seed.is_multiple_of(3))
}

/// Fills a store, and closes it or kills the process.
fn fill_and(seed: u64, transactions: bool, close: bool) -> Filled {
    let sim = Simulation::new(seed);
    let store = open(&sim).expect("an empty disk");
    let segment_bytes = 500 + draw(&sim, 5000);
    let config = TopicConfig { segment_bytes, ..TopicConfig::default() };
    store.create_topic(TOPIC, config).expect("no faults");
    let partition = store.partition(TOPIC, 0).expect("it was created");
    for _ in 0..10 + draw(&sim, 20) {
        if transactions && draw(&sim, 4) == 0 {
            transaction(&sim, &store);
        } else {
            append(&sim, &partition);
        }
    }
    let records = read_all(&partition).expect("nothing is damaged");
    let log_end = partition.offsets().log_end;
    if close {
        store.close().expect("no faults");
    }
    drop((store, partition));
    // As a process that ends does.
    sim.kill_process();
    Filled { sim, records, log_end }
}

fn append(sim: &Simulation, partition: &Partition) {
    use Compression::{Gzip, Lz4, None, Snappy, Zstd};
    let codec = [None, None, Gzip, Snappy, Lz4, Zstd][draw(sim, 6) as usize];
    let mut builder = BatchBuilder::new(codec).expect("all codecs are there");
    for _ in 0..1 + draw(sim, 8) {
        let value = value(sim);
        let timestamp = 1_000_000 + draw(sim, 1000) as i64;
        builder.append(timestamp, Some(b"key"), Some(&value), &[]).expect("they are small");
    }
    let mut batch = builder.finish().expect("there are records");
    partition.append_durable(&mut batch).expect("no faults");
}

fn value(sim: &Simulation) -> Vec<u8> {
    let mut value = sim.draw().to_string().into_bytes();
    value.truncate(draw(sim, 20) as usize);
    value.extend(vec![b'x'; draw(sim, 200) as usize]);
    value
}

fn transaction(sim: &Simulation, store: &Store) {
    let transactional_id = Some("x".to_owned());
    let config = ProducerConfig { transactional_id, ..ProducerConfig::default() };
    let mut producer = Producer::new(store, config).expect("no faults");
    producer.begin_transaction().expect("there is none");
    for _ in 0..1 + draw(sim, 3) {
        producer.send(TOPIC, Some(0), Some(5), None, Some(&value(sim)), &[]).expect("no faults");
    }
    match draw(sim, 2) {
        0 => producer.commit_transaction().expect("no faults"),
        _ => producer.abort_transaction().expect("no faults"),
    }
}

/// All records by offset, or the error that reading meets; records of aborted transactions, too.
fn read_all(partition: &Partition) -> Result<BTreeMap<i64, Vec<u8>>> {
    let mut records = BTreeMap::new();
    let mut decompressor = Decompressor::new();
    let mut offset = partition.offsets().log_start;
    loop {
        let fetch = partition.read(offset, 1 << 12, Isolation::ReadUncommitted)?;
        let Some(next) = fetch.next_offset() else { return Ok(records) };
        for batch in fetch.batches.iter().filter(|b| !b.header().attributes.is_control()) {
            batch.records(&mut decompressor)?.for_each(|record| {
                records.insert(record.offset, record.value.unwrap_or_default().to_vec());
            })?;
        }
        offset = next;
    }
}

/// No offset may be given out again.
fn assert_same_end(partition: &Partition, log_end: i64, transactions: bool) {
    let end = partition.offsets().log_end;
    // Where the end of a transaction was lost, opening the store has ended it again.
    assert!(end == log_end || transactions && end > log_end, "{end}, not {log_end}");
}

fn verified(sim: &Simulation) -> Verification {
    let selection = Selection::default();
    verify(&sim.environment(), Path::new(DIR), &selection, &mut |_| {}).expect("it can be read")
}

fn repaired(sim: &Simulation) -> Repaired {
    repair(&sim.environment(), Path::new(DIR), &Selection::default()).expect("no faults")
}

fn folder() -> PathBuf {
    Path::new(DIR).join("topics").join(format!("{TOPIC}-0"))
}

/// The partition's files with this suffix, with what is in them; those that are empty left out.
fn files(sim: &Simulation, suffix: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = sim.paths().into_iter().filter(|path| path.starts_with(folder()));
    paths
        .filter(|path| path.to_str().is_some_and(|path| path.ends_with(suffix)))
        .map(|path| {
            let contents = sim.contents(&path).expect("it was listed");
            (path, contents)
        })
        .filter(|(_, contents)| !contents.is_empty())
        .collect()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("our names are ASCII")
}

/// The index entry of the batch that holds this byte of the segment.
fn entry_of(sim: &Simulation, log: &Path, byte: u64) -> IndexEntry {
    let index = sim.contents(&log.with_extension("index")).expect("every segment has one");
    let (entries, _) = index[INDEX_HEADER_LEN..].as_chunks();
    let mut entries = entries.iter().map(|entry| IndexEntry::decode(entry).expect("whole"));
    entries.find(|entry| (entry.position..entry.end()).contains(&byte)).expect("all is indexed")
}

/// A random one of them.
fn one<T>(sim: &Simulation, mut all: Vec<T>) -> T {
    let at = draw(sim, all.len() as u64) as usize;
    all.swap_remove(at)
}

fn seeds() -> std::ops::Range<u64> {
    let count = std::env::var("RIVERRUN_SIM_SEEDS").ok().and_then(|n| n.parse().ok());
    0..count.unwrap_or(150)
}

/// Says which seed it was if the test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed was {}", self.0);
        }
    }
}

#[test]
fn what_was_written_is_found_whole() {
    for seed in seeds() {
        let _seed = Seed(seed);
        let filled = fill(seed, true);
        let verification = verified(&filled.sim);
        assert_eq!(verification.findings, []);
        assert_eq!(verification.partitions, 2, "the topic's and the store's own");
        assert_eq!(verification.bytes, verification.total_bytes);
        assert!(verification.records as usize >= filled.records.len());
        assert_eq!(repaired(&filled.sim), Repaired::default());
    }
}

#[test]
fn one_flipped_bit_anywhere_in_a_segment_is_named_never_served_and_repaired() {
    let (mut restored, mut given_up) = (0, 0);
    for seed in seeds() {
        let _seed = Seed(seed);
        let Filled { sim, records, log_end } = fill(seed, seed % 3 == 0);
        let (path, contents) = one(&sim, files(&sim, ".log"));
        let mut bit = draw(&sim, contents.len() as u64 * 8);
        let mut entry = entry_of(&sim, &path, bit / 8);
        if seed % 2 == 0 {
            // Half of the time in the bytes that Kafka's checksum does not cover.
            bit = entry.position * 8 + draw(&sim, CRC_START as u64 * 8);
            entry = entry_of(&sim, &path, bit / 8);
        }
        assert!(sim.flip_bit(&path, bit));
        let lost = entry.base_offset..entry.next_offset();

        // It is named,
        let findings = verified(&sim).findings;
        let [finding] = &findings[..] else { panic!("one finding, not {findings:#?}") };
        assert!(finding.damage);
        assert_eq!((&*finding.topic, finding.partition, &*finding.file), (TOPIC, 0, name(&path)));
        assert_eq!((finding.position, finding.offset), (entry.position, Some(entry.base_offset)));
        let place = format!("bit {} of byte {}", bit % 8, bit / 8);
        assert!(finding.what.ends_with(&place), "{finding} should name {place}");

        // it is not served,
        let store = open(&sim).expect("the metadata is whole");
        let read = store.partition(TOPIC, 0).and_then(|partition| {
            let before = partition.read(entry.base_offset, 1, Isolation::ReadUncommitted);
            assert!(before.is_err(), "the damaged batch is asked for");
            read_all(&partition)
        });
        match read {
            Err(Error::Damaged { segment, position, offset, .. }) => {
                assert_eq!(
                    (&*segment, position, offset),
                    (name(&path), entry.position, lost.start)
                );
            }
            other => panic!("{other:?}"),
        }
        drop(store);
        sim.kill_process();

        // and it is repaired, at the cost of one batch at most.
        let plan = plan(&sim.environment(), Path::new(DIR), &Selection::default());
        let plan = plan.expect("it can be read");
        let repaired = repaired(&sim);
        assert_eq!(repaired.remaining, []);
        assert_eq!(repaired.repairs, plan, "it does what it has said");
        let harmless = bit / 8 < entry.position + CRC_START as u64;
        let expected = if harmless { 0..0 } else { lost.clone() };
        assert_eq!(repaired.repairs[0].lost, expected);
        assert_eq!(sim.contents(&repaired.kept[0]).map(|kept| kept.len()), Some(contents.len()));
        assert_eq!(verified(&sim).findings, []);
        let store = open(&sim).expect("no faults");
        let partition = store.partition(TOPIC, 0).expect("it is whole");
        let mut expected = records;
        if harmless {
            restored += 1;
            assert_eq!(sim.contents(&path), Some(contents));
        } else {
            given_up += 1;
            expected.retain(|offset, _| !lost.contains(offset));
        }
        assert_eq!(read_all(&partition).expect("it is whole"), expected);
        assert_same_end(&partition, log_end, seed % 3 == 0);
        append(&sim, &partition);
    }
    assert!(restored > 10 && given_up > 10, "{restored} restored, {given_up} given up");
}

#[test]
fn one_flipped_bit_in_any_other_file_is_named_and_costs_nothing() {
    for seed in seeds() {
        let _seed = Seed(seed);
        let Filled { sim, records, log_end } = fill(seed, true);
        let suffix = [".index", ".txnindex", SNAPSHOT_FILE, RECOVERY_POINT_FILE][seed as usize % 4];
        let mut found = files(&sim, suffix);
        if suffix == RECOVERY_POINT_FILE {
            // What lies behind a slot's checksum means nothing.
            found[0].1.truncate(60);
        }
        if found.is_empty() {
            continue;
        }
        let (path, contents) = one(&sim, found);
        let blank = contents.iter().all(|byte| *byte == 0);
        assert!(sim.flip_bit(&path, draw(&sim, contents.len() as u64 * 8)));
        let findings = verified(&sim).findings;
        assert!(blank || !findings.is_empty(), "{}", path.display());
        assert!(findings.iter().all(|finding| finding.file == name(&path)), "{findings:#?}");
        let repaired = repaired(&sim);
        assert_eq!(repaired.remaining, []);
        assert!(repaired.repairs.iter().all(|repair| repair.lost.is_empty()));
        assert_eq!(verified(&sim).findings, [], "{}", path.display());
        let store = open(&sim).expect("no faults");
        let partition = store.partition(TOPIC, 0).expect("it is whole");
        assert_eq!(read_all(&partition).expect("it is whole"), records);
        assert_eq!(partition.offsets().log_end, log_end);
    }
}

#[test]
fn whatever_happens_to_the_files_a_repair_makes_a_log_of_them_without_new_or_moved_records() {
    for seed in seeds() {
        let _seed = Seed(seed);
        // Closed, or else losing both the end of the log and that of its index could not be noticed.
        let Filled { sim, records, log_end } = fill_and(seed, seed % 4 == 0, true);
        let files_of = sim.environment().files;
        for _ in 0..1 + draw(&sim, 3) {
            let (path, contents) = match draw(&sim, 3) {
                0 => one(&sim, files(&sim, ".index")),
                _ => one(&sim, files(&sim, ".log")),
            };
            let file = files_of.open(&path).expect("it was listed");
            let length = contents.len() as u64;
            match draw(&sim, 5) {
                0 => file.truncate(draw(&sim, length)).expect("no faults"),
                1 => files_of.remove(&path).expect("no faults"),
                2 => {
                    let garbage: Vec<u8> =
                        (0..1 + draw(&sim, 300)).map(|_| sim.draw() as u8).collect();
                    file.write_at(length, &garbage).expect("no faults");
                }
                3 => {
                    let at = draw(&sim, length);
                    let zeros = vec![0; draw(&sim, 700).min(length - at) as usize];
                    file.write_at(at, &zeros).expect("no faults");
                }
                _ => {
                    for _ in 0..8 {
                        assert!(sim.flip_bit(&path, draw(&sim, length * 8)));
                    }
                }
            }
            if files(&sim, ".log").is_empty() || files(&sim, ".index").is_empty() {
                break;
            }
        }
        verified(&sim);
        let repaired = repaired(&sim);
        assert_eq!(repaired.remaining, [], "after {:#?}", repaired.repairs);
        let damages = verified(&sim).damages().cloned().collect::<Vec<_>>();
        assert_eq!(damages, [], "after {:#?}", repaired.repairs);
        let store = open(&sim).expect("no faults");
        let partition = store.partition(TOPIC, 0).expect("it is whole");
        let left = read_all(&partition).expect("it is whole");
        for (offset, value) in &left {
            assert_eq!(records.get(offset), Some(value), "offset {offset}");
        }
        let told = |offset: &i64| repaired.repairs.iter().any(|r| r.lost.contains(offset));
        for offset in records.keys().filter(|offset| !left.contains_key(*offset)) {
            assert!(told(offset), "offset {offset} is gone: {:#?}", repaired.repairs);
        }
        assert_same_end(&partition, log_end, seed % 4 == 0);
        append(&sim, &partition);
    }
}

#[test]
fn a_repair_that_is_interrupted_can_be_run_again() {
    let mut interrupted = 0;
    for seed in seeds() {
        let _seed = Seed(seed);
        let Filled { sim, records, log_end } = fill_and(seed, false, true);
        let (path, contents) = one(&sim, files(&sim, ".log"));
        let byte = draw(&sim, contents.len() as u64);
        let entry = entry_of(&sim, &path, byte);
        assert!(sim.flip_bit(&path, byte * 8));
        let rate = 200_000;
        sim.set_fault_rates(FaultRates { write: rate, sync: rate, directory: rate, read: 0 });
        let first = repair(&sim.environment(), Path::new(DIR), &Selection::default());
        sim.set_fault_rates(FaultRates::default());
        interrupted += u32::from(first.is_err());
        sim.crash();

        assert_eq!(repaired(&sim).remaining, []);
        assert_eq!(verified(&sim).damages().next(), None);
        let store = open(&sim).expect("no faults");
        let partition = store.partition(TOPIC, 0).expect("it is whole");
        let left = read_all(&partition).expect("it is whole");
        let lost = entry.base_offset..entry.next_offset();
        assert!(left.iter().all(|(offset, value)| records.get(offset) == Some(value)));
        assert!(records.keys().all(|offset| left.contains_key(offset) || lost.contains(offset)));
        assert_same_end(&partition, log_end, false);
    }
    assert!(interrupted > 10, "{interrupted} were interrupted");
}

#[test]
fn what_cannot_be_read_is_reported_and_never_a_panic() {
    for seed in seeds() {
        let _seed = Seed(seed);
        let Filled { sim, .. } = fill(seed, true);
        sim.set_fault_rates(FaultRates { read: 1 << (seed % 20), ..FaultRates::default() });
        let selection = Selection::default();
        let found = verify(&sim.environment(), Path::new(DIR), &selection, &mut |_| {});
        for finding in found.iter().flat_map(Verification::damages) {
            assert!(!finding.remedy.is_empty(), "{finding}");
        }
    }
}

#[test]
fn damaged_metadata_keeps_the_store_closed_until_it_is_repaired() {
    let Filled { sim, .. } = fill_and(11, false, true);
    let store = open(&sim).expect("no faults");
    for topic in ["u", "v"] {
        store.create_topic(topic, TopicConfig::default()).expect("no faults");
    }
    store.close().expect("no faults");
    drop(store);
    let log = Path::new(DIR).join("topics/__metadata-0/00000000000000000000.log");
    let last_byte = sim.contents(&log).expect("it is there").len() as u64 - 1;
    let of_u = entry_of(&sim, &log, entry_of(&sim, &log, last_byte).position - 1);
    assert!(sim.flip_bit(&log, (of_u.end() - 2) * 8));
    assert!(matches!(open(&sim), Err(Error::Damaged { .. })));
    let repaired = repaired(&sim);
    assert_eq!(repaired.remaining, []);
    assert_eq!(repaired.repairs[0].lost, of_u.base_offset..of_u.next_offset());
    let store = open(&sim).expect("it was repaired");
    let topics: Vec<String> = store.topics().into_iter().map(|info| info.name).collect();
    assert_eq!(topics, ["t", "v"], "what was lost is lost, the rest is there");
    store.create_topic("w", TopicConfig::default()).expect("no faults");
}

#[test]
fn a_torn_tail_is_no_damage_and_is_cut_off() {
    let Filled { sim, records, log_end } = fill(7, false);
    let (path, contents) = files(&sim, ".log").pop().expect("there are segments");
    let file = sim.environment().files.open(&path).expect("it was listed");
    file.write_at(contents.len() as u64, &contents[..100]).expect("no faults");
    let findings = verified(&sim).findings;
    let [finding] = &findings[..] else { panic!("one finding, not {findings:#?}") };
    assert_eq!((finding.kind, finding.damage), (FindingKind::Tail, false));
    assert_eq!(finding.position, contents.len() as u64);
    assert_eq!(repaired(&sim).remaining, []);
    assert_eq!(sim.contents(&path), Some(contents));
    let store = open(&sim).expect("no faults");
    let partition = store.partition(TOPIC, 0).expect("it is whole");
    assert_eq!(read_all(&partition).expect("it is whole"), records);
    assert_eq!(partition.offsets().log_end, log_end);
}

#[test]
fn a_directory_in_use_is_verified_but_not_repaired() {
    let Filled { sim, .. } = fill(3, false);
    let store = open(&sim).expect("no faults");
    assert_eq!(verified(&sim).findings, []);
    let refused = repair(&sim.environment(), Path::new(DIR), &Selection::default());
    assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
    drop(store);
}

#[test]
fn topics_and_partitions_that_are_not_there_are_named() {
    let Filled { sim, .. } = fill(3, false);
    let find = |topic: &str, partition| {
        let selection = Selection { topic: Some(topic.to_owned()), partition };
        verify(&sim.environment(), Path::new(DIR), &selection, &mut |_| {})
    };
    assert!(matches!(find("nope", None), Err(Error::UnknownTopic { .. })));
    assert!(matches!(find(TOPIC, Some(1)), Err(Error::UnknownPartition { partitions: 1, .. })));
    assert_eq!(find(TOPIC, Some(0)).expect("it is there").partitions, 1);
}

#[test]
fn a_dump_shows_every_batch_and_goes_on_behind_damage() {
    let Filled { sim, records, .. } = fill(5, false);
    let dumped = || {
        let selection = Selection { topic: Some(TOPIC.to_owned()), partition: None };
        let options = DumpOptions { index: true, ..DumpOptions::default() };
        let (mut offsets, mut damages, mut entries) = (Vec::new(), Vec::new(), 0);
        let environment = sim.environment();
        dump(&environment, Path::new(DIR), &selection, options, |item| {
            match item {
                DumpItem::Batch(batch) => {
                    let records = batch.read()?.records(&mut Decompressor::new())?;
                    records.for_each(|record| offsets.push(record.offset))?;
                }
                DumpItem::Damage { offsets, header, .. } => {
                    damages.push((offsets, header.is_some()))
                }
                DumpItem::Index { entry, .. } => entries += usize::from(entry.is_some()),
                DumpItem::Segment { .. } | DumpItem::Tail { .. } => {}
            }
            Ok::<(), Error>(())
        })
        .expect("it can be read");
        (offsets, damages, entries)
    };
    let (offsets, damages, entries) = dumped();
    assert!(offsets.iter().eq(records.keys()));
    assert!(damages.is_empty() && entries > 1);

    let (path, _) = files(&sim, ".log").swap_remove(0);
    let entry = entry_of(&sim, &path, 0);
    assert!(sim.flip_bit(&path, (entry.length as u64 - 1) * 8));
    let lost = entry.base_offset..entry.next_offset();
    let (offsets, damages, _) = dumped();
    assert!(offsets.iter().eq(records.keys().filter(|offset| !lost.contains(offset))));
    assert_eq!(damages, [(lost, true)]);
}
