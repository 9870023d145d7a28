//! Topics: their names and their configuration, with Kafka's keys.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::error::{Error, Result};

mod cleanup;
mod format;

pub use cleanup::{CleanupPolicy, DirtyRatio};
pub use format::RecordFormat;

/// The topic in which the store keeps what it knows about itself.
pub const METADATA_TOPIC: &str = "__metadata";

/// When appended batches become durable, and so when readers see them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlushMode {
    /// With each [`Partition::flush`](crate::Partition::flush), which an acknowledgement waits for.
    /// Readers see only what is durable. A crash loses nothing that was acknowledged.
    #[default]
    Commit,
    /// In the background, this often. Readers see appends at once; a crash of the machine loses what
    /// was appended since the last flush, and its offsets are given out again.
    Interval(Duration),
    /// When the operating system likes. As `Interval`, with an interval of the kernel's (half a minute
    /// or so).
    Os,
}

impl fmt::Display for FlushMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FlushMode::Commit => f.write_str("commit"),
            FlushMode::Interval(every) => write!(f, "interval:{}", every.as_millis()),
            FlushMode::Os => f.write_str("os"),
        }
    }
}

impl FromStr for FlushMode {
    type Err = Error;

    /// `commit`, `os`, or `interval:MILLISECONDS` (`interval` alone is a second).
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "commit" => Ok(FlushMode::Commit),
            "os" => Ok(FlushMode::Os),
            "interval" => Ok(FlushMode::Interval(Duration::from_secs(1))),
            _ => text
                .strip_prefix("interval:")
                .and_then(|ms| ms.parse().ok())
                .filter(|ms| *ms > 0)
                .map(|ms| FlushMode::Interval(Duration::from_millis(ms)))
                .ok_or_else(|| {
                    invalid("flush.mode", text, "use commit, interval:MILLISECONDS or os")
                }),
        }
    }
}

/// A topic's configuration.
///
/// ```
/// use riverrun_log_store::TopicConfig;
///
/// let mut config = TopicConfig { partitions: 4, ..TopicConfig::default() };
/// config.set("retention.ms", "86400000")?;
/// assert_eq!(config.retention_ms, Some(86_400_000));
/// # Ok::<(), riverrun_log_store::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// Number of partitions, at least 1. May grow, never shrink.
    pub partitions: u32,
    /// `cleanup.policy`: whether old records are removed by age and size, or by key, or both.
    pub cleanup_policy: CleanupPolicy,
    /// `retention.ms`: segments whose newest record is older are removed, if the policy has `delete`.
    /// `None` (-1): never.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`: oldest segments are removed while the partition has more without them, if the
    /// policy has `delete`. `None` (-1): never.
    pub retention_bytes: Option<u64>,
    /// `segment.bytes`: a segment is sealed before it grows beyond this.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment is sealed when its first append is this long ago.
    pub segment_ms: u64,
    /// `flush.mode`: when appends become durable.
    pub flush_mode: FlushMode,
    /// `max.message.bytes`: the largest batch that is taken.
    pub max_message_bytes: u32,
    /// `min.cleanable.dirty.ratio`: a partition is compacted when more than this share of its bytes was
    /// never compacted.
    pub min_cleanable_dirty_ratio: DirtyRatio,
    /// `delete.retention.ms`: how long a tombstone stays after compaction has removed the records before it,
    /// so that readers who are behind still see it.
    pub delete_retention_ms: u64,
    /// `min.compaction.lag.ms`: records younger than this are not compacted.
    pub min_compaction_lag_ms: u64,
    /// `max.compaction.lag.ms`: a partition with an older record that was never compacted is compacted whatever
    /// its dirty ratio.
    pub max_compaction_lag_ms: u64,
    /// `format`: what the topic's batches hold. Never changes.
    pub format: RecordFormat,
    /// `schema`: of a columnar topic, what its columns are, as writers and readers agree on it. Never changes.
    pub schema: Option<String>,
}

impl Default for TopicConfig {
    /// One partition, kept forever, flushed on commit; segments of 1 GiB or a week.
    fn default() -> Self {
        TopicConfig {
            partitions: 1,
            cleanup_policy: CleanupPolicy::Delete,
            retention_ms: None,
            retention_bytes: None,
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 60 * 60 * 1000,
            flush_mode: FlushMode::Commit,
            max_message_bytes: 16 << 20,
            min_cleanable_dirty_ratio: DirtyRatio::HALF,
            delete_retention_ms: 24 * 60 * 60 * 1000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX as u64,
            format: RecordFormat::Rows,
            schema: None,
        }
    }
}

const KEYS: [&str; 14] = [
    "partitions",
    "cleanup.policy",
    "retention.ms",
    "retention.bytes",
    "segment.bytes",
    "segment.ms",
    "flush.mode",
    "max.message.bytes",
    "min.cleanable.dirty.ratio",
    "delete.retention.ms",
    "min.compaction.lag.ms",
    "max.compaction.lag.ms",
    "format",
    "schema",
];

