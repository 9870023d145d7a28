//! Dates and times as text: what SQL and ISO 8601 write, in both directions.
//!
//! ```text
//! SQL        2015-05-17 10:05:03.25      2015-05-17 10:05:03.25Z
//! ISO-8601   2015-05-17T10:05:03.25      2015-05-17T10:05:03.25Z
//! ```
//!
//! A fraction of a second has up to nine digits; those beyond the precision of the type are cut off. Seconds may be left
//! out. A timestamp with a zone ends in `Z`, or in an offset like `+02:00`.

use arrow_schema::TimeUnit;

use crate::format::rfc3339;

/// How timestamps are written: Flink's `json.timestamp-format.standard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimestampFormat {
    /// `2015-05-17 10:05:03.123`
    #[default]
    Sql,
    /// `2015-05-17T10:05:03.123`
    Iso8601,
}

impl TimestampFormat {
    /// What stands between date and time.
    pub(super) fn separator(self) -> u8 {
        match self {
            Self::Sql => b' ',
            Self::Iso8601 => b'T',
        }
    }

    /// An example, for messages.
    pub(super) fn example(self, zoned: bool) -> &'static str {
        match (self, zoned) {
            (Self::Sql, false) => "2015-05-17 10:05:03.123",
            (Self::Sql, true) => "2015-05-17 10:05:03.123Z",
            (Self::Iso8601, false) => "2015-05-17T10:05:03.123",
            (Self::Iso8601, true) => "2015-05-17T10:05:03.123Z",
        }
    }
}

/// Units in a second.
pub(super) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

const DAY_SECONDS: i64 = 86_400;

/// A number of exactly `digits` digits.
#[inline]
fn number(text: &[u8]) -> Option<i64> {
    text.iter()
        .try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// Days since 1970-01-01 of `YYYY-MM-DD`, with what follows it.
#[inline]
fn date_prefix(text: &[u8]) -> Option<(i64, &[u8])> {
    let (date, rest) = text.split_at_checked(10)?;
    if date[4] != b'-' || date[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&date[..4])?, number(&date[5..7])?, number(&date[8..])?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    // Years are counted from March, so that the leap day is the last of its year.
    let (year, month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some((era * 146_097 + day_of_era - 719_468, rest))
}

/// Second of the day and nanosecond of `HH:MM[:SS[.fraction]]`, with what follows it.
#[inline]
fn time_prefix(text: &[u8]) -> Option<(i64, i64, &[u8])> {
    let (time, mut rest) = text.split_at_checked(5)?;
    if time[2] != b':' {
        return None;
    }
    let (hour, minute) = (number(&time[..2])?, number(&time[3..])?);
    let (mut second, mut nanos) = (0, 0);
    if let [b':', ten, one, behind @ ..] = rest {
        second = number(&[*ten, *one])?;
        rest = behind;
        if let [b'.', fraction @ ..] = rest {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return None;
            }
            nanos = number(&fraction[..digits])? * 10_i64.pow(9 - digits as u32);
            rest = &fraction[digits..];
        }
    }
    let valid = hour < 24 && minute < 60 && second < 60;
    valid.then_some((hour * 3600 + minute * 60 + second, nanos, rest))
}

/// Seconds that a zone is ahead of UTC: `Z`, `+02:00`, `-0330`.
fn zone(text: &[u8]) -> Option<i64> {
    let (sign, offset) = match text {
        [b'Z'] => return Some(0),
        [b'+', offset @ ..] => (1, offset),
        [b'-', offset @ ..] => (-1, offset),
        _ => return None,
    };
    let (hours, minutes) = match offset {
        [h, i, b':', m, n] | [h, i, m, n] => (number(&[*h, *i])?, number(&[*m, *n])?),
        _ => return None,
    };
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

/// Days since 1970-01-01.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    let (days, rest) = date_prefix(text.as_bytes())?;
    rest.is_empty().then_some(days as i32)
}

/// Units since midnight.
pub(super) fn parse_time(text: &str, unit: TimeUnit) -> Option<i64> {
    let (seconds, nanos, rest) = time_prefix(text.as_bytes())?;
    let per_second = per_second(unit);
    rest.is_empty().then_some(seconds * per_second + nanos / (1_000_000_000 / per_second))
}

/// Units since 1970-01-01T00:00:00, in UTC if the type has a zone. `None` also where the unit has no room for the time.
#[inline]
pub(super) fn parse_timestamp(
    text: &str,
    format: TimestampFormat,
    unit: TimeUnit,
    zoned: bool,
) -> Option<i64> {
    let (days, rest) = date_prefix(text.as_bytes())?;
    let (separator, rest) = rest.split_first()?;
    if *separator != format.separator() {
        return None;
    }
    let (seconds, nanos, rest) = time_prefix(rest)?;
    let ahead = match zoned {
        true => zone(rest)?,
        false if rest.is_empty() => 0,
        false => return None,
    };
    let per_second = per_second(unit);
    (days * DAY_SECONDS + seconds - ahead)
        .checked_mul(per_second)?
        .checked_add(nanos / (1_000_000_000 / per_second))
}

fn two(n: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8]);
}

