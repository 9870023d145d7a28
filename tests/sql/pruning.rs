//! Filters on what the log knows of records: whatever need not be read is left out, and the result is the same.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use riverrun_sql::session::{Outcome, Session};

use crate::connectors::{error, rows, session};
use crate::kit::{run, sorted_rows};

/// The text of an EXPLAIN.
fn explained(session: &mut Session, query: &str) -> String {
    let parsed = session.statements(&format!("EXPLAIN {query}")).unwrap().remove(0);
    match session.execute(&parsed).unwrap() {
        Outcome::Rows { batches, .. } => {
            batches.iter().flat_map(sorted_rows).collect::<Vec<_>>().join("\n")
        }
        _ => panic!("EXPLAIN gives rows"),
    }
}

/// A row as the table has it.
#[derive(Debug, Clone, Copy)]
struct Row {
    id: i64,
    at: i64,
    partition: i64,
    offset: i64,
}

type Test = Box<dyn Fn(&Row) -> bool>;

/// A random condition: as SQL, and as a test of rows.
fn condition(random: &mut SmallRng, depth: u32) -> (String, Test) {
    if depth > 0 && random.random_bool(0.6) {
        let (left, right) = (condition(random, depth - 1), condition(random, depth - 1));
        return match random.random_bool(0.6) {
            true => (
                format!("({} AND {})", left.0, right.0),
                Box::new(move |row: &Row| left.1(row) && right.1(row)),
            ),
            false => (
                format!("({} OR {})", left.0, right.0),
                Box::new(move |row: &Row| left.1(row) || right.1(row)),
            ),
        };
    }
    let column: fn(&Row) -> i64;
    let (name, value) = match random.random_range(0..5) {
        0 => {
            column = |row: &Row| row.partition;
            ("`partition`", random.random_range(0..4))
        }
        1 => {
            column = |row: &Row| row.offset;
            ("`offset`", random.random_range(0..25))
        }
        2 => {
            column = |row: &Row| row.id;
            ("id", random.random_range(0..60))
        }
        _ => {
            column = |row: &Row| row.at;
            ("at", random.random_range(-5..65) * 250)
        }
    };
    let text = |value: i64| match name {
        "at" => {
            let (seconds, millis) = (value.div_euclid(1_000), value.rem_euclid(1_000));
            let (minute, second) = (30 + seconds.div_euclid(60), seconds.rem_euclid(60));
            format!(
                "CAST(TIMESTAMP '2024-01-01 00:{minute:02}:{second:02}.{millis:03}' AS TIMESTAMP_LTZ(3))"
            )
        }
        _ => value.to_string(),
    };
    match random.random_range(0..7) {
        0 => (format!("{name} = {}", text(value)), Box::new(move |row| column(row) == value)),
        1 => (format!("{name} >= {}", text(value)), Box::new(move |row| column(row) >= value)),
        2 => (format!("{} < {name}", text(value)), Box::new(move |row| column(row) > value)),
        3 => (format!("{name} <= {}", text(value)), Box::new(move |row| column(row) <= value)),
        4 => (format!("{name} < {}", text(value)), Box::new(move |row| column(row) < value)),
        5 => {
            let other = value + if name == "at" { 5_000 } else { 3 };
            let sql = format!("{name} BETWEEN {} AND {}", text(value), text(other));
            (sql, Box::new(move |row| (value..=other).contains(&column(row))))
        }
        _ => {
            let other = value + if name == "at" { 500 } else { 1 };
            let sql = format!("{name} IN ({}, {})", text(value), text(other));
            (sql, Box::new(move |row| [value, other].contains(&column(row))))
        }
    }
}

