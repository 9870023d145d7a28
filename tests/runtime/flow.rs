//! What flows between subtasks: backpressure, event time, side outputs, processing time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use riverrun_dataflow::{
    Batch, Clock, EdgeKind, ManualClock, Operator, OperatorContext, OperatorKind,
    Output as Downstream, Result, Rows, Timestamp, Watermark, WatermarkFrontier,
};

use crate::kit::{Chaos, Cluster, Numbers, Output, Pipeline, Row, World, check_counts};

/// Takes its time with the first batch: until the source has read ahead as much as it surely can.
struct Slow {
    numbers: Arc<Numbers>,
    most_ahead: Arc<AtomicU64>,
    surely: u64,
    processed: u64,
}

impl Slow {
    fn look(&self) -> u64 {
        let ahead = self.numbers.polled.load(Ordering::SeqCst) - self.processed;
        self.most_ahead.fetch_max(ahead, Ordering::SeqCst);
        ahead
    }
}

impl Operator for Slow {
    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Downstream) -> Result<()> {
        while self.processed == 0 && self.look() < self.surely {
            std::thread::yield_now();
        }
        for _ in 0..20 {
            std::thread::yield_now();
            self.look();
        }
        self.processed += batch.len() as u64;
        out.emit(batch)
    }
}

#[test]
fn a_slow_sink_holds_back_the_source() {
    let chaos = Chaos::none();
    let (numbers, output) = (Numbers::bounded(1, 4_000, 10), Arc::new(Output::default()));
    let mut pipeline = Pipeline::counting(&numbers, &output, &chaos, 1);
    pipeline.settings.checkpoint_interval = None;
    pipeline.insert_before_sink(9, "slow");
    // Two edges with eight batches each, and one in the hands of each of the three subtasks.
    let fits = (2 * 8 + 3) * numbers.batch;
    // A sender that had to wait goes on when its channel is half empty.
    let surely = (2 * 5 + 3) * numbers.batch;
    let most_ahead = Arc::new(AtomicU64::new(0));
    let (n, m) = (numbers.clone(), most_ahead.clone());
    pipeline.operator(9, move || Slow {
        numbers: n.clone(),
        most_ahead: m.clone(),
        surely,
        processed: 0,
    });
    Cluster::new(World::new(&chaos)).start(pipeline.job()).unwrap().wait().unwrap();
    check_counts(&numbers, &output.committed());
    let most = most_ahead.load(Ordering::SeqCst);
    assert!(
        most >= surely && most <= fits,
        "the source was {most} rows ahead, {fits} fit in between"
    );
}

/// Takes the highest timestamp for the watermark.
#[derive(Default)]
struct Ascending {
    frontier: WatermarkFrontier,
}

impl Operator for Ascending {
    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Downstream) -> Result<()> {
        let rows = batch.as_rows::<Row>().expect("rows");
        let highest = rows.timestamps.iter().copied().max();
        out.emit(batch)?;
        match highest.and_then(|timestamp| self.frontier.advance_to(timestamp)) {
            Some(watermark) => out.emit_watermark(watermark),
            None => Ok(()),
        }
    }
}

/// What reached the end of the job.
#[derive(Default)]
struct Seen {
    watermark: Mutex<Timestamp>,
    more: Condvar,
}

struct Watch(Arc<Seen>);

impl Operator for Watch {
    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Downstream) -> Result<()> {
        out.emit(batch)
    }
    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Downstream) -> Result<()> {
        let mut seen = self.0.watermark.lock().unwrap();
        assert!(watermark.timestamp() > *seen, "event time goes back");
        *seen = watermark.timestamp();
        self.0.more.notify_all();
        drop(seen);
        out.emit_watermark(watermark)
    }
}

#[test]
fn a_source_subtask_without_splits_does_not_hold_back_event_time() {
    let chaos = Chaos::none();
    let (numbers, output) = (Numbers::unbounded(1, 10), Arc::new(Output::default()));
    let mut pipeline = Pipeline::counting(&numbers, &output, &chaos, 3);
    pipeline.operator(2, Ascending::default);
    pipeline.graph.vertices[2].parallelism = 1;
    pipeline.insert_before_sink(9, "watch");
    let seen = Arc::new(Seen::default());
    let s = seen.clone();
    pipeline.operator(9, move || Watch(s.clone()));
    let handle = Cluster::new(World::new(&chaos)).start(pipeline.job()).unwrap();
    numbers.release(1_000);
    let mut watermark = seen.watermark.lock().unwrap();
    while *watermark < 999 {
        watermark = seen.more.wait(watermark).unwrap();
    }
    assert_eq!(*watermark, 999);
    drop(watermark);
    numbers.end();
    let report = handle.wait().unwrap();
    assert_eq!(*seen.watermark.lock().unwrap(), Timestamp::MAX);
    assert_eq!(report.status.operators.last().unwrap().watermark, Some(Timestamp::MAX));
    check_counts(&numbers, &output.committed());
}

