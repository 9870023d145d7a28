//! How fast batches are built, compressed, decompressed and walked. Prints, asserts no times:
//!
//! ```text
//! cargo test --release -p riverrun-log-store --test batch_speed -- --ignored --nocapture
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use riverrun_log_store::{Batch, BatchBuilder, Compression, Decompressor};

/// Key and value of records as an access log makes them: an IP, and a line of about 150 bytes.
fn records(count: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut random = SmallRng::seed_from_u64(1);
    let paths =
        ["/", "/index.html", "/images/logo.png", "/blog/2015/05/stream", "/feed?format=rss"];
    let agents = ["Mozilla/5.0 (X11; Linux x86_64) Chrome/32.0", "curl/8.5.0", "Googlebot/2.1"];
    (0..count)
        .map(|at| {
            let ip = format!("10.{}.{}.7", random.random_range(0..40), random.random_range(0..250));
            let line = format!(
                "{ip} - - [17/May/2015:10:05:{:02} +0000] \"GET {}{} HTTP/1.1\" 200 {} \"-\" \"{}\"",
                at / 3000 % 60,
                paths[random.random_range(0..paths.len())],
                random.random_range(0..1000),
                random.random_range(100..100_000),
                agents[random.random_range(0..agents.len())],
            );
            (ip.into_bytes(), line.into_bytes())
        })
        .collect()
}

/// The best of some runs, since others use this machine too.
#[expect(clippy::disallowed_methods, reason = "it measures real time, and asserts none")]
fn best(mut run: impl FnMut()) -> Duration {
    let timed = |_| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    (0..15).map(timed).min().expect("fifteen runs")
}

#[test]
#[ignore = "measures; run it alone, in release"]
fn batch_speed() {
    let records = records(100_000);
    let per_batch = 6_000; // about 1 MiB
    let payload: usize = records.iter().map(|(key, value)| key.len() + value.len()).sum();
    let per_record = |time: Duration| time.as_nanos() as f64 / records.len() as f64;
    println!("{} records, {payload} bytes", records.len());

    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(codec).expect("a builder");
        let mut out = Vec::new();
        let mut sizes = Vec::new();
        let build = best(|| {
            out.clear();
            sizes.clear();
            for batch in records.chunks(per_batch) {
                for (key, value) in batch {
                    builder.append(1_431_857_100_000, Some(key), Some(value), &[]).expect("fits");
                }
                let before = out.len();
                builder.finish_into(&mut out).expect("a batch");
                sizes.push(out.len() - before);
            }
        });
        let mut rest = Bytes::from(out.clone());
        let mut batches = Vec::new();
        while !rest.is_empty() {
            batches.push(Batch::parse_first(&mut rest).expect("a batch"));
        }
        let mut decompressor = Decompressor::new();
        let decompress = best(|| {
            for batch in &batches {
                black_box(batch.records(&mut decompressor).expect("records"));
            }
        });
        let decoded: Vec<_> = batches
            .iter()
            .map(|batch| batch.records(&mut decompressor).expect("records"))
            .collect();
        let iterate = best(|| {
            let mut sum = 0;
            for records in &decoded {
                for record in records {
                    let record = record.expect("well-formed");
                    sum += record.value.map_or(0, <[u8]>::len) as i64 + record.timestamp;
                }
            }
            black_box(sum);
        });
        let walk = best(|| {
            let mut sum = 0;
            for records in &decoded {
                records
                    .for_each(|record| {
                        sum += record.value.map_or(0, <[u8]>::len) as i64 + record.timestamp;
                    })
                    .expect("well-formed");
            }
            black_box(sum);
        });
        let crc = best(|| batches.iter().for_each(|batch| batch.verify_crc().expect("sound")));
        let megabytes = |time: Duration| payload as f64 / 1e6 / time.as_secs_f64();
        println!(
            "{codec:>6}: ratio {:.2}; build {:.1} ns/record, {:.0} MB/s; decompress {:.0} MB/s, {:.1} \
             ns/record; iterate {:.1} ns/record; walk {:.1} ns/record; crc {:.1} ns/record",
            payload as f64 / out.len() as f64,
            per_record(build),
            megabytes(build),
            megabytes(decompress),
            per_record(decompress),
            per_record(iterate),
            per_record(walk),
            per_record(crc),
        );
    }
}
