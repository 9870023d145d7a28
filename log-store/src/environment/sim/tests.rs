use super::*;
use crate::environment::LockAttempt;

fn disk(seed: u64) -> (Simulation, Environment) {
    let sim = Simulation::new(seed);
    let environment = sim.environment();
    environment.files.create_dir("d".as_ref()).expect("no faults");
    (sim, environment)
}

/// A little history that uses every operation; returns what is left after a crash.
fn history(seed: u64) -> (u64, Vec<(PathBuf, Vec<u8>)>) {
    let (sim, environment) = disk(seed);
    let files = &environment.files;
    sim.set_fault_rates(FaultRates { write: 100_000, sync: 100_000, read: 0, directory: 50_000 });
    for round in 0..20u8 {
        let path = PathBuf::from(format!("d/{}", round % 5));
        let Ok(file) = files.create(&path) else { continue };
        let _ = file.write_at(u64::from(round) * 100, &[round; 3000]);
        if round % 3 == 0 {
            let _ = file.sync();
            let _ = files.sync_dir("d".as_ref());
        }
        if round % 7 == 0 {
            let _ = file.truncate(1000);
            let _ = files.rename(&path, "d/renamed".as_ref());
        }
    }
    sim.crash();
    let left = sim.paths().into_iter().map(|path| {
        let contents = sim.contents(&path).unwrap_or_default();
        (path, contents)
    });
    (sim.trace(), left.collect())
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in 0..50 {
        assert_eq!(history(seed), history(seed), "seed {seed}");
    }
    let different: BTreeSet<u64> = (0..50).map(|seed| history(seed).0).collect();
    assert!(different.len() > 40, "seeds should matter, only {} histories", different.len());
}

#[test]
fn what_was_synced_survives_and_the_rest_may_not() {
    let mut lost = 0;
    for seed in 0..50 {
        let (sim, environment) = disk(seed);
        let file = environment.files.create("d/a".as_ref()).expect("no faults");
        file.write_at(0, &[1; 2000]).expect("no faults");
        file.sync().expect("no faults");
        environment.files.sync_dir("d".as_ref()).expect("no faults");
        file.write_at(2000, &[2; 2000]).expect("no faults");
        sim.crash();
        assert!(file.len().is_err(), "the old handle is dead");
        let contents = sim.contents("d/a".as_ref()).expect("its name was synced");
        assert_eq!(&contents[..2000], &[1; 2000], "seed {seed}");
        lost += usize::from(contents.get(2000..) != Some(&[2; 2000]));
    }
    assert!(lost > 10, "a crash has to be able to lose things, lost {lost} of 50");
}

#[test]
fn a_name_that_was_not_synced_may_vanish() {
    let survivors = (0..50)
        .filter(|seed| {
            let (sim, environment) = disk(*seed);
            environment.files.create("d/a".as_ref()).expect("no faults");
            sim.crash();
            !sim.paths().is_empty()
        })
        .count();
    assert!((5..45).contains(&survivors), "{survivors} of 50");
}

#[test]
fn a_failed_sync_loses_sectors_that_a_later_sync_does_not_bring_back() {
    let mut lost = 0;
    for seed in 0..50 {
        let (sim, environment) = disk(seed);
        let file = environment.files.create("d/a".as_ref()).expect("no faults");
        environment.files.sync_dir("d".as_ref()).expect("no faults");
        file.write_at(0, &[1; 4096]).expect("no faults");
        sim.set_fault_rates(FaultRates { sync: 1_000_000, ..FaultRates::default() });
        assert!(file.sync().is_err());
        sim.set_fault_rates(FaultRates::default());
        file.sync().expect("a second sync seems fine");
        sim.crash();
        lost += usize::from(sim.contents("d/a".as_ref()) != Some(vec![1; 4096]));
    }
    assert!(lost > 25, "lost {lost} of 50");
}

#[test]
fn a_full_disk_takes_what_fits() {
    let (sim, environment) = disk(1);
    let file = environment.files.create("d/a".as_ref()).expect("no faults");
    sim.set_capacity(Some(1000));
    let error = file.write_at(0, &[1; 1500]).expect_err("must not fit");
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().expect("alive"), 1000);
    file.write_at(0, &[2; 500]).expect("overwriting needs no room");
    environment.files.remove("d/a".as_ref()).expect("no faults");
    let other = environment.files.create("d/b".as_ref()).expect("no faults");
    other.write_at(0, &[1; 900]).expect("removing made room");
}

#[test]
fn a_lock_is_exclusive_until_dropped_or_crashed() {
    let (sim, environment) = disk(1);
    let lock = || environment.files.lock("LOCK".as_ref()).expect("no faults");
    let held = lock();
    assert!(matches!(held, LockAttempt::Held(_)));
    assert!(matches!(lock(), LockAttempt::Taken(None)));
    drop(held);
    let held = lock();
    assert!(matches!(held, LockAttempt::Held(_)));
    sim.crash();
    let anew = lock();
    assert!(matches!(anew, LockAttempt::Held(_)));
    drop(held);
    assert!(matches!(lock(), LockAttempt::Taken(None)), "a dead guard frees nothing");
}
