//! Rows for tests of whole queries.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use proptest::prelude::*;

use crate::Changes;
use crate::catalog::{MemoryTable, WatermarkDefinition};

/// Key, time in seconds, name, number.
pub(crate) type Row = (Option<i64>, i64, Option<String>, i64);

/// The rows with the columns k, ts, s and n.
pub(crate) fn rows(rows: &[Row]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("s", DataType::Utf8, true),
        Field::new("n", DataType::Int64, true),
    ]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0))),
        Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.1 * 1000))),
        Arc::new(StringArray::from_iter(rows.iter().map(|row| row.2.clone()))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.3))),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

/// A table with its rows in batches; `lag`: with event time, rows as much out of order (in seconds).
pub(crate) fn table(of: &[(Row, i64)], lag: Option<i64>) -> Arc<MemoryTable> {
    let mut of = of.to_vec();
    if let Some(lag) = lag {
        of.sort_by_key(|(row, _)| row.1 / lag.max(1));
    }
    let plain = of.iter().all(|(_, weight)| *weight == 1);
    let batches = of.chunks(3).map(|chunk| {
        let (chunk, weights): (Vec<Row>, Vec<i64>) = chunk.iter().cloned().unzip();
        match plain {
            true => Changes::inserts(rows(&chunk)),
            false => Changes::weighted(rows(&chunk), Int64Array::from(weights)),
        }
    });
    Arc::new(MemoryTable {
        schema: rows(&[]).schema(),
        batches: batches.collect(),
        watermark: lag.map(|lag| WatermarkDefinition {
            column: "ts".to_owned(),
            expression: format!("ts - INTERVAL '{}' SECOND", lag + 1),
        }),
    })
}

/// A row with one of `keys` keys, or none.
fn row(keys: i64) -> impl Strategy<Value = Row> {
    (
        prop_oneof![1 => Just(None), 7 => (0..keys).prop_map(Some)],
        0i64..40,
        prop_oneof![1 => Just(None), 3 => "[ab]{1}".prop_map(Some)],
        0i64..5,
    )
}

/// Fewer than `most` rows that stay, and a few that come and go, in any order.
pub(crate) fn history(keys: i64, most: usize) -> impl Strategy<Value = Vec<(Row, i64)>> {
    let kept = proptest::collection::vec(row(keys), 0..most);
    let passing = proptest::collection::vec(row(keys), 0..5);
    (kept, passing)
        .prop_map(|(kept, passing)| {
            let kept = kept.into_iter().map(|row| (row, 1));
            let passing = passing.into_iter().flat_map(|row| [(row.clone(), 1), (row, -1)]);
            kept.chain(passing).collect::<Vec<_>>()
        })
        .prop_shuffle()
}

/// Fewer than `most` rows that stay.
pub(crate) fn insertions(keys: i64, most: usize) -> impl Strategy<Value = Vec<(Row, i64)>> {
    proptest::collection::vec(row(keys).prop_map(|row| (row, 1)), 0..most)
}
