//! The log alone: write records to a topic, read them back.
//!
//! ```text
//! cargo run --example append_and_read
//! ```

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use riverrun::log_store::{
    Consumer, ConsumerConfig, Decompressor, Position, Producer, ProducerConfig, Store,
    StoreOptions, TopicConfig,
};

/// Write records to a topic and read them back.
#[derive(clap::Parser)]
struct Options {
    /// Folder of the store; made if it is not there
    #[arg(long, env = "RIVERRUN_DATA_DIR", default_value = "./riverrun-data", value_name = "DIR")]
    data_dir: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let store = Store::open(Options::parse().data_dir, StoreOptions::default())?;
    if !store.topics().iter().any(|info| info.name == "greetings") {
        store.create_topic("greetings", TopicConfig { partitions: 2, ..TopicConfig::default() })?;
    }

    // Records with the same key go to the same partition, in order. After `flush` they are on disk.
    let mut producer = Producer::new(&store, ProducerConfig::default())?;
    for (key, value) in [("en", "good morning"), ("de", "guten Morgen"), ("en", "good night")] {
        producer.send(
            "greetings",
            None,
            None,
            Some(key.as_bytes()),
            Some(value.as_bytes()),
            &[],
        )?;
    }
    producer.flush()?;

    let mut consumer = Consumer::new(&store, ConsumerConfig::default());
    consumer.assign_all("greetings", Position::Earliest)?;
    let mut decompressor = Decompressor::new();
    loop {
        let fetched = consumer.poll(Duration::ZERO)?;
        if fetched.is_empty() {
            return Ok(());
        }
        for batch in fetched {
            batch.for_each(&mut decompressor, |record| {
                let text = |bytes: Option<&[u8]>| {
                    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
                };
                println!(
                    "{}-{}@{} {} {}",
                    batch.topic,
                    batch.partition,
                    record.offset,
                    text(record.key),
                    text(record.value)
                );
            })?;
        }
    }
}
