//! A source of numbered rows in splits, whose positions are exact.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};

use riverrun_dataflow::{
    Batch, OperatorContext, RestoredState, Result, Rows, Source, SourceEvent, SplitStatus, codec,
};

use super::{Chaos, Row};

/// How much there is to read, shared by the subtasks and by the test, which may release more.
pub struct Numbers {
    pub splits: u32,
    pub keys: u64,
    pub batch: u64,
    /// Rows per split that may be read so far.
    released: AtomicU64,
    /// Reading all that was released is the end.
    bounded: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
    /// Rows handed out, over all attempts.
    pub polled: AtomicU64,
    /// Snapshots that source subtasks have taken, over all attempts.
    snapshots: Mutex<u64>,
    taken: Condvar,
    /// The highest checkpoint that a source was told to be complete.
    pub completed: AtomicU64,
}

impl Numbers {
    /// `splits` splits of `rows` rows each, over `keys` keys, and then the end.
    pub fn bounded(splits: u32, rows: u64, keys: u64) -> Arc<Self> {
        let numbers = Self::unbounded(splits, keys);
        numbers.release(rows);
        numbers.end();
        numbers
    }

    /// Nothing to read yet, and no end.
    pub fn unbounded(splits: u32, keys: u64) -> Arc<Self> {
        Arc::new(Self {
            splits,
            keys,
            batch: 37,
            released: AtomicU64::new(0),
            bounded: AtomicBool::new(false),
            wakers: Mutex::default(),
            polled: AtomicU64::new(0),
            snapshots: Mutex::default(),
            taken: Condvar::new(),
            completed: AtomicU64::new(0),
        })
    }

    /// Lets each split have `rows` rows more.
    pub fn release(&self, rows: u64) {
        self.released.fetch_add(rows, Ordering::SeqCst);
        self.wake();
    }

    /// What was released is all.
    pub fn end(&self) {
        self.bounded.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        self.wakers.lock().unwrap().drain(..).for_each(Waker::wake);
    }

    /// Waits until the sources have taken so many snapshots.
    pub fn wait_for_snapshots(&self, count: u64) {
        let mut snapshots = self.snapshots.lock().unwrap();
        while *snapshots < count {
            snapshots = self.taken.wait(snapshots).unwrap();
        }
    }

    /// All rows that were released: how many of each key.
    pub fn totals(&self) -> BTreeMap<u64, u64> {
        let mut totals = BTreeMap::new();
        for split in 0..self.splits {
            for n in 0..self.released.load(Ordering::SeqCst) {
                *totals.entry(self.row(split, n).key).or_default() += 1;
            }
        }
        totals
    }

    fn row(&self, split: u32, n: u64) -> Row {
        Row { key: (n * 7 + u64::from(split) * 13) % self.keys, count: 1 }
    }
}

/// Reads the splits that fall to its subtask.
pub struct NumbersSource {
    numbers: Arc<Numbers>,
    chaos: Chaos,
    splits: Vec<(u32, u64)>,
    announced: usize,
    turn: usize,
}

impl NumbersSource {
    pub fn new(numbers: Arc<Numbers>, chaos: Chaos) -> Self {
        Self { numbers, chaos, splits: Vec::new(), announced: 0, turn: 0 }
    }
}

impl Source for NumbersSource {
    fn open(&mut self, context: &OperatorContext, restored: Option<RestoredState>) -> Result<()> {
        let restored = restored.unwrap_or_default();
        self.splits = (0..self.numbers.splits)
            .filter(|split| split % context.parallelism == context.subtask.index)
            .map(|split| {
                let position = restored.positions.get(&split.to_string());
                (split, position.map_or(0, |bytes| codec::decode(bytes).expect("a position")))
            })
            .collect();
        Ok(())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<SourceEvent>> {
        if let Err(error) = self.chaos.strike("source") {
            return Poll::Ready(Err(error));
        }
        if self.announced < self.splits.len() {
            self.announced += 1;
            let split = (self.announced - 1) as u32;
            return Poll::Ready(Ok(SourceEvent::Split(split, SplitStatus::Active)));
        }
        let bounded = self.numbers.bounded.load(Ordering::SeqCst);
        let released = self.numbers.released.load(Ordering::SeqCst);
        for _ in 0..self.splits.len() {
            self.turn = (self.turn + 1) % self.splits.len();
            let (split, position) = &mut self.splits[self.turn];
            if *position < released {
                let end = released.min(*position + self.numbers.batch);
                let mut rows = Rows::default();
                for n in *position..end {
                    rows.push(self.numbers.row(*split, n), n as i64);
                }
                *position = end;
                self.numbers.polled.fetch_add(rows.len() as u64, Ordering::SeqCst);
                let batch = Batch::rows(rows, Some(self.turn as u32));
                return Poll::Ready(Ok(SourceEvent::Batch(batch)));
            }
        }
        if bounded {
            return Poll::Ready(Ok(SourceEvent::End));
        }
        self.numbers.wakers.lock().unwrap().push(context.waker().clone());
        // More may have come between the look and the registration.
        if self.numbers.released.load(Ordering::SeqCst) > released
            || self.numbers.bounded.load(Ordering::SeqCst)
        {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn snapshot(&mut self) -> Result<BTreeMap<String, Vec<u8>>> {
        self.chaos.strike("source snapshot")?;
        *self.numbers.snapshots.lock().unwrap() += 1;
        self.numbers.taken.notify_all();
        let encode = |position: &u64| codec::encode(position).expect("a number");
        Ok(self.splits.iter().map(|(split, at)| (split.to_string(), encode(at))).collect())
    }

    fn on_checkpoint_complete(&mut self, checkpoint: u64) -> Result<()> {
        self.numbers.completed.fetch_max(checkpoint, Ordering::SeqCst);
        Ok(())
    }
}
