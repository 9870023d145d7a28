//! Which values of a column in the making are there.

use arrow_buffer::{BooleanBufferBuilder, NullBuffer};

/// Which values are there; a bitmap only from the first missing one on.
#[derive(Debug, Default)]
pub(crate) struct Validity {
    rows: usize,
    bits: Option<BooleanBufferBuilder>,
}

impl Validity {
    /// Adds a value that is there, or is not.
    #[inline]
    pub(crate) fn push(&mut self, valid: bool) {
        if !valid && self.bits.is_none() {
            let mut bits = BooleanBufferBuilder::new(self.rows + 1024);
            bits.append_n(self.rows, true);
            self.bits = Some(bits);
        }
        if let Some(bits) = &mut self.bits {
            bits.append(valid);
        }
        self.rows += 1;
    }

    /// Values so far.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Takes back all but the first `rows`.
    pub(crate) fn truncate(&mut self, rows: usize) {
        if let Some(bits) = &mut self.bits {
            bits.truncate(rows.min(bits.len()));
        }
        self.rows = self.rows.min(rows);
    }

    /// The bitmap, `None` if nothing is missing; begins anew.
    pub(crate) fn finish(&mut self) -> Option<NullBuffer> {
        self.rows = 0;
        self.bits.take().map(|mut bits| NullBuffer::new(bits.finish()))
    }
}
