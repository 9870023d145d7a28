//! What becomes of a topic's old records: removed by age and size, or compacted by key.

use std::fmt;
use std::str::FromStr;

use super::invalid;
use crate::error::{Error, Result};

/// `cleanup.policy`: how a topic is kept from growing for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CleanupPolicy {
    /// The oldest segments are removed, as `retention.ms` and `retention.bytes` say.
    #[default]
    Delete,
    /// Of each key the newest record stays, however old it is.
    Compact,
    /// Both: compacted, and what is too old or too much is removed all the same.
    CompactDelete,
}

impl CleanupPolicy {
    /// Whether retention by time and size applies.
    pub fn deletes(self) -> bool {
        matches!(self, CleanupPolicy::Delete | CleanupPolicy::CompactDelete)
    }

    /// Whether older records of a key are removed.
    pub fn compacts(self) -> bool {
        matches!(self, CleanupPolicy::Compact | CleanupPolicy::CompactDelete)
    }
}

impl fmt::Display for CleanupPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CleanupPolicy::Delete => "delete",
            CleanupPolicy::Compact => "compact",
            CleanupPolicy::CompactDelete => "compact,delete",
        })
    }
}

impl FromStr for CleanupPolicy {
    type Err = Error;

    /// `delete`, `compact`, or both with a comma between them, in any order.
    fn from_str(text: &str) -> Result<Self> {
        let (mut deletes, mut compacts) = (false, false);
        for part in text.split(',') {
            match part.trim() {
                "delete" => deletes = true,
                "compact" => compacts = true,
                _ => {
                    let reason = "use delete, compact or compact,delete";
                    return Err(invalid("cleanup.policy", text, reason));
                }
            }
        }
        Ok(match (compacts, deletes) {
            (true, true) => CleanupPolicy::CompactDelete,
            (true, false) => CleanupPolicy::Compact,
            (false, _) => CleanupPolicy::Delete,
        })
    }
}

/// `min.cleanable.dirty.ratio`: a share of a partition's bytes, from 0 to 1, to a millionth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirtyRatio {
    millionths: u32,
}

impl DirtyRatio {
    const ONE: u32 = 1_000_000;

    /// Half, which is Kafka's default.
    pub const HALF: DirtyRatio = DirtyRatio { millionths: DirtyRatio::ONE / 2 };

    /// A share; `None` if it does not lie between 0 and 1.
    pub fn new(share: f64) -> Option<Self> {
        let millionths = (share * f64::from(DirtyRatio::ONE)).round();
        (0.0..=1.0).contains(&share).then_some(DirtyRatio { millionths: millionths as u32 })
    }

    /// Whether `dirty` bytes of `all` are a larger share than this.
    pub fn is_exceeded(self, dirty: u64, all: u64) -> bool {
        u128::from(dirty) * u128::from(DirtyRatio::ONE)
            > u128::from(all) * u128::from(self.millionths)
    }
}

impl Default for DirtyRatio {
    fn default() -> Self {
        DirtyRatio::HALF
    }
}

impl fmt::Display for DirtyRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.millionths) / f64::from(DirtyRatio::ONE))
    }
}

impl FromStr for DirtyRatio {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse().ok().and_then(DirtyRatio::new).ok_or_else(|| {
            invalid("min.cleanable.dirty.ratio", text, "give a number between 0 and 1, as 0.5")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_read_in_any_order() {
        for (text, policy) in [
            ("delete", CleanupPolicy::Delete),
            ("compact", CleanupPolicy::Compact),
            ("compact,delete", CleanupPolicy::CompactDelete),
            ("delete, compact", CleanupPolicy::CompactDelete),
        ] {
            let read: CleanupPolicy = text.parse().expect(text);
            assert_eq!(read, policy);
            assert_eq!(read.to_string().parse::<CleanupPolicy>().expect("own text"), policy);
        }
        for wrong in ["", "compat", "compact,", "compact;delete"] {
            let message = wrong.parse::<CleanupPolicy>().expect_err(wrong).to_string();
            assert!(message.contains("cleanup.policy"), "{message}");
        }
    }

    #[test]
    fn ratios_compare_exactly() {
        let ratio: DirtyRatio = "0.5".parse().expect("a ratio");
        assert_eq!(ratio, DirtyRatio::HALF);
        assert_eq!(ratio.to_string(), "0.5");
        assert!(!ratio.is_exceeded(50, 100));
        assert!(ratio.is_exceeded(51, 100));
        let nothing: DirtyRatio = "0".parse().expect("a ratio");
        assert!(nothing.is_exceeded(1, u64::MAX) && !nothing.is_exceeded(0, 0));
        for wrong in ["-0.1", "1.1", "NaN", "half"] {
            assert!(wrong.parse::<DirtyRatio>().is_err(), "{wrong}");
        }
    }
}
