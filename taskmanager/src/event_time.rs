//! Event time of a subtask: the watermarks of all its channels combined.

use riverrun_dataflow::{Watermark, WatermarkMerger};

/// What changes when one channel says something about event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing that the chain should know.
    None,
    /// Event time moved on.
    Advanced(Watermark),
    /// All channels that have not ended are idle now.
    AllIdle,
    /// The first one speaks again after all were idle.
    Resumed,
}

/// Combines the channels by minimum. Idle channels hold back nobody; neither do ended ones, and the end of
/// time is only reached when *all* have ended: a channel that is merely idle may have more to say.
pub(crate) struct EventTime {
    merger: WatermarkMerger,
    ended: Vec<bool>,
    all_idle: bool,
}

impl EventTime {
    pub(crate) fn new(channels: usize) -> Self {
        Self {
            merger: WatermarkMerger::new(channels),
            ended: vec![false; channels],
            all_idle: false,
        }
    }

    /// A watermark came over `channel`.
    pub(crate) fn watermark(&mut self, channel: usize, watermark: Watermark) -> Change {
        if watermark == Watermark::MAX {
            return self.end(channel);
        }
        let advanced = self.merger.advance(channel, watermark.timestamp());
        self.spoken(advanced)
    }

    /// Rows came over `channel`: it is not idle (any more).
    pub(crate) fn rows(&mut self, channel: usize) -> Change {
        // An input that comes back can only lower the minimum, so there is nothing to hand out.
        let advanced = self.merger.set_idle(channel, false);
        self.spoken(advanced)
    }

    /// `channel` fell silent.
    pub(crate) fn idle(&mut self, channel: usize) -> Change {
        let advanced = self.merger.set_idle(channel, true);
        self.silent(advanced)
    }

    /// `channel` has ended. Saying it twice does no harm.
    pub(crate) fn end(&mut self, channel: usize) -> Change {
        if std::mem::replace(&mut self.ended[channel], true) {
            return Change::None;
        }
        if self.ended.iter().all(|&ended| ended) {
            self.all_idle = false;
            let end = self.merger.advance(channel, Watermark::MAX.timestamp());
            return end.map_or(Change::None, Change::Advanced);
        }
        let advanced = self.merger.set_idle(channel, true);
        self.silent(advanced)
    }

    fn spoken(&mut self, advanced: Option<Watermark>) -> Change {
        let resumed = std::mem::take(&mut self.all_idle);
        match advanced {
            Some(watermark) => Change::Advanced(watermark),
            None if resumed => Change::Resumed,
            None => Change::None,
        }
    }

    fn silent(&mut self, advanced: Option<Watermark>) -> Change {
        match advanced {
            Some(watermark) => Change::Advanced(watermark),
            None if self.merger.all_idle() && !self.all_idle => {
                self.all_idle = true;
                Change::AllIdle
            }
            None => Change::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use riverrun_dataflow::WatermarkFrontier;

    use super::*;

    fn at(timestamp: i64) -> Watermark {
        WatermarkFrontier::resumed_at(timestamp).current()
    }

    #[test]
    fn time_follows_the_slowest_channel_that_is_not_idle() {
        let mut time = EventTime::new(3);
        assert_eq!(time.watermark(0, at(50)), Change::None);
        assert_eq!(time.watermark(1, at(40)), Change::None);
        assert_eq!(time.idle(2), Change::Advanced(at(40)));
        assert_eq!(time.watermark(1, at(60)), Change::Advanced(at(50)));
        assert_eq!(time.rows(2), Change::None);
        assert_eq!(
            time.watermark(0, at(70)),
            Change::None,
            "channel 2 is back and before all time"
        );
        assert_eq!(time.watermark(2, at(65)), Change::Advanced(at(60)));
    }

    #[test]
    fn idleness_is_told_once_and_so_is_its_end() {
        let mut time = EventTime::new(2);
        assert_eq!(time.idle(0), Change::None);
        assert_eq!(time.idle(1), Change::AllIdle);
        assert_eq!(time.idle(1), Change::None);
        assert_eq!(time.rows(0), Change::Resumed);
        assert_eq!(time.rows(0), Change::None);
    }

    #[test]
    fn the_end_of_time_comes_only_when_all_have_ended() {
        let mut time = EventTime::new(2);
        assert_eq!(time.watermark(0, at(5)), Change::None);
        assert_eq!(time.idle(1), Change::Advanced(at(5)));
        assert_eq!(time.watermark(0, Watermark::MAX), Change::AllIdle, "channel 1 may come back");
        assert_eq!(time.end(0), Change::None);
        assert_eq!(time.watermark(1, at(3)), Change::Resumed);
        assert_eq!(time.watermark(1, at(9)), Change::Advanced(at(9)));
        assert_eq!(time.watermark(1, Watermark::MAX), Change::Advanced(Watermark::MAX));
    }
}
