//! Connectors and formats on the whole engine: what is written into a topic or a folder comes back out of it, in both modes.

use riverrun_sql::session::Session;

use crate::kit::{Cluster, run, sorted_rows};

pub fn session() -> Session {
    let mut session = Session::new(Cluster::engine());
    // Jobs end where their sources end.
    run(&mut session, "SET 'execution.until-caught-up' = 'true'").unwrap();
    session
}

/// The rows of a query, which are the same in both modes.
pub fn rows(session: &mut Session, query: &str) -> Vec<String> {
    let mut of = |mode: &str| {
        run(session, &format!("SET 'execution.runtime-mode' = '{mode}'")).unwrap();
        let rows = run(session, query).unwrap_or_else(|error| panic!("{query}: {error}"));
        sorted_rows(&rows.expect("a query's rows"))
    };
    let batch = of("batch");
    assert_eq!(of("streaming"), batch, "{query}");
    batch
}

pub fn error(session: &mut Session, script: &str) -> String {
    run(session, script).expect_err(script).to_string()
}

const TYPES: &str = "b BOOLEAN, t TINYINT, s SMALLINT, i INT, l BIGINT, f FLOAT, d DOUBLE, dec DECIMAL(10, 3), str STRING, day DATE,
    at TIMESTAMP(3), zoned TIMESTAMP_LTZ(3)";

const VALUES: &str = "(TRUE, CAST(-128 AS TINYINT), CAST(7 AS SMALLINT), -5, 9007199254740993, CAST(1.5 AS FLOAT), 0.1, 1234567.891,
     'a \"quoted\", text; é', DATE '2024-02-29', TIMESTAMP '2024-02-29 12:34:56.789', CAST(TIMESTAMP '1969-12-31 23:59:59.999' AS TIMESTAMP_LTZ(3))),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)";

#[test]
fn every_type_comes_back_from_every_format_in_topics_and_files() {
    let mut session = session();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let mut all = Vec::new();
    for (name, options) in [
        ("json", "'connector' = 'riverrun', 'topic' = 'json', 'format' = 'json'".to_owned()),
        ("iso", "'connector' = 'riverrun', 'topic' = 'iso', 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601'".to_owned()),
        ("csv", "'connector' = 'riverrun', 'topic' = 'csv', 'format' = 'csv', 'csv.null-literal' = 'NULL'".to_owned()),
        ("changes", "'connector' = 'riverrun', 'topic' = 'changes', 'format' = 'debezium-json'".to_owned()),
        ("columns", "'connector' = 'riverrun', 'topic' = 'columns', 'format' = 'arrow'".to_owned()),
        ("weighted", "'connector' = 'riverrun', 'topic' = 'weighted', 'format' = 'arrow', 'changelog.mode' = 'all'".to_owned()),
        ("files", format!("'connector' = 'filesystem', 'path' = '{path}/files', 'format' = 'csv', 'csv.null-literal' = 'NULL', 'csv.field-delimiter' = ';'")),
        ("lines", format!("'connector' = 'filesystem', 'path' = '{path}/lines', 'format' = 'json'")),
    ] {
        let create = format!("CREATE TABLE `{name}` ({TYPES}) WITH ({options})");
        run(&mut session, &create).unwrap_or_else(|error| panic!("{create}: {error}"));
        run(&mut session, &format!("INSERT INTO `{name}` VALUES {VALUES}")).unwrap();
        all.push(rows(&mut session, &format!("SELECT * FROM `{name}`")));
        let reordered = rows(&mut session, &format!("SELECT str, l FROM `{name}` WHERE i < 0"));
        assert_eq!(reordered, ["a \"quoted\", text; é | 9007199254740993"], "{name}");
    }
    assert_eq!(all[0].len(), 2);
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "{all:#?}");
}

#[test]
fn nested_rows_arrays_and_maps_come_back_from_json() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE raw (line STRING) WITH ('connector' = 'riverrun', 'topic' = 'nested', 'format' = 'raw');
         CREATE TABLE nested (id INT, r ROW<a INT, b ROW<c STRING>>, l ARRAY<ROW<x INT>>, m MAP<STRING, ARRAY<BIGINT>>)
             WITH ('connector' = 'riverrun', 'topic' = 'nested', 'format' = 'json');
         INSERT INTO raw VALUES
             ('{\"id\": 1, \"r\": {\"b\": {\"c\": \"x\"}, \"a\": 5}, \"l\": [{\"x\": 1}, null, {}], \"m\": {\"k\": [1, 2]}}'),
             ('{\"m\": {}, \"l\": [], \"r\": null, \"id\": 2}')",
    )
    .unwrap();
    let query = "SELECT id, r.a, r.b.c, CARDINALITY(l), m['k'][2] FROM nested WHERE id < 3";
    assert_eq!(rows(&mut session, query), ["1 | 5 | x | 3 | 2", "2 | NULL | NULL | 0 | NULL"]);
}

