//! A slow parser written from the format's description alone, to hold the fast one against.

use super::line::AccessLine;

/// The fields, or `None` if the line is broken.
pub(super) fn parse(line: &[u8]) -> Option<AccessLine<'_>> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (host, rest) = until(line, b" ")?;
    if host.is_empty() || host.iter().any(|&byte| !(0x21..=0x7e).contains(&byte)) {
        return None;
    }
    let (ident, rest) = until(rest, b" ")?;
    let (user, rest) = until(rest, b" [")?;
    if ident.is_empty()
        || user.is_empty()
        || [ident, user].iter().any(|name| name.iter().any(|byte| b"[\"".contains(byte)))
    {
        return None;
    }
    let (time, rest) = until(rest, b"] ")?;
    let time_ms = parse_time(time)?;
    let (request, rest) = quoted(rest)?;
    let rest = rest.strip_prefix(b" ")?;
    let (status, rest) = until(rest, b" ")?;
    if status.len() != 3 || !status.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let status = std::str::from_utf8(status).ok()?.parse().ok()?;
    let (bytes, rest) = match until(rest, b" ") {
        Some((bytes, rest)) => (bytes, Some(rest)),
        None => (rest, None),
    };
    let bytes = match bytes {
        b"-" => None,
        digits if digits.iter().all(u8::is_ascii_digit) => {
            Some(std::str::from_utf8(digits).ok()?.parse().ok()?)
        }
        _ => return None,
    };
    let (referer, user_agent) = match rest {
        None => (None, None),
        Some(rest) => {
            let (referer, rest) = quoted(rest)?;
            let (user_agent, rest) = quoted(rest.strip_prefix(b" ")?)?;
            if !rest.is_empty() {
                return None;
            }
            (Some(referer), Some(user_agent))
        }
    };
    Some(AccessLine { host, ident, user, time_ms, request, status, bytes, referer, user_agent })
}

fn until<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(separator.len()).position(|window| window == separator)?;
    Some((&text[..at], &text[at + separator.len()..]))
}

/// The field between quotes that `text` begins with, and what follows it.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let mut escaped = false;
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

fn parse_time(text: &[u8]) -> Option<i64> {
    // The layout is fixed, while chrono accepts signs, spaces and long years in many places.
    let layout = b"00/Aaa/0000:00:00:00 +0000";
    let fits = |(&byte, &place): (&u8, &u8)| match place {
        b'0' => byte.is_ascii_digit(),
        b'A' | b'a' => byte.is_ascii_alphabetic(),
        b'+' => byte == b'+' || byte == b'-',
        _ => byte == place,
    };
    if text.len() != layout.len() || !text.iter().zip(layout).all(fits) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    if &text[18..20] == "60" || !MONTHS.contains(&&text[3..6]) {
        return None;
    }
    // chrono's zones end at 24 hours, as ours do.
    let naive = chrono::NaiveDateTime::parse_from_str(&text[..20], "%d/%b/%Y:%H:%M:%S").ok()?;
    let (hours, minutes): (i64, i64) = (text[22..24].parse().ok()?, text[24..26].parse().ok()?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let offset = (hours * 60 + minutes) * 60_000;
    let local = naive.and_utc().timestamp_millis();
    Some(if &text[21..22] == "-" { local + offset } else { local - offset })
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
