//! Timestamps as people read them: `2015-05-17T10:05:00Z`, with milliseconds only where there are some.
//!
//! For fields of a row: `#[serde(with = "riverrun_operators::format::rfc3339")]` on an `i64` of milliseconds
//! writes text into JSON and a plain number into state.

use std::fmt;

use riverrun_dataflow::Timestamp;
use serde::de::{self, Visitor};
use serde::{Deserializer, Serializer};

/// Years beyond 9999 and before 0 have no such text; they are written as the nearest that has one.
const FIRST: Timestamp = -62_167_219_200_000;
const LAST: Timestamp = 253_402_300_799_999;

const DAY: i64 = 86_400_000;

/// Appends the time `ms`, in milliseconds since 1970-01-01T00:00:00Z, as RFC 3339 in UTC.
///
/// Years before 0 or after 9999, which RFC 3339 has no room for, are written as the nearest time that it has.
///
/// ```
/// use riverrun_operators::format::rfc3339;
/// let mut out = Vec::new();
/// rfc3339::write(1_431_857_100_000, &mut out);
/// assert_eq!(out, b"2015-05-17T10:05:00Z");
/// ```
pub fn write(ms: Timestamp, out: &mut Vec<u8>) {
    let ms = ms.clamp(FIRST, LAST);
    let (year, month, day) = civil(ms.div_euclid(DAY));
    let of_day = ms.rem_euclid(DAY);
    let (second, milli) = (of_day / 1000, of_day % 1000);
    let two = |n: i64| [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
    let mut text = *b"0000-00-00T00:00:00.000Z";
    text[0..2].copy_from_slice(&two(year / 100));
    text[2..4].copy_from_slice(&two(year % 100));
    text[5..7].copy_from_slice(&two(month));
    text[8..10].copy_from_slice(&two(day));
    text[11..13].copy_from_slice(&two(second / 3600));
    text[14..16].copy_from_slice(&two(second / 60 % 60));
    text[17..19].copy_from_slice(&two(second % 60));
    if milli == 0 {
        text[19] = b'Z';
        out.extend_from_slice(&text[..20]);
    } else {
        text[20] = b'0' + (milli / 100) as u8;
        text[21..23].copy_from_slice(&two(milli % 100));
        out.extend_from_slice(&text);
    }
}

/// The text of [`write()`].
pub fn to_string(ms: Timestamp) -> String {
    let mut out = Vec::with_capacity(24);
    write(ms, &mut out);
    // All of it is ASCII.
    String::from_utf8_lossy(&out).into_owned()
}

/// Year, month and day of a day counted from 1970-01-01; the era-based algorithm of Howard Hinnant.
pub(crate) fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Writes text in formats that people read, a number elsewhere.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(ms: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    if !serializer.is_human_readable() {
        return serializer.serialize_i64(*ms);
    }
    serializer.serialize_str(&to_string(*ms))
}

/// Reads what [`serialize`] wrote; text may have any zone.
///
/// # Errors
/// Those of the deserializer, and if the text is no RFC 3339 time.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    struct Time;
    impl Visitor<'_> for Time {
        type Value = Timestamp;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a time like 2015-05-17T10:05:00Z")
        }
        fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
            chrono::DateTime::parse_from_rfc3339(text)
                .map(|time| time.timestamp_millis())
                .map_err(|error| E::custom(format_args!("{text:?} is no RFC 3339 time: {error}")))
        }
        fn visit_i64<E: de::Error>(self, ms: i64) -> Result<Timestamp, E> {
            Ok(ms)
        }
    }
    if deserializer.is_human_readable() {
        deserializer.deserialize_str(Time)
    } else {
        deserializer.deserialize_i64(Time)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against chrono, over all the years that there is room for.
        #[test]
        fn as_chrono_writes_it(ms in FIRST..=LAST, whole: bool) {
            let ms = if whole { ms.div_euclid(1000) * 1000 } else { ms };
            let time = chrono::DateTime::from_timestamp_millis(ms).unwrap();
            prop_assert_eq!(to_string(ms), time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true));
        }
    }

    #[test]
    fn text_in_json_and_a_number_in_state() {
        #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
        struct Row(#[serde(with = "super")] i64);
        let json = serde_json::to_string(&Row(1_500)).unwrap();
        assert_eq!(json, r#""1970-01-01T00:00:01.500Z""#);
        assert_eq!(serde_json::from_str::<Row>(&json).unwrap(), Row(1_500));
        let bytes = riverrun_dataflow::codec::encode(&Row(-3)).unwrap();
        assert_eq!(riverrun_dataflow::codec::decode::<Row>(&bytes).unwrap(), Row(-3));
        assert!(serde_json::from_str::<Row>(r#""yesterday""#).is_err());
        assert_eq!(to_string(i64::MAX), "9999-12-31T23:59:59.999Z");
    }
}
