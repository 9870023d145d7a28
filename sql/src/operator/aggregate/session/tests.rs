use arrow_array::Int64Array;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_schema::{Field, Schema, SchemaRef, TimeUnit};
use proptest::prelude::*;
use riverrun_dataflow::SnapshotKind;
use riverrun_dataflow::testing::Harness;

use super::*;
use crate::aggregate::{Count, StreamAggregate, Sum};
use crate::operator::aggregate::{Call, Combine, Over};

const GAP: i64 = 10;

/// (key, time, value)
type Row = (i64, i64, i64);
/// (key, start, end, number of rows, sum of values)
type Result5 = (i64, i64, i64, i64, i64);

fn time() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

fn schema() -> SchemaRef {
    let number = |name| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![number("k"), Field::new("ts", time(), true), number("v")]))
}

fn assigner() -> SessionAssignerSpec {
    SessionAssignerSpec { keys: vec![0], time: 1, gap: GAP, input: schema() }
}

fn aggregate() -> Arc<AggregateSpec> {
    let call = |function: Arc<dyn StreamAggregate>, args| Call {
        function,
        args,
        filter: None,
        over: Over::Rows,
    };
    let number = |name| Field::new(name, DataType::Int64, true);
    let bound = |name| Field::new(name, time(), true);
    let output = vec![number("k"), bound("start"), bound("end"), number("n"), number("sum")];
    Arc::new(AggregateSpec {
        input: assigner().output(),
        keys: vec![0, 3, 4],
        calls: vec![
            call(Arc::new(Count), vec![]),
            call(Arc::new(Sum::of(&DataType::Int64).unwrap()), vec![2]),
        ],
        sets: vec![],
        retracts: false,
        timely: true,
        always: vec![],
        output: Arc::new(Schema::new(output)),
        columns: vec![
            OutputColumn::Key(0),
            OutputColumn::WindowStart,
            OutputColumn::WindowEnd,
            OutputColumn::Call(0),
            OutputColumn::Call(1),
        ],
    })
}

/// The three operators one behind the other.
struct Chain {
    assigner: Harness<SessionAssigner>,
    combine: Harness<Combine>,
    sessions: Harness<SessionAggregate>,
    event_time: bool,
    updates: Updates,
    chain: Vec<riverrun_dataflow::KeyedState>,
    result: BTreeMap<Result5, i64>,
}

impl Chain {
    fn new(event_time: bool, updates: Updates) -> Self {
        let sessions = Self::sessions(event_time, updates);
        let mut sessions = Harness::open(sessions).unwrap();
        let chain = vec![sessions.snapshot(SnapshotKind::Full).unwrap().keyed.unwrap()];
        Self {
            assigner: Harness::open(SessionAssigner::new(assigner())).unwrap(),
            combine: Harness::open(Combine::new(aggregate())).unwrap(),
            sessions,
            event_time,
            updates,
            chain,
            result: BTreeMap::new(),
        }
    }

    fn sessions(event_time: bool, updates: Updates) -> SessionAggregate {
        SessionAggregate::new(SessionSpec { aggregate: aggregate(), gap: GAP, event_time, updates })
    }