#[test]
fn of_rows_within_rows_only_the_fields_that_are_read_are_decoded() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE raw (line STRING) WITH ('connector' = 'riverrun', 'topic' = 'events', 'format' = 'raw');
         CREATE TABLE events (kind INT, bid ROW<id INT, price INT, at TIMESTAMP(3)>, ask ROW<id INT, at TIMESTAMP(3)>,
                 at AS CASE kind WHEN 0 THEN bid.at ELSE ask.at END, WATERMARK FOR at AS at)
             WITH ('connector' = 'riverrun', 'topic' = 'events', 'format' = 'json');
         CREATE VIEW bids AS SELECT bid.id AS id, bid.price AS price, at FROM events WHERE kind = 0;
         INSERT INTO raw VALUES
             ('{\"kind\": 0, \"bid\": {\"id\": 1, \"price\": 5, \"at\": \"2024-01-01 00:00:00\"}}'),
             ('{\"kind\": 1, \"ask\": {\"id\": 2, \"at\": \"2024-01-01 00:00:01\"}}'),
             ('{\"kind\": 0, \"bid\": {\"at\": \"2024-01-01 00:00:02\", \"id\": 3}}')",
    )
    .unwrap();
    for (query, expected) in [
        ("SELECT id, price FROM bids", vec!["1 | 5", "3 | NULL"]),
        ("SELECT price FROM bids WHERE id < 3", vec!["5"]),
        ("SELECT ask.id FROM events WHERE ask.at > TIMESTAMP '2024-01-01 00:00:00'", vec!["2"]),
        ("SELECT kind FROM events WHERE bid IS NULL", vec!["1"]),
        (
            "SELECT bid.id, CAST(bid.at AS STRING) FROM events WHERE bid.price IS NOT NULL",
            vec!["1 | 2024-01-01 00:00:00.000"],
        ),
        ("SELECT COUNT(*), SUM(id) FROM bids", vec!["2 | 4"]),
        ("SELECT a.id FROM bids AS a JOIN bids AS b ON a.id = b.id AND b.price = 5", vec!["1"]),
    ] {
        assert_eq!(rows(&mut session, query), expected, "{query}");
    }
    let whole = rows(&mut session, "SELECT bid FROM events WHERE bid.id = 1");
    assert_eq!(whole, ["{id: 1, price: 5, at: 2024-01-01T00:00:00}"]);
    // What nobody reads is not looked at, so it may as well be broken.
    run(
        &mut session,
        "INSERT INTO raw VALUES ('{\"kind\": 0, \"bid\": {\"id\": 4, \"price\": \"free\", \"at\": \"2024-01-01 00:00:03\"}}')",
    )
    .unwrap();
    assert_eq!(rows(&mut session, "SELECT id FROM bids"), ["1", "3", "4"]);
    assert_eq!(rows(&mut session, "SELECT COUNT(*), MAX(bid.id) FROM events"), ["4 | 4"]);
    let failed = error(&mut session, "SELECT id, price FROM bids");
    assert!(failed.contains("field `bid.price`: expected INT, found \"free\""), "{failed}");
}

