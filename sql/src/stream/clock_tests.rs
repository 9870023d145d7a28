//! Whole queries by processing time, and with the settings that say when windows give results.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow_cast::parse::string_to_timestamp_nanos;
use arrow_schema::{DataType, Field, Schema, TimeUnit};

use super::testing::{Setup, Tables, batch, stream_with};
use crate::Changes;
use crate::catalog::{MemoryTable, WatermarkDefinition};

const ROWS: i64 = 150;

/// A table (k, v, ts) in small batches, its times out of order by up to 2 s, of which some are behind its watermark by as much.
fn tables(delay: &str) -> Tables {
    let schema = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("v", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]));
    let rows: Vec<i64> = (0..ROWS).collect();
    let batches = rows.chunks(3).map(|rows| {
        let time = |row: &i64| row * 300 - (row * 7919) % 2000;
        let columns: Vec<arrow_array::ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row % 4))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row % 11))),
            Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(time))),
        ];
        Changes::inserts(RecordBatch::try_new(schema.clone(), columns).unwrap())
    });
    let batches = batches.collect();
    let watermark = Some(WatermarkDefinition {
        column: "ts".to_owned(),
        expression: format!("ts - INTERVAL '{delay}' SECOND"),
    });
    BTreeMap::from([("t".to_owned(), Arc::new(MemoryTable { schema, batches, watermark }))])
}

fn setup(parallelism: u32, seed: u64, pace: i64, settings: &[(&str, &str)]) -> Setup {
    let mut setup = Setup { pace, ..Setup::new(parallelism, seed) };
    for (key, value) in settings {
        setup.settings.set(key, value).unwrap();
    }
    setup
}

/// The numbers in a column of a result.
fn numbers(rows: &BTreeMap<String, i64>, column: usize) -> Vec<i64> {
    let number = |row: &String| row.split('|').nth(column).unwrap().parse().unwrap();
    rows.iter().flat_map(|(row, weight)| (0..*weight).map(move |_| number(row))).collect()
}

/// Each row counts once in each window that is open when it comes, however the clock goes on while rows are under way.
#[test]
fn no_row_is_lost_by_processing_time() {
    let windows = [
        ("TUMBLE(DATA => TABLE w, TIMECOL => DESCRIPTOR(pt), SIZE => INTERVAL '1' SECOND)", 1),
        ("HOP(TABLE w, DESCRIPTOR(pt), INTERVAL '1' SECOND, INTERVAL '3' SECOND)", 3),
        ("SESSION(TABLE w PARTITION BY k, DESCRIPTOR(pt), INTERVAL '1' SECOND)", 1),
    ];
    for (window, times) in windows {
        for call in ["COUNT(*)", "COUNT(DISTINCT v)"] {
            for (parallelism, phase) in [(1, "AUTO"), (3, "TWO_PHASE"), (3, "ONE_PHASE")] {
                let sql = format!(
                    "WITH w AS (SELECT k, v, PROCTIME() AS pt FROM t) \
                     SELECT window_start, window_end, k, COUNT(*) AS n, {call} AS c FROM TABLE({window}) GROUP BY window_start, window_end, k"
                );
                let settings = [("table.optimizer.agg-phase-strategy", phase)];
                let setup = setup(parallelism, 7, 400, &settings);
                let outcome = stream_with(&sql, &tables("5"), &setup).unwrap();
                let place = format!("{sql} with {phase} at {parallelism}: {:#?}", outcome.rows);
                assert_eq!(numbers(&outcome.rows, 3).iter().sum::<i64>(), times * ROWS, "{place}");
                assert!(outcome.rows.len() > 8, "the clock has gone on: {place}");
            }
        }
    }
}

/// The windows that grow are as many as are still to come in their cycle, but the longest of them holds each row once.
#[test]
fn no_row_is_lost_in_windows_that_grow() {
    for call in ["COUNT(*)", "COUNT(DISTINCT v)"] {
        let sql = format!(
            "SELECT window_start, window_end, COUNT(*) AS n, {call} AS c FROM TABLE(CUMULATE(TABLE w, DESCRIPTOR(pt), \
             INTERVAL '1' SECOND, INTERVAL '4' SECOND)) GROUP BY window_start, window_end"
        );
        let sql = format!("WITH w AS (SELECT v, PROCTIME() AS pt FROM t) {sql}");
        let outcome = stream_with(&sql, &tables("5"), &setup(2, 3, 300, &[])).unwrap();
        let mut longest: BTreeMap<&str, (&str, i64)> = BTreeMap::new();
        for row in outcome.rows.keys() {
            let cells: Vec<&str> = row.split('|').collect();
            let rows: i64 = cells[2].parse().unwrap();
            let of = longest.entry(cells[0]).or_default();
            assert!(rows >= of.1 || cells[1] < of.0, "a longer window has no fewer rows: {row}");
            *of = (*of).max((cells[1], rows));
        }
        assert_eq!(longest.values().map(|(_, rows)| rows).sum::<i64>(), ROWS, "{longest:?}");
    }
}

