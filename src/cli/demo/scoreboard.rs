//! The counts so far, on the terminal.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use compact_str::CompactString;
use indicatif::HumanCount;
use riverrun_log_store::{Consumer, ConsumerConfig, Decompressor, Position, Store};

use super::nginx_ip_counts::IpCount;

const ROWS: usize = 10;

/// Everything that was read from the output topic.
pub(super) struct Scoreboard {
    consumer: Option<Consumer>,
    results: BTreeMap<(i64, CompactString), u64>,
    by_ip: HashMap<CompactString, u64>,
    requests: u64,
    terminal: bool,
    drawn: usize,
    shown: u64,
}

impl Scoreboard {
    /// Empty; redraws itself in place if it is on a terminal.
    pub(super) fn new(terminal: bool) -> Self {
        Self {
            consumer: None,
            results: BTreeMap::new(),
            by_ip: HashMap::new(),
            requests: 0,
            terminal,
            drawn: 0,
            shown: 0,
        }
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests
    }

    pub(super) fn results(&self) -> u64 {
        self.results.len() as u64
    }

    pub(super) fn ips(&self) -> u64 {
        self.by_ip.len() as u64
    }

    pub(super) fn windows(&self) -> usize {
        let mut windows: Vec<i64> = self.results.keys().map(|(start, _)| *start).collect();
        windows.dedup();
        windows.len()
    }

    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.results == other.results
    }

    /// Reads what was committed since.
    pub(super) fn update(&mut self, store: &Store, topic: &str) -> anyhow::Result<()> {
        if self.consumer.is_none() {
            if store.topic(topic).is_err() {
                return Ok(());
            }
            let mut consumer = Consumer::new(store, ConsumerConfig::default());
            consumer.assign_all(topic, Position::Earliest)?;
            self.consumer = Some(consumer);
        }
        let Some(consumer) = &mut self.consumer else { return Ok(()) };
        let mut decompressor = Decompressor::new();
        let mut failure = None;
        loop {
            let fetched = consumer.poll(Duration::ZERO)?;
            if fetched.is_empty() {
                break;
            }
            for batch in fetched {
                batch.for_each(&mut decompressor, |record| {
                    match serde_json::from_slice::<IpCount>(record.value.unwrap_or_default()) {
                        Ok(row) => {
                            self.requests += row.count;
                            *self.by_ip.entry(row.ip.clone()).or_default() += row.count;
                            self.results.insert((row.window_start, row.ip), row.count);
                        }
                        Err(error) => failure = Some(error),
                    }
                })?;
            }
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Draws the table: in place on a terminal, elsewhere a line now and then.
    pub(super) fn show(&mut self) {
        if !self.terminal {
            if self.requests > self.shown {
                println!(
                    "{} requests counted, {} results, {} IPs",
                    HumanCount(self.requests),
                    HumanCount(self.results()),
                    HumanCount(self.ips())
                );
                self.shown = self.requests;
            }
            return;
        }
        let mut lines = vec![format!(
            "{} requests counted, {} results, {} IPs, newest window {}",
            HumanCount(self.requests),
            HumanCount(self.results()),
            HumanCount(self.ips()),
            self.results.keys().next_back().map_or("-".into(), |(start, _)| clock(*start))
        )];
        let mut top: Vec<(&CompactString, &u64)> = self.by_ip.iter().collect();
        top.sort_unstable_by_key(|(ip, count)| (std::cmp::Reverse(**count), (*ip).clone()));
        let most = top.first().map_or(1, |(_, count)| **count);
        for (ip, count) in top.into_iter().take(ROWS) {
            let bar = "#".repeat((count * 30).div_ceil(most) as usize);
            lines.push(format!("  {ip:<40} {count:>8}  {bar}"));
        }
        if self.drawn > 0 {
            // Up to where the table began.
            print!("\x1b[{}A", self.drawn);
        }
        for line in &lines {
            println!("\x1b[2K{line}");
        }
        self.drawn = lines.len();
    }

    /// Draws the table once more, for good.
    pub(super) fn finish(&mut self) {
        self.drawn = 0;
        self.show();
    }
}

fn clock(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms)
        .map_or_else(|| ms.to_string(), |time| time.format("%H:%M:%S").to_string())
}
