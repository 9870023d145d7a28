//! The records of a log batch, or the lines of a file, as decoders see them.

use bytes::Bytes;
use riverrun_dataflow::{Error, NO_TIMESTAMP, Result, Timestamp};
use riverrun_log_store::{ColumnarRows, Headers, Record, Records};

use crate::Line;

/// The records of one log batch that are to be decoded; or lines, which are records with nothing but a value.
pub struct BatchRecords<'a> {
    held: Held<'a>,
    place: &'a str,
    topic: &'a str,
    partition: i32,
}

enum Held<'a> {
    /// Those with an offset in a range.
    Log(&'a Records, std::ops::Range<i64>),
    /// Lines, and where each begins.
    Lines(&'a [Line], &'a [u64]),
}

impl<'a> BatchRecords<'a> {
    /// The records with an offset of `from` or more; `place` names the partition in messages.
    pub fn new(records: &'a Records, from: i64, place: &'a str) -> Self {
        Self { held: Held::Log(records, from..i64::MAX), place, topic: "", partition: -1 }
    }

    /// Lines as records: the offset of each is where it begins, `at`, in what `place` names.
    pub fn of_lines(lines: &'a [Line], at: &'a [u64], place: &'a str) -> Self {
        Self { held: Held::Lines(lines, at), place, topic: "", partition: -1 }
    }

    /// Only records with an offset below `end`.
    pub fn until(mut self, end: i64) -> Self {
        if let Held::Log(_, range) = &mut self.held {
            range.end = end;
        }
        self
    }

    /// Says which partition they are of.
    pub fn in_partition(mut self, topic: &'a str, partition: u32) -> Self {
        (self.topic, self.partition) = (topic, partition.cast_signed());
        self
    }

    /// The topic's name; empty if that is not known.
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// Number of the partition; -1 if that is not known.
    pub fn partition(&self) -> i32 {
        self.partition
    }

    /// How many records there are at most.
    pub fn len(&self) -> usize {
        match &self.held {
            Held::Log(records, _) => records.len(),
            Held::Lines(lines, _) => lines.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `each` with every record in turn and stops at the first error.
    ///
    /// # Errors
    /// What `each` returns; [`Error::Format`] where the batch does not hold the records it promises.
    #[inline]
    pub fn try_for_each(&self, mut each: impl FnMut(&Record<'_>) -> Result<()>) -> Result<()> {
        let (records, range) = match &self.held {
            Held::Log(records, range) => (records, range),
            Held::Lines(lines, at) => {
                return lines
                    .iter()
                    .zip(*at)
                    .try_for_each(|(line, at)| each(&line_record(line, *at)));
            }
        };
        let mut failed = None;
        records
            .for_each(|record| {
                if range.contains(&record.offset)
                    && failed.is_none()
                    && let Err(error) = each(&record)
                {
                    failed = Some(error);
                }
            })
            .map_err(|error| Error::Format {
                place: self.place.to_owned(),
                reason: error.to_string(),
            })?;
        failed.map_or(Ok(()), Err)
    }

    /// The columns of a columnar batch, and which of its rows are to be decoded; `None` for records, and where none of the rows is
    /// wanted.
    ///
    /// # Errors
    /// [`Error::Format`] if the batch says that it is columnar, and is not.
    pub fn columns(&self) -> Result<Option<(ColumnarRows, std::ops::Range<usize>)>> {
        let Held::Log(records, range) = &self.held else { return Ok(None) };
        let columns = records.columns().map_err(|error| Error::Format {
            place: self.place.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(columns.and_then(|columns| {
            let row = |offset: i64| {
                offset.saturating_sub(columns.base_offset).clamp(0, i64::from(columns.rows))
                    as usize
            };
            let rows = row(range.start)..row(range.end);
            (!rows.is_empty()).then_some((columns, rows))
        }))
    }

    /// What names the partition in messages.
    pub fn place(&self) -> &'a str {
        self.place
    }

    /// A key or value of one of these records as shared bytes: not copied, unless it is of a line.
    ///
    /// # Panics
    /// If `part` does not lie within one of the log's records.
    #[inline]
    pub fn slice_of(&self, part: &[u8]) -> Bytes {
        match &self.held {
            Held::Log(records, _) => records.slice_of(part),
            Held::Lines(..) => Bytes::copy_from_slice(part),
        }
    }
}

fn line_record(line: &Line, at: u64) -> Record<'_> {
    Record {
        offset: at.cast_signed(),
        timestamp: -1,
        key: None,
        value: Some(line.as_bytes()),
        headers: Headers::default(),
    }
}

/// The event timestamp of a record: the log's -1 is [`NO_TIMESTAMP`].
#[inline]
pub(crate) fn event_time(record: &Record<'_>) -> Timestamp {
    if record.timestamp == -1 { NO_TIMESTAMP } else { record.timestamp }
}
