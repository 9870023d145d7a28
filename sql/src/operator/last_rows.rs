//! The last row of each key, of rows that replace each other.

use arrow_array::{Array, ArrayRef, Int64Array};
use arrow_schema::SchemaRef;
use hashbrown::HashMap;
use riverrun_dataflow::{
    Barrier, Batch, Operator, OperatorContext, OperatorState, Output, RestoredState, Result,
    Snapshot, StateTable, Timestamp,
};

use super::expiry::TimeToLive;
use crate::Changes;
use crate::state::{RowBytes, RowCodec};

/// Number of the table of rows in a snapshot.
const TABLE: u8 = 0;

/// What a [`LastRows`] does.
#[derive(Debug, Clone)]
pub struct LastRowSpec {
    /// The rows.
    pub input: SchemaRef,
    /// The columns by which a row replaces the one before.
    pub key: Vec<usize>,
}

/// Makes changes of rows that replace each other: a row of weight +1 takes the place of the row that its key had, one of weight -1 removes that
/// row, whatever its other columns hold. Rows of a key must come in order.
///
/// It keeps the last row of each key, and puts out net changes: a key that comes several times in a batch is changed once.
pub struct LastRows {
    spec: LastRowSpec,
    operator: String,
    keys: RowCodec,
    rows: RowCodec,
    last: StateTable<RowBytes, RowBytes>,
    key_groups: u16,
    time_to_live: TimeToLive,
}

impl LastRows {
    /// The operator of this spec.
    ///
    /// # Errors
    /// [`riverrun_dataflow::Error::Io`] for columns that cannot be kept.
    pub fn new(spec: LastRowSpec) -> Result<Self> {
        let operator = "last rows".to_owned();
        let types = spec.key.iter().map(|at| spec.input.field(*at).data_type().clone());
        let keys = RowCodec::new(&operator, types)?;
        let rows = RowCodec::of_schema(&operator, &spec.input)?;
        let (last, time_to_live) = (StateTable::default(), TimeToLive::default());
        Ok(Self { spec, operator, keys, rows, last, key_groups: 1, time_to_live })
    }

    /// Forgets keys that nothing has touched for so many milliseconds of processing time. What is out of them stays out; when they come again, they
    /// begin anew.
    pub fn with_time_to_live(mut self, ttl: Option<i64>) -> Self {
        self.time_to_live = TimeToLive::new(ttl);
        self
    }
}

