use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use riverrun_dataflow::testing::Harness;
use riverrun_dataflow::{
    Batch, KeyedState, NO_TIMESTAMP, Operator, RestoredState, Rows, SnapshotKind, WatermarkFrontier,
};

use super::*;
use crate::test_job::{Boxed, job_of, only_operator, stream_of};
use crate::test_pipeline::Pipeline;

/// Counts rows by key and word; reports each key's words when it has been silent for 10 ms of event time.
#[derive(Clone)]
struct Silence {
    words: MapState<u8, String, u64>,
    deadline: ValueState<u8, i64>,
}

impl Silence {
    fn new() -> Self {
        Self { words: MapState::named("words"), deadline: ValueState::named("deadline") }
    }
}

type Report = (u8, Vec<(String, u64)>);

impl ProcessFunction for Silence {
    type Key = u8;
    type Input = (u8, String);
    type Output = Report;

    fn states(&mut self, states: &mut States<'_, u8>) {
        states.add(&mut self.words);
        states.add(&mut self.deadline);
    }

    fn process(&mut self, (_, word): (u8, String), context: &mut ProcessContext<'_, u8, Report>) {
        let key = context.key();
        if word == "!" {
            let words = self.words.iter(key).map(|(word, n)| (word.clone(), *n)).collect();
            context.emit_side("asked", (*key, words) as Report);
            return;
        }
        *self.words.entry(key, word, || 0) += 1;
        if let Some(old) = self.deadline.get(key).copied() {
            context.delete_timer(TimerKind::EventTime, old);
        }
        let deadline = context.timestamp() + 10;
        context.set_timer(TimerKind::EventTime, deadline);
        self.deadline.set(key, deadline);
    }

    fn on_timer(
        &mut self,
        kind: TimerKind,
        at: Timestamp,
        context: &mut ProcessContext<'_, u8, Report>,
    ) {
        assert_eq!((kind, context.timestamp()), (TimerKind::EventTime, at));
        assert_eq!(self.deadline.clear(context.key()), Some(at));
        let words = self.words.clear(context.key()).into_iter().collect();
        context.emit((*context.key(), words));
    }
}

fn silence() -> DataStream<Report> {
    stream_of::<(u8, String)>().key_by(|row| row.0).process(Silence::new())
}

fn row(key: u8, word: &str, at: i64) -> ((u8, String), i64) {
    ((key, word.to_owned()), at)
}

fn report(key: u8, words: &[(&str, u64)]) -> Report {
    (key, words.iter().map(|(word, n)| ((*word).to_owned(), *n)).collect())
}

