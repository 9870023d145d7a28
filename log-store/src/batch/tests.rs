use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::*;
use crate::compression::Compression;
use crate::error::Error;
use crate::transaction::TransactionOutcome;

/// A record that owns its parts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Owned {
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

pub(super) fn record() -> impl Strategy<Value = Owned> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..200));
    let header = ("[a-z]{0,5}", prop::collection::vec(any::<u8>(), 0..10));
    let timestamp = prop_oneof![Just(-1), 1_700_000_000_000..1_700_000_100_000i64, any::<i64>()];
    (timestamp, bytes(), bytes(), prop::collection::vec(header, 0..3))
        .prop_map(|(timestamp, key, value, headers)| Owned { timestamp, key, value, headers })
}

fn append(builder: &mut BatchBuilder, record: &Owned) {
    let headers: Vec<_> =
        record.headers.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
    builder
        .append(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers)
        .expect("a small record fits");
}

pub(super) fn build(compression: Compression, records: &[Owned]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(compression).expect("a builder");
    records.iter().for_each(|record| append(&mut builder, record));
    builder.finish().expect("a batch")
}

pub(super) fn read(batch: &Batch) -> Result<Vec<(i64, Owned)>> {
    let records = batch.records(&mut Decompressor::new())?;
    let mut read = Vec::new();
    for record in &records {
        let record = record?;
        let headers = record
            .headers
            .map(|(name, value)| {
                let name = String::from_utf8_lossy(name).into_owned();
                (name, value.unwrap_or_default().to_vec())
            })
            .collect();
        let (key, value) = (record.key.map(<[u8]>::to_vec), record.value.map(<[u8]>::to_vec));
        read.push((record.offset, Owned { timestamp: record.timestamp, key, value, headers }));
    }
    Ok(read)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn records_round_trip(
        records in prop::collection::vec(record(), 1..40),
        codec in 0..5i16,
        base_offset in 0..1i64 << 40,
    ) {
        let codec = Compression::from_code(codec).expect("a codec");
        let mut bytes = build(codec, &records);
        stamp(&mut bytes, base_offset, 3);
        let batch = Batch::parse(Bytes::from(bytes.clone())).expect("a batch");
        prop_assert!(batch.verify_crc().is_ok(), "stamping does not touch the checksum");
        prop_assert_eq!(batch.header().attributes.compression(), codec);
        prop_assert_eq!(batch.header().partition_leader_epoch, 3);
        prop_assert_eq!(batch.last_offset(), base_offset + records.len() as i64 - 1);
        let max = records.iter().map(|record| record.timestamp).max();
        prop_assert_eq!(Some(batch.header().max_timestamp), max);
        prop_assert_eq!(&batch.header().encode()[..], &bytes[..HEADER_LEN]);

        let read = read(&batch).expect("well-formed records");
        prop_assert_eq!(read.len(), records.len());
        for (at, (offset, record)) in read.iter().enumerate() {
            prop_assert_eq!(*offset, base_offset + at as i64);
            prop_assert_eq!(record, &records[at]);
        }
    }

    #[test]
    fn any_bit_flip_behind_the_checksum_is_found(
        records in prop::collection::vec(record(), 1..10),
        at in any::<prop::sample::Index>(),
        bit in 0..8u32,
    ) {
        let mut bytes = build(Compression::Lz4, &records);
        let at = 17 + at.index(bytes.len() - 17);
        bytes[at] ^= 1 << bit;
        if let Ok(batch) = Batch::parse(Bytes::from(bytes)) {
            prop_assert!(batch.verify_crc().is_err());
        }
    }

    /// Whoever makes the checksum fit can still do no harm.
    #[test]
    fn hostile_records_neither_panic_nor_escape(
        records in prop::collection::vec(record(), 1..10),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        codec in 0..5i16,
    ) {
        let codec = Compression::from_code(codec).expect("a codec");
        let mut bytes = build(codec, &records);
        for (at, byte) in flips {
            let at = 23 + at.index(bytes.len() - 23);
            bytes[at] = byte;
        }
        if let Ok(batch) = Batch::parse(Bytes::from(bytes)) {
            let Ok(records) = batch.records(&mut Decompressor::new()) else { return Ok(()) };
            let (first, last) = (batch.base_offset(), batch.last_offset());
            let mut iterator = records.iter();
            let mut sound = 0;
            for record in iterator.by_ref() {
                let Ok(record) = record else { break };
                sound += 1;
                prop_assert!((first..=last).contains(&record.offset));
                prop_assert!(record.headers.iter().count() == record.headers.len());
            }
            prop_assert!(sound <= records.len());
            prop_assert!(iterator.next().is_none(), "nothing follows an error");
            let mut walked = 0;
            let _ = records.for_each(|_| walked += 1);
            prop_assert_eq!(walked, sound, "both walks see the same");
        }
    }
}

