//! `process`: a function of one's own over a keyed stream, with keyed state, timers and side outputs.
//!
//! The function owns its state: [`ValueState`] and [`MapState`] are fields of it, which it registers once, by name. So
//! state is reached without a look-up by name and without a cast. Snapshots, restoring and rescaling are the
//! engine's business.
//!
//! | file | what |
//! |---|---|
//! | `process/state.rs` | value state and map state |
//! | `process/context.rs` | what a function can ask for and put out |
//! | `process/timers.rs` | timers, which are state too |
//! | `process/operator.rs` | the operator |

mod context;
mod operator;
mod state;
mod timers;

use std::hash::Hash;
use std::sync::Mutex;

use riverrun_dataflow::{
    DataStream, Error, KeyedStream, OperatorKind, OperatorSpec, Record, Timestamp,
};

pub use context::ProcessContext;
pub use state::{MapState, States, ValueState};

use operator::ProcessOperator;

/// Which clock a timer goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimerKind {
    /// Fires when the watermark reaches it.
    EventTime,
    /// Fires when the machine's clock reaches it.
    ProcessingTime,
}

/// A function over the rows of a key.
///
/// All calls come from one thread; rows of one key come in their order. Each subtask works on a clone of the function; a
/// clone of a state is empty.
///
/// ```
/// use riverrun_operators::prelude::*;
///
/// /// Passes on the first row of each key, and forgets a key after a minute of event time.
/// #[derive(Clone)]
/// struct FirstOfMinute {
///     seen: ValueState<String, u64>,
/// }
///
/// impl ProcessFunction for FirstOfMinute {
///     type Key = String;
///     type Input = String;
///     type Output = String;
///
///     fn states(&mut self, states: &mut States<'_, String>) {
///         states.add(&mut self.seen);
///     }
///
///     fn process(&mut self, row: String, context: &mut ProcessContext<'_, String, String>) {
///         let seen = self.seen.entry(context.key(), || 0);
///         *seen += 1;
///         if *seen == 1 {
///             context.set_timer(TimerKind::EventTime, context.timestamp() + 60_000);
///             context.emit(row);
///         }
///     }
///
///     fn on_timer(
///         &mut self,
///         _kind: TimerKind,
///         _at: Timestamp,
///         context: &mut ProcessContext<'_, String, String>,
///     ) {
///         self.seen.clear(context.key());
///     }
/// }
///
/// # fn job(words: DataStream<String>) {
/// let first: DataStream<String> = words
///     .key_by(|word| word.clone())
///     .process(FirstOfMinute { seen: ValueState::named("seen") });
/// # }
/// ```
pub trait ProcessFunction: Clone + Send + 'static {
    /// The key.
    type Key: Record + Hash + Eq;
    /// Rows that come in.
    type Input: Record;
    /// Rows that go out on the main output.
    type Output: Record;

    /// Registers every state that the function has. A state that is not registered here cannot be used: it would
    /// be lost at a restart.
    fn states(&mut self, _states: &mut States<'_, Self::Key>) {}

    /// Works on a row.
    fn process(
        &mut self,
        row: Self::Input,
        context: &mut ProcessContext<'_, Self::Key, Self::Output>,
    );

    /// A timer that the function set for the context's key has come. What is emitted gets the timer's time as its
    /// timestamp.
    fn on_timer(
        &mut self,
        _kind: TimerKind,
        _at: Timestamp,
        _context: &mut ProcessContext<'_, Self::Key, Self::Output>,
    ) {
    }
}

/// Adds `process` to keyed streams.
pub trait Processing<T, K> {
    /// Runs a function of one's own over the rows of each key; see [`ProcessFunction`].
    fn process<P: ProcessFunction<Key = K, Input = T>>(&self, function: P)
    -> DataStream<P::Output>;
}

impl<T, K, F> Processing<T, K> for KeyedStream<T, K, F>
where
    T: Record,
    K: Record + Hash + Eq,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
{
    fn process<P: ProcessFunction<Key = K, Input = T>>(
        &self,
        function: P,
    ) -> DataStream<P::Output> {
        let key_of = self.key_of().clone();
        // Functions need not be shareable between threads: each subtask gets its clone through the lock.
        let function = Mutex::new(function);
        self.exchanged().transform(OperatorSpec::new("process", OperatorKind::Keyed), move |_| {
            let function = function.lock().map_err(|_| Error::User {
                place: "process function".to_owned(),
                reason: "its clone() has panicked before".to_owned(),
            })?;
            Ok(Box::new(ProcessOperator::new(function.clone(), key_of.clone())))
        })
    }
}

#[cfg(test)]
mod tests;
