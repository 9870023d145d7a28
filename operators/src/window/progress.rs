//! How far event time had come, as snapshots keep it.
//!
//! It is kept per key group: when subtasks are put together after a rescaling, or stopped at different points, no
//! window that one of them has fired may fire again, and none that another has not may be lost.

use riverrun_dataflow::{Error, KeyGroup, Result, Timestamp, codec};
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
}

impl Default for Fired {
    fn default() -> Self {
        Self { reached: Timestamp::MIN, ahead: Vec::new(), furthest: Timestamp::MIN }
    }
}

impl Fired {
    /// Takes back what former subtasks left for the key groups of this one.
    pub fn restored(progress: &[Progress], groups: &std::ops::Range<KeyGroup>) -> Self {
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
        let mut fired = Self { reached, ahead, furthest: Timestamp::MIN };
        fired.forget_reached();
        fired
    }

    /// The time up to which the windows of all keys have fired.
    pub fn reached(&self) -> Timestamp {
        self.reached
    }

    /// Moves on; returns where it was before.
    pub fn advance_to(&mut self, to: Timestamp) -> Timestamp {
        let before = self.reached;
        self.reached = before.max(to);
        if self.furthest > Timestamp::MIN {
            self.forget_reached();
        }
        before
    }

    fn forget_reached(&mut self) {
        let reached = self.reached;
        self.ahead.retain(|(_, _, at)| *at > reached);
        self.furthest = self.ahead.iter().map(|(_, _, at)| *at).max().unwrap_or(Timestamp::MIN);
    }

    /// The time up to which the windows of one key have fired; `group_of` is asked only if that may differ.
    #[inline]
    pub fn reached_by(&self, group_of: impl FnOnce() -> KeyGroup) -> Timestamp {
        if self.furthest <= self.reached { self.reached } else { self.reached_by_group(group_of()) }
    }

    #[cold]
    fn reached_by_group(&self, group: KeyGroup) -> Timestamp {
        let ahead = self.ahead.iter().find(|(first, end, _)| (*first..*end).contains(&group));
        ahead.map_or(self.reached, |(_, _, at)| *at)
    }

    /// For a snapshot: runs that cover the key groups.
    pub fn runs(&self, groups: &std::ops::Range<KeyGroup>) -> Vec<(KeyGroup, KeyGroup, Timestamp)> {
        let mut runs = Vec::with_capacity(1 + 2 * self.ahead.len());
        let mut next = groups.start;
        for run in &self.ahead {
            if next < run.0 {
                runs.push((next, run.0, self.reached));
            }
            runs.push(*run);
            next = run.1;
        }
        if next < groups.end {
            runs.push((next, groups.end, self.reached));
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(fired: &[(KeyGroup, KeyGroup, Timestamp)]) -> Progress {
        Progress { signature: "s".into(), fired: fired.to_vec(), lateness: 5 }
    }

    #[test]
    fn each_group_keeps_how_far_it_was() {
        let former = [progress(&[(0, 64, 100)]), progress(&[(64, 128, 50)])];
        let mut fired = Fired::restored(&former, &(32..96));
        assert_eq!(fired.reached(), 50);
        assert_eq!(fired.reached_by(|| 40), 100);
        assert_eq!(fired.reached_by(|| 70), 50);
        assert_eq!(fired.runs(&(32..96)), [(32, 64, 100), (64, 96, 50)]);
        assert_eq!(fired.advance_to(70), 50);
        assert_eq!((fired.reached_by(|| 40), fired.reached_by(|| 70)), (100, 70));
        fired.advance_to(100);
        assert_eq!(fired.reached_by(|| unreachable!("all groups are equal again")), 100);
        assert_eq!(fired.runs(&(32..96)), [(32, 96, 100)]);
    }

    #[test]
    fn groups_that_nobody_speaks_for_start_at_the_beginning() {
        let fired = Fired::restored(&[progress(&[(0, 10, 7)])], &(0..20));
        assert_eq!(fired.reached(), Timestamp::MIN);
        assert_eq!(fired.reached_by(|| 3), 7);
        assert_eq!(fired.runs(&(0..20)), [(0, 10, 7), (10, 20, Timestamp::MIN)]);
    }

    #[test]
    fn other_windows_are_refused_with_both_names() {
        let bytes = progress(&[]).encode("window").unwrap();
        let error = Progress::decode_all(&[bytes], "tumbling 5s, count", 0, "window").unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("`s`") && text.contains("`tumbling 5s, count`") && text.contains("uid"),
            "{text}"
        );
        assert!(Progress::decode_all(&[vec![9, 9]], "s", 0, "window").is_err());
        let bytes = [progress(&[]).encode("window").unwrap()];
        assert!(Progress::decode_all(&bytes, "s", 5, "window").is_ok());
        assert!(Progress::decode_all(&bytes, "s", 6, "window").is_err());
    }
}
