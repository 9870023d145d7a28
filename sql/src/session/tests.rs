use std::sync::{Arc, Mutex};

use arrow_array::{Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_cast::pretty::pretty_format_batches;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use riverrun_dataflow::{Clock, Job, ManualClock, Resources};

use super::*;
use crate::catalog::MemoryTable;
use crate::{Changes, Error, Result};

/// A host that keeps definitions, and runs no jobs.
#[derive(Default)]
struct Shelf {
    definitions: Mutex<Vec<(String, String)>>,
}

impl Host for Shelf {
    fn resources(&self) -> Resources {
        Resources::default()
    }
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(ManualClock::new(0))
    }
    fn start(&self, _job: Job, submission: Submission) -> Result<Arc<dyn RunningJob>> {
        Err(Error::unsupported(format!("job {}", submission.name)))
    }
    fn catalog_entries(&self) -> Result<Vec<(String, String)>> {
        Ok(self.definitions.lock().unwrap().clone())
    }
    fn put_catalog_entry(&self, name: &str, definition: &str) -> Result<()> {
        self.delete_catalog_entry(name)?;
        self.definitions.lock().unwrap().push((name.to_owned(), definition.to_owned()));
        Ok(())
    }
    fn delete_catalog_entry(&self, name: &str) -> Result<()> {
        self.definitions.lock().unwrap().retain(|(known, _)| known != name);
        Ok(())
    }
    fn delete_topic(&self, _: &str) -> Result<()> {
        Ok(())
    }
    fn topic_exists(&self, _: &str) -> bool {
        false
    }
    fn jobs(&self) -> Vec<JobSummary> {
        Vec::new()
    }
    fn cancel(&self, job: &str, _: bool) -> Result<()> {
        Err(Error::invalid(format!("there is no job `{job}`")))
    }
}

/// Visits (who, what, when), one of which is taken back.
fn visits() -> MemoryTable {
    let schema = Arc::new(Schema::new(vec![
        Field::new("who", DataType::Utf8, true),
        Field::new("bytes", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), false),
    ]));
    let rows = |rows: &[(&str, i64, i64)]| {
        RecordBatch::try_new(
            schema.clone(),
            vec![
                Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
                Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.2))),
            ],
        )
        .unwrap()
    };
    let first = rows(&[("a", 1, 0), ("b", 2, 4_000), ("a", 3, 6_000), ("x", 9, 0)]);
    let second = rows(&[("x", 9, 0), ("b", 5, 20_000)]);
    MemoryTable {
        schema: schema.clone(),
        batches: vec![
            Changes::inserts(first),
            Changes::weighted(second, Int64Array::from(vec![-1, 1])),
        ],
        watermark: Some(crate::catalog::WatermarkDefinition {
            column: "ts".into(),
            expression: "ts - INTERVAL '1' SECOND".into(),
        }),
    }
}

fn session() -> Session {
    let engine = Engine::open(Arc::new(Shelf::default())).unwrap();
    engine.register_memory("visits", visits());
    let mut session = Session::new(engine);
    session.settings_mut().set("execution.runtime-mode", "batch").unwrap();
    session
}

fn run(session: &mut Session, script: &str) -> Result<String> {
    let mut last = String::new();
    for parsed in session.statements(script)? {
        last = match session.execute(&parsed)? {
            Outcome::Done(tag) => tag,
            Outcome::Rows { batches, .. } => pretty_format_batches(&batches).unwrap().to_string(),
            Outcome::Query(query) => pretty_format_batches(&[query.net()?]).unwrap().to_string(),
            Outcome::Job { job, .. } => job.name(),
        };
    }
    Ok(last)
}

