//! The real disk, clock and randomness.
//!
//! Reads hand out slices of memory mappings. Mappings are windows of some MiB, aligned, and a few of
//! them are kept for the next read; a window is unmapped when it is no longer kept and the last
//! slice from it is dropped. So a reader that walks over 10 GB never maps more than a few windows,
//! and what it costs in memory stays flat.
//!
//! A window may reach beyond the end of a growing file. The slices never do: they lie within what
//! has been written, the file is never truncated below that, and so no access can fault.

use std::fmt;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use memmap2::{Advice, Mmap, MmapOptions};

use super::{Clock, File, Files, LockAttempt, LockGuard, Random};

/// Bytes between the starts of two neighbouring windows.
const WINDOW: u64 = 4 << 20;
/// How much further a window reaches, so that a read that begins near its end fits as well.
const WINDOW_OVERLAP: u64 = 2 << 20;
/// Windows kept for the next read, over all files.
const KEPT_WINDOWS: usize = 4;
/// Below this, copying is cheaper than looking after a mapping.
const COPIED_BELOW: usize = 4 << 10;

/// The operating system's file system.
#[derive(Debug, Default)]
pub struct Disk {
    windows: Arc<Windows>,
    next_file: AtomicU64,
}

impl Disk {
    fn wrap(&self, file: fs::File) -> Arc<dyn File> {
        let id = self.next_file.fetch_add(1, Ordering::Relaxed);
        Arc::new(DiskFile { file, id, windows: self.windows.clone() })
    }
}

impl Files for Disk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(dir)?;
        // Which of the folders above were there already is not known: sync up to the first that cannot be.
        for above in dir.ancestors().skip(1) {
            let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
            if self.sync_dir(above).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(fs::OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn open_read_only(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.wrap(fs::File::open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        Ok(self.wrap(options.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<LockAttempt> {
        let mut options = fs::OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                file.set_len(0)?;
                file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0)?;
                Ok(LockAttempt::Held(Box::new(FileLock { _file: file })))
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let holder = fs::read_to_string(path).ok();
                Ok(LockAttempt::Taken(holder.and_then(|text| text.trim().parse().ok())))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn sync_all(&self, files: &[Arc<dyn File>]) -> Vec<io::Result<()>> {
        let [first, others @ ..] = files else { return Vec::new() };
        if others.is_empty() {
            return vec![first.sync()];
        }
        // The kernel merges flushes that are under way together, so one thread a file is right; the
        // callers are few (a producer's or a checkpoint's partitions), and so are the threads.
        std::thread::scope(|scope| {
            let handles: Vec<_> =
                others.iter().map(|file| scope.spawn(move || file.sync())).collect();
            let mut results = vec![first.sync()];
            results.extend(handles.into_iter().map(|handle| {
                handle
                    .join()
                    .unwrap_or_else(|_| Err(io::Error::other("the syncing thread panicked")))
            }));
            results
        })
    }
}

/// Holds the `flock` until it is closed.
#[derive(Debug)]
struct FileLock {
    _file: fs::File,
}

impl LockGuard for FileLock {}

struct DiskFile {
    file: fs::File,
    /// Unique among the files that share the windows.
    id: u64,
    windows: Arc<Windows>,
}

impl fmt::Debug for DiskFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        self.windows.forget(self.id);
    }
}

impl File for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, position)
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buffer, position)
    }

    fn slice(&self, position: u64, length: usize) -> io::Result<Bytes> {
        if length < COPIED_BELOW {
            let mut bytes = vec![0; length];
            self.file.read_exact_at(&mut bytes, position)?;
            return Ok(Bytes::from(bytes));
        }
        let start = position / WINDOW * WINDOW;
        let end = position + length as u64;
        // Touching a mapping behind the file's end would kill the process: somebody may have cut it.
        if end > self.len()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if end > start + WINDOW + WINDOW_OVERLAP {
            // A batch larger than the overlap: a mapping of its own.
            let start = position / PAGE * PAGE;
            let window = Window::map(&self.file, self.id, start, end - start)?;
            return Ok(Bytes::from_owner(window.slice(position, length)));
        }
        let window = self.windows.get(&self.file, self.id, start)?;
        Ok(Bytes::from_owner(window.slice(position, length)))
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// A mapping's start must be a multiple of the page size; no platform has larger pages than this.
const PAGE: u64 = 64 << 10;

/// A mapped piece of a file.
#[derive(Debug)]
struct Window {
    mapping: Mmap,
    file: u64,
    start: u64,
}

impl Window {
    fn map(file: &fs::File, id: u64, start: u64, length: u64) -> io::Result<Arc<Window>> {
        // SAFETY: the mapping is only read through slices of bytes that were written before and never
        // change or go away (see `File::slice`), and no other process writes to a store: it holds the
        // directory's lock.
        let mapping = unsafe { MmapOptions::new().offset(start).len(length as usize).map(file)? };
        // Advice only: without it reads are slower, not wrong.
        let _ = mapping.advise(Advice::Sequential);
        Ok(Arc::new(Window { mapping, file: id, start }))
    }

    fn slice(self: Arc<Self>, position: u64, length: usize) -> WindowSlice {
        let from = (position - self.start) as usize;
        WindowSlice { window: self, range: from..from + length }
    }
}

/// Bytes of a window; keeps it mapped.
struct WindowSlice {
    window: Arc<Window>,
    range: Range<usize>,
}

impl AsRef<[u8]> for WindowSlice {
    fn as_ref(&self) -> &[u8] {
        &self.window.mapping[self.range.clone()]
    }
}

/// The windows that were used last, most recent at the end.
#[derive(Debug, Default)]
struct Windows {
    kept: Mutex<Vec<Arc<Window>>>,
}

impl Windows {
    fn get(&self, file: &fs::File, id: u64, start: u64) -> io::Result<Arc<Window>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let window = match kept.iter().position(|w| w.file == id && w.start == start) {
            Some(at) => kept.remove(at),
            None => Window::map(file, id, start, WINDOW + WINDOW_OVERLAP)?,
        };
        kept.push(window.clone());
        let dropped = (kept.len() > KEPT_WINDOWS).then(|| kept.remove(0));
        drop(kept);
        // Unmapping takes a while and needs no lock.
        drop(dropped);
        Ok(window)
    }

    fn forget(&self, id: u64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|window| window.file != id);
    }
}

/// The operating system's clock.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the real clock comes in")]
    fn default() -> Self {
        SystemClock { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the real clock comes in")]
    fn now_ms(&self) -> i64 {
        // A clock set before 1970 reads as 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
    }

    #[allow(clippy::disallowed_methods, reason = "the one place where the real clock comes in")]
    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Randomness seeded by the operating system; good for jitter and ids, not for secrets.
#[derive(Debug)]
pub struct SystemRandom {
    state: AtomicU64,
}

impl Default for SystemRandom {
    #[allow(clippy::disallowed_methods, reason = "the one place where real randomness comes in")]
    fn default() -> Self {
        use std::hash::{BuildHasher, RandomState};
        SystemRandom { state: AtomicU64::new(RandomState::new().hash_one(std::process::id())) }
    }
}

impl Random for SystemRandom {
    fn next_u64(&self) -> u64 {
        split_mix(self.state.fetch_add(SPLIT_MIX_STEP, Ordering::Relaxed))
    }
}

/// The odd number by which SplitMix64 steps.
pub(super) const SPLIT_MIX_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output function.
pub(super) fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(SPLIT_MIX_STEP);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
