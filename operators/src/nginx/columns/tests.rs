use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType, UInt16Type};

use super::*;
use crate::nginx::{Access, Reason};

const LINES: [&[u8]; 4] = [
    br#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a b HTTP/1.1" 200 203023 "http://x/" "curl""#,
    br#"::1 - joe [17/May/2015:12:05:03 +0200] "-" 400 -"#,
    b"a.example - - [17/May/2015:10:05:04 +0000] \"GET /\xe4\xf6 HTTP/1.1\" 404 18446744073709551615 \"-\" \"\"",
    b"a.example - - [17/May/2015:10:05:04 +0000] \"GET /\xc3\xa4 HTTP/1.1\" 404 0 \"-\" \"\\x22q\\x22\"",
];

fn batch(names: &[&str]) -> RecordBatch {
    let mut columns = NginxColumns::new(names).unwrap();
    for line in LINES {
        columns.push(line).unwrap();
    }
    columns.finish()
}

fn strings<'a>(batch: &'a RecordBatch, name: &str) -> Vec<Option<&'a str>> {
    batch.column_by_name(name).unwrap().as_string::<i32>().iter().collect()
}

#[test]
fn all_columns() {
    let batch = batch(&NginxColumns::NAMES);
    let names: Vec<&String> = batch.schema_ref().fields().iter().map(|f| f.name()).collect();
    assert_eq!(names, NginxColumns::NAMES);
    let ips = [Some("83.149.9.216"), Some("::1"), Some("a.example"), Some("a.example")];
    assert_eq!(strings(&batch, "ip"), ips);
    let times = batch.column_by_name("time").unwrap().as_primitive::<TimestampMillisecondType>();
    let first = 1_431_857_103_000;
    assert_eq!(times.values()[..], [first, first, first + 1000, first + 1000]);
    assert_eq!(times.timezone(), Some("UTC"));
    let statuses = batch.column_by_name("status").unwrap().as_primitive::<UInt16Type>();
    assert_eq!(statuses.values()[..], [200, 400, 404, 404]);
    let bytes = batch.column_by_name("bytes").unwrap().as_primitive::<Int64Type>();
    assert_eq!(bytes.iter().collect::<Vec<_>>(), [Some(203_023), None, None, Some(0)]);
    assert_eq!(strings(&batch, "user"), [None, Some("joe"), None, None]);
    assert_eq!(strings(&batch, "method"), [Some("GET"), None, Some("GET"), Some("GET")]);
    assert_eq!(strings(&batch, "path"), [Some("/a b"), Some("-"), Some("/\\xE4\\xF6"), Some("/ä")]);
    assert_eq!(
        strings(&batch, "protocol"),
        [Some("HTTP/1.1"), None, Some("HTTP/1.1"), Some("HTTP/1.1")]
    );
    assert_eq!(strings(&batch, "request")[1], Some("-"));
    assert_eq!(strings(&batch, "referer"), [Some("http://x/"), None, None, None]);
    assert_eq!(strings(&batch, "user_agent"), [Some("curl"), None, None, Some("\\x22q\\x22")]);
}

#[test]
fn columns_hold_what_rows_hold() {
    let batch = batch(&NginxColumns::NAMES);
    for (row, line) in LINES.iter().enumerate() {
        let access = Access::parse(line).unwrap();
        assert_eq!(strings(&batch, "ip")[row], Some(&access.ip[..]));
        assert_eq!(strings(&batch, "user")[row], access.user.as_deref());
        assert_eq!(strings(&batch, "path")[row], Some(&access.path[..]));
        assert_eq!(strings(&batch, "method")[row].unwrap_or(""), access.method);
        assert_eq!(strings(&batch, "referer")[row], access.referer.as_deref());
        assert_eq!(strings(&batch, "user_agent")[row], access.user_agent.as_deref());
    }
}

#[test]
fn columns_come_in_the_order_asked_for_and_builders_start_anew() {
    let mut columns = NginxColumns::new(&["time", "ip"]).unwrap();
    for line in &LINES[..3] {
        assert!(columns.is_empty());
        columns.push(line).unwrap();
        let reason = columns.push(&LINES[0][..60]).unwrap_err().reason;
        assert_eq!(reason, Reason::RequestQuote);
        columns.push(LINES[3]).unwrap();
        assert_eq!(columns.len(), 2);
        let batch = columns.finish();
        assert_eq!(batch.schema(), *columns.schema());
        assert_eq!(batch.num_rows(), 2);
        assert_eq!(batch.schema_ref().field(0).name(), "time");
        let ip = Access::parse(line).unwrap().ip;
        assert_eq!(strings(&batch, "ip"), [Some(&ip[..]), Some("a.example")]);
    }
    assert_eq!(columns.finish().num_rows(), 0);
}

#[test]
fn no_columns_still_count_rows() {
    assert_eq!(batch(&[]).num_rows(), LINES.len());
}

#[test]
fn unknown_column() {
    let error = NginxColumns::new(&["ip", "size"]).unwrap_err().to_string();
    assert_eq!(
        error,
        "an access log has no column \"size\"; it has ip, time, status, bytes, user, request, method, path, \
         protocol, referer, user_agent"
    );
}

#[test]
fn missing_values_after_many_present_ones() {
    let mut columns = NginxColumns::new(&["bytes"]).unwrap();
    for row in 0..3000 {
        columns.push(LINES[usize::from(row >= 2000 && row % 2 == 0)]).unwrap();
    }
    let batch = columns.finish();
    assert_eq!(batch.column(0).null_count(), 500);
    assert!((0..3000).all(|row| batch.column(0).is_null(row) == (row >= 2000 && row % 2 == 0)));
}
