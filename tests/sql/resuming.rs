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
    (
        "INSERT INTO out_plain SELECT k, id, SUM(v) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM facts",
        "SELECT k, id, SUM(v) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) FROM facts",
    ),
    (
        "INSERT INTO out_plain SELECT id, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts), SUM(v) OVER (PARTITION BY k ORDER BY ts) FROM facts",
        "SELECT id, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts), SUM(v) OVER (PARTITION BY k ORDER BY ts) FROM facts",
    ),
    (
        "INSERT INTO out_keyed SELECT k, n, RANK() OVER (ORDER BY n DESC) FROM (SELECT k, SUM(v) AS n FROM facts GROUP BY k)",
        "SELECT k, n, RANK() OVER (ORDER BY n DESC) FROM (SELECT k, SUM(v) AS n FROM facts GROUP BY k)",
    ),
    (
        "INSERT INTO out_keyed SELECT k, n, SUM(n) OVER (PARTITION BY k ORDER BY n) FROM (SELECT k, SUM(v) AS n FROM facts GROUP BY k)",
        "SELECT k, n, SUM(n) OVER (PARTITION BY k ORDER BY n) FROM (SELECT k, SUM(v) AS n FROM facts GROUP BY k)",
    ),
    (
        "INSERT INTO out_keyed SELECT id, k, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC, id) AS rn FROM facts) WHERE rn <= 3",
        "SELECT id, k, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC, id) AS rn FROM facts) WHERE rn <= 3",
    ),
    (
        "INSERT INTO out_plain SELECT CAST(window_start AS BIGINT), k, COUNT(*) FROM TABLE(SESSION(TABLE facts PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' SECOND)) \
         GROUP BY window_start, window_end, k",
        "SELECT CAST(window_start AS BIGINT), k, COUNT(*) FROM TABLE(SESSION(TABLE facts PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' SECOND)) \
         GROUP BY window_start, window_end, k",
    ),
    (
        "INSERT INTO out_plain SELECT CAST(window_start AS BIGINT), CAST(window_end AS BIGINT), id FROM TABLE(SESSION(TABLE facts PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' SECOND))",
        "SELECT CAST(window_start AS BIGINT), CAST(window_end AS BIGINT), id FROM TABLE(SESSION(TABLE facts PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' SECOND))",
    ),
    (
        "INSERT INTO out_plain SELECT CAST(window_end AS BIGINT), k, SUM(v) FROM TABLE(CUMULATE(TABLE facts, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '30' SECOND)) \
         GROUP BY window_start, window_end, k",
        "SELECT CAST(window_end AS BIGINT), k, SUM(v) FROM TABLE(CUMULATE(TABLE facts, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '30' SECOND)) \
         GROUP BY window_start, window_end, k",
    ),
    (
        "INSERT INTO out_plain SELECT CAST(window_start AS BIGINT), id, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY v DESC, id) AS rn \
         FROM TABLE(TUMBLE(TABLE facts, DESCRIPTOR(ts), INTERVAL '15' SECOND))) WHERE rn <= 3",
        "SELECT CAST(window_start AS BIGINT), id, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY window_start, window_end ORDER BY v DESC, id) AS rn \
         FROM TABLE(TUMBLE(TABLE facts, DESCRIPTOR(ts), INTERVAL '15' SECOND))) WHERE rn <= 3",
    ),
    (
        "INSERT INTO out_plain SELECT a.id, b.id, b.v FROM facts a LEFT JOIN facts b ON a.k = b.k AND b.v > a.v AND b.ts BETWEEN a.ts - INTERVAL '12' SECOND AND a.ts + INTERVAL '6' SECOND",
        "SELECT a.id, b.id, b.v FROM facts a LEFT JOIN facts b ON a.k = b.k AND b.v > a.v AND b.ts BETWEEN a.ts - INTERVAL '12' SECOND AND a.ts + INTERVAL '6' SECOND",
    ),
    (
        "INSERT INTO out_keyed SELECT 1, COUNT(*), MAX(n) FROM (SELECT k, COUNT(*) AS n FROM facts GROUP BY k)",
        "SELECT 1, COUNT(*), MAX(n) FROM (SELECT k, COUNT(*) AS n FROM facts GROUP BY k)",
    ),
    (
        "INSERT INTO out_plain SELECT DISTINCT k, v, 0 FROM facts",
        "SELECT DISTINCT k, v, 0 FROM facts",
    ),
    ("INSERT INTO out_plain SELECT k, v, id FROM facts ORDER BY ts", "SELECT k, v, id FROM facts"),
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
            // Before the last part nothing happens for so long that every window is over.
            let pause = if part == LAST { 3_600_000 } else { 0 };
            format!("({id}, {k}, {v}, TO_TIMESTAMP_LTZ({}, 3))", pause + id * 500 + id * 31 % 900)
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

