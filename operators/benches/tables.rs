//! Records per second between bytes and columns, with serde's typed reading of the same records beside it.
//!
//! `cargo bench -p riverrun-operators --bench tables`. Numbers are printed, nothing is asserted.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use bytes::Bytes;
use riverrun_dataflow::{Result, Timestamp};
use riverrun_log_store::{Batch, BatchBuilder, Compression, Decompressor, Records};
use riverrun_operators::format::table::*;
use riverrun_operators::format::{
    BatchRecords, ColumnDecoder, ColumnEncoder, OnError, RecordOut, Rejects,
};

const RECORDS: usize = 4096;
const ROUNDS: usize = 500;

fn main() {
    let (events, bytes) = records(event);
    println!("Nexmark-like events, {bytes} bytes each");
    measure("  serde_json, 3 of 10 fields", || {
        let mut sum = 0;
        events
            .for_each_value(|value| {
                let event: Event =
                    serde_json::from_slice(value.unwrap_or_default()).expect("an event");
                sum += event.bid.price + event.event_type + event.bid.auction;
            })
            .expect("sound records");
        black_box(sum);
    });
    let json = || TableFormat::Json(JsonOptions::default());
    decode("  json, 3 of 10 fields", &events, layout(json(), fields(), &[0, 3]));
    decode("  json, all fields", &events, layout(json(), all_fields(), &[0, 1, 2, 3]));
    encode("  to json, all fields", &events, layout(json(), all_fields(), &[0, 1, 2, 3]));

    let (lines, bytes) = records(line);
    println!("CSV of 8 fields, {bytes} bytes each");
    let csv = TableFormat::Csv(CsvOptions::default());
    decode("  csv, 3 fields", &lines, layout(csv.clone(), columns(), &[0, 3, 6]));
    decode("  csv, all fields", &lines, layout(csv, columns(), &[0, 1, 2, 3, 4, 5, 6, 7]));

    let (lines, bytes) = records(access);
    println!("access log, {bytes} bytes each");
    let ltz = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let parts =
        vec![field("ip", DataType::Utf8), field("time", ltz), field("status", DataType::Int32)];
    decode("  nginx, ip and time", &lines, layout(TableFormat::Nginx, parts.clone(), &[0, 1]));
    decode("  nginx, ip, time and status", &lines, layout(TableFormat::Nginx, parts, &[0, 1, 2]));
}

#[derive(serde::Deserialize)]
struct Event {
    event_type: i64,
    bid: Bid,
}

#[derive(serde::Deserialize)]
struct Bid {
    auction: i64,
    price: i64,
}

fn event(n: usize) -> String {
    format!(
        r#"{{"event_type":2,"person":null,"auction":null,"bid":{{"auction":{},"bidder":{},"price":{},"channel":"channel-{}","url":"https://www.nexmark.com/{}/item.htm?query=1","dateTime":"2024-01-01 00:00:{:02}.{:03}","extra":"{:040}"}}}}"#,
        1000 + n % 97,
        2000 + n % 89,
        100 + n * 7919 % 10_000,
        n % 10_000,
        n % 977,
        n / 1000 % 60,
        n % 1000,
        n
    )
}

fn line(n: usize) -> String {
    format!(
        "{n},channel-{},2024-01-01 00:00:{:02}.{:03},{}.25,true,\"a \"\"quoted\"\" text, with more\",{},plain",
        n % 97,
        n / 1000 % 60,
        n % 1000,
        n * 31 % 9973,
        n % 7
    )
}

fn access(n: usize) -> String {
    format!(
        r#"10.{}.{}.7 - - [17/May/2015:10:{:02}:{:02} +0000] "GET /path/{} HTTP/1.1" 200 {} "http://a.example/" "Mozilla/5.0 (X11; Linux x86_64)""#,
        n % 251,
        n % 13,
        n / 60 % 60,
        n % 60,
        n % 977,
        n
    )
}

fn field(name: &str, data_type: DataType) -> FieldRef {
    Arc::new(Field::new(name, data_type, true))
}

fn bid(fields: &[(&str, DataType)]) -> DataType {
    DataType::Struct(fields.iter().map(|(name, of)| field(name, of.clone())).collect())
}

