//! A key that is forgotten and comes again is, for an operator, another key.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, SortOptions, TimeUnit};
use proptest::prelude::*;
use riverrun_dataflow::testing::Harness;
use riverrun_dataflow::{KeyedState, Operator, RestoredState, SnapshotKind};

use crate::Changes;
use crate::operator::last_rows::{LastRowSpec, LastRows};
use crate::operator::over::{Over, OverSpec, TimedOver};
use crate::operator::rank::{Rank, RankFunction, RankSpec};
use crate::operator::testing::{Table, accumulate};

const TTL: i64 = 8;

/// Keys of different lives are so far apart.
const LIVES: i64 = 100;

fn schema() -> SchemaRef {
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    let number = |name| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![number("p"), Field::new("ts", time, true), number("v")]))
}

fn rank(retracts: bool) -> RankSpec {
    RankSpec {
        input: schema(),
        partition: vec![0],
        order: vec![(2, SortOptions::default())],
        function: RankFunction::RowNumber,
        from: 1,
        to: 2,
        retracts,
        columns: vec![0, 1, 2],
        numbered: false,
        output: schema(),
    }
}

fn over(functions: &str) -> OverSpec {
    let rows = RecordBatch::new_empty(schema());
    let functions = functions.replace("(w)", "(PARTITION BY p ORDER BY ts)");
    let sql = format!("SELECT p, ts, v, {functions} FROM t");
    crate::operator::over::testing::spec(&sql, &rows)
}

/// An operator with all that came out of it, its keys without the number of their life.
struct Run<'m, O> {
    make: &'m dyn Fn(Option<i64>) -> O,
    ttl: Option<i64>,
    harness: Harness<O>,
    chain: Vec<KeyedState>,
    result: Table,
}

impl<'m, O: Operator> Run<'m, O> {
    fn new(make: &'m dyn Fn(Option<i64>) -> O, ttl: Option<i64>) -> Self {
        let mut harness = Harness::open(make(ttl)).unwrap();
        let chain = vec![harness.snapshot(SnapshotKind::Full).unwrap().keyed.unwrap()];
        Self { make, ttl, harness, chain, result: Table::new() }
    }

    fn restart(&mut self, now: i64) {
        let state = self.harness.snapshot(SnapshotKind::Delta).unwrap();
        self.chain.extend(state.keyed);
        let mut restored = (self.make)(self.ttl);
        let keyed = vec![self.chain.clone()];
        let state = RestoredState { keyed, list: state.list, ..RestoredState::default() };
        restored.restore(state).unwrap();
        self.collect();
        self.harness = Harness::open_at(restored, now).unwrap();
    }

    fn process(&mut self, key: i64, time: i64, value: i64) {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![key])),
            Arc::new(TimestampMillisecondArray::from(vec![time])),
            Arc::new(Int64Array::from(vec![value])),
        ];
        let rows = RecordBatch::try_new(schema(), columns).unwrap();
        let batch = Changes::inserts(rows).into_batch("test", None).unwrap();
        self.harness.operator.process(0, batch, &mut self.harness.out).unwrap();
        self.harness.watermark(time).unwrap();
        self.collect();
    }

    fn collect(&mut self) {
        for batch in self.harness.out.batches.drain(..) {
            let changes = Changes::of(batch, "test").unwrap();
            let keys = changes.rows.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
            let mut columns = changes.rows.columns().to_vec();
            columns[0] =
                Arc::new(keys.unary::<_, arrow_array::types::Int64Type>(|key| key % LIVES));
            let rows = RecordBatch::try_new(changes.rows.schema(), columns).unwrap();
            accumulate(&mut self.result, &Changes { rows, weights: changes.weights });
        }
    }
}

/// (key, value, by how much the clock goes on)
type Step = (i64, i64, i64);

fn check<O: Operator>(
    make: &dyn Fn(Option<i64>) -> O,
    steps: &[Step],
    restart: usize,
) -> Result<(), TestCaseError> {
    let (mut forgetful, mut model) = (Run::new(make, Some(TTL)), Run::new(make, None));
    // By key: which life it is, and when it was last touched.
    let mut lives: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    let mut now = 0;
    for (at, (key, value, step)) in steps.iter().enumerate() {
        now += step;
        forgetful.harness.time(now).unwrap();
        if at == restart {
            // What is there then is touched.
            forgetful.restart(now);
            lives.values_mut().filter(|life| now - life.1 < TTL).for_each(|life| life.1 = now);
        }
        let life = lives.entry(*key).or_insert((0, now));
        if now - life.1 >= TTL {
            life.0 += 1;
        }
        life.1 = now;
        // Times are different, so that there is one order.
        let time = at as i64;
        forgetful.process(*key, time, *value);
        model.process(key + LIVES * life.0, time, *value);
        prop_assert_eq!(&forgetful.result, &model.result);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_key_that_was_not_touched_for_long_begins_anew(
        steps in proptest::collection::vec((0i64..3, 0i64..5, 0i64..6), 1..50),
        restart in 0usize..50,
    ) {
        for retracts in [false, true] {
            let make = |ttl| Rank::new(rank(retracts)).unwrap().with_time_to_live(ttl);
            check(&make, &steps, restart)?;
        }
        let spec = LastRowSpec { input: schema(), key: vec![0] };
        let make = |ttl| LastRows::new(spec.clone()).unwrap().with_time_to_live(ttl);
        check(&make, &steps, restart)?;
        let spec = over("sum(v) OVER (w), ntile(2) OVER (w)");
        let make = |ttl| Over::new(spec.clone()).unwrap().with_time_to_live(ttl);
        check(&make, &steps, restart)?;
        let spec = over("sum(v) OVER (w), lag(v) OVER (w), row_number() OVER (w)");
        let make = |ttl| TimedOver::new(spec.clone()).unwrap().with_time_to_live(ttl);
        check(&make, &steps, restart)?;
    }
}
