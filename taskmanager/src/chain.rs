//! An operator chain: what one operator puts out is pushed into the next, what the last one puts out
//! goes over the edges.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use riverrun_dataflow::{
    Barrier, Batch, CheckpointId, Element, Operator, OperatorContext, OperatorId, OperatorMetrics,
    Output, RestoredState, Result, Snapshot, SplitIndex, SplitStatus, Timestamp, Watermark,
};

use crate::record_writer::RecordWriter;

/// An operator in its chain.
pub(crate) struct Node {
    pub(crate) id: OperatorId,
    pub(crate) operator: Box<dyn Operator>,
    pub(crate) context: OperatorContext,
    pub(crate) outlet: Outlet,
}

/// Where the output of one operator (or of the source) goes besides the next operator: edges, by their
/// position among the chain's writers.
pub(crate) struct Outlet {
    pub(crate) metrics: Arc<OperatorMetrics>,
    /// Edges of the main output.
    pub(crate) main: Vec<usize>,
    /// Edges of side outputs, with their tags.
    pub(crate) side: Vec<(String, usize)>,
}

/// The operators of a subtask, behind its source if it has one, and the edges that leave them.
pub(crate) struct Chain {
    /// Outlet of the source; `None` if a gate feeds the first operator.
    source: Option<Outlet>,
    nodes: Vec<Node>,
    exit: Exit,
    /// How many operators were opened, or tried to.
    opened: usize,
}

/// The end of the chain.
struct Exit {
    writers: Vec<RecordWriter>,
    /// The operator at work, to be named when it fails.
    current: Option<usize>,
}

/// One operator's part of a snapshot, not yet finished.
pub(crate) struct NodeSnapshot {
    pub(crate) id: OperatorId,
    pub(crate) name: String,
    pub(crate) snapshot: Snapshot,
}

impl Chain {
    pub(crate) fn new(
        source: Option<Outlet>,
        nodes: Vec<Node>,
        writers: Vec<RecordWriter>,
    ) -> Self {
        Self { source, nodes, exit: Exit { writers, current: None }, opened: 0 }
    }

    /// Restores what `restored` has for each operator and opens it, in the chain's order.
    pub(crate) fn open(
        &mut self,
        mut restored: impl FnMut(OperatorId) -> Option<RestoredState>,
    ) -> Result<()> {
        for (index, node) in self.nodes.iter_mut().enumerate() {
            self.exit.current = Some(index);
            self.opened = index + 1;
            if let Some(state) = restored(node.id) {
                node.operator.restore(state)?;
            }
            node.operator.open(&node.context)?;
        }
        self.exit.current = None;
        Ok(())
    }

    /// Closes what was opened, all of it whatever one of them says; the first error comes back.
    pub(crate) fn close(&mut self) -> Result<()> {
        let opened = std::mem::take(&mut self.opened);
        let mut outcome = Ok(());
        for (index, node) in self.nodes[..opened].iter_mut().enumerate() {
            self.exit.current = Some(index);
            outcome = outcome.and(node.operator.close());
        }
        outcome
    }

    /// Name of the operator that is at work, or was when it failed.
    pub(crate) fn current_operator(&self) -> Option<&str> {
        let node = self.nodes.get(self.exit.current?)?;
        Some(&node.context.operator)
    }

