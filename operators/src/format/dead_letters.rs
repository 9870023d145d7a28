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
        let names: Vec<_> =
            record.headers.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
        let mut headers: Vec<(&str, &[u8])> = names
            .iter()
            .zip(record.headers.iter())
            .map(|(name, (_, value))| (name.as_ref(), value.unwrap_or_default()))
            .collect();
        headers.push(("riverrun.error", reason.as_bytes()));
        headers.push(("riverrun.source", source.as_bytes()));
        let timestamp = (record.timestamp != -1).then_some(record.timestamp);
        self.unflushed = true;
        producer.send(&self.topic, None, timestamp, record.key, record.value, &headers)
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
