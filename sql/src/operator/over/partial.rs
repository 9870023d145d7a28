//! Which rows of a partition have to be computed again.

use std::ops::Range;

use super::{OverFunction, Reach};

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

    /// The pieces of a partition of `rows` rows in which something was changed at these places, which ascend: rows
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
