//! The input of a subtask that is not a source: elements of all channels, barriers aligned, event time
//! combined.

use std::sync::Arc;
use std::time::Duration;

use riverrun_dataflow::{Barrier, Batch, Element, Error, Result, Watermark};

use crate::event_time::{Change, EventTime};
use crate::mailbox::{Control, Delivery, Mailbox};

/// One thing that a subtask has to act on.
#[derive(Debug)]
pub(crate) enum Input {
    Control(Control),
    /// Rows for input number `.0` of the first operator.
    Batch(usize, Batch),
    Watermark(Watermark),
    /// All channels are idle.
    Idle,
    /// A channel speaks again after [`Input::Idle`], without an advance of event time.
    Resumed,
    /// All channels have delivered this barrier.
    Barrier(Barrier),
    /// All channels have ended; [`Watermark::MAX`] came before. Barriers may follow.
    Ended,
    /// The time ran out first.
    Timeout,
    Cancelled,
}

/// Reads the channels of a mailbox.
///
/// Barriers are *aligned*: a channel that delivered barrier n is not read until all channels have, so that what
/// came before the barrier, and only that, is in the snapshot.
pub(crate) struct InputGate {
    mailbox: Arc<Mailbox>,
    /// Input of the first operator, by channel.
    inputs: Vec<usize>,
    time: EventTime,
    aligning: Option<Barrier>,
    arrived: usize,
    ended: usize,
    /// What goes out before the next element is taken.
    ready: Option<Input>,
}

impl InputGate {
    /// A gate over the channels of `mailbox`; `inputs` tells to which input of the first operator each leads.
    pub(crate) fn new(mailbox: Arc<Mailbox>, inputs: Vec<usize>) -> Self {
        debug_assert_eq!(mailbox.channels(), inputs.len());
        let time = EventTime::new(inputs.len());
        Self { mailbox, inputs, time, aligning: None, arrived: 0, ended: 0, ready: None }
    }

    /// The next thing to act on. Waits for at most `timeout`.
    ///
    /// # Errors
    /// [`Error::Io`] if two channels deliver different barriers, which only a broken peer can cause.
    pub(crate) fn next(&mut self, timeout: Option<Duration>) -> Result<Input> {
        if let Some(input) = self.ready.take() {
            return Ok(input);
        }
        loop {
            let (channel, element) = match self.mailbox.take(timeout) {
                Delivery::Control(control) => return Ok(Input::Control(control)),
                Delivery::Timeout => return Ok(Input::Timeout),
                Delivery::Cancelled => return Ok(Input::Cancelled),
                Delivery::Element(channel, element) => (channel, element),
            };
            if let Some(input) = self.accept(channel, element)? {
                return Ok(input);
            }
        }
    }

    fn accept(&mut self, channel: usize, element: Element) -> Result<Option<Input>> {
        Ok(match element {
            Element::Batch(batch) => {
                let rows = Input::Batch(self.inputs[channel], batch);
                match told(self.time.rows(channel)) {
                    None => Some(rows),
                    first => {
                        self.ready = Some(rows);
                        first
                    }
                }
            }
            Element::Watermark(watermark) => told(self.time.watermark(channel, watermark)),
            Element::Idle => told(self.time.idle(channel)),
            Element::Barrier(barrier) => self.align(channel, barrier)?,
            Element::EndOfInput => {
                self.ended += 1;
                let first = told(self.time.end(channel));
                if self.ended < self.inputs.len() {
                    first
                } else if first.is_some() {
                    self.ready = Some(Input::Ended);
                    first
                } else {
                    Some(Input::Ended)
                }
            }
        })
    }

    fn align(&mut self, channel: usize, barrier: Barrier) -> Result<Option<Input>> {
        match self.aligning {
            Some(other) if other != barrier => {
                return Err(Error::io(
                    format!("channel {channel}"),
                    format!(
                        "delivered the barrier of checkpoint {} while that of checkpoint {} was awaited",
                        barrier.checkpoint, other.checkpoint
                    ),
                ));
            }
            _ => self.aligning = Some(barrier),
        }
        self.arrived += 1;
        if self.arrived < self.inputs.len() {
            self.mailbox.block(channel);
            return Ok(None);
        }
        self.arrived = 0;
        self.aligning = None;
        if self.inputs.len() > 1 {
            self.mailbox.unblock_all();
        }
        Ok(Some(Input::Barrier(barrier)))
    }
}

fn told(change: Change) -> Option<Input> {
    match change {
        Change::None => None,
        Change::Advanced(watermark) => Some(Input::Watermark(watermark)),
        Change::AllIdle => Some(Input::Idle),
        Change::Resumed => Some(Input::Resumed),
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
