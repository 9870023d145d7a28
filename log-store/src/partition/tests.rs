use std::path::Path;
use std::time::Duration;

use super::*;
use crate::batch::BatchBuilder;
use crate::compression::Compression;
use crate::environment::sim::{FaultRates, Simulation};

struct Bench {
    sim: Simulation,
    config: TopicConfig,
}

impl Bench {
    fn new(config: TopicConfig) -> Self {
        let sim = Simulation::new(7);
        create(&*sim.environment().files, Path::new("p")).expect("no faults");
        Bench { sim, config }
    }

    fn try_open(&self) -> Result<Partition> {
        let environment = self.sim.environment();
        let place = Place {
            topic: "t",
            partition: 0,
            dir: "p".into(),
            environment: &environment,
            lock: None,
        };
        open(place, self.config.clone())
    }

    fn open(&self) -> Partition {
        self.try_open().expect("opens")
    }
}

fn batch(values: std::ops::Range<i64>) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None).expect("no codec");
    for value in values {
        let text = format!("value {value}");
        builder.append(1_000 + value, Some(b"key"), Some(text.as_bytes()), &[]).expect("fits");
    }
    builder.finish().expect("no codec")
}

fn values(partition: &Partition, from: i64) -> Vec<String> {
    let mut found = Vec::new();
    let mut offset = from;
    loop {
        let fetch = partition.read(offset, 200, Isolation::ReadUncommitted).expect("readable");
        let Some(next) = fetch.next_offset() else { return found };
        for batch in &fetch.batches {
            batch.verify_crc().expect("whole");
            let records = batch.records(&mut crate::Decompressor::default()).expect("records");
            for record in records.iter() {
                let record = record.expect("well formed");
                let value = String::from_utf8_lossy(record.value.unwrap_or_default());
                if record.offset >= from {
                    assert_eq!(value, format!("value {}", record.offset));
                    found.push(value.into_owned());
                }
            }
        }
        assert!(next > offset);
        offset = next;
    }
}

#[test]
fn appends_are_seen_when_they_are_durable_and_survive_a_crash() {
    let bench = Bench::new(TopicConfig::default());
    let partition = bench.open();
    let appended = partition.append(&mut batch(0..3)).expect("fits");
    assert_eq!((appended.base_offset, appended.last_offset), (0, 2));
    assert_eq!(values(&partition, 0).len(), 0, "not durable yet");
    assert_eq!(partition.offsets().log_end, 3);
    partition.flush().expect("no faults");
    assert_eq!(values(&partition, 0).len(), 3);
    partition.append(&mut batch(3..5)).expect("fits");
    bench.sim.crash();
    let partition = bench.open();
    let end = partition.offsets().log_end;
    assert!(end == 3 || end == 5, "{end}");
    assert_eq!(values(&partition, 0).len() as i64, end);
    assert_eq!(values(&partition, 2).len() as i64, end - 2);
    assert!(matches!(
        partition.read(9, 100, Isolation::ReadUncommitted),
        Err(Error::OffsetOutOfRange { offset: 9, log_start: 0, .. })
    ));
}

#[test]
fn segments_roll_and_reads_go_across() {
    let bench = Bench::new(TopicConfig { segment_bytes: 300, ..TopicConfig::default() });
    let partition = bench.open();
    for at in 0..20 {
        partition.append_durable(&mut batch(at * 2..at * 2 + 2)).expect("fits");
    }
    assert!(partition.segment_count() > 5);
    assert_eq!(values(&partition, 0).len(), 40);
    for from in 0..=40 {
        assert_eq!(values(&partition, from).len() as i64, 40 - from);
        let found = partition.offset_for_timestamp(1_000 + from).expect("readable");
        assert_eq!(found, (from < 40).then_some((from, 1_000 + from)));
    }
    partition.close().expect("no faults");
    bench.sim.crash();
    let partition = bench.open();
    assert_eq!(values(&partition, 0).len(), 40);
    partition.append_durable(&mut batch(40..41)).expect("fits");
    assert_eq!(values(&partition, 0).len(), 41);
}

