//! The order of calls in a chain, and what leaves it where.

use std::sync::Mutex;
use std::time::Duration;

use riverrun_dataflow::{
    Error, ManualClock, OperatorState, Rows, SnapshotKind, WatermarkFrontier, testing,
};

use super::*;
use crate::mailbox::{Cancellation, ChannelSender, Delivery, Mailbox};
use crate::record_writer::Route;

type Journal = Arc<Mutex<Vec<String>>>;

/// Writes down every call, and passes everything on.
struct Scribe {
    name: &'static str,
    journal: Journal,
    timer: Option<Timestamp>,
    /// What `before_barrier` emits.
    held_back: Option<u64>,
    fails: bool,
}

impl Scribe {
    fn note(&self, what: impl std::fmt::Display) {
        self.journal.lock().unwrap().push(format!("{} {what}", self.name));
    }
}

fn rows(values: &[u64]) -> Batch {
    let mut rows = Rows::default();
    values.iter().for_each(|&value| rows.push(value, 0));
    Batch::rows(rows, Some(0))
}

impl Operator for Scribe {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        self.note(format!("restore {}", state.checkpoint));
        Ok(())
    }
    fn open(&mut self, _: &OperatorContext) -> Result<()> {
        self.note("open");
        if self.fails { Err(Error::io(self.name, "cannot be opened")) } else { Ok(()) }
    }
    fn process(&mut self, input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        self.note(format!("process {input}:{}", batch.len()));
        out.emit_side("odd", rows(&[1]))?;
        out.emit(batch)
    }
    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        self.note(format!("watermark {}", watermark.timestamp()));
        out.emit_watermark(watermark)
    }
    fn next_timer(&self) -> Option<Timestamp> {
        self.timer
    }
    fn on_time(&mut self, now: Timestamp, _: &mut dyn Output) -> Result<()> {
        self.note(format!("time {now}"));
        self.timer = None;
        Ok(())
    }
    fn on_end_of_input(&mut self, out: &mut dyn Output) -> Result<()> {
        self.note("end");
        out.emit(rows(&[9, 9]))
    }
    fn before_barrier(&mut self, _: Barrier, out: &mut dyn Output) -> Result<()> {
        self.note("before barrier");
        match self.held_back.take() {
            Some(value) => out.emit(rows(&[value])),
            None => Ok(()),
        }
    }
    fn snapshot(&mut self, _: Barrier) -> Result<Snapshot> {
        self.note("snapshot");
        Ok(Snapshot::Ready(OperatorState::default()))
    }
    fn close(&mut self) -> Result<()> {
        self.note("close");
        Ok(())
    }
}

struct Fixture {
    chain: Chain,
    journal: Journal,
    mailbox: Arc<Mailbox>,
}

/// Operators `a -> b`; edge 0 takes b's main output, edge 1 a's, edge 2 the side output `odd` of a.
fn fixture(change: impl Fn(&mut Scribe)) -> Fixture {
    let journal = Journal::default();
    let mailbox = Mailbox::new(3, 100, Cancellation::default());
    let nodes = ["a", "b"].into_iter().zip([1, 2]).map(|(name, id)| {
        let mut scribe =
            Scribe { name, journal: journal.clone(), timer: None, held_back: None, fails: false };
        change(&mut scribe);
        let metrics = Arc::new(OperatorMetrics::default());
        let mut context = testing::context(Arc::new(ManualClock::default()), metrics.clone());
        context.operator = name.to_owned();
        let outlet = match name {
            "a" => Outlet { metrics, main: vec![1], side: vec![("odd".into(), 2)] },
            _ => Outlet { metrics, main: vec![0], side: vec![] },
        };
        Node { id: OperatorId(id), operator: Box::new(scribe), context, outlet }
    });
    let writers = (0..3)
        .map(|channel| {
            RecordWriter::new(Route::Forward, vec![ChannelSender::new(mailbox.clone(), channel)])
        })
        .collect();
    Fixture { chain: Chain::new(None, nodes.collect(), writers), journal, mailbox }
}

impl Fixture {
    fn journal(&self) -> Vec<String> {
        std::mem::take(&mut self.journal.lock().unwrap())
    }

