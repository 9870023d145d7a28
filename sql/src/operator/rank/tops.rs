//! The rows of a key that a range of ranks picks, and what changed about them.

use std::cmp::Ordering;

use super::RankFunction;
use crate::operator::emission::{Emission, Strings};
use crate::state::{RowLayout, Values};

/// Which ranks are wanted, and how they are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Picks {
    pub function: RankFunction,
    pub from: u64,
    pub to: u64,
    /// Whether a row with another rank is another row.
    pub numbered: bool,
}

/// The picked rows of one key, in order: (row, rank, how often).
#[derive(Debug, Default)]
pub(super) struct Tops {
    rows: Strings,
    /// 0 if ranks do not matter.
    ranks: Vec<u64>,
    counts: Vec<i64>,
    /// Rows of these that came, for [`Tops::emit_changes`].
    came: Vec<(usize, i64)>,
}

impl Tops {
    pub fn clear(&mut self) {
        self.rows.clear();
        self.ranks.clear();
        self.counts.clear();
    }

    fn push(&mut self, row: &[u8], rank: u64, count: i64) {
        self.rows.push(row);
        self.ranks.push(rank);
        self.counts.push(count);
    }

    /// Picks of the rows that a key has now. Rows with a weight below 1 are not there.
    pub fn pick(&mut self, picks: Picks, layout: &RowLayout, values: &Values<i64>) {
        self.clear();
        let mut before: u64 = 0;
        let mut rank: u64 = 0;
        let mut peers: Option<&[u8]> = None;
        for (row, weight) in values.iter() {
            let Ok(count @ 1..) = u64::try_from(*weight) else { continue };
            let row = row.as_slice();
            if picks.function == RankFunction::RowNumber {
                if before >= picks.to {
                    return;
                }
                let (first, last) = ((before + 1).max(picks.from), (before + count).min(picks.to));
                if picks.numbered {
                    (first..=last).for_each(|rank| self.push(row, rank, 1));
                } else if first <= last {
                    self.push(row, 0, (last - first + 1) as i64);
                }
            } else {
                let order = layout.order_of(row);
                if peers != Some(order) {
                    peers = Some(order);
                    let dense = picks.function == RankFunction::DenseRank;
                    rank = if dense { rank + 1 } else { before + 1 };
                }
                if rank > picks.to {
                    return;
                }
                if rank >= picks.from {
                    self.push(row, if picks.numbered { rank } else { 0 }, *weight);
                }
            }
            before += count;
        }
    }

    /// Emits what makes `self` of `old`: rows that left with their old rank and a negative weight, then rows that came with their new one. What
    /// is emitted may be parted anywhere, and a sink that replaces by key must not see a row's removal behind the row that took its place.
    pub fn emit_changes(
        &mut self,
        old: &Self,
        key: &[u8],
        emission: &mut Emission,
        ranks: &mut Vec<u64>,
    ) {
        let mut came = std::mem::take(&mut self.came);
        let (mut was, mut is) = (0, 0);
        loop {
            let order = match (was < old.ranks.len(), is < self.ranks.len()) {
                (false, false) => break,
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (true, true) => old.at(was).cmp(&self.at(is)),
            };
            let (left, arrived) = (was, is);
            let mut weight = 0;
            if order.is_le() {
                weight -= old.counts[was];
                was += 1;
            }
            if order.is_ge() {
                weight += self.counts[is];
                is += 1;
            }
            if weight < 0 {
                let (row, rank) = old.at(left);
                emission.push(key, row, weight);
                ranks.push(rank);
            } else if weight > 0 {
                came.push((arrived, weight));
            }
        }
        for (at, weight) in came.drain(..) {
            let (row, rank) = self.at(at);
            emission.push(key, row, weight);
            ranks.push(rank);
        }
        self.came = came;
    }

    /// Emits all rows, each with the weight 1: one that is there several times several times.
    pub fn emit_all(&self, key: &[u8], emission: &mut Emission, ranks: &mut Vec<u64>) {
        for (at, count) in self.counts.iter().enumerate() {
            let (row, rank) = self.at(at);
            for _ in 0..*count {
                emission.push(key, row, 1);
                ranks.push(rank);
            }
        }
    }

    fn at(&self, at: usize) -> (&[u8], u64) {
        (self.rows.get(at), self.ranks[at])
    }
}