/// The rows of a join tell at which times they were read: its pairs are those that are near each other, and rows without a partner have none.
#[test]
fn joins_by_processing_time_find_the_rows_that_are_near() {
    let sql = "WITH p AS (SELECT k, ts, PROCTIME() AS pt FROM t), q AS (SELECT k, ts, PROCTIME() AS pt FROM t) \
               SELECT a.k, a.ts, a.pt, b.k AS bk, b.ts AS bts, b.pt AS bpt FROM p AS a FULL JOIN q AS b \
               ON a.k = b.k AND b.pt BETWEEN a.pt - INTERVAL '0.03' SECOND AND a.pt + INTERVAL '0.06' SECOND";
    for parallelism in [1, 3] {
        let outcome = stream_with(sql, &tables("5"), &setup(parallelism, 5, 2, &[])).unwrap();
        assert!(outcome.operators.iter().any(|name| name == "interval-join"));
        assert!(!outcome.retracted);
        assert!(outcome.notes.iter().all(|note| note.until.is_some()), "{:?}", outcome.notes);
        let cells: Vec<Vec<&str>> =
            outcome.rows.keys().map(|row| row.split('|').collect()).collect();
        let sides = [0, 3].map(|at| -> BTreeSet<Vec<&str>> {
            let there = cells.iter().filter(|cells| cells[at] != "NULL");
            there.map(|cells| cells[at..at + 3].to_vec()).collect()
        });
        assert_eq!(sides.each_ref().map(BTreeSet::len), [ROWS as usize; 2]);
        let mut expected: BTreeMap<String, i64> = BTreeMap::new();
        let time = |text: &str| string_to_timestamp_nanos(text).unwrap() / 1_000_000;
        let near = |a: &[&str], b: &[&str]| {
            let [a_time, b_time] = [a, b].map(|row| time(row[2]));
            a[0] == b[0] && (-30..=60).contains(&(b_time - a_time))
        };
        let none = vec!["NULL"; 3];
        let mut pair = |a: &[&str], b: &[&str]| {
            expected.insert([a, b].concat().join("|"), 1);
        };
        for a in &sides[0] {
            let mut partners = sides[1].iter().filter(|b| near(a, b)).peekable();
            if partners.peek().is_none() {
                pair(a, &none);
            }
            partners.for_each(|b| pair(a, b));
        }
        for b in sides[1].iter().filter(|b| !sides[0].iter().any(|a| near(a, b))) {
            pair(&none, b);
        }
        assert_eq!(outcome.rows, expected);
    }
}

#[test]
fn rows_that_are_taken_back_have_no_windows_by_the_clock() {
    let sql = "SELECT window_start, window_end, SUM(n) FROM TABLE(TUMBLE(TABLE w, DESCRIPTOR(pt), INTERVAL '1' SECOND)) \
               GROUP BY window_start, window_end";
    let sql = format!(
        "WITH w AS (SELECT PROCTIME() AS pt, n FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k)) {sql}"
    );
    let error = stream_with(&sql, &tables("5"), &setup(1, 1, 0, &[])).err().unwrap().to_string();
    assert!(error.contains("by processing time over rows that may be taken back"), "{error}");
}

const WINDOWED: [&str; 4] = [
    "SELECT window_start, window_end, k, COUNT(*), SUM(v), COUNT(DISTINCT v) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND)) GROUP BY window_start, window_end, k",
    "SELECT window_start, window_end, COUNT(*), MAX(v) FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '2' SECOND, INTERVAL '6' SECOND)) GROUP BY window_start, window_end",
    "SELECT window_start, window_end, k, COUNT(*), SUM(v) FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY window_start, window_end, k",
    "SELECT k, COUNT(*), COUNT(DISTINCT v) FROM t GROUP BY k",
];

