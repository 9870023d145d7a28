//! The topic that keeps what could not be decoded.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use riverrun_dataflow::{Error, Resources, Result};
use riverrun_log_store::{Error as LogError, Producer, ProducerConfig, Record, Store, TopicConfig};

use super::OnError;

/// Writes records that could not be decoded to a topic; clones write through the same producer.
#[derive(Clone)]
pub(crate) struct DeadLetters(Arc<Mutex<Letters>>);

struct Letters {
    topic: Arc<str>,
    store: Arc<Store>,
    /// Made with the first record: most sources never need it.
    producer: Option<Producer>,
    unflushed: bool,
}

impl DeadLetters {
    /// For a source whose policy is to keep such records; `None` with any other policy.
    pub(crate) fn of(policy: &OnError, resources: &Resources) -> Result<Option<Self>> {
        let OnError::DeadLetter(topic) = policy else { return Ok(None) };
        let store = resources.get::<Store>(&format!("the dead letters `{topic}`"))?;
        let letters = Letters { topic: topic.clone(), store, producer: None, unflushed: false };
        Ok(Some(Self(Arc::new(Mutex::new(letters)))))
    }

    /// Takes a record. It is durable after the next [`DeadLetters::flush`].
    pub(super) fn write(&self, record: &Record<'_>, source: &str, reason: &str) -> Result<()> {
        let mut letters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        letters.write(record, source, reason).map_err(|error| letters.failed(error))
    }

    /// Makes all that was written durable.
    ///
    /// # Errors
    /// [`Error::Io`] naming the topic.
    pub(crate) fn flush(&self) -> Result<()> {
        let mut letters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let flushed = match &mut letters.producer {
            Some(producer) => producer.flush(),
            None => Ok(()),
        };
        match flushed {
            Ok(()) => letters.unflushed = false,
            Err(error) => return Err(letters.failed(error)),
        }
        Ok(())
    }
}

impl Letters {
    fn write(&mut self, record: &Record<'_>, source: &str, reason: &str) -> Result<(), LogError> {
        if self.producer.is_none() {
            self.producer = Some(self.open()?);
        }
        let Some(producer) = &mut self.producer else { return Ok(()) };
        self.unflushed = true;
        let more = [("riverrun.error", reason.as_bytes()), ("riverrun.source", source.as_bytes())];
        producer.send_copy(&self.topic, None, record, &more)
    }

    fn open(&self) -> Result<Producer, LogError> {
        match self.store.create_topic(&self.topic, TopicConfig::default()) {
            Ok(()) | Err(LogError::TopicExists { .. }) => {}
            Err(error) => return Err(error),
        }
        // Flushed when the source's position is taken; nothing waits for a record before that.
        let config = ProducerConfig { linger: None, ..ProducerConfig::default() };
        Producer::new(&self.store, config)
    }

    fn failed(&self, error: LogError) -> Error {
        Error::io(format!("writing the dead letters `{}`", self.topic), error)
    }
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("DeadLetters")
            .field("topic", &letters.topic)
            .field("unflushed", &letters.unflushed)
            .finish()
    }
}
