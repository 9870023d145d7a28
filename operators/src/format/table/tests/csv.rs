//! CSV, there and back.

use proptest::prelude::*;

use super::*;

fn fields() -> Vec<FieldRef> {
    vec![
        field("s", DataType::Utf8),
        field("n", DataType::Int32),
        field("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
        field("l", list(DataType::Int64)),
    ]
}

fn options() -> impl Strategy<Value = CsvOptions> {
    (prop_oneof![Just(b','), Just(b';'), Just(b'|'), Just(b'\t')], any::<bool>(), any::<bool>())
        .prop_map(|(field_delimiter, escape, quotes)| CsvOptions {
            field_delimiter,
            quote: quotes.then_some(b'"'),
            escape: (escape || !quotes).then_some(b'\\'),
            null_literal: Some("NULL".into()),
            array_element_delimiter: "~".into(),
            ..CsvOptions::default()
        })
}

proptest! {
    /// Text with whatever is special comes back, and so do nulls.
    #[test]
    fn lines_round_trip(options in options(), rows in proptest::collection::vec((proptest::option::of("[a\"\\\\,;|\t\n\r#NUL é]{0,8}|NULL"), proptest::option::of(any::<i32>()), proptest::option::of(proptest::collection::vec(-5i64..5, 1..4))), 0..8)) {
        use serde_json::json;
        let fields = fields();
        let objects: Vec<Rec> = rows.iter().map(|(s, n, l)| value(json!({"s": s, "n": n, "l": l, "at": n.map(|_| "2020-01-01 00:00:00.5")}).to_string())).collect();
        let (columns, _) = decoded(&mut decoder(TableFormat::Json(JsonOptions::default()), &fields), &objects);
        let format = TableFormat::Csv(options);
        let lines = encoded(&mut encoder(format.clone(), &fields, WriteMode::Append), &columns).unwrap();
        let (back, rejected) = decoded(&mut decoder(format, &fields), &lines);
        prop_assert_eq!((back.batch, rejected), (columns.batch, 0), "{:?}", texts(&lines));
    }

    #[test]
    fn no_bytes_make_it_panic(line in prop_oneof![any::<Vec<u8>>(), "[a,\"\\\\;#1\n]{0,12}".prop_map(String::into_bytes)], options in options(), lenient: bool) {
        let options = CsvOptions { ignore_parse_errors: lenient, allow_comments: true, ..options };
        let (columns, rejected) = decoded(&mut decoder(TableFormat::Csv(options), &fields()), &[value(&line)]);
        let comment = line.first() == Some(&b'#');
        prop_assert_eq!(columns.batch.num_rows() as u64 + rejected + u64::from(comment), 1);
    }
}

#[test]
fn lines_are_checked_to_their_ends() {
    let fields = [field("a", DataType::Utf8), field("b", DataType::Int64)];
    let mut decoder = decoder(TableFormat::Csv(CsvOptions::default()), &fields);
    for (line, part) in [
        ("x", "field `b`: expected 2 fields, found 1"),
        ("x,1,2", "expected 2 fields, found more: \"2\""),
        ("x,y", "field `b`: expected BIGINT, found \"y\""),
        ("\"x,1", "field `a`: expected a closing quote, found the line's end"),
        ("\"x\"y,1", "field `a`: expected `,` or the line's end behind the closing quote"),
        ("x\ny,1", "field `a`: expected one line"),
    ] {
        let reason = reason(&mut decoder, &value(line)).unwrap_or_default();
        assert!(reason.contains(part), "{line}: {reason}");
    }
    let lines = ["x,1\r\n", "\"a \"\"b\"\"\n,\", 2 ", ",", "\"\",\"\""];
    let records: Vec<Rec> = lines.iter().map(value).collect();
    let (columns, rejected) = decoded(&mut decoder, &records[..3]);
    let json = TableFormat::Json(JsonOptions::default());
    let written = encoded(&mut encoder(json, &fields, WriteMode::Append), &columns).unwrap();
    let expected = [r#"{"a":"x","b":1}"#, r#"{"a":"a \"b\"\n,","b":2}"#, r#"{"a":"","b":null}"#];
    assert_eq!((texts(&written), rejected), (expected.map(str::to_owned).to_vec(), 0));
    // A quoted nothing is no number.
    assert!(reason(&mut decoder, &records[3]).unwrap().contains("expected BIGINT"));
}
