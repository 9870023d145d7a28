//! SQL from outside: the command line, and a server over the PostgreSQL protocol, through stops and crashes.

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use flate2::read::GzDecoder;
use futures_util::{StreamExt, TryStreamExt, pin_mut};
use riverrun::expected::Expected;
use support::server::Server;
use support::{error_of, folder, output_of, riverrun};
use tokio_postgres::error::{ErrorPosition, SqlState};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

const TABLES: &str = "\
CREATE TABLE numbers (id BIGINT, name STRING) WITH ('connector' = 'riverrun', 'topic' = 'numbers', 'format' = 'json');
CREATE TABLE doubled (id BIGINT, name STRING) WITH ('connector' = 'riverrun', 'topic' = 'doubled', 'format' = 'json');
";

/// A data dir with the topics of both tables.
fn with_topics(data_dir: &Path) {
    for topic in ["numbers", "doubled"] {
        output_of(riverrun().args(["topic", "create", topic, "--data-dir"]).arg(data_dir));
    }
}

fn sql(data_dir: &Path) -> Command {
    let mut command = riverrun();
    command.arg("sql").arg("--data-dir").arg(data_dir);
    command
}

#[test]
fn results_come_as_tables_json_and_csv() {
    let dir = folder();
    let ask = |output: &str, statements: &str| {
        output_of(sql(dir.path()).args(["--output", output, "-e", statements]))
    };
    let query = "SELECT 1 AS a, 'x,y' AS b, CAST(NULL AS STRING) AS c, ARRAY[1, 2] AS d";
    assert_eq!(ask("json", query), "{\"a\":1,\"b\":\"x,y\",\"c\":null,\"d\":[1,2]}\n");
    assert_eq!(ask("csv", query), "a,b,c,d\n1,\"x,y\",,\"[1,2]\"\n");
    let table = ask("table", query);
    let lines: Vec<&str> = table.lines().map(str::trim).collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].starts_with('a') && lines[2].contains("x,y   NULL"), "{table}");
    assert!(!table.contains('\u{1b}'), "there are no colours without a terminal");
}

#[test]
fn a_script_ends_at_the_first_complaint_and_says_where_it_is() {
    let dir = folder();
    let script = dir.path().join("script.sql");
    std::fs::write(
        &script,
        "SELECT 1 AS one;\nSELECT 2 AS two FROM\n  nowhere;\nSELECT 3 AS three;\n",
    )
    .expect("the script can be written");
    let mut command = sql(&dir.path().join("data"));
    command.arg("-f").arg(&script).args(["--output", "json"]);
    let output = command.output().expect("the program can be started");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "{\"one\":1}\n");
    let error = String::from_utf8_lossy(&output.stderr);
    let place = format!("error: {}: line 3, column 3: ", script.display());
    assert!(error.contains(&place) && error.contains("`nowhere`"), "{error}");
    assert!(error.contains("\n3 |   nowhere;\n  |   ^\n"), "{error}");

    let first = dir.path().join("first.sql");
    std::fs::write(&first, "CREATE TEMPORARY VIEW ones AS SELECT 1 AS one;").expect("as above");
    let second = dir.path().join("second.sql");
    std::fs::write(&second, "SELECT one FROM ones").expect("as above");
    let mut both = sql(&dir.path().join("data"));
    both.arg("-f").arg(&first).arg("-f").arg(&second).args(["--output", "json"]);
    assert_eq!(output_of(&mut both), "{\"one\":1}\n");

    let missing = error_of(sql(dir.path()).args(["-f", "/nowhere.sql"]), 1);
    assert!(missing.contains("cannot read /nowhere.sql"), "{missing}");
    error_of(sql(dir.path()).arg("--outptu"), 2);
    error_of(sql(dir.path()).args(["-e", "SELECT 1", "-f", "x.sql"]), 2);
}

