//! Whole queries: as a job, whatever the order in which rows arrive, and in batch.

use std::sync::Arc;

use proptest::prelude::*;

use crate::catalog::MemoryTable;
use crate::stream::testing::facts::{self, Row, table};
use crate::stream::testing::{Outcome, Tables, batch, stream};

fn history() -> impl Strategy<Value = Vec<(Row, i64)>> {
    facts::history(4, 12)
}

fn insertions() -> impl Strategy<Value = Vec<(Row, i64)>> {
    facts::insertions(4, 20)
}

const REGULAR: &[&str] = &[
    "SELECT a.k, a.s, b.n FROM a JOIN b ON a.k = b.k",
    "SELECT a.k, b.k, a.s, b.s FROM a FULL JOIN b ON a.k = b.k AND a.n < b.n",
    "SELECT a.*, b.n FROM a LEFT JOIN b ON a.k = b.k AND a.s = b.s",
    "SELECT a.n, b.* FROM a RIGHT JOIN b ON a.k + 1 = b.n",
    "SELECT a.k, b.k FROM a, b WHERE a.n > b.n + 2",
    "SELECT k, s FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.k = a.k AND b.n >= a.n)",
    "SELECT k, s FROM a WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.k = a.k)",
    "SELECT k, s FROM a WHERE k IN (SELECT n FROM b)",
    "SELECT k, s FROM a WHERE k NOT IN (SELECT n FROM b WHERE s = 'a')",
    "SELECT k, s FROM a WHERE k NOT IN (SELECT k FROM b)",
    "SELECT k, s FROM a WHERE s = 'a' OR EXISTS (SELECT 1 FROM b WHERE b.k = a.n)",
    "SELECT k, n FROM a WHERE n > (SELECT AVG(n) FROM b)",
    "SELECT k, n, (SELECT MAX(n) FROM b) FROM a",
    "SELECT k, n, (SELECT COUNT(*) FROM b WHERE b.k = a.k) FROM a",
    "SELECT x.k, x.c, y.m FROM (SELECT k, COUNT(*) AS c FROM a GROUP BY k) x JOIN (SELECT k, MAX(n) AS m FROM b GROUP BY k) y ON x.k = y.k",
    "SELECT a.s, b.s, c.n FROM a JOIN b ON a.k = b.k LEFT JOIN a c ON c.k = b.n AND c.s = a.s",
    "SELECT k, n FROM a UNION ALL SELECT n, k FROM b",
    "SELECT k, n FROM a UNION SELECT n, k FROM b",
    "SELECT k FROM a INTERSECT SELECT k FROM b",
    "SELECT k FROM a EXCEPT SELECT k FROM b",
    "SELECT v.x, a.s FROM a JOIN (VALUES (1, 'one'), (2, 'two')) AS v (x, name) ON v.x = a.k",
    "SELECT a.k, b.s FROM a JOIN b ON a.k = b.k AND a.s IS NOT DISTINCT FROM b.s",
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

fn two(a: Arc<MemoryTable>, b: Arc<MemoryTable>) -> Tables {
    Tables::from([("a".to_owned(), a), ("b".to_owned(), b)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn joins_as_jobs_give_what_they_give_in_batch(
        a in history(), b in history(), parallelism in 1u32..4, seed in any::<u64>(),
    ) {
        let tables = two(table(&a, None), table(&b, None));
        for sql in REGULAR {
            check(sql, &tables, parallelism, seed)?;
        }
    }

    #[test]
    fn joins_by_time_are_append_only_and_give_what_they_give_in_batch(
        a in insertions(), b in insertions(), parallelism in 1u32..3, seed in any::<u64>(), lag in 0i64..10,
    ) {
        let tables = two(table(&a, Some(lag)), table(&b, Some(lag)));
        for kind in ["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"] {
            let sql = format!(
                "SELECT a.k, a.ts, b.ts, b.n FROM a {kind} b ON a.k = b.k AND b.ts BETWEEN a.ts - INTERVAL '5' SECOND AND a.ts + INTERVAL '9' SECOND"
            );
            let outcome = check(&sql, &tables, parallelism, seed)?;
            prop_assert!(outcome.operators.iter().any(|name| name == "interval-join"), "{:?}", outcome.operators);
            prop_assert!(!outcome.planned.retracts);
            let sql = format!(
                "SELECT a.k, a.s, b.n, b.window_end FROM TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '10' SECOND) a \
                 {kind} TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '10' SECOND) b \
                 ON a.k = b.k AND a.window_start = b.window_start AND a.window_end = b.window_end"
            );
            let outcome = check(&sql, &tables, parallelism, seed)?;
            prop_assert!(outcome.operators.iter().any(|name| name == "window-join"), "{:?}", outcome.operators);
            prop_assert!(!outcome.planned.retracts);
        }
        let sql = "SELECT * FROM (SELECT * FROM TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '10' SECOND)) a WHERE EXISTS \
            (SELECT 1 FROM TUMBLE(TABLE b, DESCRIPTOR(ts), INTERVAL '10' SECOND) b \
             WHERE a.k = b.k AND a.window_start = b.window_start AND a.window_end = b.window_end)";
        let outcome = check(sql, &tables, parallelism, seed)?;
        prop_assert!(outcome.operators.iter().any(|name| name == "window-join"), "{:?}", outcome.operators);
    }
}

/// One row for each key and time, as versions have to be.
fn versions() -> impl Strategy<Value = Vec<(Row, i64)>> {
    insertions().prop_map(|rows| {
        let mut versions: Vec<(Row, i64)> = Vec::new();
        for (row, weight) in rows {
            if !versions.iter().any(|(version, _)| (version.0, version.1) == (row.0, row.1)) {
                versions.push((row, weight));
            }
        }
        versions
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn joins_with_versions_of_a_table_give_what_they_give_in_batch(
        a in insertions(), b in versions(), c in history(), parallelism in 1u32..3, seed in any::<u64>(), lag in 0i64..10,
    ) {
        let mut tables = two(table(&a, Some(lag)), table(&b, Some(lag)));
        tables.insert("c".to_owned(), table(&c, None));
        for kind in ["JOIN", "LEFT JOIN"] {
            for more in ["", " AND a.n < r.n", " AND a.s = r.s"] {
                let sql = format!("SELECT a.k, a.ts, a.n, r.ts, r.n FROM a {kind} b FOR SYSTEM_TIME AS OF a.ts AS r ON a.k = r.k{more}");
                let outcome = check(&sql, &tables, parallelism, seed)?;
                prop_assert!(outcome.operators.iter().any(|name| name == "temporal-join"), "{:?}", outcome.operators);
                prop_assert!(!outcome.planned.retracts && outcome.planned.time == [1]);
                let sql = format!(
                    "SELECT a.k, a.n, r.s, r.n + 1 FROM (SELECT *, PROCTIME() AS p FROM a) AS a {kind} c FOR SYSTEM_TIME AS OF a.p AS r ON a.k + 1 = r.k{more}"
                );
                let outcome = check(&sql, &tables, parallelism, seed)?;
                prop_assert!(outcome.operators.iter().any(|name| name == "lookup-join"), "{:?}", outcome.operators);
                prop_assert!(!outcome.planned.retracts);
                let sql = format!(
                    "SELECT a.k, a.n, r.n FROM (SELECT *, PROCTIME() AS p FROM c) AS a {kind} b FOR SYSTEM_TIME AS OF a.p AS r ON a.k = r.k{more}"
                );
                check(&sql, &tables, parallelism, seed)?;
            }
        }
    }
}

#[test]
fn what_cannot_be_joined_by_time_is_said() {
    let kept = ((Some(1), 1, None, 1), 1);
    let taken_back = ((Some(1), 1, None, 1), -1);
    let mut tables = two(
        table(std::slice::from_ref(&kept), Some(1)),
        table(std::slice::from_ref(&kept), Some(1)),
    );
    tables.insert("plain".to_owned(), table(std::slice::from_ref(&kept), None));
    tables.insert("changing".to_owned(), table(&[kept, taken_back], Some(1)));
    for (sql, reason) in [
        ("SELECT 1 FROM a JOIN b FOR SYSTEM_TIME AS OF a.n ON a.k = b.k", "is no TIMESTAMP"),
        ("SELECT 1 FROM a JOIN b FOR SYSTEM_TIME AS OF a.x ON a.k = b.k", "no such column"),
        (
            "SELECT 1 FROM a RIGHT JOIN b FOR SYSTEM_TIME AS OF a.ts ON a.k = b.k",
            "goes with JOIN and LEFT JOIN",
        ),
        (
            "SELECT 1 FROM a JOIN b FOR SYSTEM_TIME AS OF a.ts ON a.k > b.k",
            "needs ON with an equality",
        ),
        (
            "SELECT 1 FROM a JOIN plain FOR SYSTEM_TIME AS OF a.ts ON a.k = plain.k",
            "has no event time",
        ),
        (
            "SELECT 1 FROM plain JOIN a FOR SYSTEM_TIME AS OF plain.ts ON a.k = plain.k",
            "neither event time",
        ),
        ("SELECT 1 FROM a FOR SYSTEM_TIME AS OF a.ts", "goes with the right side of a JOIN"),
        (
            "SELECT 1 FROM changing JOIN b FOR SYSTEM_TIME AS OF changing.ts ON changing.k = b.k",
            "can be taken back",
        ),
    ] {
        match stream(sql, &tables, 1, 1) {
            Ok(_) => panic!("{sql} was planned"),
            Err(error) => assert!(error.to_string().contains(reason), "{sql}: {error}"),
        }
    }
}

#[test]
fn what_is_kept_is_noted() {
    let tables = two(table(&[], Some(1)), table(&[], Some(1)));
    let noted = |sql: &str| {
        let outcome = stream(sql, &tables, 1, 1).unwrap();
        outcome.notes.into_iter().map(|note| (note.keeps, note.until)).collect::<Vec<_>>()
    };
    let all = noted("SELECT a.k FROM a JOIN b ON a.k = b.k");
    assert_eq!(all, [("all rows of both inputs".to_owned(), None)]);
    let bounded = noted(
        "SELECT a.k FROM a JOIN b ON a.k = b.k AND a.ts BETWEEN b.ts AND b.ts + INTERVAL '1' MINUTE",
    );
    assert!(bounded.iter().all(|(_, until)| until.is_some()) && bounded.len() == 2, "{bounded:?}");
}

#[test]
fn what_is_known_of_a_result() {
    let tables = two(table(&[], None), table(&[], None));
    let known = |sql: &str| {
        let planned = stream(sql, &tables, 2, 1).unwrap().planned;
        (planned.retracts, planned.keys, planned.spread_by)
    };
    let inner = known("SELECT b.n, a.k, a.n FROM a JOIN b ON a.k = b.k");
    assert_eq!(inner, (false, vec![], Some(vec![1])));
    // A row that comes for one without a partner may come before that is taken back.
    let left = known("SELECT b.n, a.k, a.n FROM a LEFT JOIN b ON a.k = b.k");
    assert_eq!(left, (true, vec![], None));
    let counts = "(SELECT k, COUNT(*) AS c FROM a GROUP BY k)";
    let unique =
        known(&format!("SELECT x.c, x.k, y.c FROM {counts} x JOIN {counts} y ON x.k = y.k"));
    assert!(unique.0 && unique.1.contains(&vec![1]) && unique.2.is_none(), "{unique:?}");
    let semi = known(&format!(
        "SELECT c, k FROM {counts} x WHERE EXISTS (SELECT 1 FROM b WHERE b.k = x.k)"
    ));
    assert!(semi.0 && semi.1 == [vec![1]], "{semi:?}");
}
