//! How far the event times of a pair can be apart, out of a join's filter.

use std::collections::BTreeMap;

use arrow_schema::{DataType, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

/// `lower <= right time - left time <= upper`, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// The time columns of the two sides.
    pub(super) columns: [usize; 2],
    pub(super) lower: i64,
    pub(super) upper: i64,
}

/// A sum of time columns (positions in both sides together) and milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sum {
    columns: BTreeMap<usize, i64>,
    millis: i64,
}

impl Sum {
    fn plus(mut self, other: Self, sign: i64) -> Option<Self> {
        for (column, factor) in other.columns {
            *self.columns.entry(column).or_default() += sign * factor;
        }
        self.columns.retain(|_, factor| *factor != 0);
        self.millis = self.millis.checked_add(other.millis.checked_mul(sign)?)?;
        Some(self)
    }
}

/// `both` has the left columns, as many as `left_columns`, then the right ones.
///
/// The bounds that a filter (and keys that are equal) sets to event times of both sides, if it does so on both ends for one pair of columns.
pub(super) fn interval_of(
    filter: Option<&Expr>,
    equal: impl Iterator<Item = (usize, usize)>,
    both: &DFSchema,
    left_columns: usize,
    times: [&[usize]; 2],
) -> Option<Bounds> {
    for (left, right) in equal {
        if times[0].contains(&left) && times[1].contains(&right) {
            return Some(Bounds { columns: [left, right], lower: 0, upper: 0 });
        }
    }
    let mut found: BTreeMap<[usize; 2], (Option<i64>, Option<i64>)> = BTreeMap::new();
    for conjunct in split_conjunction(filter?) {
        for (sum, strict) in at_least_zero(conjunct, both) {
            let Some(([left, right], left_sign)) = pair(&sum, left_columns) else { continue };
            if !times[0].contains(&left) || !times[1].contains(&right) {
                continue;
            }
            let (lower, upper) = found.entry([left, right]).or_default();
            // left - right + c >= 0: right - left <= c. Times are whole milliseconds.
            let within = sum.millis - i64::from(strict);
            if left_sign > 0 {
                *upper = Some(upper.map_or(within, |upper| upper.min(within)));
            } else {
                *lower = Some(lower.map_or(-within, |lower| lower.max(-within)));
            }
        }
    }
    found.into_iter().find_map(|(columns, bounds)| match bounds {
        (Some(lower), Some(upper)) if lower <= upper => Some(Bounds { columns, lower, upper }),
        _ => None,
    })
}

/// The two columns of a sum that is the difference of a left and a right one, and the sign of the left one.
fn pair(sum: &Sum, left_columns: usize) -> Option<([usize; 2], i64)> {
    let mut columns = sum.columns.iter();
    let (Some((a, x)), Some((b, y)), None) = (columns.next(), columns.next(), columns.next())
    else {
        return None;
    };
    let right = b.checked_sub(left_columns)?;
    (*a < left_columns && x.abs() == 1 && x + y == 0).then_some(([*a, right], *x))
}

/// What a condition says to be at least 0, or (if true stands with it) above 0.
fn at_least_zero(condition: &Expr, both: &DFSchema) -> Vec<(Sum, bool)> {
    let compare = |greater: &Expr, less: &Expr, strict: bool| {
        let difference = sum(greater, both)?.plus(sum(less, both)?, -1)?;
        Some((difference, strict))
    };
    let found = match condition {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match op {
            Operator::GtEq => vec![compare(left, right, false)],
            Operator::Gt => vec![compare(left, right, true)],
            Operator::LtEq => vec![compare(right, left, false)],
            Operator::Lt => vec![compare(right, left, true)],
            Operator::Eq => vec![compare(left, right, false), compare(right, left, false)],
            _ => Vec::new(),
        },
        Expr::Between(between) if !between.negated => vec![
            compare(&between.expr, &between.low, false),
            compare(&between.high, &between.expr, false),
        ],
        _ => Vec::new(),
    };
    found.into_iter().flatten().collect()
}

fn sum(expr: &Expr, both: &DFSchema) -> Option<Sum> {
    match expr {
        Expr::Column(column) => {
            let at = both.maybe_index_of_column(column)?;
            matches!(both.field(at).data_type(), DataType::Timestamp(TimeUnit::Millisecond, _))
                .then(|| Sum { columns: BTreeMap::from([(at, 1)]), millis: 0 })
        }
        Expr::Alias(alias) => sum(&alias.expr, both),
        Expr::Literal(value, _) => Some(Sum { millis: millis(value)?, ..Sum::default() }),
        // To a finer unit nothing is lost; to a coarser one something would be.
        Expr::Cast(cast) => {
            let fine = matches!(
                cast.field.data_type(),
                DataType::Timestamp(unit, _) | DataType::Duration(unit) if *unit != TimeUnit::Second
            ) || matches!(cast.field.data_type(), DataType::Interval(_));
            let from = cast.expr.get_type(both).ok()?;
            let zoned = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(zone)) if zone.as_ref() != "UTC");
            (fine && !zoned(&from) && !zoned(cast.field.data_type()))
                .then(|| sum(&cast.expr, both))
                .flatten()
        }
        Expr::Negative(inner) => Sum::default().plus(sum(inner, both)?, -1),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
            sum(left, both)?.plus(sum(right, both)?, 1)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
            sum(left, both)?.plus(sum(right, both)?, -1)
        }
        _ => None,
    }
}

/// A length of time in whole milliseconds.
fn millis(value: &ScalarValue) -> Option<i64> {
    const DAY: i64 = 86_400_000;
    let nanos = |nanos: i64| (nanos % 1_000_000 == 0).then_some(nanos / 1_000_000);
    match value {
        ScalarValue::IntervalMonthDayNano(Some(of)) if of.months == 0 => {
            i64::from(of.days).checked_mul(DAY)?.checked_add(nanos(of.nanoseconds)?)
        }
        ScalarValue::IntervalDayTime(Some(of)) => {
            i64::from(of.days).checked_mul(DAY)?.checked_add(i64::from(of.milliseconds))
        }
        ScalarValue::DurationSecond(Some(seconds)) => seconds.checked_mul(1000),
        ScalarValue::DurationMillisecond(Some(millis)) => Some(*millis),
        ScalarValue::DurationMicrosecond(Some(micros)) => {
            (micros % 1000 == 0).then_some(micros / 1000)
        }
        ScalarValue::DurationNanosecond(Some(of)) => nanos(*of),
        _ => None,
    }
}
