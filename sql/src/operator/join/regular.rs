//! The regular join: rows stay for ever, or until nothing has happened to their key for a time.

use std::sync::Arc;
use std::time::Duration;

use riverrun_dataflow::{
    Barrier, Batch, Clock, Error, Operator, OperatorContext, OperatorState, Output, RestoredState,
    Result, Snapshot, Timestamp, codec,
};

use super::JoinSpec;
use super::matching::Matching;
use crate::Changes;

/// Joins two streams of weighted rows.
pub struct Join {
    pub(super) matching: Matching,
    signature: String,
    key_groups: u16,
    time_to_live: Option<TimeToLive>,
}

/// When keys were touched last.
struct TimeToLive {
    millis: i64,
    clock: Option<Arc<dyn Clock>>,
    /// By slot.
    touched: Vec<Timestamp>,
    next_sweep: Timestamp,
}

impl TimeToLive {
    fn new(of: Duration) -> Self {
        let millis = i64::try_from(of.as_millis()).unwrap_or(i64::MAX).max(1);
        Self { millis, clock: None, touched: Vec::new(), next_sweep: 0 }
    }

    fn now(&self) -> Timestamp {
        self.clock.as_ref().map_or(0, |clock| clock.now())
    }

    fn touch(&mut self, slot: u32, now: Timestamp) {
        let slot = slot as usize;
        if self.touched.len() <= slot {
            self.touched.resize(slot + 1, now);
        }
        self.touched[slot] = now;
    }

    /// Keys go at most an eighth of their time late.
    fn plan(&mut self, now: Timestamp) {
        self.next_sweep = now.saturating_add((self.millis / 8).max(1));
    }
}

impl Join {
    /// The operator of this spec.
    ///
    /// # Errors
    /// [`Error::Io`] if rows of these types cannot be kept.
    pub fn new(spec: JoinSpec) -> Result<Self> {
        let matching = Matching::new("join", &spec, false)?;
        let time_to_live = spec.time_to_live.map(TimeToLive::new);
        Ok(Self { matching, signature: spec.signature(), key_groups: 1, time_to_live })
    }

    /// Bytes of memory that the state takes, as far as they can be counted.
    pub fn memory(&self) -> usize {
        self.matching.buckets.memory()
    }
}

impl JoinSpec {
    /// What a checkpoint's rows must have been kept for.
    pub(super) fn signature(&self) -> String {
        let side = |side: usize| {
            let types = self.inputs[side].schema.fields().iter();
            let types: Vec<String> = types.map(|field| field.data_type().to_string()).collect();
            format!("({}) by {:?}", types.join(", "), self.inputs[side].keys)
        };
        format!("{} join of {} and {}", self.join_type, side(0), side(1))
    }
}

/// Checks the signatures that a checkpoint holds.
pub(super) fn check_signatures(operator: &str, signature: &str, list: &[Vec<u8>]) -> Result<()> {
    for bytes in list {
        let held: String = codec::decode(bytes).map_err(|error| Error::state(operator, error))?;
        if held != signature {
            return Err(Error::state(
                operator,
                format!(
                    "the checkpoint holds rows of a {held}, and the query is now a {signature}; start it as a new job"
                ),
            ));
        }
    }
    Ok(())
}

impl Operator for Join {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        check_signatures(&self.matching.operator, &self.signature, &state.list)?;
        let Matching { operator, buckets, .. } = &mut self.matching;
        state.keyed.iter().try_for_each(|chain| buckets.restore(operator, chain))
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.matching.operator.clone_from(&context.operator);
        self.key_groups = context.key_groups;
        if let Some(time_to_live) = &mut self.time_to_live {
            time_to_live.clock = Some(context.clock.clone());
            let now = context.clock.now();
            self.matching.buckets.slots().for_each(|slot| time_to_live.touch(slot, now));
            time_to_live.plan(now);
        }
        Ok(())
    }

    fn process(&mut self, input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let changes = Changes::of(batch, &self.matching.operator)?;
        let time_to_live = &mut self.time_to_live;
        let now = time_to_live.as_ref().map_or(0, TimeToLive::now);
        let kept = |slot, _| {
            if let Some(time_to_live) = time_to_live {
                time_to_live.touch(slot, now);
            }
        };
        self.matching.arrive(input, changes, |_| 0, kept, out)
    }

    fn next_timer(&self) -> Option<Timestamp> {
        self.time_to_live.as_ref().map(|time_to_live| time_to_live.next_sweep)
    }

    fn on_time(&mut self, now: Timestamp, _out: &mut dyn Output) -> Result<()> {
        let Some(time_to_live) = &mut self.time_to_live else { return Ok(()) };
        let buckets = &mut self.matching.buckets;
        let old = now.saturating_sub(time_to_live.millis);
        let over = |slot: &u32| {
            time_to_live.touched.get(*slot as usize).is_none_or(|touched| *touched <= old)
        };
        for slot in buckets.slots().filter(over).collect::<Vec<_>>() {
            buckets.clear(slot);
        }
        time_to_live.plan(now);
        Ok(())
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let keyed = self.matching.buckets.snapshot(barrier.kind, self.key_groups);
        let signature = codec::encode(&self.signature)
            .map_err(|error| Error::state(&self.matching.operator, error))?;
        Ok(Snapshot::Ready(OperatorState {
            keyed: Some(keyed),
            list: vec![signature],
            ..OperatorState::default()
        }))
    }
}
