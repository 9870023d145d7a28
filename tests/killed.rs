//! Programs killed with SIGKILL at random moments, again and again: nothing is lost, doubled or changed.

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use riverrun::operators::generate::{AccessLogGenerator, GeneratorOptions};
use support::{
    Killer, assert_same, consume, counted, example, folder, generate, output_of, riverrun,
};

const KILLS: u32 = 100;

/// How many lines the killed programs get through; fewer for a quick look.
fn lines() -> u64 {
    std::env::var("RIVERRUN_KILL_LINES").map_or(2_000_000, |n| n.parse().expect("a number"))
}

#[test]
fn the_main_job_killed_a_hundred_times_counts_every_line_once() {
    let dir = folder();
    let log = dir.path().join("access.log");
    let options = GeneratorOptions {
        seed: 42,
        lines_per_second: 5000,
        out_of_orderness_ms: 59_000,
        ..GeneratorOptions::default()
    };
    let expected = generate(&log, options, lines(), 5000);
    let mut killer = Killer::new();
    // A run that gets to its end is checked, and the next one starts on a new data dir, until there were kills enough.
    for round in 0.. {
        let data_dir = dir.path().join(format!("data-{round}"));
        let job = || {
            let mut job = example("nginx_ip_counts");
            job.arg("--input").arg(&log).arg("--data-dir").arg(&data_dir);
            job.args([
                "--checkpoint-interval",
                "50ms",
                "--parallelism",
                "2",
                "--out-of-orderness",
                "60s",
            ]);
            job
        };
        let mut finished = false;
        while !finished {
            let longest = Duration::from_millis(if killer.kills < KILLS { 400 } else { 600_000 });
            finished = killer.run_and_kill(&mut job(), longest);
        }
        assert_same(&counted(&data_dir, "ip-counts", 5000), &expected);
        eprintln!("round {round}: all results right after {} kills", killer.kills);
        if killer.kills >= KILLS {
            return;
        }
    }
}

#[test]
fn order_income_killed_a_hundred_times_adds_every_order_up_once() {
    let dir = folder();
    let orders = lines() / 10;
    let mut killer = Killer::new();
    for round in 0.. {
        let data_dir = dir.path().join(format!("data-{round}"));
        let job = || {
            let mut job = example("order_income");
            job.args(["--checkpoint-interval", "50ms", "--parallelism", "2", "--orders"]);
            job.arg(orders.to_string()).arg("--data-dir").arg(&data_dir);
            job
        };
        let mut finished = false;
        while !finished {
            let longest = Duration::from_millis(if killer.kills < KILLS { 300 } else { 600_000 });
            finished = killer.run_and_kill(&mut job(), longest);
        }
        let mut expected = BTreeMap::<(String, String), u64>::new();
        let written = consume(&data_dir, "orders");
        assert_eq!(written.len() as u64, orders, "all orders are there, once");
        for record in written {
            let order = &record["value"];
            let minute = format!("{}:00Z", &text(order, "at")[..16]);
            let cents = order["cents"].as_u64().expect("cents");
            *expected.entry((minute, text(order, "product"))).or_default() += cents;
        }
        let mut got = BTreeMap::new();
        for record in consume(&data_dir, "order-income") {
            let income = &record["value"];
            let cents = income["cents"].as_u64().expect("cents");
            let twice = got.insert((text(income, "minute"), text(income, "product")), cents);
            assert_eq!(twice, None, "there is a second result for {record}");
        }
        assert_eq!(got, expected);
        eprintln!("round {round}: all results right after {} kills", killer.kills);
        if killer.kills >= KILLS {
            return;
        }
    }
}

fn text(object: &serde_json::Value, field: &str) -> String {
    object[field].as_str().unwrap_or_else(|| panic!("{field} in {object}")).to_owned()
}