/// Sends every third row to the side.
struct Aside;

impl Operator for Aside {
    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Downstream) -> Result<()> {
        let rows = batch.into_rows::<Row>("aside")?;
        let (mut here, mut aside) = (Rows::default(), Rows::default());
        for (row, timestamp) in rows.values.into_iter().zip(rows.timestamps) {
            if row.count % 3 == 0 { aside.push(row, timestamp) } else { here.push(row, timestamp) }
        }
        out.emit_side("third", Batch::rows(aside, None))?;
        out.emit_side("nobody asks for it", Batch::rows(here.clone(), None))?;
        out.emit(Batch::rows(here, None))
    }
}

#[test]
fn side_outputs_and_several_edges_of_one_output_carry_all_rows() {
    let chaos = Chaos::none();
    let (numbers, output) = (Numbers::bounded(3, 2_000, 10), Arc::new(Output::default()));
    let (third, copy) = (Arc::new(Output::default()), Arc::new(Output::default()));
    let mut pipeline = Pipeline::counting(&numbers, &output, &chaos, 2);
    pipeline.graph.vertices[1].operators.push(crate::kit::node(
        9,
        "aside",
        OperatorKind::Transform,
    ));
    pipeline.operator(9, || Aside);
    pipeline.graph.edges[1].from_operator = riverrun_dataflow::OperatorId(9);
    pipeline
        .vertex(1, &[(5, "third", OperatorKind::Sink)])
        .vertex(2, &[(6, "copy", OperatorKind::Sink)])
        .side_edge(3, 9, Some("third"), 5, EdgeKind::Rebalance)
        .edge(3, 9, 6, EdgeKind::Broadcast);
    pipeline.sink(5, &third, &chaos);
    pipeline.sink(6, &copy, &chaos);
    Cluster::new(World::new(&chaos)).start(pipeline.job()).unwrap().wait().unwrap();
    let all: Vec<_> = output.committed().into_iter().chain(third.committed()).collect();
    check_counts(&numbers, &all);
    assert!(third.committed().iter().all(|row| row.count % 3 == 0));
    let mut twice = output.committed().repeat(2);
    let mut copied = copy.committed();
    twice.sort_unstable();
    copied.sort_unstable();
    assert!(copied == twice, "both subtasks of the broadcast get everything");
}

/// Holds rows until processing time has passed by their arrival.
#[derive(Default)]
struct Later {
    clock: Option<Arc<dyn Clock>>,
    held: Option<(Timestamp, Batch)>,
}

impl Operator for Later {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.clock = Some(context.clock.clone());
        Ok(())
    }
    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Downstream) -> Result<()> {
        if let Some((_, before)) = self.held.take() {
            out.emit(before)?;
        }
        self.held = Some((self.clock.as_ref().expect("opened").now() + 5, batch));
        Ok(())
    }
    fn next_timer(&self) -> Option<Timestamp> {
        self.held.as_ref().map(|(due, _)| *due)
    }
    fn on_time(&mut self, now: Timestamp, out: &mut dyn Downstream) -> Result<()> {
        let (due, batch) = self.held.take().expect("a timer was set");
        assert!(due <= now);
        out.emit(batch)
    }
}

#[test]
fn timers_fire_while_nothing_arrives() {
    let chaos = Chaos::none();
    let (numbers, output) = (Numbers::unbounded(1, 10), Arc::new(Output::default()));
    let mut pipeline = Pipeline::counting(&numbers, &output, &chaos, 1);
    pipeline.insert_before_sink(9, "later");
    pipeline.operator(9, Later::default);
    let cluster = Cluster::new(World::new(&chaos));
    let clock: Arc<ManualClock> = cluster.clock.clone();
    let handle = cluster.start(pipeline.job()).unwrap();
    let mut now = 0;
    for released in 1..=3 {
        numbers.release(10);
        // Nothing but the timer brings out the last batch; it is set while time stands still or moves.
        while output.committed().len() < released * 10 {
            now += 1;
            clock.set(now);
            std::thread::yield_now();
        }
    }
    handle.cancel();
    handle.wait().unwrap();
}
