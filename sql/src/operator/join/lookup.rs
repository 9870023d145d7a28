//! The join of rows with a table as it is when they come.
//!
//! Each subtask holds the whole table. It is loaded at the start; at most once in [`LookupJoinSpec::refresh`], between two batches,
//! the operator asks whether the table has changed, and loads it again if so. Results that are out stay as they are. Where left rows
//! can be taken back, what each has met is kept, so that the same is taken back whatever the table has become.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_select::concat::concat_batches;
use arrow_select::filter::filter;
use hashbrown::HashMap;
use riverrun_dataflow::{
    Barrier, Batch, Clock, Error, Operator, OperatorContext, OperatorState, Output, RestoredState,
    Result, Snapshot, StateTable, Timestamp, codec,
};
use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::regular::check_signatures;
use super::results::{Results, single_columns, taken};
use super::side::{Side, needed};
use super::{CHUNK, JoinSpec, Single};
use crate::Changes;
use crate::state::{RowBytes, RowCodec};

/// A table that can be read as a whole.
pub trait LookupTable: Send + Sync {
    /// Its rows: the columns of the join's right input.
    ///
    /// # Errors
    /// What kept it from being read.
    fn load(&self) -> Result<Vec<RecordBatch>>;

    /// Something that is different when the rows are; `None` if that cannot be told without reading them.
    ///
    /// # Errors
    /// What kept it from being looked at.
    fn version(&self) -> Result<Option<u64>>;
}

/// What a [`LookupJoin`] does.
#[derive(Clone)]
pub struct LookupJoinSpec {
    /// The join, inner or left. Keys that are null match nothing.
    pub join: JoinSpec,
    /// The right input.
    pub table: Arc<dyn LookupTable>,
    /// How long the table is taken to be as it was.
    pub refresh: Duration,
    /// Whether left rows can be taken back. They must then be spread by all their columns.
    pub left_retracts: bool,
}

/// Joins rows with a table that each subtask holds.
pub struct LookupJoin {
    spec: LookupJoinSpec,
    operator: String,
    signature: String,
    key_groups: u16,
    clock: Option<Arc<dyn Clock>>,
    sides: [Side; 2],
    left_codec: RowCodec,
    right_codec: RowCodec,
    condition: Option<Condition>,
    single: Single,
    results: Results,
    loaded: Loaded,
    checked: Timestamp,
    met: StateTable<RowBytes, Met>,
}

/// What a left row met when it came, and how often it is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Met {
    weight: i64,
    rows: Vec<RowBytes>,
}

/// The table in memory.
struct Loaded {
    rows: RecordBatch,
    by_key: HashMap<Box<[u8]>, Vec<u32>, foldhash::fast::FixedState>,
    version: Option<u64>,
}

const TABLE: u8 = 0;

impl LookupJoin {
    /// The operator of this spec.
    ///
    /// # Errors
    /// [`Error::Io`] if keys of these types cannot be compared.
    pub fn new(spec: LookupJoinSpec) -> Result<Self> {
        let operator = "lookup-join";
        let join = &spec.join;
        let condition = match &join.filter {
            Some(filter) => Some(Condition::new(operator, filter, &join.inputs)?),
            None => None,
        };
        let side = |side: usize| {
            Side::new(operator, join.inputs[side].clone(), needed(true, std::iter::empty()))
        };
        let right = join.inputs[1].schema.clone();
        Ok(Self {
            operator: operator.to_owned(),
            signature: join.signature(),
            key_groups: 1,
            clock: None,
            sides: [side(0)?, side(1)?],
            left_codec: RowCodec::of_schema(operator, &join.inputs[0].schema)?,
            right_codec: RowCodec::of_schema(operator, &right)?,
            condition,
            single: Single::of(join.join_type)[0],
            results: Results { output: join.output.clone(), retracts: spec.left_retracts },
            loaded: Loaded {
                rows: RecordBatch::new_empty(right),
                by_key: HashMap::default(),
                version: None,
            },
            checked: Timestamp::MIN,
            met: StateTable::default(),
            spec,
        })
    }

