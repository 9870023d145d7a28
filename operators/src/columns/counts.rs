//! Rows counted by a text: the hash table under [`combine`](super::combine).
//!
//! Most keys are short (an IPv4 address has at most 15 bytes). Those are kept in the table itself, as one number, so that to look
//! one up is to compare numbers: no pointer is followed and nothing is allocated per key.

use hashbrown::HashTable;
use hashbrown::hash_map::HashMap;

/// Longest key that fits a number, in bytes: the sixteenth holds the length.
const SHORT: usize = 15;

/// Counts by key.
#[derive(Default)]
pub(super) struct Counts {
    short: HashTable<ShortCount>,
    long: HashMap<Box<str>, u64, foldhash::fast::FixedState>,
}

#[derive(Clone, Copy)]
struct ShortCount {
    key: u128,
    rows: u64,
}

impl Counts {
    /// Number of keys.
    pub(super) fn len(&self) -> usize {
        self.short.len() + self.long.len()
    }

    /// Counts one row of the key at `start..end` of `text`, which is UTF-8 there.
    #[inline]
    pub(super) fn add(&mut self, text: &[u8], start: usize, end: usize) {
        if end - start > SHORT {
            return self.add_long(&text[start..end]);
        }
        let key = packed(text, start, end);
        let entry = self.short.entry(hash(key), |count| count.key == key, |count| hash(count.key));
        entry.or_insert(ShortCount { key, rows: 0 }).into_mut().rows += 1;
    }

    #[cold]
    #[inline(never)]
    fn add_long(&mut self, key: &[u8]) {
        // The caller says that it is UTF-8: nothing is replaced here.
        let key = String::from_utf8_lossy(key);
        match self.long.get_mut(key.as_ref()) {
            Some(rows) => *rows += 1,
            None => {
                self.long.insert(key.into(), 1);
            }
        }
    }

    /// Calls `each` with every key and its count, and is empty again.
    pub(super) fn drain(&mut self, mut each: impl FnMut(&[u8], u64)) {
        for ShortCount { key, rows } in self.short.drain() {
            let bytes = key.to_le_bytes();
            each(&bytes[..usize::from(bytes[SHORT])], rows);
        }
        for (key, rows) in self.long.drain() {
            each(key.as_bytes(), rows);
        }
    }
}

/// Up to 15 bytes and their number, as one number.
#[inline(always)]
fn packed(text: &[u8], start: usize, end: usize) -> u128 {
    let length = end - start;
    let bytes = match text.get(start..start + 16).and_then(<[u8]>::first_chunk::<16>) {
        // What follows the key is cut off again.
        Some(bytes) => {
            let mask = (1u128 << (8 * length as u32)) - 1;
            u128::from_le_bytes(*bytes) & mask
        }
        None => {
            let mut bytes = [0; 16];
            bytes[..length].copy_from_slice(&text[start..end]);
            u128::from_le_bytes(bytes)
        }
    };
    bytes | (length as u128) << 120
}

/// The construction of wyhash and foldhash, for one number.
#[inline(always)]
fn hash(key: u128) -> u64 {
    let (low, high) = (key as u64, (key >> 64) as u64);
    let wide = u128::from(low ^ 0x9E37_79B9_7F4A_7C15) * u128::from(high ^ 0x243F_6A88_85A3_08D3);
    (wide as u64) ^ ((wide >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a plain map, for keys of all lengths at all places of a text.
        #[test]
        fn counts_as_a_map_does(keys in proptest::collection::vec("[a-c\u{e4}]{0,18}", 0..80)) {
            let text: String = keys.concat();
            let (mut counts, mut model) = (Counts::default(), BTreeMap::<Vec<u8>, u64>::new());
            let mut start = 0;
            for key in &keys {
                counts.add(text.as_bytes(), start, start + key.len());
                start += key.len();
                *model.entry(key.clone().into_bytes()).or_default() += 1;
            }
            prop_assert_eq!(counts.len(), model.len());
            let mut counted = BTreeMap::new();
            counts.drain(|key, rows| assert!(counted.insert(key.to_vec(), rows).is_none()));
            prop_assert_eq!(counted, model);
            prop_assert_eq!(counts.len(), 0);
        }
    }
}
