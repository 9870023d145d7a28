//! What leaves an operator chain over one edge.

use riverrun_dataflow::{Batch, EdgeKind, Element, Partitioner, Result, Watermark};

use crate::mailbox::ChannelSender;

/// How an edge spreads batches over its channels.
pub(crate) enum Route {
    /// The only channel.
    Forward,
    /// The next one in turn, by batch.
    Rebalance(usize),
    /// Row by row to the owner of the row's key group.
    Hash(Box<dyn Partitioner>),
    /// All of them.
    Broadcast,
}

impl Route {
    /// The route of an edge; `partitioner` is asked for HASH only. Rebalancing senders start at different
    /// receivers, so that few batches are spread evenly too.
    pub(crate) fn of(
        kind: EdgeKind,
        sender: u32,
        partitioner: impl FnOnce() -> Result<Box<dyn Partitioner>>,
    ) -> Result<Self> {
        Ok(match kind {
            EdgeKind::Forward => Self::Forward,
            EdgeKind::Rebalance => Self::Rebalance(sender as usize),
            EdgeKind::Hash => Self::Hash(partitioner()?),
            EdgeKind::Broadcast => Self::Broadcast,
        })
    }
}

/// Writes one sending subtask's part of an edge. Every method waits while a channel is full.
pub(crate) struct RecordWriter {
    route: Route,
    channels: Vec<ChannelSender>,
    watermark: Watermark,
    idle: bool,
}

impl RecordWriter {
    pub(crate) fn new(route: Route, channels: Vec<ChannelSender>) -> Self {
        Self { route, channels, watermark: Watermark::MIN, idle: false }
    }

    /// Sends rows or columns to the channels they belong to.
    pub(crate) fn batch(&mut self, mut batch: Batch) -> Result<()> {
        batch.split = None;
        self.resume()?;
        let channels = &self.channels;
        match &mut self.route {
            Route::Forward => channels[0].send(Element::Batch(batch)),
            Route::Rebalance(next) => {
                let channel = *next % channels.len();
                *next = channel + 1;
                channels[channel].send(Element::Batch(batch))
            }
            Route::Hash(partitioner) => {
                partitioner.split(batch, channels.len() as u32, &mut |target, part| {
                    channels[target as usize].send(Element::Batch(part))
                })
            }
            Route::Broadcast => {
                let (last, others) = channels.split_last().expect("an edge has a receiver");
                for channel in others {
                    channel.send(Element::Batch(batch.duplicate()))?;
                }
                last.send(Element::Batch(batch))
            }
        }
    }

    /// Event time, for all channels.
    pub(crate) fn watermark(&mut self, watermark: Watermark) -> Result<()> {
        self.watermark = watermark;
        self.idle = false;
        self.all(|| Element::Watermark(watermark))
    }

    /// Nothing for now; said once.
    pub(crate) fn idle(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.idle, true) {
            return Ok(());
        }
        self.all(|| Element::Idle)
    }

    /// Takes back [`RecordWriter::idle`] at all receivers, also at those that the next batch does not go
    /// to: by saying the last watermark again.
    pub(crate) fn resume(&mut self) -> Result<()> {
        if self.idle { self.watermark(self.watermark) } else { Ok(()) }
    }

    /// A barrier or the end, for all channels.
    pub(crate) fn all(&self, element: impl Fn() -> Element) -> Result<()> {
        self.channels.iter().try_for_each(|channel| channel.send(element()))
    }
}

#[cfg(test)]
#[path = "record_writer_tests.rs"]
mod tests;
