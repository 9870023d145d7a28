//! What is known of a join's result.

use datafusion::common::JoinType;
use riverrun_dataflow::{Columns, DataStream};

use super::{Planned, Planning};
use crate::stream::WindowColumns;

/// Sets of unique columns that are passed on, at most: each one more costs later steps a look.
const KEYS: usize = 4;

impl Planning<'_> {
    /// Where the columns of a side are in the result; `None` if they are not.
    fn offset(&self, side: usize) -> Option<usize> {
        use JoinType::{LeftAnti, LeftMark, LeftSemi, RightAnti, RightMark, RightSemi};
        match (self.join.join_type, side) {
            (LeftSemi | LeftAnti | LeftMark, 1) | (RightSemi | RightAnti | RightMark, 0) => None,
            (RightSemi | RightAnti | RightMark, _) | (_, 0) => Some(0),
            (_, _) => Some(self.left.columns),
        }
    }

    /// True if a side's columns can be null where they were not: rows of the other side come without a partner.
    fn padded(&self, side: usize) -> bool {
        match self.join.join_type {
            JoinType::Left => side == 1,
            JoinType::Right => side == 0,
            JoinType::Full => true,
            _ => false,
        }
    }

    /// Columns of both sides, where they are in the result and not padded with nulls.
    pub(super) fn moved_columns(&self, columns: [&[usize]; 2]) -> Vec<usize> {
        let mut moved = Vec::new();
        for (side, columns) in columns.into_iter().enumerate() {
            if let Some(offset) = self.offset(side).filter(|_| !self.padded(side)) {
                moved.extend(columns.iter().map(|column| column + offset));
            }
        }
        moved
    }

    /// False if rows that come out are never taken back.
    pub(super) fn result_retracts(&self) -> bool {
        match self.join.join_type {
            JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => {
                self.left.planned.retracts || self.right.planned.retracts
            }
            _ => true,
        }
    }

    /// The result, with what follows from the inputs whichever operator makes it.
    pub(super) fn planned(
        &self,
        stream: DataStream<Columns>,
        retracts: bool,
        parallelism: u32,
    ) -> Planned {
        let mut planned = Planned::source(stream, self.join.schema.clone(), retracts, parallelism);
        planned.keys = self.result_keys();
        // Rows that are taken back may follow those that replace them, in another batch: changes of a key come from one subtask and yet not in the
        // order that a sink by key relies on.
        planned.spread_by = if retracts { None } else { self.result_spread() };
        planned
    }

    /// True if a row of the other side meets at most one row of this one.
    fn unique(&self, side: usize) -> bool {
        let keyed = if side == 0 { &self.left } else { &self.right };
        keyed.planned.keys.iter().any(|key| key.iter().all(|column| keyed.keys.contains(column)))
    }

    fn result_keys(&self) -> Vec<Vec<usize>> {
        let of_side = |side: usize| -> Vec<Vec<usize>> {
            let keyed = if side == 0 { &self.left } else { &self.right };
            let Some(offset) = self.offset(side) else { return Vec::new() };
            let moved = |key: &Vec<usize>| key.iter().map(|column| column + offset).collect();
            let inside = |key: &&Vec<usize>| key.iter().all(|column| *column < keyed.columns);
            keyed.planned.keys.iter().filter(inside).map(moved).collect()
        };
        let (left, right) = (of_side(0), of_side(1));
        let mut keys = Vec::new();
        match self.join.join_type {
            JoinType::Inner | JoinType::Left | JoinType::Right => {
                if self.unique(1) && !self.padded(0) {
                    keys.extend(left.iter().cloned());
                }
                if self.unique(0) && !self.padded(1) {
                    keys.extend(right.iter().cloned());
                }
                if keys.is_empty()
                    && let (Some(left), Some(right)) = (left.first(), right.first())
                {
                    keys.push(left.iter().chain(right).copied().collect());
                }
            }
            // Two rows without a partner could both have nulls in a set of columns of both sides.
            JoinType::Full => {}
            _ => keys.extend(left.into_iter().chain(right)),
        }
        keys.truncate(KEYS);
        keys
    }

    fn result_spread(&self) -> Option<Vec<usize>> {
        let side = match self.join.join_type {
            JoinType::Full => return None,
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => 1,
            _ => 0,
        };
        let keyed = if side == 0 { &self.left } else { &self.right };
        let offset = self.offset(side)?;
        let there = keyed.keys.iter().all(|key| *key < keyed.columns) && !keyed.keys.is_empty();
        there.then(|| keyed.keys.iter().map(|key| key + offset).collect())
    }

    /// The window columns of a window join's result.
    pub(super) fn result_window(&self) -> Option<WindowColumns> {
        [&self.left, &self.right].iter().enumerate().find_map(|(side, keyed)| {
            let offset = self.offset(side).filter(|_| !self.padded(side))?;
            let window = keyed.planned.window.as_ref()?;
            Some(WindowColumns {
                start: window.start + offset,
                end: window.end + offset,
                event_time: window.event_time,
            })
        })
    }

    /// Event time columns of a window join's result. Rows come when their window is over, so that of their times only that of the window is
    /// above the watermark.
    pub(super) fn window_times(&self) -> Vec<usize> {
        let times = [&self.left, &self.right].map(|keyed| -> Vec<usize> {
            let schema = &keyed.planned.schema;
            let of_window = |at: &&usize| schema.field(**at).name() == "window_time";
            keyed.planned.time.iter().filter(of_window).copied().collect()
        });
        self.moved_columns([&times[0], &times[1]])
    }

    /// Which state a regular join keeps.
    pub(super) fn keeps(&self) -> String {
        let filtered = self.filter.is_some();
        match self.join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark if !filtered => {
                "all rows of the left input, the number of rows of each key of the right one"
            }
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark if !filtered => {
                "all rows of the right input, the number of rows of each key of the left one"
            }
            _ => "all rows of both inputs",
        }
        .to_owned()
    }
}