impl TopicConfig {
    /// Sets a value by Kafka's name for it.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a name that is not known, or a value that cannot be.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "partitions" => self.partitions = positive(key, value)?,
            "retention.ms" => self.retention_ms = limit(key, value)?,
            "retention.bytes" => self.retention_bytes = limit(key, value)?,
            "segment.bytes" => self.segment_bytes = positive(key, value)?,
            "segment.ms" => self.segment_ms = positive(key, value)?,
            "flush.mode" => self.flush_mode = value.parse()?,
            "max.message.bytes" => {
                let bytes: u32 = positive(key, value)?;
                if bytes > i32::MAX as u32 {
                    return Err(invalid(key, value, "a batch has at most 2147483647 bytes"));
                }
                self.max_message_bytes = bytes;
            }
            "cleanup.policy" => self.cleanup_policy = value.parse()?,
            "min.cleanable.dirty.ratio" => self.min_cleanable_dirty_ratio = value.parse()?,
            "delete.retention.ms" => self.delete_retention_ms = milliseconds(key, value)?,
            "min.compaction.lag.ms" => self.min_compaction_lag_ms = milliseconds(key, value)?,
            "format" => self.format = value.parse()?,
            "schema" if value.contains(['\n', '\r']) => {
                return Err(invalid(key, value, "it has to be one line"));
            }
            "schema" => self.schema = Some(value.to_owned()).filter(|value| !value.is_empty()),
            "max.compaction.lag.ms" => self.max_compaction_lag_ms = positive(key, value)?,
            _ => {
                let known = KEYS.join(", ");
                return Err(invalid(key, value, &format!("unknown key; known are {known}")));
            }
        }
        Ok(())
    }

    /// The configuration that results from the defaults and these values.
    ///
    /// ```
    /// use riverrun_log_store::TopicConfig;
    ///
    /// let config = TopicConfig::from_settings([("cleanup.policy", "compact"), ("partitions", "4")])?;
    /// assert!(config.cleanup_policy.compacts());
    /// assert_eq!(config.get("partitions").as_deref(), Some("4"));
    /// # Ok::<(), riverrun_log_store::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`TopicConfig::set`].
    pub fn from_settings<K: AsRef<str>, V: AsRef<str>>(
        settings: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self> {
        let mut config = TopicConfig::default();
        settings
            .into_iter()
            .try_for_each(|(key, value)| config.set(key.as_ref(), value.as_ref()))?;
        config.check_together()?;
        Ok(config)
    }

    /// A value by Kafka's name for it; `None` for a name that is not known.
    pub fn get(&self, key: &str) -> Option<String> {
        self.settings().into_iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Sets several values; none of them if one is refused.
    ///
    /// # Errors
    /// As [`TopicConfig::set`].
    pub fn set_all(&mut self, settings: &[(&str, &str)]) -> Result<()> {
        let mut changed = self.clone();
        settings.iter().try_for_each(|(key, value)| changed.set(key, value))?;
        changed.check_together()?;
        *self = changed;
        Ok(())
    }

    /// All values by Kafka's names, as [`TopicConfig::set`] takes them.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let limit = |value: Option<u64>| value.map_or("-1".to_owned(), |v| v.to_string());
        let values = [
            self.partitions.to_string(),
            self.cleanup_policy.to_string(),
            limit(self.retention_ms),
            limit(self.retention_bytes),
            self.segment_bytes.to_string(),
            self.segment_ms.to_string(),
            self.flush_mode.to_string(),
            self.max_message_bytes.to_string(),
            self.min_cleanable_dirty_ratio.to_string(),
            self.delete_retention_ms.to_string(),
            self.min_compaction_lag_ms.to_string(),
            self.max_compaction_lag_ms.to_string(),
            self.format.to_string(),
            self.schema.clone().unwrap_or_default(),
        ];
        KEYS.into_iter().zip(values).collect()
    }

    pub(crate) fn validate(&self) -> Result<()> {
        // Each value goes through the same check as one that comes as text.
        let mut checked = self.clone();
        self.settings().into_iter().try_for_each(|(key, value)| checked.set(key, &value))?;
        self.check_together()
    }

    /// Values that are right by themselves may contradict each other.
    fn check_together(&self) -> Result<()> {
        if self.format == RecordFormat::Arrow && self.cleanup_policy.compacts() {
            let reason = "a columnar topic (format=arrow) has no keys to compact by";
            return Err(invalid("cleanup.policy", &self.cleanup_policy.to_string(), reason));
        }
        if (self.format == RecordFormat::Arrow) != self.schema.is_some() {
            let reason = "format=arrow and a schema belong together: give both or neither";
            return Err(invalid("format", &self.format.to_string(), reason));
        }
        if self.min_compaction_lag_ms <= self.max_compaction_lag_ms {
            return Ok(());
        }
        let value = self.min_compaction_lag_ms.to_string();
        let reason =
            format!("it is more than max.compaction.lag.ms={}", self.max_compaction_lag_ms);
        Err(invalid("min.compaction.lag.ms", &value, &reason))
    }

    /// After how long a segment is sealed: one that is never sealed is never compacted.
    pub(crate) fn seal_after_ms(&self) -> i64 {
        let lag =
            if self.cleanup_policy.compacts() { self.max_compaction_lag_ms } else { u64::MAX };
        self.segment_ms.min(lag).min(i64::MAX as u64) as i64
    }

    /// As stored in the metadata: a line a value, readable in a dump.
    pub(crate) fn encode(&self) -> String {
        self.settings().into_iter().map(|(key, value)| format!("{key}={value}\n")).collect()
    }

    pub(crate) fn decode(text: &str) -> Result<Self> {
        let mut config = TopicConfig::default();
        for line in text.lines() {
            let (key, value) = line
                .split_once('=')
                .ok_or_else(|| invalid("topic", line, "stored as KEY=VALUE lines"))?;
            config.set(key, value)?;
        }
        Ok(config)
    }
}