    fn process(&mut self, rows: &[Row]) {
        let column = |of: fn(&Row) -> i64| rows.iter().map(of).collect::<Vec<i64>>();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(column(|row| row.0))),
            Arc::new(TimestampMillisecondArray::from(column(|row| row.1))),
            Arc::new(Int64Array::from(column(|row| row.2))),
        ];
        let batch = RecordBatch::try_new(schema(), columns).unwrap();
        let batch = Changes::inserts(batch).into_batch("test", None).unwrap();
        let Self { assigner, combine, sessions, .. } = self;
        assigner.operator.process(0, batch, &mut assigner.out).unwrap();
        for batch in assigner.out.batches.drain(..) {
            combine.operator.process(0, batch, &mut combine.out).unwrap();
        }
        for batch in combine.out.batches.drain(..) {
            sessions.operator.process(0, batch, &mut sessions.out).unwrap();
        }
        self.collect();
    }

    fn restart(&mut self) {
        let state = self.sessions.snapshot(SnapshotKind::Delta).unwrap();
        self.chain.extend(state.keyed);
        let mut operator = Self::sessions(self.event_time, self.updates);
        let keyed = vec![self.chain.clone()];
        let restored = RestoredState { keyed, list: state.list, ..RestoredState::default() };
        operator.restore(restored).unwrap();
        let now = self.sessions.clock.now();
        self.sessions = Harness::open(operator).unwrap();
        self.sessions.clock.set(now);
    }

    fn watermark(&mut self, to: i64) {
        self.sessions.watermark(to).unwrap();
        self.collect();
    }

    fn time(&mut self, now: i64) {
        self.sessions.time(now).unwrap();
        self.collect();
    }

    fn collect(&mut self) {
        for batch in self.sessions.out.batches.drain(..) {
            let changes = Changes::of(batch, "test").unwrap();
            let number = |at: usize| changes.rows.column(at).as_primitive::<Int64Type>();
            let time =
                |at: usize| changes.rows.column(at).as_primitive::<TimestampMillisecondType>();
            for row in 0..changes.len() {
                let key = (
                    number(0).value(row),
                    time(1).value(row),
                    time(2).value(row),
                    number(3).value(row),
                    number(4).value(row),
                );
                let weight = self.result.entry(key).or_default();
                *weight += changes.weight(row);
                if *weight == 0 {
                    self.result.remove(&key);
                }
            }
        }
    }

    fn rows(&self) -> Vec<Result5> {
        assert!(self.result.values().all(|weight| *weight == 1), "{:?}", self.result);
        self.result.keys().copied().collect()
    }
}

/// Sessions as rows make them one by one.
#[derive(Default)]
struct Model {
    sessions: Vec<Result5>,
    gone: Vec<Result5>,
    late: u64,
}

impl Model {
    /// Rows of a batch: those that are near each other hold on to each other before it is asked what is late.
    fn process(&mut self, rows: &[Row], gone: i64) {
        let mut batch: Vec<Result5> = Vec::new();
        for (key, time, value) in rows {
            let with = (*key, *time, time + GAP, 1, *value);
            let with = Self::joined(&mut batch, with);
            batch.push(with);
        }
        for session in batch {
            let with = Self::joined(&mut self.sessions, session);
            match with.2 <= gone {
                true => self.late += with.3 as u64,
                false => self.sessions.push(with),
            }
        }
    }

    fn joined(sessions: &mut Vec<Result5>, mut with: Result5) -> Result5 {
        while let Some(at) =
            sessions.iter().position(|of| of.0 == with.0 && of.1 <= with.2 && with.1 <= of.2)
        {
            let of = sessions.remove(at);
            with = (with.0, with.1.min(of.1), with.2.max(of.2), with.3 + of.3, with.4 + of.4);
        }
        with
    }

    fn forget(&mut self, gone: i64) {
        self.gone.extend(self.sessions.extract_if(.., |session| session.2 <= gone));
    }

    fn all(&self, until: i64) -> Vec<Result5> {
        let open = self.sessions.iter().filter(|session| session.2 <= until);
        let mut all: Vec<Result5> = self.gone.iter().chain(open).copied().collect();
        all.sort_unstable();
        all
    }
}

/// Rows as (key, how far behind, value), and by how much time goes on.
type Step = (Vec<Row>, i64);

fn rows() -> impl Strategy<Value = Vec<Step>> {
    let row = (0i64..3, 0i64..30, -3i64..9);
    proptest::collection::vec((proptest::collection::vec(row, 0..5), 0i64..14), 1..30)
}

