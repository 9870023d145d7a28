use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::batch::tests::{build, read, record};
use crate::batch::{Batch, BatchBuilder};
use crate::compression::Decompressor;

fn rewritten(batch: &Batch, keep: &[bool], horizon: Option<i64>) -> Batch {
    let records = batch.records(&mut Decompressor::new()).expect("records");
    let mut out = b"before".to_vec();
    BatchRewriter::default().rewrite(&records, keep, horizon, &mut out).expect("fits");
    Batch::parse(Bytes::from(out).slice(6..)).expect("a batch")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_kept_stays_as_it_was(
        records in prop::collection::vec((record(), any::<bool>()), 1..20),
        codec in 0..5usize, horizon in prop::option::of(0..i64::MAX / 2),
    ) {
        let (records, keep): (Vec<_>, Vec<bool>) = records.into_iter().unzip();
        let mut bytes = build(Compression::ALL[codec], &records);
        crate::batch::stamp(&mut bytes, 1_000, 0);
        let batch = Batch::parse(Bytes::from(bytes)).expect("a batch");
        let after = rewritten(&batch, &keep, horizon);
        after.verify_crc().expect("a right checksum");
        let expected: Vec<_> = read(&batch)
            .expect("records")
            .into_iter()
            .zip(&keep)
            .filter_map(|(record, keep)| keep.then_some(record))
            .collect();
        let header = after.header();
        prop_assert_eq!(header.delete_horizon(), horizon);
        prop_assert_eq!(header.attributes.compression(), Compression::ALL[codec]);
        prop_assert_eq!(header.base_offset, 1_000);
        prop_assert_eq!(header.last_offset(), batch.last_offset());
        let newest = expected.iter().map(|(_, record)| record.timestamp).max();
        prop_assert_eq!(header.max_timestamp, newest.unwrap_or(-1).max(-1));
        prop_assert_eq!(read(&after).expect("records"), expected);
        // And again, without any change: the same batch.
        let keep = vec![true; header.records_count as usize];
        let again = rewritten(&after, &keep, horizon);
        prop_assert_eq!(again.bytes(), after.bytes());
    }
}

#[test]
fn an_emptied_batch_still_says_what_its_producer_sent() {
    let mut builder = BatchBuilder::new(Compression::Zstd).expect("a builder");
    builder.transactional(7, 3, 40);
    for _ in 0..5 {
        builder.append(9, Some(b"k"), Some(b"v"), &[]).expect("fits");
    }
    let batch = Batch::parse(builder.finish().expect("a batch").into()).expect("a batch");
    let mut out = Vec::new();
    emptied(batch.header(), &mut out);
    let after = Batch::parse(out.into()).expect("a batch");
    after.verify_crc().expect("a right checksum");
    let (before, header) = (batch.header(), after.header());
    assert_eq!(header.total_len(), HEADER_LEN);
    assert_eq!((header.producer_id, header.producer_epoch), (7, 3));
    assert_eq!((header.base_sequence, header.last_sequence()), (40, before.last_sequence()));
    assert!(header.attributes.is_transactional() && !is_hole(header));
    assert!(read(&after).expect("no records").is_empty());
}

#[test]
fn holes_cover_their_offsets_and_hold_nothing() {
    let far = 3 * MOST_OFFSETS + 5;
    let mut out = Vec::new();
    hole(10..10 + far, 0, &mut out);
    let mut rest = Bytes::from(out);
    let mut next = 10;
    while !rest.is_empty() {
        let batch = Batch::parse_first(&mut rest).expect("a batch");
        batch.verify_crc().expect("a right checksum");
        assert!(is_hole(batch.header()));
        assert_eq!(batch.base_offset(), next);
        assert!(read(&batch).expect("no records").is_empty());
        next = batch.header().next_offset();
    }
    assert_eq!(next, 10 + far);
    let mut nothing = Vec::new();
    hole(4..4, 0, &mut nothing);
    assert!(nothing.is_empty());
}
