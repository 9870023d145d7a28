//! Has the disk write while lines are still being read.
//!
//! A commit waits until all that was appended is on disk. If nothing was written before, the processor is idle for as
//! long as that takes. So a thread flushes the partitions now and then; what is left for the commit is the last bit.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use riverrun_log_store::{Error, Partition, Store};

/// How many bytes of lines are written between two flushes: so many that the cost of a flush hardly counts.
const FLUSH_EVERY: usize = 8 << 20;

/// The thread, and what it waits for.
pub(super) struct Flusher {
    written: usize,
    /// `None` where there may be no threads, as on a simulated disk.
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    /// For all partitions of a topic.
    pub(super) fn new(store: &Store, topic: &str) -> Result<Flusher, Error> {
        let mut flusher = Flusher { written: 0, wake: None, thread: None };
        if !store.environment().background {
            return Ok(flusher);
        }
        let partitions = (0..store.topic(topic)?.config.partitions)
            .map(|partition| store.partition(topic, partition))
            .collect::<Result<Vec<Partition>, Error>>()?;
        let (wake, woken) = sync_channel(1);
        let store = store.clone();
        let flush = move || {
            while woken.recv().is_ok() {
                // What goes wrong here stops the partition, and then the commit says so.
                if store.flush_partitions(&partitions).is_err() {
                    break;
                }
            }
        };
        // Without a thread there is only more to do for the commit.
        flusher.thread = thread::Builder::new().name("ingest-flush".into()).spawn(flush).ok();
        flusher.wake = Some(wake);
        Ok(flusher)
    }

    /// Takes note of bytes that were written.
    #[inline]
    pub(super) fn wrote(&mut self, bytes: usize) {
        self.written += bytes;
        if self.written >= FLUSH_EVERY {
            self.written = 0;
            if let Some(wake) = &self.wake {
                // If the thread is still busy with the last flush, that is all the disk can do.
                let _ = wake.try_send(());
            }
        }
    }

    /// Takes note of a commit: everything is on disk.
    pub(super) fn committed(&mut self) {
        self.written = 0;
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported, and there is nothing to be had from it.
            let _ = thread.join();
        }
    }
}
