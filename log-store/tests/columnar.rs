//! Columnar topics as the log sees them: batches of one record over many offsets, aligned whatever comes between
//! them, through transactions, rolling, crashes and repair.

use riverrun_log_store::environment::sim::Simulation;
use riverrun_log_store::verify::{Selection, topic_config, verify};
use riverrun_log_store::{
    Batch, BatchBuilder, COLUMNAR_ALIGNMENT, ColumnarBatch, Compression, Error, Isolation,
    Partition, ProducerIdentity, RecordFormat, Store, StoreOptions, TransactionOwner,
};

const SETTINGS: [(&str, &str); 3] =
    [("format", "arrow"), ("schema", "what the columns are"), ("segment.bytes", "3000")];

fn open(sim: &Simulation) -> Store {
    Store::open_in(sim.environment(), "data", StoreOptions::default()).expect("opens")
}

fn columns(rows: u32, timestamp: i64, producer: Option<(ProducerIdentity, i32)>) -> Vec<u8> {
    let batch = ColumnarBatch {
        rows,
        max_timestamp: timestamp,
        schema_id: 7,
        producer,
        transactional: producer.is_some(),
    };
    let mut writer = batch.begin(Vec::new());
    writer.message().extend((0..rows * 3).map(|at| at as u8));
    writer.finish().expect("fits")
}

fn batches(log: &Partition, from: i64) -> Vec<Batch> {
    let mut found = Vec::new();
    let mut offset = from;
    loop {
        let fetch = log.read(offset, 500, Isolation::ReadUncommitted).expect("readable");
        let Some(next) = fetch.next_offset() else { return found };
        found.extend(fetch.batches);
        offset = next;
    }
}

#[test]
fn offsets_count_rows_and_batches_stay_aligned() {
    let sim = Simulation::new(5);
    let store = open(&sim);
    store.create_topic_with("t", &SETTINGS).expect("no faults");
    let log = store.partition("t", 0).expect("it is there");
    let producer =
        store.init_transactional_producer("p", TransactionOwner::Client).expect("no faults");
    let (mut next, mut sequence, mut expected) = (0, 0, Vec::new());
    for rows in 1..40u32 {
        let plain = log.append_durable(&mut columns(rows, 1_000, None)).expect("fits");
        assert_eq!((plain.base_offset, plain.last_offset), (next, next + i64::from(rows) - 1));
        expected.push((next, rows));
        next += i64::from(rows);
        let mut sent = columns(rows, 1_000, Some((producer, sequence)));
        sequence += rows as i32;
        let appended = log.append_durable(&mut sent).expect("in order");
        assert_eq!(appended.base_offset, next);
        assert!(log.append(&mut sent).expect("a retry").duplicate);
        expected.push((next, rows));
        next += i64::from(rows) + 1;
        match rows % 2 {
            0 => store.commit_transaction(producer).expect("no faults"),
            _ => store.abort_transaction(producer).expect("no faults"),
        }
    }
    log.flush().expect("no faults");
    let check = |log: &Partition| {
        let mut found = Vec::new();
        for batch in batches(log, 0) {
            assert_eq!(batch.bytes().len() % COLUMNAR_ALIGNMENT, 0, "so is what follows it");
            match batch.columns().expect("well formed") {
                Some(columns) => {
                    assert_eq!(columns.message.len(), columns.rows as usize * 3);
                    found.push((columns.base_offset, columns.rows));
                }
                None => assert!(batch.control_marker().expect("well formed").is_some()),
            }
        }
        assert_eq!(found, expected);
        assert_eq!(log.offsets().log_end, next);
    };
    check(&log);
    assert!(log.segment_count() > 3);
    // From the middle of a batch, a read begins with the batch.
    let (base, rows) = expected[20];
    assert_eq!(batches(&log, base + i64::from(rows) - 1)[0].base_offset(), base);
    drop(store);
    sim.crash();
    let store = open(&sim);
    check(&store.partition("t", 0).expect("it is there"));
    let all = Selection::default();
    let found = verify(&sim.environment(), "data".as_ref(), &all, &mut |_| {}).expect("runs");
    assert!(found.findings.iter().all(|finding| !finding.damage), "{:?}", found.findings);
}

#[test]
fn each_topic_takes_what_it_is_made_for() {
    let sim = Simulation::new(6);
    let store = open(&sim);
    store.create_topic_with("columns", &SETTINGS).expect("no faults");
    store.create_topic_with("rows", &[]).expect("no faults");
    let mut builder = BatchBuilder::new(Compression::None).expect("a builder");
    builder.append(1, None, Some(b"a row"), &[]).expect("fits");
    let mut rows = builder.finish().expect("a batch");
    let into = |topic: &str, bytes: &mut [u8]| {
        store.partition(topic, 0).expect("it is there").append(bytes).map(|_| ())
    };
    let refused = into("columns", &mut rows).expect_err("rows");
    assert!(matches!(&refused, Error::WrongFormat { topic, .. } if topic == "columns"));
    assert!(refused.to_string().contains("`columns`"), "{refused}");
    let refused = into("rows", &mut columns(3, 1, None)).expect_err("columns");
    assert!(matches!(refused, Error::WrongFormat { .. }));
    into("rows", &mut rows).expect("rows");
    into("columns", &mut columns(3, 1, None)).expect("columns");
    // A batch of another length would put the next out of its place.
    let mut odd = columns(3, 1, None);
    odd.extend_from_slice(&[0; 8]);
    let length = odd.len() as u32 - 12;
    odd[8..12].copy_from_slice(&length.to_be_bytes());
    let refused = store.partition("columns", 0).expect("it is there").append_trusted(&mut odd);
    assert!(matches!(refused, Err(Error::MalformedBatch { .. })), "{refused:?}");
}

#[test]
fn format_and_schema_are_for_good_and_can_be_seen_from_outside() {
    let sim = Simulation::new(8);
    let store = open(&sim);
    store.create_topic_with("t", &SETTINGS).expect("no faults");
    for settings in [[("format", "rows"), ("schema", "")], [("format", "arrow"), ("schema", "b")]] {
        let refused = store.alter_topic("t", &settings).expect_err("it has been written with it");
        assert!(refused.to_string().contains("`t`"), "{refused}");
    }
    store.alter_topic("t", &[("retention.ms", "5")]).expect("anything else may change");
    let config = topic_config(&sim.environment(), "data".as_ref(), "t").expect("readable");
    let config = config.expect("it is there");
    assert_eq!((config.format, config.retention_ms), (RecordFormat::Arrow, Some(5)));
    assert_eq!(config.schema.as_deref(), Some("what the columns are"));
    assert_eq!(topic_config(&sim.environment(), "data".as_ref(), "u").expect("readable"), None);
    store.delete_topic("t").expect("no faults");
    assert_eq!(topic_config(&sim.environment(), "data".as_ref(), "t").expect("readable"), None);
}

#[test]
fn timestamps_lead_to_the_batch() {
    let sim = Simulation::new(9);
    let store = open(&sim);
    store.create_topic_with("t", &SETTINGS).expect("no faults");
    let log = store.partition("t", 0).expect("it is there");
    for timestamp in [100, 200, 150, 300] {
        log.append_durable(&mut columns(10, timestamp, None)).expect("fits");
    }
    for (wanted, expected) in
        [(0, Some((0, 100))), (101, Some((10, 200))), (201, Some((30, 300))), (301, None)]
    {
        assert_eq!(log.offset_for_timestamp(wanted).expect("readable"), expected);
    }
    log.delete_records(15).expect("no faults");
    assert_eq!(log.offset_for_timestamp(150).expect("readable"), Some((15, 200)));
}
