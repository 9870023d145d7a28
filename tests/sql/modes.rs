//! A streaming query over input that ends gives what a batch query gives: for a list of queries over seeded tables, whose rows come out of
//! order, in batches of any size, some of them taken back.

use std::sync::Arc;

use arrow_array::{
    Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt32Array,
};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use riverrun_sql::Changes;
use riverrun_sql::catalog::{MemoryTable, WatermarkDefinition};
use riverrun_sql::session::Session;

use crate::kit::{Cluster, run, sorted_rows};

/// Rows (k, v, s, x, ts) with few different values. Times are out of order by less than the watermark's delay.
pub fn table(seed: u64, rows: usize, retractions: bool) -> MemoryTable {
    let mut random = StdRng::seed_from_u64(seed);
    let schema = Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("v", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("x", DataType::Float64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), false),
    ]));
    let mut k = Vec::new();
    let mut v = Vec::new();
    let mut s = Vec::new();
    let mut x = Vec::new();
    let mut ts = Vec::new();
    for row in 0..rows {
        let maybe = |random: &mut StdRng| random.random_range(0..10) > 0;
        k.push(maybe(&mut random).then(|| random.random_range(0..6)));
        v.push(maybe(&mut random).then(|| random.random_range(-5..20)));
        let word = ["ab", "c", "de", "", "ab c"][random.random_range(0..5)];
        s.push(maybe(&mut random).then(|| word.to_owned()));
        // Sums of halves are exact in any order.
        x.push(maybe(&mut random).then(|| f64::from(random.random_range(-8..8)) / 2.0));
        ts.push(row as i64 * 400 + random.random_range(0..2000));
    }
    let all = RecordBatch::try_new(
        schema.clone(),
        vec![
            Arc::new(Int64Array::from(k)),
            Arc::new(Int64Array::from(v)),
            Arc::new(StringArray::from(s)),
            Arc::new(Float64Array::from(x)),
            Arc::new(TimestampMillisecondArray::from(ts)),
        ],
    )
    .unwrap();
    let mut batches = Vec::new();
    let mut at = 0;
    while at < rows {
        let end = (at + random.random_range(1..40)).min(rows);
        batches.push(Changes::inserts(all.slice(at, end - at)));
        at = end;
    }
    if retractions {
        // A third of the rows is taken back, some before they come.
        for row in 0..rows as u32 {
            if random.random_range(0..3) == 0 {
                let indices = UInt32Array::from(vec![row]);
                let taken = arrow_select::take::take_record_batch(&all, &indices).unwrap();
                let batch = Changes::weighted(taken, Int64Array::from(vec![-1]));
                let place = random.random_range(0..=batches.len());
                batches.insert(place, batch);
            }
        }
    }
    let watermark = (!retractions).then(|| WatermarkDefinition {
        column: "ts".to_owned(),
        expression: "ts - INTERVAL '5' SECOND".to_owned(),
    });
    MemoryTable { schema, batches, watermark }
}

/// Both modes, at parallelism 1 and 3. The error names the query.
pub fn compare(session: &mut Session, query: &str) -> Result<(), String> {
    let mut results = Vec::new();
    for (mode, parallelism) in [("batch", "1"), ("streaming", "1"), ("streaming", "3")] {
        session.settings_mut().set("execution.runtime-mode", mode).unwrap();
        session.settings_mut().set("parallelism.default", parallelism).unwrap();
        let rows = run(session, query)
            .map_err(|error| format!("{mode} at parallelism {parallelism}: {query}: {error}"))?
            .ok_or_else(|| format!("no rows: {query}"))?;
        results.push((mode, parallelism, sorted_rows(&rows)));
    }
    let (_, _, expected) = &results[0];
    for (mode, parallelism, rows) in &results[1..] {
        if rows != expected {
            return Err(format!(
                "{mode} at parallelism {parallelism} differs: {query}\nbatch: {expected:#?}\n{mode}: {rows:#?}"
            ));
        }
    }
    Ok(())
}

