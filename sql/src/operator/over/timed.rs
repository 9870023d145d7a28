//! OVER rows that come in event time and stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, ArrayRef, RecordBatch};
use riverrun_dataflow::{
    Barrier, Batch, Entries, Error, Operator, OperatorContext, OperatorMetrics, OperatorState,
    Output, RestoredState, Result, Snapshot, StateTable, Timestamp, Watermark,
};

use super::running::{Running, RunningFunctions, Totals, peers};
use super::{Layout, OverSpec, Reach, evaluate};
use crate::Changes;
use crate::operator::emission::{BATCH_ROWS, Strings};
use crate::operator::expiry::TimeToLive;
use crate::operator::reached::Reached;
use crate::state::{Multimap, RowBytes};

/// Rows that are never taken back, ordered by event time, with values that depend on rows up to their own time only. Each row waits
/// for the watermark and goes out once, with its values; rows that come later are late: counted, and left out.
pub struct TimedOver {
    operator: String,
    layout: Layout,
    time: usize,
    keeps: Keeps,
    running: RunningFunctions,
    key_groups: u16,
    metrics: Arc<OperatorMetrics>,
    reached: Reached,
    /// Rows that wait for the watermark; the namespace is their time.
    waiting: Multimap,
    /// Rows that later ones look at.
    kept: Multimap,
    totals: StateTable<RowBytes, Totals>,
    /// Partitions by the time of their last row, if rows are only kept for a time.
    expiring: BTreeMap<Timestamp, Vec<RowBytes>>,
    time_to_live: TimeToLive,
}

const WAITING: u8 = 0;
const KEPT: u8 = 1;
const TOTALS: u8 = 2;

/// Which rows of a partition later ones look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Keeps {
    all: bool,
    /// So many from the first on.
    first: usize,
    /// So many up to the last.
    last: usize,
    /// Those of so many milliseconds.
    time: Option<i64>,
}

impl Keeps {
    fn for_functions(spec: &OverSpec) -> Self {
        let mut keeps = Self::default();
        for function in &spec.functions {
            match function.reach {
                Reach::Rows { before, .. } => keeps.last = keeps.last.max(before),
                Reach::Time(time) => keeps.time = keeps.time.max(Some(time)),
                Reach::First(rows) => keeps.first = keeps.first.max(rows),
                Reach::Running | Reach::Numbered(_) => {}
                Reach::Before | Reach::All => keeps.all = true,
            }
        }
        keeps
    }

    /// Whether a row is looked at by rows after `reached`: the row `at` of `rows`, with this time.
    fn wants(self, at: usize, rows: usize, time: Timestamp, reached: Timestamp) -> bool {
        let oldest = self.time.map(|range| reached.saturating_add(1).saturating_sub(range));
        self.all
            || at < self.first
            || rows - at <= self.last
            || oldest.is_some_and(|oldest| time >= oldest)
    }

    /// For how long rows are kept, if it is only for a time.
    fn only_for(self) -> Option<i64> {
        if self.all || self.first > 0 || self.last > 0 { None } else { self.time }
    }
}

impl TimedOver {
    /// The operator of this spec, whose order is one event time column, ascending, and whose functions look at no row of a later time.
    ///
    /// # Errors
    /// [`Error::Io`] if the rows have a column that cannot be kept as bytes.
    pub fn new(spec: OverSpec) -> Result<Self> {
        let Some((time, _)) = spec.order.first().copied() else {
            return Err(Error::io("over", "there is no event time to order by"));
        };
        let running = spec.functions.iter().map(|of| Running::of("over", of));
        let running: Vec<Option<Running>> = running.collect::<Result<_>>()?;
        Ok(Self {
            operator: "over".to_owned(),
            time,
            keeps: Keeps::for_functions(&spec),
            running: RunningFunctions(running.into_iter().flatten().collect()),
            layout: Layout::new(spec)?,
            key_groups: 1,
            metrics: Arc::default(),
            reached: Reached::default(),
            waiting: Multimap::default(),
            kept: Multimap::default(),
            totals: StateTable::default(),
            expiring: BTreeMap::new(),
            time_to_live: TimeToLive::default(),
        })
    }

