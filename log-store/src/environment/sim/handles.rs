//! The traits of the environment, over the simulated world.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::super::disk::{SPLIT_MIX_STEP, split_mix};
use super::super::{Clock, File, Files, LockAttempt, LockGuard, Random};
use super::{DirChange, Inode, SECTOR, World, apply, eio, not_found};

pub(super) struct SimFiles(pub(super) Arc<World>);

impl fmt::Debug for SimFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimFiles")
    }
}

impl SimFiles {
    fn handle(&self, inode: u64, life: u64) -> Arc<dyn File> {
        Arc::new(SimFile { world: self.0.clone(), inode, life })
    }
}

impl Files for SimFiles {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.0.disk();
        disk.dirs.extend(dir.ancestors().map(Path::to_path_buf));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = self.0.disk();
        if !disk.dirs.contains(dir) {
            return Err(not_found(dir));
        }
        let children = disk.seen.keys().chain(disk.dirs.iter());
        let names: BTreeSet<String> = children
            .filter(|path| path.parent() == Some(dir))
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect();
        Ok(names.into_iter().collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let disk = self.0.disk();
        let inode = *disk.seen.get(path).ok_or_else(|| not_found(path))?;
        Ok(self.handle(inode, disk.life))
    }

    fn open_read_only(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut disk = self.0.disk();
        disk.note("create", &path.to_string_lossy(), &[]);
        if let Some(inode) = disk.seen.get(path).copied() {
            let life = disk.life;
            let file = disk.inode(inode, life)?;
            file.dirty.extend(0..file.seen.len().div_ceil(SECTOR));
            file.seen.clear();
            return Ok(self.handle(inode, life));
        }
        let inode = disk.next_inode;
        disk.change(DirChange::Link(path.to_path_buf(), inode))?;
        disk.next_inode += 1;
        disk.inodes.insert(inode, Inode::default());
        Ok(self.handle(inode, disk.life))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.0.disk();
        disk.note("rename", &from.to_string_lossy(), to.to_string_lossy().as_bytes());
        if !disk.seen.contains_key(from) {
            return Err(not_found(from));
        }
        disk.change(DirChange::Rename(from.to_path_buf(), to.to_path_buf()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.disk();
        disk.note("remove", &path.to_string_lossy(), &[]);
        if !disk.seen.contains_key(path) {
            return Err(not_found(path));
        }
        disk.change(DirChange::Unlink(path.to_path_buf()))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.0.disk();
        if disk.seen.keys().any(|path| path.parent() == Some(dir)) {
            return Err(io::Error::new(
                io::ErrorKind::DirectoryNotEmpty,
                "the folder is not empty",
            ));
        }
        disk.dirs.remove(dir);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.0.disk();
        disk.note("sync_dir", &dir.to_string_lossy(), &[]);
        let rate = disk.rates.directory;
        if disk.fails(rate) {
            return Err(eio());
        }
        let changes = disk.pending.remove(dir).unwrap_or_default();
        for change in &changes {
            apply(&mut disk.durable, change);
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<LockAttempt> {
        let mut disk = self.0.disk();
        if !disk.locks.insert(path.to_path_buf()) {
            return Ok(LockAttempt::Taken(None));
        }
        let (world, life) = (self.0.clone(), disk.life);
        Ok(LockAttempt::Held(Box::new(SimLock { world, life, path: path.to_path_buf() })))
    }
}

struct SimLock {
    world: Arc<World>,
    life: u64,
    path: PathBuf,
}

impl fmt::Debug for SimLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimLock({})", self.path.display())
    }
}

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut disk = self.world.disk();
        if disk.life == self.life {
            disk.locks.remove(&self.path);
        }
    }
}

struct SimFile {
    world: Arc<World>,
    inode: u64,
    life: u64,
}

impl fmt::Debug for SimFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimFile({})", self.inode)
    }
}

impl SimFile {
    fn read(&self, position: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut disk = self.world.disk();
        let rate = disk.rates.read;
        if disk.fails(rate) {
            return Err(eio());
        }
        let file = disk.inode(self.inode, self.life)?;
        let start = position as usize;
        match file.seen.get(start..start + length) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.world.disk().inode(self.inode, self.life)?.seen.len() as u64)
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        let mut disk = self.world.disk();
        disk.inode(self.inode, self.life)?;
        disk.note("write", &format!("{} {position}", self.inode), bytes);
        disk.write(self.inode, position as usize, bytes)
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.copy_from_slice(&self.read(position, buffer.len())?);
        Ok(())
    }

    fn slice(&self, position: u64, length: usize) -> io::Result<Bytes> {
        Ok(Bytes::from(self.read(position, length)?))
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let mut disk = self.world.disk();
        disk.note("truncate", &format!("{} {length}", self.inode), &[]);
        let file = disk.inode(self.inode, self.life)?;
        let length = length as usize;
        let (from, to) = (file.seen.len().min(length), file.seen.len().max(length));
        file.seen.resize(length, 0);
        file.dirty.extend(from / SECTOR..=to / SECTOR);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.world.disk();
        disk.note("sync", &self.inode.to_string(), &[]);
        disk.sync(self.inode, self.life)
    }
}

pub(super) struct SimClock(pub(super) Arc<World>);

impl fmt::Debug for SimClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimClock")
    }
}

impl Clock for SimClock {
    fn now_ms(&self) -> i64 {
        self.0.clock_ms.load(Ordering::Relaxed)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.now_ms().max(0) as u64)
    }
}

pub(super) struct SimRandom(pub(super) Arc<World>);

impl fmt::Debug for SimRandom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimRandom")
    }
}

impl Random for SimRandom {
    fn next_u64(&self) -> u64 {
        split_mix(self.0.random.fetch_add(SPLIT_MIX_STEP, Ordering::Relaxed))
    }
}