    fn sent(&self) -> Vec<Vec<String>> {
        let mut sent = vec![Vec::new(); 3];
        while let Delivery::Element(channel, element) = self.mailbox.take(Some(Duration::ZERO)) {
            sent[channel].push(match element {
                Element::Batch(batch) => format!("{} rows", batch.len()),
                Element::Watermark(watermark) => format!("watermark {}", watermark.timestamp()),
                other => format!("{other:?}").to_lowercase(),
            });
        }
        sent
    }
}

#[test]
fn rows_go_down_the_chain_and_out_of_every_outlet() {
    let mut f = fixture(|_| {});
    f.chain.batch(1, rows(&[1, 2, 3])).unwrap();
    assert_eq!(f.journal(), ["a process 1:3", "b process 0:3"]);
    assert_eq!(f.sent(), [vec!["3 rows"], vec!["3 rows"], vec!["1 rows"]]);
    f.chain.watermark(WatermarkFrontier::resumed_at(8).current()).unwrap();
    assert_eq!(f.journal(), ["a watermark 8", "b watermark 8"]);
    assert_eq!(f.sent(), [["watermark 8"]; 3], "event time is for all outputs");
    let metrics: Vec<_> = f.chain.metrics().map(|(_, metrics)| metrics).collect();
    let read = |counter: &std::sync::atomic::AtomicU64| OperatorMetrics::read(counter);
    assert_eq!((read(&metrics[0].records_in), read(&metrics[0].records_out)), (3, 4));
    assert_eq!(metrics[1].watermark.load(Ordering::Relaxed), 8);
    f.chain.batch(0, rows(&[])).unwrap();
    assert!(f.journal().is_empty(), "a batch without rows is no work");
}

#[test]
fn what_is_emitted_before_the_barrier_is_in_the_next_operators_snapshot() {
    let mut f = fixture(|scribe| scribe.held_back = Some(7));
    let barrier = Barrier { checkpoint: 1, kind: SnapshotKind::Full };
    assert_eq!(f.chain.snapshot(barrier).unwrap().len(), 2);
    let expected =
        ["a before barrier", "b process 0:1", "a snapshot", "b before barrier", "b snapshot"];
    assert_eq!(f.journal(), expected);
    f.chain.barrier(barrier).unwrap();
    let sent = f.sent();
    assert!(sent.iter().all(|edge| edge.last().unwrap().starts_with("barrier")), "{sent:?}");
    assert_eq!(
        sent[0].len(),
        3,
        "b passed on what a held back, and what it held back itself: {sent:?}"
    );
}

#[test]
fn the_end_goes_down_operator_by_operator() {
    let mut f = fixture(|_| {});
    f.chain.end_of_input().unwrap();
    assert_eq!(f.journal(), ["a end", "b process 0:2", "b end"]);
    assert_eq!(f.sent()[0], ["2 rows", "2 rows", "endofinput"]);
}

#[test]
fn only_due_timers_fire() {
    let mut f = fixture(|scribe| scribe.timer = Some(if scribe.name == "a" { 5 } else { 9 }));
    assert_eq!(f.chain.next_timer(), Some(5));
    f.chain.fire_timers(6).unwrap();
    assert_eq!(f.journal(), ["a time 6"]);
    assert_eq!(f.chain.next_timer(), Some(9));
}

#[test]
fn restored_and_opened_in_order_and_only_what_was_opened_is_closed() {
    let mut f = fixture(|_| {});
    let state = RestoredState { checkpoint: 3, ..Default::default() };
    f.chain.open(|id| (id == OperatorId(2)).then(|| state.clone())).unwrap();
    f.chain.close().unwrap();
    f.chain.close().unwrap();
    assert_eq!(f.journal(), ["a open", "b restore 3", "b open", "a close", "b close"]);

    let mut f = fixture(|scribe| scribe.fails = true);
    f.chain.open(|_| None).unwrap_err();
    assert_eq!(f.chain.current_operator(), Some("a"));
    f.chain.close().unwrap();
    assert_eq!(f.journal(), ["a open", "a close"]);
}
