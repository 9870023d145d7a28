//! JSON against serde_json's reading of it.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type, TimestampMillisecondType};
use chrono::{DateTime, NaiveDate};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

fn options(format: TimestampFormat) -> TableFormat {
    TableFormat::Json(JsonOptions { timestamp_format: format, ..JsonOptions::default() })
}

fn types() -> impl Strategy<Value = DataType> {
    use TimeUnit::*;
    let leaf = prop_oneof![
        Just(DataType::Boolean),
        Just(DataType::Int8),
        Just(DataType::Int16),
        Just(DataType::Int32),
        Just(DataType::Int64),
        Just(DataType::Float32),
        Just(DataType::Float64),
        Just(DataType::Decimal128(9, 3)),
        Just(DataType::Date32),
        Just(DataType::Time32(Millisecond)),
        prop_oneof![Just(Second), Just(Millisecond), Just(Microsecond), Just(Nanosecond)]
            .prop_flat_map(|unit| prop_oneof![
                Just(DataType::Timestamp(unit, None)),
                Just(DataType::Timestamp(unit, Some("UTC".into()))),
            ]),
        Just(DataType::Utf8),
        Just(DataType::Binary),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(list),
            inner.clone().prop_map(map),
            proptest::collection::vec(inner, 1..4).prop_map(|types| {
                row(types
                    .into_iter()
                    .enumerate()
                    .map(|(i, of)| field(&format!("f{i}"), of))
                    .collect())
            }),
        ]
    })
}

/// Seconds of the years 1 to 9999, in which every unit but nanoseconds has room.
fn seconds(unit: TimeUnit) -> std::ops::Range<i64> {
    match unit {
        TimeUnit::Nanosecond => -9_000_000_000..9_000_000_000,
        _ => -62_000_000_000..250_000_000_000,
    }
}

fn fraction(units: u64, digits: usize) -> String {
    match units {
        0 => String::new(),
        _ => format!(".{units:0digits$}").trim_end_matches('0').to_owned(),
    }
}

/// A value of a type as the format writes it, made without any code of the format.
fn values(of: DataType, separator: char) -> BoxedStrategy<Value> {
    let some: BoxedStrategy<Value> = match of {
        DataType::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        DataType::Int8 => any::<i8>().prop_map(Value::from).boxed(),
        DataType::Int16 => any::<i16>().prop_map(Value::from).boxed(),
        DataType::Int32 => any::<i32>().prop_map(Value::from).boxed(),
        DataType::Int64 => any::<i64>().prop_map(Value::from).boxed(),
        // Eighths: few digits, so that serde_json's reading of them is exact.
        DataType::Float32 => any::<i16>().prop_map(|n| Value::from(f64::from(n) / 8.0)).boxed(),
        DataType::Float64 => {
            any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from).boxed()
        }
        DataType::Decimal128(..) => (-999_999_999i64..=999_999_999)
            .prop_map(|n| {
                let text = format!(
                    "{}{}.{:03}",
                    if n < 0 { "-" } else { "" },
                    n.abs() / 1000,
                    n.abs() % 1000
                );
                serde_json::from_str(&text).unwrap()
            })
            .boxed(),
        DataType::Date32 => (-700_000i32..2_900_000)
            .prop_map(|day| {
                let date = NaiveDate::default() + chrono::Duration::days(day.into());
                Value::from(date.to_string())
            })
            .boxed(),
        DataType::Time32(_) => (0u32..86_400, 0u64..1000)
            .prop_map(|(second, milli)| {
                let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
                Value::from(format!("{h:02}:{m:02}:{s:02}{}", fraction(milli, 3)))
            })
            .boxed(),
        DataType::Timestamp(unit, zone) => (seconds(unit), any::<u32>())
            .prop_map(move |(second, part)| {
                let digits = match unit {
                    TimeUnit::Second => 0,
                    TimeUnit::Millisecond => 3,
                    TimeUnit::Microsecond => 6,
                    TimeUnit::Nanosecond => 9,
                };
                let part = u64::from(part) % 10u64.pow(digits as u32);
                let time = DateTime::from_timestamp(second, 0).unwrap();
                let time = time.format(&format!("%Y-%m-%d{separator}%H:%M:%S")).to_string();
                let zone = if zone.is_some() { "Z" } else { "" };
                Value::from(format!("{time}{}{zone}", fraction(part, digits)))
            })
            .boxed(),
        DataType::Utf8 => any::<String>().prop_map(Value::from).boxed(),
        DataType::Binary => any::<Vec<u8>>()
            .prop_map(|bytes| {
                use base64::Engine;
                Value::from(base64::engine::general_purpose::STANDARD.encode(bytes))
            })
            .boxed(),
        DataType::List(item) => {
            proptest::collection::vec(values(item.data_type().clone(), separator), 0..4)
                .prop_map(Value::from)
                .boxed()
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else { unreachable!() };
            let of = fields[1].data_type().clone();
            proptest::collection::btree_map(any::<String>(), values(of, separator), 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
                .boxed()
        }
        DataType::Struct(fields) => objects(&fields, separator).boxed(),
        other => unreachable!("{other}"),
    };
    prop_oneof![1 => Just(Value::Null), 6 => some].boxed()
}

