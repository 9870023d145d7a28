//! Requests per IP in five-second windows, from nginx access logs: the main job.
//!
//! ```text
//! cargo run --release --example nginx_ip_counts -- --input access.log
//! cargo run --release -- consume ip-counts --from-beginning
//! ```
//!
//! lines -> parse -> event time -> key by IP -> tumbling window -> count -> topic. Every result is in the output topic exactly once,
//! however often the program is killed and started again on the same data dir.

use std::path::PathBuf;
use std::time::Duration;

use compact_str::CompactString;
use riverrun::ingest::{IngestOptions, create_topics, ingest};
use riverrun::operators::format::rfc3339;
use riverrun::operators::nginx::AccessHit;
use riverrun::prelude::*;
use serde::{Deserialize, Serialize};

riverrun::main!(nginx_ip_counts);

/// Count requests per IP and window in nginx access logs, exactly once.
#[derive(Debug, Clone, clap::Args)]
#[command(group = clap::ArgGroup::new("from").required(true).multiple(true))]
pub struct Options {
    /// Access log to ingest into the topic and count; `.gz` is fine
    #[arg(long, value_name = "FILE", group = "from", conflicts_with = "socket")]
    pub input: Option<PathBuf>,
    /// Topic of access-log lines to count [default with --input: nginx]
    #[arg(long, value_name = "T", group = "from", conflicts_with = "socket")]
    pub topic: Option<String>,
    /// Line service to count, e.g. `riverrun generate access-log --serve HOST:PORT`
    #[arg(long, value_name = "HOST:PORT", group = "from")]
    pub socket: Option<String>,
    /// Length of a window
    #[arg(long, default_value = "5s", value_parser = riverrun::parse_duration)]
    pub window: Duration,
    /// How far lines may lie behind the newest one before they count as late
    #[arg(long, default_value = "60s", value_parser = riverrun::parse_duration)]
    pub out_of_orderness: Duration,
    /// Topic for the counts
    #[arg(long, default_value = "ip-counts", value_name = "T")]
    pub output_topic: String,
    /// Go on until interrupted, with what is added to the file or topic
    #[arg(long)]
    pub follow: bool,
    /// Count on Arrow columns instead of typed rows; the results are the same
    #[arg(long)]
    pub columns: bool,
}

/// One result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IpCount {
    /// Start of the window, inclusive.
    #[serde(with = "rfc3339")]
    pub window_start: Timestamp,
    /// End of the window, exclusive.
    #[serde(with = "rfc3339")]
    pub window_end: Timestamp,
    /// The address.
    pub ip: CompactString,
    /// How many requests came from it.
    pub count: u64,
}

/// Builds the job.
pub fn nginx_ip_counts(env: &Environment, options: Options) -> anyhow::Result<()> {
    let topic = options.topic.as_deref().unwrap_or("nginx");
    if let Some(file) = options.input.clone() {
        let ingestion = IngestOptions { follow: options.follow, ..IngestOptions::new(file, topic) };
        if options.follow {
            let topics = ingestion.clone();
            env.before_run(move |store, _| Ok(create_topics(store, &topics)?));
            env.beside_run(move |store, stop| Ok(ingest(store, &ingestion, stop).map(drop)?));
        } else {
            env.before_run(move |store, stop| Ok(ingest(store, &ingestion, stop).map(drop)?));
        }
    }
    // Lines that do not parse are left out, counted and logged; those that were ingested are in `nginx.rejected` anyway.
    let input = TopicInput::new(topic).set_bounded(!options.follow).on_error(OnError::Skip);
    let strategy = WatermarkStrategy::bounded_out_of_orderness(options.out_of_orderness);
    let windows = TumblingWindows::of(options.window);
    if options.columns {
        anyhow::ensure!(options.socket.is_none(), "--columns reads a topic; leave out --socket");
        env.from_topic_columns(input, NginxFields::new(&["ip", "time"])?)
            .uid("access-log-columns")
            .assign_watermarks(strategy)
            .count_by("ip", windows)
            .uid("ip-counts-columns")
            .to_topic_columns(
                options.output_topic.as_str(),
                ColumnsToJson::of(&["window_start", "window_end", "ip", "count"]).keyed_by("ip"),
            )
            .uid("output-columns");
        return Ok(());
    }
    let hits = match options.socket.as_deref() {
        Some(address) => env
            .from_socket(address)
            .try_map_or_reject("unparsed", |line| {
                AccessHit::parse(line.as_bytes()).map_err(|_| line)
            })
            .name("parse"),
        // A topic's lines are parsed where they lie in the batch: who and when is all that becomes a row.
        None => env.from_topic(input, Nginx::hits()).uid("access-log"),
    };
    // With ids of their own, operators find their state again when the options around them change.
    hits.assign_timestamps(strategy, |hit| hit.time_ms)
        .key_by(|hit| hit.ip.clone())
        .key_name("ip")
        .window(windows)
        .count()
        .uid("ip-counts")
        .map(|counted| IpCount {
            window_start: counted.window.start,
            window_end: counted.window.end,
            ip: counted.key,
            count: counted.value,
        })
        .to_topic(options.output_topic.as_str(), ToJson::keyed_by(|row: &IpCount| &row.ip))
        .uid("output");
    Ok(())
}
