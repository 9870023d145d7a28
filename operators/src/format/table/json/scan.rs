//! The bytes of a JSON text, value by value.
//!
//! Everything is checked against JSON's grammar, what is skipped too: a record is refused for what nobody reads as well. The text is
//! UTF-8 before the scanner sees it, so strings need no further look.

use super::super::fault::{Fault, quoted};

/// Objects and arrays in each other, at most.
const MAX_DEPTH: usize = 256;

/// A string as it stands in the text, without its quotes.
#[derive(Clone, Copy)]
pub(in crate::format::table) struct Text<'a> {
    pub(in crate::format::table) raw: &'a str,
    /// Whether it has escapes.
    pub(in crate::format::table) escaped: bool,
}

/// Where in a JSON text reading has come to.
pub(in crate::format::table) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Scanner<'a> {
    /// At the start of a record.
    ///
    /// # Errors
    /// A [`Fault`] if it is not UTF-8.
    pub(in crate::format::table) fn new(value: &'a [u8]) -> Result<Self, Fault> {
        match std::str::from_utf8(value) {
            Ok(text) => Ok(Self { text, at: 0, depth: 0 }),
            Err(error) => {
                Err(Fault::new(format!("not JSON: byte {} is not UTF-8", error.valid_up_to())))
            }
        }
    }

    #[inline]
    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// Position in bytes.
    #[inline]
    pub(in crate::format::table) fn position(&self) -> usize {
        self.at
    }

    /// Goes back to a position that was reached before, at the same depth.
    pub(in crate::format::table) fn back_to(&mut self, position: usize) {
        self.at = position;
    }

    /// Depth, to be given back when reading was broken off.
    pub(in crate::format::table) fn depth(&self) -> usize {
        self.depth
    }

    /// See [`Scanner::depth`].
    pub(in crate::format::table) fn set_depth(&mut self, depth: usize) {
        self.depth = depth;
    }

    /// What was read since `start`.
    pub(in crate::format::table) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.at]
    }

    #[cold]
    pub(in crate::format::table) fn unexpected(&self, expected: &str) -> Fault {
        let found = match self.text.get(self.at..).filter(|rest| !rest.is_empty()) {
            None => "its end".to_owned(),
            Some(rest) => quoted(rest),
        };
        Fault::new(format!("not JSON: expected {expected} at byte {}, found {found}", self.at))
    }

    /// The next byte that is no blank; it is not taken.
    #[inline]
    pub(in crate::format::table) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.bytes().get(self.at) {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                other => return other.copied(),
            }
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8, name: &str) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected(name));
        }
        self.at += 1;
        Ok(())
    }

    /// Takes `:`.
    #[inline]
    pub(in crate::format::table) fn colon(&mut self) -> Result<(), Fault> {
        self.expect(b':', "`:`")
    }

    /// Takes the opening bracket that [`Scanner::peek`] has shown. True if the matching one follows, which is taken as well.
    #[inline]
    pub(in crate::format::table) fn open(&mut self, close: u8) -> Result<bool, Fault> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::new(format!(
                "more than {MAX_DEPTH} objects and arrays in each other"
            )));
        }
        self.at += 1;
        if self.peek() == Some(close) {
            self.at += 1;
            return Ok(true);
        }
        self.depth += 1;
        Ok(false)
    }

    /// Behind a value in an object or array: true if another follows, false if the bracket was closed.
    #[inline]
    pub(in crate::format::table) fn goes_on(&mut self, close: u8) -> Result<bool, Fault> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            _ if close == b'}' => Err(self.unexpected("`,` or `}`")),
            _ => Err(self.unexpected("`,` or `]`")),
        }
    }

    /// Takes `quoted`, a string with its quotes, if that is what comes next.
    #[inline]
    pub(in crate::format::table) fn take_if(&mut self, quoted: &[u8]) -> bool {
        let matches = self.bytes()[self.at..].starts_with(quoted);
        if matches {
            self.at += quoted.len();
        }
        matches
    }

    /// A string that is the key of an object.
    #[inline]
    pub(in crate::format::table) fn key(&mut self) -> Result<Text<'a>, Fault> {
        match self.peek() {
            Some(b'"') => self.string(),
            _ => Err(self.unexpected("a field's name in quotes")),
        }
    }

    /// The string whose opening quote [`Scanner::peek`] has shown.
    #[inline]
    pub(in crate::format::table) fn string(&mut self) -> Result<Text<'a>, Fault> {
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            self.at = plain_end(self.bytes(), self.at);
            match self.bytes().get(self.at) {
                Some(b'"') => {
                    let raw = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Text { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.unexpected("an escape for a control character")),
                None => return Err(self.unexpected("`\"`")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let length = match self.bytes().get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u')
                if self
                    .bytes()
                    .get(self.at + 2..self.at + 6)
                    .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) =>
            {
                6
            }
            _ => return Err(self.unexpected("an escape of JSON's")),
        };
        self.at += length;
        Ok(())
    }

    /// The number whose first byte [`Scanner::peek`] has shown.
    #[inline]
    pub(in crate::format::table) fn number(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        let bytes = self.bytes();
        let digits = |mut at: usize| {
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            at
        };
        let mut at = start + usize::from(bytes.get(start) == Some(&b'-'));
        let whole = at;
        at = digits(at);
        let leading_zero = at > whole + 1 && bytes[whole] == b'0';
        if at == whole || leading_zero {
            return Err(self.unexpected("a value"));
        }
        if bytes.get(at) == Some(&b'.') {
            let fraction = at + 1;
            at = digits(fraction);
            if at == fraction {
                return Err(self.unexpected("a number"));
            }
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            let exponent = at;
            at = digits(exponent);
            if at == exponent {
                return Err(self.unexpected("a number"));
            }
        }
        self.at = at;
        Ok(&self.text[start..at])
    }

    /// Takes `word`, whose first byte [`Scanner::peek`] has shown.
    #[inline]
    pub(in crate::format::table) fn word(&mut self, word: &str) -> Result<(), Fault> {
        if !self.bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.unexpected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Takes a value that nobody reads.
    pub(in crate::format::table) fn skip(&mut self) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => {
                if self.open(b'}')? {
                    return Ok(());
                }
                loop {
                    self.key()?;
                    self.colon()?;
                    self.skip()?;
                    if !self.goes_on(b'}')? {
                        return Ok(());
                    }
                }
            }
            Some(b'[') => {
                if self.open(b']')? {
                    return Ok(());
                }
                loop {
                    self.skip()?;
                    if !self.goes_on(b']')? {
                        return Ok(());
                    }
                }
            }
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'-' | b'0'..=b'9') => self.number().map(|_| ()),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Only blanks may follow.
    pub(in crate::format::table) fn end(&mut self) -> Result<(), Fault> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("nothing more")),
        }
    }
}

