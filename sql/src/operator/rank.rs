//! Rows by their rank: top-N, deduplication, ORDER BY with LIMIT, and one row a key for sinks that replace by key.
//!
//! The rows of each partition are kept in the order of the ranking. Ties are broken by the other columns in their order, nulls first, so that
//! the result does not depend on which row came first. Of insertions alone only rows that can still get a wanted rank are
//! kept; where rows can be taken back, all are.

use std::borrow::Cow;

use arrow_array::{ArrayRef, UInt64Array};
use arrow_cast::cast;
use arrow_schema::{SchemaRef, SortOptions};
use riverrun_dataflow::{
    Barrier, Batch, Entries, Error, Operator, OperatorContext, OperatorState, Output,
    RestoredState, Result, Snapshot, SnapshotKind, Timestamp,
};

use self::tops::{Picks, Tops};
use super::emission::Emission;
use super::expiry::TimeToLive;
use super::groups::Groups;
use crate::Changes;
use crate::state::{KeyValues, LaidOut, Multimap, RowLayout, Values};

mod tops;
mod window;

pub use window::WindowRank;

/// How rows are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RankFunction {
    /// One after the other: ROW_NUMBER.
    RowNumber,
    /// Rows that are equal by the order have one rank, and the next one is left out: RANK.
    Rank,
    /// Rows that are equal by the order have one rank: DENSE_RANK.
    DenseRank,
}

/// What a [`Rank`] or [`WindowRank`] does.
#[derive(Debug, Clone)]
pub struct RankSpec {
    /// The rows that come in.
    pub input: SchemaRef,
    /// The columns by which rows are parted; without any all rows are ranked together.
    pub partition: Vec<usize>,
    /// The columns by which rows are ordered.
    pub order: Vec<(usize, SortOptions)>,
    /// How rows are numbered.
    pub function: RankFunction,
    /// The first rank that is wanted, from 1.
    pub from: u64,
    /// The last rank that is wanted.
    pub to: u64,
    /// Whether rows that come in can be taken back.
    pub retracts: bool,
    /// The columns of the input that go out.
    pub columns: Vec<usize>,
    /// True if the rank goes out as the last column. Then a row that gets another rank is taken back and put out anew.
    pub numbered: bool,
    /// What comes out.
    pub output: SchemaRef,
}

impl RankSpec {
    /// One row of each key, in front of a sink that replaces by key: if the input has several rows of a key, the one whose
    /// columns sort first, nulls before all. Takes rows in any order and puts out at most one row taken back
    /// and one inserted for each key and batch.
    pub fn one_row_per_key(input: SchemaRef, key: Vec<usize>) -> Self {
        Self {
            partition: key,
            order: Vec::new(),
            function: RankFunction::RowNumber,
            from: 1,
            to: 1,
            retracts: true,
            columns: (0..input.fields().len()).collect(),
            numbered: false,
            output: input.clone(),
            input,
        }
    }

    fn picks(&self) -> Picks {
        Picks { function: self.function, from: self.from, to: self.to, numbered: self.numbered }
    }

    /// The rows of a group that can get a wanted rank. Where rows can be taken back, or share ranks, all can.
    fn wanted<'r>(
        &self,
        kept: &Values<i64>,
        laid_out: &LaidOut,
        group: &'r [u32],
        scratch: &mut Vec<u8>,
    ) -> Cow<'r, [u32]> {
        if self.retracts || self.function != RankFunction::RowNumber {
            return group.into();
        }
        let mut before = 0;
        let last = kept.iter().find(|(_, weight)| {
            before += weight.unsigned_abs();
            before >= self.to
        });
        let mut comes_before = |row: &u32| match last {
            Some((last, _)) => laid_out.rest(*row as usize, scratch) < last.as_slice(),
            None => true,
        };
        if let [row] = group {
            return if comes_before(row) { group.into() } else { Cow::Borrowed(&[]) };
        }
        let mut rows: Vec<u32> = group.iter().copied().filter(comes_before).collect();
        let wanted = usize::try_from(self.to).unwrap_or(usize::MAX);
        if rows.len() > wanted {
            // Of many that come at once, most are past the others.
            let of = |row: &u32| laid_out.ordered(*row as usize);
            rows.select_nth_unstable_by(wanted, |a, b| of(a).cmp(of(b)));
            rows.truncate(wanted);
        }
        rows.into()
    }

    /// Adds rows of a group.
    fn add(
        &self,
        kept: &mut KeyValues<'_, i64>,
        layout: &RowLayout,
        laid_out: &LaidOut,
        group: &[u32],
        changes: &Changes,
        scratch: &mut Vec<u8>,
    ) {
        for row in group {
            let weight = changes.weight(*row as usize);
            kept.update(laid_out.rest(*row as usize, scratch), |has| *has += weight);
        }
        if !self.retracts {
            for _ in 0..self.past(layout, kept.values()) {
                kept.pop_last();
            }
        }
    }

    /// How many values of a partition come after all wanted ranks and, as nothing is taken back, stay there.
    fn past(&self, layout: &RowLayout, values: &Values<i64>) -> usize {
        let (mut before, mut groups, mut wanted) = (0, 0, 0);
        let mut peers: Option<&[u8]> = None;
        for (row, weight) in values.iter() {
            let past = match self.function {
                RankFunction::RowNumber => before >= self.to,
                function => {
                    let order = layout.order_of(row.as_slice());
                    if peers != Some(order) {
                        peers = Some(order);
                        groups += 1;
                        if function == RankFunction::Rank && before >= self.to {
                            // The rank of this one and of all that follow is past the last wanted one.
                            break;
                        }
                    }
                    groups > self.to
                }
            };
            if past {
                break;
            }
            before += weight.unsigned_abs();
            wanted += 1;
        }
        values.len() - wanted
    }

    fn layout(&self, operator: &str) -> Result<RowLayout> {
        let peers = self.function != RankFunction::RowNumber;
        RowLayout::new(operator, &self.input, &self.partition, &self.order, peers)
    }
}

