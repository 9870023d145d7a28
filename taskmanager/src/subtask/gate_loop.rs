//! The loop of a subtask that is fed by other subtasks.

use riverrun_dataflow::Result;

use super::{Head, Stop, Subtask};
use crate::gate::Input;

impl Subtask {
    pub(super) fn run_gate(&mut self) -> Result<Stop> {
        loop {
            let patience = self.patience();
            let Head::Gate(gate) = &mut self.head else {
                unreachable!("run_gate is called for subtasks with a gate")
            };
            match gate.next(patience)? {
                Input::Batch(input, batch) => self.chain.batch(input, batch)?,
                Input::Watermark(watermark) => {
                    self.chain.resume()?;
                    self.chain.watermark(watermark)?;
                }
                Input::Idle => self.chain.idle()?,
                Input::Resumed => self.chain.resume()?,
                Input::Barrier(barrier) => self.checkpoint(barrier)?,
                Input::Ended => self.chain.end_of_input()?,
                Input::Control(control) => {
                    if let Some(stop) = self.control(control)? {
                        return Ok(stop);
                    }
                }
                Input::Timeout => {}
                Input::Cancelled => return Ok(Stop::Cancelled),
            }
            self.fire_timers()?;
        }
    }
}
