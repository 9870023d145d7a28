//! Columns as they are, exactly once.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use riverrun_dataflow::Columns;
use riverrun_log_store::TopicConfig;

use super::*;
use crate::format::EncodedColumns;
use crate::format::arrow::{ArrowColumns, ToArrow};

type ColumnSink = TopicSink<EncodedColumns<ToArrow>>;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), false),
    ]))
}

fn rows(ids: std::ops::Range<i64>) -> Columns {
    let times = TimestampMillisecondArray::from_iter_values(ids.clone().map(|id| id * 10));
    let ids = Int64Array::from_iter_values(ids);
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(times)]).unwrap();
    Columns { batch, time_column: Some(1), weight_column: None }
}

fn try_open(store: &Arc<Store>, output: TopicOutput) -> Result<ColumnSink> {
    let encoder = ToArrow::new(schema()).unwrap().most_bytes(4_000);
    let mut sink = TopicSink::new(store.clone(), output, KEY, EncodedColumns(encoder));
    sink.open(&context(Arc::new(ManualClock::new(1_000)), Arc::default()))?;
    Ok(sink)
}

fn put(sink: &mut ColumnSink, ids: std::ops::Range<i64>) {
    let batch = Batch::columns(rows(ids), None);
    sink.process(0, batch, &mut Collected::default()).unwrap();
}

/// Ids that a reader of committed records finds, in order.
fn seen(store: &Store) -> Vec<i64> {
    let topic = store.topic("out").unwrap();
    let format = ArrowColumns::of_topic(&topic.config).unwrap();
    let mut found = Vec::new();
    for partition in 0..topic.config.partitions {
        let log = store.partition("out", partition).unwrap();
        let mut at = 0;
        loop {
            let fetch = log.read(at, 1 << 20, Isolation::ReadCommitted).unwrap();
            let Some(next) = fetch.next_offset() else { break };
            at = next;
            for batch in &fetch.batches {
                let header = batch.header();
                let aborted = fetch.aborted.iter().any(|aborted| {
                    aborted.producer_id == header.producer_id
                        && (aborted.first_offset..=aborted.last_offset)
                            .contains(&header.base_offset)
                });
                let Some(columns) = batch.columns().unwrap().filter(|_| !aborted) else { continue };
                let batch = format.read(&columns, "out").unwrap();
                let ids = batch.column(0).as_primitive::<Int64Type>().values();
                let times = batch.column(1).as_primitive::<TimestampMillisecondType>().values();
                assert_eq!(times.iter().max(), Some(&columns.max_timestamp));
                assert_eq!(header.last_offset() - header.base_offset + 1, ids.len() as i64);
                found.extend_from_slice(ids);
            }
        }
    }
    found.sort_unstable();
    found
}

#[test]
fn columns_are_seen_once_when_their_checkpoint_is_committed() {
    let simulation = Simulation::new(11);
    let mut store = open_store(&simulation);
    let mut sink = try_open(&store, output(2)).unwrap();
    assert_eq!(store.topic("out").unwrap().config.get("format").as_deref(), Some("arrow"));
    put(&mut sink, 0..100);
    put(&mut sink, 100..1_000);
    put(&mut sink, 1_000..1_000);
    let first = sink.snapshot(barrier(1)).unwrap().finish().unwrap().prepared;
    assert_eq!(seen(&store), Vec::<i64>::new());
    committer(&store).commit(&first).unwrap();
    assert_eq!(seen(&store), (0..1_000).collect::<Vec<_>>());
    sink.on_checkpoint_complete(1).unwrap();
    put(&mut sink, 1_000..1_500);
    let second = sink.snapshot(barrier(2)).unwrap().finish().unwrap().prepared;
    put(&mut sink, 1_500..1_700);
    // The second checkpoint is committed, what came after it is not; and then everything crashes.
    drop(sink);
    drop(store);
    simulation.crash();
    store = open_store(&simulation);
    let mut committer = committer(&store);
    committer.recover(2, &second).unwrap();
    let mut sink = try_open(&store, output(2)).unwrap();
    put(&mut sink, 1_500..1_600);
    let third = sink.snapshot(barrier(3)).unwrap().finish().unwrap().prepared;
    committer.commit(&third).unwrap();
    assert_eq!(seen(&store), (0..1_600).collect::<Vec<_>>());
}

#[test]
fn a_topic_of_something_else_is_refused_at_once() {
    let store = open_store(&Simulation::new(12));
    store.create_topic("out", TopicConfig::default()).unwrap();
    let Err(error) = try_open(&store, output(1)) else { panic!("it holds records") };
    assert!(
        matches!(&error, Error::InvalidJob { reason, .. } if reason.contains("`out`")),
        "{error}"
    );
    let settings = crate::format::arrow::topic_settings(&Schema::new(vec![Field::new(
        "other",
        DataType::Utf8,
        true,
    )]));
    let settings = settings.unwrap();
    let settings: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (&**k, &**v)).collect();
    store.create_topic_with("columns", &settings).unwrap();
    let Err(error) = try_open(&store, TopicOutput::new("columns")) else { panic!("other columns") };
    assert!(error.to_string().contains("no column `id`, only `other` STRING"), "{error}");
    let encoder = ToJson::keyed_with(|_: &u32, _| {});
    let output = TopicOutput::new("columns");
    let mut sink = TopicSink::new(store.clone(), output, KEY, EncodedRows::new(encoder));
    let error = sink.open(&context(Arc::new(ManualClock::new(0)), Arc::default())).unwrap_err();
    assert!(error.to_string().contains("columnar"), "{error}");
}