/// Keeps rows in order and emits which rows come into a range of ranks and leave it, once a batch.
pub struct Rank {
    operator: String,
    kept: Kept,
    old: Tops,
    new: Tops,
    time_to_live: TimeToLive,
}

impl Rank {
    /// The operator of this spec.
    ///
    /// # Errors
    /// [`Error::Io`] if the rows have a column that cannot be kept as bytes.
    pub fn new(spec: RankSpec) -> Result<Self> {
        let kept = Kept::new(spec)?;
        let (operator, time_to_live) = ("rank".to_owned(), TimeToLive::default());
        Ok(Self { operator, kept, old: Tops::default(), new: Tops::default(), time_to_live })
    }

    /// Forgets keys that nothing has touched for so many milliseconds of processing time. What is out of them stays out; when they come again, they
    /// begin anew.
    pub fn with_time_to_live(mut self, ttl: Option<i64>) -> Self {
        self.time_to_live = TimeToLive::new(ttl);
        self
    }
}

impl Operator for Rank {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        self.kept.restore(&self.operator, &state)
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.kept.key_groups = context.key_groups;
        self.time_to_live.open(context, self.kept.rows.iter(0).map(|(key, _)| key.as_slice()));
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let changes = Changes::of(batch, &self.operator)?;
        let laid_out = self.kept.layout.encode(&self.operator, &changes.rows)?;
        self.time_to_live.touch(laid_out.keys.iter());
        let picks = self.kept.spec.picks();
        for rows in Groups::of(laid_out.keys.iter()).iter() {
            let key = laid_out.keys.row(rows[0] as usize);
            let Kept { spec, layout, rows: kept, emission, ranks, scratch, .. } = &mut self.kept;
            let (old, new) = (&mut self.old, &mut self.new);
            kept.at(0, key, |values| {
                let rows = spec.wanted(values.values(), &laid_out, rows, scratch);
                if rows.is_empty() {
                    return;
                }
                old.pick(picks, layout, values.values());
                spec.add(values, layout, &laid_out, &rows, &changes, scratch);
                new.pick(picks, layout, values.values());
                new.emit_changes(old, key, emission, ranks);
            });
        }
        self.kept.emit(&self.operator, out)
    }

    fn next_timer(&self) -> Option<Timestamp> {
        self.time_to_live.next()
    }

    fn on_time(&mut self, now: Timestamp, _out: &mut dyn Output) -> Result<()> {
        for key in self.time_to_live.expired(now) {
            self.kept.rows.remove_key(0, key.as_slice());
        }
        Ok(())
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let keyed = self.kept.snapshot(&self.operator, barrier.kind)?;
        Ok(Snapshot::Ready(OperatorState { keyed: Some(keyed), ..OperatorState::default() }))
    }
}

/// The rows of all partitions, and what goes out of them.
struct Kept {
    spec: RankSpec,
    layout: RowLayout,
    rows: Multimap,
    key_groups: u16,
    emission: Emission,
    ranks: Vec<u64>,
    scratch: Vec<u8>,
}

const TABLE: u8 = 0;

impl Kept {
    fn new(spec: RankSpec) -> Result<Self> {
        Ok(Self {
            layout: spec.layout("rank")?,
            spec,
            rows: Multimap::default(),
            key_groups: 1,
            emission: Emission::default(),
            ranks: Vec::new(),
            scratch: Vec::new(),
        })
    }

    fn emit(&mut self, operator: &str, out: &mut dyn Output) -> Result<()> {
        let ranks = std::mem::take(&mut self.ranks);
        let mut added: Vec<ArrayRef> = Vec::new();
        if self.spec.numbered {
            let of = self.spec.output.field(self.spec.columns.len()).data_type();
            let ranks = cast(&UInt64Array::from(ranks), of);
            added.push(ranks.map_err(|error| Error::io(operator, error))?);
        }
        let Self { spec, layout, emission, .. } = self;
        emission.emit(operator, layout, &spec.columns, added, &spec.output, out)
    }

    fn restore(&mut self, operator: &str, state: &RestoredState) -> Result<()> {
        state.keyed.iter().try_for_each(|chain| self.rows.restore(operator, TABLE, chain))
    }

    fn snapshot(
        &mut self,
        operator: &str,
        kind: SnapshotKind,
    ) -> Result<riverrun_dataflow::KeyedState> {
        let mut entries = Entries::new(self.key_groups);
        self.rows.snapshot_into(operator, TABLE, kind, self.key_groups, &mut entries)?;
        Ok(entries.finish(kind))
    }
}

#[cfg(test)]
mod tests;
