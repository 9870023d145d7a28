use arrow_schema::{DataType, TimeUnit};

use super::*;
use crate::catalog::ColumnKind;

fn one(text: &str) -> Statement {
    let mut script = parse_script(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(script.len(), 1);
    script.remove(0).statement
}

fn error(text: &str) -> String {
    parse_script(text).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_table_with_everything() {
    let Statement::CreateTable(create) = one("CREATE TEMPORARY TABLE IF NOT EXISTS `my table` (\n\
         id BIGINT NOT NULL COMMENT 'which', person ROW<name STRING, tags ARRAY<MAP<STRING, INT>>>,\n\
         price DECIMAL(23, 3), ts TIMESTAMP(3), at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL,\n\
         `offset` BIGINT METADATA, cents AS price * 100, WATERMARK FOR ts AS ts - INTERVAL '4' SECOND,\n\
         PRIMARY KEY (id) NOT ENFORCED) WITH ('connector' = 'riverrun', 'topic' = 'it''s')")
    else {
        panic!("not a table");
    };
    assert!(create.temporary && create.if_not_exists && create.query.is_none());
    let table = create.table;
    assert_eq!((table.name.as_str(), table.option("topic")), ("my table", Some("it's")));
    assert_eq!(table.primary_key, ["id"]);
    let watermark = table.watermark.as_ref().unwrap();
    assert_eq!(
        (watermark.column.as_str(), watermark.expression.as_str()),
        ("ts", "ts - INTERVAL '4' SECOND")
    );
    assert!(matches!(table.columns[1].data_type, DataType::Struct(_)));
    assert_eq!(table.columns[2].data_type, DataType::Decimal128(23, 3));
    assert_eq!(table.columns[3].data_type, DataType::Timestamp(TimeUnit::Millisecond, None));
    assert_eq!(
        table.columns[4].kind,
        ColumnKind::Metadata { key: "timestamp".into(), is_virtual: true }
    );
    assert_eq!(table.columns[6].kind, ColumnKind::Computed { expression: "price * 100".into() });
    assert_eq!(table.source_columns(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(table.sink_columns(), [0, 1, 2, 3, 5]);
}

#[test]
fn rows_are_spread_over_folders_by_columns() {
    let script =
        parse_script("CREATE TABLE t (a INT, dt STRING, hm STRING) PARTITIONED BY (dt, hm)")
            .unwrap();
    let Statement::CreateTable(create) = &script[0].statement else { panic!("{script:?}") };
    assert_eq!(create.table.partitioned_by, ["dt", "hm"]);
}

#[test]
fn statements_are_told_apart() {
    let script = parse_script(
        "-- a comment; with a semicolon\n\
         CREATE VIEW v (a, b) AS SELECT 1, ';';\n\
         CREATE MATERIALIZED VIEW m WITH ('topic' = 'm') AS SELECT * FROM v;\n\
         INSERT INTO t (x) SELECT a FROM v;\n\
         EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT 1; INSERT INTO u VALUES (1), (2); END;\n\
         EXPLAIN PLAN FOR SELECT 1; SET 'a.b-c' = 'd'; SET; RESET a.b-c; SHOW CREATE TABLE t;\n\
         DROP TABLE IF EXISTS t; DESC t; STOP JOB 'j' WITH SAVEPOINT; SHOW JOBS",
    )
    .unwrap();
    assert_eq!(script.len(), 13);
    let Statement::CreateView(view) = &script[0].statement else { panic!("{script:?}") };
    assert_eq!((view.query.text.as_str(), view.columns.len()), ("SELECT 1, ';'", 2));
    assert_eq!(script[0].begin, crate::Position { line: 2, column: 1 });
    let Statement::Insert(insert) = &script[2].statement else { panic!("{script:?}") };
    assert_eq!(
        (insert.table.as_str(), insert.columns.as_deref()),
        ("t", Some(&["x".to_owned()][..]))
    );
    assert_eq!(insert.text, "INSERT INTO t (x) SELECT a FROM v");
    let Statement::StatementSet(set) = &script[3].statement else { panic!("{script:?}") };
    assert_eq!((set.len(), set[1].text.as_str()), (2, "INSERT INTO u VALUES (1), (2)"));
    assert_eq!(script[5].statement, Statement::Set(Some(("a.b-c".into(), "d".into()))));
    assert_eq!(script[6].statement, Statement::Set(None));
    assert_eq!(script[11].statement, Statement::StopJob { job: "j".into(), with_savepoint: true });
}

#[test]
fn windows_are_table_functions() {
    for text in [
        "SELECT * FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(ts), INTERVAL '10' SECOND))",
        "SELECT * FROM TABLE(HOP(DATA => TABLE bid, TIMECOL => DESCRIPTOR(ts), SLIDE => INTERVAL '2' SECOND, SIZE => INTERVAL '10' SECOND))",
        "SELECT * FROM TABLE(SESSION(TABLE bid PARTITION BY a, b, DESCRIPTOR(ts), INTERVAL '10' SECOND))",
        "SELECT * FROM a JOIN b FOR SYSTEM_TIME AS OF a.ts AS c ON a.x = c.x",
        "SELECT MAP['a', 1]['a'], ARRAY[1, 2][1], ROW(1, 2)",
        "SELECT COUNT(*) FILTER (WHERE x > 1) FROM t",
    ] {
        one(text);
    }
    let Statement::Query(query) = one(
        "SELECT k, TUMBLE_START(ts, INTERVAL '1' MINUTE) AS s, COUNT(*) FROM t AS x WHERE k > 1 \
         GROUP BY k, TUMBLE(ts, INTERVAL '1' MINUTE) HAVING COUNT(*) > 1",
    ) else {
        panic!("not a query")
    };
    assert_eq!(
        query.query.to_string(),
        "SELECT k, window_start AS s, COUNT(*) FROM TABLE(TUMBLE(__table((SELECT * FROM t AS x WHERE k > 1)), \
         DESCRIPTOR(ts), INTERVAL '1' MINUTE)) AS x GROUP BY window_start, window_end, k HAVING COUNT(*) > 1"
    );
}

#[test]
fn errors_say_where_and_what() {
    for (text, expected) in [
        ("SELEC 1", "line 1, column 1: expected SELECT, WITH"),
        ("SELECT 1 FROM", "line 1, column 14: expected identifier, found EOF"),
        ("CREATE TABLE t (a STRNG)", "line 1, column 19: `STRNG` is not a type"),
        ("CREATE TABLE t (a INT,\n b INT PRIMARY KEY)", "line 2, column 19: expected `NOT`"),
        ("CREATE TABLE t (a INT, a INT)", "line 1, column 24: the table has two columns `a`"),
        ("CREATE TABLE t (a INT, PRIMARY KEY (b) NOT ENFORCED)", "the PRIMARY KEY names `b`"),
        ("CREATE TABLE t (a INT) PARTITIONED BY (b)", "PARTITIONED BY names `b`"),
        ("CREATE TABLE t (a INT) LIKE u", "line 1, column 24: expected WITH (...) or AS: LIKE"),
        ("CREATE TABLE t (a INT, WATERMARK FOR b AS b)", "WATERMARK FOR names `b`"),
        ("CREATE TABLE t (a AS 1)", "only computed columns"),
        ("CREATE TABLE t (a INT) WITH ('a' = 'b', 'a' = 'c')", "option 'a' is set twice"),
        ("SELECT 'open", "line 1, column 8: Unterminated string literal"),
        ("EXECUTE STATEMENT SET BEGIN END", "at least one INSERT"),
        ("SHOW 1", "expected TABLES"),
        ("DROP 1", "expected TABLE, VIEW"),
        ("SELECT a FROM t GROUP BY TUMBLE(a + 1, INTERVAL '1' SECOND)", "must be a column"),
    ] {
        let error = error(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn what_is_typed_is_complete_or_not() {
    for (text, complete) in [
        ("", true),
        ("SELECT 1", false),
        ("SELECT 1;", true),
        ("SELECT ';", false),
        ("SELECT ';';  -- done;\n", true),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT 1;", false),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT CASE WHEN a THEN 1 END FROM u;", false),
        ("EXECUTE STATEMENT SET BEGIN INSERT INTO t SELECT 1; END;", true),
    ] {
        assert_eq!(is_complete(text), complete, "{text}");
    }
}
