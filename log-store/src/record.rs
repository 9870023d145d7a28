//! One record, borrowed from its batch, and the walk over a batch's records.
//!
//! ```text
//! record := length:varint attributes:i8 timestamp_delta:varlong offset_delta:varint
//!           key_length:varint key value_length:varint value headers:varint header*
//! header := key_length:varint key value_length:varint value         (-1 is null)
//! ```

use crate::batch::BatchHeader;
use crate::error::{Error, Result};
use crate::varint::{read_varint, read_varlong};

/// A record whose key, value and headers point into the batch that holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Position in its partition.
    pub offset: i64,
    /// Milliseconds since the Unix epoch; -1 if the producer gave none.
    pub timestamp: i64,
    /// What the record is about; decides its partition. `None` is null, which is not empty.
    pub key: Option<&'a [u8]>,
    /// The record itself. `None` is null: a tombstone, for readers that know such.
    pub value: Option<&'a [u8]>,
    /// Named extras.
    pub headers: Headers<'a>,
}

/// The headers of one record, in the order in which they were written; names may repeat.
///
/// Iterating yields `(name, value)`. Names should be UTF-8 but nobody enforces it, so they are bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    /// Known to be well-formed: checked once when the record is read.
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Headers<'a> {
    /// How many headers there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether the record has no headers.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The headers as they are stored, without their number.
    pub(crate) fn encoded(&self) -> &'a [u8] {
        self.bytes
    }

    /// Walks the headers again from the first.
    pub fn iter(&self) -> Headers<'a> {
        *self
    }

    /// The value of the last header called `name`, as Kafka's `lastHeader` does. The outer `None`
    /// means that there is none of that name, the inner one that its value is null.
    pub fn last_value(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.iter().filter(|(key, _)| *key == name.as_bytes()).map(|(_, value)| value).last()
    }

    /// Checks `count` headers that must fill `bytes` exactly.
    fn parse(bytes: &'a [u8], count: usize) -> Option<Headers<'a>> {
        let mut rest = bytes;
        for _ in 0..count {
            read_bytes(&mut rest)??;
            read_bytes(&mut rest)?;
        }
        rest.is_empty().then_some(Headers { bytes, count })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        let name = read_bytes(&mut self.bytes)??;
        let value = read_bytes(&mut self.bytes)?;
        Some((name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Headers<'_> {}

impl std::fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(name, value)| {
                let value = value.map(|value| value.escape_ascii().to_string());
                (String::from_utf8_lossy(name).into_owned(), value)
            }))
            .finish()
    }
}

/// Reads a length and that many bytes: `None` if malformed, `Some(None)` for null.
#[inline(always)]
fn read_bytes<'a>(input: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let length = read_varint(input)?;
    if length < 0 {
        return (length == -1).then_some(None);
    }
    let (bytes, rest) = input.split_at_checked(length as usize)?;
    *input = rest;
    Some(Some(bytes))
}

/// Walks the records of one batch.
///
/// Yields as many records as the header promises, then nothing; or, where the bytes do not hold
/// them, one error and then nothing. Nothing is copied or allocated.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    rest: &'a [u8],
    remaining: usize,
    base_offset: i64,
    last_offset_delta: i32,
    base_timestamp: i64,
    /// Set where the broker stamped the whole batch with its log append time.
    append_time: Option<i64>,
}

impl<'a> RecordIter<'a> {
    pub(crate) fn new(header: &BatchHeader, payload: &'a [u8]) -> RecordIter<'a> {
        RecordIter {
            rest: payload,
            remaining: header.records_count.max(0) as usize,
            base_offset: header.base_offset,
            last_offset_delta: header.last_offset_delta,
            base_timestamp: header.base_timestamp,
            append_time: header.attributes.log_append_time().then_some(header.max_timestamp),
        }
    }

    /// The next record, or `None` if the bytes do not hold one.
    #[inline(always)]
    fn read(&mut self) -> Option<Record<'a>> {
        let mut rest = self.rest;
        let length = read_varint(&mut rest)?;
        let (mut body, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;

        // Attributes: no bit of them has a meaning yet.
        let (_, after) = body.split_first()?;
        body = after;
        let timestamp_delta = read_varlong(&mut body)?;
        let offset_delta = read_varint(&mut body)?;
        if offset_delta < 0 || offset_delta > self.last_offset_delta {
            return None;
        }
        let key = read_bytes(&mut body)?;
        let value = read_bytes(&mut body)?;
        // The ordinary end: a count of zero, and nothing after it.
        let headers = if body == [0] { Headers::default() } else { read_headers(body)? };
        let timestamp = match self.append_time {
            None => self.base_timestamp.wrapping_add(timestamp_delta),
            Some(time) => time,
        };
        let offset = self.base_offset.wrapping_add(i64::from(offset_delta));
        Some(Record { offset, timestamp, key, value, headers })
    }

    /// As iterating, with nothing between the record and `each`.
    #[inline]
    pub(crate) fn walk(mut self, mut each: impl FnMut(Record<'a>)) -> Result<()> {
        while self.remaining > 0 {
            self.remaining -= 1;
            match self.read() {
                Some(record) => each(record),
                None => return Err(self.malformed()),
            }
        }
        if self.rest.is_empty() { Ok(()) } else { Err(self.trailing()) }
    }

    #[cold]
    #[inline(never)]
    fn malformed(&mut self) -> Error {
        let reason = format!(
            "the batch at offset {} holds no well-formed record where the last {} should be",
            self.base_offset,
            self.remaining + 1
        );
        self.remaining = 0;
        self.rest = &[];
        Error::MalformedBatch { reason }
    }

    #[cold]
    #[inline(never)]
    fn trailing(&mut self) -> Error {
        let reason = format!(
            "{} bytes follow the last record of the batch at offset {}",
            self.rest.len(),
            self.base_offset
        );
        self.rest = &[];
        Error::MalformedBatch { reason }
    }
}

#[cold]
#[inline(never)]
fn read_headers(mut body: &[u8]) -> Option<Headers<'_>> {
    let count = usize::try_from(read_varint(&mut body)?).ok()?;
    Headers::parse(body, count)
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<Record<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.remaining == 0 {
            return if self.rest.is_empty() { None } else { Some(Err(self.trailing())) };
        }
        self.remaining -= 1;
        match self.read() {
            Some(record) => Some(Ok(record)),
            None => Some(Err(self.malformed())),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // A record takes seven bytes at least: a hostile count must not make a caller reserve more.
        (self.remaining.min(self.rest.len() / 7), Some(self.remaining + 1))
    }
}

impl std::iter::FusedIterator for RecordIter<'_> {}