    fn load(&mut self, version: Option<u64>) -> Result<()> {
        let schema = &self.spec.join.inputs[1].schema;
        let batches = self.spec.table.load()?;
        let batches = batches.into_iter().map(|batch| batch.with_schema(schema.clone()));
        let batches: Vec<_> = batches
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| Error::io(&self.operator, error))?;
        let rows =
            concat_batches(schema, &batches).map_err(|error| Error::io(&self.operator, error))?;
        let side = &self.sides[1];
        let key_columns = side.key_columns(&rows);
        let keys = side.key_codec.encode(&self.operator, &key_columns, rows.num_rows())?;
        let mut by_key: HashMap<Box<[u8]>, Vec<u32>, _> = HashMap::default();
        for (row, key) in keys.iter().enumerate() {
            if key_columns.iter().any(|column| column.is_null(row)) {
                continue;
            }
            match by_key.get_mut(key) {
                // A table of four billion rows would not fit.
                Some(rows) => rows.push(row as u32),
                None => {
                    by_key.insert(key.into(), vec![row as u32]);
                }
            }
        }
        self.loaded = Loaded { rows, by_key, version };
        Ok(())
    }

    /// Loads the table again if it has changed and was not looked at for a while.
    fn refresh(&mut self) -> Result<()> {
        let now = self.clock.as_ref().map_or(0, |clock| clock.now());
        let refresh = i64::try_from(self.spec.refresh.as_millis()).unwrap_or(i64::MAX);
        if now < self.checked.saturating_add(refresh) {
            return Ok(());
        }
        self.checked = now;
        let version = self.spec.table.version()?;
        if version.is_some() && version == self.loaded.version {
            return Ok(());
        }
        self.load(version)
    }

    /// The pairs of left rows and rows of the table.
    fn pairs(&self, left: &RecordBatch) -> Result<(UInt32Array, UInt32Array)> {
        let side = &self.sides[0];
        let key_columns = side.key_columns(left);
        let keys = side.key_codec.encode(&self.operator, &key_columns, left.num_rows())?;
        let (mut of_left, mut of_table) = (Vec::new(), Vec::new());
        for (row, key) in keys.iter().enumerate() {
            if key_columns.iter().any(|column| column.is_null(row)) {
                continue;
            }
            if let Some(found) = self.loaded.by_key.get(key) {
                of_left.extend(std::iter::repeat_n(row as u32, found.len()));
                of_table.extend_from_slice(found);
            }
        }
        let (of_left, of_table) = (UInt32Array::from(of_left), UInt32Array::from(of_table));
        let Some(condition) = &self.condition else { return Ok((of_left, of_table)) };
        let mut kept: [Vec<u32>; 2] = Default::default();
        for from in (0..of_left.len()).step_by(CHUNK) {
            let count = CHUNK.min(of_left.len() - from);
            let rows = [of_left.slice(from, count), of_table.slice(from, count)];
            let columns = [
                taken(&self.operator, left, condition.columns(0), &rows[0])?,
                taken(&self.operator, &self.loaded.rows, condition.columns(1), &rows[1])?,
            ];
            let holds = condition.holds(&self.operator, columns, count)?;
            for (rows, kept) in rows.iter().zip(&mut kept) {
                let rows =
                    filter(rows, &holds).map_err(|error| Error::io(&self.operator, error))?;
                kept.extend_from_slice(UInt32Array::from(rows.to_data()).values());
            }
        }
        let [of_left, of_table] = kept;
        Ok((of_left.into(), of_table.into()))
    }

    /// Puts out pairs. `right(from, count)` are the right columns of some of them.
    fn emit_pairs(
        &self,
        changes: &Changes,
        of_left: &UInt32Array,
        right: impl Fn(usize, usize) -> Result<Vec<ArrayRef>>,
        out: &mut dyn Output,
    ) -> Result<()> {
        for from in (0..of_left.len()).step_by(CHUNK) {
            let count = CHUNK.min(of_left.len() - from);
            let rows = of_left.slice(from, count);
            let all = 0..self.sides[0].input.columns;
            let mut columns = taken(&self.operator, &changes.rows, all, &rows)?;
            columns.extend(right(from, count)?);
            let weights = rows.values().iter().map(|row| changes.weight(*row as usize)).collect();
            self.results.emit(&self.operator, columns, weights, out)?;
        }
        Ok(())
    }

    /// Puts out left rows that met nothing, if they come out at all.
    fn emit_lonely(
        &self,
        changes: &Changes,
        of_left: &UInt32Array,
        out: &mut dyn Output,
    ) -> Result<()> {
        if self.single != Single::Padded {
            return Ok(());
        }
        let mut met = vec![false; changes.len()];
        of_left.values().iter().for_each(|row| met[*row as usize] = true);
        let lonely: Vec<u32> =
            (0..).zip(&met).filter(|(_, met)| !**met).map(|(at, _)| at).collect();
        if lonely.is_empty() {
            return Ok(());
        }
        let weights = lonely.iter().map(|row| changes.weight(*row as usize)).collect();
        let rows = UInt32Array::from(lonely);
        let all = 0..self.sides[0].input.columns;
        let columns = taken(&self.operator, &changes.rows, all, &rows)?;
        let marks = std::iter::empty();
        let columns = single_columns(self.single, 0, &self.sides, columns, marks, rows.len());
        self.results.emit(&self.operator, columns, weights, out)
    }

    /// Joins rows that can be taken back.
    fn join_changes(&mut self, changes: &Changes, out: &mut dyn Output) -> Result<()> {
        let count = changes.len();
        let keys = self.left_codec.encode(&self.operator, changes.rows.columns(), count)?;
        let (of_left, of_table) = self.pairs(&changes.rows)?;
        let table_rows =
            taken(&self.operator, &self.loaded.rows, 0..self.loaded.rows.num_columns(), &of_table)?;
        let table_rows = self.right_codec.encode(&self.operator, &table_rows, of_table.len())?;
        let mut pair = 0;
        let (mut met_left, mut met_rows): (Vec<u32>, Vec<RowBytes>) = (Vec::new(), Vec::new());
        for row in 0..count {
            let first = pair;
            while pair < of_left.len() && of_left.value(pair) as usize == row {
                pair += 1;
            }
            let now = || (first..pair).map(|at| RowBytes::from(table_rows.row(at))).collect();
            let key = RowBytes::from(keys.row(row));
            let met = self.met.entry(0, key.clone(), || Met { weight: 0, rows: now() });
            met.weight += changes.weight(row);
            met_left.extend(std::iter::repeat_n(row as u32, met.rows.len()));
            met_rows.extend(met.rows.iter().cloned());
            if met.weight == 0 {
                self.met.remove(0, &key);
            }
        }
        let met_left = UInt32Array::from(met_left);
        let right = |from: usize, count: usize| {
            let rows = met_rows[from..from + count].iter().map(RowBytes::as_slice);
            let mut columns = self.right_codec.decode(&self.operator, rows)?;
            columns.truncate(self.sides[1].input.columns);
            Ok(columns)
        };
        self.emit_pairs(changes, &met_left, right, out)?;
        self.emit_lonely(changes, &met_left, out)
    }
}