#[test]
fn a_failed_sync_stops_the_partition_until_it_is_opened_again() {
    let bench = Bench::new(TopicConfig::default());
    let partition = bench.open();
    partition.append_durable(&mut batch(0..2)).expect("fits");
    partition.append(&mut batch(2..4)).expect("fits");
    bench.sim.set_fault_rates(FaultRates { sync: 1_000_000, ..FaultRates::default() });
    assert!(matches!(partition.flush(), Err(Error::PartitionStopped { .. })));
    bench.sim.set_fault_rates(FaultRates::default());
    assert!(matches!(partition.flush(), Err(Error::PartitionStopped { .. })), "a retry would lie");
    assert!(partition.append(&mut batch(4..5)).is_err());
    assert_eq!(values(&partition, 0).len(), 2, "what is durable can still be read");
    let waits = partition.wake_on_advance(2, Isolation::ReadUncommitted, std::task::Waker::noop());
    assert!(!waits, "nobody is left waiting for what will not come");
    bench.sim.crash();
    let partition = bench.open();
    assert!(values(&partition, 0).len() >= 2);
    partition.append_durable(&mut batch(partition.offsets().log_end..9)).expect("fits");
    assert_eq!(values(&partition, 0).len(), 9);
}

#[test]
fn a_full_disk_undoes_the_append_and_work_goes_on() {
    let bench = Bench::new(TopicConfig::default());
    let partition = bench.open();
    partition.append_durable(&mut batch(0..2)).expect("fits");
    bench.sim.set_capacity(Some(bench.sim.used() + 100));
    assert!(matches!(partition.append(&mut batch(2..50)), Err(Error::DiskFull { .. })));
    bench.sim.set_capacity(None);
    partition.append_durable(&mut batch(2..5)).expect("there is room again");
    assert_eq!(values(&partition, 0).len(), 5);
    bench.sim.crash();
    assert_eq!(values(&bench.open(), 0).len(), 5);
}

#[test]
fn every_flipped_bit_is_refused_or_harmless() {
    let bench = Bench::new(TopicConfig::default());
    let partition = bench.open();
    partition.append_durable(&mut batch(0..2)).expect("fits");
    partition.append_durable(&mut batch(2..4)).expect("fits");
    let path = PathBuf::from("p").join(crate::segment::file_name(0, ".log"));
    let bits = bench.sim.contents(&path).expect("the segment").len() as u64 * 8;
    let first = partition.read(0, 1, Isolation::ReadUncommitted).expect("whole").bytes.len() as u64;
    for bit in 0..bits {
        assert!(bench.sim.flip_bit(&path, bit));
        let damaged_at = if bit < first * 8 { 0 } else { 2 };
        let error = partition.read(damaged_at, 1000, Isolation::ReadUncommitted);
        assert!(
            matches!(error, Err(Error::Damaged { offset, .. }) if offset == damaged_at),
            "bit {bit}"
        );
        if damaged_at == 2 {
            let fetch =
                partition.read(0, 1000, Isolation::ReadUncommitted).expect("the first is whole");
            assert_eq!(fetch.batches.len(), 1);
        }
        // Opened again without a crash: both batches have index entries.
        let error = bench.try_open();
        assert!(matches!(error, Err(Error::Damaged { .. })), "bit {bit}");
        bench.sim.flip_bit(&path, bit);
    }
    assert_eq!(values(&bench.open(), 0).len(), 4);
}

#[test]
fn a_missing_or_damaged_index_is_made_again() {
    let bench = Bench::new(TopicConfig { segment_bytes: 300, ..TopicConfig::default() });
    let partition = bench.open();
    for at in 0..6 {
        partition.append_durable(&mut batch(at..at + 1)).expect("fits");
    }
    partition.close().expect("no faults");
    let index = PathBuf::from("p").join(crate::segment::file_name(0, ".index"));
    bench.sim.environment().files.remove(&index).expect("it is there");
    assert_eq!(values(&bench.open(), 0).len(), 6);
    bench.open().close().expect("no faults");
    // A flipped bit in the last entry, which is what opening looks at.
    let bits = bench.sim.contents(&index).expect("made again").len() as u64 * 8;
    assert!(bench.sim.flip_bit(&index, bits - 9));
    assert_eq!(values(&bench.open(), 0).len(), 6);
}