/// Queries over `t` and `u`, which may retract.
const ANY: &[&str] = &[
    "SELECT k + 1, UPPER(s), v FROM t WHERE v > 3 OR k IS NULL",
    "SELECT DISTINCT k, s FROM t",
    "SELECT k, COUNT(*), COUNT(v), SUM(v), MIN(v), MAX(s), AVG(x) FROM t GROUP BY k",
    "SELECT COUNT(*), SUM(v), MAX(v) FROM t WHERE k > 100",
    "SELECT COUNT(DISTINCT s), SUM(DISTINCT v), COUNT(DISTINCT v) FILTER (WHERE v > 5) FROM t",
    "SELECT s, COUNT(DISTINCT v), COUNT(*) FILTER (WHERE v > 5) FROM t GROUP BY s HAVING COUNT(*) > 2",
    "SELECT k, s, SUM(v) FROM t GROUP BY GROUPING SETS ((k), (s), ())",
    "SELECT k, s, SUM(v) FROM t GROUP BY ROLLUP (k, s)",
    "SELECT k, STDDEV_POP(v) > 2, MEDIAN(v) FROM t GROUP BY k",
    "SELECT a.k, a.v, b.s FROM t a JOIN u b ON a.k = b.k AND a.v = b.v",
    "SELECT a.k, a.v, b.s FROM t a LEFT JOIN u b ON a.k = b.k AND a.v < b.v",
    "SELECT a.k, a.v, b.s FROM t a RIGHT JOIN u b ON a.k = b.k AND a.v = b.v",
    "SELECT a.k, a.v, b.k, b.v FROM t a FULL JOIN u b ON a.v = b.v AND a.k > b.k",
    "SELECT * FROM t WHERE k IN (SELECT k FROM u WHERE v > 15)",
    "SELECT * FROM t WHERE v NOT IN (SELECT v FROM u WHERE v IS NOT NULL AND v > 5)",
    "SELECT * FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.v = t.v)",
    "SELECT * FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.k = t.k AND u.v = t.v)",
    "SELECT k, v FROM t WHERE v > (SELECT AVG(v) FROM u)",
    "SELECT k, v FROM t WHERE v > (SELECT AVG(v) FROM u WHERE u.k = t.k)",
    "SELECT k, v FROM t UNION ALL SELECT k, v FROM u",
    "SELECT k FROM t UNION SELECT v FROM u",
    "SELECT k, v FROM t INTERSECT SELECT k, v FROM u",
    "SELECT k, v FROM t EXCEPT SELECT k, v FROM u",
    "SELECT k, v, s FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC, s, ts) AS rn FROM t) WHERE rn <= 3",
    "SELECT k, v, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY s ORDER BY ts, k, v, x) AS rn FROM t) WHERE rn <= 2",
    "SELECT k, v, r FROM (SELECT *, RANK() OVER (PARTITION BY k ORDER BY v DESC) AS r FROM t) WHERE r <= 2",
    "SELECT k, v FROM t ORDER BY v DESC, k, s, ts, x LIMIT 7",
    "SELECT k, v, SUM(v) OVER (PARTITION BY k ORDER BY ts, v, s, x ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM t",
    "SELECT k, n, COUNT(*) FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) GROUP BY k, n",
    "SELECT n, COUNT(*) FROM (SELECT s, COUNT(*) AS n FROM t GROUP BY s) GROUP BY n",
    "SELECT a.k, a.n, b.m FROM (SELECT k, COUNT(*) AS n FROM t GROUP BY k) a JOIN (SELECT k, MAX(v) AS m FROM u GROUP BY k) b ON a.k = b.k",
    "SELECT MAX(n) FROM (SELECT k, SUM(v) AS n FROM t GROUP BY k)",
    "SELECT CASE WHEN v > 5 THEN 'big' ELSE 'small' END AS size, COUNT(*) FROM t GROUP BY CASE WHEN v > 5 THEN 'big' ELSE 'small' END",
    "SELECT k, part FROM (SELECT k, ARRAY[s, 'x'] AS parts FROM t) AS q CROSS JOIN UNNEST(q.parts) AS p(part)",
    "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS w(n, name)",
    "SELECT 1, 'one'",
    "WITH big AS (SELECT * FROM t WHERE v > 5) SELECT a.k, COUNT(*) FROM big a JOIN big b ON a.k = b.k GROUP BY a.k",
];

