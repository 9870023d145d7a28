//! Where `flat_map` puts the rows it makes.

use riverrun_dataflow::{NO_TIMESTAMP, Rows, Timestamp};

use super::BATCH_ROWS;

/// Takes the rows that a `flat_map` function makes of one row.
#[derive(Debug)]
pub struct Collector<U> {
    rows: Rows<U>,
    timestamp: Timestamp,
}

impl<U> Collector<U> {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { rows: Rows::with_capacity(capacity), timestamp: NO_TIMESTAMP }
    }

    /// Rows that come now were made of one with this timestamp.
    pub(crate) fn begin(&mut self, timestamp: Timestamp) {
        self.timestamp = timestamp;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_ROWS
    }

    pub(crate) fn take(&mut self) -> Rows<U> {
        std::mem::take(&mut self.rows)
    }

    /// Adds a row with the timestamp of the row it is made of.
    #[inline]
    pub fn collect(&mut self, row: U) {
        self.rows.push(row, self.timestamp);
    }

    /// Adds a row with a timestamp of its own (event time, milliseconds).
    #[inline]
    pub fn collect_at(&mut self, row: U, timestamp: Timestamp) {
        self.rows.push(row, timestamp);
    }

    /// Timestamp of the row that is being worked on; `NO_TIMESTAMP` if it has none.
    pub fn timestamp(&self) -> Timestamp {
        self.timestamp
    }
}

impl<U> Extend<U> for Collector<U> {
    fn extend<I: IntoIterator<Item = U>>(&mut self, rows: I) {
        for row in rows {
            self.collect(row);
        }
    }
}
