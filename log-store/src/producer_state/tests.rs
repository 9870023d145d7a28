use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_000;

fn who(id: i64, epoch: i16) -> ProducerIdentity {
    ProducerIdentity { id, epoch }
}

/// A batch of `records` records.
fn batch(identity: ProducerIdentity, base_sequence: i32, records: i32) -> ProducedBatch {
    let last_offset_delta = records - 1;
    ProducedBatch { identity, base_sequence, last_offset_delta, transactional: false }
}

fn in_transaction(identity: ProducerIdentity, base_sequence: i32, records: i32) -> ProducedBatch {
    ProducedBatch { transactional: true, ..batch(identity, base_sequence, records) }
}

/// States and the offset at which the next batch goes.
#[derive(Default)]
struct Log {
    states: ProducerStates,
    end: i64,
}

impl Log {
    fn append(&mut self, batch: ProducedBatch) -> Result<Decision, Rejection> {
        let decision = self.states.check_append(&[batch])?;
        if decision == Decision::Append {
            self.states.on_appended(&batch, self.end, NOW);
            self.end += i64::from(batch.last_offset_delta) + 1;
        }
        Ok(decision)
    }

    fn mark(&mut self, identity: ProducerIdentity, outcome: TransactionOutcome) -> bool {
        let ended = self.states.on_marker(identity, outcome, self.end, NOW).is_some();
        self.end += 1;
        ended
    }
}

fn out_of_order(
    producer: ProducerIdentity,
    expected: i32,
    sequence: i32,
) -> Result<Decision, Rejection> {
    Err(Rejection::OutOfOrderSequence { producer, expected, sequence })
}

#[test]
fn sequences_follow_each_other() {
    let mut log = Log::default();
    let a = who(1, 0);
    assert_eq!(log.append(batch(a, 0, 3)), Ok(Decision::Append));
    assert_eq!(log.append(batch(a, 3, 2)), Ok(Decision::Append));
    assert_eq!(log.append(batch(a, 6, 1)), out_of_order(a, 5, 6), "a gap");
    assert_eq!(log.append(batch(a, 3, 1)), out_of_order(a, 5, 3), "a part of a retry");
    assert_eq!(log.append(batch(a, 5, 1)), Ok(Decision::Append));
}

#[test]
fn an_unknown_producer_may_start_anywhere() {
    let mut log = Log::default();
    assert_eq!(log.append(batch(who(1, 0), 77, 1)), Ok(Decision::Append));
    assert_eq!(log.append(batch(who(1, 0), 77, 2)), out_of_order(who(1, 0), 78, 77));
}

#[test]
fn the_last_five_batches_are_recognised_as_retries() {
    let mut log = Log::default();
    let a = who(1, 0);
    for sequence in 0..7 {
        assert_eq!(log.append(batch(a, sequence * 2, 2)), Ok(Decision::Append));
    }
    for sequence in 2..7 {
        let (base_offset, last_offset) = (i64::from(sequence) * 2, i64::from(sequence) * 2 + 1);
        let duplicate = Decision::Duplicate { base_offset, last_offset };
        assert_eq!(log.append(batch(a, sequence * 2, 2)), Ok(duplicate));
    }
    assert_eq!(log.append(batch(a, 2, 2)), out_of_order(a, 14, 2), "six batches ago");
    assert_eq!(log.end, 14, "nothing was written twice");
}

#[test]
fn a_higher_epoch_fences_and_starts_at_zero() {
    let mut log = Log::default();
    log.append(batch(who(1, 0), 0, 5)).expect("first");
    assert_eq!(log.append(batch(who(1, 1), 5, 1)), out_of_order(who(1, 1), 0, 5));
    assert_eq!(log.append(batch(who(1, 1), 0, 5)), Ok(Decision::Append), "not a retry");
    let fenced = Err(Rejection::Fenced { producer: who(1, 0), current: 1 });
    assert_eq!(log.append(batch(who(1, 0), 5, 1)), fenced);
    assert_eq!(log.append(batch(who(1, 0), 0, 5)), fenced, "not even a retry");
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(sequence_after(i32::MAX, 1), 0);
    assert_eq!(sequence_after(i32::MAX - 1, 3), 1);
    assert_eq!(sequence_after(0, i32::MAX), i32::MAX);
    let mut log = Log::default();
    let a = who(1, 0);
    log.append(batch(a, i32::MAX - 1, 4)).expect("spans the wrap");
    assert_eq!(log.append(batch(a, i32::MAX - 1, 4)).map(|d| d != Decision::Append), Ok(true));
    assert_eq!(log.append(batch(a, 2, 1)), Ok(Decision::Append));
}

#[test]
fn contradictory_headers_are_refused() {
    let mut log = Log::default();
    let bad = [
        batch(who(-1, 0), 0, 1),
        batch(who(1, -1), 0, 1),
        batch(who(1, 0), -1, 1),
        batch(who(1, 0), 0, 0),
    ];
    for batch in bad {
        assert!(matches!(log.append(batch), Err(Rejection::InvalidBatch { .. })), "{batch:?}");
    }
    assert!(log.states.is_empty());
}