/// Bytes as Kafka's own Java producer would send them, put together by hand from the specification.
#[test]
fn a_batch_is_kafkas_byte_for_byte() {
    let mut builder = BatchBuilder::new(Compression::None).expect("a builder");
    builder.append(1_000, Some(b"k"), Some(b"v1"), &[]).expect("fits");
    builder.append(1_003, None, Some(b""), &[("h", b"x")]).expect("fits");
    let bytes = builder.finish().expect("a batch");
    let records: &[u8] = &[
        0x12, 0x00, 0x00, 0x00, 0x02, b'k', 0x04, b'v', b'1', 0x00, //
        0x14, 0x00, 0x06, 0x02, 0x01, 0x00, 0x02, 0x02, b'h', 0x02, b'x',
    ];
    let mut expected = Vec::new();
    expected.extend_from_slice(&[0; 8]);
    expected.extend_from_slice(&(49 + records.len() as i32).to_be_bytes());
    expected.extend_from_slice(&(-1i32).to_be_bytes());
    expected.push(2);
    let crc_at = expected.len();
    expected.extend_from_slice(&[0; 4]);
    expected.extend_from_slice(&0i16.to_be_bytes());
    expected.extend_from_slice(&1i32.to_be_bytes());
    expected.extend_from_slice(&1_000i64.to_be_bytes());
    expected.extend_from_slice(&1_003i64.to_be_bytes());
    expected.extend_from_slice(&(-1i64).to_be_bytes());
    expected.extend_from_slice(&(-1i16).to_be_bytes());
    expected.extend_from_slice(&(-1i32).to_be_bytes());
    expected.extend_from_slice(&2i32.to_be_bytes());
    expected.extend_from_slice(records);
    let crc = crc32c(&expected[21..]);
    expected[crc_at..crc_at + 4].copy_from_slice(&crc.to_be_bytes());
    assert_eq!(bytes, expected);
}

#[test]
fn both_ways_to_finish_give_the_same_and_start_anew() {
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(codec).expect("a builder");
        let mut into = b"in front".to_vec();
        builder.append(5, None, Some(b"value"), &[]).expect("fits");
        builder.finish_into(&mut into).expect("a batch");
        assert!(builder.is_empty() && builder.size_bytes() == HEADER_LEN);
        builder.append(5, None, Some(b"value"), &[]).expect("fits");
        let alone = builder.finish().expect("a batch");
        assert_eq!(into[8..], alone[..], "{codec}");
        assert_eq!(builder.finish().expect("nothing"), b"", "{codec}");
        builder.finish_into(&mut into).expect("nothing");
        assert_eq!(into.len(), 8 + alone.len(), "{codec}");
    }
}

#[test]
fn sequences_go_on_from_batch_to_batch_and_wrap() {
    let mut builder = BatchBuilder::new(Compression::None).expect("a builder");
    builder.transactional(9, 2, i32::MAX - 1);
    let mut next = |records: usize| {
        for _ in 0..records {
            builder.append(0, None, None, &[]).expect("fits");
        }
        let header = BatchHeader::parse(&builder.finish().expect("a batch")).expect("a header");
        assert_eq!((header.producer_id, header.producer_epoch), (9, 2));
        assert!(header.attributes.is_transactional() && header.has_producer());
        (header.base_sequence, header.last_sequence())
    };
    assert_eq!(next(1), (i32::MAX - 1, i32::MAX - 1));
    assert_eq!(next(3), (i32::MAX, 1));
    assert_eq!(next(1), (2, 2));
    builder.idempotent(9, 2, 7);
    builder.append(0, None, None, &[]).expect("fits");
    assert_eq!(builder.next_sequence(), 8);
    let header = BatchHeader::parse(&builder.finish().expect("a batch")).expect("a header");
    assert!(!header.attributes.is_transactional());
}