/// Queries over `t` and `u` with event time.
const TIMED: &[&str] = &[
    "SELECT window_start, window_end, k, COUNT(*), SUM(v) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, k",
    "SELECT window_start, window_end, COUNT(DISTINCT s), MAX(v) FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '4' SECOND, INTERVAL '10' SECOND)) GROUP BY window_start, window_end",
    "SELECT window_start, window_end, k, COUNT(*) FROM TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '20' SECOND)) GROUP BY window_start, window_end, k",
    "SELECT window_start, window_end, k, COUNT(*), SUM(v) FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '3' SECOND)) GROUP BY window_start, window_end, k",
    "SELECT TUMBLE_START(ts, INTERVAL '10' SECOND), s, AVG(x) FROM t GROUP BY TUMBLE(ts, INTERVAL '10' SECOND), s",
    "SELECT HOP_END(ts, INTERVAL '5' SECOND, INTERVAL '10' SECOND), COUNT(*) FROM t WHERE v > 3 GROUP BY HOP(ts, INTERVAL '5' SECOND, INTERVAL '10' SECOND)",
    "SELECT SESSION_START(ts, INTERVAL '3' SECOND), k, COUNT(*) FROM t GROUP BY SESSION(ts, INTERVAL '3' SECOND), k",
    "SELECT k, v, window_start, window_end FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND)) WHERE k > 1",
    "SELECT * FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY n DESC, k) AS rn FROM (\
       SELECT window_start, window_end, k, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '20' SECOND)) \
       GROUP BY window_start, window_end, k)) WHERE rn <= 2",
    "SELECT a.window_start, a.window_end, a.k, n, m FROM (\
       SELECT window_start, window_end, k, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, k) a \
     JOIN (SELECT window_start, window_end, k, MAX(v) AS m FROM TABLE(TUMBLE(TABLE u, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, k) b \
     ON a.window_start = b.window_start AND a.window_end = b.window_end AND a.k = b.k",
    "SELECT a.k, a.v, b.v FROM t a JOIN u b ON a.k = b.k AND b.ts BETWEEN a.ts - INTERVAL '2' SECOND AND a.ts + INTERVAL '3' SECOND",
    "SELECT a.k, a.v, b.v FROM t a LEFT JOIN u b ON a.k = b.k AND b.ts BETWEEN a.ts - INTERVAL '2' SECOND AND a.ts + INTERVAL '3' SECOND",
    "SELECT a.k, a.v, b.v FROM t a FULL JOIN u b ON a.k = b.k AND b.ts BETWEEN a.ts - INTERVAL '2' SECOND AND a.ts + INTERVAL '3' SECOND",
    "SELECT k, ts, SUM(v) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '10' SECOND PRECEDING AND CURRENT ROW) FROM t",
    "SELECT k, ts, COUNT(*) OVER (PARTITION BY k ORDER BY ts RANGE UNBOUNDED PRECEDING) FROM t",
    "SELECT window_end, COUNT(*) FROM (SELECT window_end, window_time, k, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)) \
       GROUP BY window_start, window_end, window_time, k) GROUP BY window_end",
];

