//! What a query wrote: the rows that are there in the end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use riverrun_log_store::{
    Consumer, ConsumerConfig, Decompressor, Isolation, Position, Record, Store,
};
use serde_json::{Map, Value};

use crate::expected::{Expected, Found};

/// Where a query writes to, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    /// Rows that are added to a topic.
    Rows(String),
    /// The newest row of each key in a topic; a key without a row has none.
    Upserts(String),
    /// Rows that are added to a topic and taken back, as Debezium writes them.
    Changes(String),
    /// CSV files in folders that name a part of the columns, `dt=2015-07-15/hm=00%3A00`.
    Files(PathBuf),
    /// Nowhere.
    Blackhole,
}

type Object = Map<String, Value>;

/// Counts and compares rows.
pub(super) struct Rows<'a> {
    rows: i64,
    found: Option<Found<'a>>,
}

impl Rows<'_> {
    fn add(&mut self, row: &Object, count: i64) -> anyhow::Result<()> {
        self.rows += count;
        self.found.as_mut().map_or(Ok(()), |found| found.add(row, count))
    }
}

impl Output {
    /// Reads all that is visible, counts the rows that are there in the end, and says how they differ from what is expected,
    /// if they do. `None` if nothing is expected.
    pub(super) fn compare(
        &self,
        store: &Store,
        expected: Option<&Expected>,
    ) -> anyhow::Result<(i64, Option<Result<(), String>>)> {
        let mut rows = Rows { rows: 0, found: expected.map(Expected::result) };
        match self {
            Output::Rows(topic) => records(store, topic, |record| {
                rows.add(&object(record.value.unwrap_or_default())?, 1)
            })?,
            Output::Changes(topic) => records(store, topic, |record| {
                let change = object(record.value.unwrap_or_default())?;
                for (side, count) in [("before", -1), ("after", 1)] {
                    if let Some(Value::Object(row)) = change.get(side) {
                        rows.add(row, count)?;
                    }
                }
                Ok(())
            })?,
            Output::Upserts(topic) => {
                let mut newest: HashMap<Vec<u8>, Object> = HashMap::new();
                records(store, topic, |record| {
                    let key = record.key.context("a record has no key")?.to_vec();
                    match record.value {
                        None => newest.remove(&key),
                        Some(value) => newest.insert(key, object(value)?),
                    };
                    Ok(())
                })?;
                newest.values().try_for_each(|row| rows.add(row, 1))?;
            }
            Output::Files(folder) => {
                if folder.is_dir() {
                    let names = expected.map(|expected| expected.columns().collect::<Vec<_>>());
                    files(folder, &mut Vec::new(), &mut |values| {
                        let named = names.iter().flatten().map(|name| (*name).to_owned());
                        rows.add(&named.zip(values).collect(), 1)
                    })?;
                }
            }
            Output::Blackhole => return Ok((0, None)),
        }
        let compared = rows.found.map(|found| found.compare().map_err(|error| error.to_string()));
        Ok((rows.rows, compared))
    }
}

fn object(value: &[u8]) -> anyhow::Result<Object> {
    serde_json::from_slice(value)
        .with_context(|| format!("not a JSON object: {}", String::from_utf8_lossy(value)))
}

/// Passes on all records of a topic that are committed.
fn records(
    store: &Store,
    topic: &str,
    mut each: impl FnMut(&Record<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let isolation = Isolation::ReadCommitted;
    let mut consumer =
        Consumer::new(store, ConsumerConfig { isolation, ..ConsumerConfig::default() });
    let partitions = store.topic(topic)?.config.partitions;
    let mut ends = Vec::new();
    for partition in 0..partitions {
        consumer.assign(topic, partition, Position::Earliest)?;
        ends.push((partition, store.partition(topic, partition)?.offsets().last_stable));
    }
    let mut decompressor = Decompressor::new();
    loop {
        ends.retain(|(partition, end)| {
            consumer.position(topic, *partition).is_some_and(|at| at < *end)
        });
        if ends.is_empty() {
            return Ok(());
        }
        for fetched in consumer.poll(Duration::ZERO)? {
            let records = fetched.batch.records(&mut decompressor)?;
            for record in records.iter() {
                let record = record?;
                if record.offset >= fetched.from_offset {
                    each(&record).with_context(|| {
                        format!(
                            "topic `{topic}`, partition {}, offset {}",
                            fetched.partition, record.offset
                        )
                    })?;
                }
            }
        }
    }
}

/// Passes on the values of all lines below a folder: those in the file, then those in the names of the folders.
fn files(
    folder: &Path,
    above: &mut Vec<String>,
    each: &mut impl FnMut(Vec<Value>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", folder.display());
    for entry in std::fs::read_dir(folder).with_context(cannot)? {
        let path = entry.with_context(cannot)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            let (_, value) = name.split_once('=').unwrap_or_default();
            above.push(value.replace("%3A", ":"));
            files(&path, above, each)?;
            above.pop();
        } else if !name.starts_with(['.', '_']) {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            for line in text.lines() {
                ensure!(
                    line.matches('"').count() % 2 == 0,
                    "{}: quotes do not match in {line}",
                    path.display()
                );
                // Nexmark's texts hold neither commas nor quotes: a quote is only ever around a whole value.
                let values = line.split(',').map(|value| value.trim_matches('"').to_owned());
                each(values.chain(above.iter().cloned()).map(Value::String).collect())?;
            }
        }
    }
    Ok(())
}
