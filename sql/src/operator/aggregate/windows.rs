//! Which windows rows fall into, and the panes that windows share.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, RecordBatch};
use riverrun_dataflow::{Error, Result, Timestamp};

/// Windows, and the panes that state is kept by. A pane, as a window, is called by its end: the instant behind its last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowLayout {
    /// Rows say to which window they belong; each is a pane. Its start must be a part of the key, if it does not follow from the end.
    Given {
        /// The column of the window's end.
        end: usize,
    },
    /// Windows of one size, one every `slide`: all that begin together if they are equal.
    Hop {
        /// The column of the row's time.
        time: usize,
        /// Length of a window.
        size: i64,
        /// Time from one window to the next.
        slide: i64,
        /// By how much windows are moved.
        offset: i64,
        /// Whether overlapping windows share panes. If not, each window is a pane, and a row is added to each of its windows.
        shared: bool,
    },
    /// Windows that begin together every `size` and grow by `step`.
    Cumulate {
        /// The column of the row's time.
        time: usize,
        /// Length of the longest window.
        size: i64,
        /// By how much a window is longer than the one before.
        step: i64,
        /// By how much windows are moved.
        offset: i64,
        /// As for hopping windows.
        shared: bool,
    },
}

impl WindowLayout {
    /// The rows of each pane, the earliest first; `None` if all rows are in it. A row without a time is in none.
    ///
    /// # Errors
    /// [`Error::User`] naming `operator` if the time of a row is so near to the end of all time that a window has no end.
    pub fn panes(
        &self,
        operator: &str,
        rows: &RecordBatch,
    ) -> Result<Vec<(Timestamp, Option<Vec<u32>>)>> {
        let column = match self {
            Self::Given { end } => *end,
            Self::Hop { time, .. } | Self::Cumulate { time, .. } => *time,
        };
        let column = rows.column(column);
        let times = column.as_primitive_opt::<TimestampMillisecondType>().ok_or_else(|| {
            Error::WrongBatch {
                operator: operator.to_owned(),
                expected: "a time of TIMESTAMP(3)".to_owned(),
                got: column.data_type().to_string(),
            }
        })?;
        let out_of_range = || Error::User {
            place: format!("operator `{operator}`"),
            reason:
                "the time of a row is too far from the present for a window: filter such rows out"
                    .to_owned(),
        };
        if times.null_count() == 0
            && let Some((first, last)) = range(times.values())
            && let (Some(pane), Some(same)) = (self.only_pane(first), self.only_pane(last))
            && pane == same
        {
            return Ok(vec![(pane, None)]);
        }
        let mut panes: BTreeMap<Timestamp, Vec<u32>> = BTreeMap::new();
        for (row, time) in (0..).zip(times) {
            let Some(time) = time else { continue };
            self.for_each_pane(time, |pane| panes.entry(pane).or_default().push(row))
                .ok_or_else(out_of_range)?;
        }
        Ok(panes.into_iter().map(|(pane, rows)| (pane, Some(rows))).collect())
    }

    /// The pane of a time, if it falls into exactly one.
    fn only_pane(&self, time: Timestamp) -> Option<Timestamp> {
        let (mut only, mut count) = (None, 0);
        self.for_each_pane(time, |pane| {
            only = Some(pane);
            count += 1;
        })?;
        only.filter(|_| count == 1)
    }

    /// Calls `pane` for each pane of a time; `None` if one cannot be told.
    fn for_each_pane(&self, time: Timestamp, mut pane: impl FnMut(Timestamp)) -> Option<()> {
        match *self {
            Self::Given { .. } => pane(time),
            Self::Hop { shared, .. } | Self::Cumulate { shared, .. } => {
                let end = self.slice_end(time)?;
                // A slice between windows has none.
                let mut windows = self.windows_of_slice(end);
                if shared {
                    windows.next().into_iter().for_each(|_| pane(end));
                } else {
                    windows.for_each(pane);
                }
            }
        }
        Some(())
    }

    /// Width of the slices: every window is a number of whole ones.
    fn width(&self) -> i64 {
        match *self {
            Self::Given { .. } => 1,
            Self::Hop { size, slide, .. } => gcd(size, slide),
            Self::Cumulate { step, .. } => step,
        }
    }

    fn offset(&self) -> i64 {
        match *self {
            Self::Given { .. } => 0,
            Self::Hop { offset, .. } | Self::Cumulate { offset, .. } => offset,
        }
    }

    fn slice_end(&self, time: Timestamp) -> Option<Timestamp> {
        floor(time, self.width(), self.offset())?.checked_add(self.width())
    }

