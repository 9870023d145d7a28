//! Changes in Debezium's words.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use proptest::prelude::*;

use super::*;

fn debezium() -> TableFormat {
    TableFormat::DebeziumJson(DebeziumOptions::default())
}

fn rows(columns: &Columns) -> Vec<(i64, i64)> {
    let column = |at: usize| columns.batch.column(at).as_primitive::<Int64Type>().values().to_vec();
    column(0).into_iter().zip(column(1)).collect()
}

proptest! {
    /// The rows that are left are those of a table to which the same changes were made, also after they were written and read again.
    #[test]
    fn changes_add_up_to_the_table(changes in proptest::collection::vec((0i64..5, 0i64..4, 0u8..3), 0..30)) {
        let fields = [field("id", DataType::Int64), field("v", DataType::Int64)];
        let mut table: BTreeMap<i64, i64> = BTreeMap::new();
        let mut records = Vec::new();
        let image = |id: i64, v: i64| format!(r#"{{"id":{id},"v":{v}}}"#);
        for (id, v, kind) in changes {
            let text = match (kind, table.get(&id).copied()) {
                (0, Some(old)) => {
                    table.remove(&id);
                    format!(r#"{{"op":"d","after":null,"before":{}}}"#, image(id, old))
                }
                (_, Some(old)) => {
                    table.insert(id, v);
                    format!(r#"{{"before":{},"after":{},"op":"u","ts_ms":1}}"#, image(id, old), image(id, v))
                }
                (_, None) => {
                    table.insert(id, v);
                    format!(r#"{{"before":null,"after":{},"source":{{"db":"x"}},"op":"c"}}"#, image(id, v))
                }
            };
            records.push(value(text));
            records.push(Rec { key: Some(b"{}".to_vec()), ..Rec::default() });
        }
        let mut decoder = decoder(debezium(), &fields);
        let (columns, rejected) = decoded(&mut decoder, &records);
        prop_assert_eq!((columns.weight_column, rejected), (Some(2), 0));
        let sum = |columns: &Columns| {
            let mut sum: BTreeMap<(i64, i64), i64> = BTreeMap::new();
            let weights = columns.batch.column(2).as_primitive::<Int64Type>().clone();
            for (row, weight) in rows(columns).into_iter().zip(weights.values()) {
                *sum.entry(row).or_default() += weight;
            }
            sum.retain(|_, weight| *weight != 0);
            sum
        };
        let expected: BTreeMap<(i64, i64), i64> = table.into_iter().map(|row| (row, 1)).collect();
        prop_assert_eq!(&sum(&columns), &expected);
        let written = encoded(&mut encoder(debezium(), &fields, WriteMode::Changelog), &columns).unwrap();
        let (again, rejected) = decoded(&mut decoder, &written);
        prop_assert_eq!((sum(&again), rejected), (expected, 0));
    }
}

#[test]
fn an_update_with_one_broken_row_adds_neither() {
    let fields = [field("id", DataType::Int64)];
    let mut decoder = decoder(debezium(), &fields);
    let text = r#"{"before":{"id":1},"after":{"id":"x"},"op":"u"}"#;
    let (columns, rejected) = decoded(&mut decoder, &[value(text)]);
    assert_eq!((columns.batch.num_rows(), rejected), (0, 1));
    let reason = reason(&mut decoder, &value(text)).unwrap();
    assert_eq!(reason, r#"field `after.id`: expected BIGINT, found "x""#);
}
