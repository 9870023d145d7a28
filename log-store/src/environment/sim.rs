//! A simulated disk, clock and randomness: in memory, deterministic from a seed, and as nasty as the
//! contract in [`environment`](crate::environment) allows.
//!
//! Each file has what programs see and what has reached the platter. A sync copies the one to the
//! other; a crash decides for every sector in between, at random, whether it made it. Folders work
//! likewise: of the creations, renames and removals since the last `sync_dir`, a crash keeps a
//! random number of the first ones.
//!
//! A failed sync loses its sectors the way Linux does: programs go on seeing them, later syncs
//! succeed, and after the crash they may be gone.
//!
//! ```
//! use riverrun_log_store::environment::sim::Simulation;
//!
//! let sim = Simulation::new(42);
//! let environment = sim.environment();
//! let file = environment.files.create("a".as_ref())?;
//! file.write_at(0, b"never synced")?;
//! sim.crash();
//! assert!(file.len().is_err(), "handles from before the crash are dead");
//! # Ok::<(), std::io::Error>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Environment;
use super::disk::{SPLIT_MIX_STEP, split_mix};

mod handles;

use handles::{SimClock, SimFiles, SimRandom};

/// Bytes that the simulated disk writes as a whole.
pub const SECTOR: usize = 512;

/// How likely each kind of failure is, in failures per million operations. All zero at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultRates {
    /// `write_at` fails with EIO, after writing some of the bytes.
    pub write: u32,
    /// `sync` fails with EIO, and what was not durable yet may never be.
    pub sync: u32,
    /// `read_at` and `slice` fail with EIO.
    pub read: u32,
    /// `create`, `rename`, `remove` and `sync_dir` fail with EIO.
    pub directory: u32,
}

/// A simulated world. Clones share it.
#[derive(Clone)]
pub struct Simulation {
    world: Arc<World>,
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation").finish_non_exhaustive()
    }
}

struct World {
    disk: Mutex<SimDisk>,
    clock_ms: AtomicI64,
    random: AtomicU64,
}

impl World {
    fn disk(&self) -> MutexGuard<'_, SimDisk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Simulation {
    /// An empty disk; the clock stands at 2026-01-01T00:00:00Z.
    pub fn new(seed: u64) -> Self {
        let disk = SimDisk {
            inodes: BTreeMap::new(),
            next_inode: 0,
            seen: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: BTreeMap::new(),
            dirs: BTreeSet::new(),
            locks: BTreeSet::new(),
            life: 0,
            random: split_mix(seed),
            rates: FaultRates::default(),
            fail_after: None,
            capacity: None,
            trace: 0,
        };
        Simulation {
            world: Arc::new(World {
                disk: Mutex::new(disk),
                clock_ms: AtomicI64::new(1_767_225_600_000),
                random: AtomicU64::new(split_mix(seed ^ 0x5851_f42d_4c95_7f2d)),
            }),
        }
    }

    /// The environment to open a store in; single-threaded.
    pub fn environment(&self) -> Environment {
        Environment {
            files: Arc::new(SimFiles(self.world.clone())),
            clock: Arc::new(SimClock(self.world.clone())),
            random: Arc::new(SimRandom(self.world.clone())),
            background: false,
        }
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.world.clock_ms.fetch_add(by.as_millis() as i64, Ordering::Relaxed);
    }

    /// The machine loses power and comes back: what was not synced is lost, whole or in part, and all
    /// handles are dead. Locks are free.
    pub fn crash(&self) {
        self.world.disk().crash();
    }

    /// The process dies, the machine lives: nothing is lost, but all handles are dead and locks free.
    pub fn kill_process(&self) {
        let mut disk = self.world.disk();
        disk.life += 1;
        disk.locks.clear();
    }

    /// Sets how often operations fail from now on.
    pub fn set_fault_rates(&self, rates: FaultRates) {
        self.world.disk().rates = rates;
    }

    /// Lets so many more operations succeed, and then none, reads included. With a [`Simulation::crash`]
    /// after that, the machine has lost power in the middle of whatever was being done. `None`: they
    /// succeed again.
    pub fn set_fail_after(&self, operations: Option<u64>) {
        self.world.disk().fail_after = operations;
    }

