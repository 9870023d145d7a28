use std::collections::BTreeMap;

use datafusion::logical_expr::{cast, col, lit};
use proptest::prelude::*;

use super::*;
use crate::catalog::Column;

const UTC: &str = "UTC";

fn zoned(unit: TimeUnit) -> DataType {
    DataType::Timestamp(unit, Some(UTC.into()))
}

/// A table with what is known of records, the timestamp as each type that can hold it.
fn table() -> Table {
    let metadata = |name: &str, key: &str, data_type: DataType| Column {
        name: name.to_owned(),
        data_type,
        nullable: true,
        kind: ColumnKind::Metadata { key: key.to_owned(), is_virtual: true },
    };
    Table {
        name: "t".to_owned(),
        columns: vec![
            metadata("p", "partition", DataType::Int32),
            metadata("o", "offset", DataType::Int64),
            metadata("ms", "timestamp", zoned(TimeUnit::Millisecond)),
            metadata("us", "timestamp", DataType::Timestamp(TimeUnit::Microsecond, None)),
            metadata("s", "timestamp", zoned(TimeUnit::Second)),
            metadata("long", "timestamp", DataType::Int64),
            Column {
                name: "x".to_owned(),
                data_type: DataType::Int64,
                nullable: true,
                kind: ColumnKind::Physical,
            },
        ],
        watermark: None,
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        options: BTreeMap::new(),
    }
}

#[derive(Debug, Clone, Copy)]
struct Record {
    partition: i64,
    offset: i64,
    timestamp: i64,
    x: i64,
}

