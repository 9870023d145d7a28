//! OVER rows that change.

use std::ops::Range;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_select::concat::concat;
use riverrun_dataflow::{
    Barrier, Batch, Entries, Error, Operator, OperatorContext, OperatorState, Output,
    RestoredState, Result, Snapshot, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::partial::{Affected, Piece};
use super::{Layout, OverSpec, evaluate};
use crate::Changes;
use crate::operator::emission::Strings;
use crate::operator::expiry::TimeToLive;
use crate::operator::groups::Groups;
use crate::state::{EncodedRows, LaidOut, Multimap, RowBytes, Values};

/// Keeps all rows and their values, computes again what a batch may have changed, and emits what it did change. Takes
/// rows in any order, and rows that are taken back.
pub struct Over {
    operator: String,
    layout: Layout,
    affected: Affected,
    rows: Multimap<Held>,
    key_groups: u16,
    time_to_live: TimeToLive,
}

/// A row of a partition, with its values as they were emitted: one for each time that the row is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Held {
    weight: i64,
    values: Vec<RowBytes>,
}

impl Held {
    fn count(&self) -> usize {
        usize::try_from(self.weight).unwrap_or(0)
    }
}

const TABLE: u8 = 0;

impl Over {
    /// The operator of this spec.
    ///
    /// # Errors
    /// [`Error::Io`] if the rows have a column that cannot be kept as bytes.
    pub fn new(spec: OverSpec) -> Result<Self> {
        Ok(Self {
            operator: "over".to_owned(),
            affected: Affected::by(&spec.functions),
            layout: Layout::new(spec)?,
            rows: Multimap::default(),
            key_groups: 1,
            time_to_live: TimeToLive::default(),
        })
    }

    /// Forgets keys that nothing has touched for so many milliseconds of processing time. What is out of them stays out; when they come again, they
    /// begin anew.
    pub fn with_time_to_live(mut self, ttl: Option<i64>) -> Self {
        self.time_to_live = TimeToLive::new(ttl);
        self
    }

