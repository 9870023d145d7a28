//! How news reaches the job master: a queue in this process.
//!
//! It has no bound, for reporting never waits; what keeps it short is that a subtask has at most one
//! checkpoint to acknowledge and one end to report.

use std::sync::mpsc::Sender;

use riverrun_dataflow::{JobManagerGateway, TaskEvent};

/// What the job master acts on.
#[derive(Debug)]
pub(crate) enum Message {
    Task(TaskEvent),
    StopWithCheckpoint,
    Cancel,
}

/// The gateway that TaskManagers report to.
pub(crate) struct Reports(pub(crate) Sender<Message>);

impl JobManagerGateway for Reports {
    fn report(&self, event: TaskEvent) {
        // Nobody listens any more once the job is over; there is nothing left to tell then.
        let _ = self.0.send(Message::Task(event));
    }
}
