//! Seeded histories of the whole crate, on a simulated disk, against a model: appends, flushes, rolls,
//! retention, transactions, topics that come and go; crashes that lose and tear what was not synced,
//! killed processes, failing writes and syncs, a full disk, flipped bits.
//!
//! What must hold, whatever happens:
//! - what was acknowledged is there, unchanged, at its offset;
//! - nothing is there twice, and nothing that nobody sent;
//! - no offset that anybody has seen is used again;
//! - damaged bytes are never served;
//! - after a failed sync nothing more is acknowledged;
//! - transactions are committed in all their partitions and with their metadata, or not at all, and
//!   `read_committed` readers see exactly that.
//!
//! `RIVERRUN_SIM_SEEDS=100000` plays more histories, `RIVERRUN_SIM_SEED=17` one again.

mod checks;
mod history;
mod model;
mod operations;
mod producers;
mod random;
mod reopening;

use std::sync::atomic::{AtomicU64, Ordering};

/// Histories in an ordinary run.
const SEEDS: u64 = 2_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..20 {
        let first = history::run(seed).unwrap_or_else(|violation| panic!("{violation}"));
        let second = history::run(seed).unwrap_or_else(|violation| panic!("{violation}"));
        assert_eq!(first, second, "seed {seed} is not deterministic");
    }
}

#[test]
fn every_history_keeps_the_promises() {
    if let Some(seed) = number("RIVERRUN_SIM_SEED") {
        history::run(seed).unwrap_or_else(|violation| panic!("{violation}"));
        return;
    }
    let seeds = number("RIVERRUN_SIM_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let violations = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get().min(4)) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    if let Err(violation) = history::run(seed) {
                        violations.lock().expect("no panic holds it").push((seed, violation));
                    }
                }
            });
        }
    });
    let mut violations = violations.into_inner().expect("no panic held it");
    violations.sort();
    if let Some((_, first)) = violations.first() {
        let heads =
            violations.iter().take(20).filter_map(|(_, violation)| violation.lines().next());
        let heads: Vec<&str> = heads.collect();
        let count = violations.len();
        panic!("{count} of {seeds} histories fail:\n{}\n\n{first}", heads.join("\n"));
    }
}
