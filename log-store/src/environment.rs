//! Everything that the log takes from outside: files, the clock, randomness.
//!
//! The log touches the world only through these traits, so that a simulated disk
//! ([`sim`]) can run all of it, deterministically, from a seed. The real ones are in [`disk`].
//!
//! # What the log relies on
//!
//! - A write is durable once [`File::sync`] has returned `Ok` after it, and not before; the same goes
//!   for a file's length. After a failed `sync` nothing is known about the bytes written since the
//!   last one that succeeded: a second `sync` that succeeds proves nothing.
//! - A created, renamed or removed file is so durably once [`Files::sync_dir`] of its folder has
//!   returned `Ok`.
//! - An unsynced write may be there after a crash, or not, or in parts of a sector (512 bytes) or more.

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub mod disk;
pub mod sim;

/// A folder tree of files.
pub trait Files: Send + Sync + Debug {
    /// Creates a folder and those above it, durably. One that exists is left as it is.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names in a folder, sorted. `NotFound` if there is no such folder.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens an existing file for reading only; for tools that look at a store that another process
    /// may be writing.
    fn open_read_only(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Creates an empty file, or empties the one that is there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Renames a file within its folder, over one that may be there.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file's name; open handles and [`Bytes`] from it stay readable.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the exclusive lock on `path`, creating the file; it is held until the guard is dropped or
    /// the process ends.
    fn lock(&self, path: &Path) -> io::Result<LockAttempt>;

    /// Syncs many files and returns their results in order; at the same time, where that is faster.
    fn sync_all(&self, files: &[Arc<dyn File>]) -> Vec<io::Result<()>> {
        files.iter().map(|file| file.sync()).collect()
    }
}

/// What came of [`Files::lock`].
#[derive(Debug)]
pub enum LockAttempt {
    /// The lock is held until this guard is dropped.
    Held(Box<dyn LockGuard>),
    /// Somebody else holds it: the process id it left, if it can be read.
    Taken(Option<u32>),
}

/// Holds a lock as long as it lives.
pub trait LockGuard: Send + Sync + Debug {}

/// An open file. All positions and lengths are in bytes.
pub trait File: Send + Sync + Debug {
    /// The file's length.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Writes all of `bytes` at `position`, growing the file as needed. On an error some of them may
    /// have been written.
    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()>;
    /// Fills `buffer` from `position`. `UnexpectedEof` if the file ends before.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// The `length` bytes at `position`, without copying where the environment can.
    ///
    /// The caller promises that these bytes have been written and will not change any more, and that
    /// the file will not be truncated below their end. They stay readable however long they are
    /// held, also after the file was removed.
    fn slice(&self, position: u64, length: usize) -> io::Result<Bytes>;
    /// Cuts the file to `length`, or extends it with zeros.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Makes everything written so far durable, the file's length included.
    fn sync(&self) -> io::Result<()>;
}

/// Tells the time.
pub trait Clock: Send + Sync + Debug {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;
    /// Time since some fixed moment, never going back.
    fn monotonic(&self) -> Duration;
}

/// A source of random numbers.
pub trait Random: Send + Sync + Debug {
    /// 64 random bits.
    fn next_u64(&self) -> u64;
}

/// Files, clock and randomness together; cheap to clone.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The files.
    pub files: Arc<dyn Files>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Whether a store may start a background thread for retention and interval flushes. Without it,
    /// whoever drives the store calls [`Store::maintain`](crate::Store::maintain).
    pub background: bool,
}

impl Environment {
    /// The operating system's files, clock and randomness.
    pub fn real() -> Self {
        Environment {
            files: Arc::new(disk::Disk::default()),
            clock: Arc::new(disk::SystemClock::default()),
            random: Arc::new(disk::SystemRandom::default()),
            background: true,
        }
    }
}
