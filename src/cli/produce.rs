//! `riverrun produce`: lines in.

use std::io::{BufRead, BufReader};

use anyhow::Context;
use riverrun_dataflow::Clock;
use riverrun_log_store::{Compression, Producer, ProducerConfig, TopicConfig};

use super::data_dir::DataDir;
use crate::embedded::MachineClock;

/// Options of `produce`.
#[derive(clap::Args)]
pub(super) struct Produce {
    /// Topic to write to; made with one partition if it is not there
    topic: String,
    /// Text between key and value in a line; without it a line is a value without a key
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// Write to this partition, instead of where the key (or chance) says
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// How batches are compressed: none, gzip, snappy, lz4 or zstd
    #[arg(long, default_value = "lz4", value_name = "CODEC")]
    compression: Compression,
    #[command(flatten)]
    data_dir: DataDir,
}

impl Produce {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let store = self.data_dir.open()?;
        if !store.topics().iter().any(|info| info.name == self.topic) {
            store.create_topic(&self.topic, TopicConfig::default())?;
        }
        let config = ProducerConfig {
            compression: self.compression,
            linger: None,
            ..ProducerConfig::default()
        };
        let mut producer = Producer::new(&store, config)?;
        let mut input = BufReader::with_capacity(1 << 20, std::io::stdin().lock());
        let (mut line, mut records) = (Vec::new(), 0u64);
        loop {
            line.clear();
            if input.read_until(b'\n', &mut line).context("cannot read standard input")? == 0 {
                break;
            }
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let (key, value) = match &self.key_separator {
                None => (None, text),
                Some(separator) => {
                    let at = find(text, separator.as_bytes()).with_context(|| {
                        format!(
                            "line {} has no `{separator}` between key and value: {}",
                            records + 1,
                            String::from_utf8_lossy(text)
                        )
                    })?;
                    (Some(&text[..at]), &text[at + separator.len()..])
                }
            };
            producer.send(
                &self.topic,
                self.partition,
                Some(MachineClock.now()),
                key,
                Some(value),
                &[],
            )?;
            records += 1;
            // Whoever feeds us waits, or types: what is there goes out.
            if input.buffer().is_empty() {
                producer.flush()?;
            }
        }
        producer.flush()?;
        store.close()?;
        eprintln!("{records} record(s) written to `{}`", self.topic);
        Ok(())
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, part)
}
