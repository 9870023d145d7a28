//! The life of a subtask: made, restored and opened; fed until it is told to stop; closed.

mod gate_loop;
mod setup;
mod source_loop;

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use riverrun_dataflow::{
    Barrier, Clock, Error, OperatorContext, OperatorId, OperatorState, RestoredState, Result,
    Snapshot, Source, TaskEvent,
};

use crate::chain::{Chain, NodeSnapshot};
use crate::gate::InputGate;
use crate::mailbox::{Control, Mailbox};
use crate::snapshot::Snapshots;
pub(crate) use setup::{Identity, Setup, Surroundings};

/// Processing time may jump (somebody sets the clock, the machine sleeps): timers look at it at least
/// this often.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Why a subtask stopped without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Finished,
    Cancelled,
}

/// A subtask with all that it owns.
struct Subtask {
    head: Head,
    chain: Chain,
    mailbox: Arc<Mailbox>,
    snapshots: Snapshots,
    clock: Arc<dyn Clock>,
    restored: BTreeMap<OperatorId, RestoredState>,
}

/// What feeds the chain.
enum Head {
    Source(SourceHead),
    Gate(InputGate),
}

/// A source at the head of a chain.
struct SourceHead {
    id: OperatorId,
    context: OperatorContext,
    source: Box<dyn Source>,
    opened: bool,
}

impl SourceHead {
    fn close(&mut self) -> Result<()> {
        if std::mem::take(&mut self.opened) { self.source.close() } else { Ok(()) }
    }
}

/// The body of a subtask's thread. Reports Running or Failed, and in the end Finished.
pub(crate) fn run(setup: Setup) {
    let (identity, mailbox) = (setup.identity.clone(), setup.mailbox.clone());
    let mut slot = None;
    let outcome = guarded(&identity, &mut slot, |slot| {
        let subtask = slot.insert(setup.build()?);
        subtask.open()?;
        identity.report(TaskEvent::Running {
            attempt: identity.attempt,
            subtask: identity.subtask,
            metrics: subtask.metrics(),
        });
        match &subtask.head {
            Head::Source(_) => subtask.run_source(&identity),
            Head::Gate(_) => subtask.run_gate(),
        }
    });
    if let Some(subtask) = &slot {
        subtask.snapshots.wait();
    }
    let closed = guarded(&identity, &mut slot, |slot| slot.as_mut().map_or(Ok(()), Subtask::close));
    drop(slot);
    match outcome {
        Err(error) if !mailbox.is_cancelled() => {
            identity.report(TaskEvent::Failed {
                attempt: identity.attempt,
                subtask: identity.subtask,
                error,
            });
            await_end(&mailbox);
        }
        _ => {
            if let Err(error) = closed {
                // Nothing is lost by it: what is committed is committed, the rest is done again.
                tracing::warn!(subtask = %identity.place, %error, "closing failed");
            }
        }
    }
    identity.report(TaskEvent::Finished { attempt: identity.attempt, subtask: identity.subtask });
}

impl Subtask {
    /// Restores and opens: the source first, then the chain in its order.
    fn open(&mut self) -> Result<()> {
        let restored = &mut self.restored;
        if let Head::Source(head) = &mut self.head {
            head.opened = true;
            head.source.open(&head.context, restored.remove(&head.id))?;
        }
        self.chain.open(|operator| restored.remove(&operator))
    }

    fn close(&mut self) -> Result<()> {
        let source = match &mut self.head {
            Head::Source(head) => head.close(),
            Head::Gate(_) => Ok(()),
        };
        source.and(self.chain.close())
    }

    fn metrics(&self) -> Vec<(OperatorId, Arc<riverrun_dataflow::OperatorMetrics>)> {
        let source = match &self.head {
            Head::Source(head) => Some((head.id, head.context.metrics.clone())),
            Head::Gate(_) => None,
        };
        source.into_iter().chain(self.chain.metrics()).collect()
    }

    /// Takes the snapshots at a barrier, hands them over to be finished, and sends the barrier on.
    fn checkpoint(&mut self, barrier: Barrier) -> Result<()> {
        let mut parts = Vec::new();
        if let Head::Source(head) = &mut self.head {
            let state = OperatorState { positions: head.source.snapshot()?, ..Default::default() };
            let name = head.context.operator.clone();
            parts.push(NodeSnapshot { id: head.id, name, snapshot: Snapshot::Ready(state) });
        }
        parts.extend(self.chain.snapshot(barrier)?);
        self.snapshots.hand_over(barrier, parts);
        self.chain.barrier(barrier)
    }

    /// Carries out an order; tells whether it was the last one.
    fn control(&mut self, control: Control) -> Result<Option<Stop>> {
        match control {
            Control::Trigger(barrier) => self.checkpoint(barrier)?,
            Control::Complete(checkpoint) => {
                if let Head::Source(head) = &mut self.head {
                    head.source.on_checkpoint_complete(checkpoint)?;
                }
                self.chain.checkpoint_complete(checkpoint)?;
            }
            Control::Finish => return Ok(Some(Stop::Finished)),
        }
        Ok(None)
    }

    /// How long the subtask may wait before an operator's timer is due; `None`: for ever.
    fn patience(&self) -> Option<Duration> {
        let due = self.chain.next_timer()?;
        let wait = due.saturating_sub(self.clock.now()).max(0);
        Some(Duration::from_millis(wait.unsigned_abs()).min(LONGEST_WAIT))
    }

    fn fire_timers(&mut self) -> Result<()> {
        let Some(due) = self.chain.next_timer() else { return Ok(()) };
        let now = self.clock.now();
        if due <= now { self.chain.fire_timers(now) } else { Ok(()) }
    }
}

/// A failed subtask waits here until the attempt is over.
fn await_end(mailbox: &Mailbox) {
    while !mailbox.is_cancelled() {
        match mailbox.poll_control() {
            Some(Control::Finish) => return,
            Some(_) => {}
            None => {
                mailbox.expect_wake();
                mailbox.park(None);
            }
        }
    }
}

/// Runs `body`, with a panic as an error that names the operator at work.
fn guarded<T>(
    identity: &Identity,
    slot: &mut Option<Subtask>,
    body: impl FnOnce(&mut Option<Subtask>) -> Result<T>,
) -> Result<T> {
    catch_unwind(AssertUnwindSafe(|| body(slot))).unwrap_or_else(|panic| {
        let operator = slot.as_ref().and_then(|subtask| subtask.chain.current_operator());
        Err(Error::User {
            place: match operator {
                Some(operator) => format!("operator `{operator}` of {}", identity.place),
                None => identity.place.clone(),
            },
            reason: format!("panicked: {}", panic_message(panic.as_ref())),
        })
    })
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "no message".to_owned()
    }
}