    /// Forgets what later rows of a partition need, but for rows that are kept for a time, if for so many milliseconds of processing time no row of it has
    /// come, or gone out.
    pub fn with_time_to_live(mut self, ttl: Option<i64>) -> Self {
        self.time_to_live = TimeToLive::new(ttl);
        self
    }

    fn times<'a>(&self, rows: &'a RecordBatch) -> Result<&'a [i64]> {
        let times = rows.column(self.time);
        match times.as_primitive_opt::<TimestampMillisecondType>() {
            Some(times) => Ok(times.values()),
            None => Err(Error::WrongBatch {
                operator: self.operator.clone(),
                expected: "event time in milliseconds".to_owned(),
                got: times.data_type().to_string(),
            }),
        }
    }

    /// Emits the rows that the watermark has reached.
    fn release(&mut self, to: Timestamp, out: &mut dyn Output) -> Result<()> {
        let due: Vec<i64> = self.waiting.namespaces().take_while(|time| *time <= to).collect();
        // By partition, in the order of time.
        let mut partitions: BTreeMap<RowBytes, Strings> = BTreeMap::new();
        for time in &due {
            for (key, values) in self.waiting.iter(*time) {
                if !partitions.contains_key(key) {
                    partitions.insert(key.clone(), Strings::default());
                }
                let Some(rows) = partitions.get_mut(key) else { continue };
                for (row, weight) in values.iter() {
                    (0..*weight).for_each(|_| rows.push(row.as_slice()));
                }
            }
        }
        for time in due {
            self.waiting.drop_namespace(time);
        }
        self.time_to_live.touch(partitions.keys().map(RowBytes::as_slice));
        for (key, rows) in partitions {
            if rows.len() > 0 {
                self.release_partition(&key, rows, to)?;
            }
            if self.layout.emission.len() >= BATCH_ROWS {
                self.layout.emit(&self.operator, out)?;
            }
        }
        self.layout.emit(&self.operator, out)?;
        self.expire(to)
    }

    fn release_partition(&mut self, key: &RowBytes, due: Strings, to: Timestamp) -> Result<()> {
        let mut rests = Strings::default();
        let kept = self.kept.values(0, key.as_slice());
        for (row, count) in kept.into_iter().flat_map(|values| values.iter()) {
            (0..*count).for_each(|_| rests.push(row.as_slice()));
        }
        let old = rests.len();
        due.iter().for_each(|row| rests.push(row));
        let keys = (0..rests.len()).map(|_| key.as_slice());
        let rows = self.layout.decode(&self.operator, keys, rests.iter())?;
        let new = rows.slice(old, due.len());
        let times = self.times(&rows)?.to_vec();

        let mut running = if self.running.0.is_empty() {
            Vec::new().into_iter()
        } else {
            let peers = peers(&times[old..]);
            let totals = self.totals.entry(0, key.clone(), Totals::default);
            self.running.advance(&self.operator, totals, &new, &peers)?.into_iter()
        };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.layout.spec.functions.len());
        for (number, function) in self.layout.spec.functions.iter().enumerate() {
            let values = match function.reach {
                Reach::Running | Reach::Numbered(_) => running.next(),
                _ => None,
            };
            let values = match values {
                Some(values) => values,
                None => {
                    let all = evaluate(&self.operator, function.function.as_ref(), &rows)?;
                    all.slice(old, due.len())
                }
            };
            columns.push(self.layout.typed(&self.operator, number, values)?);
        }
        let values = self.layout.values.encode(&self.operator, &columns, due.len())?;
        for (row, values) in due.iter().zip(values.iter()) {
            self.layout.push(key.as_slice(), row, values, 1);
        }
        self.keep(key, &rests, &times, old, to);
        Ok(())
    }

    /// Keeps of a partition's rows those that later ones look at: of `rests`, the first `old` are kept already.
    fn keep(
        &mut self,
        key: &RowBytes,
        rests: &Strings,
        times: &[i64],
        old: usize,
        reached: Timestamp,
    ) {
        for (at, rest) in rests.iter().enumerate() {
            let wanted = self.keeps.wants(at, rests.len(), times[at], reached);
            match (at < old, wanted) {
                (true, false) => {
                    self.kept.add(0, key.as_slice(), rest, -1);
                }
                (false, true) => {
                    self.kept.add(0, key.as_slice(), rest, 1);
                }
                (true, true) | (false, false) => {}
            }
        }
        if let (Some(_), Some(last)) = (self.keeps.only_for(), times.last()) {
            self.expiring.entry(*last).or_default().push(key.clone());
        }
    }

    /// Forgets the rows of partitions to which nothing was added for longer than rows are kept.
    fn expire(&mut self, reached: Timestamp) -> Result<()> {
        let Some(range) = self.keeps.only_for() else { return Ok(()) };
        let oldest = reached.saturating_add(1).saturating_sub(range);
        let rest = self.expiring.split_off(&oldest);
        let over = std::mem::replace(&mut self.expiring, rest);
        for key in over.into_values().flatten() {
            // It may have got rows since.
            if self.last_time(&key)?.is_some_and(|last| last < oldest) {
                self.kept.remove_key(0, key.as_slice());
            }
        }
        Ok(())
    }

    /// The time of the last row that is kept of a partition.
    fn last_time(&self, key: &RowBytes) -> Result<Option<Timestamp>> {
        let Some((last, _)) =
            self.kept.values(0, key.as_slice()).and_then(|values| values.iter().next_back())
        else {
            return Ok(None);
        };
        let rows = self.layout.decode(&self.operator, [key.as_slice()], [last.as_slice()])?;
        Ok(self.times(&rows)?.first().copied())
    }
}

