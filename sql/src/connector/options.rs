//! The options of a table as its connector asks for them.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use crate::catalog::{Table, nearest};
use crate::{Error, Result};

/// A table's options. Whatever was asked for is known; [`Options::finish`] finds what nobody has asked for.
pub(super) struct Options<'a> {
    table: &'a Table,
    asked: RefCell<BTreeSet<String>>,
}

impl<'a> Options<'a> {
    pub(super) fn new(table: &'a Table) -> Self {
        Self { table, asked: RefCell::new(BTreeSet::from(["connector".to_owned()])) }
    }

    /// The option, if it is set.
    pub(super) fn text(&self, key: &str) -> Option<&'a str> {
        self.asked.borrow_mut().insert(key.to_owned());
        self.table.option(key)
    }

    /// The option, which must be set.
    pub(super) fn required(&self, key: &str, meaning: &str) -> Result<&'a str> {
        self.text(key)
            .ok_or_else(|| self.wrong(format!("the option '{key}' is missing: {meaning}")))
    }

    /// Options that mean something elsewhere and nothing here.
    pub(super) fn accept(&self, keys: &[&str]) {
        for key in keys {
            self.text(key);
        }
    }

    /// All options that begin with `prefix` are known.
    pub(super) fn accept_all(&self, prefix: &str) {
        for key in self.table.options.keys().filter(|key| key.starts_with(prefix)) {
            self.text(key);
        }
    }

    pub(super) fn boolean(&self, key: &str, default: bool) -> Result<bool> {
        match self.text(key).map(str::to_ascii_lowercase).as_deref() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(other) => Err(self.bad(key, other, "true or false")),
        }
    }

    /// A whole number of at least `least`.
    pub(super) fn number(&self, key: &str, least: i64) -> Result<Option<i64>> {
        let Some(text) = self.text(key) else { return Ok(None) };
        match text.trim().parse() {
            Ok(number) if number >= least => Ok(Some(number)),
            _ => Err(self.bad(key, text, &format!("a whole number from {least} on"))),
        }
    }

    /// One of several words, whatever their case; the first one unless it is set.
    pub(super) fn choice<T: Copy>(&self, key: &str, choices: &[(&str, T)]) -> Result<Option<T>> {
        let Some(text) = self.text(key) else { return Ok(None) };
        match choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let words: Vec<String> =
                    choices.iter().map(|(word, _)| format!("'{word}'")).collect();
                let hint = match nearest(text, choices.iter().map(|(word, _)| *word)) {
                    Some(word) => format!("; did you mean '{word}'?"),
                    None => String::new(),
                };
                Err(self.bad(key, text, &format!("one of {}{hint}", words.join(", "))))
            }
        }
    }

    /// A duration like `5 s` or `100ms`; a number alone is milliseconds.
    pub(super) fn duration(&self, key: &str) -> Result<Option<Duration>> {
        let Some(text) = self.text(key) else { return Ok(None) };
        let trimmed = text.trim();
        let digits = trimmed.len() - trimmed.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = trimmed.split_at(digits);
        let scale = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1,
            "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
            "m" | "min" | "minute" | "minutes" => 60_000,
            "h" | "hour" | "hours" => 3_600_000,
            "d" | "day" | "days" => 86_400_000,
            _ => 0,
        };
        let millis = number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale));
        match millis.filter(|_| scale > 0) {
            Some(millis) => Ok(Some(Duration::from_millis(millis))),
            None => Err(self.bad(key, text, "a duration like '5 s' or '100 ms'")),
        }
    }

    /// Numbers by partition: `partition:0,offset:42;partition:1,offset:300`.
    pub(super) fn offsets(&self, key: &str) -> Result<std::collections::BTreeMap<u32, i64>> {
        let text = self.required(key, "partition:0,offset:42;partition:1,offset:300")?;
        let wrong = || self.bad(key, text, "like 'partition:0,offset:42;partition:1,offset:300'");
        let pair = |part: &str| -> Option<(u32, i64)> {
            let (partition, offset) = part.trim().split_once(',')?;
            let partition = partition.trim().strip_prefix("partition:")?.trim().parse().ok()?;
            let offset = offset.trim().strip_prefix("offset:")?.trim().parse().ok()?;
            (offset >= 0).then_some((partition, offset))
        };
        text.split(';')
            .filter(|part| !part.trim().is_empty())
            .map(|part| pair(part).ok_or_else(wrong))
            .collect()
    }

    /// An error about the table.
    pub(super) fn wrong(&self, reason: impl std::fmt::Display) -> Error {
        Error::invalid(format!("table `{}`: {reason}", self.table.name))
    }

    /// An error about a value.
    pub(super) fn bad(&self, key: &str, value: &str, expected: &str) -> Error {
        self.wrong(format!("the option '{key}' is '{value}', and takes {expected}"))
    }

    /// Nothing more will be asked for.
    ///
    /// # Errors
    /// [`Error::Invalid`] naming an option that nobody has asked for, and the nearest that somebody has.
    pub(super) fn finish(&self) -> Result<()> {
        let asked = self.asked.borrow();
        let Some(unknown) = self.table.options.keys().find(|key| !asked.contains(*key)) else {
            return Ok(());
        };
        let connector = self.table.option("connector").unwrap_or_default();
        let hint = match nearest(unknown, asked.iter().map(String::as_str)) {
            Some(known) => format!("; did you mean '{known}'?"),
            None => {
                let known: Vec<&str> = asked.iter().map(String::as_str).collect();
                format!("; it has {}", known.join(", "))
            }
        };
        Err(self.wrong(format!("the connector '{connector}' has no option '{unknown}'{hint}")))
    }
}
