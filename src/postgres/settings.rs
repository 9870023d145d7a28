//! What PostgreSQL's clients say that is not about data: settings, transactions, connections.
//!
//! Transactions are accepted and mean nothing: each statement stands for itself. Settings of PostgreSQL are remembered and told
//! again; but for the encoding, which is UTF-8, none of them changes an answer. Times are always told in UTC.

use std::collections::BTreeMap;

use pgwire::error::{PgWireError, PgWireResult};

use super::errors::plain;
use crate::sql::script::words;

/// What drivers look for in a server's version: that of PostgreSQL whose manners are imitated.
pub(super) const VERSION: &str = concat!("15.0 (Riverrun ", env!("CARGO_PKG_VERSION"), ")");

/// What a connection has set, beginning with what a server tells unasked.
#[derive(Debug, Clone)]
pub(super) struct Settings(BTreeMap<String, String>);

/// A statement that the engine is not asked about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Recognised {
    /// Done; this is the tag.
    Done(&'static str),
    /// A transaction begins.
    Begin,
    /// A transaction ends; this is the tag.
    End(&'static str),
    /// Rows of text: the names of the columns, then the rows.
    Rows(Vec<&'static str>, Vec<Vec<String>>),
    /// One setting: its name and its value.
    Setting(String, String),
    /// What the engine is to be asked instead.
    Instead(String),
}

const KNOWN: [(&str, &str); 28] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("client_min_messages", "notice"),
    ("datestyle", "ISO, YMD"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("extra_float_digits", "1"),
    ("idle_in_transaction_session_timeout", "0"),
    ("in_hot_standby", "off"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "on"),
    ("jit", "off"),
    ("lc_collate", "C.UTF-8"),
    ("lock_timeout", "0"),
    ("max_identifier_length", "63"),
    ("max_index_keys", "32"),
    ("row_security", "on"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", VERSION),
    ("server_version_num", "150000"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("synchronize_seqscans", "on"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
];

impl Default for Settings {
    fn default() -> Self {
        Self(KNOWN.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
    }
}

impl Settings {
    /// The value of a setting of PostgreSQL's.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    /// Sets one. Names that are not known are remembered all the same, as some drivers bring their own.
    ///
    /// # Errors
    /// For an encoding that is not UTF-8.
    pub(super) fn set(&mut self, name: &str, value: &str) -> PgWireResult<()> {
        let name = name.to_ascii_lowercase();
        let utf8 = matches!(
            value.to_ascii_lowercase().replace(['-', '_'], "").as_str(),
            "utf8" | "unicode" | "default"
        );
        if name == "client_encoding" && !utf8 {
            let reason = format!("client_encoding `{value}` is not served: everything is UTF8");
            return Err(plain("22023", reason));
        }
        if name == "client_encoding" {
            return Ok(());
        }
        self.0.insert(name, value.to_owned());
        Ok(())
    }

    /// All settings with their values, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// What a statement is, if it is not for the engine. Settings take effect here.
    ///
    /// # Errors
    /// As [`Settings::set`].
    pub(super) fn recognise(&mut self, statement: &str) -> PgWireResult<Option<Recognised>> {
        let words = words(statement);
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        Ok(Some(match (word(0), word(1)) {
            ("BEGIN", "STATEMENT") => return Ok(None),
            ("BEGIN", _) | ("START", "TRANSACTION") => Recognised::Begin,
            ("COMMIT" | "END", _) => Recognised::End("COMMIT"),
            ("ROLLBACK", "TO") => Recognised::Done("ROLLBACK"),
            ("ROLLBACK" | "ABORT", _) => Recognised::End("ROLLBACK"),
            ("SAVEPOINT", _) => Recognised::Done("SAVEPOINT"),
            ("RELEASE", _) => Recognised::Done("RELEASE"),
            ("DEALLOCATE", _) => Recognised::Done("DEALLOCATE"),
            ("DISCARD", _) => {
                *self = Self::default();
                Recognised::Done("DISCARD ALL")
            }
            ("UNLISTEN", _) => Recognised::Done("UNLISTEN"),
            ("RESET", name) if !name.starts_with('\'') && !words.contains(&".".to_owned()) => {
                let default = KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
                match default {
                    Some((name, value)) => self.set(name, value)?,
                    None if name == "ALL" => *self = Self::default(),
                    None => return Ok(None),
                }
                Recognised::Done("RESET")
            }
            ("SET", _) => return self.recognise_set(&words),
            ("SHOW", "ALL") => {
                let rows = self.all().map(|(name, value)| vec![name.to_owned(), value.to_owned()]);
                Recognised::Rows(vec!["name", "setting"], rows.collect())
            }
            ("SHOW", "TRANSACTION") => self.shown("transaction_isolation")?,
            ("SHOW", "TIME") => self.shown("timezone")?,
            ("SHOW", name) if words.len() == 2 && self.get(name).is_some() => self.shown(name)?,
            _ => return Ok(None),
        }))
    }

    fn shown(&self, name: &str) -> PgWireResult<Recognised> {
        let value = self.get(name).ok_or_else(|| no_such_setting(name))?;
        Ok(Recognised::Setting(name.to_ascii_lowercase(), value.to_owned()))
    }

    fn recognise_set(&mut self, words: &[String]) -> PgWireResult<Option<Recognised>> {
        let mut rest = &words[1..];
        if let Some("SESSION" | "LOCAL") = rest.first().map(String::as_str) {
            rest = &rest[1..];
        }
        let first = rest.first().map_or("", String::as_str);
        match first {
            // Flink's own form.
            first if first.starts_with('\'') || first.is_empty() => return Ok(None),
            "TRANSACTION" | "CHARACTERISTICS" => return Ok(Some(Recognised::Done("SET"))),
            "NAMES" => self.set("client_encoding", &unquoted(&rest[1..]))?,
            "TIME" => self.set("timezone", &unquoted(&rest[2.min(rest.len())..]))?,
            _ => {
                let Some(at) = rest.iter().position(|word| word == "=" || word == "TO") else {
                    return Ok(None);
                };
                let name = rest[..at].concat().replace('"', "").to_ascii_lowercase();
                let value = &rest[at + 1..];
                if name.contains('.') {
                    // A setting of the engine's, in letters that PostgreSQL's grammar takes.
                    let (name, value) = (name.replace('_', "-"), unquoted(value));
                    let value = value.replace('\'', "''");
                    return Ok(Some(Recognised::Instead(format!("SET '{name}' = '{value}'"))));
                }
                self.set(&name, &unquoted(value))?;
            }
        }
        Ok(Some(Recognised::Done("SET")))
    }
}

/// What was given as a value: literals without their quotes, words in lower case.
fn unquoted(words: &[String]) -> String {
    let word = |word: &String| match word.strip_prefix('\'').and_then(|w| w.strip_suffix('\'')) {
        Some(literal) => literal.to_owned(),
        None => word.to_lowercase(),
    };
    words.iter().map(word).collect()
}

fn no_such_setting(name: &str) -> PgWireError {
    plain("42704", format!("there is no setting `{name}`; SHOW ALL lists them"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognise(settings: &mut Settings, statement: &str) -> Option<Recognised> {
        settings.recognise(statement).unwrap()
    }

    #[test]
    fn what_drivers_say_is_understood() {
        let mut settings = Settings::default();
        let settings = &mut settings;
        for (statement, expected) in [
            ("BEGIN", Recognised::Begin),
            ("start transaction read only", Recognised::Begin),
            ("COMMIT", Recognised::End("COMMIT")),
            ("ROLLBACK", Recognised::End("ROLLBACK")),
            ("SET extra_float_digits = 3", Recognised::Done("SET")),
            ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", Recognised::Done("SET")),
            ("set client_encoding to 'UTF-8'", Recognised::Done("SET")),
            ("SET TIME ZONE 'Europe/Berlin'", Recognised::Done("SET")),
            ("SET application_name = 'psql'", Recognised::Done("SET")),
            ("DISCARD ALL", Recognised::Done("DISCARD ALL")),
        ] {
            assert_eq!(recognise(settings, statement), Some(expected), "{statement}");
        }
        let refused = settings.recognise("SET client_encoding = 'LATIN1'");
        assert!(matches!(refused, Err(PgWireError::UserError(info)) if info.code == "22023"));
    }

    #[test]
    fn settings_are_remembered_and_reset() {
        let mut settings = Settings::default();
        recognise(&mut settings, "SET DateStyle TO 'ISO, DMY'");
        let shown = |settings: &mut Settings| recognise(settings, "SHOW datestyle");
        let setting = |value: &str| Some(Recognised::Setting("datestyle".into(), value.into()));
        assert_eq!(shown(&mut settings), setting("ISO, DMY"));
        recognise(&mut settings, "RESET datestyle");
        assert_eq!(shown(&mut settings), setting("ISO, YMD"));
    }

    #[test]
    fn what_is_for_the_engine_is_left_to_it() {
        let mut settings = Settings::default();
        for statement in [
            "SHOW TABLES",
            "SHOW JOBS",
            "SET 'execution.runtime-mode' = 'batch'",
            "SET",
            "RESET 'execution.runtime-mode'",
            "BEGIN STATEMENT SET; INSERT INTO a SELECT 1; END",
            "SELECT 1",
        ] {
            assert_eq!(recognise(&mut settings, statement), None, "{statement}");
        }
        let instead = Recognised::Instead("SET 'execution.runtime-mode' = 'batch'".into());
        let said = recognise(&mut settings, "SET execution.runtime_mode = batch");
        assert_eq!(said.as_ref(), Some(&instead));
        let said = recognise(&mut settings, r#"SET "execution.runtime-mode" = 'batch'"#);
        assert_eq!(said, Some(instead));
    }
}
