//! Seeded histories of a compacted topic, on a simulated disk, against a model: plain, idempotent and
//! transactional producers, tombstones, retention, a cleaner with little memory that is stopped in the middle of
//! its work by power failures, errors and full disks.
//!
//! What must hold, whatever happens:
//! - the newest record of each key is there, and of a tombstone as long as `delete.retention.ms` says;
//! - whatever is gone was superseded, aborted or expired, and what is there is as it was sent, at its offset;
//! - offsets go on without a break, and a read from any of them leads on;
//! - a committed reader sees neither more nor less than what was committed and is there;
//! - a producer goes on from its last sequence, even if all that is left of it are the segments;
//! - nothing looks like damage, not even right after a crash.
//!
//! `RIVERRUN_SIM_SEEDS=100000` plays more histories, `RIVERRUN_SIM_SEED=17` one again.

mod checks;
mod ending;
mod history;
mod model;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Histories in an ordinary run.
const SEEDS: u64 = 300;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn every_history_keeps_the_promises() {
    if let Some(seed) = number("RIVERRUN_SIM_SEED") {
        history::run(seed).unwrap_or_else(|violation| panic!("{violation}"));
        return;
    }
    let seeds = number("RIVERRUN_SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let outcomes = Mutex::new((Vec::new(), 0));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get().min(4)) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let outcome = history::run(seed);
                    let mut outcomes = outcomes.lock().expect("no panic holds it");
                    match outcome {
                        Ok(compacted) => outcomes.1 += compacted,
                        Err(violation) => outcomes.0.push((seed, violation)),
                    }
                }
            });
        }
    });
    let (mut violations, compacted) = outcomes.into_inner().expect("no panic held it");
    violations.sort();
    if let Some((_, first)) = violations.first() {
        let heads: Vec<&str> =
            violations.iter().take(20).filter_map(|(_, text)| text.lines().next()).collect();
        let count = violations.len();
        panic!("{count} of {seeds} histories fail:\n{}\n\n{first}", heads.join("\n"));
    }
    assert!(compacted as u64 > seeds, "the histories compact next to nothing: {compacted}");
}