    /// The ends of the windows that a slice is part of, in ascending order.
    fn windows_of_slice(&self, end: Timestamp) -> impl Iterator<Item = Timestamp> + use<> {
        let (first, last, step) = match *self {
            Self::Given { .. } => (end, end, 1),
            Self::Hop { size, slide, offset, .. } => {
                let to_end = (i128::from(end) - i128::from(size) - i128::from(offset))
                    .rem_euclid(i128::from(slide));
                let first = match to_end {
                    0 => Some(end),
                    behind => end.checked_add(slide - behind as i64),
                };
                let last = end.saturating_sub(gcd(size, slide)).saturating_add(size);
                (first.unwrap_or(i64::MAX), last, slide)
            }
            Self::Cumulate { size, step, offset, .. } => {
                let start = floor(end.saturating_sub(1), size, offset);
                let last = start.and_then(|start| start.checked_add(size));
                (end, last.unwrap_or(end), step)
            }
        };
        std::iter::successors(Some(first), move |end| end.checked_add(step))
            .take_while(move |end| *end <= last)
    }

    /// The ends of the windows that a pane is part of, in ascending order.
    pub fn windows_of(&self, pane: Timestamp) -> impl Iterator<Item = Timestamp> + use<> {
        let shared =
            matches!(self, Self::Hop { shared: true, .. } | Self::Cumulate { shared: true, .. });
        let shared = shared.then(|| self.windows_of_slice(pane));
        let alone = shared.is_none().then_some(pane);
        shared.into_iter().flatten().chain(alone)
    }

    /// The start of a window; `None` where rows say it.
    pub fn start_of(&self, window: Timestamp) -> Option<Timestamp> {
        match *self {
            Self::Given { .. } => None,
            Self::Hop { size, .. } => Some(window.saturating_sub(size)),
            Self::Cumulate { size, offset, .. } => floor(window.saturating_sub(1), size, offset),
        }
    }

    /// The panes of a window: those above the first and up to the second.
    pub fn panes_of(&self, window: Timestamp) -> (Timestamp, Timestamp) {
        let shared =
            matches!(self, Self::Hop { shared: true, .. } | Self::Cumulate { shared: true, .. });
        let start = if shared { self.start_of(window) } else { None };
        (start.unwrap_or(window.saturating_sub(1)), window)
    }
}

fn range(times: &[i64]) -> Option<(i64, i64)> {
    Some((*times.iter().min()?, *times.iter().max()?))
}

/// The greatest multiple of `size`, plus `offset`, up to a time.
fn floor(time: Timestamp, size: i64, offset: i64) -> Option<Timestamp> {
    crate::function::windowing::window_start(time, size, offset)
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layouts() -> impl Strategy<Value = WindowLayout> {
        (1i64..6, 1i64..6, -7i64..7, any::<bool>(), any::<bool>(), 1i64..4).prop_map(
            |(size, slide, offset, shared, cumulate, unit)| match cumulate {
                false => WindowLayout::Hop {
                    time: 0,
                    size: size * unit,
                    slide: slide * unit,
                    offset,
                    shared,
                },
                true => WindowLayout::Cumulate {
                    time: 0,
                    size: size * slide,
                    step: slide,
                    offset,
                    shared,
                },
            },
        )
    }

    proptest! {
        /// A time is in a window's panes exactly if it is between the window's start and its end, where windows start and end where they should.
        #[test]
        fn panes_make_up_windows(layout in layouts(), time in -60i64..60) {
            let mut windows = Vec::new();
            for end in -100i64..100 {
                let bounds = match layout {
                    WindowLayout::Hop { size, slide, offset, .. } => {
                        ((end - size - offset).rem_euclid(slide) == 0).then_some((end - size, end))
                    }
                    WindowLayout::Cumulate { size, step, offset, .. } => {
                        let into = (end - offset).rem_euclid(size);
                        (into % step == 0).then(|| (end - if into == 0 { size } else { into }, end))
                    }
                    WindowLayout::Given { .. } => None,
                };
                if let Some((start, end)) = bounds.filter(|(start, end)| *start <= time && time < *end) {
                    prop_assert_eq!(layout.start_of(end), Some(start));
                    windows.push(end);
                }
            }
            let mut panes = Vec::new();
            layout.for_each_pane(time, |pane| panes.push(pane)).unwrap();
            let mut of_panes: Vec<i64> =
                panes.iter().flat_map(|pane| layout.windows_of(*pane)).collect();
            of_panes.sort_unstable();
            prop_assert_eq!(&of_panes, &windows);
            for window in windows {
                let (above, last) = layout.panes_of(window);
                let within = panes.iter().filter(|pane| above < **pane && **pane <= last).count();
                prop_assert_eq!(within, 1);
            }
        }
    }
}
