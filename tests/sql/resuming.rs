//! Jobs of SQL go on from their last checkpoint, at another parallelism, and give what they would have given in one go.

use std::collections::BTreeMap;

use riverrun_sql::session::{Session, Submission};

use crate::kit::{Cluster, run, sorted_rows};

/// Statements that fill `out`, which has the columns (k, a, b), and the query that says what must come to be in it.
const JOBS: &[(&str, &str)] = &[
    (
        "INSERT INTO out_keyed SELECT k, COUNT(*), SUM(v) FROM facts GROUP BY k",
        "SELECT k, COUNT(*), SUM(v) FROM facts GROUP BY k",
    ),
    (
        "INSERT INTO out_keyed SELECT k, COUNT(DISTINCT v), MAX(v) FROM facts WHERE v > 3 GROUP BY k",
        "SELECT k, COUNT(DISTINCT v), MAX(v) FROM facts WHERE v > 3 GROUP BY k",
    ),
    (
        "INSERT INTO out_plain SELECT f.k, f.v, n.w FROM facts f JOIN names n ON f.k = n.k",
        "SELECT f.k, f.v, n.w FROM facts f JOIN names n ON f.k = n.k",
    ),
    (
        "INSERT INTO out_keyed SELECT n.k, COUNT(*), MIN(n.w) FROM names n LEFT JOIN facts f ON f.k = n.k AND f.v > n.w GROUP BY n.k",
        "SELECT n.k, COUNT(*), MIN(n.w) FROM names n LEFT JOIN facts f ON f.k = n.k AND f.v > n.w GROUP BY n.k",
    ),
    (
        "INSERT INTO out_keyed SELECT k, v, id FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC, id) AS rn FROM facts) WHERE rn = 1",
        "SELECT k, v, id FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC, id) AS rn FROM facts) WHERE rn = 1",
    ),
    (
        "INSERT INTO out_plain SELECT CAST(window_start AS BIGINT), COUNT(*), MAX(v) FROM TABLE(HOP(TABLE facts, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '15' SECOND)) \
         GROUP BY window_start, window_end",
        "SELECT CAST(window_start AS BIGINT), COUNT(*), MAX(v) FROM TABLE(HOP(TABLE facts, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '15' SECOND)) \
         GROUP BY window_start, window_end",
    ),
    (
        "INSERT INTO out_plain SELECT CAST(window_start AS BIGINT), k, COUNT(DISTINCT v) FROM TABLE(TUMBLE(TABLE facts, DESCRIPTOR(ts), INTERVAL '20' SECOND)) \
         GROUP BY window_start, window_end, k",
        "SELECT CAST(window_start AS BIGINT), k, COUNT(DISTINCT v) FROM TABLE(TUMBLE(TABLE facts, DESCRIPTOR(ts), INTERVAL '20' SECOND)) \
         GROUP BY window_start, window_end, k",
    ),
    (
        "INSERT INTO out_plain SELECT k, id, SUM(v) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '9' SECOND PRECEDING AND CURRENT ROW) FROM facts",
        "SELECT k, id, SUM(v) OVER (PARTITION BY k ORDER BY ts RANGE BETWEEN INTERVAL '9' SECOND PRECEDING AND CURRENT ROW) FROM facts",
    ),
];

fn tables(topic: &str) -> String {
    let with = |topic: &str| {
        format!("WITH ('connector' = 'riverrun', 'topic' = '{topic}', 'format' = 'json')")
    };
    format!(
        "CREATE TABLE facts (id BIGINT, k BIGINT, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) {}; \
         CREATE TABLE names (k BIGINT, w BIGINT) {}; \
         CREATE TABLE out_keyed (k BIGINT, a BIGINT, b BIGINT, PRIMARY KEY (k) NOT ENFORCED) {}; \
         CREATE TABLE out_plain (k BIGINT, a BIGINT, b BIGINT) {}",
        with("facts"),
        with("names"),
        with(&format!("{topic}_keyed")),
        with(&format!("{topic}_plain")),
    )
}

/// More rows of `facts` and `names`: part `part` of what a job reads.
fn more(part: i64) -> String {
    let facts: Vec<String> = (part * 40..(part + 1) * 40)
        .map(|id| {
            let (k, v) = (id * 7 % 11, id * 13 % 17);
            format!("({id}, {k}, {v}, TO_TIMESTAMP_LTZ({}, 3))", id * 500 + id * 31 % 900)
        })
        .collect();
    let names: Vec<String> =
        (0..4).map(|i| format!("({}, {})", (part * 4 + i) % 13, i + part)).collect();
    format!(
        "SET 'pipeline.name' = 'facts {part}'; INSERT INTO facts SELECT id, k, v, CAST(ts AS TIMESTAMP(3)) FROM (VALUES {}) AS f(id, k, v, ts); \
         SET 'pipeline.name' = 'names {part}'; INSERT INTO names VALUES {}; RESET 'pipeline.name'",
        facts.join(", "),
        names.join(", ")
    )
}

#[test]
fn jobs_go_on_where_they_were_at_another_parallelism() {
    let mut failures = Vec::new();
    for (number, (job, query)) in JOBS.iter().enumerate() {
        let mut session = Session::new(Cluster::engine());
        session.settings_mut().set("execution.until-caught-up", "true").unwrap();
        run(&mut session, &tables(&format!("out{number}"))).unwrap();
        // The job reads what is there, finishes, and goes on when there is more: each time at another parallelism. Event time goes on as well: nothing is
        // emitted twice, and windows that were open are whole in the end.
        run(&mut session, &more(0)).unwrap();
        let mut submission = Submission {
            name: "the job".to_owned(),
            statement: (*job).to_owned(),
            settings: BTreeMap::from([(
                "execution.until-caught-up".to_owned(),
                "false".to_owned(),
            )]),
            temporary: Vec::new(),
            durable: true,
        };
        for (part, parallelism) in [(1, "1"), (2, "3"), (3, "2")] {
            submission.settings.insert("parallelism.default".to_owned(), parallelism.to_owned());
            let running = session.engine().resume(&submission).unwrap();
            run(&mut session, &more(part)).unwrap();
            // A last checkpoint, wherever the job is just now.
            running.stop_with_checkpoint();
            running.wait().unwrap();
        }
        submission.settings.insert("execution.until-caught-up".to_owned(), "true".to_owned());
        submission.settings.insert("parallelism.default".to_owned(), "4".to_owned());
        session.engine().resume(&submission).unwrap().wait().unwrap();
        let out = if job.contains("out_keyed") { "out_keyed" } else { "out_plain" };
        session.settings_mut().set("execution.runtime-mode", "batch").unwrap();
        let expected = sorted_rows(&run(&mut session, query).unwrap().unwrap());
        let got =
            sorted_rows(&run(&mut session, &format!("SELECT * FROM {out}")).unwrap().unwrap());
        if got != expected {
            failures.push(format!("{job}\nexpected {expected:#?}\ngot {got:#?}"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        JOBS.len(),
        failures.join("\n\n")
    );
}
