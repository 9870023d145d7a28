//! `riverrun consume`: records out.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use riverrun_log_store::{
    Consumer, ConsumerConfig, Decompressor, Headers, Isolation, Position, Record, Store,
};
use riverrun_operators::format::arrow::JsonRows;
use serde::Serialize;
use serde_json::value::RawValue;

use super::data_dir::DataDir;
use super::output::rfc3339;

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum RecordFormat {
    /// The value alone, a line each
    #[default]
    Value,
    /// Partition, offset, time, key and value in columns
    Table,
    /// One JSON object a line: topic, partition, offset, timestamp, key, value, headers
    Json,
}

/// Options of `consume`.
#[derive(clap::Args)]
pub(super) struct Consume {
    /// Topic to read
    topic: String,
    /// Begin with the first record there is (this is the default without --follow)
    #[arg(long, conflicts_with_all = ["offset", "from_timestamp"])]
    from_beginning: bool,
    /// Begin at this offset of every partition read
    #[arg(long, value_name = "N", conflicts_with = "from_timestamp")]
    offset: Option<i64>,
    /// Begin with records of this time or later: RFC 3339, or milliseconds since 1970
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    from_timestamp: Option<i64>,
    /// Read only this partition
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// Go on with what is added, until interrupted; what is read is printed at once
    #[arg(long)]
    follow: bool,
    /// End after this many records
    #[arg(long, value_name = "N")]
    max_records: Option<u64>,
    /// Read records of open and aborted transactions, too
    #[arg(long)]
    uncommitted: bool,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: RecordFormat,
    #[command(flatten)]
    data_dir: DataDir,
}

fn timestamp(text: &str) -> Result<i64, String> {
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(ms);
    }
    chrono::DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis()).map_err(|e| {
        format!(
            "`{text}` is neither milliseconds since 1970 nor a time like 2015-05-17T10:05:00Z ({e})"
        )
    })
}

impl Consume {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let store = self.data_dir.open_existing()?;
        let isolation =
            if self.uncommitted { Isolation::ReadUncommitted } else { Isolation::ReadCommitted };
        let mut consumer =
            Consumer::new(&store, ConsumerConfig { isolation, ..ConsumerConfig::default() });
        let mut ends = self.assign(&store, &mut consumer, isolation)?;
        let stdout = std::io::stdout();
        let flush_each = stdout.is_terminal() || self.follow;
        let mut out = std::io::BufWriter::with_capacity(1 << 16, stdout.lock());
        let (mut printed, mut decompressor) = (0, Decompressor::new());
        let mut columns = JsonRows::of_topic(&store.topic(&self.topic)?.config).ok();
        loop {
            if !self.follow {
                ends.retain(|(partition, end)| {
                    consumer.position(&self.topic, *partition).is_some_and(|at| at < *end)
                });
                if ends.is_empty() {
                    break;
                }
            }
            let timeout = if self.follow { Duration::MAX } else { Duration::ZERO };
            for fetched in consumer.poll(timeout)? {
                let end =
                    ends.iter().find(|(p, _)| *p == fetched.partition).map_or(0, |(_, end)| *end);
                let mut each = |record: &Record<'_>| {
                    let passed = record.offset < fetched.from_offset;
                    let enough = self.max_records.is_some_and(|most| printed >= most);
                    if passed || enough || (!self.follow && record.offset >= end) {
                        return Ok(());
                    }
                    printed += 1;
                    self.print(&mut out, fetched.partition, record)
                };
                match (fetched.batch.columns()?, &mut columns) {
                    (Some(rows), Some(columns)) => {
                        columns.for_each(&rows, &self.topic, |offset, json| {
                            each(&row(offset, rows.max_timestamp, json))
                        })?;
                    }
                    _ => {
                        for record in fetched.batch.records(&mut decompressor)?.iter() {
                            each(&record?)?;
                        }
                    }
                }
                if self.max_records.is_some_and(|most| printed >= most) {
                    out.flush()?;
                    return Ok(());
                }
            }
            if flush_each {
                out.flush()?;
            }
        }
        out.flush()?;
        Ok(())
    }

    /// Assigns the partitions and returns where each ends now.
    fn assign(
        &self,
        store: &Store,
        consumer: &mut Consumer,
        isolation: Isolation,
    ) -> anyhow::Result<Vec<(u32, i64)>> {
        let partitions = store.topic(&self.topic)?.config.partitions;
        let mut ends = Vec::new();
        for partition in self.partition.map_or(0..partitions, |p| p..p.saturating_add(1)) {
            let position = match (self.offset, self.from_timestamp) {
                (Some(offset), _) => Position::Offset(offset),
                (None, Some(timestamp)) => Position::Timestamp(timestamp),
                _ if self.follow && !self.from_beginning => Position::Latest,
                _ => Position::Earliest,
            };
            let offsets = store.partition(&self.topic, partition)?.offsets();
            consumer.assign(&self.topic, partition, position)?;
            let end = match isolation {
                Isolation::ReadCommitted => offsets.last_stable,
                Isolation::ReadUncommitted => offsets.high_watermark,
            };
            ends.push((partition, end));
        }
        Ok(ends)
    }

    fn print(
        &self,
        out: &mut impl Write,
        partition: u32,
        record: &Record<'_>,
    ) -> anyhow::Result<()> {
        match self.output {
            RecordFormat::Value => {
                out.write_all(record.value.unwrap_or_default())?;
                out.write_all(b"\n")?;
            }
            RecordFormat::Table => writeln!(
                out,
                "{partition:>4} {:>10}  {}  {:<16}  {}",
                record.offset,
                rfc3339(record.timestamp),
                record.key.map_or("-".into(), String::from_utf8_lossy),
                record.value.map_or("-".into(), String::from_utf8_lossy),
            )?,
            RecordFormat::Json => {
                // Through a buffer, so that an error of writing stays one.
                out.write_all(&serde_json::to_vec(&self.to_json(partition, record))?)?;
                out.write_all(b"\n")?;
            }
        }
        Ok(())
    }

    fn to_json<'a>(&'a self, partition: u32, record: &Record<'a>) -> JsonRecord<'a> {
        // A value that is a JSON object is shown as it stands, everything else as text.
        let object = record
            .value
            .filter(|value| value.trim_ascii_start().starts_with(b"{"))
            .and_then(|value| serde_json::from_slice::<&RawValue>(value).ok());
        JsonRecord {
            topic: &self.topic,
            partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key: text(record.key),
            value: object.map_or_else(|| JsonValue::Text(text(record.value)), JsonValue::Object),
            headers: record
                .headers
                .map(|(name, value)| (String::from_utf8_lossy(name), text(value)))
                .collect(),
        }
    }
}

/// A row of a columnar topic, as a record.
pub(super) fn row(offset: i64, timestamp: i64, json: &[u8]) -> Record<'_> {
    Record { offset, timestamp, key: None, value: Some(json), headers: Headers::default() }
}

/// A record as one JSON object. The names are fixed: scripts rely on them.
#[derive(Serialize)]
struct JsonRecord<'a> {
    topic: &'a str,
    partition: u32,
    offset: i64,
    timestamp: i64,
    key: Option<Cow<'a, str>>,
    value: JsonValue<'a>,
    headers: BTreeMap<Cow<'a, str>, Option<Cow<'a, str>>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum JsonValue<'a> {
    Object(&'a RawValue),
    Text(Option<Cow<'a, str>>),
}

/// Bytes as text; bytes that are not UTF-8 are replaced.
fn text(bytes: Option<&[u8]>) -> Option<Cow<'_, str>> {
    bytes.map(String::from_utf8_lossy)
}
