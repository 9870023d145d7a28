//! Zigzag varints, as Kafka's record format uses them: little groups of seven bits, the lowest first.
//!
//! Readers take a `&mut &[u8]` and move it past what they read; they return `None`, and leave the
//! input where it was, when the input ends too early or the number does not fit its type.

/// Longest encoding of an `i64`, in bytes.
pub const MAX_VARLONG_LEN: usize = 10;
/// Longest encoding of an `i32`, in bytes.
pub const MAX_VARINT_LEN: usize = 5;

#[inline]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
fn unzigzag(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

/// How many bytes [`write_varlong`] writes for `value` (1 to 10).
///
/// An `i32` widened to `i64` has the same encoding as Kafka's 32-bit varint, so this serves for both.
#[inline]
pub fn varlong_len(value: i64) -> usize {
    let bits = 64 - (zigzag(value) | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// Appends `value` to `out`.
///
/// ```
/// use riverrun_log_store::varint::{read_varlong, write_varlong};
/// let mut bytes = Vec::new();
/// write_varlong(&mut bytes, -300);
/// assert_eq!(bytes, [0xd7, 0x04]);
/// let mut input = &bytes[..];
/// assert_eq!(read_varlong(&mut input), Some(-300));
/// assert!(input.is_empty());
/// ```
#[inline]
pub fn write_varlong(out: &mut Vec<u8>, value: i64) {
    let mut raw = zigzag(value);
    while raw >= 0x80 {
        out.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.push(raw as u8);
}

/// Writes `value` to the front of `out` and returns how many bytes it took.
///
/// # Panics
/// If `out` is shorter than [`varlong_len`] of the value.
#[inline]
pub(crate) fn put_varlong(out: &mut [u8], value: i64) -> usize {
    let mut raw = zigzag(value);
    let mut at = 0;
    while raw >= 0x80 {
        out[at] = raw as u8 | 0x80;
        raw >>= 7;
        at += 1;
    }
    out[at] = raw as u8;
    at + 1
}

/// Reads a 64-bit varint.
#[inline(always)]
pub fn read_varlong(input: &mut &[u8]) -> Option<i64> {
    read_raw(input).map(unzigzag)
}

/// Reads a 32-bit varint.
#[inline(always)]
pub fn read_varint(input: &mut &[u8]) -> Option<i32> {
    let start = *input;
    match read_raw(input) {
        Some(raw) if raw <= u64::from(u32::MAX) => Some(unzigzag(raw) as i32),
        _ => {
            *input = start;
            None
        }
    }
}

/// The lengths and deltas of real records have one or two bytes, so these come first and inline.
#[inline(always)]
fn read_raw(input: &mut &[u8]) -> Option<u64> {
    match **input {
        [a, ref rest @ ..] if a < 0x80 => {
            *input = rest;
            Some(u64::from(a))
        }
        [a, b, ref rest @ ..] if b < 0x80 => {
            *input = rest;
            Some(u64::from(a & 0x7f) | u64::from(b) << 7)
        }
        [a, b, c, ref rest @ ..] if c < 0x80 => {
            *input = rest;
            Some(u64::from(a & 0x7f) | u64::from(b & 0x7f) << 7 | u64::from(c) << 14)
        }
        _ => read_raw_long(input),
    }
}

#[cold]
#[inline(never)]
fn read_raw_long(input: &mut &[u8]) -> Option<u64> {
    let mut raw = 0u64;
    for (at, &byte) in input.iter().enumerate().take(MAX_VARLONG_LEN) {
        // The tenth byte holds the one bit that is left of 64.
        if at == MAX_VARLONG_LEN - 1 && byte > 1 {
            return None;
        }
        raw |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *input = &input[at + 1..];
            return Some(raw);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varlong_round_trips(value: i64, tail in proptest::collection::vec(any::<u8>(), 0..4)) {
            let mut bytes = Vec::new();
            write_varlong(&mut bytes, value);
            prop_assert_eq!(bytes.len(), varlong_len(value));
            let mut fixed = [0u8; MAX_VARLONG_LEN];
            prop_assert_eq!(put_varlong(&mut fixed, value), bytes.len());
            prop_assert_eq!(&fixed[..bytes.len()], &bytes[..]);
            bytes.extend(&tail);
            let mut input = &bytes[..];
            prop_assert_eq!(read_varlong(&mut input), Some(value));
            prop_assert_eq!(input, &tail[..]);
        }

        #[test]
        fn varint_round_trips(value: i32) {
            let mut bytes = Vec::new();
            write_varlong(&mut bytes, i64::from(value));
            prop_assert!(bytes.len() <= MAX_VARINT_LEN);
            prop_assert_eq!(read_varint(&mut &bytes[..]), Some(value));
        }

        #[test]
        fn varint_refuses_what_does_not_fit(value in i64::from(i32::MAX) + 1..) {
            let mut bytes = Vec::new();
            write_varlong(&mut bytes, value);
            let mut input = &bytes[..];
            prop_assert_eq!(read_varint(&mut input), None);
            prop_assert_eq!(input, &bytes[..]);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut input = &bytes[..];
            match read_varlong(&mut input) {
                Some(_) => prop_assert!(input.len() < bytes.len()),
                None => prop_assert_eq!(input.len(), bytes.len()),
            }
        }
    }

    #[test]
    fn known_encodings() {
        let known: [(i64, &[u8]); 8] = [
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (63, &[0x7e]),
            (-64, &[0x7f]),
            (64, &[0x80, 0x01]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
        ];
        for (value, bytes) in known {
            let mut written = Vec::new();
            write_varlong(&mut written, value);
            assert_eq!(written, bytes, "{value}");
        }
    }

    #[test]
    fn an_eleventh_byte_or_a_65th_bit_is_refused() {
        assert_eq!(read_varlong(&mut &[0xff; 11][..]), None);
        let mut bytes = [0xff; 10];
        bytes[9] = 0x02;
        assert_eq!(read_varlong(&mut &bytes[..]), None);
    }
}
