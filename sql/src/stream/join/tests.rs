use arrow_schema::{DataType, Field, Schema, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, cast};
use datafusion::prelude::{col, lit};

use super::bounds::{Bounds, interval_of};

fn both() -> DFSchema {
    let time =
        |name: &str| Field::new(name, DataType::Timestamp(TimeUnit::Millisecond, None), true);
    let int = Field::new("a", DataType::Int64, true);
    let fields = vec![int, time("t"), time("u"), time("r"), time("s")];
    DFSchema::try_from(Schema::new(fields)).unwrap()
}

/// The left columns are a, t, u; the right ones r, s. Times are t, u and r (0 of the right side).
fn bounds(filter: Expr) -> Option<(usize, usize, i64, i64)> {
    let found = interval_of(Some(&filter), std::iter::empty(), &both(), 3, [&[1, 2], &[0]]);
    found.map(|Bounds { columns, lower, upper }| (columns[0], columns[1], lower, upper))
}

fn seconds(seconds: i64) -> Expr {
    lit(ScalarValue::new_interval_mdn(0, 0, seconds * 1_000_000_000))
}

#[test]
fn bounds_are_read_from_comparisons_of_times() {
    let between = col("t").between(col("r") - seconds(10), col("r") + seconds(5));
    assert_eq!(bounds(between), Some((1, 0, -5000, 10_000)));
    let compared = col("r").gt(col("t")).and((col("t") + seconds(60)).gt_eq(col("r")));
    assert_eq!(bounds(compared), Some((1, 0, 1, 60_000)));
    let difference = (col("r") - col("u")).lt_eq(seconds(3)).and(col("u").lt_eq(col("r")));
    assert_eq!(bounds(difference), Some((2, 0, 0, 3000)));
    assert_eq!(bounds(col("t").eq(col("r") + seconds(1))), Some((1, 0, -1000, -1000)));
    let nanos = |expr| cast(expr, DataType::Timestamp(TimeUnit::Nanosecond, None));
    let cast = nanos(col("r")).between(nanos(col("t")), nanos(col("t")) + seconds(1));
    assert_eq!(bounds(cast.and(col("a").gt(lit(3)))), Some((1, 0, 0, 1000)));
}

#[test]
fn what_is_open_on_one_side_or_no_event_time_is_no_interval() {
    assert_eq!(bounds(col("t").gt(col("r"))), None);
    assert_eq!(bounds(col("t").between(col("s"), col("s") + seconds(1))), None, "no event time");
    assert_eq!(bounds(col("t").between(col("u"), col("u") + seconds(1))), None, "one side only");
    let month = lit(ScalarValue::new_interval_ym(0, 1));
    assert_eq!(bounds(col("t").between(col("r"), col("r") + month)), None, "of no fixed length");
    assert_eq!(bounds(col("t").gt(col("r")).or(col("t").lt(col("r")))), None);
    let empty = col("r").between(col("t") + seconds(2), col("t") + seconds(1));
    assert_eq!(bounds(empty), None);
}

#[test]
fn equal_times_are_an_interval_of_nothing() {
    let found = interval_of(None, [(1, 0)].into_iter(), &both(), 3, [&[1], &[0]]);
    assert_eq!(found, Some(Bounds { columns: [1, 0], lower: 0, upper: 0 }));
}

mod queries;
