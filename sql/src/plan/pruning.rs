//! Which records of a topic a condition can hold for.
//!
//! `offset`, `partition` and `timestamp` are known before a record is read: what a condition says of them tells what need not be read.
//! The answer may be too much, never too little: what is not understood is taken to hold for all.

use std::collections::BTreeSet;

use arrow_schema::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use riverrun_operators::{Span, Wanted};

use crate::catalog::{ColumnKind, Table};

/// The records that a condition on the columns of a table can hold for.
pub(super) fn wanted(condition: &Expr, table: &Table) -> Wanted {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            wanted(left, table).and(wanted(right, table))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            wanted(left, table).or(wanted(right, table))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let compared = |column, op, value| compared(column, op, value, table);
            let found = compared(left, *op, right);
            let found = found.or_else(|| compared(right, op.swap()?, left));
            found.unwrap_or_default()
        }
        Expr::Between(between) if !between.negated => {
            let bound = |op, value| compared(&between.expr, op, value, table).unwrap_or_default();
            bound(Operator::GtEq, &between.low).and(bound(Operator::LtEq, &between.high))
        }
        Expr::InList(list) if !list.negated => {
            let one = |value| compared(&list.expr, Operator::Eq, value, table).unwrap_or_default();
            list.list.iter().map(one).reduce(Wanted::or).unwrap_or_default()
        }
        _ => Wanted::default(),
    }
}

/// What is known of a record before it is read.
#[derive(Clone, Copy)]
enum Known {
    Partition,
    Offset,
    Timestamp,
}

/// What is known of the column that an expression is, perhaps as another type; that type, and whether milliseconds were cut off.
fn known<'a>(expr: &'a Expr, table: &'a Table) -> Option<(Known, &'a DataType, bool)> {
    match expr {
        Expr::Column(column) => {
            let column = &table.columns[table.position(&column.name)?];
            let ColumnKind::Metadata { key, .. } = &column.kind else { return None };
            let known = match key.as_str() {
                "partition" => Known::Partition,
                "offset" => Known::Offset,
                "timestamp" => Known::Timestamp,
                _ => return None,
            };
            Some((known, &column.data_type, is_coarse(&column.data_type)))
        }
        Expr::Cast(cast) => {
            let (known, from, coarse) = self::known(&cast.expr, table)?;
            let to = cast.field.data_type();
            let same = match (known, from, to) {
                (Known::Timestamp, DataType::Timestamp(..), DataType::Timestamp(..)) => true,
                (Known::Timestamp, ..) => false,
                // Into a smaller one not all of them fit.
                (Known::Partition | Known::Offset, _, to) => *to == DataType::Int64,
            };
            same.then_some((known, to, coarse || is_coarse(to)))
        }
        _ => None,
    }
}

/// Whether milliseconds do not fit into it.
fn is_coarse(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(TimeUnit::Second, _))
}

fn compared(column: &Expr, op: Operator, value: &Expr, table: &Table) -> Option<Wanted> {
    let Expr::Literal(value, _) = value else { return None };
    let (known, data_type, coarse) = known(column, table)?;
    let all = Wanted::default();
    Some(match known {
        Known::Partition if op == Operator::Eq => {
            let number = u32::try_from(whole(value)?).ok();
            Wanted { partitions: Some(BTreeSet::from_iter(number)), ..all }
        }
        Known::Partition => return None,
        Known::Offset => {
            let value = whole(value)?;
            Wanted { offsets: span(op, value, value)?, ..all }
        }
        Known::Timestamp => {
            let (first, last) = match data_type {
                DataType::Int64 => whole(value).map(|value| (value, value))?,
                _ => milliseconds(value)?,
            };
            // Seconds were cut off towards zero.
            let slack = if coarse { 1_000 } else { 0 };
            let (first, last) = (first.saturating_sub(slack), last.saturating_add(slack));
            Wanted { timestamps: span(op, first, last)?, ..all }
        }
    })
}

/// The numbers that are `op` a value, which lies between two others.
fn span(op: Operator, first: i64, last: i64) -> Option<Span> {
    Some(match op {
        Operator::Eq => Span { first, last },
        Operator::GtEq => Span { first, ..Span::ALL },
        Operator::LtEq => Span { last, ..Span::ALL },
        Operator::Gt if first == last => Span { first: first.checked_add(1)?, ..Span::ALL },
        Operator::Lt if first == last => Span { last: last.checked_sub(1)?, ..Span::ALL },
        Operator::Gt => Span { first, ..Span::ALL },
        Operator::Lt => Span { last, ..Span::ALL },
        _ => return None,
    })
}

fn whole(value: &ScalarValue) -> Option<i64> {
    Some(match value {
        ScalarValue::Int8(value) => i64::from((*value)?),
        ScalarValue::Int16(value) => i64::from((*value)?),
        ScalarValue::Int32(value) => i64::from((*value)?),
        ScalarValue::Int64(value) => (*value)?,
        _ => return None,
    })
}

/// A point in time as milliseconds since 1970: the last that is not later, and the first that is not earlier.
fn milliseconds(value: &ScalarValue) -> Option<(i64, i64)> {
    let finer = |value: Option<i64>, per: i64| {
        let value = value?;
        let floor = value.div_euclid(per);
        Some((floor, floor + i64::from(value.rem_euclid(per) != 0)))
    };
    match value {
        ScalarValue::TimestampSecond(value, _) => {
            let value = (*value)?.checked_mul(1_000)?;
            Some((value, value))
        }
        ScalarValue::TimestampMillisecond(value, _) => finer(*value, 1),
        ScalarValue::TimestampMicrosecond(value, _) => finer(*value, 1_000),
        ScalarValue::TimestampNanosecond(value, _) => finer(*value, 1_000_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
