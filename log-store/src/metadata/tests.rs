use super::*;
use crate::environment::sim::{FaultRates, Simulation};
use crate::store::{Store, StoreOptions};

fn open(sim: &Simulation) -> Store {
    Store::open_in(sim.environment(), "data", StoreOptions::default()).expect("opens")
}

#[test]
fn the_last_write_wins_and_survives_a_crash() {
    let sim = Simulation::new(1);
    let store = open(&sim);
    let metadata = store.metadata();
    metadata.put("kind", "b", "1").expect("no faults");
    metadata.put("kind", "a", "2").expect("no faults");
    metadata
        .put_all(&[
            Entry::put("kind", "b", "3"),
            Entry::delete("kind", "a"),
            Entry::put("other", "a", [0, 255]),
        ])
        .expect("no faults");
    metadata.delete("kind", "never there").expect("no faults");
    let check = |store: &Store| {
        let metadata = store.metadata();
        assert_eq!(metadata.get("kind", "b").as_deref(), Some(&b"3"[..]));
        assert_eq!(metadata.get("kind", "a"), None);
        assert_eq!(metadata.scan("kind"), [("b".to_owned(), Bytes::from_static(b"3"))]);
        assert_eq!(metadata.get("other", "a").as_deref(), Some(&[0, 255][..]));
        assert!(metadata.scan("none").is_empty());
    };
    check(&store);
    sim.crash();
    check(&open(&sim));
}

#[test]
fn a_write_that_failed_is_not_seen() {
    let sim = Simulation::new(2);
    let store = open(&sim);
    store.metadata().put("k", "a", "1").expect("no faults");
    sim.set_fault_rates(FaultRates { sync: 1_000_000, ..FaultRates::default() });
    assert!(store.metadata().put("k", "a", "2").is_err());
    assert_eq!(store.metadata().get("k", "a").as_deref(), Some(&b"1"[..]));
    sim.set_fault_rates(FaultRates::default());
    assert!(store.metadata().put("k", "a", "3").is_err(), "stopped until opened again");
    sim.crash();
    let store = open(&sim);
    let value = store.metadata().get("k", "a").expect("one of both");
    assert!(&value[..] == b"1" || &value[..] == b"2", "{value:?}");
}

#[test]
fn the_log_trims_itself() {
    let sim = Simulation::new(3);
    let store = open(&sim);
    let metadata = store.metadata();
    for key in 0..50 {
        metadata.put("keep", &key.to_string(), "kept").expect("no faults");
    }
    let value = vec![7; 100_000];
    for round in 0..200u32 {
        let mut value = value.clone();
        value[..4].copy_from_slice(&round.to_le_bytes());
        metadata.put("checkpoint", "job", &value).expect("no faults");
        assert!(metadata.log().size_bytes() < 6 << 20);
        if round % 50 == 49 {
            assert!(metadata.log().offsets().log_start > 0, "trimmed by round {round}");
        }
    }
    sim.crash();
    let store = open(&sim);
    assert_eq!(store.metadata().scan("keep").len(), 50);
    let value = store.metadata().get("checkpoint", "job").expect("there");
    assert_eq!(value[..4], 199u32.to_le_bytes());
}
