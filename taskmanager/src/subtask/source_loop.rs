//! The loop of a subtask that reads from outside.

use std::task::{Context, Poll, Waker};

use riverrun_dataflow::{Result, SourceEvent, SplitStatus, TaskEvent, Watermark};

use super::{Head, Identity, Stop, Subtask};

/// How far a source has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// It has not named a split yet.
    Begun,
    /// It has none and nothing to say, so it must not hold back event time.
    Nothing,
    /// Splits are known.
    Splits,
    /// Everything was read. Barriers still have to be injected.
    Ended,
}

impl Subtask {
    pub(super) fn run_source(&mut self, identity: &Identity) -> Result<Stop> {
        let waker = Waker::from(self.mailbox.clone());
        let mut context = Context::from_waker(&waker);
        let mut reading = Reading::Begun;
        loop {
            if self.mailbox.is_cancelled() {
                return Ok(Stop::Cancelled);
            }
            while let Some(control) = self.mailbox.poll_control() {
                if let Some(stop) = self.control(control)? {
                    return Ok(stop);
                }
            }
            self.fire_timers()?;
            self.mailbox.expect_wake();
            let event = match &mut self.head {
                Head::Source(head) if reading != Reading::Ended => head.source.poll(&mut context),
                _ => Poll::Pending,
            };
            match event {
                Poll::Ready(Ok(SourceEvent::Batch(batch))) => {
                    reading = Reading::Splits;
                    self.chain.batch(0, batch)?;
                }
                Poll::Ready(Ok(SourceEvent::Split(split, status))) => {
                    if status == SplitStatus::Active {
                        reading = Reading::Splits;
                    }
                    self.chain.split(split, status)?;
                }
                Poll::Ready(Ok(SourceEvent::End)) => {
                    reading = Reading::Ended;
                    self.chain.watermark(Watermark::MAX)?;
                    self.chain.end_of_input()?;
                    identity.report(TaskEvent::EndOfInput {
                        attempt: identity.attempt,
                        subtask: identity.subtask,
                    });
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    if reading == Reading::Begun {
                        reading = Reading::Nothing;
                        self.chain.idle()?;
                    }
                    self.mailbox.park(self.patience());
                }
            }
        }
    }
}
