//! `riverrun generate nexmark`: the events of the Nexmark benchmark, into files or topics.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::Context;
use riverrun_log_store::{Producer, ProducerConfig, Store, TopicConfig};
use riverrun_operators::generate::{
    EventKind, NexmarkEvent, NexmarkGenerator, NexmarkOptions, side_input_row,
};

use crate::cli::data_dir::DataDir;

/// The name of the topic or folder that holds events of all kinds.
pub(in crate::cli) const COMBINED: &str = "nexmark";
/// How many rows the bounded table of query 13 has.
const SIDE_INPUT_ROWS: u32 = 10_000;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One object a line
    Json,
    /// Values between commas, without a header
    Csv,
}

/// Options of `generate nexmark`.
#[derive(clap::Args)]
pub(in crate::cli) struct Nexmark {
    #[command(flatten)]
    events: Events,
    /// Write files into this folder: NAME/part-0.json and so on
    #[arg(long, value_name = "DIR", required_unless_present = "topics")]
    out: Option<PathBuf>,
    /// Write topics of the store in --data-dir instead of files, as JSON
    #[arg(long, conflicts_with_all = ["out", "format"])]
    topics: bool,
    /// How records are written
    #[arg(long, default_value = "json", value_enum)]
    format: Format,
    /// A folder (or topic) a kind, `person`, `auction` and `bid`, instead of all events in `nexmark`; CSV cannot do otherwise
    #[arg(long)]
    by_kind: bool,
    /// Files per folder, or partitions per topic; events go to them in turn
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    parts: u32,
    #[command(flatten)]
    data_dir: DataDir,
}

/// Which events.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::cli) struct Events {
    /// How many events
    #[arg(long = "events", default_value_t = 100_000, value_name = "N")]
    pub(in crate::cli) count: u64,
    /// The same seed gives the same events
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub(in crate::cli) seed: u64,
    /// Events per second of event time
    #[arg(long, default_value_t = 10_000, value_name = "R", value_parser = clap::value_parser!(u64).range(1..))]
    pub(in crate::cli) rate: u64,
    /// When the first event happens
    #[arg(long, default_value = "2015-07-15T00:00:00Z", value_name = "TIME")]
    pub(in crate::cli) start: chrono::DateTime<chrono::Utc>,
    /// Shuffle events within groups of so many; 1 is in order
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = out_of_order_group)]
    pub(in crate::cli) out_of_order: u64,
}

fn out_of_order_group(text: &str) -> Result<u64, String> {
    let group: u64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if group == 0 || group.is_multiple_of(953) {
        return Err("a group has at least one event, and not a multiple of 953 of them".to_owned());
    }
    Ok(group)
}

impl Events {
    pub(in crate::cli) fn generator(&self) -> NexmarkGenerator {
        NexmarkGenerator::new(NexmarkOptions {
            seed: self.seed,
            events_per_second: self.rate,
            base_time_ms: self.start.timestamp_millis(),
            out_of_order_group: self.out_of_order,
            ..NexmarkOptions::default()
        })
    }
}

impl Nexmark {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match &self.out {
            Some(dir) => self.write_files(dir),
            None => {
                let store = self.data_dir.open()?;
                make_topics(&store, self.parts, self.by_kind)?;
                let all = 0..self.events.count;
                write_events(&store, &self.events, all, self.parts, self.by_kind)?;
                write_side_input(&store)?;
                store.close()?;
                eprintln!("{} events written to {}", self.events.count, self.what("topic"));
                Ok(())
            }
        }
    }

    fn what(&self, place: &str) -> String {
        if self.by_kind || self.format == Format::Csv {
            format!("the {place}s `person`, `auction` and `bid`")
        } else {
            format!("the {place} `{COMBINED}`")
        }
    }

    fn write_files(&self, dir: &Path) -> anyhow::Result<()> {
        let by_kind = self.by_kind || self.format == Format::Csv;
        let ending = if self.format == Format::Json { "json" } else { "csv" };
        let folder = |name| Parts::create(dir, name, ending, self.parts);
        let mut folders = if by_kind {
            EventKind::ALL.map(EventKind::name).map(folder).into_iter().collect()
        } else {
            [folder(COMBINED)].into_iter().collect::<anyhow::Result<Vec<_>>>()
        }?;
        let generator = self.events.generator();
        let mut line = Vec::with_capacity(1 << 10);
        for position in 0..self.events.count {
            let event = generator.event(position);
            line.clear();
            match (self.format, by_kind) {
                (Format::Json, false) => event.write_json(&mut line),
                (Format::Json, true) => event.write_json_row(&mut line),
                (Format::Csv, _) => event.write_csv_row(&mut line),
            }
            let folder = if by_kind { event.kind() as usize } else { 0 };
            folders[folder].write(&mut line)?;
        }
        let mut side_input = Parts::create(dir, "side_input", "csv", 1)?;
        for key in 0..SIDE_INPUT_ROWS {
            line.clear();
            side_input_row(key, &mut line);
            side_input.write(&mut line)?;
        }
        folders.push(side_input);
        folders.into_iter().try_for_each(Parts::finish)?;
        eprintln!(
            "{} events written to {} in {}",
            self.events.count,
            self.what("folder"),
            dir.display()
        );
        Ok(())
    }
}

