use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration as StdDuration;

use rand::Rng;
use riverrun_log_store::environment::sim::{FaultRates, Simulation};
use riverrun_log_store::{
    Consumer, ConsumerConfig, Decompressor, Error as LogError, Position, StoreOptions,
};
use riverrun_operators::generate::{AccessLogGenerator, GeneratorOptions};
use riverrun_operators::nginx;

use super::world::World;
use super::*;

const BROKEN: &str =
    r#"46.118.127.106 - - [20/May/2015:12:05:17 +0000] "GET / HTTP/1.1" 200 235 "-" "Mozilla"#;

struct Place {
    folder: tempfile::TempDir,
    store: Store,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("data"), StoreOptions::default()).unwrap();
        Place { folder, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn options(&self, name: &str) -> IngestOptions {
        IngestOptions { commit_bytes: 1, ..IngestOptions::new(self.path(name), "nginx") }
    }

    fn ingest(&self, options: &IngestOptions) -> IngestReport {
        ingest(&self.store, options, &StopSignal::default()).unwrap()
    }

    fn records(&self, topic: &str) -> Vec<Row> {
        read(&self.store, topic)
    }

    fn sorted_values(&self, topic: &str) -> Vec<Vec<u8>> {
        let mut values: Vec<_> = self.records(topic).into_iter().map(|row| row.value).collect();
        values.sort();
        values
    }
}

/// All committed records of a topic: partition, timestamp, key, value, headers.
fn read(store: &Store, topic: &str) -> Vec<Row> {
    let mut consumer = Consumer::new(store, ConsumerConfig::default());
    consumer.assign_all(topic, Position::Earliest).unwrap();
    let mut decompressor = Decompressor::new();
    let mut rows = Vec::new();
    loop {
        let fetched = consumer.poll(StdDuration::ZERO).unwrap();
        if fetched.is_empty() {
            return rows;
        }
        for fetched in fetched {
            fetched
                .for_each(&mut decompressor, |record| {
                    rows.push(Row {
                        partition: fetched.partition,
                        timestamp: record.timestamp,
                        key: record.key.map(<[u8]>::to_vec),
                        value: record.value.unwrap().to_vec(),
                        headers: record
                            .headers
                            .map(|(name, value)| {
                                let value = value.unwrap_or_default();
                                (text(name), text(value))
                            })
                            .collect(),
                    });
                })
                .unwrap();
        }
    }
}

