//! The columnar path against the row path and against plain code.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray, UInt16Array,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use riverrun_dataflow::{
    Batch, DataStream, Environment, Job, OperatorKind, OperatorMetrics, OperatorSpec, Resources,
    Rows, SnapshotKind, SplitStatus, Timestamp,
};
use serde::Serialize;

use super::combine::CountCombine;
use super::*;
use crate::format::{ColumnEncoder, RecordOut, rfc3339};
use crate::prelude::*;
use crate::test_pipeline::Pipeline;

type Hit = (String, Timestamp);
/// Window start, key -> count.
type Counts = BTreeMap<(Timestamp, String), u64>;

fn source<T>() -> DataStream<T> {
    let spec = OperatorSpec::new("test source", OperatorKind::Source);
    Environment::new("test").add_source(spec, |_| Err(Error::io("test source", "is not run")))
}

fn job<T>(stream: &DataStream<T>) -> Job {
    stream.environment().build(Resources::default()).unwrap()
}

fn strategy(out_of_orderness_ms: u64) -> WatermarkStrategy {
    WatermarkStrategy::bounded_out_of_orderness(Duration::from_millis(out_of_orderness_ms))
}

fn size() -> Duration {
    Duration::from_millis(50)
}

fn column_job(out_of_orderness_ms: u64) -> Job {
    let stream = source::<Columns>().assign_watermarks(strategy(out_of_orderness_ms));
    job(&stream.count_by("ip", TumblingWindows::of(size())))
}

fn row_job(out_of_orderness_ms: u64) -> Job {
    let stream =
        source::<Hit>().assign_timestamps(strategy(out_of_orderness_ms), |(_, time)| *time);
    job(&stream.key_by(|(ip, _)| ip.clone()).window(TumblingWindows::of(size())).count())
}

fn columns(hits: &[Hit]) -> Columns {
    let ips: ArrayRef = Arc::new(StringArray::from_iter_values(hits.iter().map(|(ip, _)| ip)));
    let times: ArrayRef =
        Arc::new(TimestampMillisecondArray::from_iter_values(hits.iter().map(|(_, t)| *t)));
    let batch = RecordBatch::try_from_iter([("time", times), ("ip", ips)]).unwrap();
    Columns { batch, time_column: Some(0), weight_column: None }
}

fn rows(hits: &[Hit]) -> Rows<Hit> {
    Rows { values: hits.to_vec(), timestamps: vec![riverrun_dataflow::NO_TIMESTAMP; hits.len()] }
}

fn random_hits(rng: &mut SmallRng, clock: &mut Timestamp) -> Vec<Hit> {
    (0..rng.random_range(1..40))
        .map(|_| {
            *clock += rng.random_range(0..4);
            let ip = match rng.random_range(0..12u32) {
                n @ 0..9 => format!("10.0.0.{n}"),
                n => format!("2001:db8:0:0:0:0:0:{n}"),
            };
            (ip, *clock - rng.random_range(0..60))
        })
        .collect()
}

/// Adds what a columnar job put out; each window and key may come once only.
fn take_columns(pipeline: &mut Pipeline, into: &mut Counts) {
    for batch in pipeline.take_output().into_iter().flat_map(|out| out.batches) {
        let columns = batch.into_columns("test").unwrap();
        let times = |name: &str| {
            let column = columns.batch.column_by_name(name).unwrap();
            column.as_primitive::<TimestampMillisecondType>().clone()
        };
        let (starts, ends) = (times("window_start"), times("window_end"));
        let ips = columns.batch.column_by_name("ip").unwrap().as_string::<i32>();
        let counts = columns.batch.column_by_name("count").unwrap().as_primitive::<Int64Type>();
        let event_times = time_column("test", &columns).unwrap();
        for row in 0..columns.batch.num_rows() {
            assert_eq!(ends.value(row) - starts.value(row), 50);
            assert_eq!(event_times.value(row), ends.value(row) - 1);
            let key = (starts.value(row), ips.value(row).to_owned());
            assert_eq!(into.insert(key, counts.value(row) as u64), None, "a second result");
        }
    }
}

fn take_rows(pipeline: &mut Pipeline, into: &mut Counts) {
    for mut out in pipeline.take_output() {
        for (result, _) in out.take_rows::<WindowResult<String, u64>>() {
            let key = (result.window.start, result.key);
            assert_eq!(into.insert(key, result.value), None, "a second result");
        }
    }
}

