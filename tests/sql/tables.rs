//! Tables on the log: what is written is read, in both modes; materialised views follow their query.

use riverrun_sql::session::Session;

use crate::kit::{Cluster, run, sorted_rows};

fn session() -> Session {
    let mut session = Session::new(Cluster::engine());
    session.settings_mut().set("execution.until-caught-up", "true").unwrap();
    session.settings_mut().set("execution.checkpointing.interval", "50 ms").unwrap();
    session
}

/// The query's rows in both modes, which must agree.
fn both(session: &mut Session, query: &str) -> Vec<String> {
    let mut results = Vec::new();
    for mode in ["batch", "streaming"] {
        session.settings_mut().set("execution.runtime-mode", mode).unwrap();
        let rows = run(session, query).unwrap_or_else(|error| panic!("{mode}: {query}: {error}"));
        results.push(sorted_rows(&rows.unwrap()));
    }
    session.settings_mut().set("execution.runtime-mode", "streaming").unwrap();
    assert_eq!(results[0], results[1], "{query}");
    results.remove(0)
}

#[test]
fn rows_go_through_topics_in_every_format() {
    let mut session = session();
    for (format, option) in
        [("json", ""), ("csv", ", 'csv.null-literal' = 'none'"), ("debezium-json", "")]
    {
        let script = format!(
            "CREATE TABLE orders_{0} (id BIGINT, name STRING, price DECIMAL(10, 2), ok BOOLEAN, ts TIMESTAMP(3)) \
             WITH ('connector' = 'riverrun', 'topic' = 'orders_{0}', 'format' = '{format}'{option}); \
             INSERT INTO orders_{0} VALUES (1, 'a \"quoted\", one', 1.5, TRUE, TIMESTAMP '2020-01-01 00:00:01.5'), \
             (2, NULL, -0.25, FALSE, NULL); INSERT INTO orders_{0} (name, id) SELECT 'three', 3",
            format.replace('-', "_")
        );
        run(&mut session, &script).unwrap_or_else(|error| panic!("{format}: {error}"));
        let rows =
            both(&mut session, &format!("SELECT * FROM orders_{}", format.replace('-', "_")));
        assert_eq!(
            rows,
            [
                "1 | a \"quoted\", one | 1.50 | true | 2020-01-01T00:00:01.500",
                "2 | NULL | -0.25 | false | NULL",
                "3 | three | NULL | NULL | NULL"
            ],
            "{format}"
        );
    }
}

#[test]
fn upsert_tables_hold_the_last_row_of_each_key() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE events (k STRING, v INT) WITH ('connector' = 'riverrun', 'topic' = 'events', 'format' = 'json'); \
         CREATE TABLE totals (k STRING, n BIGINT, total BIGINT, PRIMARY KEY (k) NOT ENFORCED) \
         WITH ('connector' = 'riverrun', 'topic' = 'totals', 'format' = 'json'); \
         INSERT INTO events VALUES ('a', 1), ('b', 2), ('a', 3), ('c', -1); \
         INSERT INTO totals SELECT k, COUNT(*), SUM(v) FROM events GROUP BY k",
    )
    .unwrap();
    assert_eq!(
        both(&mut session, "SELECT * FROM totals"),
        ["a | 2 | 4", "b | 1 | 2", "c | 1 | -1"]
    );
    assert_eq!(both(&mut session, "SELECT SUM(n) FROM totals WHERE total > 0"), ["3"]);
    let refused = run(
        &mut session,
        "CREATE TABLE plain (k STRING, n BIGINT) WITH ('connector' = 'riverrun', 'topic' = 'plain', 'format' = 'json'); \
         INSERT INTO plain SELECT k, COUNT(*) FROM events GROUP BY k",
    );
    let error = refused.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("declare a PRIMARY KEY"), "{error}");
}

#[test]
fn queries_become_tables_and_views_that_are_kept() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE events (k STRING, v INT) WITH ('connector' = 'riverrun', 'topic' = 'events', 'format' = 'json'); \
         INSERT INTO events VALUES ('a', 1), ('b', 2), ('a', 3); \
         CREATE TABLE big WITH ('connector' = 'riverrun', 'topic' = 'big', 'format' = 'csv') AS SELECT k, v * 10 AS w FROM events WHERE v > 1; \
         CREATE MATERIALIZED VIEW sums AS SELECT k, SUM(v) AS s FROM events GROUP BY k",
    )
    .unwrap();
    assert_eq!(both(&mut session, "SELECT * FROM big"), ["a | 30", "b | 20"]);
    assert_eq!(both(&mut session, "SELECT * FROM sums"), ["a | 4", "b | 2"]);
    assert_eq!(
        both(&mut session, "SELECT b.k, b.w, s.s FROM big b JOIN sums s ON b.k = s.k"),
        ["a | 30 | 4", "b | 20 | 2"]
    );
    let explained = run(&mut session, "DROP MATERIALIZED VIEW sums");
    assert!(explained.map(|_| ()).unwrap_err().to_string().contains("there is no job"));
}