proptest! {
    /// Without updates each session comes out once, when it is over, and rows that come behind it are counted.
    #[test]
    fn sessions_come_out_once(batches in rows(), restart in 0usize..30) {
        let (mut chain, mut model) = (Chain::new(true, Updates::default()), Model::default());
        let (mut now, mut reached) = (0, i64::MIN);
        for (at, (batch, step)) in batches.into_iter().enumerate() {
            if at == restart {
                chain.restart();
            }
            now += step;
            let batch: Vec<Row> = batch.into_iter().map(|(k, back, v)| (k, now - back, v)).collect();
            chain.process(&batch);
            model.process(&batch, reached);
            reached = reached.max(now - 12);
            chain.watermark(reached);
            model.forget(reached);
            prop_assert_eq!(chain.rows(), model.all(i64::MIN));
        }
        chain.watermark(i64::MAX);
        prop_assert_eq!(chain.rows(), model.all(i64::MAX));
    }

    /// With early results and late rows, what is out is what the sessions are, open ones too; those that grow together are taken back.
    #[test]
    fn results_are_updated(
        batches in rows(), restart in 0usize..30, lateness in 0i64..25, early in any::<bool>(), late in proptest::option::of(1i64..30),
    ) {
        let late = late.filter(|_| lateness > 0);
        let updates = Updates { early: early.then_some(0), lateness, late };
        prop_assume!(updates.any());
        let (mut chain, mut model) = (Chain::new(true, updates), Model::default());
        let (mut now, mut reached) = (0, i64::MIN);
        for (at, (batch, step)) in batches.into_iter().enumerate() {
            if at == restart {
                chain.restart();
                chain.watermark(reached);
            }
            now += step;
            let batch: Vec<Row> = batch.into_iter().map(|(k, back, v)| (k, now - back, v)).collect();
            chain.process(&batch);
            model.process(&batch, reached.saturating_sub(lateness));
            chain.time(now);
            if early && late.is_none() {
                prop_assert_eq!(chain.rows(), model.all(i64::MAX));
            }
            reached = reached.max(now - 12);
            chain.watermark(reached);
            model.forget(reached.saturating_sub(lateness));
        }
        chain.watermark(i64::MAX);
        prop_assert_eq!(chain.rows(), model.all(i64::MAX));
    }

    /// By processing time no row is lost: one that comes when its session is over is of the present.
    #[test]
    fn by_the_clock_nothing_is_late(batches in rows(), restart in 0usize..30, delay in 0i64..30) {
        let mut chain = Chain::new(false, Updates::default());
        let (mut now, mut all) = (0, Vec::new());
        for (at, (batch, step)) in batches.into_iter().enumerate() {
            if at == restart {
                chain.restart();
            }
            now += step;
            chain.time(now);
            let batch: Vec<Row> =
                batch.into_iter().map(|(k, back, v)| (k, now - back.min(delay), v)).collect();
            chain.process(&batch);
            all.extend(batch);
            prop_assert!(chain.rows().iter().all(|session| session.2 < now));
        }
        if delay == 0 {
            let mut model = Model::default();
            model.process(&all, i64::MIN);
            chain.watermark(i64::MAX);
            prop_assert_eq!(chain.rows(), model.all(i64::MAX));
        } else {
            chain.time(i64::MAX);
            let sum = chain.rows().iter().fold((0, 0), |sum, of| (sum.0 + of.3, sum.1 + of.4));
            prop_assert_eq!(sum, (all.len() as i64, all.iter().map(|row| row.2).sum()));
        }
    }
}

#[test]
fn a_session_that_goes_on_and_on_is_looked_at_now_and_then() {
    let updates = Updates { lateness: 25, ..Updates::default() };
    for updates in [Updates::default(), updates] {
        let mut chain = Chain::new(true, updates);
        for at in 0..1000 {
            chain.process(&[(1, at, 1)]);
            chain.watermark(at - 5);
            let arranged: usize =
                chain.sessions.operator.due.values().map(std::collections::BTreeSet::len).sum();
            assert!(arranged <= 2, "{arranged} looks at one key");
        }
        chain.watermark(2000);
        assert_eq!(chain.rows(), [(1, 0, 999 + GAP, 1000, 1000)]);
    }
}
