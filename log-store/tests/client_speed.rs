//! How fast records go through a producer into a store on disk and out through a consumer. Prints,
//! asserts no times:
//!
//! ```text
//! cargo test --release -p riverrun-log-store --test client_speed -- --ignored --nocapture
//! ```

use std::time::{Duration, Instant};

use riverrun_log_store::{
    Compression, Consumer, ConsumerConfig, Decompressor, Position, Producer, ProducerConfig, Store,
    StoreOptions, TopicConfig,
};

#[test]
#[ignore = "measures; run it alone, in release"]
#[expect(clippy::disallowed_methods, reason = "it measures real time, and asserts none")]
fn client_speed() {
    let records = 2_000_000u32;
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path(), StoreOptions::default()).expect("a new store");
    for (codec, linger) in [
        (Compression::None, None),
        (Compression::Lz4, None),
        (Compression::Lz4, Some(Duration::from_millis(5))),
    ] {
        let topic = format!("{codec}-{}", linger.is_some());
        store.create_topic(&topic, TopicConfig::default()).expect("a new topic");
        let config = ProducerConfig { compression: codec, linger, ..ProducerConfig::default() };
        let mut producer = Producer::new(&store, config).expect("a producer");
        let lines: Vec<_> = (0..5000)
            .map(|number| {
                let ip = format!("10.0.{}.{}", number / 250, number % 250);
                let line = format!(
                    "{ip} - - [17/May/2015:10:05:03 +0000] \"GET /page/{} HTTP/1.1\" 200 {} \"-\" \
                     \"Mozilla/5.0 (X11; Linux x86_64)\"",
                    number * 7 % 1000,
                    number * 31
                );
                (ip, line)
            })
            .collect();
        let per_record = |time: Duration| time.as_nanos() as f64 / f64::from(records);

        let start = Instant::now();
        for number in 0..records {
            let (ip, line) = &lines[number as usize % lines.len()];
            let timestamp = Some(1_431_857_100_000 + i64::from(number));
            producer
                .send(&topic, None, timestamp, Some(ip.as_bytes()), Some(line.as_bytes()), &[])
                .expect("taken");
        }
        producer.flush().expect("flushed");
        let produced = start.elapsed();

        let mut consumer = Consumer::new(&store, ConsumerConfig::default());
        consumer.assign_all(&topic, Position::Earliest).expect("assigned");
        let mut decompressor = Decompressor::new();
        let (mut seen, mut bytes) = (0, 0);
        let start = Instant::now();
        while seen < records {
            for fetched in consumer.poll(Duration::ZERO).expect("readable") {
                fetched
                    .for_each(&mut decompressor, |record| {
                        seen += 1;
                        bytes += record.value.map_or(0, <[u8]>::len);
                    })
                    .expect("well-formed");
            }
        }
        let consumed = start.elapsed();
        println!(
            "{codec}, linger {linger:?}: produce {:.0} ns/record, consume {:.0} ns/record ({} bytes a \
             record)",
            per_record(produced),
            per_record(consumed),
            bytes / records as usize
        );
    }
}
