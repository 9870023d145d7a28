//! The main job as people run it: a log file in, counts out, through the real programs.

mod support;

use std::io::Write;
use std::path::Path;

use riverrun::operators::generate::GeneratorOptions;
use support::{
    Counts, assert_same, consume, counted, error_of, example, folder, generate, output_of,
    real_log, riverrun,
};

const LINES: u64 = 20_000;

fn log(path: &Path) -> Counts {
    let options = GeneratorOptions {
        seed: 3,
        lines_per_second: 40,
        out_of_orderness_ms: 59_000,
        ..GeneratorOptions::default()
    };
    generate(path, options, LINES, 5000)
}

fn count(log: &Path, data_dir: &Path, more: &[&str]) {
    let mut job = example("nginx_ip_counts");
    job.arg("--input").arg(log).arg("--data-dir").arg(data_dir).args(more);
    output_of(&mut job);
}

#[test]
fn rows_and_columns_at_any_parallelism_give_the_exact_answer() {
    let dir = folder();
    let path = dir.path().join("access.log");
    let expected = log(&path);
    for (name, options) in [
        ("one", &["--parallelism", "1"][..]),
        ("two", &["--parallelism", "2"]),
        ("columns", &["--parallelism", "1", "--columns"]),
        ("two-columns", &["--parallelism", "2", "--columns"]),
    ] {
        let data_dir = dir.path().join(name);
        count(&path, &data_dir, options);
        assert_same(&counted(&data_dir, "ip-counts", 5000), &expected);
    }
}

#[test]
fn started_again_it_counts_only_what_was_added() {
    let dir = folder();
    let (path, data_dir) = (dir.path().join("access.log"), dir.path().join("data"));
    let mut expected = log(&path);
    count(&path, &data_dir, &["--parallelism", "2"]);
    count(&path, &data_dir, &["--parallelism", "1"]);
    assert_same(&counted(&data_dir, "ip-counts", 5000), &expected);

    let mut file = std::fs::File::options().append(true).open(&path).expect("the log is there");
    writeln!(file, r#"10.0.0.1 - - [01/Jan/2031:00:00:04 +0100] "GET / HTTP/1.1" 200 5 "-" "-""#)
        .expect("the log can be written");
    count(&path, &data_dir, &["--parallelism", "3"]);
    expected.insert((1_924_988_400_000, "10.0.0.1".to_owned()), 1);
    assert_same(&counted(&data_dir, "ip-counts", 5000), &expected);
}

#[test]
fn lines_that_do_not_parse_are_kept_aside_untouched() {
    let dir = folder();
    let (path, data_dir) = (dir.path().join("access.log"), dir.path().join("data"));
    let expected = log(&path);
    let broken = br#"10.0.0.1 - - [17/May/2015:10:05:03 +0000] "GET /cut"#;
    let mut file = std::fs::File::options().append(true).open(&path).expect("the log is there");
    file.write_all(broken).expect("the log can be written");
    count(&path, &data_dir, &[]);
    assert_same(&counted(&data_dir, "ip-counts", 5000), &expected);
    let rejected = consume(&data_dir, "nginx.rejected");
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0]["value"].as_str().map(str::as_bytes), Some(&broken[..]));
    let reason = rejected[0]["headers"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("request"), "{reason}");
}

#[test]
fn the_real_log_gives_the_known_answer() {
    let Some(path) = real_log() else {
        eprintln!("skipped: the real log is not beside the repository");
        return;
    };
    let dir = folder();
    count(
        &path,
        dir.path(),
        &["--window", "5s", "--out-of-orderness", "60s", "--parallelism", "2"],
    );
    let counts = counted(dir.path(), "ip-counts", 5000);
    assert_eq!((counts.len(), counts.values().sum::<u64>()), (7415, 9999));
    assert_eq!(consume(dir.path(), "nginx.rejected").len(), 1);
}

#[test]
fn its_graph_is_drawn_without_running_it() {
    let dir = folder();
    let program = example("nginx_ip_counts").get_program().to_owned();
    let graph = |format: &str| {
        let mut job = riverrun();
        job.args(["job", "graph", "--format", format, "--data-dir"]).arg(dir.path().join("none"));
        job.arg(&program).args(["--", "--input", "none.log", "--parallelism", "3"]);
        output_of(&mut job)
    };
    let drawn = graph("ascii");
    assert!(drawn.contains("HASH (ip)") && drawn.contains("parallelism 3"), "{drawn}");
    assert!(graph("dot").starts_with("digraph \"nginx-ip-counts\""));
    let json: serde_json::Value = serde_json::from_str(&graph("json")).expect("JSON");
    assert_eq!(json["edges"][0]["kind"], "HASH");
    assert_eq!(json["vertices"][0]["parallelism"], 3);
    assert!(!dir.path().join("none").exists(), "nothing was opened");
}

#[test]
fn wrong_usage_is_told_with_what_to_do() {
    let dir = folder();
    let in_dir = |arguments: &[&str]| {
        let mut command = riverrun();
        command.args(arguments).arg("--data-dir").arg(dir.path().join("data"));
        command
    };
    output_of(&mut in_dir(&["topic", "create", "orders", "--partitions", "2"]));
    let cases = [
        (&["consume", "order"][..], 1, "riverrun topic create order"),
        (&["topic", "create", "orders"], 1, "exists already"),
        (&["topic", "create", "a b"], 1, "cannot name a topic"),
        (&["topic", "alter", "orders", "-c", "retention=1"], 1, "retention.ms"),
        (&["topic", "create", "x", "--partitions", "0"], 2, "0 is not in"),
        (&["consume", "orders", "--from-timestamp", "noon"], 2, "2015-05-17T10:05:00Z"),
        (&["consume", "orders", "--partition", "7"], 1, "no partition 7"),
        (&["ingest", "nginx", "none.log"], 1, "none.log"),
        (&["job", "graph", "no-such-job"], 1, "neither a program nor a job"),
    ];
    for (arguments, code, told) in cases {
        let error = error_of(&mut in_dir(arguments), code);
        assert!(error.contains(told), "{arguments:?}: {error}");
    }
}