#[test]
fn ingest_killed_a_hundred_times_under_rotation_takes_every_line_once() {
    let dir = folder();
    let data_dir = dir.path().join("data");
    let mut log = RotatedLog::create(dir.path());
    let mut killer = Killer::new();
    let ingest = || {
        let mut ingest = riverrun();
        ingest.args(["ingest", "nginx"]).arg(&log.path).arg("--data-dir").arg(&data_dir);
        ingest
    };
    let (mut following, mut last) = (ingest(), ingest());
    following.arg("--follow");
    // Rotated files that were there before the first line was taken would not be part of the log.
    log.grow(&mut StdRng::seed_from_u64(0));
    output_of(&mut last);
    while killer.kills < KILLS {
        killer.kill_while(&mut following, |random| log.grow(random));
    }
    log.finish_line();
    output_of(&mut last);

    let mut got: BTreeMap<String, u64> = BTreeMap::new();
    for record in consume(&data_dir, "nginx") {
        *got.entry(text(&record, "value")).or_default() += 1;
    }
    for (line, times) in &log.lines {
        assert_eq!(got.get(line), Some(times), "how often this line is in the topic: {line}");
    }
    assert_eq!(got.len(), log.lines.len(), "there are lines that never were");
    assert!(consume(&data_dir, "nginx.rejected").is_empty(), "every line was whole");
    eprintln!("{} different lines, {} rotations", log.lines.len(), log.rotations);
}

/// An access log that grows by pieces of lines and is rotated now and then, as logrotate does it: by renaming, or by
/// copying and truncating.
struct RotatedLog {
    path: PathBuf,
    file: File,
    generator: AccessLogGenerator,
    /// What was generated and not yet written.
    unwritten: Vec<u8>,
    /// How often each line was written.
    lines: BTreeMap<String, u64>,
    rotations: u32,
}

impl RotatedLog {
    fn create(folder: &Path) -> Self {
        let path = folder.join("access.log");
        let file = Self::open(&path);
        let generator = AccessLogGenerator::new(GeneratorOptions { seed: 7, ..Default::default() });
        Self { path, file, generator, unwritten: Vec::new(), lines: BTreeMap::new(), rotations: 0 }
    }

    fn open(path: &Path) -> File {
        File::options().create(true).append(true).open(path).expect("the log can be opened")
    }

    /// Writes some lines, the last one perhaps not to its end; then perhaps rotates.
    fn grow(&mut self, random: &mut StdRng) {
        for _ in 0..random.random_range(0..1500) {
            let start = self.unwritten.len();
            self.generator.next_line(&mut self.unwritten);
            let line = String::from_utf8(self.unwritten[start..].to_vec()).expect("ASCII");
            *self.lines.entry(line).or_default() += 1;
            self.unwritten.push(b'\n');
        }
        let kept = if random.random() {
            0
        } else {
            random.random_range(0..=self.unwritten.len().min(100))
        };
        let now = self.unwritten.len() - kept;
        self.file.write_all(&self.unwritten[..now]).expect("the log can be written");
        self.unwritten.drain(..now);
        // A program that is told to open its log anew does so between lines.
        if random.random_ratio(1, 4) {
            self.finish_line();
            self.rotate(random.random());
        }
    }

    fn finish_line(&mut self) {
        self.file.write_all(&self.unwritten).expect("the log can be written");
        self.unwritten.clear();
    }

    fn rotate(&mut self, by_renaming: bool) {
        let rotated = |n: u32| self.path.with_file_name(format!("access.log.{n}"));
        for n in (1..=self.rotations).rev() {
            std::fs::rename(rotated(n), rotated(n + 1)).expect("an old log can be renamed");
        }
        if by_renaming {
            std::fs::rename(&self.path, rotated(1)).expect("the log can be renamed");
            self.file = Self::open(&self.path);
        } else {
            std::fs::copy(&self.path, rotated(1)).expect("the log can be copied");
            self.file.set_len(0).expect("the log can be truncated");
        }
        self.rotations += 1;
    }
}
