//! What must be true: everything that was sent, and what became of it as far as anybody was told.

use std::collections::{BTreeMap, VecDeque};

use riverrun_log_store::{ProducerIdentity, TransactionOutcome, TransactionOwner};

/// A topic and a partition.
pub type Place = (String, u32);

/// A batch that is, or may be, in a partition.
#[derive(Clone, Debug)]
pub struct Entry {
    pub base: i64,
    pub next: i64,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    /// Records, as they are stored.
    Data {
        bytes: Vec<u8>,
        producer: i64,
        /// Index into [`Model::transactions`].
        transaction: Option<usize>,
        timestamps: Vec<i64>,
    },
    /// A marker: producer id and outcome, once it has been read.
    Marker(Option<(i64, TransactionOutcome)>),
}

/// What a partition must hold.
#[derive(Default, Debug)]
pub struct Log {
    pub entries: Vec<Entry>,
    /// What a failed append may have left.
    pub doubtful: Vec<Entry>,
    /// Everything below was acknowledged as durable, or was seen by readers who count on that.
    pub durable: i64,
    pub log_start: i64,
    pub high_watermark: i64,
    /// Not flushed on commit: readers see what a crash may take away.
    pub relaxed: bool,
    pub trims: bool,
    pub stopped: bool,
}

impl Log {
    pub fn end(&self) -> i64 {
        self.entries.last().map_or(0, |entry| entry.next)
    }
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Open,
    Committed,
    Aborted,
    /// Nobody knows before the store is opened again.
    Doubtful,
}

/// A batch that a producer has sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Not stamped.
    pub bytes: Vec<u8>,
    pub records: i32,
    pub transaction: Option<usize>,
    pub timestamps: Vec<i64>,
    /// Where it is in the log; `None`: it is not, and must be sent before anything newer.
    pub base: Option<i64>,
}

/// A producer's way to one partition.
#[derive(Default, Debug)]
pub struct Lane {
    pub next_sequence: i32,
    /// The last five.
    pub sent: VecDeque<Sent>,
}

/// A job's transaction after its own commit record.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub identity: ProducerIdentity,
    pub outcome: TransactionOutcome,
    pub parts: Vec<(Place, i64)>,
}

#[derive(Debug)]
pub struct Producer {
    /// The transactional id; `None`: merely idempotent.
    pub name: Option<String>,
    pub owner: TransactionOwner,
    pub identity: Option<ProducerIdentity>,
    pub former: Vec<ProducerIdentity>,
    /// The open transaction.
    pub open: Option<usize>,
    pub prepared: Option<Prepared>,
    pub lanes: BTreeMap<Place, Lane>,
}

#[derive(Default, Debug)]
pub struct Model {
    pub logs: BTreeMap<Place, Log>,
    pub transactions: Vec<Fate>,
    pub producers: Vec<Producer>,
    /// Values that a key may have: one, unless a write failed.
    pub metadata: BTreeMap<String, Vec<Option<u64>>>,
    /// Topics of which nobody knows whether they exist before the store is opened again.
    pub doubtful_topics: Vec<String>,
}

impl Model {
    /// The first offset of a transaction in each partition that has records of it.
    pub fn parts(&self, transaction: usize) -> Vec<(Place, i64)> {
        let mut parts = Vec::new();
        for (place, log) in &self.logs {
            let of_it = |entry: &&Entry| matches!(entry.what, What::Data { transaction: Some(t), .. } if t == transaction);
            if let Some(entry) = log.entries.iter().find(of_it) {
                parts.push((place.clone(), entry.base));
            }
        }
        parts
    }
}