#[test]
fn pruned_or_not_the_rows_are_the_same() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE records (id INT, at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp', `partition` INT METADATA VIRTUAL,
                 `offset` BIGINT METADATA VIRTUAL)
             WITH ('connector' = 'riverrun', 'topic' = 'records', 'format' = 'json', 'key.format' = 'json', 'key.fields' = 'id',
                   'sink.partitions' = '3');
         CREATE TABLE columns (id INT, at TIMESTAMP_LTZ(3), WATERMARK FOR at AS at - INTERVAL '10' MINUTE,
                 `partition` INT METADATA VIRTUAL, `offset` BIGINT METADATA VIRTUAL,
                 stamp TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL)
             WITH ('connector' = 'riverrun', 'topic' = 'columns', 'format' = 'arrow', 'sink.partitions' = '3');
         CREATE VIEW stamped AS SELECT id, stamp AS at, `partition`, `offset` FROM columns",
    )
    .unwrap();
    let seed = 20_240_101;
    let mut random = SmallRng::seed_from_u64(seed);
    for batch in 0..8 {
        // Later batches are later, more or less.
        let values: Vec<String> = (0..7)
            .map(|n| {
                let at = batch * 1_500 + random.random_range(0..6) * 500;
                let (second, milli) = (at / 1_000, at % 1_000);
                format!("({}, CAST(TIMESTAMP '2024-01-01 00:30:{second:02}.{milli:03}' AS TIMESTAMP_LTZ(3)))", batch * 7 + n)
            })
            .collect();
        for table in ["records", "columns"] {
            run(&mut session, &format!("INSERT INTO {table} VALUES {}", values.join(", ")))
                .unwrap();
        }
    }
    let mut pruned = 0;
    for table in ["records", "stamped"] {
        let columns = "id, CAST(CAST(at AS TIMESTAMP(3)) AS STRING), `partition`, `offset`";
        let all: Vec<(String, Row)> = rows(&mut session, &format!("SELECT {columns} FROM {table}"))
            .into_iter()
            .map(|text| {
                let parts: Vec<&str> = text.split(" | ").collect();
                let number = |at: usize| parts[at].parse().unwrap();
                let seconds: f64 = parts[1].rsplit(':').next().unwrap().parse().unwrap();
                let at = (seconds * 1_000.0).round() as i64;
                let row = Row { id: number(0), at, partition: number(2), offset: number(3) };
                (text, row)
            })
            .collect();
        assert_eq!(all.len(), 56);
        for _ in 0..60 {
            let (sql, test) = condition(&mut random, 2);
            let query = format!("SELECT {columns} FROM {table} WHERE {sql}");
            let expected: Vec<&str> =
                all.iter().filter(|(_, row)| test(row)).map(|(text, _)| text.as_str()).collect();
            assert_eq!(rows(&mut session, &query), expected, "seed {seed}: {query}");
            pruned += usize::from(explained(&mut session, &query).contains(": only "));
        }
    }
    assert!(pruned > 40, "{pruned} of 120 were pruned");
}