/// Position of the first byte from `at` on that is a quote, a backslash or a control character; the end if there is none.
/// Eight bytes at a time: most strings are short.
#[inline]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    while let Some(Ok(eight)) = bytes.get(at..at + 8).map(<[u8; 8]>::try_from) {
        let word = u64::from_le_bytes(eight);
        let quote = word ^ (ONES * u64::from(b'"'));
        let backslash = word ^ (ONES * u64::from(b'\\'));
        let found = (quote.wrapping_sub(ONES) & !quote)
            | (backslash.wrapping_sub(ONES) & !backslash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        // Only the lowest bit can be trusted: a borrow may set those above it.
        let found = found & HIGH;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if *byte < 0x20 || *byte == b'"' || *byte == b'\\' {
            break;
        }
        at += 1;
    }
    at
}

/// Appends the string that `raw` stands for. Its escapes were checked, but for halves of surrogate pairs.
pub(in crate::format::table) fn unescape(raw: &str, out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        let kind = rest.as_bytes().get(at + 1).copied().unwrap_or(b'\\');
        rest = rest.get(at + 2..).unwrap_or_default();
        let byte = match kind {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (character, behind) = unicode(rest).ok_or_else(|| {
                    Fault::expected(
                        "a pair of surrogates, or none",
                        &raw[raw.len() - rest.len() - 2..],
                    )
                })?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = behind;
                continue;
            }
            other => other,
        };
        out.push(byte);
    }
    out.extend_from_slice(rest.as_bytes());
    Ok(())
}

/// The character of `XXXX` or `XXXX\uXXXX`, and what follows.
fn unicode(text: &str) -> Option<(char, &str)> {
    let hex = |text: &str| u32::from_str_radix(text.get(..4)?, 16).ok();
    let first = hex(text)?;
    let rest = &text[4..];
    if !(0xD800..0xDC00).contains(&first) {
        return Some((char::from_u32(first)?, rest));
    }
    let second = rest.strip_prefix("\\u").and_then(hex).filter(|s| (0xDC00..0xE000).contains(s))?;
    let character = char::from_u32(0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00))?;
    Some((character, &rest[6..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    fn accepts(text: &[u8]) -> bool {
        let scan = |text| {
            let mut scanner = Scanner::new(text)?;
            scanner.skip()?;
            scanner.end()
        };
        scan(text).is_ok()
    }

    proptest! {
        /// What is skipped is JSON exactly if serde_json says so.
        #[test]
        fn accepts_what_serde_json_accepts(text in r#"([\[\]{},:\\"untrfalse0-9eE+. -]|\\u[0-9a-f]{3,4}|"a"|"k":){0,24}"#) {
            prop_assert_eq!(accepts(text.as_bytes()), serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
        }

        #[test]
        fn strings_are_those_of_serde_json(text in any::<String>(), garbage in any::<Vec<u8>>()) {
            let json = serde_json::to_string(&text).unwrap();
            let mut scanner = Scanner::new(json.as_bytes()).unwrap();
            let found = scanner.string().unwrap();
            let mut out = Vec::new();
            unescape(found.raw, &mut out).unwrap();
            prop_assert_eq!(String::from_utf8(out).unwrap(), text);
            accepts(&garbage);
        }

        #[test]
        fn plain_text_ends_where_a_loop_says(bytes in proptest::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(b'"')], 0..40), at in 0usize..40) {
            let at = at.min(bytes.len());
            let model = bytes[at..].iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\').map_or(bytes.len(), |found| at + found);
            prop_assert_eq!(plain_end(&bytes, at), model);
        }
    }

    #[test]
    fn surrogates_come_in_pairs() {
        let mut out = Vec::new();
        unescape(r"\ud83d\ude00", &mut out).unwrap();
        assert_eq!(out, "😀".as_bytes());
        for half in [r"\ud83d", r"\ud83dx", r"\ude00", r"\ud83d\u0041"] {
            assert!(unescape(half, &mut out).is_err(), "{half}");
        }
        let deep = "[".repeat(100_000);
        assert!(!accepts(deep.as_bytes()));
        assert!(accepts(format!("{}{}", "[".repeat(200), "]".repeat(200)).as_bytes()));
    }
}
