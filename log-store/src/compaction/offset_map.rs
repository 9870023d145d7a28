//! The newest offset of each key, in a fixed amount of memory.
//!
//! A key is known by 128 bits: two SipHashes of it, seeded anew for every pass, so that nobody can
//! prepare two keys that pass for the same. A key and its offset take 24 bytes, however long the key is.

use std::hash::{DefaultHasher, Hasher};

/// Bytes of one slot.
const SLOT: usize = size_of::<Slot>();

#[derive(Clone, Copy, Default)]
struct Slot {
    key: [u64; 2],
    /// The offset plus one; 0 in a free slot.
    next_offset: u64,
}

/// See the module.
pub(super) struct OffsetMap {
    slots: Vec<Slot>,
    seeds: [u64; 2],
    used: usize,
    /// With more keys than this, looking for one would take long.
    limit: usize,
}

impl OffsetMap {
    /// A map for up to so many keys, if the budget in bytes allows for them; for as many as it allows otherwise,
    /// and for one at least.
    pub fn new(keys: u64, budget: usize, seeds: [u64; 2]) -> Self {
        // A third more slots than keys, and some, so that there is always a free one.
        let wanted = keys.saturating_add(keys / 3).saturating_add(4);
        let slots = wanted.min((budget / SLOT) as u64).max(4) as usize;
        OffsetMap {
            slots: vec![Slot::default(); slots],
            seeds,
            used: 0,
            limit: (slots / 4 * 3).max(1),
        }
    }

    /// Takes note of a record: `offset` is at least that of every record before. False if there is no room
    /// for another key.
    pub fn insert(&mut self, key: &[u8], offset: i64) -> bool {
        let key = self.hash(key);
        let at = self.slot(key);
        let is_new = self.slots[at].next_offset == 0;
        if is_new {
            if self.used == self.limit {
                return false;
            }
            self.used += 1;
        }
        self.slots[at] = Slot { key, next_offset: offset as u64 + 1 };
        true
    }

    /// The newest offset of a key, if the map knows one.
    pub fn newest(&self, key: &[u8]) -> Option<i64> {
        let slot = self.slots[self.slot(self.hash(key))];
        slot.next_offset.checked_sub(1).map(|offset| offset as i64)
    }

    /// The slot of a key, or the free one where it belongs.
    fn slot(&self, key: [u64; 2]) -> usize {
        let count = self.slots.len();
        let mut at = ((u128::from(key[0]) * count as u128) >> 64) as usize;
        loop {
            let slot = &self.slots[at];
            if slot.next_offset == 0 || slot.key == key {
                return at;
            }
            at = if at + 1 == count { 0 } else { at + 1 };
        }
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        self.seeds.map(|seed| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u64(seed);
            hasher.write(key);
            hasher.finish()
        })
    }
}

impl std::fmt::Debug for OffsetMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OffsetMap({} of {} keys)", self.used, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn it_knows_what_a_map_knows_until_it_is_full() {
        let mut map = OffsetMap::new(1_000, 1 << 20, [1, 2]);
        let mut model = BTreeMap::new();
        for offset in 0..10_000i64 {
            let key = (offset * 7_919 % 1_000).to_le_bytes();
            assert!(map.insert(&key, offset));
            model.insert(key, offset);
        }
        for (key, offset) in &model {
            assert_eq!(map.newest(key), Some(*offset));
        }
        assert_eq!(map.newest(b"never seen"), None);
        assert_eq!(map.newest(b""), None);
    }

    #[test]
    fn a_full_map_refuses_new_keys_and_keeps_those_it_has() {
        let mut map = OffsetMap::new(u64::MAX, 100 * SLOT, [3, 4]);
        let mut taken = 0;
        while map.insert(&[taken], i64::from(taken)) {
            taken += 1;
        }
        assert_eq!(taken, 75, "three quarters of the slots that the budget allows");
        assert!(map.insert(&[0], 1_000), "a known key fits");
        assert_eq!(map.newest(&[0]), Some(1_000));
        assert_eq!(map.newest(&[74]), Some(74));
        assert_eq!(map.newest(&[75]), None);
        let mut least = OffsetMap::new(0, 0, [5, 6]);
        assert!(least.insert(b"one", 0), "however small the budget is");
    }
}
