//! The store: a data directory with all its topics, opened by one process at a time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::compaction::{Cleaner, Limits};
use crate::coordinator::Coordinator;
use crate::environment::{Environment, LockAttempt, LockGuard};
use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::partition::{self, Partition, Place, guard};
use crate::segment::LOG_SUFFIX;
use crate::topic::{FlushMode, METADATA_TOPIC, TopicConfig};

mod topics;

pub use topics::TopicInfo;

pub(crate) use topics::KIND_TOPIC;

/// The file that is locked, in the data directory.
pub(crate) const LOCK_FILE: &str = "LOCK";
/// The folder of all partitions, in the data directory.
pub(crate) const TOPICS_DIR: &str = "topics";

/// How a store behaves.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// How often retention, rolling by age and the like are looked after in the background. One second;
    /// more often if a topic is flushed more often.
    pub maintenance_interval: Duration,
    /// Idempotent producers that have not written for this long are forgotten. A day, as in Kafka.
    pub producer_expiry: Duration,
    /// Memory that compaction may take for the keys of a pass, in bytes: 24 for each, and a third more. 64 MiB,
    /// which is two million keys.
    pub compaction_memory: usize,
    /// How many bytes compaction reads in one maintenance interval, and so how long it may keep the disk busy.
    /// 64 MiB.
    pub compaction_step_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            maintenance_interval: Duration::from_secs(1),
            producer_expiry: Duration::from_secs(24 * 60 * 60),
            compaction_memory: 64 << 20,
            compaction_step_bytes: 64 << 20,
        }
    }
}

/// What [`Store::maintain`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// Segments that retention removed.
    pub segments_removed: usize,
    /// Segments that compaction replaced by others with fewer records.
    pub segments_compacted: usize,
    /// Bytes that compaction removed.
    pub bytes_compacted: u64,
    /// Partitions where something went wrong, with the error's text. They are tried again next time.
    pub failures: Vec<(String, u32, String)>,
}

/// An open store. Clones share it; it is closed by [`Store::close`], or, less tidily, when the last clone
/// and the last [`Partition`] are dropped.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
    /// Stops the background thread with the last clone; the thread's own store has none.
    maintenance: Option<Arc<Maintenance>>,
}

/// The background thread. It ends when this is dropped, before the directory's lock is free.
#[derive(Debug)]
struct Maintenance {
    stopping: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Maintenance {
    fn start(store: &Store) -> Result<Self> {
        let stopping = Arc::new(AtomicBool::new(false));
        let (weak, stop) = (Arc::downgrade(&store.shared), stopping.clone());
        let thread = thread::Builder::new()
            .name("log-maintenance".to_owned())
            .spawn(move || maintain_until(&stop, &weak))
            .map_err(|e| Error::io("start the maintenance thread for", store.dir(), e))?;
        Ok(Maintenance { stopping, thread: Mutex::new(Some(thread)) })
    }

    /// Ends the thread and waits for it.
    fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let Some(thread) = guard(&self.thread).take() else { return };
        thread.thread().unpark();
        // A waker that runs on the thread itself may drop the last store: it ends all the same.
        if thread.thread().id() != thread::current().id() {
            // If it panicked, it has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.stop();
    }
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    environment: Environment,
    options: StoreOptions,
    lock: Arc<dyn LockGuard>,
    metadata: Metadata,
    coordinator: Coordinator,
    topics: RwLock<BTreeMap<String, topics::Topic>>,
    /// Held while topics are created, changed or deleted.
    changing: Mutex<()>,
    /// Held while a step of compaction is under way.
    cleaner: Mutex<Compaction>,
    closed: AtomicBool,
}

/// Compaction, and when it last had a turn.
#[derive(Debug, Default)]
struct Compaction {
    cleaner: Cleaner,
    turn: Option<Duration>,
}

impl Store {
    /// Opens the store in `dir`, creating it if there is none. A background thread looks after retention
    /// and interval flushes until the store is closed.
    ///
    /// # Errors
    /// `Locked` if another process has it open; `Damaged` if `__metadata` is. Another topic's damaged
    /// partition does not keep the store from opening: [`Store::partition`] says what is wrong with it.
    pub fn open(dir: impl AsRef<Path>, options: StoreOptions) -> Result<Store> {
        Store::open_in(Environment::real(), dir, options)
    }

