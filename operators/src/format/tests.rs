//! Formats against real log batches.

use std::sync::Arc;

use bytes::Bytes;
use riverrun_dataflow::{NO_TIMESTAMP, OperatorMetrics};
use riverrun_log_store::{Batch, BatchBuilder, Compression, Decompressor, Records};
use serde::{Deserialize, Serialize};

use super::*;

fn records(values: &[(i64, Option<&[u8]>)]) -> Records {
    let mut builder = BatchBuilder::new(Compression::Lz4).unwrap();
    for (timestamp, value) in values {
        builder.append(*timestamp, Some(b"key"), *value, &[]).unwrap();
    }
    let batch = Batch::parse(Bytes::from(builder.finish().unwrap())).unwrap();
    batch.records(&mut Decompressor::new()).unwrap()
}

fn decode<D: RowDecoder>(
    decoder: &mut D,
    records: &Records,
    from: i64,
    rejects: &mut Rejects,
) -> Result<Vec<(D::Row, Timestamp)>> {
    let mut rows = Rows::default();
    decoder.decode(&BatchRecords::new(records, from, "t-0"), rejects, &mut rows)?;
    Ok(rows.values.into_iter().zip(rows.timestamps).collect())
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    id: u32,
}

#[test]
fn lines_are_slices_and_begin_at_the_position() {
    let records = records(&[(5, Some(b"a")), (-1, Some(b"\xff")), (7, Some(b"c"))]);
    let mut rejects = Rejects::new(OnError::Fail, "t-0", None);
    let lines = decode(&mut Lines, &records, 1, &mut rejects).unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!((lines[0].0.as_bytes(), lines[0].1), (&b"\xff"[..], NO_TIMESTAMP));
    let within = records.payload().as_ptr_range();
    assert!(within.contains(&lines[1].0.as_bytes().as_ptr()), "a line was copied");
}

#[test]
fn broken_records_fail_with_their_place_or_are_counted() {
    let records = records(&[(1, Some(br#"{"id":1}"#)), (2, Some(b"{")), (3, None)]);
    let mut fail = Rejects::new(OnError::Fail, "orders-3", None);
    let error = decode(&mut Json::<Order>::new(), &records, 0, &mut fail).unwrap_err().to_string();
    assert!(error.starts_with("orders-3@1: no Order: EOF"), "{error}");

    let metrics = Arc::new(OperatorMetrics::default());
    let mut skip = Rejects::new(OnError::Skip, "orders-3", Some(metrics.clone()));
    let rows = decode(&mut Json::<Order>::new(), &records, 0, &mut skip).unwrap();
    assert_eq!(rows, [(Order { id: 1 }, 1)]);
    assert_eq!((skip.rejected(), OperatorMetrics::read(&metrics.rejected_records)), (2, 2));
}

#[test]
fn nginx_rows_and_columns_agree() {
    let line = |ip: &str, second: u32| {
        format!("{ip} - - [17/May/2015:10:05:{second:02} +0000] \"GET / HTTP/1.1\" 200 17")
    };
    let (a, b) = (line("10.0.0.7", 3), line("::1", 9));
    let records =
        records(&[(0, Some(a.as_bytes())), (0, Some(b"broken")), (0, Some(b.as_bytes()))]);
    let mut rejects = Rejects::new(OnError::Skip, "nginx-0", None);
    let hits = decode(&mut Nginx::hits(), &records, 0, &mut rejects).unwrap();
    let all = decode(&mut Nginx::accesses(), &records, 0, &mut rejects).unwrap();
    let mut fields = NginxFields::new(&["time", "ip"]).unwrap();
    fields.decode(&BatchRecords::new(&records, 0, "nginx-0"), &mut rejects).unwrap();
    assert_eq!((fields.len(), rejects.rejected()), (2, 3));
    let columns = fields.clone().finish();
    assert_eq!((columns.batch.num_rows(), columns.time_column), (0, Some(0)));
    let columns = fields.finish();
    let ips = columns.batch.column(1).as_any().downcast_ref::<arrow_array::StringArray>().unwrap();
    for (i, ((hit, time), (access, access_time))) in hits.iter().zip(&all).enumerate() {
        assert_eq!((hit.ip.as_str(), *time), (access.ip.as_str(), hit.time_ms));
        assert_eq!((ips.value(i), access_time), (hit.ip.as_str(), time));
    }
    assert!(NginxFields::new(&["ip", "agent"]).is_err());
}

type Encoded = (Timestamp, Option<Vec<u8>>, Option<Vec<u8>>);

#[derive(Default)]
struct Collected(Vec<Encoded>);

impl RecordOut for Collected {
    fn push(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
    ) -> Result<()> {
        self.0.push((timestamp, key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec)));
        Ok(())
    }
}

#[test]
fn json_is_keyed_by_a_function() {
    let mut rows = Rows::default();
    rows.push(Order { id: 7 }, 42);
    let mut out = Collected::default();
    ToJson::new().encode(&rows, &mut out).unwrap();
    ToJson::keyed_with(|order: &Order, key| key.extend_from_slice(&order.id.to_be_bytes()))
        .encode(&rows, &mut out)
        .unwrap();
    let value = Some(br#"{"id":7}"#.to_vec());
    assert_eq!(out.0, [(42, None, value.clone()), (42, Some(vec![0, 0, 0, 7]), value)]);
}