#[test]
fn timers_state_and_side_outputs() {
    let mut harness = Harness::open(only_operator(&silence())).unwrap();
    harness.process([row(1, "b", 0), row(1, "a", 5), row(2, "a", 3), row(1, "!", 6)]).unwrap();
    harness.watermark(12).unwrap();
    assert!(harness.out.batches.is_empty());
    let (tag, batch) = harness.out.side.remove(0);
    let asked = batch.as_rows::<Report>().unwrap();
    assert_eq!((tag.as_str(), &asked.values[0]), ("asked", &report(1, &[("a", 1), ("b", 1)])));
    assert_eq!(asked.timestamps, [6]);
    harness.watermark(13).unwrap();
    assert_eq!(harness.out.take_rows::<Report>(), [(report(2, &[("a", 1)]), 13)]);
    harness.process([row(1, "a", 14)]).unwrap();
    harness.end().unwrap();
    assert_eq!(harness.out.take_rows::<Report>(), [(report(1, &[("a", 2), ("b", 1)]), 24)]);
    assert_eq!(harness.out.watermarks, [12, 13, i64::MAX]);
    let state = harness.snapshot(SnapshotKind::Full).unwrap();
    assert_eq!(state.keyed.unwrap().size_bytes(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// State and timers come through any chain of snapshots into any parallelism.
    #[test]
    fn restarts_do_not_show(seed: u64) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let job = job_of(&silence());
        let mut reference = Harness::open(only_operator(&silence())).unwrap();
        let mut pipeline = Pipeline::new(&job, 1, 2, seed, None);
        let (mut frontier, mut time) = (WatermarkFrontier::default(), 0);
        let mut reports = Vec::new();
        for _ in 0..rng.random_range(10..80) {
            let rows: Vec<_> = (0..rng.random_range(0..4))
                .map(|_| row(rng.random_range(0..5), ["a", "b", "c"][rng.random_range(0..3)], time + rng.random_range(0..5)))
                .collect();
            let (values, timestamps) = rows.iter().cloned().unzip();
            pipeline.send(0, Batch::rows(Rows::<(u8, String)> { values, timestamps }, None));
            reference.process(rows).unwrap();
            time += rng.random_range(0..8);
            if let Some(watermark) = frontier.advance_to(time) {
                pipeline.watermark(0, watermark);
                reference.watermark(time).unwrap();
            }
            pipeline.drain();
            if rng.random_range(0..5) == 0 {
                pipeline.snapshot(SnapshotKind::Full);
                for _ in 0..rng.random_range(0..3) {
                    let rows = vec![row(rng.random_range(0..5), "d", time), row(rng.random_range(0..5), "e", time)];
                    reference.process(rows.clone()).unwrap();
                    let (values, timestamps) = rows.into_iter().unzip();
                    pipeline.send(0, Batch::rows(Rows::<(u8, String)> { values, timestamps }, None));
                    pipeline.snapshot(SnapshotKind::Delta);
                }
                reports.extend(pipeline.take_output());
                let saved = pipeline.saved();
                pipeline = Pipeline::new(&job, 1, rng.random_range(1..=4), rng.random(), Some(&saved));
            }
        }
        pipeline.end();
        reference.end().unwrap();
        reports.extend(pipeline.take_output());
        let mut reports: Vec<_> = reports.into_iter().flat_map(|mut out| out.take_rows::<Report>()).collect();
        let mut expected = reference.out.take_rows::<Report>();
        reports.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(reports, expected);
    }
}

/// Wakes every 10 ms of the machine's clock, and every 10 ms of event time, for ever.
#[derive(Clone)]
struct Clockwork;

impl ProcessFunction for Clockwork {
    type Key = u8;
    type Input = u8;
    type Output = (bool, i64);

    fn process(&mut self, _: u8, context: &mut ProcessContext<'_, u8, (bool, i64)>) {
        context.set_timer(TimerKind::ProcessingTime, context.now() + 10);
        context.set_timer(TimerKind::EventTime, context.timestamp() + 10);
    }

    fn on_timer(
        &mut self,
        kind: TimerKind,
        at: Timestamp,
        context: &mut ProcessContext<'_, u8, (bool, i64)>,
    ) {
        context.emit((kind == TimerKind::EventTime, at));
        context.set_timer(kind, at + 10);
    }
}

fn clockwork() -> Harness<Boxed> {
    let stream = stream_of::<u8>().key_by(|row| *row).process(Clockwork);
    Harness::open(only_operator(&stream)).unwrap()
}

#[test]
fn processing_time_timers_fire_when_due() {
    let mut harness = clockwork();
    harness.time(1000).unwrap();
    harness.process([(1u8, 0), (1, 0)]).unwrap();
    assert_eq!(harness.operator.next_timer(), Some(1010));
    harness.time(1009).unwrap();
    assert!(harness.out.batches.is_empty());
    harness.time(1030).unwrap();
    let fired: Vec<_> =
        harness.out.take_rows::<(bool, i64)>().into_iter().map(|(row, _)| row).collect();
    assert_eq!(fired, [(false, 1010), (false, 1020), (false, 1030)]);
}

#[test]
fn a_timer_that_sets_itself_anew_does_not_hold_up_the_end() {
    let mut harness = clockwork();
    harness.process([(1u8, 0), (2, 5)]).unwrap();
    harness.end().unwrap();
    let fired: Vec<i64> =
        harness.out.take_rows::<(bool, i64)>().into_iter().map(|(_, at)| at).collect();
    assert_eq!(fired, [10, 15]);
}

#[derive(Clone)]
struct TwoStates(ValueState<u8, u64>, ValueState<u8, u64>, bool);

impl ProcessFunction for TwoStates {
    type Key = u8;
    type Input = u8;
    type Output = u64;

    fn states(&mut self, states: &mut States<'_, u8>) {
        states.add(&mut self.0);
        if self.2 {
            states.add(&mut self.1);
        }
    }

    fn process(&mut self, _: u8, context: &mut ProcessContext<'_, u8, u64>) {
        *self.0.entry(context.key(), || 0) += 1;
        context.emit(self.0.get(context.key()).copied().unwrap_or(0));
        if self.1.get(context.key()).is_some() {
            context.emit(1000);
        }
    }
}

fn two_states(first: &'static str, second: &'static str, both: bool) -> Boxed {
    let function = TwoStates(ValueState::named(first), ValueState::named(second), both);
    only_operator(&stream_of::<u8>().key_by(|row| *row).process(function))
}

fn restored(from: &mut Harness<Boxed>) -> RestoredState {
    let state = from.snapshot(SnapshotKind::Full).unwrap();
    let keyed: Vec<KeyedState> = state.keyed.into_iter().collect();
    RestoredState { checkpoint: 1, keyed: vec![keyed], list: state.list, ..Default::default() }
}

/// States are found by name, whatever their order is in the program.
#[test]
fn states_are_found_by_name() {
    let mut before = Harness::open(two_states("a", "b", true)).unwrap();
    before.process([(7u8, NO_TIMESTAMP); 3]).unwrap();
    let mut swapped = two_states("b", "a", true);
    swapped.restore(restored(&mut before)).unwrap();
    let mut swapped = Harness::open(swapped).unwrap();
    swapped.process([(7u8, NO_TIMESTAMP)]).unwrap();
    let rows: Vec<u64> = swapped.out.take_rows::<u64>().into_iter().map(|(row, _)| row).collect();
    assert_eq!(rows, [1, 1000]);

    let error = two_states("a", "c", true).restore(restored(&mut before)).unwrap_err();
    assert!(error.to_string().contains("state `b`"), "{error}");
    let error = Harness::open(two_states("a", "a", true)).err().unwrap();
    assert!(error.to_string().contains("two states are named `a`"), "{error}");
}

#[test]
#[should_panic(expected = "state `b` is not registered")]
fn a_state_that_is_not_registered_cannot_be_used() {
    let mut harness = Harness::open(two_states("a", "b", false)).unwrap();
    harness.process([(7u8, NO_TIMESTAMP)]).unwrap();
}
