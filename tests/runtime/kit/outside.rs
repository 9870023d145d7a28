//! Everything durable, in memory: it survives restarts of a job, and it can be made to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use riverrun_dataflow::{
    CheckpointStorage, Committer, CompletedCheckpoint, Error, JobStore, Result, StateHandle,
};

use super::Row;

/// Fails now and then, as a seed says, until its faults are used up.
#[derive(Clone)]
pub struct Chaos(Arc<Mutex<Drawn>>);

struct Drawn {
    random: SmallRng,
    left: u32,
    one_in: u32,
}

impl Chaos {
    /// `faults` faults, one in `one_in` opportunities.
    pub fn new(seed: u64, faults: u32, one_in: u32) -> Self {
        Self(Arc::new(Mutex::new(Drawn {
            random: SmallRng::seed_from_u64(seed),
            left: faults,
            one_in,
        })))
    }

    pub fn none() -> Self {
        Self::new(0, 0, 1)
    }

    fn strikes(&self) -> Option<u32> {
        let mut drawn = self.0.lock().unwrap();
        let one_in = drawn.one_in;
        if drawn.left == 0 || drawn.random.random_range(0..one_in) > 0 {
            return None;
        }
        drawn.left -= 1;
        Some(drawn.random.random())
    }

    /// An error, or a panic, now and then.
    pub fn strike(&self, place: &str) -> Result<()> {
        match self.strikes() {
            None => Ok(()),
            Some(draw) if draw % 3 == 0 => std::panic::panic_any(format!("injected into {place}")),
            Some(_) => Err(Error::io(place, "injected")),
        }
    }

    /// An error now and then, and whether it comes before or after the deed.
    pub fn strike_around<T>(&self, place: &str, deed: impl FnOnce() -> T) -> Result<T> {
        match self.strikes() {
            None => Ok(deed()),
            Some(draw) => {
                if draw % 2 == 0 {
                    deed();
                }
                Err(Error::io(place, "injected"))
            }
        }
    }
}

/// Output of a sink: staged under a token, then committed.
#[derive(Default)]
pub struct Output {
    staged: Mutex<Staged>,
    more: Condvar,
}

#[derive(Default)]
struct Staged {
    generation: u64,
    tokens: BTreeMap<Vec<u8>, Vec<Row>>,
    done: BTreeSet<Vec<u8>>,
    committed: Vec<Row>,
}

impl Output {
    /// Makes rows durable, not visible. Refused for an older generation than the newest.
    pub fn stage(&self, generation: u64, token: Vec<u8>, rows: Vec<Row>) -> Result<()> {
        let mut staged = self.staged.lock().unwrap();
        if generation < staged.generation {
            return Err(Error::Fenced {
                job: "test".into(),
                reason: "an older generation writes".into(),
            });
        }
        staged.tokens.insert(token, rows);
        Ok(())
    }

    /// Waits until so many rows are visible.
    pub fn wait_for(&self, rows: usize) {
        let staged = self.staged.lock().unwrap();
        let few = |staged: &mut Staged| staged.committed.len() < rows;
        let (staged, result) =
            self.more.wait_timeout_while(staged, Duration::from_secs(60), few).unwrap();
        let have = staged.committed.len();
        assert!(!result.timed_out(), "{have} of {rows} rows are visible, and nothing happens");
    }

    pub fn committed(&self) -> Vec<Row> {
        self.staged.lock().unwrap().committed.clone()
    }

    /// Output that is neither visible nor removed.
    pub fn in_doubt(&self) -> usize {
        self.staged.lock().unwrap().tokens.len()
    }
}

impl Staged {
    fn commit(&mut self, token: &[u8]) {
        if self.done.contains(token) {
            return;
        }
        let rows =
            self.tokens.remove(token).expect("prepared output is there until it is committed");
        self.committed.extend(rows);
        self.done.insert(token.to_vec());
    }
}

/// Commits an [`Output`].
pub struct OutputCommitter {
    pub output: Arc<Output>,
    pub chaos: Chaos,
}

impl Committer for OutputCommitter {
    fn commit(&mut self, prepared: &[Vec<u8>]) -> Result<()> {
        for token in prepared {
            self.chaos
                .strike_around("committer", || self.output.staged.lock().unwrap().commit(token))?;
        }
        self.output.more.notify_all();
        Ok(())
    }

    fn recover(&mut self, generation: u64, prepared: &[Vec<u8>]) -> Result<()> {
        let mut staged = self.output.staged.lock().unwrap();
        assert!(generation > staged.generation, "each attempt has a generation of its own");
        prepared.iter().for_each(|token| staged.commit(token));
        staged.tokens.clear();
        staged.generation = generation;
        self.output.more.notify_all();
        Ok(())
    }
}

/// Job store and checkpoint storage.
#[derive(Default)]
pub struct World {
    generations: Mutex<BTreeMap<String, u64>>,
    records: Mutex<Vec<CompletedCheckpoint>>,
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    chaos: Mutex<Option<Chaos>>,
    /// Objects ever written.
    pub writes: AtomicU64,
}

impl World {
    pub fn new(chaos: &Chaos) -> Arc<Self> {
        Arc::new(Self { chaos: Mutex::new(Some(chaos.clone())), ..Self::default() })
    }

    fn chaos(&self) -> Chaos {
        self.chaos.lock().unwrap().clone().unwrap_or_else(Chaos::none)
    }

    pub fn records(&self) -> Vec<CompletedCheckpoint> {
        self.records.lock().unwrap().clone()
    }

    pub fn objects(&self) -> Vec<String> {
        self.objects.lock().unwrap().keys().cloned().collect()
    }
}

impl JobStore for World {
    fn begin_run(&self, job: &str) -> Result<u64> {
        let mut generations = self.generations.lock().unwrap();
        let generation = generations.entry(job.to_owned()).or_default();
        *generation += 1;
        Ok(*generation)
    }

    fn latest(&self, job: &str) -> Result<Option<CompletedCheckpoint>> {
        Ok(self.records().into_iter().rfind(|record| record.job == job))
    }

    fn commit(&self, record: &CompletedCheckpoint) -> Result<()> {
        if record.generation < self.generations.lock().unwrap()[&record.job] {
            return Err(Error::Fenced { job: record.job.clone(), reason: "a newer run".into() });
        }
        self.chaos()
            .strike_around("job store", || self.records.lock().unwrap().push(record.clone()))
    }
}

impl CheckpointStorage for World {
    fn write(&self, path: &str, bytes: Vec<u8>) -> Result<StateHandle> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let handle =
            StateHandle::Object { path: path.to_owned(), bytes: bytes.len() as u64, checksum: 0 };
        self.chaos().strike_around("checkpoint storage", || {
            let before = self.objects.lock().unwrap().insert(path.to_owned(), bytes);
            assert!(before.is_none(), "{path} is written twice");
        })?;
        Ok(handle)
    }

    fn read(&self, handle: &StateHandle) -> Result<Vec<u8>> {
        let StateHandle::Object { path, .. } = handle else { panic!("inline state is not read") };
        let objects = self.objects.lock().unwrap();
        objects.get(path).cloned().ok_or_else(|| Error::io(path.clone(), "the object is gone"))
    }

    fn delete(&self, paths: &[String]) -> Result<()> {
        let mut objects = self.objects.lock().unwrap();
        for path in paths {
            objects.remove(path);
        }
        Ok(())
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>> {
        Ok(self.objects().into_iter().filter(|path| path.starts_with(prefix)).collect())
    }
}
