//! The operator behind `process`.

use std::sync::Arc;

use riverrun_dataflow::{
    Barrier, Batch, Clock, Entries, Error, Operator, OperatorContext, OperatorState, Output,
    RestoredState, Result, Snapshot, Timestamp, Watermark, codec,
};

use super::context::{Made, ProcessContext};
use super::state::{AnyState, States};
use super::timers::Timers;
use super::{ProcessFunction, TimerKind};

/// Numbers of the timers' tables in snapshots; the function's states follow in the order of their names in the list.
const EVENT_TIMERS: u8 = 0;
const PROCESSING_TIMERS: u8 = 1;
const FIRST_STATE: u8 = 2;

/// Runs a process function.
pub(crate) struct ProcessOperator<P: ProcessFunction, F> {
    operator: String,
    clock: Option<Arc<dyn Clock>>,
    key_groups: u16,
    function: P,
    key_of: F,
    registered: bool,
    event_timers: Timers<P::Key>,
    processing_timers: Timers<P::Key>,
    watermark: Timestamp,
    made: Made<P::Output>,
}

impl<P, F> ProcessOperator<P, F>
where
    P: ProcessFunction,
    F: Fn(&P::Input) -> P::Key + Send,
{
    pub fn new(function: P, key_of: F) -> Self {
        Self {
            operator: "process".to_owned(),
            clock: None,
            key_groups: 1,
            function,
            key_of,
            registered: false,
            event_timers: Timers::default(),
            processing_timers: Timers::default(),
            watermark: Timestamp::MIN,
            made: Made::default(),
        }
    }

    fn each_state(&mut self, mut visit: impl FnMut(&mut dyn AnyState<P::Key>)) {
        self.function.states(&mut States::new(&mut visit));
    }

    /// Makes the states usable and refuses names that are not unique.
    fn register(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.registered, true) {
            return Ok(());
        }
        let names = self.state_names();
        self.each_state(|state| state.ready());
        let twice = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name));
        match twice {
            None if names.len() <= usize::from(u8::MAX - FIRST_STATE) => Ok(()),
            None => Err(Error::state(&self.operator, "a function has at most 253 states")),
            Some((_, name)) => Err(Error::state(
                &self.operator,
                format!("two states are named `{name}`; give each its own name"),
            )),
        }
    }

    fn state_names(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        self.each_state(|state| names.push(state.name().to_owned()));
        names
    }

    fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or(0, |clock| clock.now())
    }

    fn fire(&mut self, kind: TimerKind, until: Timestamp, out: &mut dyn Output) -> Result<()> {
        let now = self.now();
        loop {
            let timers = match kind {
                TimerKind::EventTime => &mut self.event_timers,
                TimerKind::ProcessingTime => &mut self.processing_timers,
            };
            let Some((at, keys)) = timers.take_due(until) else { break };
            for key in &keys {
                let mut context = ProcessContext {
                    key,
                    timestamp: at,
                    now,
                    watermark: self.watermark,
                    event_timers: &mut self.event_timers,
                    processing_timers: &mut self.processing_timers,
                    made: &mut self.made,
                };
                self.function.on_timer(kind, at, &mut context);
                if self.made.is_full() {
                    self.made.flush(out)?;
                }
            }
        }
        self.made.flush(out)
    }
}

impl<P, F> Operator for ProcessOperator<P, F>
where
    P: ProcessFunction,
    F: Fn(&P::Input) -> P::Key + Send,
{
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        self.register()?;
        let operator = self.operator.clone();
        let names = self.state_names();
        let mut former: Vec<String> = Vec::new();
        for bytes in &state.list {
            let list: Vec<String> = codec::decode(bytes).map_err(|e| {
                Error::state(
                    &operator,
                    format!("the names of its states: {e}; give it a new uid to start it empty"),
                )
            })?;
            if !former.is_empty() && former != list {
                return Err(Error::state(
                    &operator,
                    "its subtasks had different states; restore an older checkpoint",
                ));
            }
            former = list;
        }
        if let Some(gone) = former.iter().find(|name| !names.contains(name)) {
            return Err(Error::state(
                &operator,
                format!(
                    "the checkpoint holds state `{gone}`, which the function does not register; add it, or give the operator a new uid"
                ),
            ));
        }
        for chain in &state.keyed {
            self.event_timers.restore(&operator, EVENT_TIMERS, chain)?;
            self.processing_timers.restore(&operator, PROCESSING_TIMERS, chain)?;
            let mut result = Ok(());
            self.each_state(|state| {
                // A state that is new in the program has no number in the checkpoint and starts empty.
                let number = (FIRST_STATE..).zip(&former).find(|(_, name)| *name == state.name());
                if let (Ok(()), Some((number, _))) = (&result, number) {
                    result = state.restore(&operator, number, chain);
                }
            });
            result?;
        }
        Ok(())
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.clock = Some(context.clock.clone());
        self.key_groups = context.key_groups;
        self.register()
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let rows = batch.into_rows::<P::Input>(&self.operator)?;
        let now = self.now();
        for (row, timestamp) in rows.values.into_iter().zip(rows.timestamps) {
            let key = (self.key_of)(&row);
            let mut context = ProcessContext {
                key: &key,
                timestamp,
                now,
                watermark: self.watermark,
                event_timers: &mut self.event_timers,
                processing_timers: &mut self.processing_timers,
                made: &mut self.made,
            };
            self.function.process(row, &mut context);
            if self.made.is_full() {
                self.made.flush(out)?;
            }
        }
        self.made.flush(out)
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        self.watermark = watermark.timestamp();
        let until = match self.event_timers.last() {
            // At the end of the input the timers that are set fire; those that these set (a timer that sets itself
            // anew, say) stay for a later run on the same state.
            Some(last) if watermark == Watermark::MAX => last,
            _ => watermark.timestamp(),
        };
        self.fire(TimerKind::EventTime, until, out)?;
        out.emit_watermark(watermark)
    }

    fn next_timer(&self) -> Option<Timestamp> {
        self.processing_timers.first()
    }

    fn on_time(&mut self, now: Timestamp, out: &mut dyn Output) -> Result<()> {
        self.fire(TimerKind::ProcessingTime, now, out)
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let kind = barrier.kind;
        let mut tables =
            vec![self.event_timers.snapshot(kind), self.processing_timers.snapshot(kind)];
        self.each_state(|state| tables.push(state.snapshot(kind)));
        let (operator, key_groups) = (self.operator.clone(), self.key_groups);
        let names = self.state_names();
        Ok(Snapshot::Deferred(Box::new(move || {
            let mut entries = Entries::new(key_groups);
            for (number, table) in (EVENT_TIMERS..).zip(tables) {
                table.encode(&operator, number, key_groups, &mut entries)?;
            }
            let names = codec::encode(&names).map_err(|e| Error::state(&operator, e))?;
            Ok(OperatorState {
                keyed: Some(entries.finish(kind)),
                list: vec![names],
                ..OperatorState::default()
            })
        })))
    }
}
