use arrow_array::{RecordBatch, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use proptest::prelude::*;

use super::*;
use crate::operator::testing::*;

fn rows(times: &[i64], values: &[Option<i64>]) -> RecordBatch {
    let fields = vec![
        Field::new("v", DataType::Int64, true),
        Field::new("t", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ];
    let values: Vec<_> = (0..times.len()).map(|row| values[row % values.len()]).collect();
    let times = TimestampMillisecondArray::from(times.to_vec());
    RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![numbers(&values), Arc::new(times)])
        .unwrap()
}

fn in_order(emitted: &[Changes]) -> Vec<String> {
    emitted.iter().flat_map(|changes| texts(&changes.rows)).collect()
}

proptest! {
    /// What comes out is sorted as a whole, and is all that was not late.
    #[test]
    fn rows_come_out_by_event_time(
        times in proptest::collection::vec(0i64..60, 1..60),
        values in proptest::collection::vec(proptest::option::of(0i64..5), 1..9),
        batch in 1usize..12,
        stop in 0usize..8,
    ) {
        let rows = rows(&times, &values);
        let spec = SortSpec {
            rows: rows.schema(),
            order: vec![
                (1, SortOptions::default()),
                (0, SortOptions { descending: true, nulls_first: false }),
            ],
            until: SortUntil::Watermark { time: 1 },
        };
        let mut subtasks = Subtasks::new(move || Sort::new(spec.clone()).unwrap(), vec![], 1);
        let all: Stream = (0..times.len() as u32).map(|row| (row, 1)).collect();
        let (mut in_time, mut watermark) = (Stream::new(), i64::MIN);
        for (number, batch) in all.chunks(batch).enumerate() {
            if number == stop {
                subtasks.restart(1);
            }
            subtasks.process(pick(&rows, batch, number % 2 == 0));
            in_time.extend(batch.iter().filter(|(row, _)| times[*row as usize] > watermark));
            let seen = batch.iter().map(|(row, _)| times[*row as usize]).max().unwrap_or(0);
            watermark = watermark.max(seen - 10);
            subtasks.watermark(watermark);
        }
        subtasks.end();
        let late = OperatorMetrics::read(&subtasks.metrics.late_records);
        prop_assert_eq!(late as usize, times.len() - in_time.len());
        let emitted = in_order(&subtasks.emitted);
        let mut expected: Vec<_> = in_time
            .iter()
            .map(|(row, _)| (times[*row as usize], values[*row as usize % values.len()]))
            .map(|(time, value)| (time, value.is_none(), value.map(|v| -v), value))
            .collect();
        expected.sort();
        let sorted: Vec<_> = expected.iter().map(|(time, _, _, value)| {
            let value = value.map_or("NULL".to_owned(), |value| value.to_string());
            format!("{value}|1970-01-01T00:00:00.{:03}", time).replace(".000", "")
        }).collect();
        prop_assert_eq!(emitted, sorted);
    }
}

#[test]
fn at_the_end_only_what_is_left_comes_out() {
    let rows = rows(&[5, 3, 4, 1], &[Some(1), Some(2), Some(3), None]);
    let spec = SortSpec {
        rows: rows.schema(),
        order: vec![(0, SortOptions { descending: true, nulls_first: true })],
        until: SortUntil::End,
    };
    let mut subtasks = Subtasks::new(move || Sort::new(spec.clone()).unwrap(), vec![], 1);
    subtasks.process(pick(&rows, &[(1, -1), (0, 2)], true));
    subtasks.watermark(100);
    assert!(subtasks.emitted.is_empty());
    subtasks.restart(1);
    subtasks.process(pick(&rows, &[(1, 1), (2, 1), (3, 1)], true));
    subtasks.end();
    let time = |ms: &str| format!("1970-01-01T00:00:00.{ms}");
    let expected = [("NULL", "001"), ("3", "004"), ("1", "005"), ("1", "005")];
    let expected = expected.map(|(value, ms)| format!("{value}|{}", time(ms)));
    assert_eq!(in_order(&subtasks.emitted), expected);
}