#[test]
fn what_is_pruned_is_not_read() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE raw (line STRING, at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp')
             WITH ('connector' = 'riverrun', 'topic' = 'poisoned', 'format' = 'raw');
         CREATE TABLE numbers (n INT, at TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL, `offset` BIGINT METADATA VIRTUAL,
                 `partition` INT METADATA VIRTUAL, n2 AS n * 2, WATERMARK FOR at AS at)
             WITH ('connector' = 'riverrun', 'topic' = 'poisoned', 'format' = 'json');
         CREATE VIEW renamed AS SELECT n, n2, at AS seen, `offset` + 0 AS nothing, `offset` AS o FROM numbers;
         INSERT INTO raw VALUES ('{\"n\": \"broken\"}', CAST(TIMESTAMP '2024-01-01 00:00:01' AS TIMESTAMP_LTZ(3)));
         INSERT INTO raw VALUES ('{\"n\": 1}', CAST(TIMESTAMP '2024-01-01 00:00:02' AS TIMESTAMP_LTZ(3)));
         INSERT INTO raw VALUES ('{\"n\": 2}', CAST(TIMESTAMP '2024-01-01 00:00:03' AS TIMESTAMP_LTZ(3)));
         INSERT INTO raw VALUES ('{\"n\": \"broken\"}', CAST(TIMESTAMP '2024-01-01 00:00:09' AS TIMESTAMP_LTZ(3)))",
    )
    .unwrap();
    // Each record is followed by the mark of its transaction: they are at 0, 2, 4 and 6.
    let two = "CAST(TIMESTAMP '2024-01-01 00:00:02' AS TIMESTAMP_LTZ(3))";
    let four = "CAST(TIMESTAMP '2024-01-01 00:00:04' AS TIMESTAMP_LTZ(3))";
    for (condition, expected) in [
        (format!("at >= {two} AND at < {four}"), vec!["1", "2"]),
        (
            "`offset` >= 2 AND at < CAST(TIMESTAMP '2024-01-01 00:00:03' AS TIMESTAMP_LTZ(3))"
                .to_owned(),
            vec!["1"],
        ),
        ("`partition` = 1".to_owned(), vec![]),
        (format!("at >= {two} AND `offset` IN (2, 4) AND at <= {four}"), vec!["1", "2"]),
    ] {
        let query = format!("SELECT n FROM numbers WHERE {condition}");
        assert_eq!(rows(&mut session, &query), expected, "{query}");
        assert!(explained(&mut session, &query).contains("numbers: only "), "{query}");
    }
    let query = format!(
        "SELECT n2 FROM (SELECT * FROM renamed) AS r WHERE r.seen BETWEEN {two} AND {four} AND r.o > 1"
    );
    assert_eq!(rows(&mut session, &query), ["2", "4"]);
    let counted =
        format!("SELECT COUNT(*), SUM(n) FROM renamed WHERE seen BETWEEN {two} AND {four}");
    assert_eq!(rows(&mut session, &counted), ["2 | 3"]);
    // A table that is read twice, and not the same of it.
    run(
        &mut session,
        "CREATE TABLE plain (n INT, `offset` BIGINT METADATA VIRTUAL)
             WITH ('connector' = 'riverrun', 'topic' = 'poisoned', 'format' = 'json')",
    )
    .unwrap();
    let both =
        "SELECT n FROM plain WHERE `offset` = 2 UNION ALL SELECT n FROM plain WHERE `offset` = 4";
    assert_eq!(rows(&mut session, both), ["1", "2"]);
    // Where nothing is known of it before it is read, everything is.
    for query in [
        "SELECT n FROM numbers WHERE n < 2".to_owned(),
        format!("SELECT n FROM numbers WHERE at >= {two} OR n = 1"),
    ] {
        for mode in ["batch", "streaming"] {
            run(&mut session, &format!("SET 'execution.runtime-mode' = '{mode}'")).unwrap();
            assert!(error(&mut session, &query).contains("broken"), "{query}");
        }
    }
    // A filter leaves the watermark as it is: where something goes by event time, streams read all.
    let windows = format!(
        "SELECT SUM(n) FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(at), INTERVAL '1' HOUR)) WHERE at BETWEEN {two} AND {four}
         GROUP BY window_start, window_end"
    );
    run(&mut session, "SET 'execution.runtime-mode' = 'streaming'").unwrap();
    assert!(error(&mut session, &windows).contains("broken"));
    assert!(!explained(&mut session, &windows).contains(": only "));
    run(&mut session, "SET 'execution.runtime-mode' = 'batch'").unwrap();
    let counts = run(&mut session, &windows).unwrap().unwrap();
    assert_eq!(sorted_rows(&counts), ["3"]);
    assert!(explained(&mut session, &windows).contains("numbers: only timestamps"));
}