#[test]
fn statements_are_read_from_a_pipe() {
    let dir = folder();
    let mut child = sql(dir.path())
        .args(["--output", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let script = "-- nothing; yet\nSELECT ';' AS a; SELECT\n2 AS b";
    let mut stdin = child.stdin.take().expect("standard input is piped");
    stdin.write_all(script.as_bytes()).expect("the script can be written");
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a\n;\nb\n2\n");
}

#[test]
fn jobs_of_a_script_run_to_what_is_there_and_are_waited_for() {
    let dir = folder();
    let script = format!(
        "{TABLES} INSERT INTO numbers VALUES (1, 'a'), (2, 'b');
         INSERT INTO doubled SELECT id * 2, name FROM numbers;
         SELECT id, name FROM doubled;"
    );
    let out =
        output_of(sql(dir.path()).args(["--until-caught-up", "--output", "csv", "-e", &script]));
    let mut lines: Vec<&str> = out.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["2,a", "4,b", "id,name"]);
    // The tables are still there, for another process and in the other mode.
    let query = "SET 'execution.runtime-mode' = 'batch'; SELECT count(*) AS n FROM doubled";
    assert_eq!(output_of(sql(dir.path()).args(["--output", "csv", "-e", query])), "n\n2\n");
}

#[test]
fn rows_that_are_inserted_are_there_for_the_next_statement() {
    let insert = "INSERT INTO numbers VALUES (1, 'a'), (2, 'b')";
    let query = "SELECT count(*) AS n FROM numbers";
    let script = format!("{TABLES} {insert}; SET 'execution.runtime-mode' = 'batch'; {query}");
    let dir = folder();
    let out = output_of(sql(dir.path()).args(["--output", "csv", "-e", &script]));
    assert_eq!(out, "n\n2\n");

    let dir = folder();
    with_topics(dir.path());
    let server = Server::start(dir.path());
    with_client(&server, async |client| {
        client.batch_execute(TABLES).await.expect("tables are made");
        assert_eq!(client.execute(insert, &[]).await.expect("rows are taken"), 2);
        let batch = "SET execution.runtime_mode = batch";
        client.batch_execute(batch).await.expect("the setting is known");
        let row = client.query_one(query, &[]).await.expect("there is a count");
        assert_eq!(row.get::<_, i64>(0), 2);
    });
}

/// Does something with a client of a server.
fn with_client<T>(server: &Server, work: impl AsyncFnOnce(&Client) -> T) -> T {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    runtime.block_on(async {
        let (host, port) = server.address("pg").rsplit_once(':').expect("HOST:PORT");
        let config = format!("host={host} port={port} user=tester");
        let (client, connection) =
            tokio_postgres::connect(&config, NoTls).await.expect("the server can be reached");
        let talk = tokio::spawn(connection);
        let done = work(&client).await;
        drop(client);
        talk.await.expect("the connection does not panic").expect("the connection ends well");
        done
    })
}

/// The first `count` rows of `doubled` from its beginning, by id.
async fn follow_doubled(client: &Client, count: usize) -> BTreeMap<i64, String> {
    let rows = client.query_raw("SELECT id, name FROM doubled", Vec::<String>::new());
    let rows = rows.await.expect("the query is understood");
    pin_mut!(rows);
    let mut seen = BTreeMap::new();
    while seen.len() < count {
        let row = rows.try_next().await.expect("rows come").expect("the query has no end");
        let twice = seen.insert(row.get::<_, i64>(0), row.get::<_, String>(1));
        assert_eq!(twice, None, "a row came twice");
    }
    client.cancel_token().cancel_query(NoTls).await.expect("the query can be cancelled");
    let rest: Vec<_> = rows.collect().await;
    let code = rest.last().and_then(|last| last.as_ref().err()).and_then(|error| error.code());
    assert_eq!(code, Some(&SqlState::QUERY_CANCELED));
    seen
}

#[test]
fn a_job_outlives_its_connection_and_the_servers_crash() {
    let dir = folder();
    with_topics(dir.path());
    let server = Server::start(dir.path());
    with_client(&server, async |client| {
        client.batch_execute(TABLES).await.expect("tables can be made");
        client
            .batch_execute("INSERT INTO doubled SELECT id * 2, name FROM numbers")
            .await
            .expect("a job can be started");
        client
            .batch_execute("INSERT INTO numbers VALUES (1, 'a'), (2, 'b')")
            .await
            .expect("rows can be written");
        let expected = BTreeMap::from([(2, "a".to_owned()), (4, "b".to_owned())]);
        assert_eq!(follow_doubled(client, 2).await, expected);
    });
    server.kill();

    let server = Server::start(dir.path());
    assert!(server.ready_line().contains("go on"), "{}", server.ready_line());
    with_client(&server, async |client| {
        client
            .batch_execute("INSERT INTO numbers VALUES (3, 'c')")
            .await
            .expect("rows can be written");
        let expected =
            BTreeMap::from([(2, "a".to_owned()), (4, "b".to_owned()), (6, "c".to_owned())]);
        assert_eq!(follow_doubled(client, 3).await, expected);
    });
    let job = "insert-into_doubled";
    let jobs: serde_json::Value = server.http().get(&format!("/jobs/{job}")).unwrap();
    assert_eq!(jobs["summary"]["state"], "RUNNING");
    let at = ["--server", server.address("http")];
    output_of(riverrun().args(["job", "cancel", job]).args(at));
    let list = output_of(riverrun().args(["job", "list"]).args(at));
    let line = list.lines().find(|line| line.contains(job)).expect("the job is listed");
    assert!(line.contains("CANCELLED"), "{list}");
    let (status, stderr) = server.terminate();
    assert_eq!(status.code(), Some(0), "{stderr}");

    let server = Server::start(dir.path());
    assert!(!server.ready_line().contains("go on"), "a cancelled job stays so");
    let (status, stderr) = server.terminate();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

#[test]
fn a_server_that_is_told_to_stop_goes_on_with_its_jobs_later() {
    let dir = folder();
    with_topics(dir.path());
    let server = Server::start(dir.path());
    with_client(&server, async |client| {
        client.batch_execute(TABLES).await.expect("tables can be made");
        let insert = "INSERT INTO doubled SELECT id * 2, name FROM numbers";
        client.batch_execute(insert).await.expect("a job can be started");
    });
    let (status, stderr) = server.terminate();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("job `insert-into_doubled` stopped"), "{stderr}");
    let server = Server::start(dir.path());
    assert!(server.ready_line().contains("1 jobs go on"), "{}", server.ready_line());
}

#[test]
fn statements_are_prepared_with_parameters_and_read_in_portions() {
    let dir = folder();
    let server = Server::start(dir.path());
    with_client(&server, async |client| {
        client.batch_execute("SET execution.runtime_mode = batch").await.expect("a setting");
        client.batch_execute(TABLES).await.expect("tables can be made");
        let values = (1..=50).map(|n| format!("({n}, 'n{n}')")).collect::<Vec<_>>().join(", ");
        let insert = format!("INSERT INTO numbers VALUES {values}");
        client.batch_execute(&insert).await.expect("rows can be written");
        let prepared = client
            .prepare(
                "SELECT id, name FROM numbers WHERE id > $1::BIGINT AND name <> $2 ORDER BY id",
            )
            .await
            .expect("it can be prepared");
        let names: Vec<&str> = prepared.columns().iter().map(|column| column.name()).collect();
        assert_eq!(names, ["id", "name"]);
        let rows = client.query(&prepared, &[&47i64, &"n49"]).await.expect("rows");
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(ids, [48, 50]);

        let row = client
            .query_one(
                "SELECT CAST(1.50 AS DECIMAL(10, 2)) IS NULL, CAST('2020-01-02 03:04:05' AS TIMESTAMP(3)), \
                 ARRAY[CAST(1 AS BIGINT), NULL], CAST(2.5 AS DOUBLE)",
                &[],
            )
            .await
            .expect("a row");
        assert!(!row.get::<_, bool>(0));
        let at = row.get::<_, chrono::NaiveDateTime>(1);
        assert_eq!(at.to_string(), "2020-01-02 03:04:05");
        assert_eq!(row.get::<_, Vec<Option<i64>>>(2), [Some(1), None]);
        assert_eq!(row.get::<_, f64>(3), 2.5);
    });
}

#[test]
fn errors_have_a_state_and_a_place() {
    let dir = folder();
    let server = Server::start(dir.path());
    with_client(&server, async |client| {
        for (statement, state, place) in
            [("SELECT 1; SELECT\n  x FROM nowhere", "42000", 27), ("SELEC 1", "42601", 1)]
        {
            let error = client.simple_query(statement).await.expect_err("it is wrong");
            let error = error.as_db_error().expect("the server says so");
            assert_eq!(error.code().code(), state, "{error}");
            assert_eq!(error.position(), Some(&ErrorPosition::Original(place)), "{error}");
        }
        let refused = client.batch_execute("SET client_encoding = 'LATIN1'").await;
        let code = refused.as_ref().err().and_then(|error| error.code());
        assert_eq!(code, Some(&SqlState::INVALID_PARAMETER_VALUE));
        // The connection goes on after each.
        let answer =
            client.simple_query("BEGIN; SHOW server_version; COMMIT").await.expect("an answer");
        let version = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        assert!(version.is_some_and(|version| version.starts_with("15.0 (Riverrun")));
    });
}

#[test]
fn the_catalog_can_be_read_as_postgresqls() {
    let dir = folder();
    let server = Server::start(dir.path());
    with_client(&server, async |client| {
        client.batch_execute(TABLES).await.expect("tables can be made");
        let rows = client
            .query(
                "SELECT column_name, data_type FROM information_schema.columns \
                 WHERE table_name = $1 ORDER BY ordinal_position",
                &[&"numbers"],
            )
            .await
            .expect("columns");
        let columns: Vec<(String, String)> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let expected = [("id", "bigint"), ("name", "text")];
        assert_eq!(columns, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    });
}

/// The rows of a query as lines, values separated by `|`.
async fn lines(client: &Client, query: &str) -> Vec<String> {
    let answer = client.simple_query(query).await;
    let answer = answer.unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let mut lines = Vec::new();
    for message in answer {
        if let SimpleQueryMessage::Row(row) = message {
            let values: Vec<&str> = (0..row.len()).map(|at| row.get(at).unwrap_or("")).collect();
            lines.push(values.join("|"));
        }
    }
    lines
}

#[test]
fn object_mappers_drivers_and_dashboards_find_their_way() {
    let dir = folder();
    let server = Server::start(dir.path());
    with_client(&server, async |client| {
        client.batch_execute(TABLES).await.expect("tables can be made");
        for (query, expected) in [
            // Names of schemas, without PostgreSQL's own.
            (
                "SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname NOT LIKE 'pg/_' || '%' ESCAPE '/' ORDER BY nspname",
                vec!["information_schema", "public"],
            ),
            // Columns, with their defaults and comments.
            (
                "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), \
                 CASE WHEN a.atthasdef THEN (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef AS d \
                 WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum) END, (SELECT max(t.typname) FROM pg_catalog.pg_type t WHERE t.oid = a.atttypid), \
                 (SELECT n.nspname FROM pg_catalog.pg_namespace AS n WHERE n.oid = c.relnamespace), \
                 c.oid = CAST('public.numbers' AS REGCLASS) \
                 FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid \
                 WHERE c.relname IN ('numbers') AND c.relkind = ANY (ARRAY['r', 'v']) ORDER BY a.attnum",
                vec!["id|bigint||int8|public|t", "name|text||text|public|t"],
            ),
            // Keys and indexes, of which there are none.
            (
                "SELECT k.conname, array_agg(CAST(k.attname AS TEXT) ORDER BY k.ord) FROM (SELECT con.conname AS conname, a.attname AS attname, \
                 generate_subscripts(con.conkey, 1) AS ord FROM pg_catalog.pg_constraint AS con JOIN pg_catalog.pg_attribute AS a \
                 ON a.attnum = ANY (con.conkey)) AS k GROUP BY k.conname",
                vec![],
            ),
            (
                "SELECT i.relname, (information_schema._pg_expandarray(x.indkey)).n FROM pg_catalog.pg_class i \
                 JOIN pg_catalog.pg_index x ON x.indexrelid = i.oid",
                vec![],
            ),
            // Types, in the order of the search path.
            (
                "SELECT t.typname FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace \
                 LEFT JOIN (SELECT ns.oid AS o, s.r FROM pg_namespace ns JOIN (SELECT g.r, (current_schemas(false))[g.r] AS nspname \
                 FROM generate_series(1, array_upper(current_schemas(false), 1)) AS g(r)) AS s USING (nspname)) AS p ON p.o = t.typnamespace \
                 WHERE (t.typrelid = 0 OR (SELECT c.relkind = 'c' FROM pg_class c WHERE c.oid = t.typrelid)) \
                 AND t.typname OPERATOR(pg_catalog.~) '^int[48]$' AND t.typname <> ALL ('{int2,int4}'::text[]) AND t.typarray = to_regtype('int8[]') IS NULL ORDER BY p.r, 1",
                vec!["int8"],
            ),
            // A column beside all columns, and several without a name.
            (
                "SELECT n.oid, n.*, NULL, NULL FROM pg_catalog.pg_namespace n WHERE nspname = 'public'",
                vec!["2200|2200|public|10|||"],
            ),
            (
                "SELECT count(*) > 0 FROM pg_catalog.pg_get_keywords() WHERE word = 'tumble'",
                vec!["t"],
            ),
            // Dashboards: the version, tables and columns of the search path.
            ("SELECT current_setting('server_version_num')::int / 100 AS version", vec!["1500"]),
            (
                "SELECT quote_ident(table_name) FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND quote_ident(table_schema) IN \
                 (SELECT trim(s[i]) FROM generate_series(1, array_upper(string_to_array(current_setting('search_path'), ','), 1)) AS i, \
                 string_to_array(current_setting('search_path'), ',') AS s) ORDER BY 1",
                vec!["doubled", "numbers"],
            ),
        ] {
            assert_eq!(lines(client, query).await, expected, "{query}");
        }
        let named = client.prepare("SELECT 1, now() IS NULL AS b, count(*) FROM numbers").await;
        let named = named.expect("it can be prepared");
        let names: Vec<&str> = named.columns().iter().map(|column| column.name()).collect();
        // A result that is taken back has its `op` in front.
        assert_eq!(names, ["op", "EXPR$0", "b", "EXPR$2"]);
    });
}

#[test]
fn dashboards_ask_for_a_range_of_time() {
    let dir = folder();
    let server = Server::start(dir.path());
    with_client(&server, async |client| {
        client
            .batch_execute(
                "SET execution.runtime_mode = batch; \
                 CREATE TABLE visits (at_ TIMESTAMP(3), n INT) WITH ('connector' = 'riverrun', 'topic' = 'visits', 'format' = 'json'); \
                 INSERT INTO visits VALUES (TIMESTAMP '2020-01-01 00:00:10', 1), (TIMESTAMP '2020-01-01 00:01:10', 2), \
                 (TIMESTAMP '2020-01-01 00:01:50', 3), (TIMESTAMP '2020-01-02 00:00:00', 9)",
            )
            .await
            .expect("rows can be written");
        let range = "\"at_\" BETWEEN '2020-01-01T00:00:00Z' AND '2020-01-01T06:00:00.123Z'";
        let rows = format!(
            "SELECT \"at_\" AS \"time\", n FROM \"public\".\"visits\" WHERE {range} ORDER BY 1"
        );
        assert_eq!(
            lines(client, &rows).await,
            ["2020-01-01 00:00:10|1", "2020-01-01 00:01:10|2", "2020-01-01 00:01:50|3"]
        );
        let groups = format!(
            "SELECT floor(extract(epoch from at_)/60)*60 AS \"time\", sum(n) AS \"sum\" FROM visits WHERE {range} GROUP BY 1 ORDER BY 1"
        );
        assert_eq!(lines(client, &groups).await, ["1577836800|1", "1577836860|5"]);
    });
}

#[test]
fn parameters_have_the_type_of_what_they_stand_beside() {
    let dir = folder();
    let server = Server::start(dir.path());
    with_client(&server, async |client| {
        client.batch_execute("SET execution.runtime_mode = batch").await.expect("a setting");
        client.batch_execute(TABLES).await.expect("tables can be made");
        let insert = client.prepare("INSERT INTO numbers VALUES ($1, $2), ($3, UPPER($4))").await;
        let insert = insert.expect("it can be prepared");
        client.execute(&insert, &[&1i64, &"a", &2i64, &"b"]).await.expect("rows are written");
        let some = "INSERT INTO numbers (name, id) SELECT $1, $2";
        client.execute(some, &[&"c", &3i64]).await.expect("a row is written");
        let query = "SELECT id, name FROM numbers WHERE id > $1 AND id < $2 + 1 AND name IN ($3, $4) ORDER BY id LIMIT $5";
        let rows = client.query(query, &[&0i64, &3i64, &"a", &"B", &5i64]).await.expect("rows");
        let rows: Vec<(i64, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(rows, [(1, "a".to_owned()), (2, "B".to_owned())]);
        let query = "SELECT id FROM numbers WHERE id = ANY($1) AND name = ANY($2) ORDER BY id";
        let arrays =
            client.query(query, &[&vec![1i64, 3], &vec!["c", "it's"]]).await.expect("rows");
        assert_eq!(arrays.iter().map(|row| row.get::<_, i64>(0)).collect::<Vec<_>>(), [3]);
        let nothing = client.query(query, &[&Vec::<i64>::new(), &vec!["c"]]).await.expect("rows");
        assert!(nothing.is_empty());
    });
}

#[test]
fn a_query_without_end_is_followed_with_a_cursor() {
    let dir = folder();
    with_topics(dir.path());
    let server = Server::start(dir.path());
    with_client(&server, async |client| {
        client.batch_execute(TABLES).await.expect("tables can be made");
        client.batch_execute("INSERT INTO numbers VALUES (1, 'a'), (2, 'b')").await.expect("rows");
        let declare =
            "BEGIN; DECLARE follow NO SCROLL CURSOR FOR SELECT id FROM numbers WHERE id > 0";
        client.batch_execute(declare).await.expect("a cursor");
        let mut seen = lines(client, "FETCH FORWARD 2 FROM follow").await;
        client.batch_execute("INSERT INTO numbers VALUES (3, 'c'), (4, 'd')").await.expect("rows");
        seen.extend(lines(client, "FETCH 1 FROM follow").await);
        seen.extend(lines(client, "FETCH NEXT FROM follow").await);
        seen.sort_unstable();
        assert_eq!(seen, ["1", "2", "3", "4"]);
        client.batch_execute("CLOSE follow").await.expect("the query stops");
        let more = "DECLARE more CURSOR FOR SELECT id FROM numbers WHERE id > $1";
        client.execute(more, &[&3i64]).await.expect("a cursor with a parameter");
        assert_eq!(lines(client, "FETCH 1 FROM more").await, ["4"]);
        client.batch_execute("COMMIT").await.expect("all cursors are closed");
        let gone = client.simple_query("FETCH 1 FROM more").await.expect_err("it is closed");
        assert_eq!(gone.code(), Some(&SqlState::INVALID_CURSOR_NAME));
    });
}

#[test]
fn the_prompt_can_ask_a_server() {
    let dir = folder();
    let server = Server::start(dir.path());
    let ask = |statements: &str| {
        let mut command = riverrun();
        command.args([
            "sql",
            "--server",
            server.address("pg"),
            "--output",
            "json",
            "-e",
            statements,
        ]);
        command
    };
    let out = output_of(&mut ask("SELECT 1 AS a, 'x' AS b, TRUE AS c, CAST(NULL AS INT) AS d"));
    assert_eq!(out, "{\"a\":1,\"b\":\"x\",\"c\":true,\"d\":null}\n");
    let error = error_of(&mut ask("SELECT 1;\nSELECT x FROM nowhere"), 1);
    assert!(error.contains("error: line 2, column 15: "), "{error}");
    let in_use = error_of(sql(dir.path()).args(["-e", "SELECT 1"]), 1);
    assert!(in_use.contains("--server 127.0.0.1:5433"), "{in_use}");
}

/// The questions of `examples/sql/access_log`, whose answers DuckDB gave, too.
const QUESTIONS: [&str; 4] = ["requests_per_ip", "status_classes", "top_ips", "bytes_p95"];

fn question_script(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sql/access_log");
    let path = folder.join(format!("{name}.sql"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn answer(question: &str) -> Expected {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/access_log");
    Expected::read(&folder, question).unwrap_or_else(|error| panic!("{error:#}"))
}

/// A data dir with the log of the demo in the topic `nginx`.
fn with_access_log(data_dir: &Path) {
    let log = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo/access.log.gz");
    let mut lines = GzDecoder::new(std::fs::File::open(log).expect("it is there"));
    let plain = data_dir.join("access.log");
    let mut file = std::fs::File::create(&plain).expect("the log can be written");
    std::io::copy(&mut lines, &mut file).expect("the log can be written");
    let mut ingest = riverrun();
    ingest.args(["ingest", "nginx"]).arg(plain).args(["--topic", "nginx", "--data-dir"]);
    output_of(ingest.arg(data_dir));
}

/// The scripts as they stand, at the command line; what they leave in their topics.
fn scripts_answer_the_questions(mode: &str) {
    let dir = folder();
    with_access_log(dir.path());
    let mut script =
        format!("SET 'execution.runtime-mode' = '{mode}';\n{}", question_script("ddl"));
    QUESTIONS.iter().for_each(|question| script.push_str(&question_script(question)));
    output_of(sql(dir.path()).args(["--until-caught-up", "-e", &script]));
    for question in QUESTIONS {
        let expected = answer(question);
        let mut found = expected.result();
        for record in support::consume(dir.path(), question) {
            let row = record["value"].as_object().expect("a row is an object");
            found.add(row, 1).expect("a row has the columns");
        }
        assert!(!found.is_empty(), "{question} in {mode} mode has no rows");
        found.compare().unwrap_or_else(|error| panic!("{question} in {mode} mode: {error}"));
    }
}

#[test]
fn scripts_answer_the_questions_to_an_access_log_in_batch_mode() {
    scripts_answer_the_questions("batch");
}

#[test]
fn scripts_answer_the_questions_to_an_access_log_in_streaming_mode() {
    scripts_answer_the_questions("streaming");
}

#[test]
fn a_server_answers_the_questions_to_an_access_log_in_both_modes() {
    let dir = folder();
    with_access_log(dir.path());
    let server = Server::start(dir.path());
    with_client(&server, async |client| {
        client.batch_execute(&question_script("ddl")).await.expect("the table can be made");
        client.batch_execute("SET 'execution.until-caught-up' = 'true'").await.expect("a setting");
        for (mode, question) in ["batch", "streaming"]
            .into_iter()
            .flat_map(|mode| QUESTIONS.map(|question| (mode, question)))
        {
            let set = format!("SET 'execution.runtime-mode' = '{mode}'");
            client.batch_execute(&set).await.expect("a setting");
            let script = question_script(question);
            let insert = format!("INSERT INTO {question}\n");
            let (_, query) = script.split_once(&insert).expect("the script ends with INSERT INTO");
            let expected = answer(question);
            let columns: Vec<&str> = expected.columns().collect();
            let mut found = expected.result();
            for message in client.simple_query(query).await.expect("an answer") {
                let SimpleQueryMessage::Row(row) = message else { continue };
                assert_eq!(row.len(), columns.len(), "{question} in {mode} mode");
                let cells = columns.iter().enumerate().map(|(at, name)| {
                    ((*name).to_owned(), row.get(at).map_or(serde_json::Value::Null, Into::into))
                });
                found.add(&cells.collect(), 1).expect("a row has the columns");
            }
            assert!(!found.is_empty(), "{question} in {mode} mode has no rows");
            found.compare().unwrap_or_else(|error| panic!("{question} in {mode} mode: {error}"));
        }
    });
}
