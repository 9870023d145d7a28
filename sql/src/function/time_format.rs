//! Patterns of dates and times as Java's `DateTimeFormatter` has them (`yyyy-MM-dd HH:mm:ss.SSS`): to write and to read.

use std::fmt::{self, Write};

use chrono::{DateTime, Datelike, NaiveDate, Timelike};

/// Milliseconds of a day.
pub(super) const DAY: i64 = 86_400_000;

/// The pattern that is meant where none is given.
pub(super) const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    /// As it stands.
    Literal(String),
    /// A letter and how often it stands there.
    Field(Field, usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year,
    Quarter,
    Month,
    Week,
    DayOfYear,
    Day,
    DayName,
    HalfOfDay,
    /// 0 to 23.
    Hour,
    /// 1 to 12.
    HourOfHalf,
    /// 0 to 11.
    HourOfHalfFromZero,
    /// 1 to 24.
    HourFromOne,
    Minute,
    Second,
    Fraction,
    /// `UTC`
    ZoneName,
    /// `+0000`
    ZoneOffset,
    /// `Z`
    ZoneIso,
}

impl Field {
    fn of(letter: char) -> Option<Self> {
        Some(match letter {
            'y' | 'u' => Self::Year,
            'Q' | 'q' => Self::Quarter,
            'M' | 'L' => Self::Month,
            'w' => Self::Week,
            'D' => Self::DayOfYear,
            'd' => Self::Day,
            'E' => Self::DayName,
            'a' => Self::HalfOfDay,
            'H' => Self::Hour,
            'h' => Self::HourOfHalf,
            'K' => Self::HourOfHalfFromZero,
            'k' => Self::HourFromOne,
            'm' => Self::Minute,
            's' => Self::Second,
            'S' => Self::Fraction,
            'z' | 'V' => Self::ZoneName,
            'Z' => Self::ZoneOffset,
            'X' => Self::ZoneIso,
            _ => return None,
        })
    }

    /// Whether it is written in digits when it stands there `count` times.
    fn numeric(self, count: usize) -> bool {
        match self {
            Self::Month => count <= 2,
            Self::DayName | Self::HalfOfDay | Self::ZoneName | Self::ZoneOffset | Self::ZoneIso => {
                false
            }
            _ => true,
        }
    }
}

/// A pattern, ready to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    pieces: Vec<Piece>,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it: a letter that means nothing, a quote that does not end.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut characters = pattern.chars().peekable();
        while let Some(character) = characters.next() {
            if character == '\'' {
                if characters.next_if_eq(&'\'').is_some() {
                    literal.push('\'');
                    continue;
                }
                loop {
                    match characters.next() {
                        None => return Err(format!("'{pattern}' has a quote that does not end")),
                        Some('\'') if characters.next_if_eq(&'\'').is_some() => literal.push('\''),
                        Some('\'') => break,
                        Some(other) => literal.push(other),
                    }
                }
            } else if character.is_ascii_alphabetic() {
                let Some(field) = Field::of(character) else {
                    return Err(format!(
                        "'{pattern}' has the letter '{character}', which stands for nothing; quote text: '...'"
                    ));
                };
                let mut count = 1;
                while characters.next_if_eq(&character).is_some() {
                    count += 1;
                }
                if !literal.is_empty() {
                    pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                }
                pieces.push(Piece::Field(field, count));
            } else {
                literal.push(character);
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Ok(Self { pieces })
    }

    /// Writes a time; `None` if it lies beyond the years that can be told.
    pub(super) fn format(&self, millis: i64, out: &mut impl Write) -> Result<bool, fmt::Error> {
        let Some(time) = DateTime::from_timestamp_millis(millis) else { return Ok(false) };
        for piece in &self.pieces {
            let (field, count) = match piece {
                Piece::Literal(text) => {
                    out.write_str(text)?;
                    continue;
                }
                Piece::Field(field, count) => (*field, *count),
            };
            match field {
                Field::Year if count == 2 => digits(out, time.year().rem_euclid(100).into(), 2)?,
                Field::Year => digits(out, time.year().into(), count)?,
                Field::Quarter => digits(out, time.quarter().into(), count)?,
                Field::Month if count <= 2 => digits(out, time.month().into(), count)?,
                Field::Month => named(out, MONTHS[time.month0() as usize], count)?,
                Field::Week => digits(out, time.iso_week().week().into(), count)?,
                Field::DayOfYear => digits(out, time.ordinal().into(), count)?,
                Field::Day => digits(out, time.day().into(), count)?,
                Field::DayName => {
                    let day = DAYS[time.weekday().num_days_from_monday() as usize];
                    named(out, day, count)?;
                }
                Field::HalfOfDay => out.write_str(if time.hour() < 12 { "AM" } else { "PM" })?,
                Field::Hour => digits(out, time.hour().into(), count)?,
                Field::HourOfHalf => digits(out, time.hour12().1.into(), count)?,
                Field::HourOfHalfFromZero => digits(out, (time.hour() % 12).into(), count)?,
                Field::HourFromOne => digits(out, ((time.hour() + 23) % 24 + 1).into(), count)?,
                Field::Minute => digits(out, time.minute().into(), count)?,
                Field::Second => digits(out, time.second().into(), count)?,
                Field::Fraction => fraction(out, time.timestamp_subsec_millis(), count)?,
                Field::ZoneName => out.write_str("UTC")?,
                Field::ZoneOffset => out.write_str("+0000")?,
                Field::ZoneIso => out.write_char('Z')?,
            }
        }
        Ok(true)
    }

    /// Reads a time, in milliseconds; what the pattern does not have is that of 1970-01-01 00:00:00. `None` if the text is not so.
    pub(super) fn parse(&self, text: &str) -> Option<i64> {
        let mut read = Read::default();
        let mut rest = text;
        for (index, piece) in self.pieces.iter().enumerate() {
            let (field, count) = match piece {
                Piece::Literal(literal) => {
                    rest = rest.strip_prefix(literal.as_str())?;
                    continue;
                }
                Piece::Field(field, count) => (*field, *count),
            };
            if !field.numeric(count) {
                rest = read.word(field, count, rest)?;
                continue;
            }
            let adjacent = matches!(self.pieces.get(index + 1),
                Some(Piece::Field(next, count)) if next.numeric(*count));
            let most = match (field, count) {
                _ if adjacent => count,
                (Field::Year, 4..) | (_, 1) => 9,
                _ => count,
            };
            let end = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
            if end == 0 || (end < count && field != Field::Fraction) {
                return None;
            }
            let (digits, behind) = rest.split_at(end);
            read.number(field, count, digits)?;
            rest = behind;
        }
        rest.is_empty().then(|| read.millis()).flatten()
    }
}

