//! `riverrun server`: its life, its HTTP face, and `riverrun job` on both sides of it.

mod support;

use serde_json::Value;
use support::server::Server;
use support::{error_of, example, folder, output_of, riverrun};

/// The figures of `/metrics`, by name with labels.
fn figure(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.rsplit_once(' ').is_some_and(|(n, _)| n == name))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

/// A data dir on which the word count ran.
fn counted_words(dir: &std::path::Path) {
    let text = dir.join("text");
    std::fs::write(&text, "to be or not to be\n").expect("the file can be written");
    output_of(example("word_count").arg(&text).arg("--data-dir").arg(dir.join("data")));
}

#[test]
fn a_server_answers_over_http_and_ends_well_at_sigterm() {
    let dir = folder();
    let data = dir.path().join("data");
    counted_words(dir.path());
    output_of(
        riverrun()
            .args(["topic", "create", "orders", "--partitions", "2", "--data-dir"])
            .arg(&data),
    );
    let server = Server::start(&data);
    let http = server.http();
    assert_eq!(http.text("/healthz").unwrap(), "ok\n");

    let jobs: Value = http.get("/jobs").unwrap();
    assert_eq!(jobs["jobs"][0]["job"], "word-count");
    assert_eq!(jobs["jobs"][0]["state"], "FINISHED");
    let job: Value = http.get("/jobs/word-count").unwrap();
    assert_eq!(job["checkpoint"]["finished"], true);
    let graph: Value = http.get("/jobs/word-count/graph").unwrap();
    assert_eq!(graph, job["graph"]);
    assert!(graph["vertices"].as_array().is_some_and(|vertices| vertices.len() >= 2), "{graph}");
    assert!(http.text("/jobs/word-count/graph?format=dot").unwrap().starts_with("digraph"));

    let metrics = http.text("/metrics").unwrap();
    let partition = r#"riverrun_log_high_watermark_records{topic="orders",partition="1"}"#;
    assert_eq!(figure(&metrics, partition), Some(0.0));
    assert_eq!(figure(&metrics, "riverrun_log_refused_count"), Some(0.0));

    let unknown = http.get::<Value>("/jobs/none").unwrap_err().to_string();
    assert_eq!(unknown, "there is no job named `none`");
    let over = http.post("/jobs/word-count/cancel").unwrap_err().to_string();
    assert_eq!(over, "job `word-count` is over already: FINISHED");
    let format = http.text("/jobs/word-count/graph?format=png").unwrap_err().to_string();
    assert!(format.contains("ascii"), "{format}");
    assert!(http.text("/nowhere").is_err());

    let (status, stderr) = server.terminate();
    assert_eq!(status.code(), Some(0), "{stderr}");
    // Closed and unlocked: others can have it.
    output_of(riverrun().args(["topic", "list", "--data-dir"]).arg(&data));
}

#[test]
fn job_commands_ask_the_server_that_has_the_data_dir() {
    let dir = folder();
    let data = dir.path().join("data");
    counted_words(dir.path());
    let list = || {
        let mut command = riverrun();
        command.args(["job", "list", "--output", "json"]);
        command
    };
    let before = output_of(list().arg("--data-dir").arg(&data));
    let server = Server::start(&data);
    let in_use = error_of(list().arg("--data-dir").arg(&data), 1);
    assert!(in_use.contains("is in use by") && in_use.contains("--server"), "{in_use}");
    let at = ["--server", server.address("http")];
    assert_eq!(output_of(list().args(at)), before);
    let describe = output_of(riverrun().args(["job", "describe", "word-count"]).args(at));
    assert!(describe.contains("checkpoint 1 of run 1, finished"), "{describe}");
    let drawn = output_of(riverrun().args(["job", "graph", "word-count"]).args(at));
    assert!(drawn.contains("HASH"), "{drawn}");
    let cancel = error_of(riverrun().args(["job", "cancel", "none"]).args(at), 1);
    assert!(cancel.contains("there is no job named `none`"), "{cancel}");
    server.kill();
    let gone = error_of(list().args(["--server", "127.0.0.1:1"]), 1);
    assert!(gone.contains("no server answers at 127.0.0.1:1"), "{gone}");
}

#[test]
fn a_server_refuses_what_it_must_not_do() {
    let dir = folder();
    let server = |arguments: &[&str]| {
        let mut command = riverrun();
        command.arg("server").args(arguments).arg("--data-dir").arg(dir.path());
        command
    };
    let open = error_of(&mut server(&["--http", "0.0.0.0:0"]), 1);
    assert!(open.contains("--insecure"), "{open}");
    let wrong = error_of(&mut server(&["--http", "here"]), 1);
    assert!(wrong.contains("--http here"), "{wrong}");
    error_of(&mut server(&["--htpp", "off"]), 2);
}
