//! Batches that another implementation made (kafka-python 3.0), one a codec: they are read as what
//! they were made of, and an uncompressed one is byte for byte what we make of the same records.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use riverrun_log_store::{Batch, BatchBuilder, Compression, Decompressor, Record};

/// The fixtures hold these records, transactional, of producer 4711 at epoch 3 from sequence 17.
struct Expected {
    timestamp: i64,
    key: Option<String>,
    value: Option<String>,
    headers: Vec<(&'static str, String)>,
}

fn expected(number: usize) -> Expected {
    Expected {
        timestamp: 1_700_000_000_000 + number as i64 * 250,
        key: (!number.is_multiple_of(10)).then(|| format!("10.0.0.{number}")),
        value: (number % 25 != 24)
            .then(|| format!("GET /page/{number} HTTP/1.1 200 {}", "x".repeat(number % 7))),
        headers: match number.is_multiple_of(20) {
            true => vec![("source", "nginx".to_string()), ("n", number.to_string())],
            false => Vec::new(),
        },
    }
}

fn fixture(codec: Compression) -> Batch {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let bytes = fs::read(folder.join(format!("kafka_python_{codec}.batch"))).expect("a fixture");
    Batch::parse(Bytes::from(bytes)).expect("one whole batch")
}

fn is_expected(number: usize, record: &Record<'_>) {
    let expected = expected(number);
    assert_eq!(record.offset, number as i64);
    assert_eq!(record.timestamp, expected.timestamp);
    assert_eq!(record.key, expected.key.as_deref().map(str::as_bytes));
    assert_eq!(record.value, expected.value.as_deref().map(str::as_bytes));
    let headers: Vec<_> = record.headers.collect();
    let wanted: Vec<_> = expected
        .headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), Some(value.as_bytes())))
        .collect();
    assert_eq!(headers, wanted);
}

#[test]
fn every_codec_of_another_client_is_read() {
    for codec in Compression::ALL {
        let batch = fixture(codec);
        batch.verify_crc().expect("a sound checksum");
        let header = batch.header();
        assert_eq!(header.attributes.compression(), codec);
        assert!(header.attributes.is_transactional() && !header.attributes.is_control());
        assert_eq!((header.producer_id, header.producer_epoch), (4711, 3));
        assert_eq!((header.base_sequence, header.last_sequence()), (17, 116));
        let records = batch.records(&mut Decompressor::new()).expect("decompresses");
        assert_eq!(records.len(), 100);
        for (number, record) in records.iter().enumerate() {
            is_expected(number, &record.expect("well-formed"));
        }
    }
}

#[test]
fn our_own_batch_is_the_same_byte_for_byte() {
    let mut builder = BatchBuilder::new(Compression::None).expect("a builder");
    builder.transactional(4711, 3, 17);
    for number in 0..100 {
        let record = expected(number);
        let headers: Vec<_> =
            record.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder
            .append(record.timestamp, key.map(str::as_bytes), value.map(str::as_bytes), &headers)
            .expect("fits");
    }
    let ours = builder.finish().expect("a batch");
    let theirs = fixture(Compression::None);
    // The leader epoch is the log's to stamp: -1 in ours, 0 in theirs.
    assert_eq!(ours[..12], theirs.bytes()[..12]);
    assert_eq!(ours[16..], theirs.bytes()[16..]);
}
