use std::collections::BTreeSet;

use super::*;
use crate::batch::BatchBuilder;
use crate::compression::Compression;
use crate::environment::sim::Simulation;
use crate::partition::Isolation;
use crate::store::StoreOptions;
use crate::topic::TopicConfig;

fn open(sim: &Simulation) -> Store {
    Store::open_in(sim.environment(), "data", StoreOptions::default()).expect("opens")
}

fn store_with_topic(sim: &Simulation) -> Store {
    let store = open(sim);
    let config = TopicConfig { partitions: 2, ..TopicConfig::default() };
    store.create_topic("t", config).expect("a new topic");
    store
}

fn log(store: &Store, partition: u32) -> Partition {
    store.partition("t", partition).expect("exists")
}

fn try_write(
    store: &Store,
    partition: u32,
    producer: ProducerIdentity,
    sequence: i32,
    value: &str,
) -> Result<()> {
    let mut builder = BatchBuilder::new(Compression::None)?;
    builder.transactional(producer.id, producer.epoch, sequence);
    builder.append(1, None, Some(value.as_bytes()), &[])?;
    log(store, partition).append(&mut builder.finish()?).map(|_| ())
}

fn write(store: &Store, partition: u32, producer: ProducerIdentity, sequence: i32, value: &str) {
    try_write(store, partition, producer, sequence, value).expect("is appended");
}

/// The values that a `read_committed` reader sees in both partitions.
fn committed(store: &Store) -> Vec<String> {
    let mut values = Vec::new();
    for partition in 0..2 {
        let log = log(store, partition);
        let mut offset = log.offsets().log_start;
        loop {
            let fetch = log.read(offset, 1 << 20, Isolation::ReadCommitted).expect("reads");
            let Some(next) = fetch.next_offset() else { break };
            for batch in &fetch.batches {
                let header = batch.header();
                let aborted = fetch.aborted.iter().any(|a| {
                    a.producer_id == header.producer_id
                        && (a.first_offset..a.last_offset).contains(&header.base_offset)
                });
                if header.attributes.is_control() || aborted {
                    continue;
                }
                let records = batch.records(&mut Default::default()).expect("decodes");
                for record in records.iter() {
                    let value = record.expect("decodes").value.unwrap_or_default().to_vec();
                    values.push(String::from_utf8(value).expect("text"));
                }
            }
            offset = next;
        }
    }
    values
}

fn crash_and_open(sim: &Simulation, store: Store) -> Store {
    drop(store);
    sim.crash();
    open(sim)
}

#[test]
fn a_commit_shows_all_partitions_at_once_and_its_entries() {
    let sim = Simulation::new(1);
    let store = store_with_topic(&sim);
    let producer = store.init_producer(Some("p")).expect("initialises");
    write(&store, 0, producer, 0, "a");
    write(&store, 1, producer, 0, "b");
    assert_eq!(committed(&store), Vec::<String>::new());
    let entry = Entry::put("position", "file", "17");
    store.commit_transaction_with(producer, &[entry]).expect("commits");
    assert_eq!(committed(&store), ["a", "b"]);
    let store = crash_and_open(&sim, store);
    assert_eq!(committed(&store), ["a", "b"]);
    assert_eq!(store.metadata().get("position", "file").as_deref(), Some(&b"17"[..]));
}

#[test]
fn an_abort_shows_nothing_and_the_producer_goes_on() {
    let sim = Simulation::new(2);
    let store = store_with_topic(&sim);
    let producer = store.init_producer(Some("p")).expect("initialises");
    write(&store, 0, producer, 0, "a");
    store.abort_transaction(producer).expect("aborts");
    write(&store, 0, producer, 1, "b");
    write(&store, 1, producer, 0, "c");
    store.commit_transaction(producer).expect("commits");
    assert_eq!(committed(&store), ["b", "c"]);
    let store = crash_and_open(&sim, store);
    assert_eq!(committed(&store), ["b", "c"]);
}

#[test]
fn a_new_instance_fences_and_aborts_what_the_old_one_left_open() {
    let sim = Simulation::new(3);
    let store = store_with_topic(&sim);
    let old = store.init_producer(Some("p")).expect("initialises");
    write(&store, 0, old, 0, "a");
    let new = store.init_producer(Some("p")).expect("initialises");
    assert_eq!((new.id, new.epoch), (old.id, old.epoch + 1));
    for partition in 0..2 {
        let refused = try_write(&store, partition, old, 1, "b").expect_err("fenced");
        assert_eq!(refused.kind(), ErrorKind::Fenced, "{refused}");
    }
    let refused = store.commit_transaction(old).expect_err("fenced");
    assert_eq!(refused.kind(), ErrorKind::Fenced, "{refused}");
    write(&store, 0, new, 0, "c");
    store.commit_transaction(new).expect("commits");
    assert_eq!(committed(&store), ["c"]);
}