#[test]
fn an_upsert_table_is_the_last_row_of_each_key() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE words (word STRING, n INT) WITH ('connector' = 'riverrun', 'topic' = 'words', 'format' = 'csv');
         CREATE TABLE counts (n BIGINT, word STRING, PRIMARY KEY (word) NOT ENFORCED)
             WITH ('connector' = 'riverrun', 'topic' = 'counts', 'format' = 'json', 'sink.partitions' = '3');
         CREATE TABLE split (word STRING, n BIGINT, PRIMARY KEY (word) NOT ENFORCED)
             WITH ('connector' = 'upsert-kafka', 'topic' = 'split', 'key.format' = 'raw', 'value.format' = 'csv', 'value.fields-include' = 'EXCEPT_KEY');
         INSERT INTO words VALUES ('a', 1), ('b', 1), ('a', 2), ('c', 1), ('c', 5), ('d', 1), ('a', 3);
         INSERT INTO counts SELECT COUNT(*), word FROM words GROUP BY word;
         INSERT INTO split SELECT word, SUM(n) FROM words GROUP BY word HAVING COUNT(*) < 3",
    )
    .unwrap();
    assert_eq!(
        rows(&mut session, "SELECT word, n FROM counts"),
        ["a | 3", "b | 1", "c | 2", "d | 1"]
    );
    assert_eq!(rows(&mut session, "SELECT n FROM counts"), ["1", "1", "2", "3"]);
    assert_eq!(rows(&mut session, "SELECT SUM(n), COUNT(*) FROM counts"), ["7 | 4"]);
    assert_eq!(rows(&mut session, "SELECT * FROM split"), ["b | 1", "c | 6", "d | 1"]);
    // A key that is given up leaves a record without a value.
    run(
        &mut session,
        "CREATE TABLE keys (k STRING METADATA FROM 'key' VIRTUAL, v BYTES) WITH ('connector' = 'riverrun', 'topic' = 'counts', 'format' = 'raw');
         INSERT INTO counts SELECT CAST(NULL AS BIGINT), 'e'",
    )
    .unwrap();
    let keys = rows(&mut session, "SELECT DISTINCT k FROM keys");
    let key = |word: &str| format!("{{\"word\":\"{word}\"}}");
    assert_eq!(keys, ["a", "b", "c", "d", "e"].map(key));
    let refused = error(
        &mut session,
        "INSERT INTO words SELECT word, CAST(COUNT(*) AS INT) FROM words GROUP BY word",
    );
    assert!(refused.contains("declare a PRIMARY KEY"), "{refused}");
}

#[test]
fn a_changelog_gives_back_what_was_taken_back() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE words (word STRING) WITH ('connector' = 'riverrun', 'topic' = 'words', 'format' = 'raw');
         CREATE TABLE counts (word STRING, n BIGINT) WITH ('connector' = 'kafka', 'topic' = 'counts', 'format' = 'debezium-json');
         INSERT INTO words VALUES ('a'), ('b'), ('a'), ('b'), ('b');
         INSERT INTO counts SELECT word, COUNT(*) FROM words GROUP BY word;
         INSERT INTO words VALUES ('b'), ('c')",
    )
    .unwrap();
    assert_eq!(rows(&mut session, "SELECT * FROM counts"), ["a | 2", "b | 3"]);
    assert_eq!(rows(&mut session, "SELECT n, COUNT(*) FROM counts GROUP BY n"), ["2 | 1", "3 | 1"]);
}

#[test]
fn broken_records_fail_are_skipped_or_become_dead_letters() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE raw (line STRING) WITH ('connector' = 'riverrun', 'topic' = 'in', 'format' = 'raw');
         INSERT INTO raw VALUES ('{\"n\": 1}'), ('{\"n\": \"one\"}'), ('{\"n\": 2}'), ('{');
         CREATE TABLE strict (n INT) WITH ('connector' = 'riverrun', 'topic' = 'in', 'format' = 'json');
         CREATE TABLE skipped (n INT) WITH ('connector' = 'riverrun', 'topic' = 'in', 'format' = 'json', 'on-error' = 'skip');
         CREATE TABLE lenient (n INT) WITH ('connector' = 'riverrun', 'topic' = 'in', 'format' = 'json', 'json.ignore-parse-errors' = 'true');
         CREATE TABLE kept (n INT) WITH ('connector' = 'riverrun', 'topic' = 'in', 'format' = 'json', 'on-error' = 'dead-letter')",
    )
    .unwrap();
    run(&mut session, "SET 'execution.runtime-mode' = 'batch'").unwrap();
    let failed = error(&mut session, "SELECT * FROM strict");
    assert!(failed.contains("in-0@1: field `n`: expected INT, found \"one\""), "{failed}");
    assert_eq!(rows(&mut session, "SELECT * FROM skipped"), ["1", "2"]);
    assert_eq!(rows(&mut session, "SELECT * FROM lenient"), ["1", "2", "NULL"]);
    run(&mut session, "SET 'execution.runtime-mode' = 'streaming'").unwrap();
    let read = run(&mut session, "SELECT * FROM kept").unwrap().unwrap();
    assert_eq!(sorted_rows(&read), ["1", "2"]);
    run(
        &mut session,
        "CREATE TABLE letters (line STRING, h MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL)
             WITH ('connector' = 'riverrun', 'topic' = 'in.dead-letters', 'format' = 'raw')",
    )
    .unwrap();
    let letters = rows(
        &mut session,
        "SELECT line, CAST(h['riverrun.source'] AS STRING), CAST(h['riverrun.error'] AS STRING) FROM letters",
    );
    let expected = [
        "{ | in-0@3 | not JSON: expected a field's name in quotes at byte 1, found its end",
        "{\"n\": \"one\"} | in-0@1 | field `n`: expected INT, found \"one\"",
    ];
    assert_eq!(letters, expected);
}

