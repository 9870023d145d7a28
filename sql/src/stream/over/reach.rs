//! Which rows a window function looks at.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::{NullTreatment, WindowFunction};
use datafusion::logical_expr::{
    Expr, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
};

use crate::operator::over::Reach;
use crate::operator::rank::RankFunction;

/// Which rows of its partition the value of a row depends on.
pub(super) fn reach(function: &WindowFunction) -> Reach {
    let params = &function.params;
    let frame = Frame::of(&params.window_frame);
    let udf = match &function.fun {
        WindowFunctionDefinition::AggregateUDF(_) => {
            return match frame {
                Frame::Start => Reach::Running,
                frame => frame.reach(),
            };
        }
        WindowFunctionDefinition::WindowUDF(udf) => udf,
    };
    let skips_nulls = params.null_treatment == Some(NullTreatment::IgnoreNulls);
    match (udf.name(), frame) {
        ("row_number", _) => Reach::Numbered(RankFunction::RowNumber),
        ("rank", _) => Reach::Numbered(RankFunction::Rank),
        ("dense_rank", _) => Reach::Numbered(RankFunction::DenseRank),
        (name @ ("lag" | "lead"), _) => {
            let offset = match params.args.get(1) {
                None => Some(1),
                Some(offset) => integer(offset),
            };
            let back = offset.map(|offset| if name == "lag" { offset } else { -offset });
            let distance = |rows: i64| usize::try_from(rows.unsigned_abs()).unwrap_or(usize::MAX);
            match back {
                Some(1..) if skips_nulls => Reach::Before,
                Some(back @ 0..) if !skips_nulls => {
                    Reach::Rows { before: distance(back), after: 0 }
                }
                Some(ahead) if !skips_nulls => Reach::Rows { before: 0, after: distance(ahead) },
                _ => Reach::All,
            }
        }
        ("first_value", Frame::Start) if !skips_nulls => Reach::First(1),
        ("nth_value", Frame::Start) if !skips_nulls => {
            match params.args.get(1).and_then(integer).map(usize::try_from) {
                Some(Ok(rows @ 1..)) => Reach::First(rows),
                _ => Reach::Before,
            }
        }
        ("last_value", Frame::Start) if !skips_nulls => match params.window_frame.units {
            WindowFrameUnits::Rows => Reach::Rows { before: 0, after: 0 },
            _ => Reach::Time(0),
        },
        ("first_value" | "nth_value" | "last_value", frame) => frame.reach(),
        _ => Reach::All,
    }
}

/// A frame, as far as it matters here.
enum Frame {
    /// From the first row of the partition to the current one (or its peers).
    Start,
    Rows {
        before: usize,
        after: usize,
    },
    /// From so many milliseconds before the current row to it or before it.
    Time(i64),
    /// Rows before the current row, its peers and itself.
    Before,
    All,
}

impl Frame {
    fn of(frame: &WindowFrame) -> Self {
        let (start, end) = (&frame.start_bound, &frame.end_bound);
        let ends_here = matches!(end, WindowFrameBound::CurrentRow);
        let looks_ahead = matches!(end, WindowFrameBound::Following(_));
        if start.is_unbounded() && ends_here {
            return Self::Start;
        }
        match frame.units {
            WindowFrameUnits::Rows => match (distance(start, true), distance(end, false)) {
                (Some(before), Some(after)) => Self::Rows { before, after },
                _ if looks_ahead => Self::All,
                _ => Self::Before,
            },
            _ if looks_ahead => Self::All,
            WindowFrameUnits::Range => match start {
                WindowFrameBound::CurrentRow => Self::Time(0),
                WindowFrameBound::Preceding(range) => {
                    milliseconds(range).map_or(Self::Before, Self::Time)
                }
                WindowFrameBound::Following(_) => Self::All,
            },
            WindowFrameUnits::Groups => Self::Before,
        }
    }

    fn reach(self) -> Reach {
        match self {
            Self::Rows { before, after } => Reach::Rows { before, after },
            Self::Time(range) => Reach::Time(range),
            Self::Start | Self::Before => Reach::Before,
            Self::All => Reach::All,
        }
    }
}

/// How many rows a bound is away from the current one, backwards or forwards; 0 if it lies on the other side, `None` if it is unbounded.
fn distance(bound: &WindowFrameBound, backwards: bool) -> Option<usize> {
    let rows = match (bound, backwards) {
        (WindowFrameBound::Preceding(rows), true) | (WindowFrameBound::Following(rows), false) => {
            rows
        }
        _ => return Some(0),
    };
    match rows {
        ScalarValue::UInt64(Some(rows)) => usize::try_from(*rows).ok(),
        _ => None,
    }
}

/// An interval in milliseconds, rounded up, if it is always the same number of them.
fn milliseconds(interval: &ScalarValue) -> Option<i64> {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let up = |value: i64, unit: i64| (value.div_euclid(unit)) + i64::from(value % unit != 0);
    match interval {
        ScalarValue::IntervalMonthDayNano(Some(of)) if of.months == 0 => {
            Some(i64::from(of.days) * DAY + up(of.nanoseconds, 1_000_000))
        }
        ScalarValue::IntervalDayTime(Some(of)) => {
            Some(i64::from(of.days) * DAY + i64::from(of.milliseconds))
        }
        ScalarValue::DurationSecond(Some(of)) => of.checked_mul(1000),
        ScalarValue::DurationMillisecond(Some(of)) => Some(*of),
        ScalarValue::DurationMicrosecond(Some(of)) => Some(up(*of, 1000)),
        ScalarValue::DurationNanosecond(Some(of)) => Some(up(*of, 1_000_000)),
        _ => None,
    }
}

fn integer(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::Literal(value, _) => match value.cast_to(&arrow_schema::DataType::Int64) {
            Ok(ScalarValue::Int64(value)) => value,
            _ => None,
        },
        _ => None,
    }
}
