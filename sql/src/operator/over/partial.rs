//! Which rows of a partition have to be computed again.

use std::ops::Range;

use super::{OverFunction, Reach};
use crate::state::{RowBytes, Values};

/// How far a change reaches: the values of so many rows before it and behind it may be others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Affected {
    /// Rows at most so far before a change, and at most so far behind it.
    Near { before: usize, after: usize },
    /// All rows of the partition.
    All,
}

/// A run of rows to be computed, and the rows around it that the functions look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// The rows that the functions get.
    pub given: Range<usize>,
    /// Those whose values are wanted.
    pub wanted: Range<usize>,
}

impl Affected {
    /// How far changes reach with these functions.
    pub fn by(functions: &[OverFunction]) -> Self {
        let mut affected = (0, 0);
        for function in functions {
            let Reach::Rows { before, after } = function.reach else { return Self::All };
            // A row that looks back is affected by changes before it: behind the change.
            affected = (affected.0.max(after), affected.1.max(before));
        }
        Self::Near { before: affected.0, after: affected.1 }
    }

    /// The parts of a partition in which something has to be computed again, each from a first row to a last one: what changed rows affect, and what
    /// the functions look at from there. `count` says how often a row is there.
    pub fn sections<W>(
        self,
        values: &Values<W>,
        touched: &[RowBytes],
        count: impl Fn(&W) -> usize,
    ) -> Vec<(RowBytes, RowBytes)> {
        let mut all = values.iter().map(|(row, _)| row);
        let Some(first) = all.next() else { return Vec::new() };
        let whole = (first.clone(), all.next_back().unwrap_or(first).clone());
        let Self::Near { before, after } = self else { return vec![whole] };
        let reach = before.saturating_add(after);
        // Where much has changed, it is cheaper to walk over all rows once.
        if touched.len().saturating_mul(reach.saturating_mul(2).saturating_add(1)) >= values.len() {
            return vec![whole];
        }
        // The row that is so far away, and so are all of its kind.
        let away = |rows: &mut dyn Iterator<Item = (&'_ RowBytes, &'_ W)>| {
            let (mut left, mut last) = (reach, None);
            for (row, with) in rows {
                if left == 0 {
                    break;
                }
                left = left.saturating_sub(count(with));
                last = Some(row.clone());
            }
            last
        };
        let mut sections: Vec<(RowBytes, RowBytes)> = Vec::new();
        for row in touched.iter().filter(|row| values.get(row.as_slice()).is_some()) {
            let last = away(&mut values.from(row.as_slice()).skip(1));
            let last = last.unwrap_or_else(|| row.clone());
            let first = away(&mut values.before(row.as_slice()).rev());
            let first = first.unwrap_or_else(|| row.clone());
            match sections.last_mut() {
                Some(section) if first <= section.1 => section.1 = last,
                _ => sections.push((first, last)),
            }
        }
        sections
    }

    /// The pieces of a partition, or a section of one, of `rows` rows in which something was changed at these places, which ascend: rows
    /// that are new, and places from which rows are gone.
    pub fn pieces(self, changed: &[Range<usize>], rows: usize) -> Vec<Piece> {
        let Self::Near { before, after } = self else {
            return match rows {
                0 => Vec::new(),
                rows => vec![Piece { given: 0..rows, wanted: 0..rows }],
            };
        };
        let mut pieces: Vec<Piece> = Vec::new();
        for change in changed {
            let wanted =
                change.start.saturating_sub(before)..change.end.saturating_add(after).min(rows);
            // What a wanted row looks at: as far before it as changes reach behind them.
            let given =
                wanted.start.saturating_sub(after)..wanted.end.saturating_add(before).min(rows);
            match pieces.last_mut() {
                Some(last) if given.start <= last.given.end => {
                    last.given.end = last.given.end.max(given.end);
                    last.wanted.end = last.wanted.end.max(wanted.end);
                }
                _ if wanted.is_empty() => {}
                _ => pieces.push(Piece { given, wanted }),
            }
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::single_range_in_vec_init, reason = "one run of changes is meant")]
    #[test]
    fn changes_that_are_near_each_other_are_one_piece() {
        let affected = Affected::Near { before: 1, after: 3 };
        let pieces = affected.pieces(&[10..11, 12..12, 40..40], 42);
        let expected =
            [Piece { given: 6..16, wanted: 9..15 }, Piece { given: 36..42, wanted: 39..42 }];
        assert_eq!(pieces, expected);
        assert_eq!(affected.pieces(&[0..0], 0), []);
        assert_eq!(affected.pieces(&[2..2], 2), [Piece { given: 0..2, wanted: 1..2 }]);
        assert_eq!(Affected::All.pieces(&[3..4], 5), [Piece { given: 0..5, wanted: 0..5 }]);
    }
}