#[test]
fn metadata_is_written_and_read_and_scans_begin_and_end_where_they_are_told() {
    let mut session = session();
    let table = |name: &str, more: &str| {
        format!(
            "CREATE TABLE {name} (
                 id INT, v STRING,
                 at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp',
                 `offset` BIGINT METADATA VIRTUAL, `partition` INT METADATA VIRTUAL, `topic` STRING METADATA VIRTUAL
             ) WITH ('connector' = 'riverrun', 'topic' = 'm', 'format' = 'json', 'key.format' = 'json', 'key.fields' = 'id',
                 'value.fields-include' = 'EXCEPT_KEY'{more})"
        )
    };
    run(&mut session, &table("whole", "")).unwrap();
    let inserts: String = (0..4)
        .map(|n| format!("INSERT INTO whole VALUES ({n}, 'v{n}', CAST(TIMESTAMP '2024-01-01 00:00:0{n}' AS TIMESTAMP_LTZ(3)));"))
        .collect();
    run(&mut session, &inserts).unwrap();
    let query = |name: &str| {
        format!("SELECT id, v, CAST(at AS TIMESTAMP(3)), `partition`, `topic` FROM {name}")
    };
    let row = |n: u32| format!("{n} | v{n} | 2024-01-01T00:00:0{n} | 0 | m");
    assert_eq!(rows(&mut session, &query("whole")), (0..4).map(row).collect::<Vec<_>>());
    let offsets = rows(&mut session, "SELECT `offset` FROM whole");
    assert_eq!(offsets.len(), 4);
    let from = offsets.iter().map(|offset| offset.parse::<i64>().unwrap()).max().unwrap();
    for (name, more, expected) in [
        ("late", ", 'scan.startup.mode' = 'timestamp', 'scan.startup.timestamp-millis' = '1704067202000'".to_owned(), 2..4),
        ("early", ", 'scan.bounded.mode' = 'timestamp', 'scan.bounded.timestamp-millis' = '1704067202000'".to_owned(), 0..2),
        ("one", format!(", 'scan.startup.mode' = 'specific-offsets', 'scan.startup.specific-offsets' = 'partition:0,offset:{from}'"), 3..4),
        ("none", ", 'scan.startup.mode' = 'latest-offset'".to_owned(), 0..0),
    ] {
        run(&mut session, &table(name, &more)).unwrap();
        assert_eq!(rows(&mut session, &query(name)), expected.map(row).collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn made_up_rows_are_counted_exactly() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE made (id BIGINT, kind INT) WITH ('connector' = 'datagen', 'fields.id.kind' = 'sequence', 'fields.id.start' = '1',
             'fields.id.end' = '10000', 'fields.kind.min' = '0', 'fields.kind.max' = '3', 'rows-per-second' = '1000000');
         CREATE TABLE sums (kind INT, n BIGINT, PRIMARY KEY (kind) NOT ENFORCED)
             WITH ('connector' = 'riverrun', 'topic' = 'sums', 'format' = 'json');
         CREATE TABLE nowhere (id BIGINT, kind INT) WITH ('connector' = 'blackhole');
         INSERT INTO nowhere SELECT * FROM made;
         INSERT INTO sums SELECT kind, COUNT(*) FROM made GROUP BY kind",
    )
    .unwrap();
    assert_eq!(rows(&mut session, "SELECT SUM(id), COUNT(*) FROM made"), ["50005000 | 10000"]);
    assert_eq!(rows(&mut session, "SELECT SUM(n), COUNT(*) FROM sums"), ["10000 | 4"]);
}
