use riverrun_dataflow::SnapshotKind;
use riverrun_dataflow::testing::Harness;

use super::*;
use crate::aggregate::Count;

fn combine(
    max_entries: usize,
) -> Harness<Combine<impl Fn(&String) -> String, Count<String>, String>> {
    let layout = PaneLayout::new(10, 10, 0);
    let operator =
        Combine::new(|word: &String| word.clone(), Count::default(), Panes::EventTime(layout));
    Harness::open(operator.with_max_entries(max_entries)).unwrap()
}

fn words(text: &str, at: i64) -> Vec<(String, i64)> {
    text.split(' ').map(|word| (word.to_owned(), at)).collect()
}

fn sent(out: &mut riverrun_dataflow::testing::Collected) -> Vec<(i64, String, u64, u64)> {
    let mut partials: Vec<_> = out
        .take_rows::<Partial<String, u64>>()
        .into_iter()
        .map(|(partial, _)| (partial.pane, partial.key, partial.rows, partial.accumulator))
        .collect();
    partials.sort_unstable();
    partials
}

fn partial(pane: i64, key: &str, rows: u64) -> (i64, String, u64, u64) {
    (pane, key.to_owned(), rows, rows)
}

#[test]
fn a_watermark_takes_only_what_it_completes_and_comes_behind_it() {
    let mut harness = combine(100);
    harness.process(words("a b a", 5)).unwrap();
    harness.process(words("a", 12)).unwrap();
    harness.watermark(8).unwrap();
    assert!(harness.out.batches.is_empty());
    harness.watermark(9).unwrap();
    assert_eq!(sent(&mut harness.out), [partial(0, "a", 2), partial(0, "b", 1)]);
    // Late rows are sent on too: whether they are late is not decided here.
    harness.process(words("late", 3)).unwrap();
    harness.watermark(i64::MAX).unwrap();
    assert_eq!(sent(&mut harness.out), [partial(0, "late", 1), partial(10, "a", 1)]);
    assert_eq!(harness.out.watermarks, [8, 9, i64::MAX]);
}

#[test]
fn nothing_is_held_back_at_a_barrier_or_in_silence() {
    let mut harness = combine(100);
    harness.process(words("a", 5)).unwrap();
    let state = harness.snapshot(SnapshotKind::Full).unwrap();
    assert_eq!(state, riverrun_dataflow::OperatorState::default());
    assert_eq!(sent(&mut harness.out), [partial(0, "a", 1)]);
    harness.process(words("b", 5)).unwrap();
    harness.operator.on_idle(&mut harness.out).unwrap();
    assert_eq!(sent(&mut harness.out), [partial(0, "b", 1)]);
    harness.process(words("c", 5)).unwrap();
    harness.operator.on_end_of_input(&mut harness.out).unwrap();
    assert_eq!(sent(&mut harness.out), [partial(0, "c", 1)]);
    assert_eq!(harness.operator.entries, 0);
}

#[test]
fn memory_is_bounded() {
    let mut harness = combine(3);
    harness.process(words("a b", 5)).unwrap();
    harness.process(words("a", 15)).unwrap();
    assert!(harness.out.batches.is_empty());
    harness.process(words("b", 15)).unwrap();
    assert_eq!(
        sent(&mut harness.out),
        [partial(0, "a", 1), partial(0, "b", 1), partial(10, "a", 1), partial(10, "b", 1)]
    );
    assert_eq!(harness.operator.entries, 0);
}

#[test]
fn rows_in_any_order_meet_in_their_panes() {
    let mut harness = combine(1000);
    let times = [25, 3, 14, 4, 26, 15, -5, -14, 100];
    harness.process(times.iter().map(|at| ("a".to_owned(), *at))).unwrap();
    harness.watermark(i64::MAX).unwrap();
    let panes: Vec<(i64, u64)> = sent(&mut harness.out).iter().map(|p| (p.0, p.2)).collect();
    assert_eq!(panes, [(-20, 1), (-10, 1), (0, 2), (10, 2), (20, 2), (100, 1)]);
}

#[test]
fn large_panes_leave_in_several_batches() {
    let mut harness = combine(1_000_000);
    harness.process((0..20_000).map(|n| (n.to_string(), 5))).unwrap();
    harness.watermark(9).unwrap();
    let sizes: Vec<usize> = harness.out.batches.iter().map(|batch| batch.len()).collect();
    assert_eq!(sizes, [8192, 8192, 3616]);
}

#[test]
fn rows_without_event_time_are_an_error_that_says_what_to_do() {
    let error = combine(1).process(words("a", NO_TIMESTAMP)).unwrap_err();
    assert!(error.to_string().contains("call assign_timestamps before windows"), "{error}");
    assert!(error.is_fatal());
}

#[test]
fn in_processing_time_nothing_waits_for_the_next_batch() {
    let operator = Combine::new(|word: &String| word.clone(), Count::default(), Panes::OnArrival);
    let mut harness = Harness::open(operator).unwrap();
    harness.process(words("a b a", NO_TIMESTAMP)).unwrap();
    harness.process(words("a", NO_TIMESTAMP)).unwrap();
    assert_eq!(
        sent(&mut harness.out),
        [partial(0, "a", 1), partial(0, "a", 2), partial(0, "b", 1)]
    );
}
