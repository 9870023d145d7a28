//! Reusable output buffers for decompression.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::Fault;

/// Buffers kept for reuse; more than that at a time are in the hands of readers only in bursts.
const MAX_POOLED: usize = 16;

/// Smallest growth of a buffer, in bytes.
const GROWTH: usize = 64 << 10;

/// Where buffers wait for their next batch. Cloning shares the pool.
#[derive(Debug, Clone, Default)]
pub(crate) struct BufferPool {
    idle: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl BufferPool {
    fn take(&self) -> Vec<u8> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_POOLED && bytes.capacity() > 0 {
            idle.push(bytes);
        }
    }

    #[cfg(test)]
    pub(crate) fn idle(&self) -> usize {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// A buffer that grows up to a limit and returns to its pool when dropped.
///
/// Its bytes stay initialised from one use to the next, so that a codec can write into a plain
/// slice and nothing is zeroed twice.
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    used: usize,
    limit: usize,
    pool: BufferPool,
}

impl Buffer {
    /// An empty buffer that takes at most `limit` bytes.
    pub(crate) fn new(pool: &BufferPool, limit: usize) -> Buffer {
        Buffer { bytes: pool.take(), used: 0, limit, pool: pool.clone() }
    }

    /// How many more bytes the limit lets in.
    pub(crate) fn allowance(&self) -> usize {
        self.limit - self.used
    }

    /// Everything that can be written right now, at least `want` bytes.
    pub(crate) fn room(&mut self, want: usize) -> Result<&mut [u8], Fault> {
        self.room_with_slack(want, 0)
    }

    /// As [`Buffer::room`], with up to `slack` bytes above the limit, for codecs that decode fast
    /// only when the room is larger than what they will write.
    pub(crate) fn room_with_slack(
        &mut self,
        want: usize,
        slack: usize,
    ) -> Result<&mut [u8], Fault> {
        if want > self.allowance() {
            return Err(Fault::TooLarge);
        }
        let needed = self.used + want + slack;
        if self.bytes.len() < needed {
            // Doubling keeps the copying linear; a known size is met at once.
            let doubled = (2 * self.used).min(self.limit);
            let length = needed.max(doubled).next_multiple_of(GROWTH);
            if self.used == 0 {
                // Fresh zeroed pages are cheaper than copying and zeroing old ones.
                self.bytes = Vec::new();
                self.bytes = vec![0; length];
            } else {
                self.bytes.resize(length, 0);
            }
        }
        let end = self.bytes.len().min(self.limit + slack);
        Ok(&mut self.bytes[self.used..end])
    }

    /// Counts `written` bytes of the room as used.
    pub(crate) fn advance(&mut self, written: usize) -> Result<(), Fault> {
        self.used += written;
        if self.used > self.limit {
            self.used = 0;
            return Err(Fault::TooLarge);
        }
        Ok(())
    }

    /// The written bytes, shared; the memory returns to the pool with the last reader.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.give_back(std::mem::take(&mut self.bytes));
    }
}
