//! Plans as `EXPLAIN` shows them: constants and types as SQL writes them.
//!
//! DataFusion writes a constant with its type (`Int64(1)`, an interval as a struct of three numbers), also inside the names of columns. So it is the text
//! that is put right, not the plan.

use arrow_schema::DataType;
use chrono::{DateTime, NaiveTime, TimeDelta};

use crate::function::type_name;

/// The text with its constants and the types of its casts as SQL writes them. What is not understood stays.
pub(crate) fn readable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if let Some((shown, behind)) = quoted(rest).or_else(|| cast_type(rest)) {
            out.push_str(&shown);
            rest = behind;
            continue;
        }
        // A constant begins with a word.
        let word =
            rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        if word == 0 {
            out.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        }
        match constant(&rest[..word], &rest[word..]) {
            Some((shown, behind)) => {
                out.push_str(&shown);
                rest = behind;
            }
            None => {
                out.push_str(&rest[..word]);
                rest = &rest[word..];
            }
        }
    }
    out
}

/// A text in single quotes, which is nothing but text.
fn quoted(text: &str) -> Option<(String, &str)> {
    let end = text.strip_prefix('\'')?.find('\'')? + 2;
    Some((text[..end].to_owned(), &text[end..]))
}

/// `AS Int64)` at the end of a cast.
fn cast_type(text: &str) -> Option<(String, &str)> {
    let from = text.strip_prefix(" AS ")?;
    let mut depth = 0;
    let end = from.find(|c| {
        depth += match c {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth < 0 || (depth == 0 && c == ',')
    })?;
    let data_type: DataType = from[..end].parse().ok()?;
    from[end..].starts_with(')').then(|| (format!(" AS {}", type_name(&data_type)), &from[end..]))
}

/// A constant of the type called `word`, whose parentheses follow; and what stands behind it.
fn constant<'t>(word: &str, text: &'t str) -> Option<(String, &'t str)> {
    let inside = text.strip_prefix('(')?;
    if let Some(texts) = inside.strip_prefix('"') {
        let end = texts.find("\")")?;
        let (value, behind) = (&texts[..end], &texts[end + 2..]);
        return Some((of_text(word, value)?, behind));
    }
    let end = match word {
        // What is in brackets may hold anything.
        "List" | "LargeList" => inside.find("])")? + 1,
        // A timestamp's zone is in parentheses of its own.
        _ => inside.find(')').map(|end| end + usize::from(inside[..end].contains("Some(")))?,
    };
    let (value, behind) = (&inside[..end], &inside[end + 1..]);
    Some((of_value(word, value)?, behind))
}

/// A constant that DataFusion writes in quotes.
fn of_text(word: &str, value: &str) -> Option<String> {
    Some(match word {
        "Utf8" | "LargeUtf8" | "Utf8View" => format!("'{}'", value.replace('\'', "''")),
        "Date32" | "Date64" => format!("DATE '{value}'"),
        "Time32Second" => time(value, 1_000_000_000)?,
        "Time32Millisecond" => time(value, 1_000_000)?,
        "Time64Microsecond" => time(value, 1000)?,
        "Time64Nanosecond" => time(value, 1)?,
        "Binary" | "LargeBinary" | "BinaryView" => {
            let bytes = value.split(',').filter(|byte| !byte.is_empty());
            let hex = bytes.map(|byte| byte.parse::<u8>().map(|byte| format!("{byte:02X}")));
            format!("X'{}'", hex.collect::<Result<String, _>>().ok()?)
        }
        "IntervalMonthDayNano" => {
            let months = number(value, "months: ")?;
            interval(months, number(value, "days: ")?, number(value, "nanoseconds: ")?)
        }
        "IntervalDayTime" => {
            interval(0, number(value, "days: ")?, number(value, "milliseconds: ")? * 1_000_000)
        }
        "IntervalYearMonth" => interval(value.parse().ok()?, 0, 0),
        _ => return None,
    })
}

/// A constant that DataFusion writes without quotes.
fn of_value(word: &str, value: &str) -> Option<String> {
    let per_second = match word {
        "TimestampSecond" => 1,
        "TimestampMillisecond" => 1000,
        "TimestampMicrosecond" => 1_000_000,
        "TimestampNanosecond" => 1_000_000_000,
        _ => 0,
    };
    if per_second > 0 {
        let (ticks, zone) = value.split_once(", ")?;
        return match ticks {
            "NULL" => Some(ticks.to_owned()),
            _ => timestamp(ticks.parse().ok()?, per_second, zone == "None"),
        };
    }
    Some(match word {
        "Int8" | "Int16" | "Int32" | "Int64" | "UInt8" | "UInt16" | "UInt32" | "UInt64"
        | "Float32" | "Float64" => value.to_owned(),
        "Boolean" => value.to_uppercase(),
        "Decimal128" | "Decimal256" => value.split(',').next()?.to_owned(),
        "List" | "LargeList" => format!("ARRAY{value}"),
        _ if value == "NULL" && is_type(word) => value.to_owned(),
        _ => return None,
    })
}

/// Whether a constant of this word may be NULL.
fn is_type(word: &str) -> bool {
    let begins = ["Utf8", "LargeUtf8", "Binary", "LargeBinary", "Date", "Time", "Interval"];
    begins.iter().any(|begin| word.starts_with(begin))
}

/// The number behind `name` in a struct that is printed for debugging.
fn number(text: &str, name: &str) -> Option<i64> {
    let from = &text[text.find(name)? + name.len()..];
    let end = from.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(from.len());
    from[..end].parse().ok()
}

