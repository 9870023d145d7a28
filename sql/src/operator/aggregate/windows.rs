//! Which windows rows fall into, the slices that windows are cut into, and the panes that state is kept by.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, RecordBatch};
use riverrun_dataflow::{Error, Result, Timestamp};

/// Windows. Time is cut into slices of which every window is a number of whole ones, and a row is in just one slice. State is kept by pane: a pane is a
/// slice where windows share them, and a window where they do not. A slice and a pane, as a window, are called by their end: the instant behind
/// their last one.
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
        /// Whether overlapping windows share panes. If not, each window is a pane, and a slice is added to each of its windows.
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
    /// The rows of each slice, the earliest first; `None` if all rows are in it. A row without a time is in none.
    ///
    /// # Errors
    /// [`Error::User`] naming `operator` if the time of a row is so near to the end of all time that a window has no end.
    pub fn slices(
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
        let out_of_range = || out_of_range(operator);
        if times.null_count() == 0
            && let Some((first, last)) = range(times.values())
            && let Some(Some(slice)) = self.slice_of(first)
            && self.slice_of(last) == Some(Some(slice))
        {
            return Ok(vec![(slice, None)]);
        }
        let mut slices: BTreeMap<Timestamp, Vec<u32>> = BTreeMap::new();
        for (row, time) in (0..).zip(times) {
            let Some(time) = time else { continue };
            if let Some(slice) = self.slice_of(time).ok_or_else(out_of_range)? {
                slices.entry(slice).or_default().push(row);
            }
        }
        Ok(slices.into_iter().map(|(slice, rows)| (slice, Some(rows))).collect())
    }

    /// The slice of a time; inside, `None` if no window has it, outside, if its end cannot be told.
    fn slice_of(&self, time: Timestamp) -> Option<Option<Timestamp>> {
        if matches!(self, Self::Given { .. }) {
            return Some(Some(time));
        }
        let end = self.slice_end(time)?;
        Some(self.windows_of_slice(end).next().map(|_| end))
    }

    /// The slice for rows that come when event or processing time has gone past `reached`: their own, unless a window that it is in is over by then.
    pub fn slice_at(&self, slice: Timestamp, reached: Timestamp) -> Timestamp {
        let over = self.windows_of_slice(slice).next().is_some_and(|end| end - 1 <= reached);
        match over && !matches!(self, Self::Given { .. }) {
            true => self.slice_end(reached.saturating_add(1)).unwrap_or(slice),
            false => slice,
        }
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

    /// The windows that a slice is part of.
    pub fn windows_of_slice(&self, end: Timestamp) -> Ends {
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
        Ends { first, last, step }
    }

    /// The windows that a pane is part of.
    pub fn windows_of(&self, pane: Timestamp) -> Ends {
        match self.is_shared() {
            true => self.windows_of_slice(pane),
            false => Ends { first: pane, last: pane, step: 1 },
        }
    }

    /// The panes that hold a slice.
    pub fn panes_of_slice(&self, slice: Timestamp) -> impl Iterator<Item = Timestamp> + use<> {
        let shared = self.is_shared();
        let windows = (!shared).then(|| self.windows_of_slice(slice));
        windows.into_iter().flatten().chain(shared.then_some(slice))
    }

    fn is_shared(&self) -> bool {
        matches!(self, Self::Hop { shared: true, .. } | Self::Cumulate { shared: true, .. })
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
        let start = if self.is_shared() { self.start_of(window) } else { None };
        (start.unwrap_or(window.saturating_sub(1)), window)
    }
}

/// The ends of windows, in ascending order: one every `step` from the first on, none behind `last`. There may be thousands of them, of
/// which few are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    first: Timestamp,
    last: Timestamp,
    step: i64,
}

impl Ends {
    /// Those above a time and up to another.
    pub fn between(self, above: Timestamp, to: Timestamp) -> Self {
        let step = i128::from(self.step);
        let passed = (i128::from(above) - i128::from(self.first)).div_euclid(step) + 1;
        let first = i128::from(self.first) + passed.max(0) * step;
        match i64::try_from(first) {
            Ok(first) => Self { first, last: self.last.min(to), ..self },
            Err(_) => Self { last: i64::MIN, ..self },
        }
    }

    /// The latest.
    pub fn latest(self) -> Option<Timestamp> {
        let steps = (i128::from(self.last) - i128::from(self.first)).div_euclid(self.step.into());
        let latest = i128::from(self.first) + steps * i128::from(self.step);
        i64::try_from(latest).ok().filter(|_| steps >= 0)
    }
}

impl Iterator for Ends {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        let next = Some(self.first).filter(|next| *next <= self.last)?;
        match next.checked_add(self.step) {
            Some(first) => self.first = first,
            None => self.last = i64::MIN,
        }
        Some(next)
    }
}

/// What a row is told whose time is so near to the end of all time that a window has no end.
pub(crate) fn out_of_range(operator: &str) -> Error {
    Error::User {
        place: format!("operator `{operator}`"),
        reason: "the time of a row is too far from the present for a window: filter such rows out"
            .to_owned(),
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
        fn panes_make_up_windows(
            layout in layouts(), time in -60i64..60, above in -80i64..80, to in -80i64..80,
        ) {
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
            let slice = layout.slice_of(time).unwrap();
            let panes: Vec<i64> =
                slice.into_iter().flat_map(|slice| layout.panes_of_slice(slice)).collect();
            let mut of_panes: Vec<i64> =
                panes.iter().flat_map(|pane| layout.windows_of(*pane)).collect();
            of_panes.sort_unstable();
            prop_assert_eq!(&of_panes, &windows);
            for pane in &panes {
                let all: Vec<i64> = layout.windows_of(*pane).collect();
                prop_assert_eq!(layout.windows_of(*pane).latest(), all.last().copied());
                let within = |end: &&i64| above < **end && **end <= to;
                let expected: Vec<i64> = all.iter().filter(within).copied().collect();
                let between = layout.windows_of(*pane).between(above, to);
                prop_assert_eq!(between.collect::<Vec<_>>(), expected);
            }
            for window in windows {
                let (above, last) = layout.panes_of(window);
                let within = panes.iter().filter(|pane| above < **pane && **pane <= last).count();
                prop_assert_eq!(within, 1);
            }
        }

        /// Rows that come when windows of theirs are over are in the windows of the present.
        #[test]
        fn rows_of_windows_that_are_over_are_of_the_present(
            layout in layouts(), time in -60i64..60, reached in -60i64..60,
        ) {
            let windows = |time: i64| -> Vec<i64> {
                let slice = layout.slice_of(time).unwrap();
                slice.into_iter().flat_map(|slice| layout.windows_of_slice(slice)).collect()
            };
            let Some(slice) = layout.slice_of(time).unwrap() else { return Ok(()) };
            let at: Vec<i64> = layout.windows_of_slice(layout.slice_at(slice, reached)).collect();
            match windows(time).iter().any(|end| end - 1 <= reached) {
                true => prop_assert_eq!(at, windows(reached + 1)),
                false => prop_assert_eq!(at, windows(time)),
            }
        }
    }
}
