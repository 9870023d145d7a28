//! The rows of two sides by key: what a join keeps.
//!
//! One table holds the keys of both sides, so that a row finds its place and its partners at once. Equal rows of a key are one record with a
//! weight. A row costs its bytes and a header of 8 to 24 bytes, a key 80 bytes and its place in the table.
//!
//! | file | what |
//! |---|---|
//! | `bucket.rs` | the rows of one key and side |
//! | `snapshot.rs` | to a checkpoint and back |

mod bucket;
mod snapshot;
#[cfg(test)]
mod tests;

use hashbrown::HashTable;
use riverrun_dataflow::{Error, Result, key_hash};

use self::bucket::Bucket;
pub use self::bucket::{Layout, Record};
use super::RowBytes;

/// Rows by key, for two sides. Keys are found by bytes and then known by a slot number, which stays until [`Buckets::release`].
pub struct Buckets {
    layouts: [Layout; 2],
    table: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Slots with changes since the last snapshot.
    dirty: Vec<u32>,
    /// Changes count only once a snapshot was taken: the first one is full.
    tracking: bool,
}

struct Slot {
    key: RowBytes,
    sides: [Bucket; 2],
    hash: u32,
    /// [`DIRTY`] and [`TOUCHED`].
    mark: u32,
}

/// The slot is in `dirty`.
const DIRTY: u32 = 1;
/// The slot was touched in this call.
const TOUCHED: u32 = 2;

fn hash_of(key: &[u8]) -> u32 {
    (key_hash(key) >> 32) as u32
}