    /// As [`Store::open`], in an environment of the caller's.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_in(
        environment: Environment,
        dir: impl AsRef<Path>,
        options: StoreOptions,
    ) -> Result<Store> {
        let dir = dir.as_ref();
        let topics_dir = dir.join(TOPICS_DIR);
        let files = &*environment.files;
        files.create_dir(&topics_dir).map_err(|e| Error::io("create folder", &topics_dir, e))?;
        let lock = take_lock(&environment, dir)?;
        let metadata = Metadata::open(open_metadata_log(&environment, &topics_dir, &lock)?)?;
        let mut store = Store {
            maintenance: None,
            shared: Arc::new(Shared {
                dir: dir.to_path_buf(),
                environment,
                options,
                lock,
                metadata,
                coordinator: Coordinator::default(),
                topics: RwLock::new(BTreeMap::new()),
                changing: Mutex::new(()),
                cleaner: Mutex::default(),
                closed: AtomicBool::new(false),
            }),
        };
        store.open_topics()?;
        store.recover_transactions()?;
        if store.shared.environment.background {
            store.maintenance = Some(Arc::new(Maintenance::start(&store)?));
        }
        Ok(store)
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Files, clock and randomness of this store.
    pub fn environment(&self) -> &Environment {
        &self.shared.environment
    }

    /// The store's own durable map, to keep entries beside topics.
    pub fn metadata(&self) -> &Metadata {
        &self.shared.metadata
    }

    pub(crate) fn coordinator(&self) -> &Coordinator {
        &self.shared.coordinator
    }

    /// Flushes many partitions at the same time; returns when everything appended to them so far is
    /// durable.
    ///
    /// # Errors
    /// As [`Partition::flush`], the first that failed; the others are flushed all the same.
    pub fn flush_partitions(&self, partitions: &[Partition]) -> Result<()> {
        partition::flush_many(partitions)
    }

    /// Does what is due: interval flushes, rolling by age, retention, a step of compaction. The background thread calls it;
    /// in an environment without one, whoever drives the store does.
    ///
    /// # Errors
    /// `Closed`. What goes wrong in a partition is in the report.
    pub fn maintain(&self) -> Result<MaintenanceReport> {
        self.check_open()?;
        self.resolve_transactions();
        let now = self.shared.environment.clock.now_ms();
        let expiry = self.shared.options.producer_expiry.as_millis().min(i64::MAX as u128) as i64;
        let mut report = MaintenanceReport::default();
        for partition in self.partitions() {
            if partition.stopped().is_some() {
                continue;
            }
            partition.expire_producers(now.saturating_sub(expiry));
            match partition.maintain() {
                Ok(removed) => report.segments_removed += removed,
                Err(error) => report.failures.push((
                    partition.topic().to_owned(),
                    partition.index(),
                    error.to_string(),
                )),
            }
        }
        self.compact(&mut report);
        Ok(report)
    }

    /// Gives compaction a turn. In the background it has one in each interval, however often topics are flushed.
    fn compact(&self, report: &mut MaintenanceReport) {
        let Shared { environment, options, .. } = &*self.shared;
        let mut compaction = guard(&self.shared.cleaner);
        let now = environment.clock.monotonic();
        if environment.background {
            // Not at once: many a store is opened for a look, and closed again.
            let turn = *compaction.turn.get_or_insert(now);
            if now.saturating_sub(turn) < options.maintenance_interval {
                return;
            }
        }
        compaction.turn = Some(now);
        let limits =
            Limits { memory: options.compaction_memory, step_bytes: options.compaction_step_bytes };
        let partitions = self.partitions();
        let compacted = compaction.cleaner.work(&partitions, limits, |partition, error| {
            let topic = partition.topic().to_owned();
            report.failures.push((topic, partition.index(), error.to_string()));
        });
        report.segments_compacted = compacted.segments;
        report.bytes_compacted = compacted.bytes_removed;
    }

    /// Flushes everything, so that the next open has nothing to check, and refuses further work. The
    /// directory is free for others when the last [`Store`] and [`Partition`] are dropped.
    ///
    /// # Errors
    /// The first partition's that could not be flushed; the store is closed all the same.
    pub fn close(&self) -> Result<()> {
        if self.shared.closed.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if let Some(maintenance) = &self.maintenance {
            maintenance.stop();
        }
        guard(&self.shared.cleaner).cleaner.abandon();
        let mut result = Ok(());
        for partition in self.partitions() {
            result = result.and(partition.close());
        }
        result.and(self.shared.metadata.log().close())
    }

    pub(crate) fn check_open(&self) -> Result<()> {
        match self.shared.closed.load(Ordering::Acquire) {
            true => Err(Error::Closed),
            false => Ok(()),
        }
    }
}

fn take_lock(environment: &Environment, dir: &Path) -> Result<Arc<dyn LockGuard>> {
    let path = dir.join(LOCK_FILE);
    match environment.files.lock(&path).map_err(|e| Error::io("lock", &path, e))? {
        LockAttempt::Held(guard) => Ok(Arc::from(guard)),
        LockAttempt::Taken(pid) => Err(Error::Locked { dir: dir.to_path_buf(), pid }),
    }
}

/// Opens the partition that holds the metadata, creating it in a new store.
fn open_metadata_log(
    environment: &Environment,
    topics_dir: &Path,
    lock: &Arc<dyn LockGuard>,
) -> Result<Partition> {
    let dir = topics_dir.join(format!("{METADATA_TOPIC}-0"));
    let names = environment.files.list(topics_dir);
    let names = names.map_err(|e| Error::io("list", topics_dir, e))?;
    // A folder without a recovery point and records is one whose creation a crash has interrupted.
    // Unless there are other partitions: then the store's memory is gone.
    let created = environment.files.list(&dir).is_ok_and(|found| {
        let has_records = |name: &String| {
            let length = environment.files.open(&dir.join(name)).and_then(|file| file.len());
            name.ends_with(LOG_SUFFIX) && length.is_ok_and(|length| length > 0)
        };
        found.iter().any(|name| name == partition::RECOVERY_POINT_FILE || has_records(name))
    });
    if !created {
        if names.iter().any(|name| !name.starts_with(METADATA_TOPIC)) {
            return Err(Error::DamagedFile {
                file: dir.display().to_string(),
                what: "the store has topics, but their list is missing; restore this folder from a backup"
                    .to_owned(),
            });
        }
        partition::create(&*environment.files, &dir)?;
    }
    let config = TopicConfig {
        max_message_bytes: i32::MAX as u32,
        segment_bytes: u64::MAX >> 1,
        segment_ms: i64::MAX as u64,
        ..TopicConfig::default()
    };
    let place =
        Place { topic: METADATA_TOPIC, partition: 0, dir, environment, lock: Some(lock.clone()) };
    partition::open(place, config)
}

fn maintain_until(stopping: &AtomicBool, store: &Weak<Shared>) {
    while !stopping.load(Ordering::Acquire) {
        let Some(shared) = store.upgrade() else { return };
        let store_now = Store { shared, maintenance: None };
        let report = match store_now.maintain() {
            Ok(report) => report,
            Err(_) => return,
        };
        for (topic, partition, error) in report.failures {
            tracing::warn!(topic, partition, error, "maintenance failed, will try again");
        }
        let interval = store_now.maintenance_interval();
        drop(store_now);
        thread::park_timeout(interval);
    }
}

impl Store {
    fn maintenance_interval(&self) -> Duration {
        let topics = self.shared.topics.read().unwrap_or_else(PoisonError::into_inner);
        let flushes = topics.values().filter_map(|topic| match topic.config.flush_mode {
            FlushMode::Interval(every) => Some(every),
            FlushMode::Commit | FlushMode::Os => None,
        });
        flushes.chain([self.shared.options.maintenance_interval]).min().unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "store/tests.rs"]
mod tests;
