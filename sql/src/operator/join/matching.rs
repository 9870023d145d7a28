//! What a batch changes: pairs, counts of matches, single results.

use arrow_array::{ArrayRef, BooleanArray, UInt32Array};
use arrow_select::filter::filter;
use riverrun_dataflow::{Error, Output, Result};

use super::arrivals::Arrivals;
use super::condition::Condition;
use super::results::{Results, single_columns, taken};
use super::side::{Side, needed};
use super::{CHUNK, JoinSpec, Single, makes_pairs};
use crate::Changes;
use crate::state::{Buckets, Layout, Record};

/// The state of a join and what happens to it.
pub(super) struct Matching {
    pub(super) operator: String,
    pub(super) sides: [Side; 2],
    pub(super) buckets: Buckets,
    pub(super) singles: [Single; 2],
    condition: Option<Condition>,
    pairs: bool,
    nulls_equal: bool,
    /// True if rows come alone only once it is known that nothing will match them: whoever expires them puts them out.
    patient: bool,
    pub(super) results: Results,
}

/// Arriving rows and kept rows that may match.
#[derive(Default)]
struct Candidates {
    /// Position of the arriving row.
    positions: Vec<u32>,
    /// The kept row.
    slots: Vec<u32>,
    at: Vec<u32>,
    weights: Vec<i64>,
}

/// A kept row whose single result changes.
pub(super) struct Alone {
    pub(super) slot: u32,
    pub(super) at: u32,
    /// Where its key is found among the key columns at hand.
    pub(super) key: u32,
    pub(super) weight: i64,
    pub(super) mark: bool,
}

/// A kept row whose matches changed, and how many it had before.
struct Turned {
    slot: u32,
    at: u32,
    row: u32,
    before: i64,
}

/// Calls `change(weight, mark)` for each change of a row's single result when its sum of matches goes from one to another.
fn turn(single: Single, weight: i64, matches: [i64; 2], mut change: impl FnMut(i64, bool)) {
    let [before, after] = matches;
    if single == Single::Mark {
        if (before > 0) != (after > 0) {
            change(-weight, before > 0);
            change(weight, after > 0);
        }
        return;
    }
    match (single.shows(before), single.shows(after)) {
        (true, false) => change(-weight, false),
        (false, true) => change(weight, false),
        _ => {}
    }
}

impl Matching {
    /// Nothing yet. `timed`: rows are kept with a time, and come alone only when they expire.
    pub(super) fn new(operator: &str, spec: &JoinSpec, timed: bool) -> Result<Self> {
        let condition = match &spec.filter {
            Some(filter) => Some(Condition::new(operator, filter, &spec.inputs)?),
            None => None,
        };
        let pairs = makes_pairs(spec.join_type);
        let singles = Single::of(spec.join_type);
        let side = |side: usize| {
            let read = condition.iter().flat_map(|condition| condition.columns(side));
            let needed = needed(pairs || singles[side] != Single::None, read);
            Side::new(operator, spec.inputs[side].clone(), needed)
        };
        let sides = [side(0)?, side(1)?];
        let layout = |side: usize| Layout {
            matches: singles[side] != Single::None && condition.is_some(),
            time: timed,
        };
        let buckets = Buckets::new([layout(0), layout(1)]);
        let results = Results { output: spec.output.clone(), retracts: spec.retracts };
        Ok(Self {
            operator: operator.to_owned(),
            sides,
            buckets,
            singles,
            condition,
            pairs,
            nulls_equal: spec.nulls_equal,
            patient: timed,
            results,
        })
    }