/// The files of a folder, written in turn.
struct Parts {
    folder: PathBuf,
    files: Vec<BufWriter<File>>,
    next: usize,
}

impl Parts {
    fn create(dir: &Path, name: &str, ending: &str, parts: u32) -> anyhow::Result<Parts> {
        let folder = dir.join(name);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let create = |part| {
            let path = folder.join(format!("part-{part}.{ending}"));
            let file =
                File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
            Ok(BufWriter::with_capacity(1 << 18, file))
        };
        let files = (0..parts).map(create).collect::<anyhow::Result<_>>()?;
        Ok(Parts { folder, files, next: 0 })
    }

    /// Writes the line, which it ends, to the file whose turn it is.
    fn write(&mut self, line: &mut Vec<u8>) -> anyhow::Result<()> {
        line.push(b'\n');
        let written = self.files[self.next].write_all(line);
        self.next = (self.next + 1) % self.files.len();
        written.with_context(|| format!("cannot write into {}", self.folder.display()))
    }

    fn finish(mut self) -> anyhow::Result<()> {
        let flushed = self.files.iter_mut().try_for_each(BufWriter::flush);
        flushed.with_context(|| format!("cannot write into {}", self.folder.display()))
    }
}

/// Makes the topics for events, and `side_input` for the bounded table of query 13.
pub(in crate::cli) fn make_topics(
    store: &Store,
    partitions: u32,
    by_kind: bool,
) -> anyhow::Result<()> {
    let names: &[&str] = if by_kind { &EventKind::ALL.map(EventKind::name) } else { &[COMBINED] };
    for name in names {
        store.create_topic(name, TopicConfig { partitions, ..TopicConfig::default() })?;
    }
    store.create_topic("side_input", TopicConfig { partitions: 1, ..TopicConfig::default() })?;
    Ok(())
}

/// Writes the events at these positions as JSON records into the topics.
pub(in crate::cli) fn write_events(
    store: &Store,
    events: &Events,
    positions: Range<u64>,
    partitions: u32,
    by_kind: bool,
) -> anyhow::Result<()> {
    let topic_of = |event: &NexmarkEvent| if by_kind { event.kind().name() } else { COMBINED };
    let config = ProducerConfig { linger: None, ..ProducerConfig::default() };
    let mut producer = Producer::new(store, config)?;
    let generator = events.generator();
    let mut value = Vec::with_capacity(1 << 10);
    // Kinds that are apart have partitions of their own, and so turns.
    let mut turns = [0u32; 3];
    for position in positions {
        let event = generator.event(position);
        value.clear();
        if by_kind {
            event.write_json_row(&mut value);
        } else {
            event.write_json(&mut value);
        }
        let turn = &mut turns[if by_kind { event.kind() as usize } else { 0 }];
        let time = Some(event.date_time());
        producer.send(topic_of(&event), Some(*turn), time, None, Some(&value), &[])?;
        *turn = (*turn + 1) % partitions;
    }
    Ok(producer.flush()?)
}

/// Writes the bounded table of query 13 as CSV into `side_input`.
pub(in crate::cli) fn write_side_input(store: &Store) -> anyhow::Result<()> {
    let config = ProducerConfig { linger: None, ..ProducerConfig::default() };
    let mut producer = Producer::new(store, config)?;
    let mut value = Vec::new();
    for key in 0..SIDE_INPUT_ROWS {
        value.clear();
        side_input_row(key, &mut value);
        producer.send("side_input", Some(0), Some(0), None, Some(&value), &[])?;
    }
    Ok(producer.flush()?)
}
