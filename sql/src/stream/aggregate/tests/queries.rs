//! Whole queries: as a job, whatever the order in which rows arrive, and in batch.

use std::sync::Arc;

use proptest::prelude::*;

use crate::Changes;
use crate::catalog::{MemoryTable, WatermarkDefinition};
use crate::stream::testing::facts::{Row, rows};
use crate::stream::testing::{Tables, batch, stream};

/// A table with event time whose rows are up to `lag` seconds out of order.
fn table(of: &[Row], lag: i64) -> Tables {
    let mut of = of.to_vec();
    of.sort_by_key(|row| row.1 / lag.max(1));
    let batches = of.chunks(4).map(|chunk| Changes::inserts(rows(chunk))).collect();
    let watermark = Some(WatermarkDefinition {
        column: "ts".to_owned(),
        expression: format!("ts - INTERVAL '{}' SECOND", lag + 1),
    });
    let table = MemoryTable { schema: rows(&[]).schema(), batches, watermark };
    Tables::from([("t".to_owned(), Arc::new(table))])
}

fn all() -> impl Strategy<Value = Vec<Row>> {
    let row = (
        prop_oneof![1 => Just(None), 7 => (0i64..4).prop_map(Some)],
        0i64..60,
        prop_oneof![1 => Just(None), 3 => "[ab]{1}".prop_map(Some)],
        0i64..5,
    );
    proptest::collection::vec(row, 0..30)
}

const WINDOWS: &[&str] = &[
    "SELECT window_start, window_end, k, COUNT(*), SUM(n), AVG(n) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND)) \
     GROUP BY window_start, window_end, k",
    "SELECT window_end, window_start, window_time, MAX(n), MIN(s) FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '4' SECOND, INTERVAL '10' SECOND)) \
     GROUP BY window_start, window_end, window_time",
    "SELECT window_start, window_end, s, COUNT(DISTINCT k), SUM(n) FROM TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '3' SECOND, INTERVAL '12' SECOND)) \
     WHERE n > 1 GROUP BY window_start, window_end, s",
    "SELECT window_start, window_end, m, COUNT(*) FROM (SELECT k + n AS m, window_end, window_start FROM \
     TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '6' SECOND)) WHERE s IS NOT NULL) GROUP BY window_start, window_end, m",
    "SELECT window_start, window_end, MAX(c), COUNT(*) FROM (SELECT window_start, window_end, k, COUNT(*) AS c FROM \
     TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '7' SECOND)) GROUP BY window_start, window_end, k) GROUP BY window_start, window_end",
    "SELECT window_start, window_end, k, COUNT(*), SUM(n), MAX(s) FROM \
     TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '4' SECOND)) GROUP BY window_start, window_end, k",
    "SELECT window_start, window_end, COUNT(*) FROM TABLE(SESSION(TABLE t, DESCRIPTOR(ts), INTERVAL '2' SECOND)) GROUP BY window_start, window_end",
];

const UNBOUNDED: &[&str] = &[
    "SELECT DISTINCT k, s FROM t",
    "SELECT k, COUNT(*) FROM t GROUP BY k HAVING COUNT(*) > 2",
    "SELECT c, COUNT(*), MIN(m), MAX(x), COUNT(DISTINCT m), BIT_XOR(m), SUM(c), AVG(m) FROM \
     (SELECT k, COUNT(*) AS c, MAX(n) AS m, MIN(s) AS x FROM t GROUP BY k) GROUP BY c",
    "SELECT SUM(c), MAX(c), MEDIAN(c) FROM (SELECT k, COUNT(*) AS c FROM t WHERE n > 0 GROUP BY k)",
    "SELECT window_start, window_end, MAX(c) FROM (SELECT window_start, window_end, k, c, ROW_NUMBER() OVER (PARTITION BY window_start, window_end \
     ORDER BY c DESC, k) AS r FROM (SELECT window_start, window_end, k, COUNT(*) AS c FROM \
     TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '9' SECOND)) GROUP BY window_start, window_end, k)) WHERE r <= 2 GROUP BY window_start, window_end",
    "SELECT k, s, COUNT(*), GROUPING(k) FROM t GROUP BY CUBE (k, s)",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn queries_give_what_they_give_in_batch(
        rows in all(), lag in 0i64..8, seed: u64, parallelism in 1u32..4,
    ) {
        let tables = table(&rows, lag);
        for (sql, windowed) in
            WINDOWS.iter().map(|sql| (sql, true)).chain(UNBOUNDED.iter().map(|sql| (sql, false)))
        {
            let outcome = stream(sql, &tables, parallelism, seed)
                .unwrap_or_else(|error| panic!("{sql}: {error}"));
            prop_assert_eq!(&outcome.rows, &batch(sql, &tables), "{}", sql);
            prop_assert!(!(windowed && outcome.retracted), "{}: results of windows are final", sql);
            prop_assert!(outcome.planned.retracts || !outcome.retracted, "{}", sql);
        }
    }
}

#[test]
fn what_is_known_of_windows() {
    let known = |sql| stream(sql, &table(&[], 1), 2, 1).unwrap();
    let outcome = known(WINDOWS[1]);
    let window = outcome.planned.window.unwrap();
    assert_eq!((window.start, window.end, outcome.planned.time), (1, 0, vec![2]));
    assert!(!outcome.operators.contains(&"windows".to_owned()), "panes need no windowing function");
    let outcome = known(WINDOWS[5]);
    assert!(outcome.operators.contains(&"session".to_owned()), "{:?}", outcome.operators);
    let notes: Vec<_> =
        outcome.notes.iter().map(|note| (&*note.keeps, note.until.as_deref())).collect();
    assert_eq!(notes, [("one row per k", Some("its session is over"))]);
    assert!(known(UNBOUNDED[0]).planned.keys == [vec![0, 1]]);
}
