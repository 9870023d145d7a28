//! `riverrun log dump`.

use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::ensure;
use riverrun_log_store::verify::{DumpItem, DumpOptions, DumpedBatch, dump, topic_config};
use riverrun_log_store::{BatchHeader, Decompressor, Environment, IndexEntry, Record};
use riverrun_operators::format::arrow::JsonRows;
use serde_json::{Value, json};

use super::{select, warn_if_in_use};
use crate::cli::consume::row;
use crate::cli::data_dir::DataDir;
use crate::cli::output::OutputFormat;

/// Options of `log dump`.
#[derive(clap::Args)]
pub(in crate::cli) struct Dump {
    /// The topic, or one partition: TOPIC or TOPIC-PARTITION
    #[arg(value_name = "TOPIC")]
    target: String,
    /// Only the partition with this number
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// Begin with the batch that holds this offset
    #[arg(long, value_name = "N", default_value_t = 0)]
    offset: i64,
    /// Show records, too
    #[arg(long)]
    records: bool,
    /// Show the entries of the index, too
    #[arg(long)]
    index: bool,
    #[command(flatten)]
    data_dir: DataDir,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    output: OutputFormat,
}

impl Dump {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let selection = select(&self.data_dir, Some(&self.target), self.partition)?;
        warn_if_in_use(self.data_dir.path());
        let options = DumpOptions { from_offset: self.offset, index: self.index };
        let (environment, dir) = (Environment::real(), self.data_dir.path());
        let mut printer = Printer {
            environment: &environment,
            dir,
            topic: String::new(),
            columns: None,
            out: BufWriter::new(std::io::stdout().lock()),
            json: self.output == OutputFormat::Json,
            records: self.records,
            decompressor: Decompressor::new(),
            damages: 0,
        };
        dump(&environment, dir, &selection, options, |item| printer.item(item))?;
        printer.out.flush()?;
        let damages = printer.damages;
        ensure!(damages == 0, "{damages} place(s) are damaged; see `riverrun log verify`");
        Ok(())
    }
}

struct Printer<'a, W: Write> {
    environment: &'a Environment,
    dir: &'a Path,
    /// Of the segment that is being shown.
    topic: String,
    /// Shows the rows of a columnar topic, if its schema is to be had.
    columns: Option<JsonRows>,
    out: W,
    json: bool,
    records: bool,
    decompressor: Decompressor,
    damages: u64,
}

impl<W: Write> Printer<'_, W> {
    fn print(&mut self, object: Value, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        match self.json {
            true => writeln!(self.out, "{object}")?,
            false => writeln!(self.out, "{}", text())?,
        }
        Ok(())
    }

    /// What the store says of a topic is needed to show columns; without it, they are shown as bytes.
    fn begin_topic(&mut self, topic: &str) {
        if !self.records || self.topic == topic {
            return;
        }
        topic.clone_into(&mut self.topic);
        let config = topic_config(self.environment, self.dir, topic).ok().flatten();
        self.columns = config.and_then(|config| JsonRows::of_topic(&config).ok());
    }

    fn item(&mut self, item: DumpItem<'_>) -> anyhow::Result<()> {
        match item {
            DumpItem::Segment { topic, partition, name, length } => {
                self.begin_topic(topic);
                self.print(
                    json!({
                        "type": "segment", "topic": topic, "partition": partition, "file": name,
                        "length": length,
                    }),
                    || format!("segment {topic}-{partition}/{name}, {length} bytes"),
                )
            }
            DumpItem::Batch(batch) => self.batch(&batch),
            DumpItem::Damage { position, length, offsets, header, what } => {
                self.damages += 1;
                let object = json!({
                    "type": "damage", "position": position, "length": length,
                    "offset": offsets.start, "next_offset": offsets.end, "what": what,
                    "header": header.map(|header| header_json(&header)),
                });
                self.print(object, || {
                    let header = match header {
                        Some(header) => format!("; the header that is there: {}", header_text(&header)),
                        None => String::new(),
                    };
                    format!(
                        "  DAMAGED at {position}, {length} bytes, offsets from {} to before {}: {what}{header}",
                        offsets.start, offsets.end
                    )
                })
            }
            DumpItem::Tail { position, length, what } => self.print(
                json!({ "type": "tail", "position": position, "length": length, "what": what }),
                || format!("  tail at {position}, {length} bytes, never acknowledged: {what}"),
            ),
            DumpItem::Index { position, entry } => {
                self.damages += u64::from(entry.is_none());
                self.print(index_json(position, entry), || index_text(position, entry))
            }
        }
    }

    fn batch(&mut self, batch: &DumpedBatch<'_>) -> anyhow::Result<()> {
        let (header, position) = (batch.header, batch.entry.position);
        let mut object = header_json(&header);
        let kind = match (batch.gap, batch.hole) {
            (true, _) => "gap",
            (false, true) => "hole",
            (false, false) => "batch",
        };
        object["type"] = json!(kind);
        object["position"] = json!(position);
        self.print(object, || format!("  {kind} at {position}: {}", header_text(&header)))?;
        if !self.records || batch.gap {
            return Ok(());
        }
        let batch = batch.read()?;
        if let (Some(rows), Some(mut columns)) = (batch.columns()?, self.columns.take()) {
            let topic = self.topic.clone();
            columns.for_each(&rows, &topic, |offset, json| {
                let record = row(offset, rows.max_timestamp, json);
                self.print(record_json(&record), || record_text(&record))
            })?;
            self.columns = Some(columns);
            return Ok(());
        }
        let records = batch.records(&mut self.decompressor)?;
        for record in records.iter() {
            let record = record?;
            self.print(record_json(&record), || record_text(&record))?;
        }
        Ok(())
    }
}

