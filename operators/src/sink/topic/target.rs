//! The topic that is written: made if it is not there, and looked at if it is.

use riverrun_dataflow::{Error, Resources, Result};
use riverrun_log_store::{Error as LogError, Store, TopicConfig};

use super::TopicOutput;
use crate::format::{BatchEncoder, ColumnEncoder, EncodedColumns};

impl TopicOutput {
    /// Makes the topic, unless it is there, for what an encoder makes. A sink does so by itself when its job starts; whoever wants
    /// to read the topic at once, or to be told at once if it does not fit, does it before.
    ///
    /// # Errors
    /// [`Error::InvalidJob`] saying why if the topic does not take what the encoder makes, or cannot be made like this; [`Error::Io`]
    /// if the store is not there or fails. `job` is named in messages.
    pub fn make<E: ColumnEncoder>(
        &self,
        resources: &Resources,
        encoder: E,
        job: &str,
    ) -> Result<()> {
        let store = resources.get::<Store>(&format!("the sink of topic `{}`", self.topic))?;
        self.ensure(&store, &mut EncodedColumns(encoder), job).map(|_| ())
    }

    /// The topic's number of partitions; it is created if it is not there.
    pub(super) fn ensure(
        &self,
        store: &Store,
        encoder: &mut impl BatchEncoder,
        job: &str,
    ) -> Result<u32> {
        match store.topic(&self.topic) {
            Ok(topic) => return self.check(job, encoder, &topic.config),
            Err(LogError::UnknownTopic { .. }) => {}
            Err(error) => return Err(self.failed(error)),
        }
        let mut config = TopicConfig { partitions: self.partitions, ..TopicConfig::default() };
        let settings = self.settings.iter().chain(encoder.topic_settings());
        let settings: Vec<(&str, &str)> =
            settings.map(|(key, value)| (key.as_str(), value.as_str())).collect();
        config.set_all(&settings).map_err(|error| Error::InvalidJob {
            job: job.to_owned(),
            reason: format!("topic `{}` cannot be made: {error}", self.topic),
        })?;
        match store.create_topic(&self.topic, config) {
            // Another subtask was faster.
            Ok(_) | Err(LogError::TopicExists { .. }) => {}
            Err(error) => return Err(self.failed(error)),
        }
        let topic = store.topic(&self.topic).map_err(|error| self.failed(error))?;
        self.check(job, encoder, &topic.config)
    }

    /// What the encoder makes must be what the topic takes.
    fn check(
        &self,
        job: &str,
        encoder: &mut impl BatchEncoder,
        config: &TopicConfig,
    ) -> Result<u32> {
        match encoder.check_topic(config) {
            Ok(()) => Ok(config.partitions),
            Err(what) => Err(Error::InvalidJob {
                job: job.to_owned(),
                reason: format!("it cannot write topic `{}` like this: {what}", self.topic),
            }),
        }
    }
}