fn invalid(key: &str, value: &str, reason: &str) -> Error {
    Error::InvalidConfig { key: key.to_owned(), value: value.to_owned(), reason: reason.to_owned() }
}

fn positive<T: FromStr + PartialOrd + From<u8>>(key: &str, value: &str) -> Result<T> {
    value
        .parse()
        .ok()
        .filter(|number| *number >= T::from(1))
        .ok_or_else(|| invalid(key, value, "give a whole number from 1 on"))
}

fn milliseconds(key: &str, value: &str) -> Result<u64> {
    let number = value.parse::<i64>().ok().and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| invalid(key, value, "give a whole number of milliseconds from 0 on"))
}

fn limit(key: &str, value: &str) -> Result<Option<u64>> {
    match value.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(number) if number >= 0 => Ok(Some(number as u64)),
        _ => Err(invalid(key, value, "give a whole number, or -1 for no limit")),
    }
}

/// Checks a topic's name by Kafka's rules.
///
/// # Errors
/// [`Error::InvalidTopicName`] with the reason.
pub fn check_topic_name(name: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let reason = match name {
        "" => "it is empty",
        "." | ".." => "it is a folder's name",
        _ if name.len() > 249 => "it is longer than 249 characters",
        _ if !name.chars().all(allowed) => "it has a character that is not allowed",
        _ => return Ok(()),
    };
    Err(Error::InvalidTopicName { topic: name.to_owned(), reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_round_trip_as_text() {
        let config = TopicConfig {
            partitions: 3,
            cleanup_policy: CleanupPolicy::CompactDelete,
            retention_ms: Some(5),
            retention_bytes: Some(0),
            segment_bytes: 1,
            segment_ms: 9,
            flush_mode: FlushMode::Interval(Duration::from_millis(250)),
            max_message_bytes: 77,
            min_cleanable_dirty_ratio: DirtyRatio::new(0.125).expect("a share"),
            delete_retention_ms: 0,
            min_compaction_lag_ms: 6,
            max_compaction_lag_ms: 7,
            format: RecordFormat::Rows,
            schema: Some("of one line = and more".to_owned()),
        };
        assert_eq!(TopicConfig::decode(&config.encode()).expect("own text"), config);
        let default = TopicConfig::default();
        assert_eq!(TopicConfig::decode(&default.encode()).expect("own text"), default);
    }

    #[test]
    fn impossible_values_are_refused_by_name() {
        let mut config = TopicConfig::default();
        for (key, value) in [
            ("partitions", "0"),
            ("retention.ms", "-2"),
            ("segment.bytes", "x"),
            ("flush.mode", "interval:0"),
            ("cleanup.policy", "compacted"),
            ("min.cleanable.dirty.ratio", "2"),
            ("delete.retention.ms", "-1"),
            ("min.compaction.lag.ms", "1s"),
            ("format", "parquet"),
            ("schema", "a\nb"),
            ("max.message.bytes", "3000000000"),
            ("no.such.key", "1"),
        ] {
            let message = config.set(key, value).expect_err(key).to_string();
            assert!(message.contains(key) && message.contains(value), "{message}");
        }
        let none = TopicConfig { partitions: 0, ..TopicConfig::default() };
        assert!(none.validate().is_err());
        let lags = [("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "9")];
        let message = config.set_all(&lags).expect_err("contradict each other").to_string();
        assert!(message.contains("max.compaction.lag.ms=9"), "{message}");
        let columns = [("format", "arrow"), ("schema", "s"), ("cleanup.policy", "compact")];
        assert!(config.set_all(&columns).is_err(), "there are no keys");
        assert!(config.set_all(&columns[..1]).is_err(), "there is no schema");
        assert_eq!(config, TopicConfig::default(), "nothing was changed");
        config.set_all(&columns[..2]).expect("they belong together");
    }

    #[test]
    fn names_follow_kafkas_rules() {
        for good in ["a", "nginx.rejected", "__metadata", "A-b_c.9", &"x".repeat(249)] {
            check_topic_name(good).expect(good);
        }
        for bad in ["", ".", "..", "a b", "ä", "a/b", &"x".repeat(250)] {
            assert!(check_topic_name(bad).is_err(), "{bad}");
        }
    }
}
