//! Gates under many interleavings: scripted ones, drawn ones with a model beside, and real threads.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use proptest::prelude::*;
use riverrun_dataflow::{Error, Rows, SnapshotKind, WatermarkFrontier};

use super::*;
use crate::mailbox::{Cancellation, ChannelSender};

fn barrier(checkpoint: u64) -> Barrier {
    Barrier { checkpoint, kind: SnapshotKind::Full }
}

fn row(value: u64) -> Element {
    let mut rows = Rows::default();
    rows.push(value, 0);
    Element::Batch(Batch::rows(rows, None))
}

fn value(batch: Batch) -> u64 {
    batch.into_rows::<u64>("test").unwrap().values[0]
}

fn at(timestamp: i64) -> Watermark {
    WatermarkFrontier::resumed_at(timestamp).current()
}

struct Fixture {
    mailbox: Arc<Mailbox>,
    cancellation: Cancellation,
    gate: InputGate,
}

fn fixture(channels: usize, capacity: usize) -> Fixture {
    let cancellation = Cancellation::default();
    let mailbox = Mailbox::new(channels, capacity, cancellation.clone());
    let gate = InputGate::new(mailbox.clone(), (0..channels).collect());
    Fixture { mailbox, cancellation, gate }
}

impl Fixture {
    fn sender(&self, channel: usize) -> ChannelSender {
        ChannelSender::new(self.mailbox.clone(), channel)
    }

    /// What comes next, as text, without waiting.
    fn next(&mut self) -> String {
        match self.gate.next(Some(Duration::ZERO)).unwrap() {
            Input::Batch(input, batch) => format!("{input}:{}", value(batch)),
            Input::Watermark(Watermark::MAX) => "watermark max".into(),
            Input::Watermark(watermark) => format!("watermark {}", watermark.timestamp()),
            Input::Barrier(barrier) => format!("barrier {}", barrier.checkpoint),
            Input::Timeout => "-".into(),
            other => format!("{other:?}").to_lowercase(),
        }
    }

    fn all(&mut self) -> Vec<String> {
        std::iter::from_fn(|| Some(self.next()).filter(|text| text != "-")).collect()
    }
}

#[test]
fn nothing_behind_a_barrier_is_read_before_all_have_delivered_it() {
    let mut f = fixture(2, 8);
    for element in [row(1), Element::Barrier(barrier(1)), row(2), Element::Barrier(barrier(2))] {
        f.sender(0).send(element).unwrap();
    }
    assert_eq!(f.all(), ["0:1"]);
    f.sender(1).send(row(3)).unwrap();
    assert_eq!(f.all(), ["1:3"]);
    f.sender(1).send(Element::Barrier(barrier(1))).unwrap();
    assert_eq!(f.all(), ["barrier 1", "0:2"]);
    f.sender(1).send(Element::EndOfInput).unwrap();
    f.sender(1).send(Element::Barrier(barrier(2))).unwrap();
    assert_eq!(f.all(), ["barrier 2"], "the end of a channel does not end its barriers");
}

#[test]
fn channels_take_turns() {
    let mut f = fixture(3, 8);
    for channel in [0, 1, 2, 0, 1, 2] {
        f.sender(channel).send(row(7)).unwrap();
    }
    assert_eq!(f.all(), ["0:7", "1:7", "2:7", "0:7", "1:7", "2:7"]);
}

#[test]
fn control_overtakes_data() {
    let mut f = fixture(1, 8);
    f.sender(0).send(row(1)).unwrap();
    f.mailbox.order(Control::Complete(4));
    assert_eq!(f.all(), ["control(complete(4))", "0:1"]);
}

#[test]
fn a_resumed_channel_is_told_before_its_rows() {
    let mut f = fixture(2, 8);
    f.sender(0).send(Element::Idle).unwrap();
    f.sender(1).send(Element::Idle).unwrap();
    f.sender(1).send(row(5)).unwrap();
    assert_eq!(f.all(), ["idle", "resumed", "1:5"]);
}

#[test]
fn the_end_brings_the_end_of_time_first_also_from_channels_without_event_time() {
    let mut f = fixture(2, 8);
    f.sender(0).send(Element::Watermark(at(3))).unwrap();
    f.sender(0).send(Element::Watermark(Watermark::MAX)).unwrap();
    f.sender(0).send(Element::EndOfInput).unwrap();
    assert!(f.all().is_empty());
    f.sender(1).send(row(1)).unwrap();
    f.sender(1).send(Element::EndOfInput).unwrap();
    assert_eq!(f.all(), ["1:1", "watermark max", "ended"]);
}

#[test]
fn unread_watermarks_take_each_others_place_and_need_no_room() {
    let mut f = fixture(1, 2);
    f.sender(0).send(row(1)).unwrap();
    for timestamp in 0..100 {
        f.sender(0).send(Element::Watermark(at(timestamp))).unwrap();
    }
    assert_eq!(f.mailbox.queued(0), 2);
    assert_eq!(f.all(), ["0:1", "watermark 99"]);
}

#[test]
fn different_barriers_at_once_are_an_error() {
    let mut f = fixture(2, 8);
    f.sender(0).send(Element::Barrier(barrier(1))).unwrap();
    f.sender(1).send(Element::Barrier(barrier(2))).unwrap();
    assert!(matches!(f.gate.next(None), Err(Error::Io { .. })));
}

