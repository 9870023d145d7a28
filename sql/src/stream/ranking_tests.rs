//! Whole queries with ranks, OVER, ORDER BY and LIMIT: as a job, whatever the order in which rows arrive, and in batch.

use proptest::prelude::*;

use super::testing::facts::{self, Row};
use super::testing::{Outcome, Tables, batch, stream};

/// A table `t` with these rows.
fn table(of: &[(Row, i64)], lag: Option<i64>) -> Tables {
    Tables::from([("t".to_owned(), facts::table(of, lag))])
}

fn history() -> impl Strategy<Value = Vec<(Row, i64)>> {
    facts::history(3, 20)
}

fn insertions() -> impl Strategy<Value = Vec<(Row, i64)>> {
    facts::insertions(3, 25)
}

/// Queries whose ranks do not depend on how ties are ordered, with the operators that they have to be made of.
const RANKS: &[(&str, &[&str], &[&str])] = &[
    // (query, operators it has, operators it has not)
    (
        "SELECT k, ts, s, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY n DESC, ts, s) AS r FROM t) WHERE r <= 2",
        &["rank"],
        &["over"],
    ),
    (
        "SELECT k, s, n, r FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k, s ORDER BY ts DESC, n) AS r FROM t) q WHERE 3 > r AND n > 1",
        &["rank"],
        &["over"],
    ),
    (
        "SELECT r, k, n FROM (SELECT RANK() OVER (PARTITION BY k ORDER BY n DESC) AS r, k, n FROM t) WHERE r BETWEEN 2 AND 4",
        &["rank"],
        &["over"],
    ),
    (
        "SELECT k, n, r + 1 FROM (SELECT k, n, DENSE_RANK() OVER (ORDER BY n * 2) AS r FROM t) WHERE r = 2",
        &["rank"],
        &["over"],
    ),
    (
        "SELECT k + 1, CAST(r AS BIGINT) FROM (SELECT k, n, RANK() OVER (PARTITION BY n % 2 ORDER BY n) AS r FROM t) WHERE CAST(r AS BIGINT) <= 3 AND r >= 2",
        &["rank"],
        &["over"],
    ),
    (
        "SELECT k, n FROM (SELECT k, n, RANK() OVER (PARTITION BY k ORDER BY n) AS r, SUM(n) OVER (PARTITION BY k) AS total FROM t) WHERE r <= 2 AND total > 4",
        &["over"],
        &["rank"],
    ),
    (
        "SELECT k, n FROM (SELECT k, n, RANK() OVER (PARTITION BY k ORDER BY n) AS r FROM t) WHERE r >= 2",
        &["over"],
        &["rank"],
    ),
    (
        "SELECT k, c FROM (SELECT x.k, x.c, ROW_NUMBER() OVER (PARTITION BY x.k ORDER BY x.c) AS r FROM \
         (SELECT k, COUNT(*) AS c FROM t GROUP BY k) x JOIN (SELECT k, COUNT(*) AS c FROM t GROUP BY k) y ON x.k = y.k) WHERE r <= 3",
        &["join", "rank"],
        &["over"],
    ),
    (
        "SELECT x.k, x.c, SUM(x.c) OVER (PARTITION BY x.k ORDER BY x.c) FROM \
         (SELECT k, COUNT(*) AS c FROM t GROUP BY k) x JOIN (SELECT k, COUNT(*) AS c FROM t GROUP BY k) y ON x.k = y.k",
        &["join", "over"],
        &["rank"],
    ),
    (
        "SELECT k, c FROM (SELECT k, c, RANK() OVER (ORDER BY c DESC) AS r FROM (SELECT k, COUNT(*) AS c FROM t GROUP BY k)) WHERE r <= 1",
        &["rank"],
        &["over"],
    ),
    ("SELECT k, s, n FROM t ORDER BY n, k, s, ts LIMIT 3", &["rank"], &[]),
    ("SELECT k, s, n FROM t ORDER BY n * -1, k, s, ts LIMIT 4 OFFSET 2", &["rank"], &[]),
    ("SELECT COUNT(*) FROM (SELECT * FROM t LIMIT 5)", &[], &[]),
    ("SELECT COUNT(*) FROM (SELECT * FROM t LIMIT 100 OFFSET 3)", &[], &[]),
    ("SELECT * FROM (SELECT k, s FROM t ORDER BY s DESC) WHERE k > 0", &[], &[]),
    (
        "SELECT k, ts, SUM(n) OVER (PARTITION BY k ORDER BY ts, n, s ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING), \
         AVG(n) OVER (PARTITION BY k ORDER BY ts) FROM t",
        &["over"],
        &[],
    ),
    (
        "SELECT k, n, LAG(n, 1, -1) OVER (PARTITION BY k ORDER BY n, s, ts), LEAD(n) OVER (PARTITION BY k ORDER BY n, s, ts), \
         COUNT(*) OVER (), MAX(n) OVER (PARTITION BY s, k) FROM t",
        &["over"],
        &[],
    ),
    (
        "SELECT k, AVG(f) OVER (PARTITION BY k ORDER BY s, f ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) \
         FROM (SELECT k, s, MAX(n) AS f FROM t GROUP BY k, s)",
        &["over"],
        &[],
    ),
];