/// Appends `YYYY-MM-DD`; a year that four digits do not hold is written with its sign and as many as it needs.
pub(super) fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = rfc3339::civil(days);
    if (0..=9999).contains(&year) {
        two(year / 100, out);
        two(year % 100, out);
    } else {
        out.extend_from_slice(format!("{year:+05}").as_bytes());
    }
    out.push(b'-');
    two(month, out);
    out.push(b'-');
    two(day, out);
}

/// Appends `HH:MM:SS`, with as many digits behind the point as are needed.
pub(super) fn write_time(units: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    let per_second = per_second(unit);
    let (second, fraction) = (units.div_euclid(per_second), units.rem_euclid(per_second));
    two(second / 3600, out);
    out.push(b':');
    two(second / 60 % 60, out);
    out.push(b':');
    two(second % 60, out);
    if fraction != 0 {
        out.push(b'.');
        let (mut left, mut digit) = (fraction, per_second / 10);
        while left > 0 {
            out.push(b'0' + (left / digit) as u8);
            left %= digit;
            digit /= 10;
        }
    }
}

/// Appends a timestamp, with `Z` if the type has a zone.
pub(super) fn write_timestamp(
    units: i64,
    unit: TimeUnit,
    zoned: bool,
    format: TimestampFormat,
    out: &mut Vec<u8>,
) {
    let a_day = DAY_SECONDS * per_second(unit);
    write_date(units.div_euclid(a_day), out);
    out.push(format.separator());
    write_time(units.rem_euclid(a_day), unit, out);
    if zoned {
        out.push(b'Z');
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, NaiveDate};
    use proptest::prelude::*;

    use super::*;

    const UNITS: [TimeUnit; 4] =
        [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];

    proptest! {
        /// What is written is what chrono understands, and is read back as it was.
        #[test]
        fn timestamps_round_trip(seconds in -62_000_000_000i64..250_000_000_000, nanos in 0i64..1_000_000_000, unit in 0usize..4, iso: bool, zoned: bool) {
            let unit = UNITS[unit];
            let format = if iso { TimestampFormat::Iso8601 } else { TimestampFormat::Sql };
            let per = per_second(unit);
            let Some(units) = seconds.checked_mul(per).and_then(|s| s.checked_add(nanos / (1_000_000_000 / per))) else { return Ok(()) };
            let mut text = Vec::new();
            write_timestamp(units, unit, zoned, format, &mut text);
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(parse_timestamp(&text, format, unit, zoned), Some(units), "{}", text);
            let rfc3339 = format!("{}Z", text.replace(' ', "T").trim_end_matches('Z'));
            let model = DateTime::parse_from_rfc3339(&rfc3339).unwrap();
            prop_assert_eq!(model.timestamp(), seconds);
            prop_assert_eq!(i64::from(model.timestamp_subsec_nanos()) / (1_000_000_000 / per), nanos / (1_000_000_000 / per));
        }

        #[test]
        fn dates_are_chronos(text in "[0-9]{4}-[01][0-9]-[0-3][0-9]") {
            let model = text.parse::<NaiveDate>().ok().map(|date| date.signed_duration_since(NaiveDate::default()).num_days() as i32);
            prop_assert_eq!(parse_date(&text), model);
            if let Some(days) = model {
                let mut out = Vec::new();
                write_date(i64::from(days), &mut out);
                prop_assert_eq!(String::from_utf8(out).unwrap(), text);
            }
        }

        #[test]
        fn whatever_the_text_nothing_panics(text in "[-0-9T :.Z+]{0,30}") {
            parse_date(&text);
            parse_time(&text, TimeUnit::Nanosecond);
            parse_timestamp(&text, TimestampFormat::Sql, TimeUnit::Nanosecond, true);
        }
    }

    #[test]
    fn zones_move_and_fractions_are_cut() {
        let at =
            |text| parse_timestamp(text, TimestampFormat::Iso8601, TimeUnit::Millisecond, true);
        assert_eq!(at("1970-01-01T02:00:00.1239+02:00"), Some(123));
        assert_eq!(at("1969-12-31T20:30-0330"), Some(0));
        for wrong in [
            "1970-01-01T00:00:00",
            "1970-01-01 00:00:00Z",
            "1970-01-01T24:00Z",
            "1970-01-01T00:00:00.Z",
        ] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
        assert_eq!(parse_time("23:59:59.5", TimeUnit::Millisecond), Some(86_399_500));
        assert_eq!(parse_time("7:00", TimeUnit::Second), None);
    }
}
