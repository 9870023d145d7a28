//! Topics of a store: created, looked up, changed, deleted.
//!
//! The metadata entry is what makes a topic exist. Folders are made before it is written, and
//! removed before it is deleted; what a crash leaves in between is finished when the store opens.

use std::path::PathBuf;
use std::sync::PoisonError;

use super::{Store, TOPICS_DIR};
use crate::error::{Error, Result};
use crate::metadata::Entry;
use crate::partition::{self, Partition, Place, guard};
use crate::segment::LOG_SUFFIX;
use crate::topic::{METADATA_TOPIC, TopicConfig, check_topic_name};

/// Kind of the metadata entries of topics: name -> configuration.
pub(crate) const KIND_TOPIC: &str = "topic";
/// Kind of the metadata entries of topics whose folders are being removed.
const KIND_DELETING: &str = "topic-deleting";

/// A topic, as [`Store::topic`] describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicInfo {
    /// The name.
    pub name: String,
    /// The configuration, with the number of partitions.
    pub config: TopicConfig,
}

/// A topic of an open store.
#[derive(Debug)]
pub(super) struct Topic {
    pub config: TopicConfig,
    partitions: Vec<Slot>,
}

/// A partition, or why it could not be opened.
#[derive(Debug)]
enum Slot {
    Open(Partition),
    Refused(Error),
}

impl Store {
    /// Creates a topic, durably.
    ///
    /// # Errors
    /// `TopicExists`, `InvalidTopicName`, `InvalidConfig`, `DiskFull`, operating system errors: there
    /// is no topic then.
    pub fn create_topic(&self, name: &str, config: TopicConfig) -> Result<()> {
        self.check_open()?;
        check_topic_name(name)?;
        config.validate()?;
        let _one_at_a_time = guard(&self.shared.changing);
        if name == METADATA_TOPIC || self.topic(name).is_ok() {
            return Err(Error::TopicExists { topic: name.to_owned() });
        }
        // What is left of a topic of the same name must go first: the next open would take it, and this
        // topic with it.
        if let Some(left) = self.metadata().get(KIND_DELETING, name) {
            let left = TopicConfig::decode(&String::from_utf8_lossy(&left))?;
            self.finish_deletion(name, left.partitions)?;
        }
        for partition in 0..config.partitions {
            self.create_partition(name, partition)?;
        }
        self.sync_topics_dir()?;
        let partitions: Vec<Slot> =
            (0..config.partitions).map(|n| self.open_slot(name, n, &config)).collect();
        let partitions = all_open(partitions)?;
        self.metadata().put(KIND_TOPIC, name, config.encode())?;
        let mut topics = self.shared.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(name.to_owned(), Topic { config, partitions });
        Ok(())
    }

    /// Creates a topic from values by Kafka's names: `[("cleanup.policy", "compact")]`.
    ///
    /// # Errors
    /// As [`TopicConfig::set`] and [`Store::create_topic`].
    pub fn create_topic_with(&self, name: &str, settings: &[(&str, &str)]) -> Result<()> {
        self.create_topic(name, TopicConfig::from_settings(settings.iter().copied())?)
    }

    /// Describes a topic.
    ///
    /// # Errors
    /// `UnknownTopic`.
    pub fn topic(&self, name: &str) -> Result<TopicInfo> {
        let topics = self.shared.topics.read().unwrap_or_else(PoisonError::into_inner);
        match topics.get(name) {
            Some(topic) => Ok(TopicInfo { name: name.to_owned(), config: topic.config.clone() }),
            None => Err(Error::UnknownTopic { topic: name.to_owned() }),
        }
    }

    /// All topics but the store's own, by name.
    pub fn topics(&self) -> Vec<TopicInfo> {
        let topics = self.shared.topics.read().unwrap_or_else(PoisonError::into_inner);
        let info = |(name, topic): (&String, &Topic)| TopicInfo {
            name: name.clone(),
            config: topic.config.clone(),
        };
        topics.iter().map(info).collect()
    }