struct Row {
    partition: u32,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    headers: Vec<(String, String)>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn generated(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let options = GeneratorOptions { seed, ips: 50, ..GeneratorOptions::default() };
    let mut generator = AccessLogGenerator::new(options);
    let line = |_| {
        let mut line = Vec::new();
        generator.next_line(&mut line);
        line
    };
    (0..count).map(line).collect()
}

fn write(path: &Path, lines: &[Vec<u8>]) {
    let text: Vec<u8> = lines.iter().flat_map(|line| [&line[..], b"\n"].concat()).collect();
    fs::write(path, text).unwrap();
}

fn sorted(mut lines: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    lines.sort();
    lines
}

#[test]
fn a_line_becomes_a_record() {
    let place = Place::new();
    let lines = generated(1, 500);
    write(&place.path("access.log"), &lines);
    let report = place.ingest(&place.options("access.log"));
    assert_eq!((report.lines, report.rejected, report.warnings.len()), (500, 0, 0));
    assert_eq!(report.bytes, fs::metadata(place.path("access.log")).unwrap().len());
    let records = place.records("nginx");
    assert_eq!(
        sorted(records.iter().map(|row| row.value.clone()).collect()),
        sorted(lines.clone())
    );
    for row in &records {
        let line = nginx::parse(&row.value).unwrap();
        assert_eq!(row.key.as_deref(), Some(line.host));
        assert_eq!(row.timestamp, line.time_ms);
        assert_eq!(row.partition, riverrun_log_store::partition_of_key(line.host, 4));
        assert!(row.headers.is_empty());
    }
    // Within a partition the order of the file is kept.
    for partition in 0..4 {
        let of_file = lines.iter().filter(|line| {
            riverrun_log_store::partition_of_key(nginx::parse(line).unwrap().host, 4) == partition
        });
        let of_topic =
            records.iter().filter(|row| row.partition == partition).map(|row| &row.value);
        assert!(of_file.eq(of_topic), "partition {partition}");
    }
    let again = place.ingest(&place.options("access.log"));
    assert_eq!((again.lines, again.bytes), (0, 0));
}

#[test]
fn lines_that_do_not_parse_are_kept_apart_untouched() {
    let place = Place::new();
    let mut lines = generated(2, 10);
    lines.insert(3, BROKEN.into());
    lines.insert(7, b"\xff\xfe\0".to_vec());
    write(&place.path("access.log"), &lines);
    let report = place.ingest(&place.options("access.log"));
    assert_eq!((report.lines, report.rejected), (10, 2));
    let rejected = place.records("nginx.rejected");
    assert_eq!(rejected.len(), 2);
    assert_eq!(rejected[0].value, BROKEN.as_bytes());
    assert_eq!(rejected[1].value, b"\xff\xfe\0");
    let position: usize = lines[..3].iter().map(|line| line.len() + 1).sum();
    let reason = format!("the user agent's closing quote is missing (byte {})", BROKEN.len());
    let expected =
        [("reason", reason), ("file", "access.log".into()), ("position", position.to_string())];
    assert_eq!(rejected[0].headers, expected.map(|(name, value)| (name.to_owned(), value)));
    assert!(rejected[0].key.is_none());
}

#[test]
fn compressed_files() {
    let place = Place::new();
    let lines = generated(3, 3000);
    let file = fs::File::create(place.path("access.log.1.gz")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &[lines.join(&b'\n'), b"\n".to_vec()].concat())
        .unwrap();
    encoder.finish().unwrap();
    let options = place.options("access.log.1.gz");
    assert_eq!(place.ingest(&options).lines, 3000);
    assert_eq!(place.ingest(&options).lines, 0);
    assert_eq!(place.sorted_values("nginx"), sorted(lines));
}

#[test]
fn killed_at_every_commit_and_between() {
    let place = Place::new();
    let lines = generated(4, 6000);
    let mut options = place.options("access.log");
    options.batch_bytes = 10_000;
    let mut written = 0;
    for round in 0.. {
        // The file grows while nobody looks, now and then in the middle of a line.
        written = (written + 100_000 + round * 7919).min(lines.iter().map(|l| l.len() + 1).sum());
        let all: Vec<u8> = lines.iter().flat_map(|line| [&line[..], b"\n"].concat()).collect();
        fs::write(place.path("access.log"), &all[..written]).unwrap();
        options.follow = true;
        let mut tail = open(&place.store, &options).unwrap();
        for _ in 0..round % 3 {
            tail.step().unwrap();
        }
        // Dies in the middle of a transaction: records were sent, some even appended.
        let line = super::source::Line { bytes: &lines[0], offset: 0, piece: false };
        for _ in 0..200 {
            super::tail::Output::write(&mut tail.output, line, "access.log").unwrap();
        }
        drop(tail);
        if written == all.len() {
            break;
        }
    }
    options.follow = false;
    place.ingest(&options);
    assert_eq!(place.sorted_values("nginx"), sorted(lines));
    assert!(place.records("nginx.rejected").is_empty());
}

#[test]
fn followed_through_a_rename_until_stopped() {
    let place = Place::new();
    let lines = generated(5, 300);
    write(&place.path("access.log"), &lines[..100]);
    let options = IngestOptions { follow: true, ..place.options("access.log") };
    let stop = StopSignal::default();
    let mut seen = 0;
    let report = ingest_with_progress(&place.store, &options, &stop, &mut |report| {
        seen += 1;
        match report.lines {
            100 => {
                fs::rename(place.path("access.log"), place.path("access.log.1")).unwrap();
                let rest = [lines[100..200].join(&b'\n'), b"\n".to_vec()].concat();
                let mut file =
                    fs::File::options().append(true).open(place.path("access.log.1")).unwrap();
                std::io::Write::write_all(&mut file, &rest).unwrap();
            }
            200 => write(&place.path("access.log"), &lines[200..]),
            300 => stop.raise(),
            other => panic!("{other} lines after {seen} commits"),
        }
    })
    .unwrap();
    assert_eq!((report.lines, report.rejected), (300, 0));
    assert_eq!(place.sorted_values("nginx"), sorted(lines));
}

/// A machine that crashes, with a disk that fails and fills up, beside a log that is rotated. Returns how often what
/// happened, so that a test can see that it did.
fn history(seed: u64) -> [usize; 3] {
    let mut world = World::new(seed);
    let sim = Simulation::new(seed);
    let mut options = IngestOptions::new(world.folder.path("a"), "nginx");
    options.follow = true;
    options.partitions = 2;
    options.commit_bytes = world.random.random_range(1..5000);
    options.batch_bytes = world.random.random_range(100..5000);
    let mut happened = [0; 3];
    world.write();
    world.end_line();
    let mut first = true;
    // Bytes that a failed sync lost are seen until the machine goes down, so with failing syncs it does.
    let failing_syncs = seed.is_multiple_of(2);
    for _ in 0..12 {
        // A life of the process, until it ends or something fails.
        let store = match Store::open_in(sim.environment(), "data", StoreOptions::default()) {
            Ok(store) => store,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        let mut tail = match open(&store, &options) {
            Ok(tail) => tail,
            Err(error) => panic!("seed {seed}: {error}"),
        };
        if first {
            // The files of a log are found by the last one of which something was read, so something has to be.
            while tail.step().unwrap() == Step::Committed {}
            first = false;
        }
        let one_in_a_million = world.random.random_range(0..3) * 10_000;
        sim.set_fault_rates(FaultRates {
            write: one_in_a_million,
            sync: if failing_syncs { one_in_a_million / 4 } else { 0 },
            ..FaultRates::default()
        });
        if world.random.random_bool(0.2) {
            sim.set_capacity(Some(sim.used() + world.random.random_range(0..20_000)));
        }
        for _ in 0..world.random.random_range(1..25) {
            match world.random.random_range(0..100) {
                0..40 => world.write(),
                40..46 => {
                    let known = writer_positions(&store, &options);
                    world.rotate();
                    if known.last().is_none_or(|position| position.offset == 0) {
                        break;
                    }
                }
                46..52 => world.reopen(),
                52..56 => world.compress(),
                _ => match tail.step() {
                    Ok(_) => {}
                    Err(IngestError::Log(error)) => {
                        happened[0] += 1;
                        happened[1] += usize::from(matches!(error, LogError::DiskFull { .. }));
                        break;
                    }
                    Err(error) => panic!("seed {seed}: {error}"),
                },
            }
        }
        if failing_syncs || world.random.random_bool(0.5) {
            happened[2] += 1;
            sim.crash();
        } else {
            sim.kill_process();
        }
        drop(tail);
        sim.set_fault_rates(FaultRates::default());
        sim.set_capacity(None);
    }
    world.reopen();
    world.end_line();
    let store = Store::open_in(sim.environment(), "data", StoreOptions::default()).unwrap();
    let mut tail = open(&store, &options).unwrap();
    while tail.step().unwrap() == Step::Committed {}
    assert_eq!(tail.warnings, [""; 0], "seed {seed}");
    let records: Vec<Vec<u8>> = [read(&store, "nginx"), read(&store, "nginx.rejected")]
        .into_iter()
        .flatten()
        .map(|row| row.value)
        .collect();
    world.check(records.iter().map(|value| &value[..]), &format!("seed {seed}"));
    happened
}

fn writer_positions(store: &Store, options: &IngestOptions) -> Vec<position::FilePosition> {
    let log = writer::log_text(&log_path(&options.file).unwrap());
    writer::positions(store, &options.topic, &log).unwrap()
}

#[test]
fn no_crash_and_no_failing_disk_loses_or_doubles_a_line() {
    let seeds = std::env::var("RIVERRUN_SIM_SEEDS").map_or(100, |seeds| seeds.parse().unwrap());
    let mut happened = [0; 3];
    for seed in 0..seeds {
        for (sum, count) in happened.iter_mut().zip(history(seed)) {
            *sum += count;
        }
    }
    let [failures, full, crashes] = happened;
    assert!(failures > 20 && full > 5 && crashes > 100, "{happened:?} is too little");
}

#[test]
fn errors_name_the_file() {
    let place = Place::new();
    let error =
        ingest(&place.store, &place.options("none.log"), &StopSignal::default()).unwrap_err();
    assert!(error.to_string().contains("none.log"), "{error}");
    let options = IngestOptions { follow: true, ..place.options("a.gz") };
    let error = ingest(&place.store, &options, &StopSignal::default()).unwrap_err();
    assert!(error.to_string().contains("leave out --follow"), "{error}");
}