    /// Takes a batch in. `time_of` says the time of a row of the batch; `kept(slot, time)` is told of each row.
    pub(super) fn arrive(
        &mut self,
        side: usize,
        changes: Changes,
        time_of: impl Fn(usize) -> i64,
        mut kept: impl FnMut(u32, i64),
        out: &mut dyn Output,
    ) -> Result<()> {
        let retracting = changes.weights.is_some();
        let arrivals = Arrivals::new(&self.operator, &self.sides[side], self.nulls_equal, changes)?;
        let slots: Vec<u32> =
            (0..arrivals.len()).map(|at| self.buckets.slot(arrivals.key(at))).collect();
        let mut matches = vec![0; arrivals.len()];
        self.probe(side, &arrivals, &slots, &mut matches, out)?;
        self.emit_arrivals(side, &arrivals, &slots, &matches, out)?;
        let totals = self.keep(side, &arrivals, &slots, &matches, |slot, row| {
            let time = time_of(row);
            kept(slot, time);
            time
        })?;
        self.turn_keys(side, &arrivals, totals, out)?;
        if retracting {
            slots.iter().for_each(|slot| self.buckets.release(*slot));
        }
        Ok(())
    }

    /// True if each row of the side has a count of its matches.
    fn counted(&self, side: usize) -> bool {
        self.buckets.layout(side).matches
    }

    /// True if the matches of a row of the side are all rows of its key.
    pub(super) fn by_key(&self, side: usize) -> bool {
        self.singles[side] != Single::None && self.condition.is_none()
    }

    /// Finds the partners of the arriving rows, puts out pairs, and counts.
    fn probe(
        &mut self,
        side: usize,
        arrivals: &Arrivals,
        slots: &[u32],
        matches: &mut [i64],
        out: &mut dyn Output,
    ) -> Result<()> {
        let other = 1 - side;
        if !self.pairs && !self.counted(side) && !self.counted(other) {
            return Ok(());
        }
        // A row that is there already knows its matches: when nothing else is asked, it need not look for them.
        let known = !self.pairs && !self.counted(other);
        let (mut candidates, mut turned) = (Candidates::default(), Vec::new());
        for (position, slot) in slots.iter().enumerate() {
            if known
                && let Some(record) = self.buckets.find_row(*slot, side, arrivals.row(position))
            {
                matches[position] = record.matches;
                continue;
            }
            let mut from = Some(0);
            while let Some(start) = from.take() {
                for record in self.buckets.records(*slot, other, start) {
                    if candidates.positions.len() == CHUNK {
                        from = Some(record.at);
                        break;
                    }
                    candidates.positions.push(position as u32);
                    candidates.slots.push(*slot);
                    candidates.at.push(record.at);
                    candidates.weights.push(record.weight);
                }
                if from.is_some() {
                    self.meet(side, arrivals, &mut candidates, matches, &mut turned, out)?;
                }
            }
        }
        self.meet(side, arrivals, &mut candidates, matches, &mut turned, out)?;
        self.turn_rows(other, arrivals, turned, out)
    }

    /// Asks the filter about candidates, counts the pairs that are left and puts them out.
    fn meet(
        &mut self,
        side: usize,
        arrivals: &Arrivals,
        candidates: &mut Candidates,
        matches: &mut [i64],
        turned: &mut Vec<Turned>,
        out: &mut dyn Output,
    ) -> Result<()> {
        let other = 1 - side;
        if candidates.positions.is_empty() {
            return Ok(());
        }
        let places = candidates.slots.iter().zip(&candidates.at);
        let bytes = places.map(|(slot, at)| self.buckets.record(*slot, other, *at).row);
        let mut kept = self.sides[other].decode(&self.operator, bytes)?;
        let rows = candidates.positions.iter().map(|at| arrivals.rows[*at as usize]);
        let mut rows = UInt32Array::from_iter_values(rows);
        if let Some(condition) = &self.condition {
            let mut columns = [Vec::new(), Vec::new()];
            columns[side] = taken(&self.operator, &arrivals.batch, condition.columns(side), &rows)?;
            columns[other] = self.sides[other].columns(
                &self.operator,
                condition.columns(other),
                &kept,
                &arrivals.key_columns,
                &rows,
            )?;
            let holds = condition.holds(&self.operator, columns, rows.len())?;
            match holds.true_count() {
                0 => {
                    *candidates = Candidates::default();
                    return Ok(());
                }
                all if all == rows.len() => {}
                _ => {
                    let keep = |array: &dyn arrow_array::Array| {
                        filter(array, &holds).map_err(|error| Error::io(&self.operator, error))
                    };
                    kept = kept.iter().map(|column| keep(column)).collect::<Result<_>>()?;
                    rows = keep(&rows)?.to_data().into();
                    candidates.retain(&holds);
                }
            }
        }
        self.count(side, arrivals, candidates, matches, turned);
        if self.pairs {
            self.emit_pairs(side, arrivals, candidates, &kept, &rows, out)?;
        }
        *candidates = Candidates::default();
        Ok(())
    }

