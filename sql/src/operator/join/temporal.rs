//! The join of rows with the version of a table that held at their time.
//!
//! A row of the left input waits until the watermark has reached its time: then all versions that it could meet are known. Versions that are older
//! than the one that holds at the watermark are forgotten. A left row that comes behind the watermark is late: counted and left out. A
//! version that comes late holds for the rows that come after it.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, BooleanArray, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow_select::filter::filter;
use riverrun_dataflow::{
    Barrier, Batch, Entries, Error, Operator, OperatorContext, OperatorMetrics, OperatorState,
    Output, RestoredState, Result, Snapshot, Timestamp, Watermark, codec,
};

use super::condition::Condition;
use super::pending::PendingRows;
use super::regular::check_signatures;
use super::results::{Results, single_columns, taken};
use super::side::{Side, needed};
use super::versions::VersionTable;
use super::{JoinSpec, Single};
use crate::Changes;
use crate::operator::calc::filtered;
use crate::state::key_group_of_row;

/// What a [`TemporalJoin`] does.
#[derive(Debug, Clone)]
pub struct TemporalJoinSpec {
    /// The join: inner or left, of a left input that retracts nothing. Keys that are null match nothing.
    pub join: JoinSpec,
    /// Positions of the time of a left row, and of the time since when a right row holds.
    pub time: [usize; 2],
}

/// Joins rows with the versions of a table.
pub struct TemporalJoin {
    spec: TemporalJoinSpec,
    operator: String,
    signature: String,
    key_groups: u16,
    metrics: Arc<OperatorMetrics>,
    meeting: Meeting,
    pending: PendingRows,
    versions: VersionTable,
    reached: Timestamp,
}

/// Rows and the rows of a table that they meet, at most one each.
pub(super) struct Meeting {
    pub(super) sides: [Side; 2],
    condition: Option<Condition>,
    single: Single,
    results: Results,
}

impl Meeting {
    pub(super) fn new(operator: &str, spec: &JoinSpec) -> Result<Self> {
        let condition = match &spec.filter {
            Some(filter) => Some(Condition::new(operator, filter, &spec.inputs)?),
            None => None,
        };
        let side = |side: usize| {
            Side::new(operator, spec.inputs[side].clone(), needed(true, std::iter::empty()))
        };
        let results = Results { output: spec.output.clone(), retracts: spec.retracts };
        let sides = [side(0)?, side(1)?];
        Ok(Self { sides, condition, single: Single::of(spec.join_type)[0], results })
    }

    /// Puts out the left rows with the right rows (kept columns as bytes) that they meet.
    pub(super) fn emit(
        &self,
        operator: &str,
        left: &RecordBatch,
        found: &[Option<&[u8]>],
        out: &mut dyn Output,
    ) -> Result<()> {
        let failed = |error| Error::io(operator, error);
        let key_columns = self.sides[0].key_columns(left);
        let mut met: Vec<bool> = found.iter().map(Option::is_some).collect();
        let with = found.iter().enumerate().filter(|(_, row)| row.is_some());
        let mut rows = UInt32Array::from_iter_values(with.map(|(at, _)| at as u32));
        let mut kept = self.sides[1].decode(operator, found.iter().copied().flatten())?;
        if let Some(condition) = self.condition.as_ref().filter(|_| !rows.is_empty()) {
            let columns = [
                taken(operator, left, condition.columns(0), &rows)?,
                self.sides[1].columns(
                    operator,
                    condition.columns(1),
                    &kept,
                    &key_columns,
                    &rows,
                )?,
            ];
            let holds = condition.holds(operator, columns, rows.len())?;
            for (row, holds) in rows.values().iter().zip(holds.values().iter()) {
                met[*row as usize] = holds;
            }
            kept = kept
                .iter()
                .map(|column| filter(column, &holds).map_err(failed))
                .collect::<Result<_>>()?;
            rows = filter(&rows, &holds).map_err(failed)?.to_data().into();
        }
        if !rows.is_empty() {
            let all = |side: usize| 0..self.sides[side].input.columns;
            let mut columns = taken(operator, left, all(0), &rows)?;
            columns.extend(self.sides[1].columns(operator, all(1), &kept, &key_columns, &rows)?);
            self.results.emit(operator, columns, vec![1; rows.len()], out)?;
        }
        if self.single != Single::Padded || met.iter().all(|met| *met) {
            return Ok(());
        }
        let lonely = (0..).zip(&met).filter(|(_, met)| !**met).map(|(row, _)| row);
        let rows = UInt32Array::from_iter_values(lonely);
        let all = 0..self.sides[0].input.columns;
        let columns = taken(operator, left, all, &rows)?;
        let marks = std::iter::empty();
        let columns = single_columns(self.single, 0, &self.sides, columns, marks, rows.len());
        self.results.emit(operator, columns, vec![1; rows.len()], out)
    }
}