impl Operator for LastRows {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        state.keyed.iter().try_for_each(|chain| self.last.restore(&self.operator, TABLE, chain))
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.key_groups = context.key_groups;
        self.time_to_live.open(context, self.last.iter(0).map(|(key, _)| key.as_slice()));
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let changes = Changes::of(batch, &self.operator)?;
        let columns: Vec<ArrayRef> =
            self.spec.key.iter().map(|at| changes.rows.column(*at).clone()).collect();
        let keys = self.keys.encode(&self.operator, &columns, changes.len())?;
        let rows = self.rows.encode(&self.operator, changes.rows.columns(), changes.len())?;
        self.time_to_live.touch(keys.iter());
        // The last change of each key in this batch is the one that counts.
        let mut newest: HashMap<&[u8], usize, foldhash::fast::FixedState> = HashMap::default();
        let mut order = Vec::new();
        for at in 0..changes.len() {
            if newest.insert(keys.row(at), at).is_none() {
                order.push(keys.row(at));
            }
        }
        let (mut emitted, mut weights): (Vec<RowBytes>, Vec<i64>) = (Vec::new(), Vec::new());
        for key in order {
            let at = newest[key];
            let new = (changes.weight(at) > 0).then(|| rows.row(at));
            let old = self.last.get(0, key);
            if old.map(RowBytes::as_slice) == new {
                continue;
            }
            if let Some(old) = old {
                emitted.push(old.clone());
                weights.push(-1);
            }
            match new {
                Some(new) => {
                    emitted.push(new.into());
                    weights.push(1);
                    self.last.put(0, key.into(), new.into());
                }
                None => {
                    self.last.remove(0, &RowBytes::from(key));
                }
            }
        }
        if weights.is_empty() {
            return Ok(());
        }
        let count = emitted.len();
        let rows = self.rows.decode_batch(
            &self.operator,
            &self.spec.input,
            emitted.iter().map(RowBytes::as_slice),
            count,
        )?;
        let weights = Int64Array::from(weights);
        debug_assert_eq!(weights.null_count(), 0);
        out.emit(Changes::weighted(rows, weights).into_batch(&self.operator, None)?)
    }

    fn next_timer(&self) -> Option<Timestamp> {
        self.time_to_live.next()
    }

    fn on_time(&mut self, now: Timestamp, _out: &mut dyn Output) -> Result<()> {
        for key in self.time_to_live.expired(now) {
            self.last.remove(0, &key);
        }
        Ok(())
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let table = self.last.snapshot(barrier.kind);
        let (operator, key_groups) = (self.operator.clone(), self.key_groups);
        Ok(Snapshot::Deferred(Box::new(move || {
            let keyed = Some(table.encode(&operator, TABLE, key_groups)?);
            Ok(OperatorState { keyed, ..OperatorState::default() })
        })))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use arrow_array::RecordBatch;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_schema::{DataType, Field, Schema};
    use proptest::prelude::*;
    use riverrun_dataflow::SnapshotKind;
    use riverrun_dataflow::testing::Harness;

    use super::*;

    fn operator() -> LastRows {
        let field = |name| Field::new(name, DataType::Int64, true);
        let input = Arc::new(Schema::new(vec![field("k"), field("v")]));
        LastRows::new(LastRowSpec { input, key: vec![0] }).unwrap()
    }

    proptest! {
        /// What is put out adds up to the last row of each key, also when state is restored in between.
        #[test]
        fn changes_add_up_to_the_last_rows(
            batches in proptest::collection::vec(
                proptest::collection::vec((0i64..5, 0i64..4, any::<bool>()), 0..8), 1..12),
            restart in 0usize..12,
        ) {
            let mut harness = Harness::open(operator()).unwrap();
            let mut chain = vec![harness.snapshot(SnapshotKind::Full).unwrap().keyed.unwrap()];
            let mut model: BTreeMap<i64, i64> = BTreeMap::new();
            let mut sum: BTreeMap<(i64, i64), i64> = BTreeMap::new();
            for (at, batch) in batches.into_iter().enumerate() {
                if at == restart {
                    chain.push(harness.snapshot(SnapshotKind::Delta).unwrap().keyed.unwrap());
                    let mut restored = operator();
                    let state = RestoredState { keyed: vec![chain.clone()], ..RestoredState::default() };
                    restored.restore(state).unwrap();
                    harness = Harness::open(restored).unwrap();
                }
                let schema = harness.operator.spec.input.clone();
                let rows = RecordBatch::try_new(schema, vec![
                    Arc::new(Int64Array::from_iter_values(batch.iter().map(|row| row.0))),
                    Arc::new(Int64Array::from_iter_values(batch.iter().map(|row| row.1))),
                ]).unwrap();
                let weights = Int64Array::from_iter_values(batch.iter().map(|row| if row.2 { 1 } else { -1 }));
                for (k, v, is_there) in &batch {
                    if *is_there { model.insert(*k, *v); } else { model.remove(k); }
                }
                let input = Changes::weighted(rows, weights).into_batch("test", None).unwrap();
                harness.operator.process(0, input, &mut harness.out).unwrap();
                for batch in harness.out.batches.drain(..) {
                    let changes = Changes::of(batch, "test").unwrap();
                    let column = |at: usize| changes.rows.column(at).as_primitive::<Int64Type>().clone();
                    for row in 0..changes.len() {
                        *sum.entry((column(0).value(row), column(1).value(row))).or_default() += changes.weight(row);
                    }
                }
                sum.retain(|_, weight| *weight != 0);
                let expected: BTreeMap<(i64, i64), i64> = model.iter().map(|(k, v)| ((*k, *v), 1)).collect();
                prop_assert_eq!(&sum, &expected);
            }
        }
    }
}
