//! Panes: the pieces of time that windows of one kind are made of.
//!
//! A tumbling window is one pane. Sliding windows overlap; they are cut at every boundary any of them
//! has, so a row is aggregated once, into its pane, and a window's result is the merged panes.

use riverrun_dataflow::Timestamp;

use super::Window;

/// Windows of one size at regular starts, and their panes. All lengths are in milliseconds and above 0, and
/// `slide` is at most `size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PaneLayout {
    pub size: i64,
    pub slide: i64,
    pub offset: i64,
    pane: i64,
}

impl PaneLayout {
    /// Lengths that cannot be are replaced by such that can; [`super::Windows::check`] refuses them before any
    /// row comes.
    pub fn new(size: i64, slide: i64, offset: i64) -> Self {
        let size = size.max(1);
        let slide = slide.clamp(1, size);
        Self { size, slide, offset, pane: greatest_common_divisor(size, slide) }
    }

    /// True if windows do not overlap: each is its own pane.
    pub fn is_tumbling(&self) -> bool {
        self.size == self.slide
    }

    /// The pane that a timestamp falls into, by its start.
    #[inline]
    pub fn pane_of(&self, timestamp: Timestamp) -> Timestamp {
        align(timestamp, self.offset, self.pane)
    }

    /// End (exclusive) of the pane that starts at `pane`.
    #[inline]
    pub fn pane_end(&self, pane: Timestamp) -> Timestamp {
        pane.saturating_add(self.pane)
    }

    fn window(&self, start: Timestamp) -> Window {
        Window { start, end: start.saturating_add(self.size) }
    }

    /// The last window that a pane is part of.
    pub fn last_window(&self, pane: Timestamp) -> Window {
        self.window(align(pane, self.offset, self.slide))
    }

    /// The first window that a pane is part of.
    pub fn first_window(&self, pane: Timestamp) -> Window {
        let last = align(pane, self.offset, self.slide);
        // How often a window can start earlier and still hold the whole pane.
        let earlier =
            last.saturating_add(self.size).saturating_sub(self.pane_end(pane)) / self.slide;
        self.window(last.saturating_sub(earlier * self.slide))
    }

    /// All windows that a pane is part of, in ascending order.
    pub fn windows(&self, pane: Timestamp) -> impl Iterator<Item = Window> + use<> {
        self.windows_after(pane, Timestamp::MIN)
    }

    /// The windows that a pane is part of and whose last millisecond comes after `after`, in ascending order.
    pub fn windows_after(
        &self,
        pane: Timestamp,
        after: Timestamp,
    ) -> impl Iterator<Item = Window> + use<> {
        let (layout, last) = (*self, self.last_window(pane).start);
        let first = self.first_window(pane);
        let behind = after.saturating_sub(first.max_timestamp());
        let skipped = if behind < 0 { 0 } else { behind / self.slide + 1 };
        let first = first.start.saturating_add(skipped.saturating_mul(self.slide));
        let mut next = Some(first).filter(|start| *start <= last);
        std::iter::from_fn(move || {
            let start = next?;
            next = start.checked_add(layout.slide).filter(|start| *start <= last);
            Some(layout.window(start))
        })
    }
}

/// The highest multiple of `step` (counted from `offset`) that is not above `timestamp`.
#[inline]
fn align(timestamp: Timestamp, offset: i64, step: i64) -> Timestamp {
    timestamp.saturating_sub(timestamp.saturating_sub(offset).rem_euclid(step))
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The windows of a timestamp's pane are exactly the windows that hold the timestamp.
        #[test]
        fn panes_cut_windows(size in 1i64..60, slide in 1i64..60, offset in -100i64..100, at in -500i64..500) {
            let slide = slide.min(size);
            let layout = PaneLayout::new(size, slide, offset);
            let pane = layout.pane_of(at);
            prop_assert!(pane <= at && at < layout.pane_end(pane));
            let expected: Vec<Window> = (-700..700)
                .filter(|start: &i64| (start - offset).rem_euclid(slide) == 0 && *start <= at && at < start + size)
                .map(|start| Window { start, end: start + size })
                .collect();
            let windows: Vec<Window> = layout.windows(pane).collect();
            prop_assert_eq!(Some(&layout.first_window(pane)), expected.first());
            prop_assert_eq!(Some(&layout.last_window(pane)), expected.last());
            prop_assert_eq!(&windows, &expected);
            for after in at - 70..at + 70 {
                let expected: Vec<Window> =
                    windows.iter().copied().filter(|w| w.max_timestamp() > after).collect();
                prop_assert_eq!(layout.windows_after(pane, after).collect::<Vec<_>>(), expected);
            }
        }

        /// Timestamps at the ends of time are no reason to panic.
        #[test]
        fn extreme_timestamps(size in 1i64..i64::MAX, slide in 1i64..i64::MAX, at in any::<i64>(), offset in any::<i64>()) {
            let layout = PaneLayout::new(size, slide.min(size), offset);
            let pane = layout.pane_of(at);
            let _ = (layout.pane_end(pane), layout.first_window(pane), layout.last_window(pane));
        }
    }
}