/// The part that comes when a job has already been at the end of its input.
const LAST: i64 = 4;

#[test]
fn jobs_go_on_where_they_were_at_another_parallelism() {
    let failures: Vec<String> = JOBS
        .iter()
        .enumerate()
        .filter_map(|(number, (job, query))| goes_on(number, job, query).err())
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        JOBS.len(),
        failures.join("\n\n")
    );
}

/// Whether a job that is stopped and goes on several times gives what the query says.
fn goes_on(number: usize, job: &str, query: &str) -> Result<(), String> {
    let mut session = Session::new(Cluster::engine());
    session.settings_mut().set("execution.until-caught-up", "true").unwrap();
    run(&mut session, &tables(&format!("out{number}"))).unwrap();
    // The job reads what is there, finishes, and goes on when there is more: each time at another parallelism. Event time goes on as well: nothing is
    // emitted twice, and windows that were open are whole in the end.
    run(&mut session, &more(0)).unwrap();
    let mut submission = Submission {
        name: "the job".to_owned(),
        statement: job.to_owned(),
        settings: BTreeMap::new(),
        temporary: Vec::new(),
        durable: true,
    };
    let set = |submission: &mut Submission, caught_up: &str, parallelism: &str| {
        let settings =
            [("execution.until-caught-up", caught_up), ("parallelism.default", parallelism)];
        submission.settings =
            settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    };
    for (part, parallelism) in [(1, "1"), (2, "3"), (3, "1")] {
        set(&mut submission, "false", parallelism);
        let running = session.engine().resume(&submission).unwrap();
        run(&mut session, &more(part)).unwrap();
        // A last checkpoint, wherever the job is just now.
        running.stop_with_checkpoint();
        running.wait().unwrap();
    }
    set(&mut submission, "true", "4");
    session.engine().resume(&submission).unwrap().wait().unwrap();
    agrees(&mut session, job, query)
        .map_err(|error| format!("at the end of the input: {error}"))?;
    // The end of the input was the end for then only.
    run(&mut session, &more(LAST)).unwrap();
    set(&mut submission, "true", "2");
    session.engine().resume(&submission).unwrap().wait().unwrap();
    agrees(&mut session, job, query).map_err(|error| format!("beyond the end: {error}"))
}

fn agrees(session: &mut Session, job: &str, query: &str) -> Result<(), String> {
    let out = if job.contains("out_keyed") { "out_keyed" } else { "out_plain" };
    session.settings_mut().set("execution.runtime-mode", "batch").unwrap();
    let expected = sorted_rows(&run(session, query).unwrap().unwrap());
    let got = sorted_rows(&run(session, &format!("SELECT * FROM {out}")).unwrap().unwrap());
    session.settings_mut().set("execution.runtime-mode", "streaming").unwrap();
    if got == expected {
        return Ok(());
    }
    Err(format!("{job}\nexpected {expected:#?}\ngot {got:#?}"))
}
