//! What waits for a subtask: one bounded queue of elements per channel, and control messages, which overtake
//! all of them. One mutex guards both; the owner waits on one condition, senders on one per channel.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Wake;
use std::time::Duration;

use riverrun_dataflow::{Barrier, CheckpointId, Element, Error, Result};

/// Elements that a channel holds before its sender has to wait. Enough to keep both sides busy, few
/// enough that a barrier never waits behind much.
pub(crate) const CHANNEL_CAPACITY: usize = 8;

/// The end of all waiting in an attempt, shared by its subtasks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Only sets the mark; whoever waits has to be woken by [`Mailbox::interrupt`].
    pub(crate) fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// An order for a subtask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Control {
    /// Inject a barrier (sources only).
    Trigger(Barrier),
    /// A checkpoint is committed.
    Complete(CheckpointId),
    /// Everything is committed: close.
    Finish,
}

/// Why [`Mailbox::take`] returned.
#[derive(Debug)]
pub(crate) enum Delivery {
    Control(Control),
    Element(usize, Element),
    /// The time ran out first.
    Timeout,
    Cancelled,
}

/// The mailbox of one subtask.
pub(crate) struct Mailbox {
    state: Mutex<State>,
    arrived: Condvar,
    room: Box<[Condvar]>,
    capacity: usize,
    /// Set by a source's waker.
    woken: AtomicBool,
    /// True while control messages wait: lets a busy source look without the lock.
    attention: AtomicBool,
    cancellation: Cancellation,
}

struct State {
    channels: Box<[Channel]>,
    control: VecDeque<Control>,
    /// The owner waits on `arrived`.
    owner_waits: bool,
    /// Where the next look for an element begins, so that all channels get their turn.
    cursor: usize,
}

#[derive(Default)]
struct Channel {
    queue: VecDeque<Element>,
    /// Held back by barrier alignment.
    blocked: bool,
    /// The sender waits for room.
    sender_waits: bool,
}

