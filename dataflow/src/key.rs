//! Keys to key groups to subtasks.
//!
//! A key group is the unit by which keyed state is spread, snapshotted and moved when a job is
//! rescaled: the group of a key never changes, only the subtask that owns the group does. The scheme is
//! Flink's ("key group range assignment").

use std::hash::{Hash, Hasher};
use std::ops::Range;

/// Number of a key group, below the job's maximum parallelism.
pub type KeyGroup = u16;

/// Key groups of a job unless it says otherwise; also the highest parallelism it can be rescaled to.
pub const DEFAULT_KEY_GROUPS: u16 = 128;

const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;
const SEED: u64 = 0x243F_6A88_85A3_08D3;

/// The hash behind key groups: it must never change, because state on disk is sorted by it.
///
/// Eight bytes at a time are folded in with a 64 x 64 -> 128 bit multiplication, the construction of
/// wyhash and foldhash; integers are taken little endian so that all machines agree.
#[derive(Debug, Clone)]
pub struct KeyHasher(u64);

impl Default for KeyHasher {
    fn default() -> Self {
        Self(SEED)
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a) * u128::from(b);
    (wide as u64) ^ ((wide >> 64) as u64)
}

impl Hasher for KeyHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let word = u64::from_le_bytes([
                chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7],
            ]);
            self.0 = fold(self.0 ^ word, MULTIPLIER);
        }
        let rest = chunks.remainder();
        let mut word = [0u8; 8];
        word[..rest.len()].copy_from_slice(rest);
        self.0 = fold(self.0 ^ u64::from_le_bytes(word) ^ ((bytes.len() as u64) << 56), MULTIPLIER);
    }
    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }
    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.0 = fold(self.0 ^ value, MULTIPLIER);
    }
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
    #[inline]
    fn finish(&self) -> u64 {
        fold(self.0, SEED | 1)
    }
}

/// The stable hash of a key.
#[inline]
pub fn key_hash<K: Hash + ?Sized>(key: &K) -> u64 {
    let mut hasher = KeyHasher::default();
    key.hash(&mut hasher);
    hasher.finish()
}

/// The key group of a key's hash, among `key_groups` groups.
#[inline]
pub fn key_group_of(hash: u64, key_groups: u16) -> KeyGroup {
    ((u128::from(hash) * u128::from(key_groups)) >> 64) as KeyGroup
}

/// The subtask that owns a key group at the given parallelism.
#[inline]
pub fn subtask_of(group: KeyGroup, key_groups: u16, parallelism: u32) -> u32 {
    u32::from(group) * parallelism / u32::from(key_groups)
}

/// The key groups that a subtask owns: the inverse of [`subtask_of`].
///
/// ```
/// use riverrun_dataflow::{key_groups_of_subtask, subtask_of};
/// for subtask in 0..3 {
///     for group in key_groups_of_subtask(subtask, 128, 3) {
///         assert_eq!(subtask_of(group, 128, 3), subtask);
///     }
/// }
/// ```
pub fn key_groups_of_subtask(subtask: u32, key_groups: u16, parallelism: u32) -> Range<KeyGroup> {
    let bound = |s: u32| (s * u32::from(key_groups)).div_ceil(parallelism) as KeyGroup;
    bound(subtask)..bound(subtask + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash is part of the format of state: these values may never change.
    #[test]
    fn hash_is_stable() {
        assert_eq!(key_hash("83.149.9.216"), key_hash(&"83.149.9.216".to_owned()));
        assert_eq!(key_hash(&42u64), fold(fold(SEED ^ 42, MULTIPLIER), SEED | 1));
        assert_ne!(key_hash(&[0u8; 3][..]), key_hash(&[0u8; 4][..]));
    }

    #[test]
    fn groups_are_spread_evenly_and_every_group_has_one_owner() {
        let mut seen = [0u32; 128];
        for key in 0..128_000u32 {
            seen[usize::from(key_group_of(key_hash(&key.to_string()), 128))] += 1;
        }
        assert!(seen.iter().all(|n| (800..1200).contains(n)), "{seen:?}");
        for parallelism in 1..=128 {
            let mut next = 0;
            for subtask in 0..parallelism {
                let range = key_groups_of_subtask(subtask, 128, parallelism);
                assert_eq!(range.start, next);
                next = range.end;
                for group in range {
                    assert_eq!(subtask_of(group, 128, parallelism), subtask);
                }
            }
            assert_eq!(next, 128);
        }
    }
}
