use proptest::prelude::*;

use super::*;
use crate::transaction::{ProducerIdentity, TransactionOutcome, Transactions};

fn aborted(producer_id: i64, first: i64, last: i64, stable: i64) -> AbortedTransaction {
    AbortedTransaction {
        producer_id,
        first_offset: first,
        last_offset: last,
        last_stable_offset: stable,
    }
}

/// Plays random transactions of a few producers over consecutive offsets.
fn play(steps: &[(i64, u8)]) -> (AbortedIndex, Vec<AbortedTransaction>, i64) {
    let mut transactions = Transactions::default();
    let mut index = AbortedIndex::default();
    let mut all = Vec::new();
    for (offset, (producer, action)) in steps.iter().enumerate() {
        let offset = offset as i64;
        let identity = ProducerIdentity { id: *producer, epoch: 0 };
        let outcome = match action {
            0 => TransactionOutcome::Abort,
            1 => TransactionOutcome::Commit,
            _ => {
                transactions.on_appended(identity, offset);
                continue;
            }
        };
        if let Some(completed) = transactions.on_marker(*producer, outcome, offset)
            && let Some(entry) = completed.aborted
        {
            index.push(entry);
            all.push(entry);
        }
    }
    (index, all, steps.len() as i64)
}

proptest! {
    #[test]
    fn a_range_finds_what_a_walk_over_all_finds(
        steps in prop::collection::vec((0..4i64, 0..5u8), 1..80), a in 0..80i64, b in 0..80i64,
    ) {
        let (index, all, _) = play(&steps);
        let (from, to) = (a.min(b), a.max(b));
        let mut expected: Vec<_> = all
            .into_iter()
            .filter(|e| from < to && e.last_offset >= from && e.first_offset < to)
            .collect();
        expected.sort_by_key(|e| e.first_offset);
        prop_assert_eq!(index.aborted_in(from, to), expected);
    }

    #[test]
    fn segments_round_trip_and_every_flipped_bit_is_seen(
        steps in prop::collection::vec((0..4i64, 0..3u8), 1..60), cut in 0..60i64, bit in any::<prop::sample::Index>(),
    ) {
        let (index, _, end) = play(&steps);
        let entries = index.ended_in(cut, end);
        prop_assert!(entries.iter().all(|e| e.last_offset >= cut));
        let mut bytes = encode_segment(cut, end, entries);
        let name = "0.txnindex";
        let decoded = decode_segment(name, &bytes).expect("as written");
        prop_assert_eq!(&decoded.entries[..], entries);
        prop_assert_eq!((decoded.base, decoded.end), (cut, end));
        for len in 0..bytes.len() {
            prop_assert!(decode_segment(name, &bytes[..len]).is_err(), "cut to {}", len);
        }
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(decode_segment(name, &bytes).is_err(), "bit {}", bit);
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(decode_segment("x", &bytes).is_err());
    }
}

#[test]
fn a_huge_entry_count_allocates_nothing() {
    let mut bytes = encode_segment(0, 10, &[]);
    bytes[24..28].copy_from_slice(&u32::MAX.to_le_bytes());
    let crc = crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    assert!(decode_segment("x", &bytes).is_err());
}

#[test]
fn forgetting_below_the_log_start_keeps_what_reaches_above_it() {
    let mut index = AbortedIndex::default();
    index.push(aborted(1, 0, 4, 2));
    index.push(aborted(2, 2, 9, 10));
    index.remove_below(4);
    assert_eq!(index.entries.len(), 2);
    index.remove_below(5);
    assert_eq!(index.aborted_in(0, 100), vec![aborted(2, 2, 9, 10)]);
    index.remove_below(10);
    assert!(index.is_empty());
}