    /// Sets how many bytes all files together may hold; `None` for no limit. Writes beyond it fail as
    /// on a full disk, after writing what fits.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.world.disk().capacity = bytes;
    }

    /// Bytes that all files hold now.
    pub fn used(&self) -> u64 {
        self.world.disk().used()
    }

    /// Paths of all files, sorted.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.world.disk().seen.keys().cloned().collect()
    }

    /// A file's bytes as programs see them now.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.world.disk();
        let inode = disk.seen.get(path)?;
        Some(disk.inodes.get(inode)?.seen.clone())
    }

    /// Flips one bit of a file, as programs see it and on the platter. Returns whether the file has
    /// that bit.
    pub fn flip_bit(&self, path: &Path, bit: u64) -> bool {
        let mut disk = self.world.disk();
        let Some(inode) = disk.seen.get(path).copied() else { return false };
        let Some(inode) = disk.inodes.get_mut(&inode) else { return false };
        let (at, mask) = ((bit / 8) as usize, 1 << (bit % 8));
        let Some(byte) = inode.seen.get_mut(at) else { return false };
        *byte ^= mask;
        if let Some(byte) = inode.durable.get_mut(at) {
            *byte ^= mask;
        }
        true
    }

    /// A hash over every operation so far, with its data: equal for equal histories.
    pub fn trace(&self) -> u64 {
        self.world.disk().trace
    }

    /// 64 random bits from the stream that faults and crashes are drawn from.
    pub fn draw(&self) -> u64 {
        self.world.disk().draw()
    }
}

#[derive(Default)]
struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that differ, or may, and that a sync will write.
    dirty: BTreeSet<usize>,
    /// Sectors that a failed sync has given up.
    given_up: BTreeSet<usize>,
}

#[derive(Clone)]
enum DirChange {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf),
}

struct SimDisk {
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    seen: BTreeMap<PathBuf, u64>,
    durable: BTreeMap<PathBuf, u64>,
    /// Changes since the folder's last sync, in order.
    pending: BTreeMap<PathBuf, Vec<DirChange>>,
    dirs: BTreeSet<PathBuf>,
    locks: BTreeSet<PathBuf>,
    /// Counts crashes: handles of an earlier life are dead.
    life: u64,
    random: u64,
    rates: FaultRates,
    /// Operations that still succeed, before all fail.
    fail_after: Option<u64>,
    capacity: Option<u64>,
    trace: u64,
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(5)
}

fn dead() -> io::Error {
    io::Error::other("this handle is from before the crash")
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("there is no {}", path.display()))
}