/// A condition as it is planned, and as it is.
#[derive(Debug, Clone)]
enum Condition {
    Compare { column: &'static str, op: Operator, value: i64, flipped: bool, cast: bool },
    In { column: &'static str, values: Vec<i64> },
    Between { column: &'static str, low: i64, high: i64 },
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
}

fn literal(column: &str, value: i64, cast: bool) -> Expr {
    let utc = Some(UTC.into());
    lit(match column {
        "p" if !cast => ScalarValue::Int32(Some(value as i32)),
        "ms" if cast => ScalarValue::TimestampNanosecond(Some(value * 1_000_000 + 1), utc),
        "ms" => ScalarValue::TimestampMillisecond(Some(value), utc),
        "us" => ScalarValue::TimestampMicrosecond(Some(value * 1_000 + 7), None),
        "s" => ScalarValue::TimestampSecond(Some(value / 1_000), utc),
        _ => ScalarValue::Int64(Some(value)),
    })
}

/// What a column and a value are compared as.
fn sides(column: &str, record: Record, value: i64, cast: bool) -> (i64, i64) {
    match column {
        "p" => (record.partition, value),
        "o" => (record.offset, value),
        "ms" if cast => (record.timestamp * 1_000_000, value * 1_000_000 + 1),
        "us" => (record.timestamp * 1_000, value * 1_000 + 7),
        "s" => (record.timestamp / 1_000, value / 1_000),
        "x" => (record.x, value),
        _ => (record.timestamp, value),
    }
}

fn holds(op: Operator, left: i64, right: i64) -> bool {
    match op {
        Operator::Eq => left == right,
        Operator::NotEq => left != right,
        Operator::Lt => left < right,
        Operator::LtEq => left <= right,
        Operator::Gt => left > right,
        _ => left >= right,
    }
}

impl Condition {
    fn expr(&self) -> Expr {
        match self {
            Self::Compare { column, op, value, flipped, cast } => {
                let value = literal(column, *value, *cast);
                let mut of = col(*column);
                if *cast {
                    let to = match *column {
                        "ms" => zoned(TimeUnit::Nanosecond),
                        "us" => DataType::Timestamp(TimeUnit::Microsecond, None),
                        "s" => zoned(TimeUnit::Second),
                        _ => DataType::Int64,
                    };
                    of = datafusion::logical_expr::cast(of, to);
                }
                let (left, op, right) = match flipped {
                    true => (value, op.swap().expect("a comparison"), of),
                    false => (of, *op, value),
                };
                Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
            }
            Self::In { column, values } => {
                let values = values.iter().map(|value| literal(column, *value, false)).collect();
                col(*column).in_list(values, false)
            }
            Self::Between { column, low, high } => {
                col(*column).between(literal(column, *low, false), literal(column, *high, false))
            }
            Self::And(one, other) => one.expr().and(other.expr()),
            Self::Or(one, other) => one.expr().or(other.expr()),
            Self::Not(one) => !one.expr(),
        }
    }

    fn is_true(&self, record: Record) -> bool {
        let compared = |column, op, value, cast| {
            let (left, right) = sides(column, record, value, cast);
            holds(op, left, right)
        };
        match self {
            Self::Compare { column, op, value, cast, .. } => compared(column, *op, *value, *cast),
            Self::In { column, values } => {
                values.iter().any(|value| compared(column, Operator::Eq, *value, false))
            }
            Self::Between { column, low, high } => {
                compared(column, Operator::GtEq, *low, false)
                    && compared(column, Operator::LtEq, *high, false)
            }
            Self::And(one, other) => one.is_true(record) && other.is_true(record),
            Self::Or(one, other) => one.is_true(record) || other.is_true(record),
            Self::Not(one) => !one.is_true(record),
        }
    }
}

fn column() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["p", "o", "ms", "us", "s", "long", "x"])
}

fn value() -> impl Strategy<Value = i64> {
    prop_oneof![-3i64..6, -3_000i64..3_000]
}

fn condition() -> impl Strategy<Value = Condition> {
    let op = prop::sample::select(vec![
        Operator::Eq,
        Operator::NotEq,
        Operator::Lt,
        Operator::LtEq,
        Operator::Gt,
        Operator::GtEq,
    ]);
    let compare = (column(), op, value(), any::<bool>(), any::<bool>()).prop_map(
        |(column, op, value, flipped, cast)| Condition::Compare {
            column,
            op,
            value,
            flipped,
            cast,
        },
    );
    let within = (column(), prop::collection::vec(value(), 1..4))
        .prop_map(|(column, values)| Condition::In { column, values });
    let between = (column(), value(), value()).prop_map(|(column, low, high)| Condition::Between {
        column,
        low,
        high,
    });
    prop_oneof![4 => compare, 1 => within, 1 => between].prop_recursive(3, 12, 2, |inner| {
        let both = || (inner.clone().prop_map(Box::new), inner.clone().prop_map(Box::new));
        prop_oneof![
            both().prop_map(|(one, other)| Condition::And(one, other)),
            both().prop_map(|(one, other)| Condition::Or(one, other)),
            inner.clone().prop_map(|one| Condition::Not(Box::new(one))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// A record for which the condition holds is always wanted.
    #[test]
    fn never_too_little(condition in condition(), records in prop::collection::vec(
        (0i64..4, 0i64..5, value(), value()), 20
    )) {
        let wanted = wanted(&condition.expr(), &table());
        for (partition, offset, timestamp, x) in records {
            let record = Record { partition, offset, timestamp, x };
            let within = |span: Span, at: i64| (span.first..=span.last).contains(&at);
            let is_wanted = wanted.partitions.as_ref().is_none_or(|all| all.contains(&(partition as u32)))
                && within(wanted.offsets, offset)
                && within(wanted.timestamps, timestamp);
            prop_assert!(is_wanted || !condition.is_true(record), "{record:?} of {}: {wanted}", condition.expr());
        }
    }
}

#[test]
fn what_is_said_is_understood() {
    let ms = |value: i64| literal("ms", value, false);
    for (condition, expected) in [
        (col("p").eq(lit(2_i32)), "partitions 2"),
        (col("p").eq(lit(-1_i32)), "partitions none"),
        (col("p").in_list(vec![lit(0_i32), lit(3_i32)], false), "partitions 0, 3"),
        (col("p").eq(lit(1_i32)).or(col("p").eq(lit(2_i32))), "partitions 1, 2"),
        (col("p").eq(lit(1_i32)).and(col("p").eq(lit(2_i32))), "partitions none"),
        (col("p").eq(lit(1_i32)).or(col("x").eq(lit(2_i64))), ""),
        (col("o").gt(lit(5_i64)).and(col("o").lt(lit(9_i64))), "offsets 6 to 8"),
        (lit(5_i64).lt_eq(col("o")), "offsets from 5"),
        (col("o").between(lit(9_i64), lit(5_i64)), "offsets none"),
        (col("ms").gt_eq(ms(1_000)).and(col("ms").lt(ms(2_000))), "timestamps 1000 to 1999"),
        (col("long").gt(lit(1_000_i64)), "timestamps from 1001"),
        (
            cast(col("ms"), zoned(TimeUnit::Nanosecond)).gt(literal("ms", 1_000, true)),
            "timestamps from 1000",
        ),
        (
            col("p").eq(lit(1_i32)).and(col("o").lt_eq(lit(7_i64))).and(col("x").eq(lit(1_i64))),
            "partitions 1; offsets to 7",
        ),
        (!col("p").eq(lit(2_i32)), ""),
        (col("p").eq(lit(ScalarValue::Int32(None))), ""),
    ] {
        assert_eq!(wanted(&condition, &table()).to_string(), expected, "{condition}");
    }
}