#[test]
fn producer_ids_are_never_given_out_twice() {
    let sim = Simulation::new(4);
    let mut store = store_with_topic(&sim);
    let mut seen = BTreeSet::new();
    for round in 0..5 {
        for i in 0..3 {
            let name = format!("p{round}-{i}");
            let name = (i == 0).then_some(name.as_str());
            assert!(seen.insert(store.init_producer(name).expect("initialises").id));
        }
        store = crash_and_open(&sim, store);
    }
}

#[test]
fn used_up_epochs_move_the_name_to_a_new_id() {
    let sim = Simulation::new(5);
    let store = store_with_topic(&sim);
    let first = store.init_producer(Some("p")).expect("initialises");
    let last = ProducerIdentity { epoch: LAST_EPOCH, ..first };
    let record =
        ProducerRecord { identity: last, owner: TransactionOwner::Client, decided: Vec::new() };
    store.metadata().put_all(&[entry("p", &record).expect("encodes")]).expect("is put");
    let store = crash_and_open(&sim, store);
    write(&store, 0, last, 0, "a");
    let refused = store.init_transactional_producer("p", TransactionOwner::Job);
    assert!(matches!(refused, Err(Error::InvalidTransactionState { .. })), "{refused:?}");
    let next = store.init_producer(Some("p")).expect("initialises");
    assert_ne!(next.id, last.id);
    assert_eq!(next.epoch, 0);
    for partition in 0..2 {
        let refused = try_write(&store, partition, last, 1, "b").expect_err("fenced");
        assert_eq!(refused.kind(), ErrorKind::Fenced, "{refused}");
    }
    write(&store, 0, next, 0, "c");
    store.commit_transaction(next).expect("commits");
    assert_eq!(committed(&store), ["c"]);
}

#[test]
fn who_owns_a_transaction_decides_what_a_restart_does_to_it() {
    let sim = Simulation::new(6);
    let store = store_with_topic(&sim);
    let owners = [TransactionOwner::Process, TransactionOwner::Client, TransactionOwner::Job];
    let producers = owners.map(|owner| {
        let name = format!("{owner:?}");
        store.init_transactional_producer(&name, owner).expect("initialises")
    });
    for (producer, value) in producers.iter().zip(["process", "client", "job"]) {
        write(&store, 0, *producer, 0, value);
        write(&store, 1, *producer, 0, value);
    }
    store.flush_partitions(&[log(&store, 0), log(&store, 1)]).expect("flushes");
    let store = crash_and_open(&sim, store);

    let names = |store: &Store| -> Vec<String> {
        store.open_transactions("").into_iter().map(|open| open.transactional_id).collect()
    };
    assert_eq!(names(&store), ["Client", "Job"]);
    let [_, client, job] = producers;
    store.commit_transaction(client).expect("a client may go on after a restart");
    assert_eq!(names(&store), ["Job"]);
    assert_eq!(committed(&store), ["client", "client"], "what precedes the job's");

    // The job starts anew: it fences, and only then decides.
    let newer =
        store.init_transactional_producer("Job", TransactionOwner::Job).expect("initialises");
    let refused = try_write(&store, 0, newer, 0, "x").expect_err("the old one is open");
    assert!(refused.to_string().contains("must be committed or aborted first"), "{refused}");
    let open = store.open_transactions("Jo");
    assert_eq!(open[0].identity, job);
    assert_eq!(open[0].partitions.len(), 2);
    for (topic, partition, _) in &open[0].partitions {
        let log = store.partition(topic, *partition).expect("exists");
        assert_eq!(log.end_transaction(newer, TransactionOutcome::Commit).expect("idle"), None);
        let ended = log.end_transaction(job, TransactionOutcome::Commit).expect("ends");
        assert!(ended.is_some());
        assert_eq!(log.end_transaction(job, TransactionOutcome::Abort).expect("idle"), None);
        log.flush().expect("flushes");
    }
    assert_eq!(committed(&store), ["client", "job", "client", "job"]);
    write(&store, 0, newer, 0, "x");
}

