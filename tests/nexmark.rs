//! Nexmark: the events beside the tests are those of the generator, SQL understands the queries, and their results are those of an
//! independent engine, whatever the parallelism, and through a crash.

mod support;

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use riverrun::expected::Expected;
use riverrun::operators::generate::{NexmarkGenerator, NexmarkOptions};
use riverrun_sql::parser::{Statement, parse_script};
use support::riverrun;

fn fixtures() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/nexmark"))
}

#[test]
fn the_events_with_known_results_are_what_the_generator_makes() {
    let file = std::fs::File::open(fixtures().join("events.json.gz")).expect("it is there");
    let mut recorded = String::new();
    GzDecoder::new(file).read_to_string(&mut recorded).expect("it is compressed text");
    // As tests/fixtures/README.md says; they begin fifty seconds before midnight.
    let generator = NexmarkGenerator::new(NexmarkOptions {
        seed: 2,
        events_per_second: 20,
        out_of_order_group: 60,
        base_time_ms: 1_436_918_350_000,
        ..NexmarkOptions::default()
    });
    let mut line = Vec::new();
    let mut lines = 0;
    for (position, expected) in recorded.lines().enumerate() {
        line.clear();
        generator.event(position as u64).write_json(&mut line);
        assert_eq!(std::str::from_utf8(&line), Ok(expected), "event {position}");
        lines += 1;
    }
    assert_eq!(lines, 2000);
}

#[test]
fn every_query_has_a_script_and_an_expected_result() {
    let scripts = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sql/nexmark"));
    for number in 0..=23 {
        let name = format!("q{number}");
        let script =
            std::fs::read_to_string(scripts.join(format!("{name}.sql"))).expect("it is there");
        let statements = parse_script(&script).unwrap_or_else(|error| panic!("{name}: {error}"));
        let insert = statements.last().map(|parsed| &parsed.statement);
        let Some(Statement::Insert(insert)) = insert else {
            panic!("{name} does not end with INSERT INTO");
        };
        assert_eq!(insert.table, format!("nexmark_{name}"));
        let table = statements.iter().find_map(|parsed| match &parsed.statement {
            Statement::CreateTable(create) if create.table.name == insert.table => {
                Some(&create.table)
            }
            _ => None,
        });
        let table = table.unwrap_or_else(|| panic!("{name} does not make its table"));
        let expected =
            Expected::read(fixtures(), &name).unwrap_or_else(|error| panic!("{error:#}"));
        let columns: Vec<_> = table.columns.iter().map(|column| column.name.as_str()).collect();
        // What depends on the clock is not in the expected result of query 12.
        let shown = if number == 12 { &columns[..2] } else { &columns[..] };
        assert_eq!(expected.columns().collect::<Vec<_>>(), shown, "{name}");
    }
}

/// Runs all queries on the events with known results. Panics unless each query runs, has rows, and has the right ones.
fn every_query_is_right(more: &[&str]) {
    let folder = support::folder();
    let mut command = riverrun();
    // As tests/fixtures/README.md says.
    command.args(["bench", "nexmark", "--events", "2000", "--rate", "20", "--out-of-order", "60"]);
    command.args(["--seed", "2", "--start", "2015-07-14T23:59:10Z", "--partitions", "3"]);
    command.args(["--checkpoint-interval", "100ms", "--output", "json"]);
    command.arg("--reference").arg(fixtures()).arg("--data-dir").arg(folder.path()).args(more);
    let output = command.output().expect("the program can be started");
    let told = String::from_utf8_lossy(&output.stderr);
    let mut queries = Vec::new();
    let mut wrong = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("every line is JSON");
        queries.push(line["query"].as_str().expect("a query's name").to_owned());
        if line["result"] != "right" || line["rows"].as_i64().is_none_or(|rows| rows == 0) {
            wrong.push(line.to_string());
        }
    }
    assert!(wrong.is_empty(), "{}\n{told}", wrong.join("\n"));
    let all: Vec<String> = (0..=23).map(|number| format!("q{number}")).collect();
    assert_eq!(queries, all, "{told}");
    assert!(output.status.success(), "{told}");
}

#[test]
fn every_query_is_right_at_parallelism_1() {
    every_query_is_right(&["--parallelism", "1"]);
}

#[test]
fn every_query_is_right_at_parallelism_4() {
    every_query_is_right(&["--parallelism", "4"]);
}

/// The process of each query is killed behind a checkpoint, with events in the middle of it; another goes on.
#[test]
fn every_query_is_right_after_a_crash_and_more_subtasks() {
    every_query_is_right(&["--parallelism", "1", "--crash", "--resume-parallelism", "4"]);
}

#[test]
fn every_query_is_right_after_a_crash_and_fewer_subtasks() {
    every_query_is_right(&["--parallelism", "4", "--crash", "--resume-parallelism", "2"]);
}

/// What the tests above rely on: a result that is not the expected one is told, and is a failure.
#[test]
fn a_wrong_result_is_told() {
    let mut command = riverrun();
    command.args(["bench", "nexmark", "--events", "1999", "--rate", "20", "--out-of-order", "60"]);
    command.args(["--seed", "2", "--start", "2015-07-14T23:59:10Z", "--queries", "q0,q17"]);
    command.args(["--output", "json", "--reference"]).arg(fixtures());
    let output = command.output().expect("the program can be started");
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("2 result(s) wrong"), "{told}");
    let out = String::from_utf8_lossy(&output.stdout);
    assert_eq!(out.matches("WRONG: 1 rows missing").count(), 2, "{out}");
}
