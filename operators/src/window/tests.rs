use std::time::Duration;

use riverrun_dataflow::EdgeKind;
use riverrun_dataflow::testing::Harness;

use super::*;
use crate::prelude::*;
use crate::test_job::{Boxed, job_of, operators, stream_of};

fn counted(windows: impl Into<Windows>) -> DataStream<WindowResult<String, u64>> {
    stream_of::<String>().key_by(|word| word.clone()).window(windows).count()
}

/// Combiner and window, the output of the one fed to the other after every step.
pub(super) struct Pair {
    combine: Harness<Boxed>,
    window: Harness<Boxed>,
}

impl Pair {
    fn of<T>(stream: &DataStream<T>) -> Self {
        let mut operators = operators(stream).into_iter();
        let mut next = || Harness::open(operators.next().unwrap()).unwrap();
        Self { combine: next(), window: next() }
    }

    fn pass_on(&mut self) {
        use riverrun_dataflow::Operator;
        for batch in std::mem::take(&mut self.combine.out.batches) {
            self.window.operator.process(0, batch, &mut self.window.out).unwrap();
        }
        for watermark in std::mem::take(&mut self.combine.out.watermarks) {
            self.window.watermark(watermark).unwrap();
        }
    }

    fn rows<T: Record>(&mut self, rows: impl IntoIterator<Item = (T, i64)>) {
        self.combine.process(rows).unwrap();
        self.pass_on();
    }

    fn watermark(&mut self, timestamp: i64) {
        self.combine.watermark(timestamp).unwrap();
        self.pass_on();
    }

    fn results<K: Record + Ord, R: Record + Ord>(&mut self) -> Vec<(i64, i64, K, R)> {
        let rows = self.window.out.take_rows::<WindowResult<K, R>>();
        let mut rows: Vec<_> = rows
            .into_iter()
            .map(|(row, timestamp)| {
                assert_eq!(timestamp, row.window.end - 1);
                (row.window.start, row.window.end, row.key, row.value)
            })
            .collect();
        rows.sort_unstable();
        rows
    }
}

fn word(text: &str, timestamp: i64) -> (String, i64) {
    (text.to_owned(), timestamp)
}

#[test]
fn rows_are_combined_before_the_hash_edge() {
    let stream = counted(TumblingWindows::of(Duration::from_millis(10)));
    let graph = job_of(&stream).graph;
    let names: Vec<&str> = graph.vertices.iter().map(|vertex| vertex.name.as_str()).collect();
    assert_eq!(names, ["test source -> combine", "window"]);
    assert_eq!(graph.edges[0].kind, EdgeKind::Hash);
    assert_eq!(graph.vertices[1].operators[0].description, "tumbling 10ms, count");
}

#[test]
fn counts_per_key_and_window() {
    let mut pair = Pair::of(&counted(TumblingWindows::of(Duration::from_millis(10))));
    pair.rows([word("a", 1), word("b", 2), word("a", 11), word("a", 9)]);
    pair.watermark(8);
    assert!(pair.results::<String, u64>().is_empty());
    pair.watermark(9);
    assert_eq!(pair.results(), [(0, 10, "a".to_owned(), 2u64), (0, 10, "b".to_owned(), 1)]);
    pair.rows([word("a", 12), word("c", 25)]);
    pair.watermark(i64::MAX);
    assert_eq!(pair.results(), [(10, 20, "a".to_owned(), 2u64), (20, 30, "c".to_owned(), 1)]);
    assert_eq!(pair.window.out.watermarks, [8, 9, i64::MAX]);
}

#[test]
fn sliding_windows_share_panes() {
    let windows = SlidingWindows::of(Duration::from_millis(10), Duration::from_millis(4));
    let mut pair = Pair::of(&counted(windows));
    pair.rows([word("a", 0), word("a", 5), word("a", 9)]);
    pair.watermark(i64::MAX);
    let a = || "a".to_owned();
    assert_eq!(
        pair.results(),
        [(-8, 2, a(), 1u64), (-4, 6, a(), 2), (0, 10, a(), 3), (4, 14, a(), 2), (8, 18, a(), 1)]
    );
}

#[test]
fn late_rows_are_counted_with_a_combiner_in_front() {
    let mut pair = Pair::of(&counted(TumblingWindows::of(Duration::from_millis(10))));
    pair.rows([word("a", 15)]);
    pair.watermark(9);
    pair.rows([word("a", 3), word("a", 4), word("b", 5), word("a", 16)]);
    pair.watermark(19);
    assert_eq!(pair.results(), [(10, 20, "a".to_owned(), 2u64)]);
    let late = &pair.window.metrics.late_records;
    assert_eq!(riverrun_dataflow::OperatorMetrics::read(late), 3);
}

