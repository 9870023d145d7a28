//! Values of every type, and how they are written.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::*;
use arrow_schema::{DataType, Field};

use super::*;

fn text(array: &dyn Array, row: usize) -> Option<String> {
    let mut out = String::new();
    write_text(&mut out, array, row).then_some(out)
}

fn json(array: &dyn Array, row: usize) -> String {
    let mut out = String::new();
    write_json(&mut out, array, row);
    out
}

#[test]
fn scalars_as_text_and_json() {
    let both = |array: &dyn Array, shown: &str, as_json: &str| {
        assert_eq!(text(array, 0).as_deref(), Some(shown), "{}", array.data_type());
        assert_eq!(json(array, 0), as_json, "{}", array.data_type());
    };
    both(&BooleanArray::from(vec![true]), "true", "true");
    both(&Int8Array::from(vec![-7]), "-7", "-7");
    both(&UInt64Array::from(vec![u64::MAX]), "18446744073709551615", "18446744073709551615");
    both(&Float64Array::from(vec![0.1]), "0.1", "0.1");
    both(&Float64Array::from(vec![1e300]), "1e300", "1e300");
    both(&Float64Array::from(vec![3.0]), "3", "3.0");
    both(&Float64Array::from(vec![f64::NEG_INFINITY]), "-Infinity", "\"-Infinity\"");
    both(&Float32Array::from(vec![0.1]), "0.1", "0.1");
    both(&StringArray::from(vec!["a\"b\n\u{1}"]), "a\"b\n\u{1}", "\"a\\\"b\\n\\u0001\"");
    both(&BinaryArray::from(vec![&[0u8, 255][..]]), "0x00ff", "\"0x00ff\"");
    both(&Date32Array::from(vec![16_572]), "2015-05-17", "\"2015-05-17\"");
    let decimal = Decimal128Array::from(vec![-12_340]).with_precision_and_scale(20, 3).unwrap();
    both(&decimal, "-12.340", "-12.340");
    let time = TimestampMillisecondArray::from(vec![1_431_857_100_500]);
    both(&time, "2015-05-17 10:05:00.5", "\"2015-05-17 10:05:00.5\"");
    let before = TimestampMillisecondArray::from(vec![-1]);
    both(&before, "1969-12-31 23:59:59.999", "\"1969-12-31 23:59:59.999\"");
    both(&time.with_timezone("UTC"), "2015-05-17 10:05:00.5Z", "\"2015-05-17 10:05:00.5Z\"");
    both(&Time32MillisecondArray::from(vec![3_723_004]), "01:02:03.004", "\"01:02:03.004\"");
    let nanos = DurationSecondArray::from(vec![-90_061]);
    both(&nanos, "-25:01:01", "\"-25:01:01\"");
    let interval = IntervalYearMonthArray::from(vec![14]);
    both(&interval, "1 year 2 mons", "\"1 year 2 mons\"");
    let nothing = StringArray::from(vec![None::<&str>]);
    assert_eq!((text(&nothing, 0), json(&nothing, 0).as_str()), (None, "null"));
}

#[test]
fn nested_values_are_json_with_the_names_of_their_fields() {
    let mut list = ListBuilder::new(Int32Builder::new());
    list.append_value([Some(1), None]);
    let list = list.finish();
    assert_eq!(text(&list, 0).as_deref(), Some("[1,null]"));
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("k");
    map.values().append_value(2);
    map.append(true).unwrap();
    let map = map.finish();
    let row = StructArray::from(vec![
        (Arc::new(Field::new("l", list.data_type().clone(), true)), Arc::new(list) as ArrayRef),
        (Arc::new(Field::new("m", map.data_type().clone(), true)), Arc::new(map) as ArrayRef),
    ]);
    assert_eq!(json(&row, 0), r#"{"l":[1,null],"m":{"k":2}}"#);
    let name = type_name(&Field::new("r", row.data_type().clone(), false));
    assert_eq!(name, "ROW<l ARRAY<INT>, m MAP<STRING, INT>> NOT NULL");
}

#[test]
fn dictionaries_show_their_values() {
    let words: DictionaryArray<arrow_array::types::Int32Type> =
        vec![Some("a"), None, Some("b")].into_iter().collect();
    let all: Vec<_> = (0..3).map(|row| text(&words, row)).collect();
    assert_eq!(all, [Some("a".into()), None, Some("b".into())]);
    assert_eq!(type_name(&Field::new("d", words.data_type().clone(), true)), "STRING");
    assert_eq!(
        type_name(&Field::new("t", DataType::Time64(TimeUnit::Microsecond), true)),
        "TIME(6)"
    );
}

#[test]
fn fields_of_csv_are_quoted_when_they_must_be() {
    let quoted = |text| {
        let mut out = String::new();
        write_quoted(&mut out, text);
        out
    };
    assert_eq!(quoted("plain text"), "plain text");
    assert_eq!(quoted("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
}
