//! Access logs as tables.

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, TimestampMillisecondType};

use super::*;
use crate::nginx::NginxColumns;

const LINE: &str =
    r#"10.0.0.7 - joe [17/May/2015:10:05:03 +0000] "GET /a?b HTTP/1.1" 200 17 "-" "curl""#;

#[test]
fn any_columns_in_any_order_are_those_of_the_columnar_parser() {
    let names = [
        "user_agent",
        "status",
        "time",
        "path",
        "ip",
        "user",
        "referer",
        "method",
        "protocol",
        "request",
    ];
    let of = |name: &str| match name {
        "status" => DataType::Int32,
        "time" => ltz(),
        _ => DataType::Utf8,
    };
    let fields: Vec<FieldRef> = names.iter().map(|name| field(name, of(name))).collect();
    let lines = [LINE, "broken", r#"::1 - - [17/May/2015:10:05:09 +0000] "x" 404 -"#];
    let records: Vec<Rec> = lines.iter().map(value).collect();
    let (columns, rejected) = decoded(&mut decoder(TableFormat::Nginx, &fields), &records);
    assert_eq!((columns.batch.num_rows(), rejected), (2, 1));
    let mut model = NginxColumns::new(&names).unwrap();
    let good: Vec<bool> = lines.iter().map(|line| model.push(line.as_bytes()).is_ok()).collect();
    assert_eq!(good, [true, false, true]);
    let model = model.finish();
    for name in names {
        let (ours, theirs) =
            (columns.batch.column_by_name(name).unwrap(), model.column_by_name(name).unwrap());
        match name {
            "status" => assert_eq!(ours.as_primitive::<Int32Type>().values(), &[200, 404]),
            "time" => assert_eq!(
                ours.as_primitive::<TimestampMillisecondType>(),
                theirs.as_primitive::<TimestampMillisecondType>()
            ),
            _ => assert_eq!(ours.as_string::<i32>(), theirs.as_string::<i32>(), "{name}"),
        }
    }
    assert!(columns.batch.column(0).is_null(1));
}

#[test]
fn columns_that_a_line_does_not_have_are_refused_with_those_it_has() {
    let refused = |name: &str, of: DataType| {
        let error = TableDecoder::new(whole(TableFormat::Nginx, &[field(name, of)]));
        error.map(|_| ()).unwrap_err().to_string()
    };
    let error = refused("agent", DataType::Utf8);
    assert!(
        error.starts_with("an access log has no column `agent`; it has ip STRING, ident STRING"),
        "{error}"
    );
    let error = refused("status", DataType::Utf8);
    assert!(error.starts_with("column `status` of an access log is INT, not STRING"), "{error}");
}