impl Mailbox {
    pub(crate) fn new(channels: usize, capacity: usize, cancellation: Cancellation) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                channels: (0..channels).map(|_| Channel::default()).collect(),
                control: VecDeque::new(),
                owner_waits: false,
                cursor: 0,
            }),
            arrived: Condvar::new(),
            room: (0..channels).map(|_| Condvar::new()).collect(),
            capacity,
            woken: AtomicBool::new(false),
            attention: AtomicBool::new(false),
            cancellation,
        })
    }

    /// No code that can panic runs under the lock, so a poisoned one is as good as any.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn channels(&self) -> usize {
        self.room.len()
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    /// Puts an element into a channel; waits while it is full. A watermark takes the place of one that
    /// nobody has read yet.
    ///
    /// # Errors
    /// [`Error::Cancelled`] when the attempt was cancelled.
    pub(crate) fn send(&self, channel: usize, element: Element) -> Result<()> {
        let mut state = self.lock();
        loop {
            if self.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let queue = &mut state.channels[channel].queue;
            if let (Element::Watermark(new), Some(Element::Watermark(old))) =
                (&element, queue.back_mut())
            {
                *old = *new;
                return Ok(());
            }
            if queue.len() < self.capacity {
                queue.push_back(element);
                break;
            }
            state.channels[channel].sender_waits = true;
            state = self.room[channel].wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let wake = std::mem::take(&mut state.owner_waits);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Leaves an order for the owner.
    pub(crate) fn order(&self, control: Control) {
        let mut state = self.lock();
        state.control.push_back(control);
        self.attention.store(true, Ordering::Release);
        state.owner_waits = false;
        drop(state);
        self.arrived.notify_one();
    }

    /// Wakes everyone who waits here, after the attempt was cancelled.
    pub(crate) fn interrupt(&self) {
        let mut state = self.lock();
        state.owner_waits = false;
        drop(state);
        self.arrived.notify_all();
        self.room.iter().for_each(Condvar::notify_all);
    }

    /// The next thing for the owner: control first, then an element of a channel that is not blocked, each
    /// channel in its turn. Waits for at most `timeout`.
    pub(crate) fn take(&self, timeout: Option<Duration>) -> Delivery {
        let mut state = self.lock();
        let mut timed_out = false;
        loop {
            if self.is_cancelled() {
                return Delivery::Cancelled;
            }
            if let Some(control) = self.pop_control(&mut state) {
                return Delivery::Control(control);
            }
            if let Some((channel, element)) = state.pop_element() {
                let source = &mut state.channels[channel];
                // Half-empty, not one short of full: otherwise both sides would change places for every batch.
                let wake = source.sender_waits && source.queue.len() <= self.capacity / 2;
                if wake {
                    source.sender_waits = false;
                }
                drop(state);
                if wake {
                    self.room[channel].notify_one();
                }
                return Delivery::Element(channel, element);
            }
            if timed_out {
                return Delivery::Timeout;
            }
            (state, timed_out) = self.wait(state, timeout);
        }
    }

    /// An order, if there is one. Costs one atomic load if not.
    pub(crate) fn poll_control(&self) -> Option<Control> {
        if !self.attention.load(Ordering::Acquire) {
            return None;
        }
        self.pop_control(&mut self.lock())
    }

    /// To be called before a source is polled: a wake-up from here on ends the next [`Mailbox::park`].
    pub(crate) fn expect_wake(&self) {
        self.woken.store(false, Ordering::SeqCst);
    }

    /// Waits until the source's waker, an order or a cancellation comes, or the time is over.
    pub(crate) fn park(&self, timeout: Option<Duration>) {
        let mut state = self.lock();
        let mut timed_out = false;
        while !timed_out
            && !self.is_cancelled()
            && state.control.is_empty()
            && !self.woken.load(Ordering::SeqCst)
        {
            (state, timed_out) = self.wait(state, timeout);
        }
    }

    /// Holds back the elements of a channel until [`Mailbox::unblock_all`].
    pub(crate) fn block(&self, channel: usize) {
        self.lock().channels[channel].blocked = true;
    }

    pub(crate) fn unblock_all(&self) {
        self.lock().channels.iter_mut().for_each(|channel| channel.blocked = false);
    }

    fn wait<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        timeout: Option<Duration>,
    ) -> (MutexGuard<'a, State>, bool) {
        state.owner_waits = true;
        let (mut state, timed_out) = match timeout {
            None => (self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner), false),
            Some(timeout) => {
                let (state, result) = self
                    .arrived
                    .wait_timeout(state, timeout)
                    .unwrap_or_else(PoisonError::into_inner);
                (state, result.timed_out())
            }
        };
        state.owner_waits = false;
        (state, timed_out)
    }

    fn pop_control(&self, state: &mut State) -> Option<Control> {
        let control = state.control.pop_front();
        if state.control.is_empty() {
            self.attention.store(false, Ordering::Release);
        }
        control
    }

    /// Number of elements in a channel.
    #[cfg(test)]
    pub(crate) fn queued(&self, channel: usize) -> usize {
        self.lock().channels[channel].queue.len()
    }
}

impl State {
    fn pop_element(&mut self) -> Option<(usize, Element)> {
        let count = self.channels.len();
        for step in 0..count {
            let index = (self.cursor + step) % count;
            let channel = &mut self.channels[index];
            if !channel.blocked
                && let Some(element) = channel.queue.pop_front()
            {
                self.cursor = (index + 1) % count;
                return Some((index, element));
            }
        }
        None
    }
}

/// Wakes a source's subtask.
impl Wake for Mailbox {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            // Under the lock, so that it cannot fall between the owner's last look and its wait.
            let wake = std::mem::take(&mut self.lock().owner_waits);
            if wake {
                self.arrived.notify_one();
            }
        }
    }
}

/// One channel of a mailbox, as its sender sees it.
#[derive(Clone)]
pub(crate) struct ChannelSender {
    mailbox: Arc<Mailbox>,
    channel: usize,
}

impl ChannelSender {
    pub(crate) fn new(mailbox: Arc<Mailbox>, channel: usize) -> Self {
        Self { mailbox, channel }
    }

    /// As [`Mailbox::send`].
    pub(crate) fn send(&self, element: Element) -> Result<()> {
        self.mailbox.send(self.channel, element)
    }
}
