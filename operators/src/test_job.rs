//! For tests of this crate: operators as the DSL makes them.

use riverrun_dataflow::{
    Batch, DataStream, Environment, Error, Job, Operator, OperatorContext, OperatorKind,
    OperatorSpec, Output, Record, Resources, RestoredState, Result, Snapshot, SplitIndex,
    SplitStatus, Timestamp, Watermark,
};

/// A stream whose source is never run.
pub(crate) fn stream_of<T: Record>() -> DataStream<T> {
    Environment::new("test")
        .add_source(OperatorSpec::new("test source", OperatorKind::Source), |_| {
            Err(Error::io("test source", "is not meant to run"))
        })
}

/// The job that a stream is part of.
pub(crate) fn job_of<T>(stream: &DataStream<T>) -> Job {
    stream.environment().build(Resources::default()).expect("the test's job is valid")
}

/// All operators but the source, in the order of the data.
pub(crate) fn operators<T>(stream: &DataStream<T>) -> Vec<Boxed> {
    let job = job_of(stream);
    let nodes = job.graph.vertices.iter().flat_map(|vertex| &vertex.operators);
    nodes
        .filter(|node| node.kind != OperatorKind::Source)
        .map(|node| Boxed(job.factory.operator(node.id).expect("the node is an operator")))
        .collect()
}

/// The only operator behind the source.
pub(crate) fn only_operator<T>(stream: &DataStream<T>) -> Boxed {
    let mut operators = operators(stream);
    assert_eq!(operators.len(), 1);
    operators.remove(0)
}

/// A boxed operator that can be put into a harness.
pub(crate) struct Boxed(pub Box<dyn Operator>);

impl Operator for Boxed {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        self.0.restore(state)
    }
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.0.open(context)
    }
    fn process(&mut self, input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        self.0.process(input, batch, out)
    }
    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        self.0.on_watermark(watermark, out)
    }
    fn on_split(
        &mut self,
        split: SplitIndex,
        status: SplitStatus,
        out: &mut dyn Output,
    ) -> Result<()> {
        self.0.on_split(split, status, out)
    }
    fn on_idle(&mut self, out: &mut dyn Output) -> Result<()> {
        self.0.on_idle(out)
    }
    fn next_timer(&self) -> Option<Timestamp> {
        self.0.next_timer()
    }
    fn on_time(&mut self, now: Timestamp, out: &mut dyn Output) -> Result<()> {
        self.0.on_time(now, out)
    }
    fn on_end_of_input(&mut self, out: &mut dyn Output) -> Result<()> {
        self.0.on_end_of_input(out)
    }
    fn before_barrier(
        &mut self,
        barrier: riverrun_dataflow::Barrier,
        out: &mut dyn Output,
    ) -> Result<()> {
        self.0.before_barrier(barrier, out)
    }
    fn snapshot(&mut self, barrier: riverrun_dataflow::Barrier) -> Result<Snapshot> {
        self.0.snapshot(barrier)
    }
    fn close(&mut self) -> Result<()> {
        self.0.close()
    }
}
