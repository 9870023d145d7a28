//! Units of time: what EXTRACT, FLOOR, CEIL, TIMESTAMPADD and TIMESTAMPDIFF are about. All on milliseconds since 1970, in UTC.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Timelike};

use super::time_format::{DAY, clamped_date, days_since_1970};

/// A unit, or a part of a date that can be extracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Millennium,
    Century,
    Decade,
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    DayOfYear,
    /// Sunday is 1.
    DayOfWeek,
    /// Monday is 1.
    IsoDayOfWeek,
    IsoYear,
    Epoch,
}

/// The names of units that times are rounded to, for errors.
pub(super) const UNITS: &str = "YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND";

impl Unit {
    /// The unit of a name in upper or lower case, in the singular or the plural.
    pub(super) fn of(name: &str) -> Option<Self> {
        let name = name.trim().to_uppercase();
        let name = name.strip_prefix("SQL_TSI_").unwrap_or(&name);
        Some(match name.strip_suffix('S').unwrap_or(name) {
            "MILLENNIUM" | "MILLENIUM" => Self::Millennium,
            "CENTURY" => Self::Century,
            "DECADE" => Self::Decade,
            "YEAR" => Self::Year,
            "QUARTER" => Self::Quarter,
            "MONTH" => Self::Month,
            "WEEK" => Self::Week,
            "DAY" | "DAYOFMONTH" => Self::Day,
            "HOUR" => Self::Hour,
            "MINUTE" => Self::Minute,
            "SECOND" => Self::Second,
            "MILLISECOND" => Self::Millisecond,
            "MICROSECOND" => Self::Microsecond,
            "NANOSECOND" | "FRAC_SECOND" => Self::Nanosecond,
            "DOY" | "DAYOFYEAR" => Self::DayOfYear,
            "DOW" | "DAYOFWEEK" => Self::DayOfWeek,
            "ISODOW" => Self::IsoDayOfWeek,
            "ISOYEAR" => Self::IsoYear,
            "EPOCH" => Self::Epoch,
            _ => return None,
        })
    }

    /// Milliseconds of one, where they are always the same.
    pub(super) fn millis(self) -> Option<i64> {
        Some(match self {
            Self::Week => 7 * DAY,
            Self::Day => DAY,
            Self::Hour => 3_600_000,
            Self::Minute => 60_000,
            Self::Second => 1000,
            Self::Millisecond => 1,
            _ => return None,
        })
    }

    /// Months of one, where it is made of them.
    fn months(self) -> Option<i64> {
        Some(match self {
            Self::Millennium => 12_000,
            Self::Century => 1200,
            Self::Decade => 120,
            Self::Year => 12,
            Self::Quarter => 3,
            Self::Month => 1,
            _ => return None,
        })
    }

    /// The part of a time; `None` beyond the years that can be told.
    pub(super) fn extract(self, millis: i64) -> Option<i64> {
        let of_day = millis.rem_euclid(DAY);
        let time = || DateTime::from_timestamp_millis(millis).map(|time| time.naive_utc());
        // A year that counts from 1 as the part of a longer one.
        let spanning = |years: i64| Some((i64::from(time()?.year()) + years - 1).div_euclid(years));
        Some(match self {
            Self::Hour => of_day / 3_600_000,
            Self::Minute => of_day / 60_000 % 60,
            Self::Second => of_day / 1000 % 60,
            Self::Millisecond => of_day % 1000,
            Self::Microsecond => of_day % 1000 * 1000,
            Self::Nanosecond => of_day % 1000 * 1_000_000,
            Self::Epoch => millis.div_euclid(1000),
            Self::Millennium => spanning(1000)?,
            Self::Century => spanning(100)?,
            Self::Decade => i64::from(time()?.year()).div_euclid(10),
            Self::Year => time()?.year().into(),
            Self::Quarter => time()?.quarter().into(),
            Self::Month => time()?.month().into(),
            Self::Week => time()?.iso_week().week().into(),
            Self::Day => time()?.day().into(),
            Self::DayOfYear => time()?.ordinal().into(),
            Self::DayOfWeek => time()?.weekday().number_from_sunday().into(),
            Self::IsoDayOfWeek => time()?.weekday().number_from_monday().into(),
            Self::IsoYear => time()?.iso_week().year().into(),
        })
    }

