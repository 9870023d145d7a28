use std::sync::Arc;

use arrow_array::builder::{Int64Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringArray, StructArray,
    TimestampMillisecondArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use proptest::prelude::*;
use riverrun_dataflow::{Columns, Error, Result, Timestamp};
use riverrun_log_store::{Batch, ColumnarBatch, ColumnarRows, Decompressor, TopicConfig, stamp};

use super::*;
use crate::format::{
    BatchRecords, ColumnDecoder, ColumnEncoder, ColumnMessage, OnError, RecordOut, Rejects,
};

/// Log batches, as a topic would hold them.
#[derive(Default)]
struct Log {
    batches: Vec<Batch>,
    next: i64,
}

impl RecordOut for Log {
    fn push(&mut self, _: Timestamp, _: Option<&[u8]>, _: Option<&[u8]>) -> Result<()> {
        panic!("columns are no records")
    }

    fn push_columns(&mut self, columns: ColumnMessage<'_>) -> Result<()> {
        let batch = ColumnarBatch {
            rows: columns.rows,
            max_timestamp: columns.timestamp,
            schema_id: columns.schema_id,
            producer: None,
            transactional: false,
        };
        // Where a mapping would have it.
        let mut writer = batch.begin(Vec::new());
        writer.message().extend_from_slice(columns.message);
        let mut bytes = writer.finish().expect("fits");
        stamp(&mut bytes, self.next, 0);
        self.next += i64::from(columns.rows);
        self.batches.push(Batch::parse(aligned(&bytes)).expect("a batch"));
        Ok(())
    }
}

/// Bytes that begin at a multiple of 64, as those of a mapped segment do.
fn aligned(bytes: &[u8]) -> Bytes {
    let room = Bytes::from(vec![0; bytes.len() + 64]);
    let shift = room.as_ptr().align_offset(64);
    let mut room = Vec::from(room);
    room[shift..shift + bytes.len()].copy_from_slice(bytes);
    let room = Bytes::from(room);
    assert!(room[shift..].as_ptr().addr().is_multiple_of(64), "the vector has not moved");
    room.slice(shift..shift + bytes.len())
}

fn schema() -> SchemaRef {
    let number = Arc::new(Field::new_list_field(DataType::Int64, true));
    let inner = Field::new("inner", DataType::Utf8, true);
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("name", DataType::Utf8, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("price", DataType::Decimal128(20, 3), true),
        Field::new("good", DataType::Boolean, true),
        Field::new("numbers", DataType::List(number), true),
        Field::new("nested", DataType::Struct(vec![inner].into()), false),
    ]))
}