/// A number with at least `width` digits.
fn digits(out: &mut impl Write, number: i64, width: usize) -> fmt::Result {
    if let (0..100, 2) = (number, width) {
        out.write_char(char::from(b'0' + (number / 10) as u8))?;
        return out.write_char(char::from(b'0' + (number % 10) as u8));
    }
    write!(out, "{number:0width$}")
}

fn named(out: &mut impl Write, name: &str, count: usize) -> fmt::Result {
    match count {
        1..=3 => out.write_str(&name[..3]),
        4 => out.write_str(name),
        _ => out.write_str(&name[..1]),
    }
}

fn fraction(out: &mut impl Write, millis: u32, count: usize) -> fmt::Result {
    let mut unit = 100;
    for _ in 0..count {
        out.write_char(char::from(b'0' + (millis.checked_div(unit).unwrap_or(0) % 10) as u8))?;
        unit /= 10;
    }
    Ok(())
}

/// What a text told.
#[derive(Default)]
struct Read {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    day_of_year: Option<u32>,
    hour: Option<i64>,
    hour_of_half: Option<i64>,
    afternoon: bool,
    minute: i64,
    second: i64,
    millis: i64,
    offset: i64,
}

impl Read {
    fn number(&mut self, field: Field, count: usize, digits: &str) -> Option<()> {
        let value: i64 = match field {
            Field::Fraction => 0,
            _ => digits.parse().ok()?,
        };
        match field {
            Field::Year if count == 2 => self.year = Some(2000 + i32::try_from(value).ok()?),
            Field::Year => self.year = Some(i32::try_from(value).ok()?),
            Field::Month => self.month = Some(u32::try_from(value).ok()?),
            Field::Day => self.day = Some(u32::try_from(value).ok()?),
            Field::DayOfYear => self.day_of_year = Some(u32::try_from(value).ok()?),
            Field::Hour if value < 24 => self.hour = Some(value),
            Field::HourFromOne if (1..=24).contains(&value) => self.hour = Some(value % 24),
            Field::HourOfHalf if (1..=12).contains(&value) => self.hour_of_half = Some(value % 12),
            Field::HourOfHalfFromZero if value < 12 => self.hour_of_half = Some(value),
            Field::Minute if value < 60 => self.minute = value,
            Field::Second if value < 60 => self.second = value,
            Field::Fraction => self.millis = millis_of(digits),
            Field::Quarter | Field::Week => {}
            _ => return None,
        }
        Some(())
    }

