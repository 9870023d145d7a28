//! What was sent, and what became of it as far as anybody was told.

use std::collections::BTreeMap;

use riverrun_log_store::ProducerIdentity;

/// A stream of random numbers (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1b87_3593_cc9e_2d51)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Open,
    Committed,
    Aborted,
}

/// A record that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
    pub timestamp: i64,
    /// Index into [`Model::fates`].
    pub transaction: Option<usize>,
    /// When it was appended.
    pub at_ms: i64,
}

#[derive(Debug)]
pub struct Producer {
    /// The transactional id; `None`: merely idempotent.
    pub name: Option<&'static str>,
    pub identity: Option<ProducerIdentity>,
    pub next_sequence: i32,
    /// Its last batch, not stamped, with where it is.
    pub last: Option<(Vec<u8>, i64)>,
    pub open: Option<usize>,
}

#[derive(Default, Debug)]
pub struct Model {
    /// By offset.
    pub records: BTreeMap<i64, Sent>,
    pub fates: Vec<Fate>,
    pub producers: Vec<Producer>,
}

impl Model {
    /// Whether a record counts: it is in no transaction, or in one that is committed.
    pub fn counts(&self, sent: &Sent) -> bool {
        sent.transaction.is_none_or(|transaction| self.fates[transaction] == Fate::Committed)
    }

    pub fn is_aborted(&self, sent: &Sent) -> bool {
        sent.transaction.is_some_and(|transaction| self.fates[transaction] == Fate::Aborted)
    }

    /// The newest record of each key that counts, below `stable`.
    pub fn newest(&self, stable: i64) -> BTreeMap<&[u8], i64> {
        let counting = self.records.range(..stable).filter(|(_, sent)| self.counts(sent));
        counting.map(|(offset, sent)| (&sent.key[..], *offset)).collect()
    }
}