    /// A partition of a topic.
    ///
    /// # Errors
    /// `UnknownTopic`, `UnknownPartition`; and what opening the store found wrong with this partition:
    /// `Damaged`, or an operating system error.
    pub fn partition(&self, topic: &str, partition: u32) -> Result<Partition> {
        self.check_open()?;
        let topics = self.shared.topics.read().unwrap_or_else(PoisonError::into_inner);
        let Some(found) = topics.get(topic) else {
            return Err(Error::UnknownTopic { topic: topic.to_owned() });
        };
        match found.partitions.get(partition as usize) {
            Some(Slot::Open(open)) => Ok(open.clone()),
            Some(Slot::Refused(error)) => Err(again(topic, partition, error)),
            None => Err(Error::UnknownPartition {
                topic: topic.to_owned(),
                partition,
                partitions: found.config.partitions,
            }),
        }
    }

    /// All partitions that are open, the store's own left out.
    pub(crate) fn partitions(&self) -> Vec<Partition> {
        let topics = self.shared.topics.read().unwrap_or_else(PoisonError::into_inner);
        let slots = topics.values().flat_map(|topic| &topic.partitions);
        slots
            .filter_map(|slot| match slot {
                Slot::Open(partition) => Some(partition.clone()),
                Slot::Refused(_) => None,
            })
            .collect()
    }

    /// Changes a topic's configuration, durably, by Kafka's names: `("retention.ms", "60000")`. A
    /// larger number of `partitions` adds some.
    ///
    /// # Errors
    /// `UnknownTopic`, `InvalidConfig`: nothing has changed then.
    pub fn alter_topic(&self, name: &str, settings: &[(&str, &str)]) -> Result<()> {
        self.check_open()?;
        let _one_at_a_time = guard(&self.shared.changing);
        let before = self.topic(name)?.config;
        let mut config = before.clone();
        config.set_all(settings)?;
        if config.partitions < before.partitions {
            return Err(Error::InvalidConfig {
                key: "partitions".to_owned(),
                value: config.partitions.to_string(),
                reason: format!(
                    "topic `{name}` has {}, and partitions are never removed",
                    before.partitions
                ),
            });
        }
        if (config.format, &config.schema) != (before.format, &before.schema) {
            let changed = if config.format == before.format { "schema" } else { "format" };
            return Err(Error::InvalidConfig {
                key: changed.to_owned(),
                value: config.get(changed).unwrap_or_default(),
                reason: format!(
                    "what topic `{name}` holds was written with another one, and stays as it is; create \
                     another topic"
                ),
            });
        }
        for partition in before.partitions..config.partitions {
            self.create_partition(name, partition)?;
        }
        self.sync_topics_dir()?;
        let added: Vec<Slot> = (before.partitions..config.partitions)
            .map(|n| self.open_slot(name, n, &config))
            .collect();
        let added = all_open(added)?;
        self.metadata().put(KIND_TOPIC, name, config.encode())?;
        let mut topics = self.shared.topics.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get_mut(name) {
            topic.partitions.extend(added);
            for slot in &topic.partitions {
                if let Slot::Open(partition) = slot {
                    partition.set_config(config.clone());
                }
            }
            topic.config = config;
        }
        Ok(())
    }

    /// Gives a topic more partitions. Keys move to other partitions by that.
    ///
    /// # Errors
    /// As [`Store::alter_topic`].
    pub fn add_partitions(&self, name: &str, partitions: u32) -> Result<()> {
        self.alter_topic(name, &[("partitions", &partitions.to_string())])
    }

    /// Deletes a topic with all its records. Readers keep the batches that they hold.
    ///
    /// # Errors
    /// `UnknownTopic`; an operating system error, after which the topic is gone, and what is left of its
    /// files is removed when the store is opened again.
    pub fn delete_topic(&self, name: &str) -> Result<()> {
        self.check_open()?;
        let _one_at_a_time = guard(&self.shared.changing);
        let info = self.topic(name)?;
        let mut entries = self.entries_without_topic(name)?;
        entries.push(Entry::put(KIND_DELETING, name, info.config.encode()));
        entries.push(Entry::delete(KIND_TOPIC, name));
        self.metadata().put_all(&entries)?;
        let removed = {
            let mut topics = self.shared.topics.write().unwrap_or_else(PoisonError::into_inner);
            topics.remove(name)
        };
        for slot in removed.into_iter().flat_map(|topic| topic.partitions) {
            if let Slot::Open(partition) = slot {
                partition.shared.close();
            }
        }
        // Whoever is compacting a partition of it is done with its files from here on.
        guard(&self.shared.cleaner).cleaner.abandon_closed();
        self.finish_deletion(name, info.config.partitions)
    }

