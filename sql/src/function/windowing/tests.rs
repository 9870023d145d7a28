use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs};
use proptest::prelude::*;

use super::*;

/// Calls a function on a column of timestamps with constants behind it.
fn invoke(function: &ScalarUDF, times: ArrayRef, constants: &[i64]) -> Result<ArrayRef> {
    let mut types = vec![times.data_type().clone()];
    types.extend(constants.iter().map(|_| DataType::Int64));
    let rows = times.len();
    let mut args = vec![ColumnarValue::Array(times)];
    args.extend(constants.iter().map(|value| ColumnarValue::Scalar(ScalarValue::from(*value))));
    let fields = types.iter().map(|it| Arc::new(Field::new("a", it.clone(), true))).collect();
    let coerced = function.coerce_types(&types)?;
    assert_eq!(coerced, types);
    let returns = function.return_type(&coerced)?;
    let result = function.invoke_with_args(ScalarFunctionArgs {
        args,
        arg_fields: fields,
        number_rows: rows,
        return_field: Arc::new(Field::new("r", returns, true)),
        config_options: Arc::new(ConfigOptions::new()),
    })?;
    result.to_array(rows)
}

fn column(times: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from(times))
}

fn pairs(windows: &ArrayRef, row: usize) -> Vec<(i64, i64)> {
    let windows = windows.as_list::<i32>().value(row);
    let fields = windows.as_struct();
    let starts = fields.column(0).as_primitive::<TimestampMillisecondType>();
    let ends = fields.column(1).as_primitive::<TimestampMillisecondType>();
    starts.values().iter().copied().zip(ends.values().iter().copied()).collect()
}

#[test]
fn tumbling_windows_of_nulls_zones_and_times_before_1970() {
    let times = vec![Some(12), None, Some(-1), Some(-10), Some(10)];
    let starts = vec![Some(10), None, Some(-10), Some(-10), Some(10)];
    let got = invoke(&tumble_start(), column(times.clone()), &[10, 0]).unwrap();
    assert_eq!(
        got.as_primitive::<TimestampMillisecondType>(),
        &TimestampMillisecondArray::from(starts.clone())
    );
    let zoned: ArrayRef = Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC"));
    let got = invoke(&tumble_start(), zoned, &[10, 0]).unwrap();
    assert_eq!(
        got.as_primitive::<TimestampMillisecondType>(),
        &TimestampMillisecondArray::from(starts)
    );
}

#[test]
fn hopping_windows() {
    let got = invoke(&hop_windows(), column(vec![Some(12), None, Some(-1)]), &[5, 10, 0]).unwrap();
    assert_eq!(pairs(&got, 0), [(5, 15), (10, 20)]);
    assert_eq!(pairs(&got, 1), []);
    assert_eq!(pairs(&got, 2), [(-10, 0), (-5, 5)]);
    let gaps = invoke(&hop_windows(), column(vec![Some(3), Some(7)]), &[10, 5, 0]).unwrap();
    assert_eq!((pairs(&gaps, 0), pairs(&gaps, 1)), (vec![(0, 5)], vec![]));
}

#[test]
fn cumulating_windows() {
    let got = invoke(&cumulate_windows(), column(vec![Some(4), Some(-1), Some(15)]), &[5, 20, 0])
        .unwrap();
    assert_eq!(pairs(&got, 0), [(0, 5), (0, 10), (0, 15), (0, 20)]);
    assert_eq!(pairs(&got, 1), [(-20, 0)]);
    assert_eq!(pairs(&got, 2), [(0, 20)]);
}

#[test]
fn impossible_windows_are_refused() {
    let error = invoke(&tumble_start(), column(vec![Some(1)]), &[0, 0]).unwrap_err().to_string();
    assert!(error.contains("TUMBLE_START: argument 2 (size) is 0 ms"), "{error}");
    let error = invoke(&cumulate_windows(), column(vec![Some(1)]), &[7, 20, 0]).unwrap_err();
    assert!(error.to_string().contains("not a multiple of step"), "{error}");
    let error = invoke(&hop_windows(), column(vec![Some(1)]), &[1, 1_000_000, 0]).unwrap_err();
    assert!(error.to_string().contains("makes 1000000 windows"), "{error}");
    let error = invoke(&tumble_start(), column(vec![Some(i64::MIN)]), &[10, 0]).unwrap_err();
    assert!(error.to_string().contains("cannot be told"), "{error}");
    let error = invoke(&hop_windows(), column(vec![Some(i64::MAX)]), &[5, 10, 0]).unwrap_err();
    assert!(error.to_string().contains("cannot be told"), "{error}");
}

proptest! {
    /// A window is in the list exactly if it holds the timestamp and is one of the definition.
    #[test]
    fn windows_are_those_that_hold_the_timestamp(
        ts in -200i64..200,
        step in 1i64..12,
        factor in 1i64..6,
        offset in -15i64..15,
    ) {
        let size = step * factor;
        let hop = invoke(&hop_windows(), column(vec![Some(ts)]), &[step, size, offset]).unwrap();
        let expected: Vec<(i64, i64)> = (-300..300)
            .filter(|start: &i64| (start - offset).rem_euclid(step) == 0)
            .map(|start| (start, start + size))
            .filter(|(start, end)| *start <= ts && ts < *end)
            .collect();
        prop_assert_eq!(pairs(&hop, 0), expected);
        let cumulate = invoke(&cumulate_windows(), column(vec![Some(ts)]), &[step, size, offset]).unwrap();
        let expected: Vec<(i64, i64)> = (-300..300)
            .filter(|start: &i64| (start - offset).rem_euclid(size) == 0)
            .flat_map(|start| (1..=factor).map(move |n| (start, start + n * step)))
            .filter(|(start, end)| *start <= ts && ts < *end)
            .collect();
        prop_assert_eq!(pairs(&cumulate, 0), expected);
    }
}
