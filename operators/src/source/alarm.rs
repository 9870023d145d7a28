//! Wakes a subtask after a while: for sources to which the passing of time means something.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

/// A thread that waits for one moment at a time; started by the first use.
#[derive(Default)]
pub(super) struct Alarm {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    armed: Option<(Duration, Waker)>,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut state = self.lock();
        while !state.closed {
            let Some(after) = state.armed.as_ref().map(|(after, _)| *after) else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = self.changed.wait_timeout_while(state, after, |state| !state.closed);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            if let Some((_, waker)) = state.armed.take() {
                waker.wake();
            }
        }
    }
}

impl Alarm {
    /// Wakes `waker` after the given time, unless another moment is being waited for already: then that one will
    /// do, since whoever is woken looks at the clock and sets the next.
    pub(super) fn set(&mut self, after: Duration, waker: &Waker) {
        {
            let mut state = self.shared.lock();
            if state.armed.is_some() {
                return;
            }
            state.armed = Some((after, waker.clone()));
        }
        self.shared.changed.notify_one();
        if self.thread.is_none() {
            let shared = self.shared.clone();
            self.thread = std::thread::Builder::new()
                .name("source-alarm".into())
                .spawn(move || shared.run())
                .inspect_err(|error| tracing::error!("cannot start a source's alarm: {error}"))
                .ok();
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It holds nothing that could panic.
            let _ = thread.join();
        }
    }
}
