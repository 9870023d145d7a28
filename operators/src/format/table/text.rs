//! Text to values: what a CSV field, a JSON string or number, or a map's key says, by the type of its column.

use super::column::{Column, Values};
use super::fault::Fault;
use super::time::{self, TimestampFormat};

impl Column {
    /// Adds the value that a text stands for. Blanks around numbers, booleans and times do not matter.
    ///
    /// # Errors
    /// A [`Fault`] that says what was expected; the column may then hold part of the value until it is truncated.
    pub(super) fn push_text(&mut self, text: &str, format: TimestampFormat) -> Result<(), Fault> {
        let fails = |column: &Column| Err(Fault::expected(column.expectation(format), text));
        let trimmed = text.trim_ascii();
        match &mut self.values {
            Values::Text(texts) => texts.push(text.as_bytes())?,
            Values::Bool(values) => match trimmed {
                _ if trimmed.eq_ignore_ascii_case("true") => values.append(true),
                _ if trimmed.eq_ignore_ascii_case("false") => values.append(false),
                _ => return fails(self),
            },
            Values::Int8(values) => match integer(trimmed).and_then(|n| i8::try_from(n).ok()) {
                Some(value) => values.push(value),
                None => return fails(self),
            },
            Values::Int16(values) => match integer(trimmed).and_then(|n| i16::try_from(n).ok()) {
                Some(value) => values.push(value),
                None => return fails(self),
            },
            Values::Int32(values) => match integer(trimmed).and_then(|n| i32::try_from(n).ok()) {
                Some(value) => values.push(value),
                None => return fails(self),
            },
            Values::Int64(values) => match integer(trimmed) {
                Some(value) => values.push(value),
                None => return fails(self),
            },
            Values::Float32(values) => match float::<f32>(trimmed) {
                Some(value) => values.push(value),
                None => return fails(self),
            },
            Values::Float64(values) => match float::<f64>(trimmed) {
                Some(value) => values.push(value),
                None => return fails(self),
            },
            Values::Decimal { precision, scale, values } => {
                match decimal(trimmed, *precision, *scale) {
                    Some(value) => values.push(value),
                    None => return fails(self),
                }
            }
            Values::Date(values) => match time::parse_date(trimmed) {
                Some(value) => values.push(value),
                None => return fails(self),
            },
            Values::Time { unit, values } => match time::parse_time(trimmed, *unit) {
                Some(value) => values.push(value),
                None => return fails(self),
            },
            Values::Timestamp { unit, zoned, values } => {
                match time::parse_timestamp(trimmed, format, *unit, *zoned) {
                    Some(value) => values.push(value),
                    None => return fails(self),
                }
            }
            Values::Binary(texts) => {
                use base64::Engine;
                let engine = base64::engine::general_purpose::STANDARD;
                if engine.decode_vec(trimmed, &mut texts.bytes).is_err() {
                    return fails(self);
                }
                texts.end()?;
            }
            Values::List { .. } | Values::Map { .. } | Values::Row { .. } => return fails(self),
        }
        self.valid();
        Ok(())
    }

    /// What a text must be to be a value of this column, for messages.
    pub(super) fn expectation(&self, format: TimestampFormat) -> String {
        let name = self.sql_type();
        match &self.values {
            Values::Timestamp { zoned, .. } => {
                format!("{name} like {:?}", format.example(*zoned))
            }
            Values::Date(_) => format!("{name} like \"2015-05-17\""),
            Values::Time { .. } => format!("{name} like \"10:05:03.123\""),
            Values::Binary(_) => format!("{name} in base64"),
            Values::Bool(_) => format!("{name} (true or false)"),
            _ => name,
        }
    }
}

/// A whole number: digits with a sign, or what is one though it is written with a fraction or an exponent (`3.0`, `1e3`).
#[inline]
pub(super) fn integer(text: &str) -> Option<i64> {
    let (digits, negative) = match text.as_bytes() {
        [b'-', digits @ ..] => (digits, true),
        [b'+', digits @ ..] => (digits, false),
        digits => (digits, false),
    };
    // Eighteen digits never overflow.
    if (1..=18).contains(&digits.len()) {
        let mut value = 0i64;
        for byte in digits {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                return whole(text);
            }
            value = value * 10 + i64::from(digit);
        }
        return Some(if negative { -value } else { value });
    }
    whole(text)
}

#[cold]
fn whole(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| {
        let (digits, exponent) = unscaled(text)?;
        i64::try_from(shifted(digits, exponent, false)?).ok()
    })
}

