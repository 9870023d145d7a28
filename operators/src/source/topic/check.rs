//! Whether a topic can be read, before anything is.

use riverrun_dataflow::{Error, Resources, Result};
use riverrun_log_store::{Error as LogError, Store};

use super::TopicInput;
use crate::format::{BatchDecoder, ColumnDecoder, DecodedColumns};

/// Whether a topic can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicCheck {
    /// It can.
    Fits {
        /// How many partitions it has.
        partitions: u32,
    },
    /// There is no such topic.
    Missing,
    /// It does not hold what the decoder reads, for this reason.
    Unfit(String),
}

impl TopicInput {
    /// Whether the topic is there, and holds what a decoder reads. A source finds out by itself when its job starts; this is for
    /// whoever wants to know before.
    ///
    /// # Errors
    /// [`Error::Io`] if the store is not there or fails.
    pub fn check<D: ColumnDecoder>(&self, resources: &Resources, decoder: D) -> Result<TopicCheck> {
        let store = resources.get::<Store>(&format!("the source of topic `{}`", self.topic))?;
        look(&store, &self.topic, &mut DecodedColumns(decoder))
    }
}

/// Whether the topic is there, and holds what the decoder reads.
pub(super) fn look(
    store: &Store,
    topic: &str,
    decoder: &mut impl BatchDecoder,
) -> Result<TopicCheck> {
    match store.topic(topic) {
        Ok(info) => Ok(match decoder.check_topic(&info.config) {
            Ok(()) => TopicCheck::Fits { partitions: info.config.partitions },
            Err(reason) => TopicCheck::Unfit(reason),
        }),
        Err(LogError::UnknownTopic { .. }) => Ok(TopicCheck::Missing),
        Err(error) => Err(Error::io(format!("reading topic `{topic}`"), error)),
    }
}
