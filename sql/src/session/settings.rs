//! `SET 'key' = 'value'`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::catalog::nearest;
use crate::{Error, Result};

/// Whether queries run once over what is there, or on and on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuntimeMode {
    /// On and on, as rows come.
    Streaming,
    /// Once, over what is there now.
    Batch,
}

/// A setting that there is.
struct Known {
    key: &'static str,
    default: &'static str,
    kind: Kind,
    meaning: &'static str,
}

enum Kind {
    OneOf(&'static [&'static str]),
    Boolean,
    Number { least: u64, most: u64 },
    Duration,
    Text,
}

const KNOWN: &[Known] = &[
    Known {
        key: "execution.runtime-mode",
        default: "streaming",
        kind: Kind::OneOf(&["streaming", "batch"]),
        meaning: "streaming: queries go on as rows come; batch: they run once over what is there now",
    },
    Known {
        key: "execution.until-caught-up",
        default: "false",
        kind: Kind::Boolean,
        meaning: "whether streaming queries and jobs end where their sources end now",
    },
    Known {
        key: "parallelism.default",
        default: "1",
        kind: Kind::Number { least: 1, most: 128 },
        meaning: "subtasks of an operator",
    },
    Known {
        key: "pipeline.max-parallelism",
        default: "128",
        kind: Kind::Number { least: 1, most: 32768 },
        meaning: "key groups of a job: the highest parallelism it can have later",
    },
    Known {
        key: "pipeline.name",
        default: "",
        kind: Kind::Text,
        meaning: "name of the next jobs; empty: insert-into_ and the table's name",
    },
    Known {
        key: "execution.checkpointing.interval",
        default: "1 s",
        kind: Kind::Duration,
        meaning: "time between two checkpoints of a job: results are seen when theirs is complete",
    },
    Known {
        key: "table.exec.state.ttl",
        default: "0 ms",
        kind: Kind::Duration,
        meaning: "how long state is kept that is not touched; 0: for ever. Results are wrong when what is needed is gone",
    },
    Known {
        key: "table.exec.emit.early-fire.enabled",
        default: "false",
        kind: Kind::Boolean,
        meaning: "whether windows give results before they are over, taken back later",
    },
    Known {
        key: "table.exec.emit.early-fire.delay",
        default: "1 s",
        kind: Kind::Duration,
        meaning: "processing time between two early results of a window",
    },
    Known {
        key: "table.exec.emit.late-fire.enabled",
        default: "false",
        kind: Kind::Boolean,
        meaning: "whether late results of windows wait for late-fire.delay; needs allow-lateness",
    },
    Known {
        key: "table.exec.emit.late-fire.delay",
        default: "0 ms",
        kind: Kind::Duration,
        meaning: "processing time between two late results of a window; 0: at once",
    },
    Known {
        key: "table.exec.emit.allow-lateness",
        default: "0 ms",
        kind: Kind::Duration,
        meaning: "for how long, in event time, a window that is over takes late rows, which change its result",
    },
    Known {
        key: "table.exec.source.idle-timeout",
        default: "1 s",
        kind: Kind::Duration,
        meaning: "after which silence event time no longer waits for a partition",
    },
    Known {
        key: "table.dml-sync",
        default: "false",
        kind: Kind::Boolean,
        meaning: "whether INSERT INTO is done when its job is; where all of the input has an end, it is anyway",
    },
    Known {
        key: "table.local-time-zone",
        default: "UTC",
        kind: Kind::OneOf(&["UTC"]),
        meaning: "time zone of TIMESTAMP_LTZ when it is read and shown",
    },
    Known {
        key: "table.exec.mini-batch.enabled",
        default: "true",
        kind: Kind::Boolean,
        meaning: "accepted, so that scripts from Flink run: rows always travel in batches, never held back",
    },
    Known {
        key: "table.exec.mini-batch.allow-latency",
        default: "0 ms",
        kind: Kind::Duration,
        meaning: "accepted, as above",
    },
    Known {
        key: "table.exec.mini-batch.size",
        default: "0",
        kind: Kind::Number { least: 0, most: u64::MAX },
        meaning: "accepted, as above",
    },
    Known {
        key: "table.optimizer.agg-phase-strategy",
        default: "AUTO",
        kind: Kind::OneOf(&["AUTO", "ONE_PHASE", "TWO_PHASE"]),
        meaning: "TWO_PHASE and AUTO: rows are combined before they are spread by key; ONE_PHASE: behind it",
    },
    Known {
        key: "table.optimizer.distinct-agg.split.enabled",
        default: "false",
        kind: Kind::Boolean,
        meaning: "accepted, as above: DISTINCT values are combined before they are spread",
    },
    Known {
        key: "sql-client.execution.result-mode",
        default: "table",
        kind: Kind::OneOf(&["table", "changelog", "tableau"]),
        meaning: "accepted, so that scripts from Flink run: how results are shown is an option of the command line",
    },
];

/// The settings of a session. Keys are checked: one that is not known is an error that names the nearest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    changed: BTreeMap<String, String>,
}