impl Operator for TimedOver {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        self.reached = Reached::restored(&self.operator, &state.list)?;
        for chain in &state.keyed {
            self.waiting.restore(&self.operator, WAITING, chain)?;
            self.kept.restore(&self.operator, KEPT, chain)?;
            self.totals.restore(&self.operator, TOTALS, chain)?;
        }
        if self.keeps.only_for().is_some() {
            let keys: Vec<RowBytes> = self.kept.iter(0).map(|(key, _)| key.clone()).collect();
            for key in keys {
                if let Some(last) = self.last_time(&key)? {
                    self.expiring.entry(last).or_default().push(key);
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.metrics = context.metrics.clone();
        self.key_groups = context.key_groups;
        let kept = self.kept.iter(0).map(|(key, _)| key.as_slice());
        let totals = self.totals.iter(0).map(|(key, _)| key.as_slice());
        self.time_to_live.open(context, kept.chain(totals));
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Output) -> Result<()> {
        let changes = Changes::of(batch, &self.operator)?;
        let times = self.times(&changes.rows)?;
        let nulls = changes.rows.column(self.time).nulls();
        let laid_out = self.layout.rows.encode(&self.operator, &changes.rows)?;
        self.time_to_live.touch(laid_out.keys.iter());
        let mut scratch = Vec::new();
        let mut late = 0;
        for (row, time) in times.iter().enumerate() {
            if *time <= self.reached.timestamp() || nulls.is_some_and(|nulls| nulls.is_null(row)) {
                late += 1;
                continue;
            }
            let rest = laid_out.rest(row, &mut scratch);
            self.waiting.add(*time, laid_out.keys.row(row), rest, changes.weight(row));
        }
        if late > 0 {
            OperatorMetrics::add(&self.metrics.late_records, late);
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        let to = Reached::by(watermark, self.waiting.namespaces().next_back());
        self.release(to, out)?;
        self.reached.advance_to(to);
        out.emit_watermark(watermark)
    }

    fn next_timer(&self) -> Option<Timestamp> {
        self.time_to_live.next()
    }

    fn on_time(&mut self, now: Timestamp, _out: &mut dyn Output) -> Result<()> {
        for key in self.time_to_live.expired(now) {
            self.totals.remove(0, &key);
            if self.keeps.time.is_none() {
                self.kept.remove_key(0, key.as_slice());
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let (operator, kind, key_groups) = (&self.operator, barrier.kind, self.key_groups);
        let mut entries = Entries::new(key_groups);
        self.waiting.snapshot_into(operator, WAITING, kind, key_groups, &mut entries)?;
        self.kept.snapshot_into(operator, KEPT, kind, key_groups, &mut entries)?;
        self.totals.snapshot(kind).encode_into(operator, TOTALS, key_groups, &mut entries)?;
        Ok(Snapshot::Ready(OperatorState {
            keyed: Some(entries.finish(kind)),
            list: vec![self.reached.encode(operator)?],
            ..OperatorState::default()
        }))
    }
}
