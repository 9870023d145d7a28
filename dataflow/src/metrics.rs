//! Counters of a running job, kept per operator and subtask and added up by whoever shows them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Counters of one operator in one subtask. Updated once per batch, never per record.
#[derive(Debug)]
pub struct OperatorMetrics {
    /// Rows that came in.
    pub records_in: AtomicU64,
    /// Rows that went out on all outputs.
    pub records_out: AtomicU64,
    /// Bytes that a source read or a sink wrote.
    pub bytes: AtomicU64,
    /// Rows that came behind the watermark and were left out of a result.
    pub late_records: AtomicU64,
    /// Rows that could not be decoded.
    pub rejected_records: AtomicU64,
    /// Event time reached (milliseconds; `i64::MIN` before all time).
    pub watermark: AtomicI64,
}

impl Default for OperatorMetrics {
    fn default() -> Self {
        Self {
            records_in: AtomicU64::new(0),
            records_out: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            late_records: AtomicU64::new(0),
            rejected_records: AtomicU64::new(0),
            watermark: AtomicI64::new(i64::MIN),
        }
    }
}

impl OperatorMetrics {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    /// Reads a counter.
    pub fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
