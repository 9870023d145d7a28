//! Values in the one form in which they are compared, whatever format they came in.

use anyhow::{Context, bail};
use chrono::{DateTime, NaiveDateTime};
use serde_json::Value;

/// The type of a column, as far as comparing goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    /// With so many digits after the point.
    Decimal(usize),
    /// Milliseconds, in UTC.
    Time,
    Double,
}

impl Kind {
    /// The type of this name in SQL.
    pub(super) fn parse(name: &str) -> anyhow::Result<Kind> {
        if let Some(arguments) = name.strip_prefix("DECIMAL") {
            let scale = arguments.trim_matches(['(', ')']).split(',').nth(1);
            let scale = scale.context("a DECIMAL has a precision and a scale")?.trim();
            return Ok(Kind::Decimal(scale.parse().context("the scale is not a number")?));
        }
        Ok(match name {
            "STRING" => Kind::Text,
            "INT" | "BIGINT" => Kind::Integer,
            "TIMESTAMP(3)" => Kind::Time,
            "DOUBLE" => Kind::Double,
            _ => bail!("values of type {name} cannot be compared"),
        })
    }

    /// The value in the one form.
    pub(super) fn cell(self, value: &Value) -> anyhow::Result<Value> {
        if value.is_null() {
            return Ok(Value::Null);
        }
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Ok(match self {
            Kind::Text => text.into(),
            Kind::Integer => {
                text.parse::<i64>().with_context(|| format!("`{text}` is not a BIGINT"))?.into()
            }
            Kind::Decimal(scale) => decimal(&text, scale)?.into(),
            Kind::Time => time(&text)?.into(),
            // Nine digits: what is left out is what two ways of computing may differ in.
            Kind::Double => {
                let number: f64 =
                    text.parse().with_context(|| format!("`{text}` is not a DOUBLE"))?;
                format!("{number:.8e}").into()
            }
        })
    }
}

/// The number with exactly so many digits after the point. Digits beyond must be zeros: nothing is rounded away.
fn decimal(text: &str, scale: usize) -> anyhow::Result<String> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !numeric(whole) || !numeric(fraction) {
        bail!("`{text}` is not a DECIMAL");
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > scale {
        bail!("`{text}` has more than {scale} digits after the point");
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    Ok(format!("{sign}{whole}.{fraction:0<scale$}"))
}

/// The time as `2015-07-15 00:00:00.000`, from the forms that formats have for it; what has a zone is turned to UTC.
fn time(text: &str) -> anyhow::Result<String> {
    let parsed = DateTime::parse_from_rfc3339(text).map(|time| time.naive_utc()).or_else(|_| {
        let bare = text.trim_end_matches('Z').replace('T', " ");
        NaiveDateTime::parse_from_str(&bare, "%Y-%m-%d %H:%M:%S%.f")
    });
    let time = parsed.with_context(|| format!("`{text}` is not a TIMESTAMP"))?;
    Ok(time.format("%Y-%m-%d %H:%M:%S%.3f").to_string())
}