#[test]
fn of_rows_that_replace_each_other_no_older_ones_are_left_out() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE latest (k STRING, n INT, `offset` BIGINT METADATA VIRTUAL, `partition` INT METADATA VIRTUAL,
                 PRIMARY KEY (k) NOT ENFORCED)
             WITH ('connector' = 'riverrun', 'topic' = 'latest', 'format' = 'json', 'sink.partitions' = '2');
         INSERT INTO latest VALUES ('a', 1), ('b', 2), ('c', 3);
         INSERT INTO latest VALUES ('a', 4)",
    )
    .unwrap();
    let all = rows(&mut session, "SELECT k, n, `partition`, `offset` FROM latest");
    assert_eq!(all.len(), 3);
    for partition in 0..2 {
        let query = format!(
            "SELECT k, n, `partition`, `offset` FROM latest WHERE `partition` = {partition}"
        );
        let expected: Vec<&String> =
            all.iter().filter(|row| row.contains(&format!(" | {partition} | "))).collect();
        assert_eq!(rows(&mut session, &query).iter().collect::<Vec<_>>(), expected);
        assert!(
            explained(&mut session, &query)
                .contains(&format!("latest: only partitions {partition}"))
        );
    }
    // The first record of `a` is within, but not its last.
    let old = "SELECT k FROM latest WHERE `offset` = 0";
    let expected: Vec<String> = all
        .iter()
        .filter(|row| row.ends_with(" | 0"))
        .filter_map(|row| row.split(" | ").next().map(str::to_owned))
        .collect();
    assert_eq!(rows(&mut session, old), expected);
    assert!(!explained(&mut session, old).contains(": only "));
}

#[test]
fn files_in_folders_are_read_and_folders_that_are_not_needed_are_not() {
    let mut session = session();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("visits");
    let with = |format: &str| {
        format!(
            "PARTITIONED BY (day, n) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = '{format}')",
            path.display()
        )
    };
    run(
        &mut session,
        &format!(
            "CREATE TABLE visits (day DATE, ip STRING, n INT, bytes BIGINT) {};
             INSERT INTO visits VALUES (DATE '2024-01-01', 'a', 1, 10), (DATE '2024-01-01', 'b', 2, 20), (DATE '2024-01-02', 'c', 1, 30),
                 (DATE '2024-01-02', 'd', NULL, 40), (NULL, 'e', 2, 50)",
            with("csv")
        ),
    )
    .unwrap();
    assert_eq!(
        rows(&mut session, "SELECT * FROM visits"),
        [
            "2024-01-01 | a | 1 | 10",
            "2024-01-01 | b | 2 | 20",
            "2024-01-02 | c | 1 | 30",
            "2024-01-02 | d | NULL | 40",
            "NULL | e | 2 | 50",
        ]
    );
    assert_eq!(
        rows(&mut session, "SELECT n, COUNT(*) FROM visits GROUP BY n"),
        ["1 | 2", "2 | 2", "NULL | 1"]
    );
    assert_eq!(
        rows(&mut session, "SELECT bytes, day FROM visits WHERE ip = 'b'"),
        ["20 | 2024-01-01"]
    );
    // What is broken in a folder is not seen by those who do not need it.
    let broken = path.join("day=2024-01-03/n=1");
    std::fs::create_dir_all(&broken).unwrap();
    std::fs::write(broken.join("part"), "x,many\n").unwrap();
    for (condition, expected) in [
        ("day < DATE '2024-01-03' AND bytes > 10", vec!["b", "c", "d"]),
        ("day = DATE '2024-01-01' AND n + 1 = 2", vec!["a"]),
        ("n IS NULL", vec!["d"]),
        ("n = 2 OR day = DATE '2024-01-02'", vec!["b", "c", "d", "e"]),
        ("day IS NULL", vec!["e"]),
        ("n IN (2, 5) AND (ip = 'b' OR ip = 'x')", vec!["b"]),
    ] {
        let query = format!("SELECT ip FROM visits WHERE {condition}");
        assert_eq!(rows(&mut session, &query), expected, "{query}");
        assert!(explained(&mut session, &query).contains("visits: only folders with "), "{query}");
    }
    let all = error(&mut session, "SELECT SUM(bytes) FROM visits WHERE n = 1 OR ip = 'x'");
    assert!(all.contains("day=2024-01-03/n=1/part"), "{all}");
    std::fs::remove_dir_all(&broken).unwrap();
    std::fs::create_dir_all(path.join("day=someday/n=1")).unwrap();
    std::fs::write(path.join("day=someday/n=1/part"), "x,1\n").unwrap();
    let day = error(&mut session, "SELECT day FROM visits");
    assert!(day.contains("expected DATE") && day.contains("day=someday"), "{day}");
}
