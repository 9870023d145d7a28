//! The end of a history: everything is decided, sealed and compacted as far as it goes, and what must be left
//! is known exactly. Then, perhaps, a bit flips.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use riverrun_log_store::verify::{Selection, repair};
use riverrun_log_store::{ErrorKind, Isolation};

use crate::checks::{self, Violation};
use crate::history::{History, TOPIC};

impl History {
    pub fn finish(&mut self) -> Result<(), Violation> {
        self.tell("finish");
        for index in 0..self.model.producers.len() {
            self.end_transaction(index)?;
        }
        // Everything so far is sealed; what is not compacted is dirty enough.
        let settings =
            [("segment.ms", "1"), ("min.cleanable.dirty.ratio", "0"), ("retention.bytes", "-1")];
        self.store().alter_topic(TOPIC, &settings).map_err(|e| e.to_string())?;
        self.settle()?;
        self.reopen()?;
        self.settle()?;
        let present = self.present()?;
        let log_start = self.log()?.offsets().log_start;
        let newest: BTreeSet<i64> = self.model.newest(i64::MAX).into_values().collect();
        let values: BTreeSet<i64> = newest
            .range(log_start..)
            .copied()
            .filter(|offset| self.model.records[offset].value.is_some())
            .collect();
        if !present.is_subset(&newest) || !values.is_subset(&present) {
            return Err(format!("compacted: {present:?}, expected {values:?} of {newest:?}"));
        }
        // The time of tombstones and markers is over; once more for those that began to wait just now.
        for _ in 0..3 {
            self.sim.advance(Duration::from_millis(self.delete_retention_ms as u64 + 1));
            self.settle()?;
        }
        let present = self.present()?;
        if present != values {
            return Err(format!("without tombstones: {present:?}, expected {values:?}"));
        }
        self.check_markers()?;
        self.check_producers()?;
        if self.random.percent(40) { self.damage() } else { Ok(()) }
    }

    /// Maintains until nothing more is done.
    fn settle(&mut self) -> Result<(), Violation> {
        let mut idle = 0;
        for _ in 0..20_000 {
            let before = self.log()?.size_bytes();
            let report = self.maintain()?;
            let is_idle = report.segments_compacted == 0 && self.log()?.size_bytes() == before;
            idle = if is_idle { idle + 1 } else { 0 };
            // A pass may take many steps before it has anything to show.
            if idle > 20 + 3 * self.log()?.segment_count() {
                return Ok(());
            }
            self.story.truncate(1_000);
        }
        Err("compaction does not come to an end".to_owned())
    }

    fn present(&mut self) -> Result<BTreeSet<i64>, Violation> {
        let log = self.log()?;
        let now = self.sim.environment().clock.now_ms();
        checks::check(&self.model, &log, self.delete_retention_ms, now, &mut self.random)
    }

    /// Markers are left only where a batch of their producer is, or nothing else says what its epoch is.
    fn check_markers(&mut self) -> Result<(), Violation> {
        let log = self.log()?;
        let from = log.offsets().log_start;
        let walk = checks::walk(&log, from, Isolation::ReadUncommitted, &mut self.random)?;
        let headers = || walk.batches.iter().map(|batch| batch.header());
        for marker in headers().filter(|header| header.attributes.is_control()) {
            let of_it = headers().filter(|header| header.producer_id == marker.producer_id);
            let batches = of_it.filter(|header| {
                !header.attributes.is_control() && header.base_offset < marker.base_offset
            });
            let epochs = headers().filter(|header| {
                header.producer_id == marker.producer_id && header.attributes.is_control()
            });
            if batches.count() == 0
                && epochs.map(|header| header.producer_epoch).max() > Some(marker.producer_epoch)
            {
                return Err(format!("a marker is left at {} for nothing", marker.base_offset));
            }
        }
        Ok(())
    }

    /// Without the snapshot, the segments alone say where producers go on.
    fn check_producers(&mut self) -> Result<(), Violation> {
        let closed = self.store().close();
        closed.map_err(|e| e.to_string())?;
        self.store = None;
        self.sim.kill_process();
        let snapshot = Path::new("data/topics").join(format!("{TOPIC}-0/producers.snapshot"));
        // There is none if no producer has written.
        let _ = self.sim.environment().files.remove(&snapshot);
        self.open()?;
        let log_start = self.log()?.offsets().log_start;
        for index in 0..self.model.producers.len() {
            let Some((bytes, base)) = self.model.producers[index].last.clone() else { continue };
            if base < log_start {
                continue;
            }
            let again = self.log()?.append_durable(&mut bytes.clone());
            let again = again.map_err(|e| format!("retry of the batch at {base}: {e}"))?;
            if !again.duplicate || again.base_offset != base {
                return Err(format!("a retry of the batch at {base} got {again:?}"));
            }
            self.send(index)?;
            self.end_transaction(index)?;
        }
        self.check()
    }

    /// Flips a bit of the partition's files: verification says so, no wrong byte is served, and a repair makes
    /// the partition usable again.
    fn damage(&mut self) -> Result<(), Violation> {
        let folder = format!("{TOPIC}-0/");
        let mut paths: Vec<PathBuf> = self.sim.paths();
        paths.retain(|path| {
            path.to_string_lossy().contains(&folder)
                && self.sim.contents(path).is_some_and(|bytes| !bytes.is_empty())
        });
        let path = paths[self.random.below(paths.len())].clone();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bits = self.sim.contents(&path).map_or(0, |bytes| bytes.len() * 8);
        let bit = self.random.below(bits);
        self.tell(format!("flip bit {bit} of {name}"));
        self.store = None;
        self.sim.kill_process();
        self.sim.flip_bit(&path, bit as u64);
        let named = self.verify()?.iter().any(|finding| finding.file == name);
        let derived = !(name.ends_with(".log") || name.ends_with(".index"));
        if !named && (!derived || name == "compaction") {
            return Err("verification does not name the damaged file".to_owned());
        }
        self.open()?;
        match self.log() {
            Err(_) if derived => return Err(format!("one bit of {name} keeps it shut")),
            Ok(_) if derived && name != "recovery-point" => return self.check(),
            _ => {}
        }
        self.store = None;
        self.sim.kill_process();
        let environment = self.sim.environment();
        let repaired = repair(&environment, "data".as_ref(), &Selection::default());
        let repaired = repaired.map_err(|e| e.to_string())?;
        self.open()?;
        let log = self.log()?;
        let from = log.offsets().log_start;
        match checks::walk(&log, from, Isolation::ReadUncommitted, &mut self.random) {
            Ok(_) => Ok(()),
            Err(_) if !repaired.remaining.is_empty() => Ok(()),
            Err(error) => {
                let kind = log.read(from, 1, Isolation::ReadUncommitted).map_err(|e| e.kind());
                debug_assert_ne!(kind.err(), Some(ErrorKind::Io));
                Err(format!("after the repair: {error}"))
            }
        }
    }
}
