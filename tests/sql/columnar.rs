//! Tables of columnar topics on the whole engine: what is written comes back, what does not fit is refused when it is said.

use crate::connectors::{error, rows, session};
use crate::kit::run;

const ARROW: &str = "'connector' = 'riverrun', 'format' = 'arrow', 'topic'";

#[test]
fn rows_within_rows_arrays_and_maps_come_back_and_columns_are_found_by_name() {
    let mut session = session();
    run(
        &mut session,
        &format!(
            "CREATE TABLE raw (line STRING) WITH ('connector' = 'riverrun', 'topic' = 'raw', 'format' = 'raw');
             CREATE TABLE nested (id INT, r ROW<a INT, b ROW<c STRING>>, l ARRAY<ROW<x INT>>, m MAP<STRING, ARRAY<BIGINT>>)
                 WITH ('connector' = 'riverrun', 'topic' = 'raw', 'format' = 'json');
             CREATE TABLE kept (id INT NOT NULL, r ROW<a INT, b ROW<c STRING>>, l ARRAY<ROW<x INT>>, m MAP<STRING, ARRAY<BIGINT>>)
                 WITH ({ARROW} = 'kept', 'sink.partitions' = '2');
             CREATE TABLE other (m MAP<STRING, ARRAY<BIGINT>>, id INT, l ARRAY<ROW<x INT>>, r ROW<a INT, b ROW<c STRING>>)
                 WITH ({ARROW} = 'kept');
             CREATE TABLE few (r ROW<a INT, b ROW<c STRING>>, id INT) WITH ({ARROW} = 'kept');
             INSERT INTO raw VALUES
                 ('{{\"id\": 1, \"r\": {{\"b\": {{\"c\": \"x\"}}, \"a\": 5}}, \"l\": [{{\"x\": 1}}, null, {{}}], \"m\": {{\"k\": [1, 2]}}}}'),
                 ('{{\"m\": {{}}, \"l\": [], \"r\": null, \"id\": 2}}');
             INSERT INTO kept SELECT * FROM nested"
        ),
    )
    .unwrap();
    let expected = rows(&mut session, "SELECT id, r, l, m FROM nested");
    assert_eq!(expected.len(), 2);
    for table in ["kept", "other"] {
        assert_eq!(rows(&mut session, &format!("SELECT id, r, l, m FROM {table}")), expected);
    }
    let query = "SELECT r.b.c, id FROM few WHERE id < 3";
    assert_eq!(rows(&mut session, query), ["NULL | 2", "x | 1"]);
    let fields = "SELECT id, CARDINALITY(l), m['k'][2] FROM other";
    assert_eq!(rows(&mut session, fields), ["1 | 3 | 2", "2 | 0 | NULL"]);
    assert_eq!(rows(&mut session, "SELECT COUNT(*) FROM kept"), ["2"]);
    // A topic that has its columns in another order takes them all the same, but not without one.
    run(&mut session, "INSERT INTO kept SELECT id + 10, r, l, m FROM other").unwrap();
    assert_eq!(rows(&mut session, "SELECT id FROM kept"), ["1", "11", "12", "2"]);
    let refused = error(&mut session, "INSERT INTO few SELECT r, id FROM kept");
    assert!(refused.contains("its column `id` is NOT NULL"), "{refused}");
    let refused = error(&mut session, "INSERT INTO other SELECT m, id, l, r FROM kept");
    assert!(refused.contains("declare it INT NOT NULL"), "{refused}");
}

#[test]
fn a_topic_in_another_order_takes_columns_by_name() {
    let mut session = session();
    run(
        &mut session,
        &format!(
            "CREATE TABLE ab (a BIGINT, b STRING) WITH ({ARROW} = 'ab');
             CREATE TABLE ba (b STRING, a BIGINT) WITH ({ARROW} = 'ab');
             CREATE TABLE one (b STRING) WITH ({ARROW} = 'ab');
             CREATE TABLE three (b STRING, c INT, a BIGINT) WITH ({ARROW} = 'ab');
             INSERT INTO ab VALUES (1, 'x');
             INSERT INTO ba VALUES ('y', 2)"
        ),
    )
    .unwrap();
    assert_eq!(rows(&mut session, "SELECT a, b FROM ab"), ["1 | x", "2 | y"]);
    assert_eq!(rows(&mut session, "SELECT * FROM one"), ["x", "y"]);
    let missing = error(&mut session, "INSERT INTO one VALUES ('z')");
    assert!(missing.contains("its column `a` BIGINT gets no values"), "{missing}");
    for statement in ["INSERT INTO three VALUES ('z', 1, 2)", "SELECT c FROM three"] {
        let more = error(&mut session, statement);
        assert!(more.contains("it has no column `c`, only `a` BIGINT, `b` STRING"), "{more}");
    }
    // What is not read need not be there.
    assert_eq!(rows(&mut session, "SELECT a FROM three"), ["1", "2"]);
}

