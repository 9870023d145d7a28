//! For tests: a small runtime in one thread. Stages of subtasks joined by HASH edges, with channels, aligned
//! barriers, snapshots and restores into another parallelism, in an order drawn from a seed.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use riverrun_dataflow::testing::{Collected, context};
use riverrun_dataflow::{
    Barrier, Batch, Job, ManualClock, Operator, OperatorContext, OperatorKind, OperatorMetrics,
    OperatorState, Output, Partitioner, RestoredState, Result, SnapshotKind, SplitIndex,
    SplitStatus, SubtaskId, Timestamp, Watermark, WatermarkFrontier, WatermarkMerger,
    key_groups_of_subtask,
};

/// What travels in a channel.
enum Item {
    Batch(Batch),
    Watermark(Timestamp),
    Barrier(Barrier),
    Idle,
    End,
}

/// The operators of one subtask, one after the other.
struct Chain {
    operators: Vec<Box<dyn Operator>>,
}

/// Passes on to the rest of a chain, and at its end collects.
struct Next<'a> {
    rest: &'a mut [Box<dyn Operator>],
    end: &'a mut Collected,
}

impl Next<'_> {
    fn call(
        &mut self,
        f: impl FnOnce(&mut dyn Operator, &mut dyn Output) -> Result<()>,
    ) -> Option<Result<()>> {
        let (operator, rest) = self.rest.split_first_mut()?;
        Some(f(operator.as_mut(), &mut Next { rest, end: self.end }))
    }
}

impl Output for Next<'_> {
    fn emit(&mut self, batch: Batch) -> Result<()> {
        match self.rest.split_first_mut() {
            Some((operator, rest)) => operator.process(0, batch, &mut Next { rest, end: self.end }),
            None => self.end.emit(batch),
        }
    }
    fn emit_side(&mut self, tag: &str, batch: Batch) -> Result<()> {
        self.end.emit_side(tag, batch)
    }
    fn emit_watermark(&mut self, watermark: Watermark) -> Result<()> {
        match self.call(|operator, out| operator.on_watermark(watermark, out)) {
            Some(result) => result,
            None => self.end.emit_watermark(watermark),
        }
    }
    fn emit_split(&mut self, split: SplitIndex, status: SplitStatus) -> Result<()> {
        match self.call(|operator, out| operator.on_split(split, status, out)) {
            Some(result) => result,
            None => self.end.emit_split(split, status),
        }
    }
    fn emit_idle(&mut self) -> Result<()> {
        self.call(|operator, out| operator.on_idle(out)).unwrap_or(Ok(()))
    }
}

impl Chain {
    /// What goes in at the head of the chain.
    fn head<'a>(&'a mut self, end: &'a mut Collected) -> Next<'a> {
        Next { rest: &mut self.operators, end }
    }

    fn each(
        &mut self,
        end: &mut Collected,
        mut f: impl FnMut(&mut dyn Operator, &mut dyn Output) -> Result<()>,
    ) {
        for at in 0..self.operators.len() {
            let (operator, rest) = self.operators[at..].split_first_mut().expect("within range");
            f(operator.as_mut(), &mut Next { rest, end }).unwrap();
        }
    }
}

/// Senders, receivers, and the channels between them.
pub(crate) struct Pipeline {
    senders: Vec<Sender>,
    receivers: Vec<Receiver>,
    clock: Arc<ManualClock>,
    pub metrics: Arc<OperatorMetrics>,
    rng: SmallRng,
    checkpoint: u64,
    chains: Vec<Vec<OperatorState>>,
}

struct Sender {
    chain: Chain,
    out: Collected,
    partitioner: Box<dyn Partitioner>,
}

struct Receiver {
    chain: Chain,
    pub out: Collected,
    channels: Vec<VecDeque<Item>>,
    blocked: Vec<bool>,
    idle: Vec<bool>,
    merger: WatermarkMerger,
    frontier: WatermarkFrontier,
    ended: usize,
}