#[test]
fn numbers_of_rows_are_kept_and_shown_as_bigint() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE events (k STRING, v INT) WITH ('connector' = 'riverrun', 'topic' = 'events', 'format' = 'json'); \
         INSERT INTO events VALUES ('a', 1), ('b', 2), ('a', 3); \
         CREATE MATERIALIZED VIEW firsts AS SELECT * FROM (\
           SELECT k, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v) AS place FROM events) WHERE place = 1; \
         CREATE TABLE numbered WITH ('connector' = 'riverrun', 'topic' = 'numbered', 'format' = 'debezium-json') AS \
         SELECT v, ROW_NUMBER() OVER (ORDER BY v DESC) AS place FROM events",
    )
    .unwrap();
    assert_eq!(both(&mut session, "SELECT * FROM firsts"), ["a | 1 | 1", "b | 2 | 1"]);
    assert_eq!(both(&mut session, "SELECT * FROM numbered"), ["1 | 3", "2 | 2", "3 | 1"]);
    let query = "SELECT v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v), ARRAY[RANK() OVER (PARTITION BY k ORDER BY v)] FROM events";
    let rows = run(&mut session, &format!("{query} ORDER BY v DESC")).unwrap().unwrap();
    let types: Vec<String> =
        rows.schema().fields().iter().map(|f| f.data_type().to_string()).collect();
    assert_eq!(types, ["Int32", "Int64", "List(Int64)"]);
    assert_eq!(both(&mut session, query), ["1 | 1 | [1]", "2 | 1 | [1]", "3 | 2 | [2]"]);
}

#[test]
fn rows_without_a_key_are_kept_as_often_as_they_are_there() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE events (k STRING, v INT) WITH ('connector' = 'riverrun', 'topic' = 'events', 'format' = 'json'); \
         INSERT INTO events VALUES ('a', 1), ('b', 2), (NULL, 3), ('a', 3), (NULL, 3); \
         CREATE MATERIALIZED VIEW joined AS SELECT l.k, r.v FROM events l LEFT JOIN events r ON l.k = r.k AND r.v > 2; \
         CREATE MATERIALIZED VIEW sizes AS SELECT n FROM (SELECT k, COUNT(*) AS n FROM events GROUP BY k); \
         CREATE MATERIALIZED VIEW united AS SELECT k FROM events UNION SELECT UPPER(k) FROM events",
    )
    .unwrap();
    assert_eq!(
        both(&mut session, "SELECT * FROM joined"),
        ["NULL | NULL", "NULL | NULL", "a | 3", "a | 3", "b | NULL"]
    );
    assert_eq!(both(&mut session, "SELECT * FROM sizes"), ["1", "2", "2"]);
    assert_eq!(both(&mut session, "SELECT n, COUNT(*) FROM sizes GROUP BY n"), ["1 | 1", "2 | 2"]);
    assert_eq!(both(&mut session, "SELECT * FROM united"), ["A", "B", "NULL", "a", "b"]);
    let described = session.columns("joined").unwrap();
    let names: Vec<&str> = described.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["k", "v"]);
}

#[test]
fn metadata_and_computed_columns_are_read() {
    let mut session = session();
    run(
        &mut session,
        "CREATE TABLE written (v INT) WITH ('connector' = 'riverrun', 'topic' = 'm', 'format' = 'json'); \
         INSERT INTO written VALUES (7), (8); \
         CREATE TABLE seen (v INT, `offset` BIGINT METADATA VIRTUAL, part INT METADATA FROM 'partition' VIRTUAL, doubled AS v * 2, \
         ts AS TIMESTAMP '2020-01-01 00:00:00', WATERMARK FOR ts AS ts) WITH ('connector' = 'riverrun', 'topic' = 'm', 'format' = 'json')",
    )
    .map(|_| ())
    .unwrap_or_else(|error| assert!(error.to_string().contains("TIMESTAMP(3)"), "{error}"));
    run(
        &mut session,
        "CREATE TABLE seen (v INT, `offset` BIGINT METADATA VIRTUAL, part INT METADATA FROM 'partition' VIRTUAL, doubled AS v * 2) \
         WITH ('connector' = 'riverrun', 'topic' = 'm', 'format' = 'json')",
    )
    .unwrap();
    assert_eq!(
        both(&mut session, "SELECT doubled, `offset`, part FROM seen"),
        ["14 | 0 | 0", "16 | 1 | 0"]
    );
}