#[test]
fn retention_goes_by_size_and_age_and_keeps_the_log_end() {
    let bench = Bench::new(TopicConfig {
        segment_bytes: 300,
        retention_bytes: Some(700),
        ..TopicConfig::default()
    });
    let partition = bench.open();
    for at in 0..20 {
        partition.append_durable(&mut batch(at..at + 1)).expect("fits");
    }
    assert!(partition.maintain().expect("no faults") > 0);
    let start = partition.offsets().log_start;
    assert!(start > 0 && partition.size_bytes() < 1200, "{start} {}", partition.size_bytes());
    assert_eq!(values(&partition, start).len() as i64, 20 - start);
    assert!(partition.read(0, 100, Isolation::ReadUncommitted).is_err());
    bench.sim.crash();
    let partition = bench.open();
    assert_eq!(partition.offsets().log_start, start);

    let mut config = bench.config.clone();
    config.set("retention.ms", "5000").expect("valid");
    partition.set_config(config);
    bench.sim.advance(Duration::from_secs(10));
    partition.maintain().expect("no faults");
    let offsets = partition.offsets();
    assert_eq!((offsets.log_start, offsets.log_end), (20, 20), "records are from 1970");
    bench.sim.crash();
    let partition = bench.open();
    assert_eq!(partition.offsets(), offsets, "the log end survives the last record");
    partition.append_durable(&mut batch(20..21)).expect("fits");
    assert_eq!(values(&partition, 20).len(), 1);
}

#[test]
fn deleted_records_stay_deleted() {
    let bench = Bench::new(TopicConfig::default());
    let partition = bench.open();
    partition.append_durable(&mut batch(0..10)).expect("fits");
    assert_eq!(partition.delete_records(4).expect("no faults"), 4);
    assert!(partition.read(3, 100, Isolation::ReadUncommitted).is_err());
    assert_eq!(values(&partition, 4).len(), 6);
    assert_eq!(partition.offset_for_timestamp(0).expect("readable"), Some((4, 1_004)));
    bench.sim.crash();
    let partition = bench.open();
    assert_eq!(partition.offsets().log_start, 4);
    assert!(partition.delete_records(11).is_err());
}

#[test]
fn readers_are_woken_by_the_flush() {
    use std::sync::atomic::AtomicUsize;
    struct Count(AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let bench = Bench::new(TopicConfig::default());
    let partition = bench.open();
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    assert!(partition.wake_on_advance(0, Isolation::ReadUncommitted, &waker));
    partition.append(&mut batch(0..1)).expect("fits");
    assert_eq!(count.0.load(Ordering::SeqCst), 0);
    partition.flush().expect("no faults");
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert!(!partition.wake_on_advance(0, Isolation::ReadUncommitted, &waker), "ready now");
    assert!(partition.wake_on_advance(1, Isolation::ReadCommitted, &waker));
    partition.append_durable(&mut batch(1..2)).expect("fits");
    assert_eq!(count.0.load(Ordering::SeqCst), 2);
}

#[test]
fn what_is_no_batch_is_refused_whole() {
    let bench = Bench::new(TopicConfig { max_message_bytes: 500, ..TopicConfig::default() });
    let partition = bench.open();
    assert!(partition.append(&mut []).is_err());
    let mut cut = batch(0..2);
    cut.pop();
    assert!(matches!(partition.append(&mut cut), Err(Error::MalformedBatch { .. })));
    let mut flipped = [batch(0..2), batch(2..3)].concat();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    assert!(matches!(partition.append(&mut flipped), Err(Error::ChecksumMismatch { .. })));
    let mut large = batch(0..100);
    assert!(matches!(partition.append(&mut large), Err(Error::MessageTooLarge { .. })));
    assert_eq!(partition.offsets().log_end, 0);
    let mut two = [batch(0..2), batch(2..3)].concat();
    let appended = partition.append_durable(&mut two).expect("two batches");
    assert_eq!(appended.last_offset, 2);
    assert_eq!(values(&partition, 0).len(), 3);
}
