//! The main job and its ingestion, as programs run them.

use std::path::Path;
use std::time::Duration;

use riverrun::embedded::EmbeddedCluster;
use riverrun::ingest::{IngestOptions, ingest};
use riverrun::log_store::{Consumer, ConsumerConfig, Decompressor, Position, Store, StoreOptions};
use riverrun::{Environment, JobOptions, StopSignal};

// The job is the example's, to the letter.
#[allow(dead_code, reason = "its main is not called here")]
#[path = "../../examples/nginx_ip_counts.rs"]
mod nginx_ip_counts;

use nginx_ip_counts::{IpCount, Options};

/// Ingests a file and returns how many lines there were.
pub fn ingest_file(file: &Path, data_dir: &Path) -> anyhow::Result<u64> {
    let store = Store::open(data_dir, StoreOptions::default())?;
    let report = ingest(&store, &IngestOptions::new(file, "nginx"), &StopSignal::default())?;
    store.close()?;
    Ok(report.lines)
}

/// Runs the job over the whole topic, under a name of its own, and returns a checksum over what it put out.
pub fn count_topic(data_dir: &Path, parallelism: u32, columns: bool) -> anyhow::Result<u64> {
    let name = format!("ip-counts-{}-{parallelism}", if columns { "columns" } else { "rows" });
    let cluster = EmbeddedCluster::open(data_dir)?;
    let env = Environment::new(
        &name,
        JobOptions {
            data_dir: data_dir.to_owned(),
            parallelism,
            checkpoint_interval: Duration::from_secs(1),
            job_name: None,
        },
    );
    let options = Options {
        input: None,
        topic: Some("nginx".to_owned()),
        socket: None,
        window: Duration::from_secs(5),
        out_of_orderness: Duration::from_secs(60),
        output_topic: name.clone(),
        follow: false,
        columns,
    };
    nginx_ip_counts::nginx_ip_counts(&env, options)?;
    cluster.run(&env, &StopSignal::default())?;
    cluster.store().close()?;
    Ok(0)
}

/// A checksum over the committed results in a job's output topic.
pub fn checksum(data_dir: &Path, topic: &str) -> anyhow::Result<u64> {
    checksum_of(data_dir, topic, |value| {
        let row: IpCount = serde_json::from_slice(value)?;
        Ok(result_hash(row.ip.as_bytes(), row.window_start / 1000, row.count))
    })
}

/// The sum of the numbers that are made of the committed records of a topic.
pub fn checksum_of(
    data_dir: &Path,
    topic: &str,
    number: impl Fn(&[u8]) -> anyhow::Result<u64>,
) -> anyhow::Result<u64> {
    let store = Store::open(data_dir, StoreOptions::default())?;
    let mut consumer = Consumer::new(&store, ConsumerConfig::default());
    consumer.assign_all(topic, Position::Earliest)?;
    let mut decompressor = Decompressor::new();
    let (mut sum, mut failure) = (0u64, None);
    loop {
        let fetched = consumer.poll(Duration::ZERO)?;
        if fetched.is_empty() {
            break;
        }
        for batch in fetched {
            batch.for_each(&mut decompressor, |record| {
                match number(record.value.unwrap_or_default()) {
                    Ok(number) => sum = sum.wrapping_add(number),
                    Err(error) => failure = Some(error),
                }
            })?;
        }
    }
    failure.map_or(Ok(sum), Err)
}

/// One result as a number; results are added up, so their order does not matter.
pub fn result_hash(ip: &[u8], window_seconds: i64, count: u64) -> u64 {
    riverrun::dataflow::key_hash(&(ip, window_seconds, count))
}