    fn word<'t>(&mut self, field: Field, count: usize, text: &'t str) -> Option<&'t str> {
        let length = |name: &'static str| if count == 4 { name } else { &name[..3] };
        match field {
            Field::Month => {
                let at = MONTHS.iter().position(|name| text.starts_with(length(name)))?;
                self.month = Some(at as u32 + 1);
                text.get(length(MONTHS[at]).len()..)
            }
            Field::DayName => {
                let at = DAYS.iter().position(|name| text.starts_with(length(name)))?;
                text.get(length(DAYS[at]).len()..)
            }
            Field::HalfOfDay => {
                self.afternoon = text.starts_with("PM");
                text.strip_prefix("AM").or_else(|| text.strip_prefix("PM"))
            }
            _ => {
                if let Some(rest) = text.strip_prefix("UTC").or_else(|| text.strip_prefix('Z')) {
                    return Some(rest);
                }
                let sign = if text.starts_with('-') { -1 } else { 1 };
                let rest = text.strip_prefix(['+', '-'])?;
                let two = |text: &str| text.get(..2).and_then(|two| two.parse::<i64>().ok());
                let hours = two(rest)?;
                let rest = rest[2..].strip_prefix(':').unwrap_or(&rest[2..]);
                let (minutes, rest) = match two(rest) {
                    Some(minutes) => (minutes, &rest[2..]),
                    None => (0, rest),
                };
                self.offset = sign * (hours * 60 + minutes) * 60_000;
                Some(rest)
            }
        }
    }

    fn millis(&self) -> Option<i64> {
        let year = self.year.unwrap_or(1970);
        let date = match self.day_of_year {
            Some(day) => NaiveDate::from_yo_opt(year, day)?,
            None => clamped_date(year, self.month.unwrap_or(1), self.day.unwrap_or(1))?,
        };
        let half = if self.afternoon { 12 } else { 0 };
        let hour = match (self.hour, self.hour_of_half) {
            (Some(hour), _) => hour,
            (None, Some(hour)) => hour + half,
            (None, None) => half,
        };
        let of_day = ((hour * 60 + self.minute) * 60 + self.second) * 1000 + self.millis;
        Some(days_since_1970(date) * DAY + of_day - self.offset)
    }
}

/// Days from 1970-01-01 to a date.
pub(super) fn days_since_1970(date: NaiveDate) -> i64 {
    i64::from(date.num_days_from_ce()) - 719_163
}

/// A date; a day that its month does not have, up to the 31st, is the month's last, as in Java.
pub(super) fn clamped_date(year: i32, month: u32, day: u32) -> Option<NaiveDate> {
    if day > 31 {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(year, month, day);
    date.or_else(|| (28..day).rev().find_map(|day| NaiveDate::from_ymd_opt(year, month, day)))
}

/// The milliseconds of the digits behind a point.
fn millis_of(digits: &str) -> i64 {
    let padded = digits.bytes().chain(std::iter::repeat(b'0')).take(3);
    padded.fold(0, |millis, digit| millis * 10 + i64::from(digit - b'0'))
}

/// Up to `most` digits and what is behind them.
fn number(text: &str, most: usize) -> Option<(i64, &str)> {
    let end = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

/// Reads `yyyy-M-d`, with what is behind it; `day_exists`: a day that its month does not have is refused.
fn leading_date(text: &str, day_exists: bool) -> Option<(i64, &str)> {
    let (year, rest) = number(text, 6)?;
    let (month, rest) = number(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = number(rest.strip_prefix('-')?, 2)?;
    let (year, month, day) = (i32::try_from(year).ok()?, month as u32, day as u32);
    let date = match day_exists {
        true => NaiveDate::from_ymd_opt(year, month, day)?,
        false => clamped_date(year, month, day)?,
    };
    Some((days_since_1970(date), rest))
}

/// Reads a date such as `2024-03-05`, in days since 1970.
pub(super) fn parse_date(text: &str) -> Option<i64> {
    let (days, rest) = leading_date(text.trim(), true)?;
    rest.is_empty().then_some(days)
}

/// Reads a time such as `2024-03-05 14:07:09.123`, in milliseconds; minutes, seconds and the time itself may be left out.
pub(super) fn parse_timestamp(text: &str) -> Option<i64> {
    let (days, rest) = leading_date(text.trim(), false)?;
    let mut millis = days.checked_mul(DAY)?;
    let Some(rest) = rest.strip_prefix(' ') else {
        return rest.is_empty().then_some(millis);
    };
    let (hour, mut rest) = number(rest, 2)?;
    let mut parts = [hour, 0, 0];
    for part in &mut parts[1..] {
        let Some(behind) = rest.strip_prefix(':') else { break };
        (*part, rest) = number(behind, 2)?;
    }
    if parts[0] > 23 || parts[1] > 59 || parts[2] > 59 {
        return None;
    }
    millis += ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1000;
    if let Some(behind) = rest.strip_prefix('.') {
        let end = behind.bytes().take(9).take_while(u8::is_ascii_digit).count();
        millis += millis_of(&behind[..end]);
        rest = &behind[end..];
    }
    rest.is_empty().then_some(millis)
}
