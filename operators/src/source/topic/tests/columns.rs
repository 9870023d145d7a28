//! Columnar topics.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use riverrun_dataflow::{Columns, Source, SourceEvent, codec};
use riverrun_log_store::ColumnarBatch;

use super::*;
use crate::format::arrow::{ArrowColumns, ToArrow, topic_settings};
use crate::format::{ColumnEncoder, ColumnMessage, DecodedColumns, RecordOut};

type ColumnDriver = Driven<TopicSource<DecodedColumns<ArrowColumns>>>;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("text", DataType::Utf8, false),
        Field::new("id", DataType::Int64, false),
    ]))
}

fn columnar_store() -> (Simulation, Store) {
    let simulation = Simulation::new(13);
    let store = Store::open_in(simulation.environment(), "/data", StoreOptions::default()).unwrap();
    let settings = topic_settings(&schema()).unwrap();
    let settings: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (&**k, &**v)).collect();
    store.create_topic_with("t", &settings).unwrap();
    (simulation, store)
}

/// Appends what is encoded.
struct Appending(Partition);

impl RecordOut for Appending {
    fn push(&mut self, _: Timestamp, _: Option<&[u8]>, _: Option<&[u8]>) -> Result<()> {
        panic!("columns are no records")
    }

    fn push_columns(&mut self, columns: ColumnMessage<'_>) -> Result<()> {
        let batch = ColumnarBatch {
            rows: columns.rows,
            max_timestamp: 5,
            schema_id: columns.schema_id,
            producer: None,
            transactional: false,
        };
        let mut writer = batch.begin(Vec::new());
        writer.message().extend_from_slice(columns.message);
        self.0.append_durable(&mut writer.finish().unwrap()).unwrap();
        Ok(())
    }
}

fn put(store: &Store, ids: std::ops::Range<i64>) {
    let texts = StringArray::from_iter_values(ids.clone().map(|id| format!("text {id}")));
    let columns: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(texts), Arc::new(Int64Array::from_iter_values(ids))];
    let batch = RecordBatch::try_new(schema(), columns).unwrap();
    let columns = Columns { batch, time_column: None, weight_column: None };
    let mut out = Appending(store.partition("t", 0).unwrap());
    ToArrow::new(schema()).unwrap().encode(&columns, &mut out).unwrap();
}

fn open(store: &Store, input: TopicInput, restored: Option<RestoredState>) -> ColumnDriver {
    let mut resources = Resources::default();
    resources.insert(store.clone());
    let format = ArrowColumns::of_topic(&store.topic("t").unwrap().config).unwrap();
    let format = format.project(&[1]).unwrap();
    let source = TopicSource::new(input, DecodedColumns(format), &resources).unwrap();
    Driven::open_as(source, restored, |_| {})
}

/// The ids of the batches until the end, and where the source is after each.
fn ids(driver: &mut ColumnDriver) -> Vec<(Vec<i64>, i64)> {
    let mut found = Vec::new();
    loop {
        let waker = std::task::Waker::noop();
        match driver.source.poll(&mut Context::from_waker(waker)) {
            Poll::Ready(Ok(SourceEvent::Batch(batch))) => {
                let columns = batch.into_columns("test").unwrap();
                assert_eq!(columns.batch.num_columns(), 1);
                let ids = columns.batch.column(0).as_primitive::<Int64Type>().values().to_vec();
                let position = codec::decode(&driver.source.snapshot().unwrap()["t-0"]).unwrap();
                found.push((ids, position));
            }
            Poll::Ready(Ok(SourceEvent::End)) => return found,
            Poll::Ready(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn batches_are_handed_on_as_they_are_and_positions_count_rows() {
    let (_simulation, store) = columnar_store();
    put(&store, 0..300);
    put(&store, 300..310);
    let mut driver = open(&store, TopicInput::new("t").bounded(), None);
    // What comes later is not for a source that ends here.
    put(&store, 310..320);
    let all = ids(&mut driver);
    assert_eq!(all, [((0..300).collect(), 300), ((300..310).collect(), 310)]);
    // From the middle of a batch: the offset of a row is its number.
    for from in [0, 1, 299, 300, 305, 320] {
        let positions = BTreeMap::from([("t-0".to_owned(), codec::encode(&from).unwrap())]);
        let restored = RestoredState { positions, ..RestoredState::default() };
        let mut driver = open(&store, TopicInput::new("t").bounded(), Some(restored));
        let found: Vec<i64> = ids(&mut driver).into_iter().flat_map(|(ids, _)| ids).collect();
        assert_eq!(found, (from..320).collect::<Vec<_>>());
        let start = TopicInput::new("t").bounded().start(Start::Offset(from));
        let mut driver = open(&store, start, None);
        let found: Vec<i64> = ids(&mut driver).into_iter().flat_map(|(ids, _)| ids).collect();
        assert_eq!(found, (from..320).collect::<Vec<_>>());
    }
}

#[test]
fn formats_that_do_not_fit_are_refused_at_once() {
    let (_simulation, store) = columnar_store();
    let mut resources = Resources::default();
    resources.insert(store.clone());
    let mut source = TopicSource::new("t".into(), DecodedRows::new(Lines), &resources).unwrap();
    let context =
        riverrun_dataflow::testing::context(Arc::<ManualClock>::default(), Arc::default());
    let error = source.open(&context, None).unwrap_err();
    assert!(
        matches!(&error, Error::InvalidJob { reason, .. } if reason.contains("columnar")),
        "{error}"
    );
    store.create_topic("rows", TopicConfig::default()).unwrap();
    let format = DecodedColumns(ArrowColumns::new(schema()).unwrap());
    let mut source = TopicSource::new("rows".into(), format, &resources).unwrap();
    let error = source.open(&context, None).unwrap_err();
    assert!(
        matches!(&error, Error::InvalidJob { reason, .. } if reason.contains("`rows`")),
        "{error}"
    );
}