fn fields() -> Vec<FieldRef> {
    let some = bid(&[("auction", DataType::Int64), ("price", DataType::Int64)]);
    vec![
        field("event_type", DataType::Int32),
        field("person", DataType::Utf8),
        field("auction", DataType::Utf8),
        field("bid", some),
    ]
}

fn all_fields() -> Vec<FieldRef> {
    let all = bid(&[
        ("auction", DataType::Int64),
        ("bidder", DataType::Int64),
        ("price", DataType::Int64),
        ("channel", DataType::Utf8),
        ("url", DataType::Utf8),
        ("dateTime", DataType::Timestamp(TimeUnit::Millisecond, None)),
        ("extra", DataType::Utf8),
    ]);
    let mut fields = fields();
    fields[3] = field("bid", all);
    fields
}

fn columns() -> Vec<FieldRef> {
    vec![
        field("n", DataType::Int64),
        field("channel", DataType::Utf8),
        field("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
        field("price", DataType::Decimal128(10, 2)),
        field("flag", DataType::Boolean),
        field("text", DataType::Utf8),
        field("day", DataType::Int32),
        field("rest", DataType::Utf8),
    ]
}

fn layout(format: TableFormat, fields: Vec<FieldRef>, wanted: &[usize]) -> TableLayout {
    let column =
        |at: &usize| LayoutColumn { field: fields[*at].clone(), origin: Origin::Value(*at) };
    let columns = wanted.iter().map(column).collect();
    TableLayout { format, fields: fields.clone(), key: None, columns, upsert: false }
}

/// A batch of records, and how long one is on average.
fn records(text: impl Fn(usize) -> String) -> (Records, usize) {
    let mut builder = BatchBuilder::new(Compression::None).expect("a codec that is there");
    let mut bytes = 0;
    for n in 0..RECORDS {
        let text = text(n);
        bytes += text.len();
        builder.append(n as i64, None, Some(text.as_bytes()), &[]).expect("room");
    }
    let batch = Batch::parse(Bytes::from(builder.finish().expect("a batch"))).expect("a batch");
    (batch.records(&mut Decompressor::new()).expect("its records"), bytes / RECORDS)
}

fn measure(name: &str, mut round: impl FnMut()) {
    for _ in 0..ROUNDS / 10 {
        round();
    }
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    let began = Instant::now();
    for _ in 0..ROUNDS {
        round();
    }
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
    let seconds = began.elapsed().as_secs_f64();
    println!("{name:<32}{:>6.2} M records/s", (RECORDS * ROUNDS) as f64 / seconds / 1e6);
}

fn decode(name: &str, records: &Records, layout: TableLayout) {
    let mut decoder = TableDecoder::new(layout).expect("a layout that fits");
    let mut rejects = Rejects::new(OnError::Fail, "t-0", None);
    measure(name, || {
        decoder.decode(&BatchRecords::new(records, 0, "t-0"), &mut rejects).expect("good records");
        black_box(decoder.finish());
    });
}

struct Counted(usize);

impl RecordOut for Counted {
    fn push(&mut self, _: Timestamp, _: Option<&[u8]>, value: Option<&[u8]>) -> Result<()> {
        self.0 += value.unwrap_or_default().len();
        Ok(())
    }
}

fn encode(name: &str, records: &Records, layout: TableLayout) {
    let value = layout.columns.iter().map(|column| column.field.clone()).enumerate().collect();
    let mut encoder = TableEncoder::new(EncoderLayout {
        format: layout.format.clone(),
        value,
        key: None,
        metadata: Vec::new(),
        mode: WriteMode::Append,
    })
    .expect("columns that can be written");
    let mut decoder = TableDecoder::new(layout).expect("a layout that fits");
    let mut rejects = Rejects::new(OnError::Fail, "t-0", None);
    decoder.decode(&BatchRecords::new(records, 0, "t-0"), &mut rejects).expect("good records");
    let columns = decoder.finish();
    let mut out = Counted(0);
    measure(name, || encoder.encode(&columns, &mut out).expect("rows that can be written"));
    black_box(out.0);
}
