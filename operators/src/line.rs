//! One line of text, as a cheap slice of what it was read with.

use std::fmt;

use bytes::Bytes;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One line, without its newline: a slice of the buffer that it was read or decompressed into, so that no line is
/// copied or allocated for on its own.
///
/// Lines are bytes: logs hold text that is not UTF-8. A line that is kept keeps its whole buffer; copy what
/// is to be kept for long.
///
/// ```
/// use riverrun_operators::Line;
///
/// let line = Line::from("14:37:11 192.168.1.3");
/// assert_eq!(line.as_bytes(), b"14:37:11 192.168.1.3");
/// assert_eq!(line.to_str_lossy().split(' ').nth(1), Some("192.168.1.3"));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Line(Bytes);

impl Line {
    /// The line's bytes.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The line as text, if it is UTF-8.
    pub fn to_str(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(&self.0)
    }

    /// The line as text; what is not UTF-8 becomes `\u{FFFD}`.
    pub fn to_str_lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// The line with the buffer that it shares.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is nothing on the line.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Bytes> for Line {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl AsRef<[u8]> for Line {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.to_str_lossy())
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({:?})", self.to_str_lossy())
    }
}

/// As bytes; as a string in formats that people read, where the line is UTF-8.
impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.to_str() {
            Ok(text) if serializer.is_human_readable() => serializer.serialize_str(text),
            _ => serializer.serialize_bytes(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(LineVisitor)
        } else {
            deserializer.deserialize_byte_buf(LineVisitor)
        }
    }
}

struct LineVisitor;

impl<'de> Visitor<'de> for LineVisitor {
    type Value = Line;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a line of text or bytes")
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Line, E> {
        Ok(Line::from(text))
    }
    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Line, E> {
        Ok(Line(Bytes::copy_from_slice(bytes)))
    }
    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Line, E> {
        Ok(Line(bytes.into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Line, A::Error> {
        let mut bytes = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(4096));
        while let Some(byte) = seq.next_element()? {
            bytes.push(byte);
        }
        Ok(Line(bytes.into()))
    }
}

/// Cuts bytes that arrive piece by piece into lines, without their `\n` or `\r\n`.
///
/// A line that lies within one piece is a slice of it; only those that lie across pieces are copied.
#[derive(Debug, Default)]
pub(crate) struct LineCutter {
    /// The start of a line whose end has not come yet.
    begun: Vec<u8>,
}

impl LineCutter {
    /// Calls `each` with every line that ends in `piece`, and with the number of bytes up to and including its
    /// newline, those of earlier pieces included.
    pub(crate) fn cut(&mut self, piece: &Bytes, mut each: impl FnMut(Line, usize)) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', piece) {
            if self.begun.is_empty() {
                each(line_of(piece.slice(start..end)), end + 1 - start);
            } else {
                self.begun.extend_from_slice(&piece[start..end]);
                let begun = std::mem::take(&mut self.begun);
                let length = begun.len() + 1;
                each(line_of(begun.into()), length);
            }
            start = end + 1;
        }
        self.begun.extend_from_slice(&piece[start..]);
    }

    /// What stands behind the last newline, and its length; `None` if there is nothing.
    pub(crate) fn finish(&mut self) -> Option<(Line, usize)> {
        let begun = std::mem::take(&mut self.begun);
        let length = begun.len();
        (length > 0).then(|| (line_of(begun.into()), length))
    }

    /// Bytes of the line that has begun.
    pub(crate) fn pending(&self) -> usize {
        self.begun.len()
    }
}

fn line_of(bytes: Bytes) -> Line {
    match bytes.last() {
        Some(b'\r') => Line(bytes.slice(..bytes.len() - 1)),
        _ => Line(bytes),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use riverrun_dataflow::codec;

    use super::*;

    #[test]
    fn json_has_text_where_it_can() {
        assert_eq!(serde_json::to_string(&Line::from("a \"b\"")).unwrap(), r#""a \"b\"""#);
        let odd = Line::from(Bytes::from_static(b"\xff"));
        let json = serde_json::to_string(&odd).unwrap();
        assert_eq!((json.as_str(), serde_json::from_str::<Line>(&json).unwrap()), ("[255]", odd));
    }

    proptest! {
        #[test]
        fn comes_back_from_state(bytes: Vec<u8>) {
            let line = Line::from(Bytes::from(bytes));
            prop_assert_eq!(codec::decode::<Line>(&codec::encode(&line).unwrap()).unwrap(), line);
        }

        /// Wherever the pieces are cut, the lines are those of the whole.
        #[test]
        fn pieces_make_the_lines_of_the_whole(text in "[ab\r\n]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..6)) {
            let mut cutter = LineCutter::default();
            let (mut lines, mut length) = (Vec::new(), 0);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).chain([0, text.len()]).collect();
            cuts.sort_unstable();
            for pair in cuts.windows(2) {
                let piece = Bytes::copy_from_slice(&text.as_bytes()[pair[0]..pair[1]]);
                cutter.cut(&piece, |line, bytes| { lines.push(line.to_string()); length += bytes; });
                prop_assert_eq!(length + cutter.pending(), pair[1]);
            }
            if let Some((line, bytes)) = cutter.finish() {
                lines.push(line.to_string());
                length += bytes;
            }
            let strip = |line: &str| line.strip_suffix('\r').unwrap_or(line).to_owned();
            let mut expected: Vec<String> = text.split('\n').map(strip).collect();
            if text.is_empty() || text.ends_with('\n') {
                expected.pop();
            }
            prop_assert_eq!(lines, expected);
            prop_assert_eq!(length, text.len());
        }
    }
}