    /// Counts pairs as matches of both rows.
    fn count(
        &mut self,
        side: usize,
        arrivals: &Arrivals,
        candidates: &Candidates,
        matches: &mut [i64],
        turned: &mut Vec<Turned>,
    ) {
        if self.counted(side) {
            for (position, weight) in candidates.positions.iter().zip(&candidates.weights) {
                matches[*position as usize] += weight;
            }
        }
        let other = 1 - side;
        if !self.counted(other) {
            return;
        }
        let places = candidates.slots.iter().zip(&candidates.at);
        for (position, (slot, at)) in candidates.positions.iter().zip(places) {
            let before = self.buckets.record(*slot, other, *at).matches;
            if self.buckets.touch_row(*slot, other, *at, true) {
                let row = arrivals.rows[*position as usize];
                turned.push(Turned { slot: *slot, at: *at, row, before });
            }
            let after = before + arrivals.deltas[*position as usize];
            self.buckets.put_matches(*slot, other, *at, after);
        }
    }

    fn emit_pairs(
        &self,
        side: usize,
        arrivals: &Arrivals,
        candidates: &Candidates,
        kept: &[ArrayRef],
        rows: &UInt32Array,
        out: &mut dyn Output,
    ) -> Result<()> {
        let other = 1 - side;
        let all = |side: usize| 0..self.sides[side].input.columns;
        let mut columns = [Vec::new(), Vec::new()];
        columns[side] = taken(&self.operator, &arrivals.batch, all(side), rows)?;
        columns[other] = self.sides[other].columns(
            &self.operator,
            all(other),
            kept,
            &arrivals.key_columns,
            rows,
        )?;
        let weights = candidates.positions.iter().zip(&candidates.weights);
        let weights = weights
            .map(|(position, weight)| arrivals.deltas[*position as usize].checked_mul(*weight))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::state(&self.operator, "more equal rows than can be counted"))?;
        self.results.emit(&self.operator, columns.into_iter().flatten().collect(), weights, out)
    }

    /// What comes of the arriving rows alone.
    fn emit_arrivals(
        &self,
        side: usize,
        arrivals: &Arrivals,
        slots: &[u32],
        matches: &[i64],
        out: &mut dyn Output,
    ) -> Result<()> {
        let single = self.singles[side];
        if single == Single::None {
            return Ok(());
        }
        let (mut rows, mut weights, mut marks) = (Vec::new(), Vec::new(), Vec::new());
        for position in 0..arrivals.len() {
            let matches = if self.counted(side) {
                matches[position]
            } else {
                self.buckets.total(slots[position], 1 - side)
            };
            if single.shows(matches) && !(self.patient && single.shows(0)) {
                rows.push(arrivals.rows[position]);
                weights.push(arrivals.deltas[position]);
                marks.push(matches > 0);
            }
        }
        if single.shows(0) {
            for (row, weight) in &arrivals.unmatchable {
                rows.push(*row);
                weights.push(*weight);
                marks.push(false);
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
        let all = 0..self.sides[side].input.columns;
        let count = rows.len();
        let columns = taken(&self.operator, &arrivals.batch, all, &UInt32Array::from(rows))?;
        let columns = single_columns(single, side, &self.sides, columns, marks.into_iter(), count);
        self.results.emit(&self.operator, columns, weights, out)
    }

    /// Adds the arriving rows to the state. If the other side's rows depend on the sum of a key's weights, returns the keys that were touched
    /// with that sum as it was, and a row that has the key.
    fn keep(
        &mut self,
        side: usize,
        arrivals: &Arrivals,
        slots: &[u32],
        matches: &[i64],
        mut time_of: impl FnMut(u32, usize) -> i64,
    ) -> Result<Vec<(u32, i64, u32)>> {
        let totals_matter = self.by_key(1 - side);
        let mut totals = Vec::new();
        for (position, slot) in slots.iter().enumerate() {
            let row = arrivals.rows[position];
            if totals_matter && self.buckets.touch(*slot, true) {
                totals.push((*slot, self.buckets.total(*slot, side), row));
            }
            let record = Record {
                at: 0,
                weight: arrivals.deltas[position],
                matches: matches[position],
                time: time_of(*slot, row as usize),
                row: arrivals.row(position),
            };
            self.buckets.add(&self.operator, *slot, side, &record)?;
        }
        Ok(totals)
    }

    /// Puts out what changes for kept rows whose own count of matches changed.
    fn turn_rows(
        &mut self,
        side: usize,
        arrivals: &Arrivals,
        turned: Vec<Turned>,
        out: &mut dyn Output,
    ) -> Result<()> {
        let single = self.singles[side];
        let mut alone = Vec::new();
        for Turned { slot, at, row, before } in turned {
            self.buckets.touch_row(slot, side, at, false);
            if self.patient && single.shows(0) {
                continue;
            }
            let record = self.buckets.record(slot, side, at);
            turn(single, record.weight, [before, record.matches], |weight, mark| {
                alone.push(Alone { slot, at, key: row, weight, mark });
            });
            if alone.len() >= CHUNK {
                self.emit_alone(side, &arrivals.key_columns, &std::mem::take(&mut alone), out)?;
            }
        }
        self.emit_alone(side, &arrivals.key_columns, &alone, out)
    }

    /// Puts out what changes for the other side's rows because the sum of the weights of their key on this side did.
    fn turn_keys(
        &mut self,
        side: usize,
        arrivals: &Arrivals,
        totals: Vec<(u32, i64, u32)>,
        out: &mut dyn Output,
    ) -> Result<()> {
        let other = 1 - side;
        let single = self.singles[other];
        let mut alone = Vec::new();
        for (slot, before, row) in totals {
            self.buckets.touch(slot, false);
            let after = self.buckets.total(slot, side);
            if (before > 0) == (after > 0) || (self.patient && single.shows(0)) {
                continue;
            }
            for record in self.buckets.records(slot, other, 0) {
                turn(single, record.weight, [before, after], |weight, mark| {
                    alone.push(Alone { slot, at: record.at, key: row, weight, mark });
                });
                if alone.len() >= CHUNK {
                    let some = std::mem::take(&mut alone);
                    self.emit_alone(other, &arrivals.key_columns, &some, out)?;
                }
            }
        }
        self.emit_alone(other, &arrivals.key_columns, &alone, out)
    }

    /// Puts out single results of kept rows.
    pub(super) fn emit_alone(
        &self,
        side: usize,
        key_columns: &[ArrayRef],
        alone: &[Alone],
        out: &mut dyn Output,
    ) -> Result<()> {
        if alone.is_empty() {
            return Ok(());
        }
        let bytes = alone.iter().map(|row| self.buckets.record(row.slot, side, row.at).row);
        let kept = self.sides[side].decode(&self.operator, bytes)?;
        let keys = UInt32Array::from_iter_values(alone.iter().map(|row| row.key));
        let all = 0..self.sides[side].input.columns;
        let columns = self.sides[side].columns(&self.operator, all, &kept, key_columns, &keys)?;
        let marks = alone.iter().map(|row| row.mark);
        let columns =
            single_columns(self.singles[side], side, &self.sides, columns, marks, alone.len());
        let weights = alone.iter().map(|row| row.weight).collect();
        self.results.emit(&self.operator, columns, weights, out)
    }
}

impl Candidates {
    fn retain(&mut self, keep: &BooleanArray) {
        fn retain<T>(values: &mut Vec<T>, keep: &BooleanArray) {
            let mut keep = keep.values().iter();
            values.retain(|_| keep.next() == Some(true));
        }
        retain(&mut self.positions, keep);
        retain(&mut self.slots, keep);
        retain(&mut self.at, keep);
        retain(&mut self.weights, keep);
    }
}