fn objects(fields: &[FieldRef], separator: char) -> impl Strategy<Value = Value> + use<> {
    let names: Vec<String> = fields.iter().map(|field| field.name().clone()).collect();
    let values: Vec<_> =
        fields.iter().map(|field| values(field.data_type().clone(), separator)).collect();
    values.prop_map(move |values| {
        Value::Object(names.iter().cloned().zip(values).collect::<Map<_, _>>())
    })
}

fn tables() -> impl Strategy<Value = (Vec<FieldRef>, Vec<Value>, TimestampFormat)> {
    (proptest::collection::vec(types(), 1..5), any::<bool>()).prop_flat_map(|(types, iso)| {
        let fields: Vec<FieldRef> =
            types.into_iter().enumerate().map(|(i, of)| field(&format!("c{i}"), of)).collect();
        let (format, separator) = match iso {
            true => (TimestampFormat::Iso8601, 'T'),
            false => (TimestampFormat::Sql, ' '),
        };
        let rows = proptest::collection::vec(objects(&fields, separator), 0..6);
        (Just(fields), rows, Just(format))
    })
}

/// The object as text with its fields in another order, unknown fields, and blanks.
fn scrambled(object: &Value, seed: u64) -> String {
    let mut fields: Vec<(String, String)> = object
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (serde_json::to_string(name).unwrap(), value.to_string()))
        .collect();
    if seed.is_multiple_of(3) {
        fields.push((
            r#""unknown \u00e9""#.into(),
            r#"[{"c0":1,"x":"\"}"},-1.5e-3,null,true,{}]"#.into(),
        ));
    }
    let by = (seed as usize) % fields.len().max(1);
    fields.rotate_left(by);
    if seed.is_multiple_of(5)
        && let Some((name, _)) = fields.last().cloned()
    {
        // What is given twice counts as it is given last.
        fields.insert(0, (name, r#""first""#.into()));
        if object.as_object().unwrap().len() != fields.len() - 1 {
            fields.remove(0);
        }
    }
    let fields: Vec<String> =
        fields.iter().map(|(name, value)| format!(" {name} :\n{value}")).collect();
    format!("\t{{{} }} ", fields.join(","))
}

proptest! {
    /// Any object of any types is read as it is meant, and written as it was.
    #[test]
    fn objects_round_trip((fields, rows, format) in tables(), seed: u64) {
        let mut decoder = decoder(options(format), &fields);
        let records: Vec<Rec> = rows.iter().enumerate().map(|(i, row)| value(scrambled(row, seed.wrapping_add(i as u64)))).collect();
        // `first` may be no value of its field's type.
        let records: Vec<Rec> = records.into_iter().zip(&rows).map(|(record, row)| match reason(&mut decoder, &record) {
            None => record,
            Some(reason) if reason.contains("\"first\"") => value(row.to_string()),
            Some(reason) => panic!("{reason}"),
        }).collect();
        let (columns, rejected) = decoded(&mut decoder, &records);
        prop_assert_eq!((columns.batch.num_rows(), rejected), (rows.len(), 0));
        let written = encoded(&mut encoder(options(format), &fields, WriteMode::Append), &columns).unwrap();
        let written: Vec<Value> = texts(&written).iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        // serde_json reads long fractions a little off, so both sides are read by it.
        let rows: Vec<Value> = rows.iter().map(|row| serde_json::from_str(&row.to_string()).unwrap()).collect();
        prop_assert_eq!(written, rows);
    }

    /// With some of the fields wanted, in any order, they are the same as with all.
    #[test]
    fn a_projection_is_a_part_of_the_whole((fields, rows, format) in tables(), wanted in proptest::collection::vec(any::<prop::sample::Index>(), 0..4)) {
        let records: Vec<Rec> = rows.iter().map(|row| value(row.to_string())).collect();
        let (all, _) = decoded(&mut decoder(options(format), &fields), &records);
        let mut wanted: Vec<usize> = wanted.iter().map(|index| index.index(fields.len())).collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.reverse();
        let mut layout = whole(options(format), &fields);
        layout.columns = wanted.iter().map(|i| layout.columns[*i].clone()).collect();
        let (some, _) = decoded(&mut TableDecoder::new(layout).unwrap(), &records);
        prop_assert_eq!(some.batch, all.batch.project(&wanted).unwrap());
    }

    /// Broken records between good ones leave nothing behind.
    #[test]
    fn good_rows_are_kept_between_broken_ones((fields, rows, format) in tables(), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 6)) {
        let mut records = Vec::new();
        for (row, cut) in rows.iter().zip(&cuts) {
            let text = row.to_string();
            records.push(value(&text.as_bytes()[..cut.index(text.len())]));
            records.push(value(&text));
        }
        let good: Vec<Rec> = rows.iter().map(|row| value(row.to_string())).collect();
        let mut decoder = decoder(options(format), &fields);
        let (expected, _) = decoded(&mut decoder, &good);
        let (columns, rejected) = decoded(&mut decoder, &records);
        prop_assert_eq!((columns.batch, rejected), (expected.batch, rows.len() as u64));
    }

    /// Whatever the bytes are, a record is a row or an error; and it is an error wherever serde_json finds one.
    #[test]
    fn no_bytes_make_it_panic(bytes in prop_oneof![
        any::<Vec<u8>>(),
        r#"([\[\]{},:"]|"a"|"b":|\\u[0-9a-f]{4}|-?[0-9]{1,3}|[.eE+]|true|null){0,16}"#.prop_map(String::into_bytes),
    ]) {
        let fields = [field("a", DataType::Int64), field("b", row(vec![field("a", list(DataType::Utf8))]))];
        let fault = reason(&mut decoder(TableFormat::Json(JsonOptions::default()), &fields), &value(&bytes));
        if serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_err() {
            prop_assert!(fault.is_some());
        }
        let lenient = JsonOptions { ignore_parse_errors: true, ..JsonOptions::default() };
        let (rows, rejected) = decoded(&mut decoder(TableFormat::Json(lenient), &fields), &[value(&bytes)]);
        prop_assert_eq!(rows.batch.num_rows() as u64 + rejected, 1);
    }
}

