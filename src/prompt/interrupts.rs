//! Ctrl-C stops what runs, and not the prompt.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

type Action = Arc<dyn Fn() + Send + Sync>;

/// What SIGINT and SIGTERM do now.
#[derive(Clone, Default)]
pub(super) struct Interrupts(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// What stops what runs; `None` if nothing does.
    action: Option<Action>,
    interrupted: bool,
}

impl Interrupts {
    /// Begins to listen. While nothing runs, SIGTERM ends the process, and so does SIGINT.
    ///
    /// # Errors
    /// If the system has no thread or no signals for it.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let interrupts = Self::default();
        let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen for signals")?;
        let heard = interrupts.clone();
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for signal in signals.forever() {
                    let mut state = heard.lock();
                    let again = std::mem::replace(&mut state.interrupted, true);
                    match state.action.clone() {
                        Some(action) if !again => {
                            drop(state);
                            action();
                        }
                        _ => std::process::exit(128 + signal),
                    }
                }
            })
            .context("cannot start a thread for signals")?;
        Ok(interrupts)
    }

    /// Does `work`, which `action` stops when a signal comes. A second signal ends the process.
    pub(super) fn during<T>(
        &self,
        action: impl Fn() + Send + Sync + 'static,
        work: impl FnOnce() -> T,
    ) -> T {
        *self.lock() = State { action: Some(Arc::new(action)), interrupted: false };
        let done = work();
        *self.lock() = State::default();
        done
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