impl TemporalJoin {
    /// The operator of this spec.
    ///
    /// # Errors
    /// [`Error::Io`] if rows of these types cannot be kept.
    pub fn new(spec: TemporalJoinSpec) -> Result<Self> {
        let operator = "temporal-join".to_owned();
        Ok(Self {
            signature: spec.join.signature(),
            key_groups: 1,
            metrics: Arc::default(),
            meeting: Meeting::new(&operator, &spec.join)?,
            pending: PendingRows::new(&operator, spec.join.inputs[0].schema.clone())?,
            versions: VersionTable::default(),
            reached: Timestamp::MIN,
            operator,
            spec,
        })
    }

    /// Number of keys with versions, and of rows that wait.
    #[cfg(test)]
    pub(super) fn left(&self) -> (usize, usize) {
        (self.versions.len(), self.pending.len())
    }

    fn times(&self, side: usize, rows: &RecordBatch) -> Result<TimestampMillisecondArray> {
        let column = rows.column(self.spec.time[side]);
        column.as_primitive_opt::<TimestampMillisecondType>().cloned().ok_or_else(|| {
            Error::WrongBatch {
                operator: self.operator.clone(),
                expected: "a time column of TIMESTAMP(3)".to_owned(),
                got: column.data_type().to_string(),
            }
        })
    }

    fn version(&mut self, changes: &Changes) -> Result<()> {
        let times = self.times(1, &changes.rows)?;
        let side = &self.meeting.sides[1];
        let key_columns = side.key_columns(&changes.rows);
        let keys = side.key_codec.encode(&self.operator, &key_columns, changes.len())?;
        let rows = side.encode(&self.operator, &changes.rows)?;
        // Insertions first: what an update takes back has then been replaced already.
        for insertions in [true, false] {
            for row in 0..changes.len() {
                let weight = changes.weight(row);
                let null = times.is_null(row) || key_columns.iter().any(|key| key.is_null(row));
                if (weight > 0) == insertions && !null {
                    self.versions.change(keys.row(row), times.value(row), rows.row(row), weight);
                }
            }
        }
        Ok(())
    }

    fn wait(&mut self, changes: Changes, out: &mut dyn Output) -> Result<()> {
        if changes.weights.is_some() {
            return Err(Error::io(
                &self.operator,
                "a row was taken back in a stream that was planned as one of insertions only",
            ));
        }
        let times = self.times(0, &changes.rows)?;
        let keep: BooleanArray =
            times.iter().map(|time| Some(time.is_some_and(|time| time > self.reached))).collect();
        let untimed: BooleanArray = times.iter().map(|time| Some(time.is_none())).collect();
        if untimed.true_count() > 0 {
            // Nothing holds at no time.
            let rows = filtered(&self.operator, changes.clone(), &untimed)?.rows;
            self.meeting.emit(&self.operator, &rows, &vec![None; rows.num_rows()], out)?;
        }
        let late = changes.len() - keep.true_count() - untimed.true_count();
        if late > 0 {
            OperatorMetrics::add(&self.metrics.late_records, late as u64);
        }
        let rows = filtered(&self.operator, changes, &keep)?.rows;
        let times = self.times(0, &rows)?;
        let side = &self.meeting.sides[0];
        let keys =
            side.key_codec.encode(&self.operator, &side.key_columns(&rows), rows.num_rows())?;
        let groups = keys.iter().map(|key| key_group_of_row(key, self.key_groups));
        self.pending.add(rows, times.values().iter().copied().zip(groups));
        Ok(())
    }
}

impl Operator for TemporalJoin {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        check_signatures(&self.operator, &self.signature, &state.list)?;
        for chain in &state.keyed {
            self.versions.restore(&self.operator, chain)?;
            self.pending.restore(&self.operator, chain)?;
        }
        Ok(())
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.key_groups = context.key_groups;
        self.metrics = context.metrics.clone();
        Ok(())
    }

    fn process(&mut self, input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let changes = Changes::of(batch, &self.operator)?;
        match input {
            0 => self.wait(changes, out),
            _ => self.version(&changes),
        }
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        self.reached = watermark.timestamp();
        for (rows, times) in self.pending.take_due(&self.operator, self.reached)? {
            let side = &self.meeting.sides[0];
            let key_columns = side.key_columns(&rows);
            let keys = side.key_codec.encode(&self.operator, &key_columns, rows.num_rows())?;
            let null = |row: usize| key_columns.iter().any(|key| key.is_null(row));
            let found: Vec<_> = (0..rows.num_rows())
                .map(|row| match null(row) {
                    true => None,
                    false => self.versions.at(keys.row(row), times[row]),
                })
                .collect();
            self.meeting.emit(&self.operator, &rows, &found, out)?;
        }
        self.versions.forget_before(self.reached);
        out.emit_watermark(watermark)
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let mut entries = Entries::new(self.key_groups);
        self.pending.snapshot(&self.operator, barrier.kind, &mut entries)?;
        let versions = self.versions.snapshot(barrier.kind);
        let signature =
            codec::encode(&self.signature).map_err(|error| Error::state(&self.operator, error))?;
        let (operator, key_groups) = (self.operator.clone(), self.key_groups);
        Ok(Snapshot::Deferred(Box::new(move || {
            versions.encode_into(&operator, key_groups, &mut entries)?;
            Ok(OperatorState {
                keyed: Some(entries.finish(barrier.kind)),
                list: vec![signature],
                ..OperatorState::default()
            })
        })))
    }
}
