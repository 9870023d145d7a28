//! What a program says about windows: tumbling, sliding, session; event time or processing time.

use std::fmt;
use std::time::Duration;

use riverrun_dataflow::{Error, Result};

use super::layout::PaneLayout;

/// Which time windows go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeKind {
    Event,
    Processing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Tumbling { size: i64, offset: i64 },
    Sliding { size: i64, slide: i64, offset: i64 },
    Session { gap: i64 },
}

/// Windows of any kind, as [`TumblingWindows`], [`SlidingWindows`] and [`SessionWindows`] turn into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    pub(crate) shape: Shape,
    pub(crate) time: TimeKind,
}

/// Windows of one size, one after the other.
///
/// ```
/// use std::time::Duration;
/// use riverrun_operators::prelude::*;
/// let five_seconds = TumblingWindows::of(Duration::from_secs(5));
/// // Days of UTC+2, by the machine's clock.
/// let days = TumblingWindows::of(Duration::from_secs(86_400)).offset_ms(-2 * 3_600_000).processing_time();
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TumblingWindows(Windows);

/// Windows of one size that start at a shorter interval, so that they overlap.
///
/// ```
/// use std::time::Duration;
/// use riverrun_operators::prelude::*;
/// let minute_each_ten_seconds =
///     SlidingWindows::of(Duration::from_secs(60), Duration::from_secs(10));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlidingWindows(Windows);

/// Windows that go on, key by key, as long as each row comes less than a gap after the one before.
///
/// ```
/// use std::time::Duration;
/// use riverrun_operators::prelude::*;
/// let visits = SessionWindows::with_gap(Duration::from_secs(30 * 60));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionWindows(Windows);

pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl TumblingWindows {
    /// Windows of `size` (whole milliseconds, at least one) that start at multiples of it since
    /// 1970-01-01T00:00:00Z.
    pub fn of(size: Duration) -> Self {
        let shape = Shape::Tumbling { size: milliseconds(size), offset: 0 };
        Self(Windows { shape, time: TimeKind::Event })
    }

    /// Starts are moved by `offset` milliseconds: for days of another time zone, say.
    pub fn offset_ms(mut self, to: i64) -> Self {
        if let Shape::Tumbling { offset, .. } = &mut self.0.shape {
            *offset = to;
        }
        self
    }

    /// Windows go by the machine's clock.
    pub fn processing_time(mut self) -> Self {
        self.0.time = TimeKind::Processing;
        self
    }
}

impl SlidingWindows {
    /// Windows of `size` that start every `slide`, both in whole milliseconds; `slide` is at least one and at most
    /// `size`.
    pub fn of(size: Duration, slide: Duration) -> Self {
        let (size, slide) = (milliseconds(size), milliseconds(slide));
        Self(Windows { shape: Shape::Sliding { size, slide, offset: 0 }, time: TimeKind::Event })
    }

    /// Starts are moved by `offset` milliseconds.
    pub fn offset_ms(mut self, to: i64) -> Self {
        if let Shape::Sliding { offset, .. } = &mut self.0.shape {
            *offset = to;
        }
        self
    }

    /// Windows go by the machine's clock.
    pub fn processing_time(mut self) -> Self {
        self.0.time = TimeKind::Processing;
        self
    }
}

impl SessionWindows {
    /// A session ends `gap` (whole milliseconds, at least one) after its last row.
    pub fn with_gap(gap: Duration) -> Self {
        let shape = Shape::Session { gap: milliseconds(gap) };
        Self(Windows { shape, time: TimeKind::Event })
    }

    /// Windows go by the machine's clock.
    pub fn processing_time(mut self) -> Self {
        self.0.time = TimeKind::Processing;
        self
    }
}

impl From<TumblingWindows> for Windows {
    fn from(windows: TumblingWindows) -> Self {
        windows.0
    }
}

impl From<SlidingWindows> for Windows {
    fn from(windows: SlidingWindows) -> Self {
        windows.0
    }
}

impl From<SessionWindows> for Windows {
    fn from(windows: SessionWindows) -> Self {
        windows.0
    }
}

impl Windows {
    /// The panes. Sessions have none; theirs are never asked for.
    pub(crate) fn layout(&self) -> PaneLayout {
        match self.shape {
            Shape::Tumbling { size, offset } => PaneLayout::new(size, size, offset),
            Shape::Sliding { size, slide, offset } => PaneLayout::new(size, slide, offset),
            Shape::Session { gap } => PaneLayout::new(gap, gap, 0),
        }
    }

    /// Refuses windows that cannot be.
    pub(crate) fn check(&self, job: &str) -> Result<()> {
        let reason = match self.shape {
            Shape::Tumbling { size, .. } if size < 1 => {
                "the size of a window is below 1 ms; give it a longer one".to_owned()
            }
            Shape::Sliding { size, slide, .. } if slide < 1 || size < slide => format!(
                "sliding windows of {size} ms every {slide} ms leave rows out; the slide must be from 1 ms to the size"
            ),
            Shape::Session { gap } if gap < 1 => {
                "the gap of session windows is below 1 ms; give them a longer one".to_owned()
            }
            _ => return Ok(()),
        };
        Err(Error::InvalidJob { job: job.to_owned(), reason })
    }
}

/// The settings as text, e.g. `tumbling 5s`: part of the description of the operator and of its state.
impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = match self.shape {
            Shape::Tumbling { size, offset } => {
                write!(f, "tumbling {}", Length(size))?;
                offset
            }
            Shape::Sliding { size, slide, offset } => {
                write!(f, "sliding {} every {}", Length(size), Length(slide))?;
                offset
            }
            Shape::Session { gap } => {
                write!(f, "session gap {}", Length(gap))?;
                0
            }
        };
        if offset != 0 {
            write!(f, " offset {}", Length(offset))?;
        }
        if self.time == TimeKind::Processing {
            f.write_str(", processing time")?;
        }
        Ok(())
    }
}

/// Milliseconds as people write them.
struct Length(i64);

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms != 0 && ms % 3_600_000 == 0 => write!(f, "{}h", ms / 3_600_000),
            ms if ms != 0 && ms % 60_000 == 0 => write!(f, "{}min", ms / 60_000),
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_stable() {
        let second = Duration::from_secs(1);
        let text = |windows: Windows| windows.to_string();
        assert_eq!(text(TumblingWindows::of(second * 5).into()), "tumbling 5s");
        assert_eq!(
            text(SlidingWindows::of(second * 60, second / 2).offset_ms(-250).into()),
            "sliding 1min every 500ms offset -250ms"
        );
        assert_eq!(
            text(SessionWindows::with_gap(second * 1800).processing_time().into()),
            "session gap 30min, processing time"
        );
    }

    #[test]
    fn windows_that_cannot_be_are_refused() {
        let (ms, zero) = (Duration::from_millis(1), Duration::ZERO);
        assert!(Windows::from(TumblingWindows::of(ms)).check("job").is_ok());
        assert!(Windows::from(TumblingWindows::of(zero)).check("job").is_err());
        assert!(Windows::from(SlidingWindows::of(ms, ms * 2)).check("job").is_err());
        assert!(Windows::from(SlidingWindows::of(ms, zero)).check("job").is_err());
        assert!(Windows::from(SessionWindows::with_gap(zero)).check("job").is_err());
    }
}