/// 32 stored bits, spread over the 64 that the table looks at.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Buckets {
    /// Nothing yet.
    pub fn new(layouts: [Layout; 2]) -> Self {
        Self {
            layouts,
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            tracking: false,
        }
    }

    /// Nothing yet, where a snapshot has been taken already: what is added is a change since then.
    pub fn tracking(layouts: [Layout; 2]) -> Self {
        Self { tracking: true, ..Self::new(layouts) }
    }

    /// Number of keys.
    pub fn keys(&self) -> usize {
        self.table.len()
    }

    /// Bytes of memory that are held, as far as they can be counted.
    pub fn memory(&self) -> usize {
        let slots: usize = self
            .slots
            .iter()
            .map(|slot| {
                let sides: usize = slot.sides.iter().map(Bucket::memory).sum();
                sides + slot.key.heap()
            })
            .sum();
        slots + self.slots.capacity() * size_of::<Slot>() + self.table.capacity() * 5
    }

    /// The slot of a key, made if there is none.
    #[inline]
    pub fn slot(&mut self, key: &[u8]) -> u32 {
        let hash = hash_of(key);
        let slots = &self.slots;
        let same = |slot: &u32| {
            let slot = &slots[*slot as usize];
            slot.hash == hash && slot.key.as_slice() == key
        };
        if let Some(slot) = self.table.find(spread(hash), same) {
            return *slot;
        }
        let new = Slot { key: RowBytes::from(key), sides: Default::default(), hash, mark: 0 };
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at as usize] = new;
                at
            }
            None => {
                self.slots.push(new);
                // Four billion keys would need far more memory than there is.
                (self.slots.len() - 1) as u32
            }
        };
        let slots = &self.slots;
        self.table.insert_unique(spread(hash), at, |at| spread(slots[*at as usize].hash));
        at
    }

    /// The slot of a key, if it has one.
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        let hash = hash_of(key);
        let same = |slot: &u32| {
            let slot = &self.slots[*slot as usize];
            slot.hash == hash && slot.key.as_slice() == key
        };
        self.table.find(spread(hash), same).copied()
    }

    /// The key of a slot.
    pub fn key(&self, slot: u32) -> &[u8] {
        self.slots[slot as usize].key.as_slice()
    }

    /// All slots in use.
    pub fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        self.table.iter().copied()
    }

    /// The rows of a key and side, from a position on: 0, or that of a record.
    #[inline]
    pub fn records(&self, slot: u32, side: usize, from: u32) -> impl Iterator<Item = Record<'_>> {
        self.slots[slot as usize].sides[side].records(self.layouts[side], from)
    }

    /// The record of a row.
    pub fn find_row(&self, slot: u32, side: usize, row: &[u8]) -> Option<Record<'_>> {
        self.slots[slot as usize].sides[side].find(self.layouts[side], row)
    }

    /// The record at a position that another call told; valid while the side of the slot does not change.
    #[inline]
    pub fn record(&self, slot: u32, side: usize, at: u32) -> Record<'_> {
        self.slots[slot as usize].sides[side].record(self.layouts[side], at)
    }

    /// The sum of the weights of a key and side.
    pub fn total(&self, slot: u32, side: usize) -> i64 {
        self.slots[slot as usize].sides[side].total(self.layouts[side])
    }

    /// Marks a slot as touched in this call or not; true if that is news.
    #[inline]
    pub fn touch(&mut self, slot: u32, touched: bool) -> bool {
        let mark = &mut self.slots[slot as usize].mark;
        let news = (*mark & TOUCHED != 0) != touched;
        *mark = if touched { *mark | TOUCHED } else { *mark & !TOUCHED };
        news
    }

    /// Adds to the weight of a row; what the record says of matches and time counts if it was not there.
    ///
    /// # Errors
    /// [`Error::State`] naming `operator` if there is more of one key than can be kept.
    pub fn add(
        &mut self,
        operator: &str,
        slot: u32,
        side: usize,
        record: &Record<'_>,
    ) -> Result<()> {
        self.note(slot);
        self.slots[slot as usize].sides[side]
            .add(self.layouts[side], record, self.tracking)
            .map_err(|bucket::TooMuch(what)| Error::state(operator, what))
    }

    /// Adds a row with the weight 1 if it is not there; true if it was not.
    ///
    /// # Errors
    /// As [`Buckets::add`].
    pub fn insert(&mut self, operator: &str, slot: u32, side: usize, row: &[u8]) -> Result<bool> {
        if self.find_row(slot, side, row).is_some() {
            return Ok(false);
        }
        let record = Record { at: 0, weight: 1, matches: 0, time: 0, row };
        self.add(operator, slot, side, &record).map(|()| true)
    }

    /// Takes out all rows of a key.
    pub fn clear(&mut self, slot: u32) {
        (0..2).for_each(|side| self.expire(slot, side, i64::MAX, |_| {}));
        self.release(slot);
    }

    /// Sets the number of matches of a record.
    #[inline]
    pub fn put_matches(&mut self, slot: u32, side: usize, at: u32, matches: i64) {
        self.note(slot);
        let (layout, tracking) = (self.layouts[side], self.tracking);
        self.slots[slot as usize].sides[side].put_matches(layout, at, matches, tracking);
    }

    /// Marks a record as touched in this call or not; true if that is news.
    #[inline]
    pub fn touch_row(&mut self, slot: u32, side: usize, at: u32, touched: bool) -> bool {
        self.slots[slot as usize].sides[side].touch(at, touched)
    }

    /// Takes out the rows of a key and side whose time is not above `until`, and tells `gone` of each.
    pub fn expire(&mut self, slot: u32, side: usize, until: i64, gone: impl FnMut(&Record<'_>)) {
        self.note(slot);
        let (layout, tracking) = (self.layouts[side], self.tracking);
        self.slots[slot as usize].sides[side].expire(layout, until, tracking, gone);
    }

    /// Forgets a slot of which nothing is left. Its number may then mean another key.
    pub fn release(&mut self, slot: u32) {
        let Slot { sides, hash, key, .. } = &mut self.slots[slot as usize];
        if sides.iter().any(|side| !side.is_empty()) {
            return;
        }
        let hash = *hash;
        *key = RowBytes::from(&[][..]);
        let found = self.table.find_entry(spread(hash), |at| *at == slot);
        if let Ok(entry) = found {
            entry.remove();
            self.free.push(slot);
        }
    }

    #[inline]
    fn note(&mut self, slot: u32) {
        let mark = &mut self.slots[slot as usize].mark;
        if self.tracking && *mark & DIRTY == 0 {
            *mark |= DIRTY;
            self.dirty.push(slot);
        }
    }
}
