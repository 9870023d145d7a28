//! Steps of a history that need no producer identity: plain appends, flushes, retention, topics,
//! metadata, and damage at the end.

use std::time::Duration;

use riverrun_log_store::verify::{Finding, Selection, verify};
use riverrun_log_store::{
    Appended, BatchBuilder, Compression, Error, ErrorKind, Store, StoreOptions, TopicConfig, stamp,
};

use crate::checks::{Readable, Violation};
use crate::history::{History, KIND_MAP};
use crate::model::{Entry, Place, Sent, What};

const COMPRESSIONS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

/// The topic that comes and goes.
const PASSING: &str = "passing";

impl History {
    /// A step that writes, and reads nothing back: the disk may be dead.
    pub fn mutate(&mut self) -> Result<(), Violation> {
        match self.random.below(100) {
            0..10 => self.append_plain(),
            10..20 => self.flush(),
            20..45 => self.send(),
            45..80 => self.end_transaction(),
            80..88 => self.start_anew(),
            88..94 => self.write_metadata(),
            _ => self.change_topics(),
        }
    }

    pub fn step(&mut self) -> Result<(), Violation> {
        match self.random.below(100) {
            0..15 => self.append_plain(),
            15..27 => self.flush(),
            27..47 => self.send(),
            47..57 => self.end_transaction(),
            57..62 => self.retry(),
            62..65 => self.send_with_gap(),
            65..69 => self.send_fenced(),
            69..73 => self.start_anew(),
            73..78 => self.write_metadata(),
            78..83 => self.maintain(),
            83..86 => self.delete_records(),
            86..90 => self.change_topics(),
            _ => {
                let place = self.any_place(false);
                self.check(&place, Readable::All)
            }
        }
    }

    /// Some partition; for producers with state only of topics that lose nothing.
    pub fn any_place(&mut self, safe: bool) -> Place {
        let all: Vec<Place> = self
            .model
            .logs
            .iter()
            .filter(|(_, log)| !(safe && log.relaxed))
            .map(|(place, _)| place.clone())
            .collect();
        self.random.pick(&all).clone()
    }

    /// A batch of a few records; `origin` says who sends it.
    pub fn build(
        &mut self,
        transaction: Option<usize>,
        origin: impl FnOnce(&mut BatchBuilder),
    ) -> Result<Sent, Violation> {
        let text = |error: Error| error.to_string();
        let compression = *self.random.pick(&COMPRESSIONS);
        let mut builder = BatchBuilder::new(compression).map_err(text)?;
        origin(&mut builder);
        let records = 1 + self.random.below(5);
        let mut timestamps = Vec::new();
        for _ in 0..records {
            let length = match self.random.below(20) {
                0 => 2_000,
                n => n * 10,
            };
            let value: Vec<u8> = (0..length.max(8)).map(|_| self.random.next() as u8).collect();
            let timestamp = 1_000 + self.random.below(3_000) as i64;
            builder.append(timestamp, Some(&value[..4]), Some(&value), &[]).map_err(text)?;
            timestamps.push(timestamp);
        }
        let bytes = builder.finish().map_err(text)?;
        Ok(Sent { bytes, records: records as i32, transaction, timestamps, base: None })
    }

    /// Appends batches of one producer (-1: nobody) in one call.
    pub fn append(
        &mut self,
        place: &Place,
        producer: i64,
        batches: &[&Sent],
    ) -> Result<Option<Appended>, Violation> {
        // A producer that was initialised just now may have left markers.
        self.observe()?;
        let log = &self.model.logs[place];
        let (end, stopped) = (log.end().max(log.log_start), log.stopped);
        let mut entries = Vec::new();
        let mut base = end;
        for sent in batches {
            let mut bytes = sent.bytes.clone();
            stamp(&mut bytes, base, 0);
            let next = base + i64::from(sent.records);
            let (transaction, timestamps) = (sent.transaction, sent.timestamps.clone());
            entries.push(Entry {
                base,
                next,
                what: What::Data { bytes, producer, transaction, timestamps },
            });
            base = next;
        }
        let mut bytes: Vec<u8> = batches.iter().flat_map(|sent| sent.bytes.clone()).collect();
        let open = self.partition(place)?;
        let transaction = batches.first().and_then(|sent| sent.transaction);
        let what = format!(
            "append {} to {}-{} at {end} by {producer} in {transaction:?}",
            batches.len(),
            place.0,
            place.1
        );
        let appended = open.append(&mut bytes);
        let appended = self.accept(&what, appended)?;
        let log = self.model.logs.get_mut(place).expect("is known");
        match appended {
            Some(appended) if appended.duplicate => {}
            Some(_) if stopped => return Err(format!("{what}: taken after it had stopped")),
            Some(Appended { base_offset, last_offset, .. }) => {
                if (base_offset, last_offset) != (end, base - 1) {
                    return Err(format!("{what}: got {base_offset} to {last_offset}"));
                }
                log.entries.extend(entries);
            }
            None if log.stopped && !stopped => log.doubtful = entries,
            None => {}
        }
        Ok(appended)
    }

