//! How far event time had come, as snapshots keep it.
//!
//! It is kept per key group: when subtasks are put together after a rescaling, or stopped at different points, no
//! window that one of them has fired may fire again, and none that another has not may be lost.

use std::hash::Hash;
use std::ops::Range;

use riverrun_dataflow::{Error, KeyGroup, Result, Timestamp, codec, key_group_of, key_hash};
use serde::{Deserialize, Serialize};

/// The part of a window operator's snapshot that is not keyed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// What the windows were set to.
    pub signature: String,
    /// Runs of key groups (first, end) and the time up to which their windows have fired.
    pub fired: Vec<(KeyGroup, KeyGroup, Timestamp)>,
    /// For how long after their end windows had kept their state, in milliseconds.
    pub lateness: i64,
}

impl Progress {
    pub fn encode(&self, operator: &str) -> Result<Vec<u8>> {
        codec::encode(self).map_err(|e| Error::state(operator, e))
    }

    /// Decodes what all former subtasks left.
    ///
    /// # Errors
    /// [`Error::State`] if it was left by windows that were set to something else, or dropped their state
    /// earlier than is now allowed to change results.
    pub fn decode_all(
        list: &[Vec<u8>],
        signature: &str,
        lateness: i64,
        operator: &str,
    ) -> Result<Vec<Self>> {
        list.iter()
            .map(|bytes| {
                let progress: Self = codec::decode(bytes).map_err(|e| {
                    Error::state(
                        operator,
                        format!("its progress {e}; give the operator a new uid to start it empty"),
                    )
                })?;
                if progress.lateness < lateness {
                    return Err(Error::state(
                        operator,
                        format!(
                            "the allowed lateness was {} ms and the job now says {lateness} ms, but windows in between \
                             were dropped already; set it back, or give the operator a new uid to start it empty",
                            progress.lateness
                        ),
                    ));
                }
                if progress.signature == signature {
                    return Ok(progress);
                }
                Err(Error::state(
                    operator,
                    format!(
                        "the checkpoint holds state of `{}` and the job now says `{signature}`; set it back, \
                         or give the operator a new uid to start it empty",
                        progress.signature
                    ),
                ))
            })
            .collect()
    }
}

/// The time up to which windows have fired, by key group.
#[derive(Debug, Clone)]
pub(crate) struct Fired {
    /// For all keys.
    reached: Timestamp,
    /// Where restored key groups were ahead of `reached`: (first, end, time). Empty once it caught up.
    ahead: Vec<(KeyGroup, KeyGroup, Timestamp)>,
    /// The furthest of `ahead`.
    furthest: Timestamp,
    /// The key groups of this subtask, and of the job.
    groups: Range<KeyGroup>,
    key_groups: u16,
}

impl Default for Fired {
    fn default() -> Self {
        Self {
            reached: Timestamp::MIN,
            ahead: Vec::new(),
            furthest: Timestamp::MIN,
            groups: 0..1,
            key_groups: 1,
        }
    }
}

impl Fired {
    /// Takes back what former subtasks left for the key groups of this one.
    pub fn restored(progress: &[Progress], groups: Range<KeyGroup>, key_groups: u16) -> Self {
        let mut ahead: Vec<_> = progress
            .iter()
            .flat_map(|progress| &progress.fired)
            .map(|(first, end, at)| (*first.max(&groups.start), *end.min(&groups.end), *at))
            .filter(|(first, end, _)| first < end)
            .collect();
        ahead.sort_unstable();
        let covered: usize = ahead.iter().map(|(first, end, _)| usize::from(end - first)).sum();
        // A group that nobody speaks for has not fired anything.
        let lowest = ahead.iter().map(|(_, _, at)| *at).min().unwrap_or(Timestamp::MIN);
        let reached = if covered < groups.len() { Timestamp::MIN } else { lowest };
        let mut fired = Self { reached, ahead, furthest: Timestamp::MIN, groups, key_groups };
        fired.forget_reached();
        fired
    }

    /// The time up to which the windows of all keys have fired.
    pub fn reached(&self) -> Timestamp {
        self.reached
    }

    /// The time up to which the windows of any key have fired.
    pub fn furthest(&self) -> Timestamp {
        self.reached.max(self.furthest)
    }