#[test]
fn a_transaction_admits_only_itself() {
    let mut log = Log::default();
    log.append(in_transaction(who(1, 0), 0, 2)).expect("opens");
    let outside = Rejection::OutsideTransaction { producer: who(1, 0), first_offset: 0 };
    assert_eq!(log.append(batch(who(1, 0), 2, 1)), Err(outside));
    let earlier =
        Rejection::EarlierTransactionOpen { producer: who(1, 1), open: 0, first_offset: 0 };
    assert_eq!(log.append(in_transaction(who(1, 1), 0, 1)), Err(earlier));
    assert_eq!(log.append(batch(who(1, 1), 0, 1)), Err(earlier));
    assert!(log.mark(who(1, 0), TransactionOutcome::Abort));
    assert_eq!(log.append(in_transaction(who(1, 1), 0, 1)), Ok(Decision::Append));
}

#[test]
fn a_retry_of_an_ended_transaction_is_a_duplicate() {
    let mut log = Log::default();
    log.append(in_transaction(who(1, 0), 0, 2)).expect("opens");
    log.mark(who(1, 0), TransactionOutcome::Commit);
    let duplicate = Decision::Duplicate { base_offset: 0, last_offset: 1 };
    assert_eq!(log.append(in_transaction(who(1, 0), 0, 2)), Ok(duplicate));
    assert_eq!(log.states.transactions().all_open().count(), 0, "it opens nothing");
    assert_eq!(log.append(in_transaction(who(1, 0), 2, 1)), Ok(Decision::Append));
}

#[test]
fn a_marker_of_a_higher_epoch_ends_fences_and_restarts_sequences() {
    let mut log = Log::default();
    log.append(in_transaction(who(1, 0), 0, 2)).expect("opens");
    assert!(log.mark(who(1, 1), TransactionOutcome::Abort));
    let fenced = Rejection::Fenced { producer: who(1, 0), current: 1 };
    assert_eq!(log.append(in_transaction(who(1, 0), 2, 1)), Err(fenced));
    assert_eq!(log.append(in_transaction(who(1, 1), 2, 1)), out_of_order(who(1, 1), 0, 2));
    assert_eq!(log.append(in_transaction(who(1, 1), 0, 1)), Ok(Decision::Append));
}

#[test]
fn a_marker_alone_says_nothing_about_sequences() {
    let mut log = Log::default();
    assert!(!log.mark(who(1, 0), TransactionOutcome::Commit));
    assert_eq!(log.append(in_transaction(who(1, 0), 41, 1)), Ok(Decision::Append));
}

#[test]
fn several_batches_in_one_append_follow_each_other() {
    let mut log = Log::default();
    let (a, b) = (who(1, 0), who(2, 0));
    let append = [batch(a, 0, 2), batch(b, 0, 1), batch(a, 2, 1)];
    assert_eq!(log.states.check_append(&append), Ok(Decision::Append));
    assert_eq!(log.states.check_append(&[batch(a, 0, 2), batch(a, 3, 1)]), out_of_order(a, 2, 3));
    let mixed = [in_transaction(a, 0, 1), batch(a, 1, 1)];
    let refused = log.states.check_append(&mixed);
    assert!(matches!(refused, Err(Rejection::OutsideTransaction { .. })), "{refused:?}");
    assert!(log.states.is_empty(), "checking changes nothing");

    for batch in append {
        log.append(batch).expect("in order");
    }
    let duplicate = Decision::Duplicate { base_offset: 0, last_offset: 3 };
    assert_eq!(log.states.check_append(&append), Ok(duplicate));
    let half_new = [append[2], batch(a, 3, 1)];
    assert_eq!(log.states.check_append(&half_new), out_of_order(a, 3, 3));
    let half_old = [batch(a, 3, 1), append[2]];
    assert_eq!(log.states.check_append(&half_old), out_of_order(a, 4, 2));
}

#[test]
fn silent_producers_are_forgotten_unless_their_transaction_is_open() {
    let mut states = ProducerStates::default();
    states.on_appended(&batch(who(1, 0), 0, 1), 0, 100);
    states.on_appended(&in_transaction(who(2, 0), 0, 1), 1, 100);
    states.on_appended(&batch(who(3, 0), 0, 1), 2, 200);
    states.expire(200);
    assert_eq!((states.epoch(1), states.epoch(2), states.epoch(3)), (None, Some(0), Some(0)));
    states.on_marker(who(2, 0), TransactionOutcome::Commit, 3, 150);
    states.expire(200);
    assert_eq!(states.epoch(2), None);
}

