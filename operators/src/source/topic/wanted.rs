//! Which records somebody wants, so that others need not be read.

use std::collections::BTreeSet;
use std::fmt;

use riverrun_log_store::BatchHeader;

/// Numbers from the first to the last, both included. Nothing, if the last is below the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// The first; [`i64::MIN`]: from wherever they begin.
    pub first: i64,
    /// The last; [`i64::MAX`]: to wherever they end.
    pub last: i64,
}

impl Span {
    /// All numbers.
    pub const ALL: Self = Self { first: i64::MIN, last: i64::MAX };

    /// What is in both.
    pub fn and(self, other: Self) -> Self {
        Self { first: self.first.max(other.first), last: self.last.min(other.last) }
    }

    /// From the first of either to the last of either.
    pub fn or(self, other: Self) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other,
            (_, true) => self,
            _ => Self { first: self.first.min(other.first), last: self.last.max(other.last) },
        }
    }

    fn is_empty(self) -> bool {
        self.last < self.first
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            _ if self.is_empty() => f.write_str("none"),
            (i64::MIN, i64::MAX) => f.write_str("all"),
            (first, i64::MAX) => write!(f, "from {first}"),
            (i64::MIN, last) => write!(f, "to {last}"),
            (first, last) => write!(f, "{first} to {last}"),
        }
    }
}

/// Which records of a topic are wanted. Others may be left out, and are where that saves work: whoever wants none of them looks at
/// each record all the same.
///
/// ```
/// use riverrun_operators::{Span, Wanted};
///
/// let late = Wanted { timestamps: Span { first: 1_431_857_100_000, ..Span::ALL }, ..Wanted::default() };
/// let one = Wanted { partitions: Some([3].into()), ..Wanted::default() };
/// assert_eq!(late.and(one).to_string(), "partitions 3; timestamps from 1431857100000");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// Of these partitions; `None`: of all.
    pub partitions: Option<BTreeSet<u32>>,
    /// With these offsets, in every partition.
    pub offsets: Span,
    /// With these timestamps, in milliseconds since 1970. A record without a timestamp is not wanted if any other is left out.
    pub timestamps: Span,
}

impl Default for Wanted {
    /// All.
    fn default() -> Self {
        Self { partitions: None, offsets: Span::ALL, timestamps: Span::ALL }
    }
}

impl Wanted {
    /// Whether all records are wanted.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// What both want.
    pub fn and(self, other: Self) -> Self {
        let partitions = match (self.partitions, other.partitions) {
            (Some(one), Some(other)) => Some(&one & &other),
            (one, other) => one.or(other),
        };
        Self {
            partitions,
            offsets: self.offsets.and(other.offsets),
            timestamps: self.timestamps.and(other.timestamps),
        }
    }

    /// What at least one of both wants, and perhaps more.
    pub fn or(self, other: Self) -> Self {
        let partitions = match (self.partitions, other.partitions) {
            (Some(one), Some(other)) => Some(&one | &other),
            _ => None,
        };
        Self {
            partitions,
            offsets: self.offsets.or(other.offsets),
            timestamps: self.timestamps.or(other.timestamps),
        }
    }

    /// Whether a batch may hold a record that is wanted, by what its header says.
    pub(super) fn may_be_in(&self, header: &BatchHeader) -> bool {
        // Of a producer's records only the latest timestamp is known; rows of columns all have it, and so has a single record.
        let one = header.attributes.is_columnar() || header.records_count == 1;
        let latest = header.max_timestamp;
        latest >= self.timestamps.first && !(one && latest > self.timestamps.last)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(partitions) = &self.partitions {
            let numbers: Vec<String> = partitions.iter().map(u32::to_string).collect();
            parts.push(match numbers.is_empty() {
                true => "partitions none".to_owned(),
                false => format!("partitions {}", numbers.join(", ")),
            });
        }
        for (what, span) in [("offsets", self.offsets), ("timestamps", self.timestamps)] {
            if span != Span::ALL {
                parts.push(format!("{what} {span}"));
            }
        }
        f.write_str(&parts.join("; "))
    }
}