impl Operator for LookupJoin {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        check_signatures(&self.operator, &self.signature, &state.list)?;
        state.keyed.iter().try_for_each(|chain| self.met.restore(&self.operator, TABLE, chain))
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.key_groups = context.key_groups;
        self.clock = Some(context.clock.clone());
        self.checked = context.clock.now();
        let version = self.spec.table.version()?;
        self.load(version)
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let changes = Changes::of(batch, &self.operator)?;
        self.refresh()?;
        if self.spec.left_retracts {
            return self.join_changes(&changes, out);
        }
        let (of_left, of_table) = self.pairs(&changes.rows)?;
        let all = 0..self.sides[1].input.columns;
        let right = |from: usize, count: usize| {
            taken(&self.operator, &self.loaded.rows, all.clone(), &of_table.slice(from, count))
        };
        self.emit_pairs(&changes, &of_left, right, out)?;
        self.emit_lonely(&changes, &of_left, out)
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        if !self.spec.left_retracts {
            return Ok(Snapshot::Nothing);
        }
        let table = self.met.snapshot(barrier.kind);
        let (operator, key_groups) = (self.operator.clone(), self.key_groups);
        let signature =
            codec::encode(&self.signature).map_err(|error| Error::state(&operator, error))?;
        Ok(Snapshot::Deferred(Box::new(move || {
            Ok(OperatorState {
                keyed: Some(table.encode(&operator, TABLE, key_groups)?),
                list: vec![signature],
                ..OperatorState::default()
            })
        })))
    }
}

#[cfg(test)]
#[path = "lookup_tests.rs"]
mod tests;