#[test]
fn batches_are_walked_one_by_one() {
    let mut all = BytesMut::new();
    for value in ["a", "b", "c"] {
        let record = Owned {
            timestamp: 1,
            key: None,
            value: Some(value.as_bytes().to_vec()),
            headers: Vec::new(),
        };
        all.extend_from_slice(&build(Compression::None, &[record]));
    }
    let mut rest = all.freeze();
    assert!(matches!(Batch::parse(rest.clone()), Err(Error::MalformedBatch { .. })));
    let mut values = Vec::new();
    while !rest.is_empty() {
        let batch = Batch::parse_first(&mut rest).expect("a batch");
        let records = batch.records(&mut Decompressor::new()).expect("records");
        let start = values.len();
        records
            .for_each_value(|value| values.push(value.map(|value| records.slice_of(value))))
            .expect("well-formed");
        let value = values[start].as_ref().expect("a value");
        // The slice points into the batch: nothing was copied.
        assert!(batch.bytes().as_ptr_range().contains(&value.as_ptr()));
    }
    assert_eq!(values.len(), 3);
    let mut cut = build(Compression::None, &[]).into();
    assert!(Batch::parse_first(&mut cut).is_err());
}

#[test]
fn cut_batches_and_false_counts_are_refused() {
    let record = Owned { timestamp: 1, key: None, value: Some(vec![7; 50]), headers: Vec::new() };
    let bytes = build(Compression::None, &[record.clone(), record]);
    for length in 0..bytes.len() {
        let mut cut = Bytes::from(bytes[..length].to_vec());
        assert!(Batch::parse_first(&mut cut).is_err());
        assert_eq!(cut.len(), length, "refused bytes stay where they are");
    }
    for (count, message) in [(3u8, "no well-formed record"), (1, "bytes follow the last record")] {
        let mut false_count = bytes.clone();
        false_count[60] = count;
        let batch = Batch::parse(Bytes::from(false_count)).expect("a batch");
        let error = read(&batch).expect_err("the records are not there");
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn a_hostile_count_does_not_make_a_reader_reserve_memory() {
    let mut bytes = build(Compression::None, &[]);
    assert!(bytes.is_empty());
    let record = Owned { timestamp: 1, key: None, value: None, headers: Vec::new() };
    bytes = build(Compression::None, &[record]);
    bytes[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
    let batch = Batch::parse(Bytes::from(bytes)).expect("a batch");
    let records = batch.records(&mut Decompressor::new()).expect("records");
    assert!(records.iter().size_hint().0 <= 1);
}

#[test]
fn log_append_time_counts_for_every_record() {
    let record = Owned { timestamp: 1, key: None, value: None, headers: Vec::new() };
    let mut bytes = build(Compression::None, &[record.clone(), record]);
    bytes[22] |= 0x08;
    bytes[35..43].copy_from_slice(&99i64.to_be_bytes());
    let batch = Batch::parse(Bytes::from(bytes)).expect("a batch");
    assert!(read(&batch).expect("records").iter().all(|(_, record)| record.timestamp == 99));
}

#[test]
fn control_batches_carry_their_marker() {
    for outcome in [TransactionOutcome::Abort, TransactionOutcome::Commit] {
        let bytes = control_batch(outcome, 5, 1, 4, 1_234).expect("a control batch");
        let batch = Batch::parse(Bytes::from(bytes)).expect("a batch");
        assert!(batch.verify_crc().is_ok());
        let header = batch.header();
        assert!(header.attributes.is_control() && header.attributes.is_transactional());
        assert_eq!((header.producer_id, header.producer_epoch), (5, 1));
        assert_eq!((header.base_sequence, header.records_count), (-1, 1));
        assert_eq!(batch.control_marker().expect("a marker"), Some(outcome));
    }
    let record = Owned { timestamp: 1, key: None, value: None, headers: Vec::new() };
    let ordinary = Batch::parse(build(Compression::None, &[record]).into()).expect("a batch");
    assert_eq!(ordinary.control_marker().expect("no marker"), None);
}

#[test]
fn headers_keep_order_and_repetition() {
    let mut builder = BatchBuilder::new(Compression::Zstd).expect("a builder");
    let headers: [(&str, &[u8]); 3] = [("a", b"1"), ("b", b""), ("a", b"2")];
    builder.append(0, None, None, &headers).expect("fits");
    let batch = Batch::parse(builder.finish().expect("a batch").into()).expect("a batch");
    let records = batch.records(&mut Decompressor::new()).expect("records");
    let record = records.iter().next().expect("one").expect("well-formed");
    assert_eq!(record.headers.len(), 3);
    assert_eq!(record.headers.last_value("a"), Some(Some(&b"2"[..])));
    assert_eq!(record.headers.last_value("b"), Some(Some(&b""[..])));
    assert_eq!(record.headers.last_value("c"), None);
    let names: Vec<_> = record.headers.map(|(name, _)| name).collect();
    assert_eq!(names, [b"a", b"b", b"a"]);
}