#[test]
fn metadata_event_time_and_windows() {
    let mut session = session();
    run(
        &mut session,
        &format!(
            "CREATE TABLE clicks (id INT, at TIMESTAMP(3), WATERMARK FOR at AS at - INTERVAL '1' SECOND,
                 `offset` BIGINT METADATA VIRTUAL, `partition` INT METADATA VIRTUAL,
                 `latest` TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, `topic` STRING METADATA VIRTUAL)
                 WITH ({ARROW} = 'clicks', 'sink.partitions' = '1');
             INSERT INTO clicks SELECT id, at FROM (VALUES
                 (1, TIMESTAMP '2024-01-01 00:00:01'), (2, TIMESTAMP '2024-01-01 00:00:03'),
                 (3, TIMESTAMP '2024-01-01 00:00:02')) AS v(id, at);
             INSERT INTO clicks VALUES (4, TIMESTAMP '2024-01-01 00:00:12')"
        ),
    )
    .unwrap();
    let query = "SELECT id, `partition`, CAST(`latest` AS STRING), `topic` FROM clicks";
    assert_eq!(
        rows(&mut session, query),
        [
            "1 | 0 | 2024-01-01 00:00:03.000 | clicks",
            "2 | 0 | 2024-01-01 00:00:03.000 | clicks",
            "3 | 0 | 2024-01-01 00:00:03.000 | clicks",
            "4 | 0 | 2024-01-01 00:00:12.000 | clicks",
        ]
    );
    // Offsets count rows; the mark of the first transaction takes one as well.
    assert_eq!(rows(&mut session, "SELECT `offset` FROM clicks"), ["0", "1", "2", "4"]);
    assert_eq!(rows(&mut session, "SELECT COUNT(*), MAX(`offset`) FROM clicks"), ["4 | 4"]);
    let windows = "SELECT CAST(window_start AS STRING), COUNT(*), SUM(id)
        FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(at), INTERVAL '10' SECOND)) GROUP BY window_start, window_end";
    assert_eq!(
        rows(&mut session, windows),
        ["2024-01-01 00:00:00.000 | 3 | 6", "2024-01-01 00:00:10.000 | 1 | 4"]
    );
    // The log finds them by their event time.
    run(
        &mut session,
        &format!(
            "CREATE TABLE late (id INT) WITH ({ARROW} = 'clicks', 'scan.startup.mode' = 'timestamp',
                 'scan.startup.timestamp-millis' = '1704067204000')"
        ),
    )
    .unwrap();
    assert_eq!(rows(&mut session, "SELECT id FROM late"), ["4"]);
}

#[test]
fn a_table_is_made_of_a_query_and_changes_are_kept() {
    let mut session = session();
    run(
        &mut session,
        &format!(
            "CREATE TABLE made WITH ({ARROW} = 'made') AS SELECT id, CAST(id AS STRING) AS name
                 FROM (VALUES (1), (2), (3), (1)) AS v(id);
             CREATE TABLE counts (id BIGINT, n BIGINT) WITH ({ARROW} = 'counts', 'changelog.mode' = 'all');
             INSERT INTO counts SELECT id, COUNT(*) FROM made GROUP BY id"
        ),
    )
    .unwrap();
    assert_eq!(rows(&mut session, "SELECT * FROM made"), ["1 | 1", "1 | 1", "2 | 2", "3 | 3"]);
    assert_eq!(rows(&mut session, "SELECT * FROM counts"), ["1 | 2", "2 | 1", "3 | 1"]);
    assert_eq!(rows(&mut session, "SELECT SUM(n) FROM counts WHERE id < 3"), ["3"]);
    // Changes are no rows that stay, nor the other way round.
    run(
        &mut session,
        &format!(
            "CREATE TABLE plain (id BIGINT, n BIGINT) WITH ({ARROW} = 'counts');
             CREATE TABLE changes (id BIGINT, name STRING) WITH ({ARROW} = 'made', 'changelog.mode' = 'all')"
        ),
    )
    .unwrap();
    let plain = error(&mut session, "SELECT n FROM plain");
    assert!(plain.contains("declare the table with 'changelog.mode' = 'all'"), "{plain}");
    let changes = error(&mut session, "SELECT id FROM changes");
    assert!(changes.contains("it holds rows that stay"), "{changes}");
}