fn check(
    sql: &str,
    tables: &Tables,
    parallelism: u32,
    seed: u64,
) -> Result<Outcome, TestCaseError> {
    let outcome =
        stream(sql, tables, parallelism, seed).unwrap_or_else(|error| panic!("{sql}: {error}"));
    prop_assert_eq!(&outcome.rows, &batch(sql, tables), "{}", sql);
    prop_assert!(
        outcome.planned.retracts || !outcome.retracted,
        "{}: takes back what it said to keep",
        sql
    );
    Ok(outcome)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn ranks_as_jobs_are_what_they_are_in_batch(
        (changing, staying) in (history(), insertions()), parallelism in 1u32..4, seed in any::<u64>(),
    ) {
        for tables in [table(&changing, None), table(&staying, None), table(&staying, Some(5))] {
            for (sql, has, has_not) in RANKS {
                let outcome = check(sql, &tables, parallelism, seed)?;
                let is_there = |name: &&str| outcome.operators.iter().any(|of| of == name);
                prop_assert!(has.iter().all(is_there), "{}: {:?}", sql, outcome.operators);
                prop_assert!(!has_not.iter().any(is_there), "{}: {:?}", sql, outcome.operators);
            }
        }
    }

    /// In event time, results are put out once.
    #[test]
    fn event_time_makes_results_final(
        staying in insertions(), lag in 1i64..12, parallelism in 1u32..4, seed in any::<u64>(),
    ) {
        let tables = table(&staying, Some(lag));
        let window = "TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND))";
        for (sql, operator) in [
            (format!("SELECT window_end, k, n FROM (SELECT *, RANK() OVER (PARTITION BY window_start, window_end ORDER BY n DESC) AS r FROM {window}) WHERE r <= 2"), "window rank"),
            (format!("SELECT window_end, k, s, ts, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end, k ORDER BY ts DESC, s, n) AS r FROM {window}) WHERE r = 1"), "window rank"),
            ("SELECT k, ts, SUM(n) OVER (PARTITION BY k ORDER BY ts) FROM t".to_owned(), "over"),
            ("SELECT k, n, COUNT(*) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '7' SECOND PRECEDING AND CURRENT ROW) AS c FROM t".to_owned(), "over"),
            ("SELECT k, n, DENSE_RANK() OVER (PARTITION BY k, s ORDER BY ts) FROM t".to_owned(), "over"),
        ] {
            let outcome = check(&sql, &tables, parallelism, seed)?;
            prop_assert!(!outcome.planned.retracts, "{}", sql);
            prop_assert!(outcome.operators.iter().any(|of| of == operator), "{}: {:?}", sql, outcome.operators);
        }
    }
}

#[test]
fn state_is_told_and_columns_are_known() {
    let tables = table(&[((Some(1), 1, None, 1), 1)], Some(1));
    let of = |sql: &str| stream(sql, &tables, 2, 7).unwrap();
    let top = of(
        "SELECT k, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY n) AS r FROM t) WHERE r = 1",
    );
    assert_eq!(top.planned.keys, [[0]]);
    assert_eq!((top.notes[0].keeps.as_str(), &top.notes[0].until), ("one row per k", &None));
    let numbered = of(
        "SELECT r, k, n FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY n) AS r FROM t) WHERE r <= 9",
    );
    assert_eq!(numbered.planned.keys, [[1, 0]]);
    assert_eq!(numbered.notes[0].keeps, "up to 9 rows per k");
    let over = of("SELECT ts, k, LAG(n, 3) OVER (PARTITION BY k ORDER BY ts) FROM t");
    assert_eq!((over.planned.time, over.planned.retracts), (vec![0], false));
    assert!(over.notes.iter().any(|note| note.keeps == "the last 3 rows of each k"));
    let general = of("SELECT ts, LAG(n, 3) OVER (PARTITION BY k ORDER BY n) FROM t");
    assert!(general.planned.retracts && general.planned.time.is_empty());
    assert_eq!(general.notes[0].keeps, "all rows of each k, with their values");
}

#[test]
fn keys_come_in_order_only_where_the_input_does() {
    let tables = table(&[], None);
    let known = |sql: &str| {
        let planned = stream(sql, &tables, 2, 1).unwrap().planned;
        (planned.keys, planned.spread_by)
    };
    let counts = "(SELECT k, COUNT(*) AS c FROM t GROUP BY k)";
    let joined = format!("(SELECT x.k, x.c FROM {counts} x JOIN {counts} y ON x.k = y.k)");
    let total =
        |of: &str| format!("SELECT k, c, SUM(c) OVER (PARTITION BY k ORDER BY c) FROM {of}");
    assert_eq!(known(&total(counts)), (vec![vec![0]], Some(vec![0])));
    assert_eq!(known(&total(&joined)), (vec![vec![0]], None));
    let ranks = |of: &str, to: usize, numbered: &str| {
        format!(
            "SELECT k, c{numbered} FROM (SELECT k, c, ROW_NUMBER() OVER (PARTITION BY k ORDER BY c) AS r FROM {of}) WHERE r <= {to}"
        )
    };
    assert_eq!(known(&ranks(counts, 3, "")), (vec![vec![0]], Some(vec![0])));
    assert_eq!(known(&ranks(&joined, 3, "")), (vec![vec![0]], None));
    assert_eq!(known(&ranks(&joined, 3, ", r")), (vec![vec![0, 2]], Some(vec![0])));
    assert_eq!(known(&ranks(&joined, 1, "")), (vec![vec![0]], Some(vec![0])));
}