/// With one sender and one receiver both paths see the same, late rows included.
#[test]
fn columns_give_what_rows_give() {
    for seed in 0..60 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let bound = rng.random_range(0..60);
        let mut by_rows = Pipeline::new(&row_job(bound), 1, 1, seed, None);
        let mut by_columns = Pipeline::new(&column_job(bound), 1, 1, seed, None);
        let (mut expected, mut counts) = (Counts::new(), Counts::new());
        let mut clock = 1000;
        for _ in 0..rng.random_range(1..40) {
            let hits = random_hits(&mut rng, &mut clock);
            by_rows.send(0, Batch::rows(rows(&hits), Some(0)));
            by_columns.send(0, Batch::columns(columns(&hits), Some(0)));
            if rng.random_bool(0.2) {
                by_rows.snapshot(SnapshotKind::Full);
                by_columns.snapshot(SnapshotKind::Full);
            }
            by_rows.drain();
            by_columns.drain();
            take_rows(&mut by_rows, &mut expected);
            take_columns(&mut by_columns, &mut counts);
            assert_eq!(counts, expected, "seed {seed}");
        }
        by_rows.end();
        by_columns.end();
        take_rows(&mut by_rows, &mut expected);
        take_columns(&mut by_columns, &mut counts);
        assert_eq!(counts, expected, "seed {seed}");
        let late = |pipeline: &Pipeline| OperatorMetrics::read(&pipeline.metrics.late_records);
        assert_eq!(late(&by_columns), late(&by_rows), "seed {seed}");
    }
}

/// Any number of subtasks, any order between channels, stops and restarts at another parallelism: each row counts once.
#[test]
fn every_row_is_counted_once_at_any_parallelism() {
    for seed in 0..60 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let job = column_job(100);
        let senders = rng.random_range(1..4);
        let mut pipeline = Pipeline::new(&job, senders, rng.random_range(1..4), seed, None);
        let (mut expected, mut counts) = (Counts::new(), Counts::new());
        let mut clock = 1000;
        for step in 0..rng.random_range(1..40) {
            let hits = random_hits(&mut rng, &mut clock);
            for (ip, time) in &hits {
                *expected.entry((time.div_euclid(50) * 50, ip.clone())).or_default() += 1;
            }
            let sender = rng.random_range(0..senders) as usize;
            pipeline.send(sender, Batch::columns(columns(&hits), Some(0)));
            pipeline.deliver(rng.random_range(0..6));
            if rng.random_bool(0.1) {
                pipeline.snapshot(SnapshotKind::Full);
                take_columns(&mut pipeline, &mut counts);
                let saved = pipeline.saved();
                let receivers = rng.random_range(1..4);
                pipeline = Pipeline::new(&job, senders, receivers, seed + step, Some(&saved));
            }
        }
        pipeline.end();
        take_columns(&mut pipeline, &mut counts);
        assert_eq!(counts, expected, "seed {seed}");
    }
}

/// After the end of the input the job can go on with newer rows; a window that has fired stays as it was.
#[test]
fn a_later_run_goes_on_behind_the_last_window() {
    let job = column_job(0);
    let hit = |time: Timestamp| ("a".to_owned(), time);
    let mut pipeline = Pipeline::new(&job, 1, 1, 0, None);
    pipeline.split(0, 0, SplitStatus::Active);
    pipeline.send(0, Batch::columns(columns(&[hit(10), hit(60)]), Some(0)));
    pipeline.end();
    let mut counts = Counts::new();
    take_columns(&mut pipeline, &mut counts);
    assert_eq!(counts.len(), 2);
    pipeline.snapshot(SnapshotKind::Full);
    let mut pipeline = Pipeline::new(&job, 1, 2, 0, Some(&pipeline.saved()));
    pipeline.send(0, Batch::columns(columns(&[hit(70), hit(100)]), Some(0)));
    pipeline.end();
    take_columns(&mut pipeline, &mut counts);
    let expected = [(0, 1), (50, 1), (100, 1)].map(|(start, n)| ((start, "a".to_owned()), n));
    assert_eq!(counts, Counts::from(expected));
    assert_eq!(OperatorMetrics::read(&pipeline.metrics.late_records), 1);
}