#[test]
fn what_does_not_fit_the_topic_names_the_column_both_types_and_the_remedy() {
    let mut session = session();
    run(
        &mut session,
        &format!(
            "CREATE TABLE prices (id BIGINT, price DECIMAL(10, 2)) WITH ({ARROW} = 'prices');
             INSERT INTO prices VALUES (1, 2.5);
             CREATE TABLE wrong (id BIGINT, price DOUBLE) WITH ({ARROW} = 'prices');
             CREATE TABLE text (id BIGINT, price DOUBLE) WITH ('connector' = 'riverrun', 'topic' = 'prices', 'format' = 'json');
             CREATE TABLE lines (line STRING) WITH ('connector' = 'riverrun', 'topic' = 'lines', 'format' = 'raw');
             INSERT INTO lines VALUES ('x');
             CREATE TABLE columns (line STRING) WITH ({ARROW} = 'lines')"
        ),
    )
    .unwrap();
    for statement in ["SELECT * FROM wrong", "INSERT INTO wrong VALUES (1, 2.0)"] {
        let found = error(&mut session, statement);
        assert!(
            found.contains("column `price` is declared DOUBLE, and the topic has it as DECIMAL(10, 2): declare it DECIMAL(10, 2)"),
            "{found}"
        );
    }
    for (statement, expected) in [
        ("SELECT id FROM text", "read its columns, not records"),
        ("INSERT INTO text VALUES (1, 2.0)", "it is columnar (format=arrow), and gets records"),
        ("SELECT * FROM columns", "the topic holds records, no columns"),
        ("INSERT INTO columns VALUES ('y')", "it holds records, and gets columns"),
        (
            "INSERT INTO prices SELECT id, SUM(price) FROM prices GROUP BY id",
            "set 'changelog.mode' = 'all'",
        ),
    ] {
        let found = error(&mut session, statement);
        assert!(found.contains(expected), "{statement}: {found}");
    }
    // None of this has left anything.
    assert_eq!(rows(&mut session, "SELECT COUNT(*) FROM prices"), ["1"]);
    for (columns, options, expected) in [
        ("id INT, PRIMARY KEY (id) NOT ENFORCED", "", "a columnar topic has no keys"),
        (
            "id INT",
            ", 'key.format' = 'json', 'key.fields' = 'id'",
            "rows of a columnar topic have no keys",
        ),
        ("id INT", ", 'on-error' = 'skip'", "'on-error' is for formats of records"),
        ("id INT, k BYTES METADATA FROM 'key' VIRTUAL", "", "rows of a columnar topic have no key"),
    ] {
        let create = format!("CREATE TABLE t ({columns}) WITH ({ARROW} = 't'{options})");
        let found = error(&mut session, &create);
        assert!(found.contains(expected), "{create}: {found}");
    }
    let files = "CREATE TABLE t (id INT) WITH ('connector' = 'filesystem', 'path' = '/tmp/t', 'format' = 'arrow')";
    assert!(error(&mut session, files).contains("the format arrow is for topics"));
    run(
        &mut session,
        &format!("CREATE TABLE stamped (id INT, at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp') WITH ({ARROW} = 'stamped')"),
    )
    .unwrap();
    let stamped = error(&mut session, "INSERT INTO stamped VALUES (1, NULL)");
    assert!(stamped.contains("declare it METADATA VIRTUAL"), "{stamped}");
}

#[test]
fn a_topic_that_is_missing_is_told_before_anything_is_started() {
    let mut session = session();
    run(
        &mut session,
        &format!(
            "CREATE TABLE absent (id INT NOT NULL, name STRING) WITH ({ARROW} = 'gone');
             CREATE TABLE absent_rows (id INT) WITH ('connector' = 'riverrun', 'topic' = 'lost', 'format' = 'json');
             CREATE TABLE target (id INT) WITH ('connector' = 'riverrun', 'topic' = 'target', 'format' = 'json');
             CREATE VIEW seen AS SELECT id FROM absent"
        ),
    )
    .unwrap();
    for mode in ["batch", "streaming"] {
        run(&mut session, &format!("SET 'execution.runtime-mode' = '{mode}'")).unwrap();
        for statement in [
            "SELECT * FROM absent",
            "INSERT INTO target SELECT id FROM seen",
            "SELECT * FROM target JOIN seen ON target.id = seen.id",
        ] {
            let found = error(&mut session, statement);
            let topic = if statement.contains("JOIN") { "target" } else { "gone" };
            assert!(
                found.contains(&format!("its topic `{topic}` is not there: INSERT INTO")),
                "{found}"
            );
        }
        let found = error(&mut session, "SELECT name FROM absent");
        let remedy = "`riverrun topic create gone --columns \"id INT NOT NULL, name STRING\"`";
        assert!(found.contains(remedy), "{found}");
        let found = error(&mut session, "SELECT id FROM absent_rows");
        assert!(found.contains("`riverrun topic create lost`"), "{found}");
    }
    // Nothing was made by a statement that was refused; one that is not makes what it writes, also for those beside it.
    let created = run(
        &mut session,
        "EXECUTE STATEMENT SET BEGIN
             INSERT INTO absent VALUES (1, 'a');
             INSERT INTO target SELECT id FROM (VALUES (7)) AS v(id);
         END",
    );
    created.unwrap();
    assert_eq!(rows(&mut session, "SELECT id FROM seen"), ["1"]);
    assert_eq!(rows(&mut session, "SELECT id FROM target"), ["7"]);
    // A script that explains what it is going to do needs no topic.
    run(&mut session, "EXPLAIN SELECT * FROM absent_rows").unwrap();
}