/// The disk is full at every possible moment of a commit: the transaction is committed or not, in
/// all partitions and with its entry, and stays so after a restart.
#[test]
fn a_full_disk_anywhere_in_a_commit_leaves_all_or_nothing() {
    let (mut refused, mut late) = (0, 0);
    for room in 0..600 {
        let sim = Simulation::new(room);
        let store = store_with_topic(&sim);
        let producer =
            store.init_transactional_producer("p", TransactionOwner::Process).expect("initialises");
        write(&store, 0, producer, 0, "a");
        write(&store, 1, producer, 0, "b");
        sim.set_capacity(Some(sim.used() + room));
        let entry = Entry::put("position", "file", "1");
        let result = store.commit_transaction_with(producer, std::slice::from_ref(&entry));
        match &result {
            Ok(()) if committed(&store).len() < 2 => {
                late += 1;
                let next = try_write(&store, 0, producer, 1, "c")
                    .and(try_write(&store, 1, producer, 1, "c"));
                assert_eq!(next.expect_err("a marker is missing").kind(), ErrorKind::Retry);
            }
            Ok(()) => {}
            Err(error) => {
                refused += 1;
                assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                assert_eq!(committed(&store), Vec::<String>::new());
            }
        }
        sim.set_capacity(None);
        let store = if room % 2 == 0 {
            // Room again, and the process lives: it may try again, or the markers follow.
            if result.is_err() {
                store.commit_transaction_with(producer, &[entry]).expect("commits");
            }
            store.maintain().expect("maintains");
            assert_eq!(committed(&store), ["a", "b"], "room {room}");
            crash_and_open(&sim, store)
        } else {
            crash_and_open(&sim, store)
        };
        let whole = room % 2 == 0 || result.is_ok();
        let expected: &[&str] = if whole { &["a", "b"] } else { &[] };
        assert_eq!(committed(&store), expected, "room {room}");
        assert_eq!(store.metadata().get("position", "file").is_some(), whole, "room {room}");
        assert_eq!(store.open_transactions(""), []);
    }
    assert!(refused > 0 && late > 0, "{refused} refused, {late} with late markers");
}

/// A commit whose markers did not fit stays a commit when the store is opened on a disk that is still
/// full: its transaction is open, but nobody has left it behind.
#[test]
fn a_committed_transaction_without_its_marker_is_not_aborted_at_the_next_open() {
    let mut late = 0;
    for room in 0..600 {
        let sim = Simulation::new(room);
        let store = store_with_topic(&sim);
        let producer =
            store.init_transactional_producer("p", TransactionOwner::Process).expect("initialises");
        write(&store, 0, producer, 0, "a");
        write(&store, 1, producer, 0, "b");
        sim.set_capacity(Some(sim.used() + room));
        if store.commit_transaction(producer).is_err() || committed(&store).len() == 2 {
            continue;
        }
        late += 1;
        drop(store);
        // As much room as opening needs, and no more.
        let used = sim.used();
        let store = (0..600).find_map(|more| {
            sim.kill_process();
            sim.set_capacity(Some(used + more));
            Store::open_in(sim.environment(), "data", StoreOptions::default())
                .ok()
                .filter(|store| (0..2).all(|partition| store.partition("t", partition).is_ok()))
        });
        let store = store.expect("opens with some room");
        let unresolved = store.coordinator().registry.all_unresolved();
        assert!(!unresolved.is_empty(), "room {room}: there was room for markers");
        for (_, decided) in unresolved {
            assert_eq!(decided.outcome, TransactionOutcome::Commit, "room {room}");
        }
        sim.set_capacity(None);
        store.maintain().expect("maintains");
        assert_eq!(committed(&store), ["a", "b"], "room {room}");
    }
    assert!(late > 0);
}

#[test]
fn a_topic_of_the_same_name_gets_no_marker_of_the_old_one() {
    let sim = Simulation::new(8);
    let store = store_with_topic(&sim);
    let producer = store.init_producer(Some("p")).expect("initialises");
    write(&store, 0, producer, 0, "old");
    store.commit_transaction(producer).expect("commits");
    store.delete_topic("t").expect("is deleted");
    let config = TopicConfig { partitions: 2, ..TopicConfig::default() };
    store.create_topic("t", config).expect("a new topic");
    write(&store, 0, producer, 0, "new");
    log(&store, 0).flush().expect("flushes");
    let store = crash_and_open(&sim, store);
    assert_eq!(committed(&store), Vec::<String>::new(), "it was never committed");
    assert_eq!(store.open_transactions("").len(), 1);
}