#[test]
fn too_many_keys_are_sent_on_early() {
    let layout = crate::window::Windows::from(TumblingWindows::of(size())).layout();
    let combine = CountCombine::new("ip", layout).with_max_entries(3);
    let mut harness = riverrun_dataflow::testing::Harness::open(combine).unwrap();
    let hits = |n: i64| (0..n).map(|i| (format!("10.0.0.{i}"), i)).collect::<Vec<_>>();
    for (keys, batches) in [(3, 0), (4, 1)] {
        let batch = Batch::columns(columns(&hits(keys)), None);
        riverrun_dataflow::Operator::process(&mut harness.operator, 0, batch, &mut harness.out)
            .unwrap();
        assert_eq!(harness.out.batches.len(), batches);
    }
    let sent = harness.out.batches.pop().unwrap().into_columns("test").unwrap();
    let rows = sent.batch.column(2).as_primitive::<Int64Type>();
    assert_eq!((rows.len(), rows.values().iter().sum::<i64>()), (4, 7));
}

#[test]
fn other_columns_are_refused_by_name() {
    let mut other = columns(&[("a".into(), 1)]);
    other.time_column = None;
    let error = time_column("combine", &other).unwrap_err().to_string();
    assert!(error.contains("`combine` expected") && error.contains("ip Utf8"), "{error}");
    assert!(text_column("combine", &other, "host").is_err());
    assert!(text_column("combine", &other, "time").is_err());
}

#[derive(Default)]
struct Collected(Vec<(Timestamp, Option<String>, String)>);

impl RecordOut for Collected {
    fn push(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<()> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.0.push((timestamp, key.map(text), text(value.unwrap())));
        Ok(())
    }
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(with = "rfc3339")]
    time: Timestamp,
    text: Option<&'a str>,
    number: Option<i64>,
    small: u16,
    fraction: f64,
    yes: bool,
}

/// Byte for byte what serde_json makes of a struct.
#[test]
fn json_is_serdes() {
    let texts =
        [Some("a \"b\" \\ /"), Some("\u{1}\n\r\t\u{8}\u{c}\u{1f}\u{7f}\u{e4}\u{1f600}"), None];
    let numbers = [Some(i64::MIN), None, Some(0)];
    let fractions = [1.0, 1e300, -0.25];
    let times = [1_431_857_100_000, 1_431_857_100_000, -1];
    let expected: Vec<String> = (0..3)
        .map(|i| {
            let row = Row {
                time: times[i],
                text: texts[i],
                number: numbers[i],
                small: i as u16 * 300,
                fraction: fractions[i],
                yes: i == 1,
            };
            serde_json::to_string(&row).unwrap()
        })
        .collect();
    let arrays: [(&str, ArrayRef); 7] = [
        ("yes", Arc::new(BooleanArray::from(vec![false, true, false]))),
        ("fraction", Arc::new(Float64Array::from(fractions.to_vec()))),
        ("small", Arc::new(UInt16Array::from(vec![0, 300, 600]))),
        ("number", Arc::new(Int64Array::from(numbers.to_vec()))),
        ("text", Arc::new(StringArray::from(texts.to_vec()))),
        ("time", Arc::new(TimestampMillisecondArray::from(times.to_vec()).with_timezone("UTC"))),
        ("key", Arc::new(StringArray::from(vec!["x", "y", "z"]))),
    ];
    let batch = RecordBatch::try_from_iter(arrays).unwrap();
    let columns = Columns { batch, time_column: Some(5), weight_column: None };
    let names = ["time", "text", "number", "small", "fraction", "yes"];
    let mut out = Collected::default();
    let mut encoder = ColumnsToJson::of(&names).keyed_by("key");
    encoder.encode(&columns, &mut out).unwrap();
    for (i, (timestamp, key, value)) in out.0.iter().enumerate() {
        assert_eq!((*timestamp, key.as_deref()), (times[i], Some(["x", "y", "z"][i])));
        assert_eq!(value, &expected[i]);
    }
    let error = ColumnsToJson::of(&["nothing"]).encode(&columns, &mut out).unwrap_err();
    assert!(error.to_string().contains("a column `nothing`"), "{error}");
}
