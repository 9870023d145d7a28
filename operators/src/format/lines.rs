//! Lines of text, one a record.

use riverrun_dataflow::{Result, Rows};

use super::records::event_time;
use super::{BatchRecords, RecordOut, Rejects, RowDecoder, RowEncoder};
use crate::Line;

/// A record's value is a line; its timestamp is the row's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lines;

impl RowDecoder for Lines {
    type Row = Line;

    fn describe(&self) -> String {
        "lines".into()
    }

    fn decode(
        &mut self,
        records: &BatchRecords<'_>,
        rejects: &mut Rejects,
        out: &mut Rows<Line>,
    ) -> Result<()> {
        records.try_for_each(|record| match record.value {
            Some(value) => {
                out.push(Line::from(records.slice_of(value)), event_time(record));
                Ok(())
            }
            None => rejects.reject(record, "the record has no value"),
        })
    }
}

/// A row's text is the record's value; there is no key.
///
/// Works for every row that can be shown ([`std::fmt::Display`]).
#[derive(Debug, Clone, Default)]
pub struct ToLines {
    buffer: Vec<u8>,
}

impl<T: std::fmt::Display> RowEncoder<T> for ToLines {
    fn describe(&self) -> String {
        "lines".into()
    }

    fn encode(&mut self, rows: &Rows<T>, out: &mut impl RecordOut) -> Result<()> {
        use std::io::Write;
        for (row, timestamp) in rows.values.iter().zip(&rows.timestamps) {
            self.buffer.clear();
            // Writing to a vector cannot fail.
            let _ = write!(self.buffer, "{row}");
            out.push(*timestamp, None, Some(&self.buffer))?;
        }
        Ok(())
    }
}