impl Settings {
    /// Sets a value. `execution.runtime_mode` is the same as `execution.runtime-mode`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a key that is not known or a value that does not fit.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let known = known(key)?;
        check(known, value)?;
        if value == known.default {
            self.changed.remove(known.key);
        } else {
            self.changed.insert(known.key.to_owned(), value.to_owned());
        }
        Ok(())
    }

    /// Takes a value back to its default; without a key, all of them.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a key that is not known.
    pub fn reset(&mut self, key: Option<&str>) -> Result<()> {
        match key {
            None => self.changed.clear(),
            Some(key) => {
                self.changed.remove(known(key)?.key);
            }
        }
        Ok(())
    }

    /// The value of a setting.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a key that is not known.
    pub fn get(&self, key: &str) -> Result<&str> {
        let known = known(key)?;
        Ok(self.changed.get(known.key).map_or(known.default, String::as_str))
    }

    /// What differs from the defaults.
    pub fn changed(&self) -> &BTreeMap<String, String> {
        &self.changed
    }

    /// All settings as (key, value, meaning).
    pub fn all(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        KNOWN.iter().map(|known| {
            let value = self.changed.get(known.key).map_or(known.default, String::as_str);
            (known.key, value, known.meaning)
        })
    }

    /// `execution.runtime-mode`.
    pub fn mode(&self) -> RuntimeMode {
        match self.text("execution.runtime-mode") {
            "batch" => RuntimeMode::Batch,
            _ => RuntimeMode::Streaming,
        }
    }

    /// `execution.until-caught-up`.
    pub fn until_caught_up(&self) -> bool {
        self.flag("execution.until-caught-up")
    }

    /// `parallelism.default`.
    pub fn parallelism(&self) -> u32 {
        self.text("parallelism.default").parse().unwrap_or(1)
    }

    /// `pipeline.max-parallelism`.
    pub fn key_groups(&self) -> u16 {
        self.text("pipeline.max-parallelism").parse().unwrap_or(128)
    }

    /// A setting that is true or false.
    pub fn flag(&self, key: &str) -> bool {
        self.text(key) == "true"
    }

    /// A setting that is a length of time; `None` if it is 0.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        parse_duration(self.text(key)).filter(|duration| !duration.is_zero())
    }

    /// A setting as text; empty for a key that is not known.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }
}

fn known(key: &str) -> Result<&'static Known> {
    let plain = |key: &str| key.to_ascii_lowercase().replace('_', "-");
    let wanted = plain(key);
    if let Some(known) = KNOWN.iter().find(|known| plain(known.key) == wanted) {
        return Ok(known);
    }
    Err(Error::invalid(match nearest(&wanted, KNOWN.iter().map(|known| known.key)) {
        Some(near) => format!("setting '{key}' is not known; did you mean '{near}'?"),
        None => format!("setting '{key}' is not known; SET; lists all of them"),
    }))
}

fn check(known: &Known, value: &str) -> Result<()> {
    let wrong = |expected: String| {
        Err(Error::invalid(format!("setting '{}' takes {expected}, not '{value}'", known.key)))
    };
    match &known.kind {
        Kind::Text => Ok(()),
        Kind::Boolean if matches!(value, "true" | "false") => Ok(()),
        Kind::Boolean => wrong("'true' or 'false'".to_owned()),
        Kind::OneOf(values) if values.contains(&value) => Ok(()),
        Kind::OneOf(values) => wrong(format!("'{}'", values.join("' or '"))),
        Kind::Number { least, most } => match value.parse::<u64>() {
            Ok(number) if (*least..=*most).contains(&number) => Ok(()),
            _ => wrong(format!("a whole number from {least} to {most}")),
        },
        Kind::Duration if parse_duration(value).is_some() => Ok(()),
        Kind::Duration => wrong("a length of time such as '500 ms', '1 s' or '5 min'".to_owned()),
    }
}

/// A length of time as Flink writes it: a whole number and a unit; without one, milliseconds.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..split].parse().ok()?;
    let millis = match text[split..].trim().to_ascii_lowercase().as_str() {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

#[cfg(test)]
mod settings_tests {
    use super::*;

    #[test]
    fn values_are_checked_and_unknown_keys_get_a_suggestion() {
        let mut settings = Settings::default();
        assert_eq!(settings.mode(), RuntimeMode::Streaming);
        settings.set("execution.runtime_mode", "batch").unwrap();
        assert_eq!(settings.mode(), RuntimeMode::Batch);
        settings.set("table.exec.state.ttl", "2 h").unwrap();
        assert_eq!(settings.duration("table.exec.state.ttl"), Some(Duration::from_secs(7200)));
        let error = settings.set("parallelism.defualt", "2").unwrap_err().to_string();
        assert!(error.contains("did you mean 'parallelism.default'?"), "{error}");
        let error = settings.set("parallelism.default", "0").unwrap_err().to_string();
        assert!(error.contains("a whole number from 1 to 128, not '0'"), "{error}");
        settings.reset(None).unwrap();
        assert!(settings.changed().is_empty());
    }
}
