//! Event time: timestamps, watermarks, and how watermarks of several inputs are combined.

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, of the event itself or of the machine's clock.
pub type Timestamp = i64;

/// Timestamp of a row to which none was assigned yet.
pub const NO_TIMESTAMP: Timestamp = Timestamp::MIN;

/// A promise on an edge: no row with a timestamp at or below this one is still to come, except late ones.
///
/// Watermarks never go back. That is why a new one only comes out of a [`WatermarkFrontier`], which
/// hands it out when it really advances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Watermark(Timestamp);

impl Watermark {
    /// Before all time: nothing is promised.
    pub const MIN: Self = Self(Timestamp::MIN);
    /// After all time: the input has ended.
    pub const MAX: Self = Self(Timestamp::MAX);

    /// The timestamp up to which (inclusive) rows are complete, in milliseconds.
    pub fn timestamp(self) -> Timestamp {
        self.0
    }
}

/// How far event time has come in one place; the only maker of watermarks.
///
/// ```
/// use riverrun_dataflow::WatermarkFrontier;
/// let mut frontier = WatermarkFrontier::default();
/// assert_eq!(frontier.advance_to(10).map(|w| w.timestamp()), Some(10));
/// assert_eq!(frontier.advance_to(7), None);
/// assert_eq!(frontier.current().timestamp(), 10);
/// ```
#[derive(Debug, Clone)]
pub struct WatermarkFrontier {
    current: Watermark,
}

impl Default for WatermarkFrontier {
    fn default() -> Self {
        Self { current: Watermark::MIN }
    }
}

impl WatermarkFrontier {
    /// A frontier that goes on from where a restored one stood.
    pub fn resumed_at(timestamp: Timestamp) -> Self {
        Self { current: Watermark(timestamp) }
    }

    /// The watermark handed out last.
    pub fn current(&self) -> Watermark {
        self.current
    }

    /// Moves to `timestamp` and returns the new watermark, or `None` if that would not be an advance.
    pub fn advance_to(&mut self, timestamp: Timestamp) -> Option<Watermark> {
        (timestamp > self.current.0).then(|| {
            self.current = Watermark(timestamp);
            self.current
        })
    }
}

/// Combines the watermarks of several inputs (channels, or the splits of a source) by minimum.
///
/// Idle inputs hold nobody back. While every input is idle the combined watermark stays.
///
/// ```
/// use riverrun_dataflow::WatermarkMerger;
/// let mut merger = WatermarkMerger::new(2);
/// assert_eq!(merger.advance(0, 50), None); // input 1 has said nothing yet
/// assert_eq!(merger.advance(1, 40).map(|w| w.timestamp()), Some(40));
/// assert_eq!(merger.set_idle(1, true).map(|w| w.timestamp()), Some(50));
/// ```
#[derive(Debug, Clone)]
pub struct WatermarkMerger {
    inputs: Vec<MergerInput>,
    frontier: WatermarkFrontier,
}

#[derive(Debug, Clone)]
struct MergerInput {
    reached: Timestamp,
    idle: bool,
}

impl WatermarkMerger {
    /// A merger of `inputs` inputs, all active and before all time.
    pub fn new(inputs: usize) -> Self {
        Self {
            inputs: vec![MergerInput { reached: Timestamp::MIN, idle: false }; inputs],
            frontier: WatermarkFrontier::default(),
        }
    }

    /// Makes sure that input `index` is known: it starts active and before all time. Numbers need not follow
    /// on each other; inputs in between that nobody has named hold back nobody until they are.
    pub fn ensure_input(&mut self, index: usize) {
        if index >= self.inputs.len() {
            self.inputs.resize(index, MergerInput { reached: Timestamp::MIN, idle: true });
            self.inputs.push(MergerInput { reached: Timestamp::MIN, idle: false });
        }
    }

    /// Input `index` reached `timestamp`; it is active again if it was idle.
    pub fn advance(&mut self, index: usize, timestamp: Timestamp) -> Option<Watermark> {
        let input = &mut self.inputs[index];
        input.reached = input.reached.max(timestamp);
        input.idle = false;
        self.combine()
    }

    /// Input `index` is silent and caught up (`true`), or speaks again (`false`).
    pub fn set_idle(&mut self, index: usize, idle: bool) -> Option<Watermark> {
        self.inputs[index].idle = idle;
        self.combine()
    }

    /// True if there is an input and every input is idle.
    pub fn all_idle(&self) -> bool {
        !self.inputs.is_empty() && self.inputs.iter().all(|input| input.idle)
    }

    /// The combined watermark handed out last.
    pub fn current(&self) -> Watermark {
        self.frontier.current()
    }

    fn combine(&mut self) -> Option<Watermark> {
        let reached = self.inputs.iter().filter(|i| !i.idle).map(|i| i.reached).min()?;
        self.frontier.advance_to(reached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn inputs_that_nobody_named_hold_back_nobody() {
        let mut merger = WatermarkMerger::new(0);
        merger.ensure_input(1);
        merger.ensure_input(3);
        assert_eq!(merger.advance(3, 7), None, "input 1 has said nothing yet");
        assert_eq!(merger.advance(1, 5).map(Watermark::timestamp), Some(5));
        assert_eq!(merger.set_idle(0, false), None, "input 0 is there after all, before all time");
        assert_eq!(merger.advance(1, 9), None);
    }

    proptest! {
        /// Whatever the inputs say and in whatever order, the combined watermark never goes back and
        /// never passes an active input.
        #[test]
        fn combined_watermark_is_monotone(steps in proptest::collection::vec((0usize..3, -50i64..50, any::<bool>()), 0..100)) {
            let mut merger = WatermarkMerger::new(3);
            let mut last = Watermark::MIN;
            for (input, timestamp, idle) in steps {
                let new = if idle { merger.set_idle(input, true) } else { merger.advance(input, timestamp) };
                if let Some(watermark) = new {
                    prop_assert!(watermark > last);
                    let slowest = merger.inputs.iter().filter(|i| !i.idle).map(|i| i.reached).min();
                    prop_assert_eq!(Some(watermark.timestamp()), slowest);
                    last = watermark;
                }
            }
        }
    }
}