    /// The last whole unit at or before a time; weeks begin on Sunday. `None` for a unit that times are not rounded to.
    pub(super) fn floor(self, millis: i64) -> Option<i64> {
        if self == Self::Week {
            // 1970-01-01 was a Thursday: four days after a Sunday.
            let shifted = millis.checked_add(4 * DAY)?;
            return shifted.div_euclid(7 * DAY).checked_mul(7 * DAY)?.checked_sub(4 * DAY);
        }
        if let Some(unit) = self.millis() {
            return millis.checked_sub(millis.rem_euclid(unit));
        }
        let months = self.months()?;
        let date = DateTime::from_timestamp_millis(millis)?.date_naive();
        let year = i64::from(date.year());
        let year = match self {
            Self::Month | Self::Quarter => year,
            // Centuries and millennia begin with the year 1 of theirs.
            Self::Century | Self::Millennium => {
                (year - 1).div_euclid(months / 12) * (months / 12) + 1
            }
            _ => year.div_euclid(months / 12) * (months / 12),
        };
        let month = match self {
            Self::Month => date.month(),
            Self::Quarter => date.month0() / 3 * 3 + 1,
            _ => 1,
        };
        Some(days_since_1970(NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, 1)?) * DAY)
    }

    /// The first whole unit at or behind a time.
    pub(super) fn ceil(self, millis: i64) -> Option<i64> {
        let floor = self.floor(millis)?;
        if floor == millis { Some(floor) } else { self.add(1, floor) }
    }

    /// A time `count` units later; a day that the month does not have becomes its last.
    pub(super) fn add(self, count: i64, millis: i64) -> Option<i64> {
        if let Some(unit) = self.millis() {
            return count.checked_mul(unit)?.checked_add(millis);
        }
        add_months(count.checked_mul(self.months()?)?, millis)
    }

    /// Whole units from one time to another; negative if that is earlier.
    pub(super) fn between(self, from: i64, to: i64) -> Option<i64> {
        if let Some(unit) = self.millis() {
            return Some(to.checked_sub(from)? / unit);
        }
        Some(months_between(from, to)? / self.months()?)
    }
}

fn civil(millis: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_millis(millis).map(|time| time.naive_utc())
}

fn add_months(count: i64, millis: i64) -> Option<i64> {
    let time = civil(millis)?;
    let month = i64::from(time.year()) * 12 + i64::from(time.month0()) + count;
    let year = i32::try_from(month.div_euclid(12)).ok()?;
    let date = clamped_date(year, month.rem_euclid(12) as u32 + 1, time.day())?;
    let of_day = i64::from(time.num_seconds_from_midnight()) * 1000;
    Some(days_since_1970(date) * DAY + of_day + millis.rem_euclid(1000))
}

/// Whole months between the dates, where the last day of a shorter month completes one; then, if the dates meet exactly, one less if
/// the time of day of `to` is the earlier. That is how Flink counts.
fn months_between(from: i64, to: i64) -> Option<i64> {
    let (from_day, to_day) = (from.div_euclid(DAY) * DAY, to.div_euclid(DAY) * DAY);
    let months = if to_day >= from_day {
        whole_months(from_day, to_day)?
    } else {
        -whole_months(to_day, from_day)?
    };
    let meets = add_months(months, from_day)? == to_day;
    Some(if meets && to.rem_euclid(DAY) < from.rem_euclid(DAY) { months - 1 } else { months })
}

fn whole_months(from_day: i64, to_day: i64) -> Option<i64> {
    let (from, to) = (civil(from_day)?, civil(to_day)?);
    let calendar = (i64::from(to.year()) - i64::from(from.year())) * 12
        + (i64::from(to.month0()) - i64::from(from.month0()));
    Some(if add_months(calendar, from_day)? > to_day { calendar - 1 } else { calendar })
}