    /// Moves on.
    pub fn advance_to(&mut self, to: Timestamp) {
        self.reached = self.reached.max(to);
        if !self.ahead.is_empty() {
            self.forget_reached();
        }
    }

    fn forget_reached(&mut self) {
        let reached = self.reached;
        self.ahead.retain(|(_, _, at)| *at > reached);
        self.furthest = self.ahead.iter().map(|(_, _, at)| *at).max().unwrap_or(Timestamp::MIN);
    }

    /// The time up to which the windows of one key have fired.
    #[inline]
    pub fn reached_by<K: Hash>(&self, key: &K) -> Timestamp {
        if self.furthest <= self.reached { self.reached } else { self.reached_by_group_of(key) }
    }

    #[cold]
    fn reached_by_group_of<K: Hash>(&self, key: &K) -> Timestamp {
        let group = key_group_of(key_hash(key), self.key_groups);
        let ahead = self.ahead.iter().find(|(first, end, _)| (*first..*end).contains(&group));
        ahead.map_or(self.reached, |(_, _, at)| *at)
    }

    /// For a snapshot.
    pub fn progress(&self, signature: &str, lateness: i64) -> Progress {
        let mut fired = Vec::with_capacity(1 + 2 * self.ahead.len());
        let mut next = self.groups.start;
        for run in &self.ahead {
            if next < run.0 {
                fired.push((next, run.0, self.reached));
            }
            fired.push(*run);
            next = run.1;
        }
        if next < self.groups.end {
            fired.push((next, self.groups.end, self.reached));
        }
        Progress { signature: signature.to_owned(), fired, lateness }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(fired: &[(KeyGroup, KeyGroup, Timestamp)]) -> Progress {
        Progress { signature: "s".into(), fired: fired.to_vec(), lateness: 5 }
    }

    fn key_in(groups: Range<KeyGroup>) -> u64 {
        (0..).find(|key: &u64| groups.contains(&key_group_of(key_hash(key), 128))).unwrap()
    }

    #[test]
    fn each_group_keeps_how_far_it_was() {
        let former = [progress(&[(0, 64, 100)]), progress(&[(64, 128, 50)])];
        let mut fired = Fired::restored(&former, 32..96, 128);
        let (ahead, behind) = (key_in(32..64), key_in(64..96));
        assert_eq!((fired.reached(), fired.furthest()), (50, 100));
        assert_eq!((fired.reached_by(&ahead), fired.reached_by(&behind)), (100, 50));
        assert_eq!(fired.progress("s", 5), progress(&[(32, 64, 100), (64, 96, 50)]));
        fired.advance_to(70);
        assert_eq!((fired.reached_by(&ahead), fired.reached_by(&behind)), (100, 70));
        fired.advance_to(100);
        assert_eq!((fired.reached_by(&ahead), fired.reached_by(&behind)), (100, 100));
        assert_eq!(fired.progress("s", 5), progress(&[(32, 96, 100)]));
    }

    #[test]
    fn groups_that_nobody_speaks_for_start_at_the_beginning() {
        let fired = Fired::restored(&[progress(&[(0, 10, 7)])], 0..20, 128);
        assert_eq!(fired.reached(), Timestamp::MIN);
        assert_eq!(fired.reached_by(&key_in(0..10)), 7);
        assert_eq!(fired.progress("s", 5), progress(&[(0, 10, 7), (10, 20, Timestamp::MIN)]));
    }

    #[test]
    fn other_windows_are_refused_with_both_names() {
        let list = [progress(&[]).encode("window").unwrap()];
        let refused = |signature, lateness| {
            Progress::decode_all(&list, signature, lateness, "window").unwrap_err().to_string()
        };
        let text = refused("tumbling 5s, count", 5);
        assert!(text.contains("`s`") && text.contains("`tumbling 5s, count`"), "{text}");
        assert!(text.contains("uid"), "{text}");
        let text = refused("s", 6);
        assert!(text.contains("was 5 ms") && text.contains("now says 6 ms"), "{text}");
        assert!(Progress::decode_all(&list, "s", 4, "window").is_ok());
        assert!(Progress::decode_all(&[vec![9, 9]], "s", 0, "window").is_err());
    }
}