fn header_json(header: &BatchHeader) -> Value {
    json!({
        "base_offset": header.base_offset, "last_offset": header.last_offset(),
        "records": header.records_count, "length": header.total_len(),
        "leader_epoch": header.partition_leader_epoch, "crc": header.crc,
        "compression": header.attributes.compression().to_string(),
        "transactional": header.attributes.is_transactional(),
        "control": header.attributes.is_control(),
        "columnar": header.attributes.is_columnar(),
        "base_timestamp": header.base_timestamp, "max_timestamp": header.max_timestamp,
        "producer_id": header.producer_id, "producer_epoch": header.producer_epoch,
        "base_sequence": header.base_sequence, "delete_horizon": header.delete_horizon(),
    })
}

fn header_text(header: &BatchHeader) -> String {
    let mut text = format!(
        "offsets {} to {}, {} record(s), {} bytes, {}, crc {:#010x}, times {} to {}",
        header.base_offset,
        header.last_offset(),
        header.records_count,
        header.total_len(),
        header.attributes.compression(),
        header.crc,
        header.base_timestamp,
        header.max_timestamp,
    );
    if header.has_producer() {
        let (id, epoch) = (header.producer_id, header.producer_epoch);
        text += &format!(", producer {id} epoch {epoch} sequence {}", header.base_sequence);
    }
    if let Some(horizon) = header.delete_horizon() {
        text += &format!(", delete horizon {horizon}");
    }
    for (is, word) in [
        (header.attributes.is_transactional(), ", transactional"),
        (header.attributes.is_control(), ", control"),
        (header.attributes.is_columnar(), ", columnar"),
    ] {
        if is {
            text += word;
        }
    }
    text
}

fn record_json(record: &Record<'_>) -> Value {
    let text =
        |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let headers: Vec<Value> = record
        .headers
        .iter()
        .map(|(name, value)| json!([String::from_utf8_lossy(name), text(value)]))
        .collect();
    json!({
        "type": "record", "offset": record.offset, "timestamp": record.timestamp,
        "key": text(record.key), "value": text(record.value), "headers": headers,
    })
}

fn record_text(record: &Record<'_>) -> String {
    let text = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => format!("\"{}\"", bytes.escape_ascii()),
        None => "null".to_owned(),
    };
    let mut line = format!(
        "    {} at {}: key {}, value {}",
        record.offset,
        record.timestamp,
        text(record.key),
        text(record.value)
    );
    for (name, value) in record.headers.iter() {
        line += &format!(", {}={}", name.escape_ascii(), text(value));
    }
    line
}

fn index_json(position: u64, entry: Option<IndexEntry>) -> Value {
    match entry {
        None => json!({ "type": "index", "index_position": position, "damaged": true }),
        Some(entry) => json!({
            "type": "index", "index_position": position, "damaged": false,
            "base_offset": entry.base_offset, "last_offset": entry.last_offset(),
            "position": entry.position, "length": entry.length, "records": entry.records,
            "max_timestamp": entry.max_timestamp, "checksum": entry.checksum,
        }),
    }
}

fn index_text(position: u64, entry: Option<IndexEntry>) -> String {
    match entry {
        None => format!("  index at {position}: DAMAGED"),
        Some(entry) => format!(
            "  index at {position}: offsets {} to {} at {}, {} bytes, max timestamp {}, checksum {:#010x}",
            entry.base_offset,
            entry.last_offset(),
            entry.position,
            entry.length,
            entry.max_timestamp,
            entry.checksum
        ),
    }
}
