//! How fast a partition appends and reads, beside plain positioned writes and a plain walk over an mmap
//! of the same bytes. Prints ratios, asserts no times:
//!
//! ```text
//! cargo test --release -p riverrun-log-store --test store_speed -- --ignored --nocapture
//! ```

#![allow(clippy::disallowed_methods, reason = "a measurement measures time")]

use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use riverrun_log_store::{BatchBuilder, Compression, Isolation, Store, StoreOptions, TopicConfig};

const BATCH: usize = 1 << 20;
const BATCHES: usize = 512;

fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None).expect("no codec");
    let mut seed = 1u64;
    while builder.size_bytes() < BATCH - 200 {
        let value: Vec<u8> = (0..150)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 56) as u8
            })
            .collect();
        builder.append(1_431_856_800_000, None, Some(&value), &[]).expect("fits");
    }
    builder.finish().expect("no codec")
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn log_append(dir: &Path, sync_every: usize, batches: usize, batch: &mut [u8]) -> Duration {
    let store = Store::open(dir, StoreOptions::default()).expect("a new store");
    store.create_topic("t", TopicConfig::default()).expect("a new topic");
    let partition = store.partition("t", 0).expect("the partition");
    timed(|| {
        for at in 0..batches {
            partition.append_trusted(batch).expect("fits");
            if (at + 1) % sync_every == 0 {
                partition.flush().expect("no faults");
            }
        }
        partition.flush().expect("no faults");
    })
}

fn plain_append(dir: &Path, sync_every: usize, batches: usize, batch: &[u8]) -> Duration {
    std::fs::create_dir_all(dir).expect("a folder");
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).open(dir.join("plain"));
    let file = file.expect("a new file");
    timed(|| {
        for at in 0..batches {
            file.write_all_at(batch, (at * batch.len()) as u64).expect("room");
            if (at + 1) % sync_every == 0 {
                file.sync_data().expect("no faults");
            }
        }
        file.sync_data().expect("no faults");
    })
}

fn median(mut rounds: Vec<(Duration, Duration)>) -> (Duration, Duration, f64) {
    rounds.sort_by(|a, b| {
        let ratio = |(ours, plain): &(Duration, Duration)| plain.as_secs_f64() / ours.as_secs_f64();
        ratio(a).total_cmp(&ratio(b))
    });
    let (ours, plain) = rounds[rounds.len() / 2];
    (ours, plain, plain.as_secs_f64() / ours.as_secs_f64())
}

fn report(what: &str, rounds: Vec<(Duration, Duration)>, bytes: usize) {
    let (ours, plain, ratio) = median(rounds);
    let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    println!("{what}: {:.0} MB/s, plain {:.0} MB/s, ratio {ratio:.2}", rate(ours), rate(plain));
}

#[test]
#[ignore = "a measurement"]
fn append() {
    for (size, sync_every, batches) in
        [(BATCH, 1, 256), (BATCH, 4, 256), (4096, 1, 2000), (4096, 64, 20_000)]
    {
        let mut batch = batch();
        if size < BATCH {
            let mut builder = BatchBuilder::new(Compression::None).expect("no codec");
            let value = vec![b'x'; size - 80];
            builder.append(1, None, Some(&value), &[]).expect("fits");
            batch = builder.finish().expect("no codec");
        }
        let rounds = (0..5)
            .map(|_| {
                let dir = tempfile::tempdir().expect("a folder");
                let ours = log_append(&dir.path().join("log"), sync_every, batches, &mut batch);
                let plain = plain_append(&dir.path().join("plain"), sync_every, batches, &batch);
                (ours, plain)
            })
            .collect();
        let what = format!("append, {} bytes, a sync each {sync_every}", batch.len());
        report(&what, rounds, batch.len() * batches);
    }
}

/// Resident pages of files, in KiB.
fn mapped_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).expect("Linux 4.5");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
#[ignore = "a measurement"]
fn read() {
    for size in [BATCH, 16 << 10] {
        let dir = tempfile::tempdir().expect("a folder");
        let mut batch = batch();
        if size < BATCH {
            let mut builder = BatchBuilder::new(Compression::None).expect("no codec");
            while builder.size_bytes() < size - 200 {
                builder.append(1, None, Some(&[b'x'; 150]), &[]).expect("fits");
            }
            batch = builder.finish().expect("no codec");
        }
        let batches = BATCH * BATCHES / batch.len();
        log_append(dir.path(), 1000, batches, &mut batch);
        let store = Store::open(dir.path(), StoreOptions::default()).expect("opens");
        let partition = store.partition("t", 0).expect("the partition");
        let path = dir.path().join("topics/t-0/00000000000000000000.log");
        let bytes = std::fs::metadata(&path).expect("the segment").len() as usize;
        let mut peak = 0;
        let rounds = (0..7)
            .map(|_| {
                let ours = timed(|| {
                    let mut offset = 0;
                    let mut count = 0usize;
                    loop {
                        let fetch = partition
                            .read(offset, 1 << 20, Isolation::ReadUncommitted)
                            .expect("readable");
                        let Some(next) = fetch.next_offset() else { break };
                        count += fetch.bytes.len();
                        offset = next;
                    }
                    assert_eq!(count, bytes);
                });
                peak = peak.max(mapped_kib());
                let plain = timed(|| {
                    let file = std::fs::File::open(&path).expect("the segment");
                    // SAFETY: nobody writes to this file while it is mapped.
                    let map = unsafe { memmap2::Mmap::map(&file) }.expect("mapped");
                    let (words, _) = map.as_chunks::<8>();
                    black_box(
                        words.iter().fold(0u64, |sum, w| sum.wrapping_add(u64::from_le_bytes(*w))),
                    );
                });
                (ours, plain)
            })
            .collect();
        report(&format!("read, batches of {}", batch.len()), rounds, bytes);
        println!("mapped after reading {} MiB: {} MiB", bytes >> 20, peak >> 10);
    }
}
