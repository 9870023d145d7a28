//! Keys, tombstones and weights.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, StringArray};
use arrow_schema::Schema;

use super::*;

fn json() -> TableFormat {
    TableFormat::Json(JsonOptions::default())
}

#[test]
fn a_record_without_a_value_takes_its_keys_row_away() {
    let fields = [required("id", DataType::Int64), required("v", DataType::Int64)];
    let mut layout = whole(json(), &fields);
    layout.key = Some(KeyLayout { format: json(), fields: vec![fields[0].clone()] });
    layout.upsert = true;
    let mut decoder = TableDecoder::new(layout).unwrap();
    assert!(!decoder.schema().field(0).is_nullable() && decoder.schema().field(1).is_nullable());
    let records = [
        keyed(r#"{"id":1}"#, Some(r#"{"id":1,"v":10}"#)),
        keyed(r#"{"id":1}"#, None),
        keyed("x", None),
        keyed(r#"{"id":2}"#, Some(r#"{"id":2}"#)),
    ];
    let (columns, rejected) = decoded(&mut decoder, &records);
    assert_eq!((columns.weight_column, rejected), (Some(2), 2));
    let column = |at: usize| -> Vec<Option<i64>> {
        columns.batch.column(at).as_primitive::<Int64Type>().iter().collect()
    };
    assert_eq!(column(0), [Some(1), Some(1)]);
    assert_eq!(column(1), [Some(10), None]);
    assert_eq!(column(2), [Some(1), Some(-1)]);
}

fn changes(rows: &[(i64, &str, i64)]) -> Columns {
    let schema = Schema::new(vec![
        required("id", DataType::Int64),
        field("v", DataType::Utf8),
        required(WEIGHT, DataType::Int64),
    ]);
    let ids: Int64Array = rows.iter().map(|(id, ..)| Some(*id)).collect();
    let values: StringArray = rows.iter().map(|(_, v, _)| Some(*v)).collect();
    let weights: Int64Array = rows.iter().map(|(.., weight)| Some(*weight)).collect();
    let arrays: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(ids), Arc::new(values), Arc::new(weights)];
    let batch = RecordBatch::try_new(Arc::new(schema), arrays).unwrap();
    Columns { batch, time_column: None, weight_column: Some(2) }
}

fn writer(mode: WriteMode, format: TableFormat) -> Result<TableEncoder, UnfitTable> {
    let fields = [required("id", DataType::Int64), field("v", DataType::Utf8)];
    TableEncoder::new(EncoderLayout {
        format,
        value: fields.iter().cloned().enumerate().collect(),
        key: Some((json(), vec![(0, fields[0].clone())])),
        metadata: Vec::new(),
        mode,
    })
}

#[test]
fn of_each_key_the_row_that_stays_is_written_or_its_removal() {
    let rows = [
        (1, "old", -1),
        (2, "gone", -1),
        (1, "new", 1),
        (3, "a", 1),
        (3, "b", 1),
        (4, "x", 1),
        (4, "x", -1),
    ];
    let written = encoded(&mut writer(WriteMode::Upsert, json()).unwrap(), &changes(&rows));
    let written: Vec<(String, Option<String>)> = written
        .unwrap()
        .into_iter()
        .map(|record| {
            let text = |bytes| String::from_utf8(bytes).unwrap();
            (text(record.key.unwrap()), record.value.map(text))
        })
        .collect();
    let pair = |id: i64, v: Option<&str>| {
        (format!(r#"{{"id":{id}}}"#), v.map(|v| format!(r#"{{"id":{id},"v":"{v}"}}"#)))
    };
    let expected = [pair(2, None), pair(1, Some("new")), pair(3, Some("b")), pair(4, Some("x"))];
    assert_eq!(written, expected);
}

#[test]
fn what_a_mode_cannot_say_is_refused() {
    let error = writer(WriteMode::Changelog, json()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("use debezium-json"), "{error}");
    let mut append = writer(WriteMode::Append, json()).unwrap();
    let error = encoded(&mut append, &changes(&[(1, "a", 1), (1, "a", -1)])).unwrap_err();
    assert!(
        error.to_string().contains("row 2 of a batch to be written: it takes a row back"),
        "{error}"
    );
    assert_eq!(encoded(&mut append, &changes(&[(1, "a", 3)])).unwrap().len(), 3);
}