fn apply(names: &mut BTreeMap<PathBuf, u64>, change: &DirChange) {
    match change {
        DirChange::Link(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        DirChange::Unlink(path) => {
            names.remove(path);
        }
        DirChange::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}

impl SimDisk {
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(SPLIT_MIX_STEP);
        split_mix(self.random)
    }

    fn fails(&mut self, per_million: u32) -> bool {
        let over = match &mut self.fail_after {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        let fails = over || per_million > 0 && self.draw() % 1_000_000 < u64::from(per_million);
        if fails {
            self.note("fault", "", &[]);
        }
        fails
    }

    fn note(&mut self, operation: &str, path: &str, bytes: &[u8]) {
        let mut trace = self.trace;
        for chunk in [operation.as_bytes(), path.as_bytes(), bytes] {
            trace = split_mix(
                trace ^ u64::from(crate::batch::crc32c(chunk)) ^ (chunk.len() as u64) << 32,
            );
        }
        self.trace = trace;
    }

    fn used(&self) -> u64 {
        let inodes = self.seen.values().filter_map(|inode| self.inodes.get(inode));
        inodes.map(|inode| inode.seen.len() as u64).sum()
    }

    fn change(&mut self, change: DirChange) -> io::Result<()> {
        let rate = self.rates.directory;
        if self.fails(rate) {
            return Err(eio());
        }
        let path = match &change {
            DirChange::Link(path, _) | DirChange::Unlink(path) | DirChange::Rename(path, _) => path,
        };
        let dir = path.parent().unwrap_or(Path::new("")).to_path_buf();
        apply(&mut self.seen, &change);
        self.pending.entry(dir).or_default().push(change);
        Ok(())
    }

    fn inode(&mut self, inode: u64, life: u64) -> io::Result<&mut Inode> {
        if life != self.life {
            return Err(dead());
        }
        self.inodes.get_mut(&inode).ok_or_else(dead)
    }

    fn write(&mut self, inode: u64, position: usize, bytes: &[u8]) -> io::Result<()> {
        let failed = self.fails(self.rates.write);
        let mut end = position + bytes.len();
        let mut result = Ok(());
        if failed {
            end = position + (self.draw() as usize) % (bytes.len() + 1);
            result = Err(eio());
        }
        let used = self.used();
        let life = self.life;
        let capacity = self.capacity;
        let file = self.inode(inode, life)?;
        let len = file.seen.len();
        if let Some(capacity) = capacity
            && end > len
        {
            let room = capacity.saturating_sub(used) as usize;
            if end - len > room {
                end = len + room;
                result = Err(io::Error::from_raw_os_error(28));
            }
        }
        if end > position {
            if end > file.seen.len() {
                file.dirty.extend(file.seen.len() / SECTOR..=(end - 1) / SECTOR);
                file.seen.resize(end, 0);
            }
            file.seen[position..end].copy_from_slice(&bytes[..end - position]);
            file.dirty.extend(position / SECTOR..=(end - 1) / SECTOR);
        }
        result
    }

    fn sync(&mut self, inode: u64, life: u64) -> io::Result<()> {
        let rate = self.rates.sync;
        let failed = self.fails(rate);
        let file = self.inode(inode, life)?;
        if failed {
            let dirty = std::mem::take(&mut file.dirty);
            file.given_up.extend(dirty);
            return Err(eio());
        }
        for sector in std::mem::take(&mut file.dirty) {
            file.given_up.remove(&sector);
            file.persist(sector);
        }
        // The length is durable, given-up sectors below it read as what was there before, or zeros.
        file.durable.resize(file.seen.len(), 0);
        Ok(())
    }

    fn crash(&mut self) {
        self.life += 1;
        self.locks.clear();
        for (_, changes) in std::mem::take(&mut self.pending) {
            let kept = (self.draw() as usize) % (changes.len() + 1);
            for change in &changes[..kept] {
                apply(&mut self.durable, change);
            }
        }
        self.seen = self.durable.clone();
        let reachable: BTreeSet<u64> = self.seen.values().copied().collect();
        let mut inodes = std::mem::take(&mut self.inodes);
        inodes.retain(|inode, _| reachable.contains(inode));
        for file in inodes.values_mut() {
            let unsure: BTreeSet<usize> = file.dirty.union(&file.given_up).copied().collect();
            for sector in unsure {
                if self.draw().is_multiple_of(2) {
                    file.persist(sector);
                }
            }
            let (seen, durable) = (file.seen.len(), file.durable.len());
            let length = match self.draw() % 3 {
                0 => seen,
                1 => durable,
                _ => {
                    let (low, high) = (seen.min(durable), seen.max(durable));
                    low + (self.draw() as usize) % (high - low + 1)
                }
            };
            // A sector beyond the old length may have made it while the new length has not.
            if !file.dirty.is_empty() || !file.given_up.is_empty() || seen < durable {
                file.durable.resize(length, 0);
            }
            file.seen = file.durable.clone();
            file.dirty.clear();
            file.given_up.clear();
        }
        for (path, inode) in &self.seen.clone() {
            let left = inodes.get(inode).map_or(&[][..], |file| &file.seen);
            self.note("left by a crash", &path.to_string_lossy(), left);
        }
        self.inodes = inodes;
    }
}

impl Inode {
    fn persist(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = self.seen.len().min(start + SECTOR);
        if start >= end {
            return;
        }
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[start..end].copy_from_slice(&self.seen[start..end]);
    }
}

#[cfg(test)]
#[path = "sim/tests.rs"]
mod tests;