#[derive(Clone, Debug)]
enum Step {
    /// A batch of a producer whose sequence is off by this much.
    Send {
        id: i64,
        epoch: i16,
        off_by: i32,
        records: i32,
        transactional: bool,
    },
    /// The producer's last batch again.
    Retry {
        id: i64,
    },
    Mark {
        id: i64,
        epoch: i16,
        commit: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let send = (0..3i64, 0..3i16, prop_oneof![9 => Just(0), 1 => -2..3i32], 1..4i32, any::<bool>())
        .prop_map(|(id, epoch, off_by, records, transactional)| Step::Send {
            id,
            epoch,
            off_by,
            records,
            transactional,
        });
    let mark = (0..3i64, 0..3i16, any::<bool>()).prop_map(|(id, epoch, commit)| Step::Mark {
        id,
        epoch,
        commit,
    });
    prop_oneof![6 => send, 2 => (0..3i64).prop_map(|id| Step::Retry { id }), 1 => mark]
}

proptest! {
    /// Whatever is sent: what each epoch of a producer wrote is its sequences, each once, in order.
    #[test]
    fn no_sequence_is_written_twice_or_out_of_order(steps in prop::collection::vec(step(), 1..120)) {
        let mut log = Log::default();
        let mut written: BTreeMap<(i64, i16), Vec<i32>> = BTreeMap::new();
        let mut last: BTreeMap<i64, ProducedBatch> = BTreeMap::new();
        for step in steps {
            let sent = match step {
                Step::Send { id, epoch, off_by, records, transactional } => {
                    let due = written.get(&(id, epoch)).map_or(0, |w| w.len() as i32);
                    let sequence = (due + off_by).max(0);
                    // A first batch may start anywhere; here it starts at 0.
                    let sequence = if due == 0 { 0 } else { sequence };
                    ProducedBatch { transactional, ..batch(who(id, epoch), sequence, records) }
                }
                Step::Retry { id } => match last.get(&id) {
                    Some(sent) => *sent,
                    None => continue,
                },
                Step::Mark { id, epoch, commit } => {
                    if log.states.epoch(id).is_some_and(|known| epoch >= known) {
                        let outcome = if commit { TransactionOutcome::Commit } else { TransactionOutcome::Abort };
                        log.mark(who(id, epoch), outcome);
                    }
                    continue;
                }
            };
            let (before, end) = (log.states.clone(), log.end);
            match log.append(sent) {
                Ok(Decision::Append) => {
                    let all = written.entry((sent.identity.id, sent.identity.epoch)).or_default();
                    all.extend((0..=sent.last_offset_delta).map(|i| sent.base_sequence + i));
                    last.insert(sent.identity.id, sent);
                }
                Ok(Decision::Duplicate { base_offset, last_offset }) => {
                    prop_assert!(base_offset <= last_offset && last_offset < end);
                    prop_assert_eq!(&log.states, &before);
                }
                Err(_) => prop_assert_eq!(&log.states, &before),
            }
        }
        for (producer, sequences) in written {
            let expected: Vec<i32> = (0..sequences.len() as i32).collect();
            prop_assert_eq!(sequences, expected, "{:?}", producer);
        }
    }

    #[test]
    fn snapshots_round_trip_and_every_flipped_bit_is_seen(
        steps in prop::collection::vec(step(), 0..60), bit in any::<prop::sample::Index>(),
    ) {
        let mut log = Log::default();
        for step in steps {
            match step {
                Step::Send { id, epoch, records, transactional, .. } => {
                    let due = log.states.producers.get(&id).and_then(|p| p.next_sequence);
                    let sent = batch(who(id, epoch), due.unwrap_or(0), records);
                    log.append(ProducedBatch { transactional, ..sent }).ok();
                }
                Step::Mark { id, epoch, .. } => {
                    log.mark(who(id, epoch), TransactionOutcome::Commit);
                }
                Step::Retry { .. } => {}
            }
        }
        // What was ended is durable wherever a snapshot may be taken.
        log.states.on_high_watermark(log.end);
        let mut bytes = log.states.encode_snapshot(log.end);
        let name = "producers.snapshot";
        let (states, offset) = ProducerStates::decode_snapshot(name, &bytes).expect("as written");
        prop_assert_eq!(&states, &log.states);
        prop_assert_eq!(offset, log.end);
        prop_assert_eq!(states.encode_snapshot(offset), bytes.clone());
        for len in 0..bytes.len() {
            prop_assert!(ProducerStates::decode_snapshot(name, &bytes[..len]).is_err());
        }
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(ProducerStates::decode_snapshot(name, &bytes).is_err(), "bit {}", bit);
    }

    #[test]
    fn fields_that_contradict_the_length_are_refused(body in prop::collection::vec(any::<u8>(), 0..120)) {
        let mut bytes = [b"RRPS".as_slice(), &1u32.to_le_bytes(), &body].concat();
        let crc = crate::batch::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        // Must neither panic nor allocate much; almost always an error.
        ProducerStates::decode_snapshot("x", &bytes).ok();
    }
}
