//! Snapshots leave the subtask as work to be finished: encoding, writing, flushing. A few threads shared by all
//! subtasks do that while processing goes on, and acknowledge.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use riverrun_dataflow::{
    Attempt, Barrier, CheckpointStorage, Error, JobManagerGateway, KeyGroup, KeyedHandle,
    KeyedState, OperatorId, OperatorSnapshot, OperatorState, Result, Snapshot, SnapshotKind,
    StateHandle, SubtaskId, SubtaskSnapshot, TaskEvent, codec, state_path,
};

use crate::chain::NodeSnapshot;
use crate::mailbox::Cancellation;

/// Keyed state up to this size becomes part of the commit record; more goes to the checkpoint storage.
pub(crate) const INLINE_BYTES: usize = 32 * 1024;

type Work = Box<dyn FnOnce() + Send>;

/// The threads that finish snapshots.
pub(crate) struct SnapshotPool {
    queue: Option<Sender<Work>>,
    threads: Vec<JoinHandle<()>>,
}

impl SnapshotPool {
    /// # Errors
    /// [`Error::Io`] if the threads cannot be started.
    pub(crate) fn new(threads: usize) -> Result<Self> {
        let (queue, work) = channel::<Work>();
        let work = Arc::new(Mutex::new(work));
        let threads = (0..threads)
            .map(|_| {
                let work = work.clone();
                std::thread::Builder::new()
                    .name("snapshot".into())
                    .spawn(move || run(&work))
                    .map_err(|e| Error::io("starting a thread for snapshots", e))
            })
            .collect::<Result<_>>()?;
        Ok(Self { queue: Some(queue), threads })
    }

    fn submit(&self, work: Work) {
        if let Some(queue) = &self.queue {
            // The receiver lives as long as the threads, and those as long as the pool.
            let _ = queue.send(work);
        }
    }
}

fn run(work: &Mutex<Receiver<Work>>) {
    loop {
        let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(work) => work(),
            Err(_) => return,
        }
    }
}

impl Drop for SnapshotPool {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Counts a subtask's snapshots that are not finished yet.
#[derive(Default)]
struct Outstanding {
    count: Mutex<usize>,
    none: Condvar,
}

impl Outstanding {
    fn begin(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    fn end(&self) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            self.none.notify_all();
        }
    }

    fn wait(&self) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        while *count > 0 {
            count = self.none.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Whose snapshots they are, and where the parts go.
pub(crate) struct SnapshotOwner {
    pub(crate) job: String,
    pub(crate) generation: u64,
    pub(crate) attempt: Attempt,
    pub(crate) subtask: SubtaskId,
    /// Key groups of the subtask.
    pub(crate) groups: Range<KeyGroup>,
    pub(crate) storage: Arc<dyn CheckpointStorage>,
    pub(crate) job_manager: Arc<dyn JobManagerGateway>,
    pub(crate) cancellation: Cancellation,
}

/// Finishes one subtask's snapshots.
pub(crate) struct Snapshots {
    pool: Arc<SnapshotPool>,
    owner: Arc<SnapshotOwner>,
    outstanding: Arc<Outstanding>,
}

impl Snapshots {
    pub(crate) fn new(pool: Arc<SnapshotPool>, owner: SnapshotOwner) -> Self {
        Self { pool, owner: Arc::new(owner), outstanding: Arc::default() }
    }

    /// Waits until nothing of this subtask is being written any more.
    pub(crate) fn wait(&self) {
        self.outstanding.wait();
    }

    /// Finishes the parts and acknowledges the checkpoint, or reports the failure. Snapshots that hold no work are
    /// acknowledged at once.
    pub(crate) fn hand_over(&self, barrier: Barrier, parts: Vec<NodeSnapshot>) {
        let at_once = parts.iter().all(|part| match &part.snapshot {
            Snapshot::Nothing => true,
            Snapshot::Ready(state) => state.keyed.is_none(),
            Snapshot::Deferred(_) => false,
        });
        // One after the other: acknowledgements come in the order of the barriers, and no operator is asked to finish two
        // snapshots at once.
        self.outstanding.wait();
        if at_once {
            return self.owner.finish(barrier, parts);
        }
        self.outstanding.begin();
        let (owner, outstanding) = (self.owner.clone(), self.outstanding.clone());
        self.pool.submit(Box::new(move || {
            owner.finish(barrier, parts);
            outstanding.end();
        }));
    }
}

impl SnapshotOwner {
    fn finish(&self, barrier: Barrier, parts: Vec<NodeSnapshot>) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.store_all(barrier, parts)))
            .unwrap_or_else(|panic| {
                Err(Error::User {
                    place: format!("snapshot of subtask {}", self.subtask),
                    reason: crate::subtask::panic_message(panic.as_ref()),
                })
            });
        if self.cancellation.is_cancelled() {
            return;
        }
        let (attempt, subtask) = (self.attempt, self.subtask);
        self.job_manager.report(match outcome {
            Ok(snapshot) => TaskEvent::Acknowledged {
                attempt,
                subtask,
                checkpoint: barrier.checkpoint,
                snapshot,
            },
            Err(error) => TaskEvent::Failed { attempt, subtask, error },
        });
    }

    fn store_all(&self, barrier: Barrier, parts: Vec<NodeSnapshot>) -> Result<SubtaskSnapshot> {
        let mut operators = BTreeMap::new();
        for part in parts {
            if self.cancellation.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let mut state = part.snapshot.finish()?;
            let keyed = match state.keyed.take() {
                Some(keyed) => self.store(barrier, part.id, &part.name, &keyed)?,
                None => None,
            };
            if keyed.is_some() || state != OperatorState::default() {
                operators.insert(part.id, OperatorSnapshot { state, keyed });
            }
        }
        Ok(SubtaskSnapshot { operators })
    }

    /// Keyed state as a handle; `None` for a delta without changes.
    fn store(
        &self,
        barrier: Barrier,
        operator: OperatorId,
        name: &str,
        keyed: &KeyedState,
    ) -> Result<Option<KeyedHandle>> {
        if keyed.kind == SnapshotKind::Delta && keyed.groups.is_empty() && keyed.dropped.is_empty()
        {
            return Ok(None);
        }
        // Room for all at once: a buffer that grows by doubling would take up to three times as much on its way.
        let frame = 64 + 16 * (keyed.groups.len() + keyed.dropped.len());
        let mut bytes = Vec::with_capacity(keyed.size_bytes() + frame);
        codec::encode_into(keyed, &mut bytes).map_err(|e| Error::state(name, e))?;
        let state = if bytes.len() <= INLINE_BYTES {
            StateHandle::Inline(bytes)
        } else {
            let path =
                state_path(&self.job, self.generation, barrier.checkpoint, self.subtask, operator);
            self.storage.write(&path, bytes)?
        };
        Ok(Some(KeyedHandle {
            kind: keyed.kind,
            first_group: self.groups.start,
            end_group: self.groups.end,
            state,
        }))
    }
}