/// Queries over windows, of rows that may be taken back.
const WINDOWED: &[&str] = &[
    "SELECT window_start, window_end, k, COUNT(DISTINCT v), SUM(v), MAX(s) FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' SECOND)) GROUP BY window_start, window_end, k",
    "SELECT window_start, window_end, k, COUNT(DISTINCT v) FILTER (WHERE v > 5), COUNT(*) FILTER (WHERE v > 5) FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY window_start, window_end, k",
    "SELECT window_start, window_end, k, s, SUM(v), COUNT(DISTINCT x) FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '3' SECOND)) \
       GROUP BY GROUPING SETS ((window_start, window_end, k, s), (window_start, window_end, k), (window_start, window_end))",
    "SELECT window_start, window_end, k, s, COUNT(*) FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '3' SECOND)) GROUP BY window_start, window_end, ROLLUP (k, s)",
    "SELECT window_start, window_end, s, COUNT(*) FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '3' SECOND)) GROUP BY window_start, window_end, s",
    "SELECT window_start, window_end, COUNT(*), MEDIAN(x) FROM TABLE(SESSION(TABLE t, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY window_start, window_end",
    "SELECT SESSION_START(ts, INTERVAL '2' SECOND), SESSION_END(ts, INTERVAL '2' SECOND), k, COUNT(DISTINCT s), ARRAY_AGG(v ORDER BY v, ts) FROM t GROUP BY SESSION(ts, INTERVAL '2' SECOND), k",
    "SELECT SESSION_START(ts, INTERVAL '2' SECOND), k, SUM(v) FROM t WHERE v > 3 GROUP BY SESSION(ts, INTERVAL '2' SECOND), k",
    "SELECT k, v, window_start, window_end FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' SECOND))",
    "SELECT k, MAX(n) FROM (SELECT k, window_start, window_end, COUNT(*) AS n FROM TABLE(SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '2' SECOND)) \
       GROUP BY window_start, window_end, k) GROUP BY k",
    "SELECT window_start, window_end, k, COUNT(DISTINCT v), MAX(v) FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, k",
    "SELECT window_start, window_end, k, s, COUNT(DISTINCT v), SUM(x) FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '3' SECOND, INTERVAL '10' SECOND)) \
       GROUP BY GROUPING SETS ((window_start, window_end, k), (window_start, window_end, s), (window_start, window_end))",
    "SELECT window_start, window_end, ROUND(AVG(v), 2), COUNT(DISTINCT k) FILTER (WHERE v > 5) FROM TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '20' SECOND)) GROUP BY window_start, window_end",
    "SELECT TUMBLE_END(ts, INTERVAL '10' SECOND), s, COUNT(DISTINCT k) FROM t GROUP BY TUMBLE(ts, INTERVAL '10' SECOND), s",
];

fn check(queries: &[&str], retractions: bool) {
    let engine = Cluster::engine();
    engine.register_memory("t", table(1, 120, retractions));
    engine.register_memory("u", table(2, 60, retractions));
    let mut session = Session::new(engine);
    let failures: Vec<String> =
        queries.iter().filter_map(|query| compare(&mut session, query).err()).collect();
    assert!(
        failures.is_empty(),
        "{} of {} differ:\n{}",
        failures.len(),
        queries.len(),
        failures.join("\n\n")
    );
}

#[test]
fn queries_over_rows_that_stay() {
    check(ANY, false);
}

#[test]
fn queries_over_rows_that_are_taken_back() {
    check(ANY, true);
}

#[test]
fn queries_over_event_time() {
    check(TIMED, false);
}

#[test]
fn queries_over_windows_of_rows_that_stay() {
    check(WINDOWED, false);
}

#[test]
fn queries_over_windows_of_rows_that_are_taken_back() {
    check(WINDOWED, true);
}

/// Whatever the machine's clock does meanwhile, each row counts in each window that it is in.
#[test]
fn rows_in_windows_of_the_clock_are_all_counted() {
    let mut session = Session::new(Cluster::engine());
    let table = "CREATE TABLE d (k INT, pt AS PROCTIME()) WITH ('connector' = 'datagen', 'number-of-rows' = '5000', \
                 'fields.k.min' = '1', 'fields.k.max' = '3');";
    run(&mut session, table).unwrap();
    let second = "INTERVAL '1' SECOND";
    let windows = [
        (format!("TUMBLE(TABLE d, DESCRIPTOR(pt), {second})"), 1),
        (format!("HOP(TABLE d, DESCRIPTOR(pt), {second}, INTERVAL '4' SECOND)"), 4),
        (format!("SESSION(TABLE d PARTITION BY k, DESCRIPTOR(pt), {second})"), 1),
    ];
    for parallelism in ["1", "3"] {
        session.settings_mut().set("parallelism.default", parallelism).unwrap();
        for (window, times) in &windows {
            for call in ["COUNT(k)", "COUNT(DISTINCT k)"] {
                let sql = format!(
                    "SELECT SUM(n), MAX(c) > 0 FROM (SELECT COUNT(*) AS n, {call} AS c FROM TABLE({window}) GROUP BY window_start, window_end, k)"
                );
                let rows = run(&mut session, &sql).unwrap().unwrap();
                assert_eq!(sorted_rows(&rows), [format!("{} | true", times * 5000)], "{sql}");
            }
        }
    }
}
