//! Which channel gets what.

use std::sync::Arc;
use std::time::Duration;

use riverrun_dataflow::{
    RowPartitioner, Rows, WatermarkFrontier, key_group_of, key_hash, subtask_of,
};

use super::*;
use crate::mailbox::{Cancellation, Delivery, Mailbox};

fn writer(route: Route, channels: usize) -> (Arc<Mailbox>, RecordWriter) {
    let mailbox = Mailbox::new(channels, 100, Cancellation::default());
    let senders =
        (0..channels).map(|channel| ChannelSender::new(mailbox.clone(), channel)).collect();
    (mailbox, RecordWriter::new(route, senders))
}

fn rows(values: impl IntoIterator<Item = u64>) -> Batch {
    let mut rows = Rows::default();
    values.into_iter().for_each(|value| rows.push(value, 0));
    Batch::rows(rows, Some(2))
}

/// Everything that was sent, by channel.
fn sent(mailbox: &Mailbox) -> Vec<Vec<String>> {
    let mut sent = vec![Vec::new(); mailbox.channels()];
    while let Delivery::Element(channel, element) = mailbox.take(Some(Duration::ZERO)) {
        sent[channel].push(match element {
            Element::Batch(batch) => {
                assert_eq!(batch.split, None, "splits end at the edge");
                format!("{:?}", batch.into_rows::<u64>("test").unwrap().values)
            }
            Element::Watermark(watermark) => format!("watermark {}", watermark.timestamp()),
            other => format!("{other:?}").to_lowercase(),
        });
    }
    sent
}

#[test]
fn rebalance_goes_round_and_begins_at_the_senders_own_number() {
    let (mailbox, mut writer) =
        writer(Route::of(EdgeKind::Rebalance, 4, || unreachable!()).unwrap(), 3);
    for value in 0..4 {
        writer.batch(rows([value])).unwrap();
    }
    assert_eq!(sent(&mailbox), [vec!["[2]"], vec!["[0]", "[3]"], vec!["[1]"]]);
}

#[test]
fn broadcast_goes_everywhere() {
    let (mailbox, mut writer) = writer(Route::Broadcast, 3);
    writer.batch(rows([1, 2])).unwrap();
    assert_eq!(sent(&mailbox), [["[1, 2]"], ["[1, 2]"], ["[1, 2]"]]);
}

#[test]
fn hash_goes_to_the_owner_of_the_key() {
    let partitioner = RowPartitioner::new(|value: &u64| *value, 128);
    let (mailbox, mut writer) = writer(Route::Hash(Box::new(partitioner)), 3);
    writer.batch(rows(0..50)).unwrap();
    let owned = |subtask| {
        (0..50u64)
            .filter(|value| subtask_of(key_group_of(key_hash(value), 128), 128, 3) == subtask)
            .collect::<Vec<_>>()
    };
    let expected: Vec<_> = (0..3).map(|subtask| vec![format!("{:?}", owned(subtask))]).collect();
    assert_eq!(sent(&mailbox), expected);
}

#[test]
fn what_speaks_again_after_idleness_says_so_to_all() {
    let (mailbox, mut writer) = writer(Route::Rebalance(0), 2);
    writer.watermark(WatermarkFrontier::resumed_at(5).current()).unwrap();
    writer.idle().unwrap();
    writer.idle().unwrap();
    assert_eq!(sent(&mailbox), [["watermark 5", "idle"], ["watermark 5", "idle"]]);
    writer.batch(rows([1])).unwrap();
    assert_eq!(sent(&mailbox), [vec!["watermark 5", "[1]"], vec!["watermark 5"]]);
    writer.resume().unwrap();
    assert_eq!(sent(&mailbox), [[""; 0], [""; 0]]);
}