impl Pipeline {
    /// Two stages: the job's first vertex without its source, and its second one.
    pub fn new(
        job: &Job,
        senders: u32,
        receivers: u32,
        seed: u64,
        saved: Option<&[Vec<OperatorState>]>,
    ) -> Self {
        let clock: Arc<ManualClock> = Arc::default();
        let metrics: Arc<OperatorMetrics> = Arc::default();
        let surroundings = |index: u32, parallelism: u32| OperatorContext {
            parallelism,
            subtask: SubtaskId { index, ..context(clock.clone(), metrics.clone()).subtask },
            ..context(clock.clone(), metrics.clone())
        };
        let chain =
            |vertex: usize, index: u32, parallelism: u32, saved: Option<&[Vec<OperatorState>]>| {
                let nodes = &job.graph.vertices[vertex].operators;
                let nodes = nodes.iter().filter(|node| node.kind != OperatorKind::Source);
                let mut operators: Vec<_> =
                    nodes.map(|node| job.factory.operator(node.id).unwrap()).collect();
                if let Some(saved) = saved {
                    assert_eq!(operators.len(), 1, "only single operators are restored here");
                    let groups = key_groups_of_subtask(index, job.graph.key_groups, parallelism);
                    let state = RestoredState {
                        checkpoint: 1,
                        keyed: saved
                            .iter()
                            .map(|chain| {
                                chain
                                    .iter()
                                    .flat_map(|s| &s.keyed)
                                    .map(|k| k.restricted_to(&groups))
                                    .collect()
                            })
                            .collect(),
                        list: saved
                            .iter()
                            .flat_map(|chain| chain.last())
                            .flat_map(|s| s.list.clone())
                            .collect(),
                        ..RestoredState::default()
                    };
                    operators[0].restore(state).unwrap();
                }
                for operator in &mut operators {
                    operator.open(&surroundings(index, parallelism)).unwrap();
                }
                Chain { operators }
            };
        Self {
            senders: (0..senders)
                .map(|index| Sender {
                    chain: chain(0, index, senders, None),
                    out: Collected::default(),
                    partitioner: job.factory.partitioner(0).unwrap(),
                })
                .collect(),
            receivers: (0..receivers)
                .map(|index| Receiver {
                    chain: chain(1, index, receivers, saved),
                    out: Collected::default(),
                    channels: (0..senders).map(|_| VecDeque::new()).collect(),
                    blocked: vec![false; senders as usize],
                    idle: vec![false; senders as usize],
                    merger: WatermarkMerger::new(senders as usize),
                    frontier: WatermarkFrontier::default(),
                    ended: 0,
                })
                .collect(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            rng: SmallRng::seed_from_u64(seed),
            checkpoint: 0,
            chains: vec![Vec::new(); receivers as usize],
        }
    }

    /// A sender's source hands it a batch.
    pub fn send(&mut self, sender: usize, batch: Batch) {
        self.on_sender(sender, |chain, out| chain.head(out).emit(batch).unwrap());
    }

    /// A sender's source tells of a split.
    pub fn split(&mut self, sender: usize, split: SplitIndex, status: SplitStatus) {
        self.on_sender(sender, |chain, out| chain.head(out).emit_split(split, status).unwrap());
    }

    /// A sender's source, or what comes before it, moves event time.
    pub fn watermark(&mut self, sender: usize, watermark: Watermark) {
        self.on_sender(sender, |chain, out| chain.head(out).emit_watermark(watermark).unwrap());
    }

    /// A sender falls silent.
    pub fn idle(&mut self, sender: usize) {
        self.on_sender(sender, |chain, out| chain.head(out).emit_idle().unwrap());
        for receiver in &mut self.receivers {
            receiver.channels[sender].push_back(Item::Idle);
        }
    }

    fn on_sender(&mut self, sender: usize, f: impl FnOnce(&mut Chain, &mut Collected)) {
        let Sender { chain, out, partitioner } = &mut self.senders[sender];
        f(chain, out);
        let receivers = &mut self.receivers;
        for batch in std::mem::take(&mut out.batches) {
            let targets = receivers.len() as u32;
            partitioner
                .split(batch, targets, &mut |target, part| {
                    receivers[target as usize].channels[sender].push_back(Item::Batch(part));
                    Ok(())
                })
                .unwrap();
        }
        // A chain puts out at most one watermark, behind its batches.
        for watermark in std::mem::take(&mut out.watermarks) {
            for receiver in receivers.iter_mut() {
                receiver.channels[sender].push_back(Item::Watermark(watermark));
            }
        }
    }

    /// Delivers up to `items` things in random order.
    pub fn deliver(&mut self, items: usize) {
        for _ in 0..items {
            let ready: Vec<(usize, usize)> = self
                .receivers
                .iter()
                .enumerate()
                .flat_map(|(r, receiver)| {
                    let channels = receiver.channels.iter().enumerate();
                    channels
                        .filter(|(c, channel)| !receiver.blocked[*c] && !channel.is_empty())
                        .map(move |(c, _)| (r, c))
                })
                .collect();
            if ready.is_empty() {
                return;
            }
            let (r, c) = ready[self.rng.random_range(0..ready.len())];
            if let Some(state) = self.receivers[r].take(c) {
                self.chains[r].push(state);
            }
        }
    }

    /// Delivers everything.
    pub fn drain(&mut self) {
        self.deliver(usize::MAX);
    }

    /// Injects a barrier at all senders, and waits for all snapshots.
    pub fn snapshot(&mut self, kind: SnapshotKind) {
        self.checkpoint += 1;
        let barrier = Barrier { checkpoint: self.checkpoint, kind };
        if kind == SnapshotKind::Full {
            // The chains begin anew with the snapshots that follow.
            self.chains.iter_mut().for_each(Vec::clear);
        }
        for sender in 0..self.senders.len() {
            self.on_sender(sender, |chain, out| {
                chain.each(out, |operator, out| operator.before_barrier(barrier, out));
                for operator in &mut chain.operators {
                    operator.snapshot(barrier).unwrap().finish().unwrap();
                }
            });
            for receiver in &mut self.receivers {
                receiver.channels[sender].push_back(Item::Barrier(barrier));
            }
        }
        self.drain();
    }

    /// The state as of the last snapshot: a chain for each subtask.
    pub fn saved(&self) -> Vec<Vec<OperatorState>> {
        self.chains.clone()
    }

    /// Ends the input of all senders and delivers what is left.
    pub fn end(&mut self) {
        let max = WatermarkFrontier::default().advance_to(Timestamp::MAX).expect("an advance");
        for sender in 0..self.senders.len() {
            self.watermark(sender, max);
            self.on_sender(sender, |chain, out| {
                chain.each(out, |operator, out| operator.on_end_of_input(out));
            });
            for receiver in &mut self.receivers {
                receiver.channels[sender].push_back(Item::End);
            }
        }
        self.drain();
    }

    /// Moves processing time and fires timers at the receivers.
    pub fn time(&mut self, now: Timestamp) {
        self.clock.set(now);
        for receiver in &mut self.receivers {
            let Receiver { chain, out, .. } = receiver;
            chain.each(out, |operator, out| {
                while operator.next_timer().is_some_and(|due| due <= now) {
                    operator.on_time(now, out)?;
                }
                Ok(())
            });
        }
    }

    /// What the receivers put out since this was asked last.
    pub fn take_output(&mut self) -> Vec<Collected> {
        self.receivers.iter_mut().map(|receiver| std::mem::take(&mut receiver.out)).collect()
    }
}

impl Receiver {
    fn take(&mut self, channel: usize) -> Option<OperatorState> {
        let item = self.channels[channel].pop_front().expect("the channel is ready");
        let mut snapshot = None;
        let mut watermark = None;
        match item {
            Item::Batch(batch) => {
                if self.idle[channel] {
                    self.idle[channel] = false;
                    watermark = self.merger.set_idle(channel, false);
                }
                self.chain.head(&mut self.out).emit(batch).unwrap();
            }
            Item::Watermark(at) => {
                self.idle[channel] = false;
                watermark = self.merger.advance(channel, at);
            }
            Item::Idle => {
                self.idle[channel] = true;
                watermark = self.merger.set_idle(channel, true);
            }
            Item::End => {
                self.ended += 1;
                if self.ended == self.channels.len() {
                    self.chain.each(&mut self.out, |operator, out| operator.on_end_of_input(out));
                }
            }
            Item::Barrier(barrier) => {
                self.blocked[channel] = true;
                if self.blocked.iter().all(|blocked| *blocked) {
                    self.blocked.fill(false);
                    self.chain
                        .each(&mut self.out, |operator, out| operator.before_barrier(barrier, out));
                    assert_eq!(self.chain.operators.len(), 1);
                    let operator = &mut self.chain.operators[0];
                    snapshot = Some(operator.snapshot(barrier).unwrap().finish().unwrap());
                }
            }
        }
        if let Some(watermark) = watermark.and_then(|w| self.frontier.advance_to(w.timestamp())) {
            self.chain.head(&mut self.out).emit_watermark(watermark).unwrap();
        }
        snapshot
    }
}
