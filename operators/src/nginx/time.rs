//! The timestamp of an access log, `17/May/2015:10:05:03 +0000`: a fixed layout of 26 bytes.
//!
//! Consecutive lines share all but the minute and the second, so [`TimeCache`] remembers what the rest (date, hour and
//! zone) came to.

/// The length of a timestamp in bytes.
pub const TIME_LEN: usize = 26;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Milliseconds since 1970-01-01T00:00:00Z of a timestamp, its zone offset taken into account.
///
/// `None` if it is not laid out like `17/May/2015:10:05:03 +0000`, or names a day, a time or a zone that there is not.
/// Months are English, as nginx and Apache write them whatever the locale; there is no second 60.
///
/// ```
/// use riverrun_operators::nginx::time::parse_time;
///
/// assert_eq!(parse_time(b"17/May/2015:10:05:03 +0000"), Some(1_431_857_103_000));
/// assert_eq!(parse_time(b"17/May/2015:12:05:03 +0200"), Some(1_431_857_103_000));
/// assert_eq!(parse_time(b"29/Feb/2015:10:05:03 +0000"), None);
/// ```
pub fn parse_time(text: &[u8; TIME_LEN]) -> Option<i64> {
    Some(hour_start(text)? + within_hour(text)?)
}

/// [`parse_time`] for many timestamps of which neighbours lie in the same hour.
#[derive(Debug, Clone, Default)]
pub struct TimeCache {
    date: u64,
    hour: u64,
    zone: u64,
    start: i64,
}

impl TimeCache {
    /// Same as [`parse_time`], and about three times as fast if the timestamp before was of the same hour and zone.
    #[inline]
    pub fn parse(&mut self, text: &[u8; TIME_LEN]) -> Option<i64> {
        // The two words overlap, so that together they are the fourteen bytes of date and hour; the zone has six.
        let date = word(text, 0);
        let hour = word(text, 6);
        let zone = word(text, 18) >> 16;
        if (date, hour, zone) != (self.date, self.hour, self.zone) {
            let start = hour_start(text)?;
            *self = TimeCache { date, hour, zone, start };
        }
        Some(self.start + within_hour(text)?)
    }
}

#[inline]
fn word(text: &[u8; TIME_LEN], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&text[at..at + 8]);
    u64::from_le_bytes(bytes)
}

/// Two digits, or `None`.
#[inline]
fn two(text: &[u8; TIME_LEN], at: usize) -> Option<i64> {
    let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| i64::from(tens * 10 + ones))
}

/// Milliseconds from the hour's start to the timestamp, from its bytes 14 to 19, `:05:03`.
#[inline]
fn within_hour(text: &[u8; TIME_LEN]) -> Option<i64> {
    let (minute, second) = (two(text, 15)?, two(text, 18)?);
    let valid = text[14] == b':' && text[17] == b':' && minute <= 59 && second <= 59;
    valid.then_some((minute * 60 + second) * 1000)
}

/// When the hour of the timestamp began, in UTC: everything in it except minute and second.
fn hour_start(text: &[u8; TIME_LEN]) -> Option<i64> {
    let separators = [text[2], text[6], text[11], text[20]];
    if separators != [b'/', b'/', b':', b' '] {
        return None;
    }
    let month = MONTHS.iter().position(|name| name[..] == text[3..6])?;
    let year = two(text, 7)? * 100 + two(text, 9)?;
    let day = two(text, 0)?;
    let hour = two(text, 12)?;
    if day < 1 || day > days_in_month(year, month) || hour > 23 {
        return None;
    }
    let (zone_hour, zone_minute) = (two(text, 22)?, two(text, 24)?);
    let sign = match text[21] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if zone_hour > 23 || zone_minute > 59 {
        return None;
    }
    let offset = sign * (zone_hour * 60 + zone_minute) * 60;
    Some((days_before(year, month) + day - 1) * 86_400_000 + hour * 3_600_000 - offset * 1000)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in_month(year: i64, month: usize) -> i64 {
    const DAYS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    DAYS[month] + i64::from(month == 1 && is_leap(year))
}

/// Days from 1970-01-01 to the first of a month; `month` counts from zero.
fn days_before(year: i64, month: usize) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    // Days in all the years before `year`, from year 0 on, which was a leap year.
    let past = year - 1;
    let since_zero = year * 365
        + if year > 0 { past / 4 - past / 100 + past / 400 + 1 } else { 0 }
        + BEFORE[month]
        + i64::from(month > 1 && is_leap(year));
    since_zero - 719_528
}

/// Appends the timestamp of `time_ms` (milliseconds since the epoch; what is below a second is cut off) as seen in a
/// zone that is `offset_minutes` ahead of UTC.
///
/// Years before 0 or after 9999, which the layout has no room for, are written as the nearest time that it has.
///
/// ```
/// let mut out = Vec::new();
/// riverrun_operators::nginx::time::write_time(1_431_857_103_000, -90, &mut out);
/// assert_eq!(out, b"17/May/2015:08:35:03 -0130");
/// ```
pub fn write_time(time_ms: i64, offset_minutes: i16, out: &mut Vec<u8>) {
    const FIRST: i64 = -62_167_219_200;
    const LAST: i64 = 253_402_300_799;
    let local =
        time_ms.div_euclid(1000).saturating_add(i64::from(offset_minutes) * 60).clamp(FIRST, LAST);
    let (year, month, day) = civil(local.div_euclid(86_400));
    let second = local.rem_euclid(86_400);
    let two = |n: i64| [b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
    out.extend_from_slice(&two(day));
    out.push(b'/');
    out.extend_from_slice(MONTHS[month]);
    out.push(b'/');
    out.extend_from_slice(&two(year / 100));
    out.extend_from_slice(&two(year));
    for part in [second / 3600, second / 60 % 60, second % 60] {
        out.push(b':');
        out.extend_from_slice(&two(part));
    }
    let zone = i64::from(offset_minutes.unsigned_abs());
    out.extend_from_slice(if offset_minutes < 0 { b" -" } else { b" +" });
    out.extend_from_slice(&two(zone / 60));
    out.extend_from_slice(&two(zone % 60));
}

/// Year, month (from zero) and day of month of a day, counted from 1970-01-01.
fn civil(day: i64) -> (i64, usize, i64) {
    // The average year has 365.2425 days: the guess is off by one at most.
    let mut year = (day + 719_528) * 400 / 146_097;
    if days_before(year, 0) > day {
        year -= 1;
    } else if days_before(year + 1, 0) <= day {
        year += 1;
    }
    let month = (1..12).take_while(|&month| days_before(year, month) <= day).count();
    (year, month, day - days_before(year, month) + 1)
}