#[test]
fn scalars_may_be_given_as_text_and_text_may_be_anything() {
    let fields = [
        field("n", DataType::Int32),
        field("d", DataType::Float64),
        field("b", DataType::Boolean),
        field("s", DataType::Utf8),
    ];
    let text = r#"{"n":" 42 ","d":"NaN","b":"TRUE","s":{"a": [1]}}"#;
    let more = r#"{"n":3.0,"d":7,"b":false,"s":1.50}"#;
    let (columns, _) = decoded(
        &mut decoder(TableFormat::Json(JsonOptions::default()), &fields),
        &[value(text), value(more), value("{}")],
    );
    let written = encoded(
        &mut encoder(TableFormat::Json(JsonOptions::default()), &fields, WriteMode::Append),
        &columns,
    );
    let expected = [
        r#"{"n":42,"d":"NaN","b":true,"s":"{\"a\": [1]}"}"#,
        r#"{"n":3,"d":7.0,"b":false,"s":"1.50"}"#,
        r#"{"n":null,"d":null,"b":null,"s":null}"#,
    ];
    assert_eq!(texts(&written.unwrap()), expected);
}

#[test]
fn reasons_name_the_field_and_what_was_expected() {
    let bid = row(vec![
        field("price", DataType::Int64),
        required("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
    ]);
    let fields = [
        required("id", DataType::Int64),
        field("bid", bid),
        field("tags", map(list(DataType::Int8))),
        field("day", DataType::Date32),
        field("data", DataType::Binary),
    ];
    let mut decoder = decoder(TableFormat::Json(JsonOptions::default()), &fields);
    let cases = [
        (
            r#"{"id":1,"bid":{"price":"x","at":"2020-01-01 00:00:00"}}"#,
            r#"field `bid.price`: expected BIGINT, found "x""#,
        ),
        (
            r#"{"id":1,"bid":{"price":1}}"#,
            "field `bid.at`: expected TIMESTAMP(3) NOT NULL, found no such field",
        ),
        (
            r#"{"id":1,"bid":{"at":null}}"#,
            "field `bid.at`: expected TIMESTAMP(3) NOT NULL, found null",
        ),
        (
            r#"{"id":1,"bid":{"at":"2020-02-30 00:00:00"}}"#,
            r#"field `bid.at`: expected TIMESTAMP(3) like "2015-05-17 10:05:03.123", found "2020-02-30 00:00:00""#,
        ),
        (r#"{"id":1,"bid":{"at":"2020-01-01T00:00:00"}}"#, r#"found "2020-01-01T00:00:00""#),
        (r#"{"id":1,"bid":{"at":1577836800000}}"#, "in quotes, found the number 1577836800000"),
        (
            r#"{"id":1,"bid":7}"#,
            "field `bid`: expected ROW<price BIGINT, at TIMESTAMP(3)>, found \"7\"",
        ),
        (r#"{"id":1,"bid":[]}"#, "found an array"),
        (
            r#"{"id":1,"tags":{"a":[1,2,300]}}"#,
            r#"field `tags.[a].[3]`: expected TINYINT, found "300""#,
        ),
        (
            r#"{"id":1,"tags":{"a":{}}}"#,
            "field `tags.[a]`: expected ARRAY<TINYINT>, found an object",
        ),
        (
            r#"{"id":1,"day":"yesterday"}"#,
            r#"field `day`: expected DATE like "2015-05-17", found "yesterday""#,
        ),
        (r#"{"id":1,"data":"*"}"#, "field `data`: expected BYTES in base64"),
        (r#"{"id":true}"#, "field `id`: expected BIGINT, found true"),
        (r#"{"id":null}"#, "field `id`: expected BIGINT NOT NULL, found null"),
        (r#"{}"#, "field `id`: expected BIGINT NOT NULL, found no such field"),
        (r#"{"id":1,}"#, "not JSON: expected a field's name in quotes at byte 8, found \"}\""),
        (r#"{"id":1"#, "not JSON: expected `,` or `}` at byte 7, found its end"),
        (r#"{"id":1} {}"#, "not JSON: expected nothing more at byte 9"),
        (r#"{"id":1,"x":01}"#, "not JSON"),
        (r#"[1]"#, "not JSON: expected an object at byte 0"),
        ("", "not JSON: expected an object at byte 0, found its end"),
    ];
    for (text, part) in cases {
        let reason = reason(&mut decoder, &value(text)).unwrap_or_default();
        assert!(reason.contains(part), "{text}: {reason}");
    }
    assert!(
        reason(&mut decoder, &value(b"{\"id\":\xff}")).unwrap().contains("byte 6 is not UTF-8")
    );
    assert_eq!(reason(&mut decoder, &Rec::default()).unwrap(), "the record has no value");
    let strict = JsonOptions { fail_on_missing_field: true, ..JsonOptions::default() };
    let reason =
        reason(&mut super::decoder(TableFormat::Json(strict), &fields), &value(r#"{"id":1}"#));
    assert!(reason.unwrap().contains("field `bid`: expected ROW<"));
}

#[test]
fn ignored_errors_are_nulls_where_a_field_is_wrong() {
    let fields =
        [required("id", DataType::Int64), field("at", ltz()), field("n", list(DataType::Int64))];
    let lenient = JsonOptions { ignore_parse_errors: true, ..JsonOptions::default() };
    let records = [
        value(r#"{"id":1,"at":"soon","n":[1,"x",{"y":[2]},4]}"#),
        value(r#"{"id":"x"}"#),
        value(r#"{"id":2,"#),
        value(r#"{"id":3,"at":"1970-01-01 00:00:01Z","n":{}}"#),
    ];
    let (columns, rejected) =
        decoded(&mut decoder(TableFormat::Json(lenient.clone()), &fields), &records);
    let written =
        encoded(&mut encoder(TableFormat::Json(lenient), &fields, WriteMode::Append), &columns);
    let expected = [
        r#"{"id":1,"at":null,"n":[1,null,null,4]}"#,
        r#"{"id":3,"at":"1970-01-01 00:00:01Z","n":null}"#,
    ];
    assert_eq!((texts(&written.unwrap()), rejected), (expected.map(str::to_owned).to_vec(), 2));
}

#[test]
fn metadata_and_keys_stand_beside_the_value() {
    let key = KeyLayout {
        format: TableFormat::Json(JsonOptions::default()),
        fields: vec![required("id", DataType::Int64)],
    };
    let mut layout =
        whole(TableFormat::Json(JsonOptions::default()), &[field("v", DataType::Int32)]);
    layout.key = Some(key);
    let metadata = |name: &str, of: DataType, kind| LayoutColumn {
        field: field(name, of),
        origin: Origin::Metadata(kind),
    };
    layout.columns.extend([
        LayoutColumn { field: required("id", DataType::Int64), origin: Origin::Key(0) },
        metadata("o", DataType::Int64, Metadata::Offset),
        metadata("p", DataType::Int32, Metadata::Partition),
        metadata("at", ltz(), Metadata::Timestamp),
        metadata("k", DataType::Utf8, Metadata::Key),
        metadata("h", map(DataType::Binary), Metadata::Headers),
        metadata("t", DataType::Utf8, Metadata::Topic),
    ]);
    let mut decoder = TableDecoder::new(layout.clone()).unwrap();
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let record = |at, key: &str, text: &str| Rec {
        timestamp: at,
        headers: vec![header("a", "1"), header("b", "2"), header("a", "3")],
        ..keyed(key, Some(text))
    };
    let records = [
        record(5, r#"{"id":7}"#, r#"{"v":1}"#),
        record(6, "{}", r#"{"v":2}"#),
        record(-1, r#"{"id":8}"#, r#"{"v":3}"#),
    ];
    let (columns, rejected) = decoded(&mut decoder, &records);
    assert_eq!((columns.batch.num_rows(), rejected), (2, 1));
    let column = |name: &str| columns.batch.column_by_name(name).unwrap();
    assert_eq!(column("id").as_primitive::<Int64Type>().values(), &[7, 8]);
    assert_eq!(column("o").as_primitive::<Int64Type>().values(), &[0, 2]);
    assert_eq!(column("p").as_primitive::<Int32Type>().values(), &[3, 3]);
    let at = column("at").as_primitive::<TimestampMillisecondType>();
    assert_eq!(at.iter().collect::<Vec<_>>(), [Some(5), None]);
    assert_eq!(column("k").as_string::<i32>().value(1), r#"{"id":8}"#);
    assert_eq!(column("t").as_string::<i32>().value(0), "t");
    let headers = column("h").as_map().value(0);
    let names = headers.column(0).as_string::<i32>();
    assert_eq!(names.iter().flatten().collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(headers.column(1).as_binary::<i32>().value(1), b"3");

    layout.columns[2].field = field("o", DataType::Utf8);
    let error = TableDecoder::new(layout).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "column `o` is STRING, but the metadata `offset` is BIGINT");
    assert!(
        Metadata::named("ofset")
            .unwrap_err()
            .to_string()
            .contains("they have offset BIGINT, partition INT")
    );
}

#[test]
fn null_keys_of_maps_are_written_as_the_option_says() {
    use arrow_array::builder::{Int64Builder, MapBuilder, StringBuilder};
    let text = |mode: MapNullKey| {
        // Arrow's builder refuses null keys, so one is made of the parts.
        let mut builder = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
        builder.keys().append_value("a");
        builder.values().append_value(1);
        builder.append(true).unwrap();
        let map = builder.finish();
        let fields = [field("m", map.data_type().clone())];
        use arrow_array::Array;
        let batch = RecordBatch::try_new(
            Arc::new(arrow_schema::Schema::new(fields.to_vec())),
            vec![Arc::new(map)],
        );
        let options = JsonOptions { map_null_key: mode, ..JsonOptions::default() };
        let format = TableFormat::Json(options);
        encoded(&mut encoder(format, &fields, WriteMode::Append), &columns(batch.unwrap()))
    };
    assert_eq!(texts(&text(MapNullKey::Fail).unwrap()), [json!({"m": {"a": 1}}).to_string()]);
}

#[test]
fn fields_that_are_not_needed_are_null_and_not_looked_at() {
    let of = row(vec![
        field("a", DataType::Int64),
        field("b", list(DataType::Utf8)),
        required("c", DataType::Int64),
    ]);
    let fields = [field("r", of.clone()), field("s", of)];
    let needed = [(0, ["a".to_owned()].into())].into();
    let layout = || whole(TableFormat::Json(JsonOptions::default()), &fields);
    let mut decoder = TableDecoder::reading(layout(), needed).unwrap().clone();
    let records = [
        value(r#"{"r":{"a":1,"b":7,"c":2},"s":{"b":["x"],"c":3}}"#),
        value(r#"{"s":null,"r":null}"#),
        value(r#"{"r":{"a":1}}"#),
    ];
    let (columns, rejected) = decoded(&mut decoder, &records);
    let mut encoder =
        encoder(TableFormat::Json(JsonOptions::default()), &fields, WriteMode::Append);
    let expected = [
        r#"{"r":{"a":1,"b":null,"c":2},"s":{"a":null,"b":["x"],"c":3}}"#,
        r#"{"r":null,"s":null}"#,
    ];
    assert_eq!(texts(&encoded(&mut encoder, &columns).unwrap()), expected);
    assert_eq!(rejected, 1);
    assert!(reason(&mut TableDecoder::new(layout()).unwrap(), &records[0]).is_some());
}
