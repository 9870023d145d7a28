//! The log alone against plain file I/O on the same disk.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use riverrun::log_store::{BatchBuilder, Compression, Isolation, Store, StoreOptions, TopicConfig};

use super::measure::{self, median};

const BATCH_BYTES: usize = 1 << 20;
const BATCHES: usize = 1024;
/// Both sides sync after so many batches.
const BATCHES_A_SYNC: usize = 4;

/// Prints both ratios.
pub fn compare(folder: &Path, rounds: usize) -> anyhow::Result<()> {
    let stages = ["log-append", "plain-append", "log-read", "plain-read"];
    let mut measured = vec![Vec::new(); stages.len()];
    for round in 0..rounds {
        let dir = folder.join(format!("log-{round}"));
        std::fs::create_dir_all(&dir)?;
        for (stage, measured) in stages.iter().zip(&mut measured) {
            if *stage == "log-read" {
                // Once for nothing: neither side is to read what the disk is still writing.
                measure::stage("plain-read", &[dir.as_os_str()])?;
            }
            measured.push(measure::stage(stage, &[dir.as_os_str()])?);
        }
        std::fs::remove_dir_all(&dir)?;
    }
    let [log_append, plain_append, log_read, plain_read] =
        [0, 1, 2, 3].map(|i| median(&measured[i]));
    let gigabytes = (BATCHES * BATCH_BYTES) as f64 / 1e9;
    let row = |name: &str, log: f64, plain: f64| {
        println!(
            "{name:<44}{:>8.2} GB/s{:>8.2} GB/s plain{:>8.2} ratio (target: 0.8)",
            gigabytes / log,
            gigabytes / plain,
            plain / log
        );
    };
    row("append, 1 MiB batches, a sync each 4 MiB", log_append.wall, plain_append.wall);
    row("read sealed segments, all bytes checked", log_read.wall, plain_read.wall);
    Ok(())
}

/// One side of one comparison, in a process of its own.
pub fn run_stage(stage: &str, dir: &Path) -> anyhow::Result<u64> {
    match stage {
        "log-append" => log_append(dir),
        "plain-append" => plain_append(dir),
        "log-read" => log_read(dir),
        "plain-read" => plain_read(dir),
        other => anyhow::bail!("there is no stage `{other}`"),
    }
}

/// An uncompressed batch of about a mebibyte, as a producer would send it.
fn batch() -> anyhow::Result<Vec<u8>> {
    let mut builder = BatchBuilder::new(Compression::None)?;
    let mut value = vec![0u8; 1000];
    let mut state = 1u64;
    while builder.size_bytes() + value.len() + 32 < BATCH_BYTES {
        for byte in &mut value {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        builder.append(1_431_856_800_000, None, Some(&value), &[])?;
    }
    Ok(builder.finish()?)
}

fn log_append(dir: &Path) -> anyhow::Result<u64> {
    let store = Store::open(dir.join("data"), StoreOptions::default())?;
    let config = TopicConfig { segment_bytes: 256 << 20, ..TopicConfig::default() };
    store.create_topic("bench", config)?;
    let partition = store.partition("bench", 0)?;
    let mut batch = batch()?;
    let mut bytes = 0;
    for number in 1..=BATCHES {
        partition.append(&mut batch)?;
        bytes += batch.len() as u64;
        if number % BATCHES_A_SYNC == 0 {
            partition.flush()?;
        }
    }
    store.close()?;
    Ok(bytes)
}

fn plain_append(dir: &Path) -> anyhow::Result<u64> {
    let file = File::create(dir.join("plain"))?;
    let batch = batch()?;
    let mut at = 0;
    for number in 1..=BATCHES {
        file.write_all_at(&batch, at)?;
        at += batch.len() as u64;
        if number % BATCHES_A_SYNC == 0 {
            file.sync_data()?;
        }
    }
    Ok(at)
}

fn log_read(dir: &Path) -> anyhow::Result<u64> {
    let store = Store::open(dir.join("data"), StoreOptions::default())?;
    let partition = store.partition("bench", 0)?;
    let (mut at, mut bytes) = (0, 0);
    while at < partition.offsets().high_watermark {
        let fetch = partition.read(at, 8 << 20, Isolation::ReadUncommitted)?;
        for batch in &fetch.batches {
            at = batch.header().next_offset();
            bytes += batch.header().total_len() as u64;
        }
    }
    Ok(bytes)
}

/// Walks all bytes of the same segments.
fn plain_read(dir: &Path) -> anyhow::Result<u64> {
    let mut segments: Vec<PathBuf> = std::fs::read_dir(dir.join("data/topics/bench-0"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    segments.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
    segments.sort();
    let mut sum = 0u64;
    for path in segments {
        // SAFETY: nobody writes or cuts the segments while this process reads them.
        let map = unsafe { memmap2::Mmap::map(&File::open(path)?)? };
        for word in map.chunks_exact(8) {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(word);
            sum = sum.wrapping_add(u64::from_le_bytes(bytes));
        }
    }
    Ok(std::hint::black_box(sum))
}
