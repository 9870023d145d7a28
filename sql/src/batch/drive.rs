//! A source driven to its end, outside of a job.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use riverrun_dataflow::{
    Batch, Clock, Job, Operator, OperatorContext, OperatorMetrics, Output, Result, SourceEvent,
    SplitIndex, SplitStatus, SubtaskId, Watermark,
};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a job that is one chain from a source, in this thread, and gives every batch that leaves it to `take`.
///
/// # Errors
/// What the source, an operator or `take` returns.
pub(crate) fn drive(
    job: &Job,
    clock: &Arc<dyn Clock>,
    take: &mut dyn FnMut(Batch) -> Result<()>,
) -> Result<()> {
    let Some(vertex) = job.graph.vertices.first() else { return Ok(()) };
    let context = |name: &str| OperatorContext {
        operator: name.to_owned(),
        job: job.graph.name.clone(),
        generation: 1,
        subtask: SubtaskId { vertex: vertex.id, index: 0 },
        parallelism: 1,
        key_groups: job.graph.key_groups,
        clock: clock.clone(),
        metrics: Arc::new(OperatorMetrics::default()),
    };
    let mut nodes = vertex.operators.iter();
    let Some(first) = nodes.next() else { return Ok(()) };
    let mut chain = Vec::new();
    for node in nodes {
        let mut operator = job.factory.operator(node.id)?;
        operator.open(&context(&node.name))?;
        chain.push(operator);
    }
    let mut source = job.factory.source(first.id)?;
    source.open(&context(&first.name), None)?;
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut polling = Context::from_waker(&waker);
    loop {
        let mut out = Link { rest: &mut chain, take };
        match source.poll(&mut polling) {
            Poll::Pending => std::thread::park(),
            Poll::Ready(event) => match event? {
                SourceEvent::Batch(batch) => out.emit(batch)?,
                SourceEvent::Split(split, status) => out.emit_split(split, status)?,
                SourceEvent::End => break,
            },
        }
    }
    for at in 0..chain.len() {
        let (done, rest) = chain.split_at_mut(at + 1);
        done[at].on_end_of_input(&mut Link { rest, take })?;
    }
    source.close()?;
    chain.iter_mut().try_for_each(|operator| operator.close())
}

/// The way from an operator to the end of the chain.
struct Link<'a> {
    rest: &'a mut [Box<dyn Operator>],
    take: &'a mut dyn FnMut(Batch) -> Result<()>,
}

impl Output for Link<'_> {
    fn emit(&mut self, batch: Batch) -> Result<()> {
        match self.rest.split_first_mut() {
            None => (self.take)(batch),
            Some((next, rest)) => next.process(0, batch, &mut Link { rest, take: self.take }),
        }
    }

    fn emit_side(&mut self, _tag: &str, _batch: Batch) -> Result<()> {
        Ok(())
    }

    fn emit_watermark(&mut self, watermark: Watermark) -> Result<()> {
        match self.rest.split_first_mut() {
            None => Ok(()),
            Some((next, rest)) => next.on_watermark(watermark, &mut Link { rest, take: self.take }),
        }
    }

    fn emit_split(&mut self, split: SplitIndex, status: SplitStatus) -> Result<()> {
        match self.rest.split_first_mut() {
            None => Ok(()),
            Some((next, rest)) => next.on_split(split, status, &mut Link { rest, take: self.take }),
        }
    }

    fn emit_idle(&mut self) -> Result<()> {
        Ok(())
    }
}