    fn finish_deletion(&self, name: &str, partitions: u32) -> Result<()> {
        let files = &*self.shared.environment.files;
        for partition in 0..partitions {
            let dir = self.partition_dir(name, partition);
            let names = match files.list(&dir) {
                Ok(names) => names,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::io("list", &dir, e)),
            };
            for file in names {
                let path = dir.join(file);
                files.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
            }
            files.sync_dir(&dir).map_err(|e| Error::io("sync folder", &dir, e))?;
            files.remove_dir(&dir).map_err(|e| Error::io("remove folder", &dir, e))?;
        }
        self.sync_topics_dir()?;
        self.metadata().delete(KIND_DELETING, name)
    }

    /// Opens all topics that the metadata knows, and finishes deletions.
    pub(super) fn open_topics(&self) -> Result<()> {
        for (name, config) in self.metadata().scan(KIND_DELETING) {
            let config = TopicConfig::decode(&String::from_utf8_lossy(&config))?;
            self.finish_deletion(&name, config.partitions)?;
        }
        for (name, config) in self.metadata().scan(KIND_TOPIC) {
            let config = TopicConfig::decode(&String::from_utf8_lossy(&config))?;
            let partitions =
                (0..config.partitions).map(|n| self.open_slot(&name, n, &config)).collect();
            let mut topics = self.shared.topics.write().unwrap_or_else(PoisonError::into_inner);
            topics.insert(name, Topic { config, partitions });
        }
        Ok(())
    }

    fn partition_dir(&self, topic: &str, partition: u32) -> PathBuf {
        self.shared.dir.join(TOPICS_DIR).join(format!("{topic}-{partition}"))
    }

    fn sync_topics_dir(&self) -> Result<()> {
        let dir = self.shared.dir.join(TOPICS_DIR);
        let synced = self.shared.environment.files.sync_dir(&dir);
        synced.map_err(|e| Error::io("sync folder", &dir, e))
    }

    /// Makes the folder of a new partition. An interrupted creation may have left one; records in it
    /// would be somebody's.
    fn create_partition(&self, topic: &str, partition: u32) -> Result<()> {
        let files = &*self.shared.environment.files;
        let dir = self.partition_dir(topic, partition);
        let left = files.list(&dir).unwrap_or_default();
        for name in &left {
            let path = dir.join(name);
            let length = files.open(&path).and_then(|file| file.len());
            if name.ends_with(LOG_SUFFIX) && length.map_err(|e| Error::io("open", &path, e))? > 0 {
                return Err(Error::DamagedFile {
                    file: path.display().to_string(),
                    what: format!(
                        "it has records of a topic `{topic}` that the store does not know: move the \
                         folder away before creating the topic"
                    ),
                });
            }
        }
        for name in &left {
            let path = dir.join(name);
            files.remove(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        partition::create(files, &dir)
    }

    fn open_slot(&self, topic: &str, partition: u32, config: &TopicConfig) -> Slot {
        let place = Place {
            topic,
            partition,
            dir: self.partition_dir(topic, partition),
            environment: &self.shared.environment,
            lock: Some(self.shared.lock.clone()),
        };
        match partition::open(place, config.clone()) {
            Ok(open) => {
                self.coordinator().guard_partition(&open);
                Slot::Open(open)
            }
            Err(error) => {
                tracing::error!(topic, partition, %error, "cannot open a partition");
                Slot::Refused(error)
            }
        }
    }
}

/// New partitions; one that cannot even be opened is no partition to begin with.
fn all_open(slots: Vec<Slot>) -> Result<Vec<Slot>> {
    let all = slots.into_iter().map(|slot| match slot {
        Slot::Open(_) => Ok(slot),
        Slot::Refused(error) => Err(error),
    });
    all.collect()
}

/// The error once more, for the next caller.
fn again(topic: &str, partition: u32, error: &Error) -> Error {
    match error {
        Error::Damaged { segment, position, offset, what, .. } => Error::Damaged {
            topic: topic.to_owned(),
            partition,
            segment: segment.clone(),
            position: *position,
            offset: *offset,
            what: what.clone(),
        },
        other => {
            Error::PartitionStopped { topic: topic.to_owned(), partition, cause: other.to_string() }
        }
    }
}