    /// Adds the rows of a group to their partition; returns the bytes of those that are new or gone, each once, in order.
    fn add(&mut self, laid_out: &LaidOut, group: &[u32], changes: &Changes) -> Vec<RowBytes> {
        let mut touched = Vec::with_capacity(group.len());
        let mut scratch = Vec::new();
        for row in group {
            let key = laid_out.keys.row(*row as usize);
            let rest = laid_out.rest(*row as usize, &mut scratch);
            let weight = changes.weight(*row as usize);
            self.rows.update(0, key, rest, |held| held.weight += weight);
            touched.push(RowBytes::from(rest));
        }
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// What has to be computed again in a partition; its rows are put behind those of other partitions in `given`.
    fn work(&self, key: &[u8], touched: &[RowBytes], given: &mut Given) -> Vec<Work> {
        let Some(values) = self.rows.values(0, key) else { return Vec::new() };
        let sections = self.affected.sections(values, touched, Held::count);
        let work =
            |(first, last)| section_work(self.affected, key, (values, first, last), touched, given);
        sections.into_iter().map(work).collect()
    }

    /// The values of the wanted rows of all pieces, one behind the other.
    fn compute(&self, work: &[Work], given: &Given) -> Result<EncodedRows> {
        let functions = self.layout.spec.functions.len();
        let mut values: Vec<Vec<ArrayRef>> = vec![Vec::new(); functions];
        let mut count = 0;
        if given.rests.len() > 0 {
            let rows = self.layout.decode(&self.operator, given.keys.iter(), given.rests.iter())?;
            for of in work {
                let mut first = of.first;
                for piece in &of.pieces {
                    self.compute_piece(&rows.slice(first, piece.given.len()), piece, &mut values)?;
                    first += piece.given.len();
                    count += piece.wanted.len();
                }
            }
        }
        let mut columns = Vec::with_capacity(functions);
        for (number, parts) in values.iter().enumerate() {
            let of = &self.layout.values.types()[number];
            let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
            columns.push(match parts.is_empty() {
                true => arrow_array::new_empty_array(of),
                false => concat(&parts).map_err(|error| Error::io(&self.operator, error))?,
            });
        }
        self.layout.values.encode(&self.operator, &columns, count)
    }

    fn compute_piece(
        &self,
        rows: &RecordBatch,
        piece: &Piece,
        values: &mut [Vec<ArrayRef>],
    ) -> Result<()> {
        let from = piece.wanted.start - piece.given.start;
        for (number, function) in self.layout.spec.functions.iter().enumerate() {
            let all = evaluate(&self.operator, function.function.as_ref(), rows)?;
            let wanted = all.slice(from, piece.wanted.len());
            values[number].push(self.layout.typed(&self.operator, number, wanted)?);
        }
        Ok(())
    }

    /// Emits which values of a partition changed, and keeps the new ones. `values` are those of the wanted rows, from `next` on.
    fn settle(&mut self, key: &[u8], work: &Work, values: &EncodedRows, next: &mut usize) {
        let Some(held) = self.rows.values(0, key) else { return };
        let rows = held.from(work.section.0.as_slice());
        let rows = rows.take_while(|(row, _)| **row <= work.section.1);
        let (mut at, mut piece) = (0, 0);
        let mut settled: Vec<(RowBytes, Vec<RowBytes>)> = Vec::new();
        for (row, held) in rows {
            let mut now: Vec<&[u8]> = Vec::new();
            for place in at..at + held.count() {
                while work.pieces.get(piece).is_some_and(|of| of.wanted.end <= place) {
                    piece += 1;
                }
                if work.pieces.get(piece).is_some_and(|of| of.wanted.contains(&place)) {
                    now.push(values.row(*next));
                    *next += 1;
                } else if let Some(kept) = held.values.get(place - at) {
                    now.push(kept.as_slice());
                }
            }
            at += held.count();
            let same = now.len() == held.values.len()
                && now.iter().zip(&held.values).all(|(now, old)| *now == old.as_slice());
            if same {
                continue;
            }
            // What goes comes before what takes its place, in another row perhaps: what is emitted may be parted anywhere, and sinks that replace by
            // key go by the order.
            difference(&held.values, &now, |values, weight| {
                if weight < 0 {
                    self.layout.push(key, row.as_slice(), values, weight);
                }
            });
            settled.push((row.clone(), now.into_iter().map(RowBytes::from).collect()));
        }
        for (row, mut values) in settled {
            self.rows.update(0, key, row.as_slice(), |held| {
                let now: Vec<&[u8]> = values.iter().map(RowBytes::as_slice).collect();
                difference(&held.values, &now, |values, weight| {
                    if weight > 0 {
                        self.layout.push(key, row.as_slice(), values, weight);
                    }
                });
                std::mem::swap(&mut held.values, &mut values);
            });
        }
    }
}

/// The rows that functions look at, of all partitions of a batch.
#[derive(Default)]
struct Given {
    keys: Strings,
    rests: Strings,
}

/// What has to be computed of a section of a partition.
struct Work {
    /// The first row and the last one.
    section: (RowBytes, RowBytes),
    /// By places in the section.
    pieces: Vec<Piece>,
    /// Where the rows of the first piece are in [`Given`].
    first: usize,
}

/// What has to be computed again in a section, from its first row to its last.
fn section_work(
    affected: Affected,
    key: &[u8],
    (values, first, last): (&Values<Held>, RowBytes, RowBytes),
    touched: &[RowBytes],
    given: &mut Given,
) -> Work {
    let rows = || values.from(first.as_slice()).take_while(|(row, _)| **row <= last);
    // Where in the section rows have changed: rows that are there several times count as often.
    let (mut at, mut next) = (0, touched.partition_point(|touched| *touched < first));
    let mut changed: Vec<Range<usize>> = Vec::new();
    for (row, held) in rows() {
        while touched.get(next).is_some_and(|touched| touched < row) {
            // Gone, and never emitted.
            next += 1;
        }
        let count = held.count();
        if touched.get(next) == Some(row) {
            changed.push(at..at + count);
            next += 1;
        }
        at += count;
    }
    let pieces = affected.pieces(&changed, at);
    // The rows of the pieces, one behind the other. Without any, values are only taken away, if at all.
    let begin = given.rests.len();
    let (mut at, mut piece) = (0, 0);
    for (row, held) in rows().take_while(|_| !pieces.is_empty()) {
        for place in at..at + held.count() {
            while pieces.get(piece).is_some_and(|of| of.given.end <= place) {
                piece += 1;
            }
            if pieces.get(piece).is_some_and(|of| of.given.contains(&place)) {
                given.keys.push(key);
                given.rests.push(row.as_slice());
            }
        }
        at += held.count();
    }
    Work { pieces, first: begin, section: (first, last) }
}

/// Tells by which weights the values of a row changed. A row has few of them: most are there once.
fn difference(old: &[RowBytes], new: &[&[u8]], mut changed: impl FnMut(&[u8], i64)) {
    let mut all: Vec<(&[u8], i64)> = old.iter().map(|values| (values.as_slice(), -1)).collect();
    all.extend(new.iter().map(|values| (*values, 1)));
    all.sort_unstable();
    for same in all.chunk_by(|a, b| a.0 == b.0) {
        let weight: i64 = same.iter().map(|(_, weight)| weight).sum();
        if weight != 0 {
            changed(same[0].0, weight);
        }
    }
}

impl Operator for Over {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        state.keyed.iter().try_for_each(|chain| self.rows.restore(&self.operator, TABLE, chain))
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.key_groups = context.key_groups;
        self.time_to_live.open(context, self.rows.iter(0).map(|(key, _)| key.as_slice()));
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let changes = Changes::of(batch, &self.operator)?;
        let laid_out = self.layout.rows.encode(&self.operator, &changes.rows)?;
        self.time_to_live.touch(laid_out.keys.iter());
        let groups = Groups::of(laid_out.keys.iter());
        let mut given = Given::default();
        let mut work = Vec::new();
        let mut keys = Vec::new();
        for group in groups.iter() {
            let touched = self.add(&laid_out, group, &changes);
            let key = laid_out.keys.row(group[0] as usize);
            work.extend(self.work(key, &touched, &mut given));
            keys.resize(work.len(), key);
        }
        let values = self.compute(&work, &given)?;
        let mut next = 0;
        for (key, work) in keys.into_iter().zip(&work) {
            self.settle(key, work, &values, &mut next);
        }
        self.layout.emit(&self.operator, out)
    }

    fn next_timer(&self) -> Option<Timestamp> {
        self.time_to_live.next()
    }

    fn on_time(&mut self, now: Timestamp, _out: &mut dyn Output) -> Result<()> {
        for key in self.time_to_live.expired(now) {
            self.rows.remove_key(0, key.as_slice());
        }
        Ok(())
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let mut entries = Entries::new(self.key_groups);
        let key_groups = self.key_groups;
        self.rows.snapshot_into(&self.operator, TABLE, barrier.kind, key_groups, &mut entries)?;
        let keyed = Some(entries.finish(barrier.kind));
        Ok(Snapshot::Ready(OperatorState { keyed, ..OperatorState::default() }))
    }
}