#[test]
fn late_rows_go_whole_to_their_output() {
    let stream = stream_of::<String>()
        .key_by(|word| word.clone())
        .window(TumblingWindows::of(Duration::from_millis(10)))
        .late_output("late")
        .count();
    let mut window = Harness::open(operators(&stream).remove(0)).unwrap();
    window.watermark(9).unwrap();
    window.process([word("a", 3), word("b", 12), word("c", 9)]).unwrap();
    window.watermark(19).unwrap();
    assert_eq!(window.out.take_rows::<WindowResult<String, u64>>().len(), 1);
    let (tag, batch) = window.out.side.remove(0);
    let late = batch.as_rows::<String>().unwrap();
    assert_eq!(
        (tag.as_str(), late.values.as_slice()),
        ("late", ["a", "c"].map(str::to_owned).as_slice())
    );
    assert_eq!(late.timestamps, [3, 9]);
    assert_eq!(riverrun_dataflow::OperatorMetrics::read(&window.metrics.late_records), 2);
}

#[test]
fn allowed_lateness_fires_again_once_a_batch() {
    let stream = stream_of::<String>()
        .key_by(|word| word.clone())
        .window(TumblingWindows::of(Duration::from_millis(10)))
        .allowed_lateness(Duration::from_millis(10))
        .late_output("late")
        .count();
    let mut window = Harness::open(operators(&stream).remove(0)).unwrap();
    let counts = |window: &mut Harness<Boxed>| -> Vec<(i64, u64)> {
        let rows = window.out.take_rows::<WindowResult<String, u64>>();
        rows.iter().map(|(row, _)| (row.window.start, row.value)).collect()
    };
    window.process([word("a", 3)]).unwrap();
    window.watermark(9).unwrap();
    assert_eq!(counts(&mut window), [(0, 1)]);
    window.process([word("a", 4), word("a", 5)]).unwrap();
    assert_eq!(counts(&mut window), [(0, 3)]);
    window.watermark(18).unwrap();
    window.process([word("a", 4)]).unwrap();
    assert_eq!(counts(&mut window), [(0, 4)]);
    window.watermark(19).unwrap();
    window.process([word("a", 4)]).unwrap();
    assert!(counts(&mut window).is_empty());
    assert_eq!(window.out.side.len(), 1);
}

/// Restores the state of `from` into a new operator of the same stream.
fn restarted<T>(stream: &DataStream<T>, from: &mut Harness<Boxed>) -> Harness<Boxed> {
    use riverrun_dataflow::{Operator, RestoredState, SnapshotKind};
    let state = from.snapshot(SnapshotKind::Full).unwrap();
    let mut operator = operators(stream).pop().unwrap();
    let restored = RestoredState {
        checkpoint: 1,
        keyed: vec![state.keyed.into_iter().collect()],
        list: state.list,
        ..RestoredState::default()
    };
    operator.restore(restored).unwrap();
    Harness::open(operator).unwrap()
}

fn late_output_of(
    windows: impl Into<Windows>,
    lateness: u64,
) -> DataStream<WindowResult<String, u64>> {
    stream_of::<String>()
        .key_by(|word| word.clone())
        .window(windows)
        .allowed_lateness(Duration::from_millis(lateness))
        .late_output("late")
        .count()
}

/// A bounded run ends all windows; a later run on its state goes on with newer rows, and gives no window a second
/// result.
#[test]
fn a_finished_run_can_be_continued() {
    let ms = Duration::from_millis;
    let kinds: [Windows; 3] = [
        TumblingWindows::of(ms(10)).into(),
        SlidingWindows::of(ms(10), ms(5)).into(),
        SessionWindows::with_gap(ms(10)).into(),
    ];
    for windows in kinds {
        let stream = late_output_of(windows, 0);
        let mut first = Harness::open(operators(&stream).remove(0)).unwrap();
        first.process([word("a", 1), word("a", 4)]).unwrap();
        first.end().unwrap();
        let mut fired = first.out.take_rows::<WindowResult<String, u64>>();
        assert!(!fired.is_empty(), "{windows}");
        let last_end = fired.iter().map(|(row, _)| row.window.end).max().unwrap();

        let mut second = restarted(&stream, &mut first);
        second.process([word("a", 2), word("a", last_end), word("a", 1_000_000)]).unwrap();
        second.end().unwrap();
        fired.extend(second.out.take_rows::<WindowResult<String, u64>>());
        let mut windows_fired: Vec<Window> = fired.iter().map(|(row, _)| row.window).collect();
        let count = windows_fired.len();
        windows_fired.sort_unstable();
        windows_fired.dedup();
        assert_eq!(windows_fired.len(), count, "{windows}");
        assert_eq!(second.out.side.len(), 1, "{windows}");
        assert!(
            fired
                .iter()
                .any(|(row, _)| row.window.start <= 1_000_000 && row.window.end > 1_000_000)
        );
    }
}

