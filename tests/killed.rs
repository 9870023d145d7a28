//! Programs killed with SIGKILL at random moments, again and again: nothing is lost, doubled or changed.

mod support;

use std::time::Duration;

use riverrun::operators::generate::GeneratorOptions;
use support::{Killer, assert_same, counted, example, folder, generate};

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
            job.args(["--checkpoint-interval", "50ms", "--parallelism", "2", "--out-of-orderness", "60s"]);
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