    /// Counters by operator, without the source's.
    pub(crate) fn metrics(&self) -> impl Iterator<Item = (OperatorId, Arc<OperatorMetrics>)> + '_ {
        self.nodes.iter().map(|node| (node.id, node.outlet.metrics.clone()))
    }

    fn entrance(&mut self) -> Link<'_> {
        Link { outlet: self.source.as_ref(), rest: &mut self.nodes, depth: 0, exit: &mut self.exit }
    }

    /// Rows from the source, or for input `input` of the first operator.
    pub(crate) fn batch(&mut self, input: usize, batch: Batch) -> Result<()> {
        self.resume()?;
        self.entrance().push(input, batch)
    }

    /// Event time of all inputs.
    pub(crate) fn watermark(&mut self, watermark: Watermark) -> Result<()> {
        self.entrance().emit_watermark(watermark)
    }

    /// News of a split of the source.
    pub(crate) fn split(&mut self, split: SplitIndex, status: SplitStatus) -> Result<()> {
        if status == SplitStatus::Active {
            self.resume()?;
        }
        self.entrance().emit_split(split, status)
    }

    /// All inputs are idle.
    pub(crate) fn idle(&mut self) -> Result<()> {
        self.entrance().emit_idle()
    }

    /// An input speaks again: so do the edges that were idle.
    pub(crate) fn resume(&mut self) -> Result<()> {
        self.exit.writers.iter_mut().try_for_each(RecordWriter::resume)
    }

    /// All inputs have ended.
    pub(crate) fn end_of_input(&mut self) -> Result<()> {
        self.each(|operator, link| operator.on_end_of_input(link))?;
        self.send_to_all(|| Element::EndOfInput)
    }

    /// Lets each operator emit what belongs to the checkpoint, then takes its snapshot, before the next
    /// one's turn: so what operator i emits now is in the snapshot of operator i + 1.
    pub(crate) fn snapshot(&mut self, barrier: Barrier) -> Result<Vec<NodeSnapshot>> {
        let mut snapshots = Vec::with_capacity(self.nodes.len());
        for index in 0..self.nodes.len() {
            let (node, mut link) = self.at(index);
            node.operator.before_barrier(barrier, &mut link)?;
            snapshots.push(NodeSnapshot {
                id: node.id,
                name: node.context.operator.clone(),
                snapshot: node.operator.snapshot(barrier)?,
            });
        }
        self.exit.current = None;
        Ok(snapshots)
    }

    /// Sends the barrier on, after [`Chain::snapshot`].
    pub(crate) fn barrier(&mut self, barrier: Barrier) -> Result<()> {
        self.send_to_all(|| Element::Barrier(barrier))
    }

    /// A checkpoint is committed.
    pub(crate) fn checkpoint_complete(&mut self, checkpoint: CheckpointId) -> Result<()> {
        self.each(|operator, _| operator.on_checkpoint_complete(checkpoint))
    }

    /// The earliest processing time that an operator waits for.
    pub(crate) fn next_timer(&self) -> Option<Timestamp> {
        self.nodes.iter().filter_map(|node| node.operator.next_timer()).min()
    }

    /// Calls each operator whose time has come, once.
    pub(crate) fn fire_timers(&mut self, now: Timestamp) -> Result<()> {
        self.each(|operator, link| match operator.next_timer() {
            Some(due) if due <= now => operator.on_time(now, link),
            _ => Ok(()),
        })
    }

    fn send_to_all(&self, element: impl Fn() -> Element) -> Result<()> {
        self.exit.writers.iter().try_for_each(|writer| writer.all(&element))
    }

    /// One operator, and where its output goes.
    fn at(&mut self, index: usize) -> (AtWork<'_>, Link<'_>) {
        let (before, rest) = self.nodes.split_at_mut(index + 1);
        let Node { id, operator, context, outlet } = &mut before[index];
        self.exit.current = Some(index);
        let link = Link { outlet: Some(outlet), rest, depth: index + 1, exit: &mut self.exit };
        (AtWork { id: *id, operator: operator.as_mut(), context }, link)
    }

    fn each(
        &mut self,
        mut call: impl FnMut(&mut dyn Operator, &mut dyn Output) -> Result<()>,
    ) -> Result<()> {
        for index in 0..self.nodes.len() {
            let (node, mut link) = self.at(index);
            call(node.operator, &mut link)?;
        }
        self.exit.current = None;
        Ok(())
    }
}

struct AtWork<'a> {
    id: OperatorId,
    operator: &'a mut dyn Operator,
    context: &'a OperatorContext,
}