/// In one phase or in two, early or not, and with late rows that are allowed, the result is that of a batch query in the end.
#[test]
fn settings_change_when_results_come_and_not_which() {
    let early = ("table.exec.emit.early-fire.enabled", "true");
    let lateness = ("table.exec.emit.allow-lateness", "10 s");
    let late = ("table.exec.emit.late-fire.enabled", "true");
    let delay = ("table.exec.emit.late-fire.delay", "2 s");
    // (the watermark's delay, settings, whether results are taken back)
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], bool);
    let cases: [Case<'_>; 6] = [
        ("5", &[("table.optimizer.agg-phase-strategy", "ONE_PHASE")], false),
        ("5", &[("table.optimizer.agg-phase-strategy", "TWO_PHASE")], false),
        ("5", &[early, ("table.exec.emit.early-fire.delay", "0 ms")], true),
        // Rows come behind the watermark, but not by more than is allowed.
        ("0", &[lateness], true),
        ("0", &[lateness, late, delay], true),
        ("0", &[lateness, late, delay, early], true),
    ];
    for sql in WINDOWED {
        for (watermark, settings, updates) in cases {
            for parallelism in [1, 3] {
                let tables = tables(watermark);
                let setup = setup(parallelism, 11, 500, settings);
                let outcome = stream_with(sql, &tables, &setup).unwrap();
                assert_eq!(outcome.rows, batch(sql, &tables), "{sql} with {settings:?}");
                if sql.contains("window_start") {
                    assert_eq!(outcome.planned.retracts, updates);
                    assert_eq!(outcome.retracted, updates, "{sql} with {settings:?}");
                }
            }
        }
    }
}

#[test]
fn late_rows_are_left_out_unless_they_are_allowed() {
    let tables = tables("0");
    let outcome = stream_with(WINDOWED[0], &tables, &setup(1, 11, 0, &[])).unwrap();
    assert_ne!(outcome.rows, batch(WINDOWED[0], &tables));
    let late = [("table.exec.emit.late-fire.enabled", "true")];
    let error = stream_with(WINDOWED[0], &tables, &setup(1, 11, 0, &late)).err().unwrap();
    assert!(error.to_string().contains("'table.exec.emit.allow-lateness'"), "{error}");
    let allowed = [("table.exec.emit.allow-lateness", "10 s")];
    let rows = "SELECT window_start, window_end, k, COUNT(DISTINCT v) FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), \
                INTERVAL '1' SECOND)) GROUP BY window_start, window_end, k";
    let error = stream_with(rows, &tables, &setup(1, 11, 0, &allowed)).err().unwrap();
    assert!(error.to_string().contains("SESSION windows"), "{error}");
}

/// What EXPLAIN says of state that is kept by key.
#[test]
fn a_time_to_live_is_told_of_all_state_by_key() {
    let queries = [
        ("SELECT DISTINCT k, v FROM t", true),
        ("SELECT k, SUM(v) FROM t GROUP BY k", true),
        (
            "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v, ts) AS n FROM t) WHERE n = 1",
            true,
        ),
        ("SELECT k, NTILE(2) OVER (PARTITION BY k ORDER BY v, ts) FROM t", true),
        ("SELECT k, LAG(v) OVER (PARTITION BY k ORDER BY ts) FROM t", true),
        ("SELECT a.v, b.v AS w FROM t a JOIN t b ON a.k = b.k", true),
        // Without a key all rows are one, which is always touched.
        ("SELECT v, NTILE(2) OVER (ORDER BY v, ts, k) FROM t", false),
        (
            "SELECT k, SUM(v) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '1' SECOND PRECEDING AND CURRENT ROW) FROM t",
            false,
        ),
    ];
    let ttl = [("table.exec.state.ttl", "1 h")];
    for (sql, told) in queries {
        let outcome = stream_with(sql, &tables("5"), &setup(1, 1, 0, &ttl)).unwrap();
        assert_eq!(outcome.rows, batch(sql, &tables("5")), "{sql}");
        let untils: Vec<&String> =
            outcome.notes.iter().filter_map(|note| note.until.as_ref()).collect();
        let is_told = untils.iter().any(|until| until.contains("(table.exec.state.ttl)"));
        assert_eq!(is_told, told, "{sql}: {:?}", outcome.notes);
    }
}