/// With allowed lateness a later run updates what the finished one had put out.
#[test]
fn a_finished_run_keeps_what_may_still_change() {
    let stream = late_output_of(TumblingWindows::of(Duration::from_millis(10)), 15);
    let mut first = Harness::open(operators(&stream).remove(0)).unwrap();
    first.process([word("a", 1), word("a", 12)]).unwrap();
    first.end().unwrap();
    first.out.batches.clear();
    let mut second = restarted(&stream, &mut first);
    second.process([word("a", 2), word("a", 13)]).unwrap();
    let rows = second.out.take_rows::<WindowResult<String, u64>>();
    let counts: Vec<(i64, u64)> =
        rows.iter().map(|(row, _)| (row.window.start, row.value)).collect();
    assert_eq!(counts, [(0, 2), (10, 2)]);
}

#[test]
fn state_of_other_windows_is_refused() {
    use riverrun_dataflow::{Operator, RestoredState, SnapshotKind};
    let five = late_output_of(TumblingWindows::of(Duration::from_secs(5)), 0);
    let ten = late_output_of(TumblingWindows::of(Duration::from_secs(10)), 0);
    let state =
        Harness::open(operators(&five).remove(0)).unwrap().snapshot(SnapshotKind::Full).unwrap();
    let restored = RestoredState { list: state.list, ..RestoredState::default() };
    let error = operators(&ten).remove(0).restore(restored).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`tumbling 5s, count`") && text.contains("`tumbling 10s, count`"),
        "{text}"
    );
    assert!(error.is_fatal());
}

#[test]
fn windows_that_cannot_be_stop_the_job_at_once() {
    let stream = counted(TumblingWindows::of(Duration::ZERO));
    let error =
        operators(&stream).into_iter().map(|o| Harness::open(o).err()).next_back().flatten();
    assert!(error.is_some_and(|error| error.is_fatal()));
}

/// Windows by the machine's clock: of the time at which rows reach the window, fired by timers.
#[test]
fn processing_time() {
    let ms = Duration::from_millis;
    let mut pair = Pair::of(&counted(TumblingWindows::of(ms(10)).processing_time()));
    use riverrun_dataflow::Operator;
    pair.window.time(1005).unwrap();
    // Whatever their timestamps are, or if there are none.
    pair.rows([word("a", 3), word("b", riverrun_dataflow::NO_TIMESTAMP)]);
    assert_eq!(pair.window.operator.next_timer(), Some(1010));
    pair.window.time(1009).unwrap();
    pair.rows([word("a", 3)]);
    assert!(pair.results::<String, u64>().is_empty());
    pair.watermark(5_000_000);
    pair.window.time(1010).unwrap();
    assert_eq!(
        pair.results(),
        [(1000, 1010, "a".to_owned(), 2u64), (1000, 1010, "b".to_owned(), 1)]
    );
    assert_eq!(pair.window.operator.next_timer(), None);
    // The clock steps back: a window that has fired gets no second result.
    pair.window.time(1003).unwrap();
    pair.rows([word("a", 3)]);
    pair.watermark(i64::MAX);
    assert_eq!(pair.results(), [(1010, 1020, "a".to_owned(), 1u64)]);
}

#[test]
fn sliding_and_session_windows_in_processing_time() {
    let ms = Duration::from_millis;
    use riverrun_dataflow::Operator;
    let mut pair = Pair::of(&counted(SlidingWindows::of(ms(10), ms(5)).processing_time()));
    pair.window.time(1003).unwrap();
    pair.rows([word("a", 0)]);
    assert_eq!(pair.window.operator.next_timer(), Some(1005));
    for now in 1004..1020 {
        pair.window.time(now).unwrap();
    }
    let a = || "a".to_owned();
    assert_eq!(pair.results(), [(995, 1005, a(), 1u64), (1000, 1010, a(), 1)]);

    let stream = counted(SessionWindows::with_gap(ms(10)).processing_time());
    let mut window = Harness::open(operators(&stream).remove(0)).unwrap();
    for now in [1000, 1009, 1012] {
        window.time(now).unwrap();
        window.process([word("a", 0)]).unwrap();
    }
    for now in 1012..1030 {
        window.time(now).unwrap();
    }
    let rows = window.out.take_rows::<WindowResult<String, u64>>();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].0.window, rows[0].0.value), (Window { start: 1000, end: 1022 }, 3));
    assert_eq!(window.operator.next_timer(), None);
}

/// Nothing of a window stays behind when it is over.
#[test]
fn state_is_dropped() {
    use riverrun_dataflow::SnapshotKind;
    let ms = Duration::from_millis;
    for windows in [
        Windows::from(TumblingWindows::of(ms(10))),
        SlidingWindows::of(ms(10), ms(3)).into(),
        SessionWindows::with_gap(ms(10)).into(),
    ] {
        for lateness in [0, 7] {
            let stream = late_output_of(windows, lateness);
            let mut window = Harness::open(operators(&stream).remove(0)).unwrap();
            for at in 0..100 {
                window.process([word(&format!("key {}", at % 7), at * 4)]).unwrap();
                window.watermark(at * 4).unwrap();
            }
            window.watermark(1000).unwrap();
            let state = window.snapshot(SnapshotKind::Full).unwrap();
            assert_eq!(state.keyed.unwrap().size_bytes(), 0, "{windows}, {lateness} ms");
        }
    }
}