/// A batch whose values follow from `id`; every third is null.
fn batch(ids: &[i64]) -> RecordBatch {
    let some = |id: &i64| (id % 3 != 0).then_some(*id);
    let names: StringArray =
        ids.iter().map(|id| some(id).map(|id| "x".repeat(id as usize % 50))).collect();
    let prices: Decimal128Array = ids.iter().map(|id| some(id).map(i128::from)).collect();
    let mut numbers = ListBuilder::new(Int64Builder::new());
    for id in ids {
        let list = some(id).map(|id| (0..id % 4).map(Some).collect::<Vec<_>>());
        numbers.append_option(list);
    }
    let inner: ArrayRef = Arc::new(names.clone());
    let field = Arc::new(Field::new("inner", DataType::Utf8, true));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids.to_vec())),
        Arc::new(names),
        Arc::new(ids.iter().map(some).collect::<TimestampMillisecondArray>()),
        Arc::new(prices.with_precision_and_scale(20, 3).expect("it fits")),
        Arc::new(ids.iter().map(|id| some(id).map(|id| id % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(numbers.finish()),
        Arc::new(StructArray::from(vec![(field, inner)])),
    ];
    RecordBatch::try_new(schema(), columns).expect("of this schema")
}

fn columns(batch: RecordBatch) -> Columns {
    Columns { batch, time_column: Some(2), weight_column: None }
}

fn written(batches: &[RecordBatch], most_bytes: usize) -> Log {
    let mut log = Log::default();
    let mut encoder = ToArrow::new(schema()).expect("it fits").most_bytes(most_bytes);
    for batch in batches {
        encoder.encode(&columns(batch.clone()), &mut log).expect("of this schema");
    }
    log
}

/// What a source would hand on, from an offset on.
fn read(log: &Log, format: &ArrowColumns, from: i64, to: i64) -> Vec<RecordBatch> {
    let mut format = format.clone();
    let mut rejects = Rejects::new(OnError::Fail, "t-0", None);
    let mut found = Vec::new();
    for batch in &log.batches {
        let records = batch.records(&mut Decompressor::new()).expect("uncompressed");
        let records = BatchRecords::new(&records, from, "t-0").until(to);
        format.decode(&records, &mut rejects).expect("well formed");
        if format.len() > 0 {
            assert!(format.is_full());
            found.push(format.finish().batch);
        }
    }
    found
}

fn ids(batches: &[RecordBatch]) -> Vec<i64> {
    batches
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_row_comes_back_once_with_an_offset_of_its_own(
        lengths in prop::collection::vec(0..60usize, 1..6),
        most_bytes in prop_oneof![Just(1usize), Just(4_000), Just(1 << 20)],
        from in 0..200i64, span in 0..200i64,
    ) {
        let mut next = 0;
        let batches: Vec<RecordBatch> = lengths
            .iter()
            .map(|length| {
                let first = next;
                next += *length as i64;
                batch(&(first..next).collect::<Vec<_>>())
            })
            .collect();
        let log = written(&batches, most_bytes);
        let format = ArrowColumns::new(schema()).expect("it fits");
        // The id of a row is its offset.
        let all = read(&log, &format, 0, i64::MAX);
        prop_assert_eq!(ids(&all), (0..next).collect::<Vec<_>>());
        for found in &all {
            let expected = batch(&ids(std::slice::from_ref(found)));
            prop_assert_eq!(found, &expected);
        }
        let part = read(&log, &format, from, from + span);
        prop_assert_eq!(ids(&part), (from.min(next)..(from + span).min(next)).collect::<Vec<_>>());
        let times: Vec<i64> = log.batches.iter().map(|batch| batch.header().max_timestamp).collect();
        prop_assert!(times.iter().all(|time| time % 3 != 0), "the largest that is not null: {times:?}");
    }
}

#[test]
fn columns_that_are_read_point_into_the_batch() {
    let log = written(&[batch(&(0..500).collect::<Vec<_>>())], 1 << 20);
    let format =
        ArrowColumns::new(schema()).expect("it fits").project(&[2, 0]).expect("they exist");
    let names: Vec<&str> = format.schema().fields().iter().map(|f| f.name().as_str()).collect();
    assert_eq!(names, ["at", "id"]);
    let found = read(&log, &format, 0, i64::MAX);
    let bytes = log.batches[0].bytes().as_ptr_range();
    for column in found[0].columns() {
        for buffer in column.to_data().buffers() {
            assert!(bytes.contains(&buffer.as_ptr()), "it was copied");
            assert!(buffer.as_ptr().addr().is_multiple_of(64));
        }
    }
    assert_eq!(found[0].column(1).as_primitive::<Int64Type>().value(499), 499);
    assert!(ArrowColumns::new(schema()).expect("it fits").project(&[7]).is_err());
}

fn config(schema: &Schema) -> TopicConfig {
    TopicConfig::from_settings(topic_settings(schema).expect("it fits")).expect("they are known")
}

#[test]
fn the_schema_is_kept_by_the_topic() {
    let config = config(&schema());
    assert_eq!(schema_of_topic(&config).expect("columnar"), schema());
    let mut format = ArrowColumns::of_topic(&config).expect("columnar");
    assert_eq!(format.check_topic(&config), Ok(()));
    assert!(format.check_topic(&TopicConfig::default()).is_err());
    assert!(schema_of_topic(&TopicConfig::default()).is_err());
    let other = Schema::new(vec![Field::new("id", DataType::Utf8, false)]);
    let reason = format.check_topic(&self::config(&other)).expect_err("other columns");
    assert!(reason.contains("id"), "{reason}");
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let nested = DataType::Struct(vec![Field::new("inner", dictionary, true)].into());
    let unfit = topic_settings(&Schema::new(vec![Field::new("outer", nested, true)]));
    assert!(unfit.expect_err("not kept").to_string().contains("`outer`"));
}

#[test]
fn what_does_not_fit_is_named() {
    let wrong = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, false)]));
    let values: ArrayRef = Arc::new(StringArray::from(vec!["a"]));
    let wrong = RecordBatch::try_new(wrong, vec![values]).expect("of this schema");
    let mut encoder = ToArrow::new(schema()).expect("it fits");
    let error = encoder.encode(&columns(wrong), &mut Log::default()).expect_err("other columns");
    assert!(matches!(error, Error::Format { .. }), "{error}");

    let log = written(&[batch(&[1, 2, 3])], 1 << 20);
    let good = log.batches[0].columns().expect("well formed").expect("columns");
    let format = ArrowColumns::new(schema()).expect("it fits");
    format.read(&good, "t-0").expect("it is whole");
    let message =
        |bytes: &[u8]| ColumnarRows { message: Bytes::copy_from_slice(bytes), ..good.clone() };
    let mut broken = vec![
        ColumnarRows { schema_id: good.schema_id ^ 1, ..good.clone() },
        ColumnarRows { rows: 4, ..good.clone() },
    ];
    broken
        .extend((0..good.message.len()).step_by(7).map(|length| message(&good.message[..length])));
    for broken in broken {
        // Cut in the padding at its end, it is whole still.
        let padding = good.message.len() - broken.message.len();
        match format.read(&broken, "t-0") {
            Err(error) => assert!(error.to_string().contains("t-0@0"), "{error}"),
            Ok(read) => assert!(padding > 0 && padding < 64 && read == batch(&[1, 2, 3])),
        }
    }
}

#[test]
fn rows_are_shown_as_json() {
    let log = written(&[batch(&[1, 2])], 1 << 20);
    let columns = log.batches[0].columns().expect("well formed").expect("columns");
    let mut shown = Vec::new();
    let mut rows = JsonRows::of_topic(&config(&schema())).expect("JSON can say that");
    rows.for_each(&columns, "t-0", |offset, json| {
        let value: serde_json::Value = serde_json::from_slice(json).expect("JSON");
        shown.push((offset, value));
        Ok::<(), Error>(())
    })
    .expect("it is whole");
    assert_eq!(shown.len(), 2);
    let (offset, row) = &shown[1];
    assert_eq!((*offset, &row["id"], &row["name"]), (1, &2.into(), &"xx".into()));
    assert_eq!(row["numbers"], serde_json::json!([0, 1]));
    assert_eq!(row["nested"], serde_json::json!({ "inner": "xx" }));
    assert_eq!(row["good"], serde_json::json!(true));
}
