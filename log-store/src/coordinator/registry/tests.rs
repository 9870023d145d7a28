use super::*;
use crate::transaction::TransactionOutcome;

const A: ProducerIdentity = ProducerIdentity { id: 7, epoch: 2 };

fn record(identity: ProducerIdentity) -> ProducerRecord {
    ProducerRecord { identity, owner: TransactionOwner::Process, decided: Vec::new() }
}

fn registry() -> (ProducerRegistry, Arc<str>) {
    let registry = ProducerRegistry::default();
    registry.register("job", &record(A));
    (registry, "t".into())
}

fn committed(topic: &str, partition: u32) -> DecidedTransaction {
    let part = TransactionPart { topic: topic.to_owned(), partition, epoch: 2, first_offset: 5 };
    DecidedTransaction { identity: A, outcome: TransactionOutcome::Commit, parts: vec![part] }
}

#[test]
fn only_the_current_epoch_is_admitted() {
    let (registry, t) = registry();
    assert_eq!(registry.admit(A, true, &t, 0), Ok(()));
    let older = ProducerIdentity { epoch: 1, ..A };
    let fenced = Err(Rejection::Fenced { producer: older, current: 2 });
    assert_eq!(registry.admit(older, true, &t, 0), fenced);
    assert_eq!(registry.admit(older, false, &t, 0), fenced);
    let newer = ProducerIdentity { epoch: 3, ..A };
    let unknown = |producer| Err(Rejection::UnknownProducer { producer });
    assert_eq!(registry.admit(newer, true, &t, 0), unknown(newer));
    let stranger = ProducerIdentity { id: 8, epoch: 0 };
    assert_eq!(registry.admit(stranger, true, &t, 0), unknown(stranger));
    assert_eq!(registry.admit(stranger, false, &t, 0), Ok(()), "merely idempotent");
    assert_eq!(registry.enlisted(A).expect("current"), vec![(t, 0)]);
}

#[test]
fn a_higher_epoch_fences_but_still_knows_the_open_partitions() {
    let (registry, t) = registry();
    registry.admit(A, true, &t, 3).expect("admitted");
    let next = ProducerIdentity { epoch: 3, ..A };
    registry.register("job", &record(next));
    assert!(matches!(registry.begin_end(A), Err(Error::ProducerFenced { current: 3, .. })));
    assert_eq!(registry.enlisted(next).expect("current"), vec![(t, 3)]);
}

#[test]
fn a_new_producer_id_fences_the_old_one() {
    let (registry, t) = registry();
    let next = ProducerIdentity { id: 9, epoch: 0 };
    registry.register("job", &record(next));
    assert!(matches!(registry.admit(A, true, &t, 0), Err(Rejection::Fenced { .. })));
    assert_eq!(registry.admit(next, true, &t, 0), Ok(()));
    assert_eq!(registry.registration("job").expect("ready").map(|r| r.identity), Some(next));
}

#[test]
fn nothing_is_admitted_while_a_transaction_ends() {
    let (registry, t) = registry();
    registry.admit(A, true, &t, 0).expect("admitted");
    let ending = registry.begin_end(A).expect("ready");
    assert_eq!(ending.partitions, vec![(t.clone(), 0)]);
    let refused = Err(Rejection::TransactionEnding { producer: A });
    assert_eq!(registry.admit(A, true, &t, 0), refused);
    assert!(registry.begin_end(A).is_err(), "twice at once");
    assert!(registry.registration("job").is_err());
    drop(ending);
    assert_eq!(registry.admit(A, true, &t, 1), Ok(()), "released");
    assert_eq!(registry.enlisted(A).expect("current").len(), 2, "still the same transaction");
}

#[test]
fn a_partition_without_its_marker_waits_for_it() {
    let (registry, t) = registry();
    registry.admit(A, true, &t, 0).expect("admitted");
    let decided = committed("t", 0);
    registry.begin_end(A).expect("ready").decided(Some(decided.clone()));
    let refused = Err(Rejection::TransactionEnding { producer: A });
    assert_eq!(registry.admit(A, true, &t, 0), refused);
    assert_eq!(registry.admit(A, true, &t, 1), Ok(()), "another partition goes on");
    assert_eq!(registry.all_unresolved(), vec![(7, decided.clone())]);
    let ending = registry.begin_end(A).expect("ready");
    assert_eq!(ending.unresolved, vec![decided.clone()], "carried along");
    drop(ending);
    registry.resolve(7, &decided.parts[0]);
    assert_eq!(registry.admit(A, true, &t, 0), Ok(()));
    assert_eq!(registry.all_unresolved(), vec![]);
}

#[test]
fn an_unknown_fate_stops_the_producer() {
    let (registry, t) = registry();
    registry.begin_end(A).expect("ready").undecided();
    assert!(registry.begin_end(A).is_err());
    assert!(registry.registration("job").is_err());
    assert!(registry.admit(A, true, &t, 0).is_err());
}