/// The output of one operator of the chain: its edges, then the next operator.
struct Link<'a> {
    /// `None` in front of the first operator of a chain without a source.
    outlet: Option<&'a Outlet>,
    /// The operators that follow.
    rest: &'a mut [Node],
    /// Position in the chain of the first of them.
    depth: usize,
    exit: &'a mut Exit,
}

impl Link<'_> {
    fn push(&mut self, input: usize, batch: Batch) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        if let Some(outlet) = self.outlet {
            OperatorMetrics::add(&outlet.metrics.records_out, batch.len() as u64);
            if self.rest.is_empty() {
                let Some((last, others)) = outlet.main.split_last() else { return Ok(()) };
                for &edge in others {
                    self.exit.writers[edge].batch(batch.duplicate())?;
                }
                return self.exit.writers[*last].batch(batch);
            }
            for &edge in &outlet.main {
                self.exit.writers[edge].batch(batch.duplicate())?;
            }
        }
        self.next(|operator, metrics, out| {
            OperatorMetrics::add(&metrics.records_in, batch.len() as u64);
            operator.process(input, batch, out)
        })
    }

    /// Calls the operator that follows, if there is one.
    fn next(
        &mut self,
        call: impl FnOnce(&mut dyn Operator, &OperatorMetrics, &mut Link<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some((node, rest)) = self.rest.split_first_mut() else { return Ok(()) };
        let caller = self.exit.current.replace(self.depth);
        let mut link =
            Link { outlet: Some(&node.outlet), rest, depth: self.depth + 1, exit: &mut *self.exit };
        call(node.operator.as_mut(), &node.outlet.metrics, &mut link)?;
        self.exit.current = caller;
        Ok(())
    }

    /// Calls every edge that leaves here, of the main output and of side outputs.
    fn edges(&mut self, mut call: impl FnMut(&mut RecordWriter) -> Result<()>) -> Result<()> {
        if let Some(outlet) = self.outlet {
            for &edge in outlet.main.iter().chain(outlet.side.iter().map(|(_, edge)| edge)) {
                call(&mut self.exit.writers[edge])?;
            }
        }
        Ok(())
    }
}

impl Output for Link<'_> {
    fn emit(&mut self, batch: Batch) -> Result<()> {
        self.push(0, batch)
    }

    fn emit_side(&mut self, tag: &str, batch: Batch) -> Result<()> {
        let Some(outlet) = self.outlet else { return Ok(()) };
        if batch.is_empty() {
            return Ok(());
        }
        OperatorMetrics::add(&outlet.metrics.records_out, batch.len() as u64);
        let mut edges =
            outlet.side.iter().filter(|(side, _)| side == tag).map(|&(_, edge)| edge).peekable();
        while let Some(edge) = edges.next() {
            if edges.peek().is_none() {
                return self.exit.writers[edge].batch(batch);
            }
            self.exit.writers[edge].batch(batch.duplicate())?;
        }
        Ok(())
    }

    fn emit_watermark(&mut self, watermark: Watermark) -> Result<()> {
        if let Some(outlet) = self.outlet {
            outlet.metrics.watermark.store(watermark.timestamp(), Ordering::Relaxed);
        }
        self.edges(|writer| writer.watermark(watermark))?;
        self.next(|operator, metrics, out| {
            metrics.watermark.store(watermark.timestamp(), Ordering::Relaxed);
            operator.on_watermark(watermark, out)
        })
    }

    fn emit_split(&mut self, split: SplitIndex, status: SplitStatus) -> Result<()> {
        self.next(|operator, _, out| operator.on_split(split, status, out))
    }

    fn emit_idle(&mut self) -> Result<()> {
        self.edges(RecordWriter::idle)?;
        self.next(|operator, _, out| operator.on_idle(out))
    }
}

#[cfg(test)]
#[path = "chain_tests.rs"]
mod tests;
