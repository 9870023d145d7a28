//! The decompressed records of one batch.

use bytes::Bytes;

use super::BatchHeader;
use crate::error::Result;
use crate::record::{Record, RecordIter};

/// The records of one batch, decompressed and ready to be walked any number of times.
///
/// Dropping the last `Records` and slice of it gives the memory back to the decompressor's pool.
#[derive(Debug, Clone)]
pub struct Records {
    header: BatchHeader,
    payload: Bytes,
}

impl Records {
    pub(super) fn new(header: BatchHeader, payload: Bytes) -> Records {
        Records { header, payload }
    }

    /// The header of the batch that these records are from.
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// How many records the header promises.
    pub fn len(&self) -> usize {
        self.header.records_count.max(0) as usize
    }

    /// Whether there are none, which compaction can leave behind.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes that the records lie in.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Walks the records. See [`RecordIter`] for what becomes of malformed ones.
    #[inline]
    pub fn iter(&self) -> RecordIter<'_> {
        RecordIter::new(&self.header, &self.payload)
    }

    /// Calls `each` with every record in turn, until one is malformed.
    ///
    /// Somewhat faster than [`Records::iter`], since nothing passes through a `Result` on the way.
    ///
    /// # Errors
    /// `MalformedBatch` where the bytes do not hold the records that the header promises; all
    /// records before have been seen by then.
    #[inline]
    pub fn for_each(&self, each: impl FnMut(Record<'_>)) -> Result<()> {
        self.iter().walk(each)
    }

    /// Calls `each` with every value in turn (`None` for null).
    ///
    /// # Errors
    /// As [`Records::for_each`].
    #[inline]
    pub fn for_each_value(&self, mut each: impl FnMut(Option<&[u8]>)) -> Result<()> {
        self.for_each(|record| each(record.value))
    }

    /// A key, value or header of one of these records as shared bytes, without copying it.
    ///
    /// # Panics
    /// If `part` does not lie in [`Records::payload`].
    pub fn slice_of(&self, part: &[u8]) -> Bytes {
        self.payload.slice_ref(part)
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = Result<Record<'a>>;
    type IntoIter = RecordIter<'a>;

    fn into_iter(self) -> RecordIter<'a> {
        self.iter()
    }
}