    fn append_plain(&mut self) -> Result<(), Violation> {
        let place = self.any_place(false);
        let count = 1 + self.random.below(3);
        let batches =
            (0..count).map(|_| self.build(None, |_| {})).collect::<Result<Vec<_>, _>>()?;
        self.append(&place, -1, &batches.iter().collect::<Vec<_>>())?;
        Ok(())
    }

    /// A flush that succeeds acknowledges everything in the partition.
    pub fn flush_place(&mut self, place: &Place) -> Result<bool, Violation> {
        let flushed = self.partition(place)?.flush();
        let flushed = self.accept(&format!("flush {}-{}", place.0, place.1), flushed)?;
        let log = self.model.logs.get_mut(place).expect("is known");
        let end = log.end().max(log.log_start);
        if flushed.is_some() {
            // (Of a relaxed topic nobody sees how far it was durable when it stopped.)
            if log.stopped && !log.relaxed && log.durable < end {
                return Err(format!("{place:?} acknowledged a flush after it had stopped"));
            }
            log.durable = end;
        }
        Ok(flushed.is_some())
    }

    fn flush(&mut self) -> Result<(), Violation> {
        if self.random.percent(70) {
            let place = self.any_place(false);
            return self.flush_place(&place).map(|_| ());
        }
        let places: Vec<Place> = self.model.logs.keys().cloned().collect();
        let open = places.iter().map(|p| self.partition(p)).collect::<Result<Vec<_>, _>>()?;
        let flushed = self.store().flush_partitions(&open);
        if self.accept("flush all", flushed)?.is_some() {
            for log in self.model.logs.values_mut() {
                log.durable = log.end().max(log.log_start);
            }
        }
        Ok(())
    }

    fn write_metadata(&mut self) -> Result<(), Violation> {
        let key = format!("key-{}", self.random.below(5));
        let value = self.random.percent(80).then(|| self.random.next() % 1_000);
        let metadata = self.store().metadata();
        let result = match value {
            Some(value) => metadata.put(KIND_MAP, &key, value.to_string()),
            None => metadata.delete(KIND_MAP, &key),
        };
        let before = self.metadata_stopped;
        let done = self.accept(&format!("metadata {key} = {value:?}"), result)?;
        let values = self.model.metadata.entry(key.clone()).or_insert_with(|| vec![None]);
        match done {
            Some(()) if before => return Err("metadata were written after they had stopped".into()),
            Some(()) => *values = vec![value],
            None if self.metadata_stopped => values.push(value),
            None => {}
        }
        let expected = values[0];
        let found = self.metadata_value(KIND_MAP, &key);
        if found != expected {
            return Err(format!("metadata {key} is {found:?}, expected {expected:?}"));
        }
        Ok(())
    }

    fn maintain(&mut self) -> Result<(), Violation> {
        self.check_trimmed()?;
        self.sim.advance(Duration::from_millis(self.random.below(2_000) as u64));
        let kept = self.undecided("trimmed");
        let report = self.store().maintain();
        let log_start = self.partition(&("trimmed".to_owned(), 0))?.offsets().log_start;
        if kept.is_some_and(|first| first < log_start) {
            return Err(format!("retention took {kept:?}, which an open transaction may commit"));
        }
        if let Some(report) = self.accept("maintain", report)?
            && !(report.failures.is_empty() || self.faults || self.full)
        {
            return Err(format!("maintenance failed: {:?}", report.failures));
        }
        Ok(())
    }

    /// First offset, if it is still there, of the open transactions in partition 0 of a topic.
    fn undecided(&self, topic: &str) -> Option<i64> {
        let log = &self.model.logs[&(topic.to_owned(), 0)];
        let firsts = self.model.producers.iter().filter_map(|producer| {
            let parts = self.model.parts(producer.open?);
            parts.into_iter().find(|((name, _), _)| name == topic).map(|(_, first)| first)
        });
        firsts.filter(|first| *first >= log.log_start).min()
    }

