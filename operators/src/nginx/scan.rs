//! Looking for the bytes at which the fields of a line end.
//!
//! Fields are short, so that a call of `memchr` costs as much as its search: on x86-64, whose baseline has 16-byte
//! comparisons, these loops are inlined instead, which makes the whole parser a third faster. Elsewhere `memchr` does it.

/// Where the first `"` or `\` at or after `from` is.
#[inline(always)]
pub(super) fn quote_or_backslash(line: &[u8], from: usize) -> Option<usize> {
    imp::quote_or_backslash(line, from)
}

/// Where the first byte that is no printable ASCII character, or a space, is.
#[inline(always)]
pub(super) fn not_graphic(line: &[u8]) -> Option<usize> {
    imp::not_graphic(line)
}

#[cfg(target_arch = "x86_64")]
mod imp {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_cmplt_epi8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
        _mm_set1_epi8,
    };

    #[inline(always)]
    pub(super) fn quote_or_backslash(line: &[u8], from: usize) -> Option<usize> {
        // SAFETY: SSE2 is part of x86-64.
        find(line, from, |block| unsafe {
            let quotes = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'"' as i8));
            let backslashes = _mm_cmpeq_epi8(block, _mm_set1_epi8(b'\\' as i8));
            _mm_movemask_epi8(_mm_or_si128(quotes, backslashes)) as u32
        })
    }

    #[inline(always)]
    pub(super) fn not_graphic(line: &[u8]) -> Option<usize> {
        // SAFETY: SSE2 is part of x86-64.
        find(line, 0, |block| unsafe {
            // Bytes from 0x80 on are negative here, so they are among what is less than `!`.
            let low_or_high = _mm_cmplt_epi8(block, _mm_set1_epi8(b'!' as i8));
            let delete = _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f));
            _mm_movemask_epi8(_mm_or_si128(low_or_high, delete)) as u32
        })
    }

    /// The first byte at or after `from` for which `hits`, given sixteen bytes, sets the bit.
    #[inline(always)]
    fn find(line: &[u8], from: usize, hits: impl Fn(__m128i) -> u32) -> Option<usize> {
        let mut at = from;
        while let Some(bytes) = line.get(at..)?.first_chunk::<16>() {
            let hits = hits(block(bytes));
            if hits != 0 {
                return Some(at + hits.trailing_zeros() as usize);
            }
            at += 16;
        }
        let left = line.len() - at;
        let hits = match line.last_chunk::<16>() {
            // The last sixteen bytes, without those that have been seen.
            Some(bytes) => hits(block(bytes)) >> (16 - left),
            None => {
                let mut bytes = [b'a'; 16];
                bytes[..left].copy_from_slice(&line[at..]);
                hits(block(&bytes))
            }
        };
        (hits != 0).then(|| at + hits.trailing_zeros() as usize)
    }

    #[inline(always)]
    fn block(bytes: &[u8; 16]) -> __m128i {
        let both = u128::from_le_bytes(*bytes);
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_set_epi64x((both >> 64) as i64, both as i64) }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod imp {
    #[inline(always)]
    pub(super) fn quote_or_backslash(line: &[u8], from: usize) -> Option<usize> {
        memchr::memchr2(b'"', b'\\', line.get(from..)?).map(|at| from + at)
    }

    #[inline(always)]
    pub(super) fn not_graphic(line: &[u8]) -> Option<usize> {
        line.iter().position(|byte| !byte.is_ascii_graphic())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_a_plain_search_finds() {
        // Every byte value at every place of lines around the block length, from every start.
        for length in 0..50usize {
            for place in 0..length {
                for byte in 0..=255u8 {
                    let mut line = vec![b'x'; length];
                    line[place] = byte;
                    let graphic = line.iter().position(|byte| !(b'!'..=b'~').contains(byte));
                    assert_eq!(not_graphic(&line), graphic, "{byte} at {place} of {length}");
                    let special = byte == b'"' || byte == b'\\';
                    for from in
                        [0, 1, place.saturating_sub(16), place, place + 1, length, length + 1]
                    {
                        let expected = (special && from <= place).then_some(place);
                        assert_eq!(
                            quote_or_backslash(&line, from),
                            expected,
                            "{place} from {from}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn finds_the_first_of_several() {
        for gap in 1..40 {
            let line = [&b"\"".repeat(3)[..], &b"y".repeat(gap), b"\\\" \x7f\xff"].concat();
            assert_eq!(quote_or_backslash(&line, 0), Some(0));
            assert_eq!(quote_or_backslash(&line, 3), Some(3 + gap));
            assert_eq!(not_graphic(&line), Some(5 + gap));
        }
    }
}
