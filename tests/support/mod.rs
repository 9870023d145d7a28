//! What the end-to-end tests share: the real programs, started as processes, and the exact answer.

#![allow(dead_code, reason = "every test file uses its part of this")]

pub mod server;

use std::collections::BTreeMap;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use riverrun::operators::generate::{AccessLogGenerator, GeneratorOptions};

/// The `riverrun` command line.
pub fn riverrun() -> Command {
    Command::new(env!("CARGO_BIN_EXE_riverrun"))
}

/// An example program; `cargo test` builds them beside the tests.
pub fn example(name: &str) -> Command {
    let exe = std::env::current_exe().expect("a running test has a path");
    let folder = exe.parent().and_then(Path::parent).expect("tests are in target/<profile>/deps");
    let path = folder.join("examples").join(name);
    assert!(path.is_file(), "{} is not built: run `cargo build --examples`", path.display());
    Command::new(path)
}

/// Runs a command to its end, which must be a good one, and returns its standard output.
pub fn output_of(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program can be started");
    assert!(
        status.success(),
        "{command:?} ended with {status}:\n{}",
        String::from_utf8_lossy(&stderr)
    );
    String::from_utf8(stdout).expect("output is UTF-8")
}

/// Runs a command to its end, which must be a bad one with this exit code, and returns its standard error.
pub fn error_of(command: &mut Command, code: i32) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program can be started");
    let stderr = String::from_utf8(stderr).expect("errors are UTF-8");
    assert_eq!(
        status.code(),
        Some(code),
        "{command:?}\nstdout: {}\nstderr: {stderr}",
        String::from_utf8_lossy(&stdout)
    );
    stderr
}

/// All records of a topic, as the command line prints them.
pub fn consume(data_dir: &Path, topic: &str) -> Vec<serde_json::Value> {
    let out = output_of(
        riverrun()
            .args(["consume", topic, "--from-beginning", "--output", "json", "--data-dir"])
            .arg(data_dir),
    );
    out.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect()
}

/// Counts by (window start, IP). Panics if the same one is there twice.
pub type Counts = BTreeMap<(i64, String), u64>;

/// What the job put into its output topic.
pub fn counted(data_dir: &Path, topic: &str, window_ms: i64) -> Counts {
    let mut counts = Counts::new();
    for record in consume(data_dir, topic) {
        let (key, value) = (&record["key"], &record["value"]);
        assert_eq!(key, &value["ip"], "results are keyed by IP");
        let time = |field: &str| {
            let text = value[field].as_str().unwrap_or_else(|| panic!("{field} in {record}"));
            chrono::DateTime::parse_from_rfc3339(text).expect("RFC 3339").timestamp_millis()
        };
        let (start, end) = (time("window_start"), time("window_end"));
        assert_eq!(end - start, window_ms, "{record}");
        let ip = value["ip"].as_str().expect("an IP").to_owned();
        let count = value["count"].as_u64().expect("a count");
        let twice = counts.insert((start, ip), count);
        assert_eq!(twice, None, "there is a second result for {record}");
    }
    counts
}

/// Writes generated lines to a file and returns the exact answer, known without parsing them.
pub fn generate(path: &Path, options: GeneratorOptions, lines: u64, window_ms: i64) -> Counts {
    let mut generator = AccessLogGenerator::new(options);
    let mut out = BufWriter::new(std::fs::File::create(path).expect("the file can be made"));
    let mut line = Vec::new();
    let mut counts = Counts::new();
    for _ in 0..lines {
        line.clear();
        let event = generator.next_line(&mut line);
        line.push(b'\n');
        out.write_all(&line).expect("the file can be written");
        let window = event.time_ms.div_euclid(window_ms) * window_ms;
        *counts.entry((window, generator.ip(event.client).to_owned())).or_default() += 1;
    }
    out.flush().expect("the file can be written");
    counts
}

/// Fails with what differs first, instead of printing two maps of thousands.
pub fn assert_same(got: &Counts, expected: &Counts) {
    for (key, count) in expected {
        assert_eq!(got.get(key), Some(count), "result for {key:?}");
    }
    for key in got.keys() {
        assert!(expected.contains_key(key), "there is a result for {key:?}, which never was");
    }
}

/// Kills processes at random moments; the moments come from a printed seed.
pub struct Killer {
    random: StdRng,
    /// How many processes were killed so far.
    pub kills: u32,
}

impl Killer {
    /// The seed is RIVERRUN_SEED, or 1.
    pub fn new() -> Self {
        let seed = std::env::var("RIVERRUN_SEED").map_or(1, |s| s.parse().expect("a number"));
        eprintln!("RIVERRUN_SEED={seed}");
        Self { random: StdRng::seed_from_u64(seed), kills: 0 }
    }

    /// Starts `command` and kills it with SIGKILL after up to `longest`, unless it ends before: true if it ended, and then
    /// well.
    pub fn run_and_kill(&mut self, command: &mut Command, longest: Duration) -> bool {
        let delay = longest.mul_f64(self.random.random());
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let ended = watch(&mut child).recv_timeout(delay).ok();
        if ended.is_none() {
            child.kill().expect("the program can be killed");
            self.kills += 1;
        }
        let status = child.wait().expect("the program can be waited for");
        if let Some(stderr) = &ended {
            let stderr = String::from_utf8_lossy(stderr);
            assert!(status.success(), "{command:?} ended with {status}:\n{stderr}");
        }
        ended.is_some()
    }
}

impl Killer {
    /// Starts `command`, does things while it runs, a few times with some time in between, and kills it with SIGKILL. It must
    /// not end by itself.
    pub fn kill_while(&mut self, command: &mut Command, mut meanwhile: impl FnMut(&mut StdRng)) {
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let ended = watch(&mut child);
        for _ in 0..self.random.random_range(1..5) {
            meanwhile(&mut self.random);
            let pause = Duration::from_millis(self.random.random_range(0..100));
            if let Ok(stderr) = ended.recv_timeout(pause) {
                panic!("{command:?} ended by itself:\n{}", String::from_utf8_lossy(&stderr));
            }
        }
        child.kill().expect("the program can be killed");
        child.wait().expect("the program can be waited for");
        self.kills += 1;
    }
}

/// Gives what a process had to say on standard error, when it has ended.
fn watch(child: &mut Child) -> Receiver<Vec<u8>> {
    let mut stderr = child.stderr.take().expect("standard error is piped");
    let (ended, end) = channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        // Standard error closes when the process ends, however it does.
        let _ = stderr.read_to_end(&mut text);
        let _ = ended.send(text);
    });
    end
}

/// A folder of its own for a test.
pub fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// The real log that developers have beside the repository, if it is there.
pub fn real_log() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/access.log");
    path.is_file().then_some(path)
}