    /// Reads what may be gone afterwards.
    fn check_trimmed(&mut self) -> Result<(), Violation> {
        let trims = self.model.logs.iter().filter(|(_, log)| log.trims);
        let places: Vec<Place> = trims.map(|(place, _)| place.clone()).collect();
        places.iter().try_for_each(|place| self.check(place, Readable::All))
    }

    fn delete_records(&mut self) -> Result<(), Violation> {
        self.check_trimmed()?;
        let place = ("trimmed".to_owned(), 0);
        let open = self.partition(&place)?;
        let offsets = open.offsets();
        let span = (offsets.high_watermark - offsets.log_start) as usize + 1;
        let up_to = offsets.log_start + self.random.below(span) as i64;
        let deleted = open.delete_records(up_to);
        self.accept(&format!("delete records below {up_to}"), deleted)?;
        Ok(())
    }

    fn change_topics(&mut self) -> Result<(), Violation> {
        if !self.model.doubtful_topics.is_empty() {
            return Ok(());
        }
        if !self.model.logs.contains_key(&(PASSING.to_owned(), 0)) {
            let config =
                TopicConfig { partitions: 1, segment_bytes: 2_000, ..TopicConfig::default() };
            return self.create_topic(PASSING, config);
        }
        let deleted = self.store().delete_topic(PASSING);
        let deleted = self.accept("delete topic", deleted)?;
        if self.store().topic(PASSING).is_err() {
            self.forget_topic(PASSING);
        } else if deleted.is_some() {
            return Err("a deleted topic is still there".to_owned());
        }
        if self.metadata_stopped {
            self.model.doubtful_topics.push(PASSING.to_owned());
        }
        Ok(())
    }

    fn verify(&self) -> Result<Vec<Finding>, Violation> {
        let (environment, all) = (self.sim.environment(), Selection::default());
        let found = verify(&environment, "data".as_ref(), &all, &mut |_| {});
        Ok(found.map_err(|error| error.to_string())?.findings)
    }

    /// Flips a bit of a partition's files: no wrong byte is ever served, and nothing acknowledged is
    /// dropped in silence.
    pub fn damage(&mut self) -> Result<(), Violation> {
        let place = self.any_place(false);
        let folder = format!("{}-{}/", place.0, place.1);
        let mut paths = self.sim.paths();
        paths.retain(|path| {
            let of_it = path.to_string_lossy().contains(&folder);
            of_it && self.sim.contents(path).is_some_and(|bytes| !bytes.is_empty())
        });
        if paths.is_empty() {
            return Ok(());
        }
        let path = self.random.pick(&paths).clone();
        let length = self.sim.contents(&path).map_or(0, |bytes| bytes.len());
        let before = self.verify()?;
        // A creation that failed may have left a folder of a topic that does not exist.
        let exists = |f: &&Finding| self.model.logs.contains_key(&(f.topic.clone(), f.partition));
        if let Some(finding) = before.iter().filter(exists).find(|finding| finding.damage) {
            return Err(format!("verification finds damage where there is none: {finding}"));
        }
        let bit = self.random.below(length * 8) as u64;
        self.sim.flip_bit(&path, bit);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.tell(format!("flip bit {bit} of {folder}{name}"));
        let named = self.verify()?.iter().any(|finding| {
            (&finding.topic, finding.partition, &finding.file) == (&place.0, place.1, &name)
        });
        if !named && (name.ends_with(".log") || name.ends_with(".index")) {
            return Err("verification does not name the damaged file".to_owned());
        }
        // Aborted index, snapshot and recovery point can be made again from the batches.
        let derived = !(name.ends_with(".log") || name.ends_with(".index"));
        let readable = if derived { Readable::All } else { Readable::Some };
        self.check(&place, readable)?;

        let recovery_point = name == "recovery-point";
        self.store = None;
        self.sim.kill_process();
        let store = Store::open_in(self.sim.environment(), "data", StoreOptions::default());
        self.store = Some(store.map_err(|error| format!("one bit keeps the store shut: {error}"))?);
        let open = match self.store().partition(&place.0, place.1) {
            Ok(open) => open,
            Err(error) if !derived && error.kind() == ErrorKind::Damaged => return Ok(()),
            Err(error) => return Err(format!("after flipping a bit of {name}: {error}")),
        };
        let log = &self.model.logs[&place];
        let offsets = open.offsets();
        if offsets.log_end < log.durable {
            let durable = log.durable;
            return Err(format!("a flipped bit of {name} cut {durable} to {}", offsets.log_end));
        }
        if recovery_point && log.trims {
            // Without it, how far records were deleted inside of a segment is not known.
            return Ok(());
        }
        self.check(&place, readable)
    }
}