#[test]
fn cancelling_ends_every_wait() {
    let f = fixture(1, 1);
    let sender = f.sender(0);
    sender.send(row(1)).unwrap();
    let (mailbox, mut gate) = (f.mailbox.clone(), f.gate);
    let blocked = std::thread::spawn(move || sender.send(row(2)));
    let parked = Mailbox::new(0, 1, f.cancellation.clone());
    let source = {
        let parked = parked.clone();
        std::thread::spawn(move || parked.park(None))
    };
    f.cancellation.cancel();
    mailbox.interrupt();
    parked.interrupt();
    assert!(matches!(blocked.join().unwrap(), Err(Error::Cancelled)));
    source.join().unwrap();
    assert!(matches!(gate.next(None).unwrap(), Input::Cancelled));
}

#[test]
fn a_wake_between_look_and_wait_is_not_lost() {
    let mailbox = Mailbox::new(0, 1, Cancellation::default());
    let waker = Waker::from(mailbox.clone());
    for _ in 0..1_000 {
        mailbox.expect_wake();
        std::thread::scope(|scope| {
            scope.spawn(|| waker.wake_by_ref());
            // Would wait for ever if the wake were lost.
            mailbox.park(None);
        });
    }
    // An order that comes meanwhile is seen too.
    mailbox.expect_wake();
    mailbox.order(Control::Finish);
    mailbox.park(None);
    assert_eq!(mailbox.poll_control(), Some(Control::Finish));
    assert_eq!(mailbox.poll_control(), None);
}

/// One step of a drawn interleaving: the channel whose script goes on, or the gate.
#[derive(Debug, Clone, Copy)]
enum Step {
    Send(usize),
    Read,
}

fn steps(channels: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..channels).prop_map(Step::Send),
        3 => Just(Step::Read),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    /// Rows carry the epoch they were sent in; whatever the order of sends and reads, they are read in that
    /// epoch, in the order of their channel, and none is missing.
    #[test]
    fn rows_stay_in_their_epoch(
        scripts in proptest::collection::vec(proptest::collection::vec(0u8..4, 0..12), 1..5),
        order in steps(4),
    ) {
        let channels = scripts.len();
        let mut f = fixture(channels, 1_000);
        // Each channel sends the same barriers; how many rows before each differs.
        let epochs = 6u64;
        let queues: Vec<Vec<Element>> = scripts.iter().enumerate().map(|(channel, counts)| {
            let mut sequence = 0u64;
            let mut queue = Vec::new();
            for epoch in 1..=epochs {
                for _ in 0..counts.get(epoch as usize).copied().unwrap_or(1) {
                    queue.push(row(epoch << 32 | (channel as u64) << 24 | sequence));
                    sequence += 1;
                }
                queue.push(Element::Barrier(barrier(epoch)));
            }
            queue
        }).collect();
        let sent: usize = queues.iter().map(Vec::len).sum::<usize>() - channels * epochs as usize;
        let mut queues: Vec<_> = queues.into_iter().map(Vec::into_iter).collect();
        let (mut epoch, mut read, mut next) = (1u64, 0usize, vec![0u64; channels]);
        let mut look = |f: &mut Fixture| {
            match f.gate.next(Some(Duration::ZERO)).unwrap() {
                Input::Batch(_, batch) => {
                    let value = value(batch);
                    let channel = (value >> 24 & 0xff) as usize;
                    assert_eq!(value >> 32, epoch);
                    assert_eq!(value & 0xff_ffff, next[channel]);
                    next[channel] += 1;
                    read += 1;
                    true
                }
                Input::Barrier(barrier) => {
                    assert_eq!(barrier.checkpoint, epoch);
                    epoch += 1;
                    true
                }
                Input::Timeout => false,
                other => panic!("{other:?}"),
            }
        };
        for step in order {
            match step {
                Step::Send(channel) => {
                    let channel = channel % channels;
                    if let Some(element) = queues[channel].next() {
                        f.sender(channel).send(element).unwrap();
                    }
                }
                Step::Read => {
                    look(&mut f);
                }
            }
        }
        for (channel, queue) in queues.into_iter().enumerate() {
            queue.for_each(|element| f.sender(channel).send(element).unwrap());
        }
        while look(&mut f) {}
        prop_assert_eq!((epoch, read), (epochs + 1, sent));
    }
}

/// Threads send as fast as they can through channels of every small size; each round's seed decides how much
/// each sends and where the threads yield.
#[test]
fn rows_stay_in_their_epoch_with_real_threads() {
    for seed in 0..60u64 {
        let channels = 1 + (seed % 4) as usize;
        let mut f = fixture(channels, 1 + (seed / 4 % 3) as usize);
        let epochs = 20u64;
        let rows = |channel: usize, epoch: u64| {
            (seed.wrapping_mul(0x9E37_79B9).wrapping_add(epoch * 31 + channel as u64 * 17)) % 7
        };
        let mut read = vec![0u64; epochs as usize + 2];
        std::thread::scope(|scope| {
            for channel in 0..channels {
                let sender = f.sender(channel);
                scope.spawn(move || {
                    for epoch in 1..=epochs {
                        for n in 0..rows(channel, epoch) {
                            sender.send(row(epoch)).unwrap();
                            if (n + seed) % 3 == 0 {
                                std::thread::yield_now();
                            }
                        }
                        sender.send(Element::Barrier(barrier(epoch))).unwrap();
                    }
                });
            }
            let mut epoch = 1;
            while epoch <= epochs {
                match f.gate.next(None).unwrap() {
                    Input::Batch(_, batch) => {
                        assert_eq!(value(batch), epoch, "seed {seed}");
                        read[epoch as usize] += 1;
                    }
                    Input::Barrier(barrier) => {
                        assert_eq!(barrier.checkpoint, epoch, "seed {seed}");
                        epoch += 1;
                    }
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
        });
        for epoch in 1..=epochs {
            let sent: u64 = (0..channels).map(|channel| rows(channel, epoch)).sum();
            assert_eq!(read[epoch as usize], sent, "seed {seed}, epoch {epoch}");
        }
    }
}