/// A number; Rust's names for what is none (`nan`, `inf`) count only as Java writes them.
fn float<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let ordinary = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let named = matches!(digits, "NaN" | "Infinity");
    (ordinary || named).then(|| text.parse().ok()).flatten()
}

/// A number with a fixed point. Digits that the scale has no room for are rounded, half away from zero.
pub(super) fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (digits, exponent) = unscaled(text)?;
    let value = shifted(digits, exponent.checked_add(i32::from(scale))?, true)?;
    (value.unsigned_abs() < 10u128.pow(u32::from(precision))).then_some(value)
}

/// The digits of a number as one, and how many places its point is to be moved to the right.
fn unscaled(text: &str) -> Option<(i128, i32)> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, mantissa) = match mantissa.as_bytes() {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        rest => (1, rest),
    };
    let (mut value, mut seen, mut behind_point, mut point) = (0i128, false, 0i32, false);
    // Zeros at the end of a fraction say nothing, and may be many.
    let mantissa = match mantissa.contains(&b'.') {
        true => {
            let zeros = mantissa.iter().rev().take_while(|byte| **byte == b'0').count();
            seen = zeros > 0;
            &mantissa[..mantissa.len() - zeros]
        }
        false => mantissa,
    };
    for byte in mantissa {
        match byte {
            b'0'..=b'9' => {
                seen = true;
                // Forty digits behind the point change no decimal.
                if point && value.unsigned_abs() > i128::MAX.unsigned_abs() / 100 {
                    continue;
                }
                value = value.checked_mul(10)?.checked_add(i128::from(byte - b'0'))?;
                behind_point += i32::from(point);
            }
            b'.' if !point => point = true,
            _ => return None,
        }
    }
    seen.then_some((sign * value, exponent.checked_sub(behind_point)?))
}

/// `digits` times ten to the `exponent`: rounded, or `None` if it is no whole number.
fn shifted(digits: i128, exponent: i32, round: bool) -> Option<i128> {
    if digits == 0 {
        return Some(0);
    }
    if exponent >= 0 {
        return digits.checked_mul(10i128.checked_pow(exponent as u32)?);
    }
    let Some(divisor) = 10i128.checked_pow(exponent.unsigned_abs()) else {
        return round.then_some(0);
    };
    let (whole, rest) = (digits / divisor, digits % divisor);
    match (rest, round) {
        (0, _) => Some(whole),
        (_, false) => None,
        (_, true) if rest.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2) => {
            Some(whole + digits.signum())
        }
        (_, true) => Some(whole),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_exact_or_refused() {
        assert_eq!(integer("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(
            (integer("3.0"), integer("1.5e1"), integer("1e3")),
            (Some(3), Some(15), Some(1000))
        );
        for wrong in
            ["", "-", "3.5", "1e-1", "9223372036854775808", "0x10", "1 2", "e5", "1e99999999999"]
        {
            assert_eq!(integer(wrong), None, "{wrong}");
        }
        assert_eq!(decimal("12.345", 5, 2), Some(1235));
        assert_eq!(decimal("-12.344", 5, 2), Some(-1234));
        assert_eq!(decimal("1234.5", 5, 2), None);
        assert_eq!(decimal("1e2", 5, 2), Some(10_000));
        assert_eq!(decimal(&format!("0.{}1", "0".repeat(60)), 38, 10), Some(0));
        assert_eq!(decimal(&format!("1.{}", "0".repeat(60)), 3, 1), Some(10));
        assert_eq!((float::<f64>("nan"), float::<f64>("inf")), (None, None));
        assert_eq!(float::<f64>("-Infinity"), Some(f64::NEG_INFINITY));
    }

    proptest! {
        #[test]
        fn decimals_are_the_digits_they_are_written_with(unscaled in -99_999_999i128..=99_999_999, scale in 0i8..=8) {
            let power = 10i128.pow(scale as u32);
            let text = match scale {
                0 => unscaled.to_string(),
                _ => format!("{}{}.{:0width$}", if unscaled < 0 { "-" } else { "" }, unscaled.abs() / power, unscaled.abs() % power, width = scale as usize),
            };
            prop_assert_eq!(decimal(&text, 8, scale), Some(unscaled), "{}", text);
        }

        #[test]
        fn integers_are_those_of_the_standard_library(text in "[-+]?[0-9]{0,21}") {
            prop_assert_eq!(integer(&text), text.parse().ok());
        }
    }
}