fn timestamp(ticks: i64, per_second: i64, local: bool) -> Option<String> {
    let nanos = ticks.rem_euclid(per_second) * (1_000_000_000 / per_second);
    let at = DateTime::from_timestamp(ticks.div_euclid(per_second), u32::try_from(nanos).ok()?)?;
    let at = at.format("%Y-%m-%d %H:%M:%S%.f");
    Some(match local {
        true => format!("TIMESTAMP '{at}'"),
        false => format!("TIMESTAMP_LTZ '{at}Z'"),
    })
}

fn time(ticks: &str, nanos: i64) -> Option<String> {
    let since = TimeDelta::nanoseconds(ticks.parse::<i64>().ok()?.checked_mul(nanos)?);
    let (time, _) = NaiveTime::MIN.overflowing_add_signed(since);
    Some(format!("TIME '{}'", time.format("%H:%M:%S%.f")))
}

/// An interval in its largest unit of which it is a whole number, or in parts: `INTERVAL '1 10:00:05.5' DAY TO SECOND`.
fn interval(months: i64, days: i64, nanos: i64) -> String {
    const SECOND: i64 = 1_000_000_000;
    let year_month = match (months / 12, months % 12) {
        (0, _) => format!("INTERVAL '{months}' MONTH"),
        (years, 0) => format!("INTERVAL '{years}' YEAR"),
        (years, months) => format!("INTERVAL '{years}-{}' YEAR TO MONTH", months.abs()),
    };
    if days == 0 && nanos == 0 && months != 0 {
        return year_month;
    }
    let units = [(3600 * SECOND, "HOUR"), (60 * SECOND, "MINUTE"), (SECOND, "SECOND")];
    let whole = units.iter().find(|(unit, _)| nanos % unit == 0);
    let day_time = match (days, nanos, whole) {
        (days, 0, _) if days != 0 => format!("INTERVAL '{days}' DAY"),
        (0, nanos, Some((unit, name))) => format!("INTERVAL '{}' {name}", nanos / unit),
        (days, nanos, _) => {
            let sign = if days < 0 || nanos < 0 { "-" } else { "" };
            let fraction = match nanos.abs() % SECOND {
                0 => String::new(),
                fraction => format!(".{fraction:09}").trim_end_matches('0').to_owned(),
            };
            let seconds = nanos.abs() / SECOND;
            match (days, seconds) {
                (0, 0..60) => format!("INTERVAL '{sign}{seconds}{fraction}' SECOND"),
                _ => format!(
                    "INTERVAL '{sign}{} {:02}:{:02}:{:02}{fraction}' DAY TO SECOND",
                    days.abs(),
                    seconds / 3600,
                    seconds / 60 % 60,
                    seconds % 60
                ),
            }
        }
    };
    if months == 0 { day_time } else { format!("{year_month} + {day_time}") }
}

#[cfg(test)]
mod tests {
    use datafusion::common::ScalarValue;
    use datafusion::logical_expr::{cast, col, lit};

    use super::*;

    #[test]
    fn constants_and_types_are_written_as_in_sql() {
        let span = |months, days, nanos| lit(ScalarValue::new_interval_mdn(months, days, nanos));
        let timestamp = |zone: Option<&str>| {
            lit(ScalarValue::TimestampMillisecond(Some(1_577_836_800_500), zone.map(Into::into)))
        };
        for (expr, expected) in [
            (lit(1i64) + lit(2.5), "1 + 2.5"),
            (lit("it's Int64(1)"), "'it''s Int64(1)'"),
            (lit(true).and(lit(ScalarValue::Boolean(None))), "TRUE AND NULL"),
            (lit(ScalarValue::Utf8(None)), "NULL"),
            (lit(ScalarValue::Decimal128(Some(150), 10, 2)), "1.50"),
            (lit(ScalarValue::Date32(Some(0))), "DATE '1970-01-01'"),
            (lit(ScalarValue::Time32Millisecond(Some(36_000_050))), "TIME '10:00:00.050'"),
            (lit(ScalarValue::Binary(Some(vec![1, 255]))), "X'01FF'"),
            (timestamp(None), "TIMESTAMP '2020-01-01 00:00:00.500'"),
            (timestamp(Some("UTC")), "TIMESTAMP_LTZ '2020-01-01 00:00:00.500Z'"),
            (cast(col("a"), DataType::Int64), "CAST(a AS BIGINT)"),
            (cast(col("a"), DataType::Decimal128(10, 2)), "CAST(a AS DECIMAL(10, 2))"),
            (col("a").alias("Int64"), "a AS Int64"),
            (span(0, 0, 5_000_000_000), "INTERVAL '5' SECOND"),
            (span(0, 0, -90_000_000_000), "INTERVAL '-90' SECOND"),
            (span(0, 0, 7_200_000_000_000), "INTERVAL '2' HOUR"),
            (span(0, 0, 250_000_000), "INTERVAL '0.25' SECOND"),
            (span(0, 3, 0), "INTERVAL '3' DAY"),
            (span(0, 1, 36_005_500_000_000), "INTERVAL '1 10:00:05.5' DAY TO SECOND"),
            (span(14, 0, 0), "INTERVAL '1-2' YEAR TO MONTH"),
            (span(24, 0, 0), "INTERVAL '2' YEAR"),
            (span(1, 1, 0), "INTERVAL '1' MONTH + INTERVAL '1' DAY"),
        ] {
            assert_eq!(readable(&expr.to_string()), expected, "{expr}");
        }
        for text in ["count(*)", "Sort: a ASC, fetch=3", "Utf8(\"", "List([1", " AS Int64", "(ö)"]
        {
            assert_eq!(readable(text), text);
        }
    }
}
