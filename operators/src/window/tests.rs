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