/// The cells of a pretty table, row by row.
fn cells(table: &str) -> Vec<Vec<String>> {
    table
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(1)
        .map(|line| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

#[test]
fn batch_queries_see_the_rows_that_are_left() {
    let mut session = session();
    let table = run(
        &mut session,
        "CREATE VIEW v (name, size) AS SELECT who, bytes FROM visits; \
         SELECT name, COUNT(*), SUM(size) FROM v GROUP BY name ORDER BY name DESC",
    )
    .unwrap();
    assert_eq!(cells(&table), [["b", "2", "7"], ["a", "2", "4"]]);
}

#[test]
fn a_field_of_a_row_is_a_column_of_its_name() {
    let mut session = session();
    let table = run(
        &mut session,
        "CREATE VIEW rows_of AS SELECT named_struct('who', who, 'size', named_struct('bytes', bytes)) AS visit FROM visits; \
         CREATE VIEW flat AS SELECT visit.who, r.visit.size.bytes FROM rows_of AS r WHERE visit.size.bytes < 9; \
         SELECT f.who, SUM(bytes) FROM flat AS f JOIN rows_of ON f.who = visit.who WHERE bytes > 1 GROUP BY f.who \
         UNION ALL SELECT visit.who, SUM(visit.size.bytes) FROM rows_of GROUP BY visit.who ORDER BY 1, 2",
    )
    .unwrap();
    assert_eq!(cells(&table), [["a", "4"], ["a", "6"], ["b", "7"], ["b", "14"]]);
}

#[test]
fn windows_in_batch_queries() {
    let mut session = session();
    let mut windows = |from: &str| {
        let query = format!(
            "SELECT who, CAST(window_start AS BIGINT), CAST(window_end AS BIGINT), CAST(window_time AS BIGINT), \
             COUNT(*) FROM TABLE({from}) GROUP BY who, window_start, window_end, window_time ORDER BY who, window_end, window_start"
        );
        let table = run(&mut session, &query).unwrap_or_else(|error| panic!("{from}: {error}"));
        cells(&table).into_iter().map(|row| row.join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(
        windows("TUMBLE(TABLE visits, DESCRIPTOR(ts), INTERVAL '5' SECOND)"),
        ["a 0 5000 4999 1", "a 5000 10000 9999 1", "b 0 5000 4999 1", "b 20000 25000 24999 1"]
    );
    assert_eq!(
        windows("HOP(TABLE visits, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND)"),
        [
            "a -5000 5000 4999 1",
            "a 0 10000 9999 2",
            "a 5000 15000 14999 1",
            "b -5000 5000 4999 1",
            "b 0 10000 9999 1",
            "b 15000 25000 24999 1",
            "b 20000 30000 29999 1"
        ]
    );
    assert_eq!(
        windows(
            "CUMULATE(TABLE visits, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND)"
        ),
        [
            "a 0 5000 4999 1",
            "a 0 10000 9999 2",
            "b 0 5000 4999 1",
            "b 0 10000 9999 1",
            "b 20000 25000 24999 1",
            "b 20000 30000 29999 1"
        ]
    );
    assert_eq!(
        windows("SESSION(TABLE visits PARTITION BY who, DESCRIPTOR(ts), INTERVAL '7' SECOND)"),
        ["a 0 13000 12999 2", "b 4000 11000 10999 1", "b 20000 27000 26999 1"]
    );
}

#[test]
fn definitions_are_kept_and_checked() {
    let host = Arc::new(Shelf::default());
    let engine = Engine::open(host.clone()).unwrap();
    let mut session = Session::new(engine);
    run(
        &mut session,
        "CREATE TABLE t (a INT, b AS a + 1, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'blackhole'); \
         CREATE VIEW v AS SELECT b FROM t; CREATE TEMPORARY VIEW w AS SELECT * FROM v",
    )
    .unwrap();
    assert_eq!(host.catalog_entries().unwrap().len(), 2);
    let mut again = Session::new(Engine::open(host).unwrap());
    let table = run(&mut again, "DESCRIBE v").unwrap();
    assert_eq!(cells(&table)[0][..2], ["b", "BIGINT"]);
    assert_eq!(cells(&run(&mut again, "SHOW TABLES").unwrap()).len(), 2);
    assert!(run(&mut session, "DESCRIBE w").is_ok());
    for (statement, expected) in [
        ("CREATE TABLE t (a INT)", "table `t` is there already"),
        ("CREATE VIEW x AS SELECT nope FROM t", "nope"),
        ("SELECT * FROM tt", "table `tt` is not known; did you mean `t`?"),
        ("DROP VIEW t", "`t` is a table: use DROP TABLE"),
        ("DROP TABLE nothing", "table `nothing` is not known"),
        (
            "CREATE TABLE u (a INT, b AS c + 1) WITH ('connector' = 'blackhole')",
            "computed column `b`",
        ),
        ("CREATE TABLE u (a INT, WATERMARK FOR a AS a)", "must be TIMESTAMP(3)"),
        ("SET 'x' = 'y'", "setting 'x' is not known"),
        (
            "SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MONTH))",
            "no fixed length",
        ),
        (
            "SELECT * FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(a), INTERVAL '1' DAY))",
            "must be TIMESTAMP(3)",
        ),
        ("INSERT INTO t SELECT 1, 2, 3", "the query has 3 columns, and `t` takes 2 (a, ts)"),
        ("INSERT INTO t SELECT 'x', TIMESTAMP '2020-01-01 00:00:00'", "CAST it"),
        ("INSERT INTO t (nope) SELECT 1", "no column `nope`"),
        ("INSERT INTO v SELECT 1", "only tables take rows"),
    ] {
        let error = run(&mut session, statement).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expected), "{statement}: {error}");
    }
    run(&mut session, "DROP VIEW v; DROP TABLE t; DROP TABLE IF EXISTS t").unwrap();
    assert!(run(&mut session, "SHOW TABLES").unwrap().contains(" w "));
}
