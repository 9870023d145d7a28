//! Completion with the tab key, and whether a statement is whole.

use std::collections::BTreeSet;

use riverrun_sql::parser::is_complete;
use rustyline::Context;
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};

use super::console::is_command;

const KEYWORDS: &[&str] = &[
    "ALL",
    "AND",
    "ARRAY",
    "AS",
    "BETWEEN",
    "BIGINT",
    "BOOLEAN",
    "BY",
    "BYTES",
    "CASE",
    "CAST",
    "CREATE",
    "CROSS JOIN",
    "CUMULATE",
    "DATE",
    "DECIMAL",
    "DESC",
    "DESCRIBE",
    "DESCRIPTOR",
    "DISTINCT",
    "DOUBLE",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXECUTE STATEMENT SET BEGIN",
    "EXISTS",
    "EXPLAIN",
    "FALSE",
    "FILTER",
    "FLOAT",
    "FOR SYSTEM_TIME AS OF",
    "FROM",
    "FULL JOIN",
    "GROUP BY",
    "GROUPING SETS",
    "HAVING",
    "HOP",
    "IN",
    "INNER JOIN",
    "INSERT INTO",
    "INT",
    "INTERVAL",
    "IS NOT NULL",
    "IS NULL",
    "JOIN",
    "LEFT JOIN",
    "LIKE",
    "LIMIT",
    "MATERIALIZED VIEW",
    "METADATA",
    "NOT",
    "NULL",
    "ON",
    "OR",
    "ORDER BY",
    "OVER",
    "PARTITION BY",
    "PRIMARY KEY",
    "RESET",
    "RIGHT JOIN",
    "ROW",
    "ROW_NUMBER",
    "SELECT",
    "SESSION",
    "SET",
    "SHOW CREATE TABLE",
    "SHOW FUNCTIONS",
    "SHOW JOBS",
    "SHOW TABLES",
    "SHOW VIEWS",
    "STOP JOB",
    "STRING",
    "TABLE",
    "TEMPORARY",
    "THEN",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "TRUE",
    "TUMBLE",
    "UNION ALL",
    "UNNEST",
    "VALUES",
    "VIEW",
    "WATERMARK FOR",
    "WHEN",
    "WHERE",
    "WITH",
];

/// Names that can be completed.
#[derive(Debug, Default, Clone)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// Adds some.
    pub(super) fn add(&mut self, names: impl IntoIterator<Item = String>) {
        self.0.extend(names);
    }
}

/// What the line editor asks.
pub(super) struct Assistant {
    /// Names of tables, columns and functions.
    pub names: Names,
}

impl Assistant {
    /// Where the word before the cursor begins, and what it may become. Keywords come in the case in which the word is begun.
    fn candidates(&self, line: &str, cursor: usize) -> (usize, Vec<String>) {
        let before = &line[..cursor];
        let in_word = |c: char| c.is_alphanumeric() || c == '_';
        let start = before
            .rfind(|c| !in_word(c))
            .map_or(0, |at| at + before[at..].chars().next().map_or(0, char::len_utf8));
        let word = &before[start..];
        if word.is_empty() {
            return (start, Vec::new());
        }
        let begins = |candidate: &str| {
            candidate.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
        };
        let lower = word.chars().all(|c| !c.is_uppercase());
        let keywords = KEYWORDS
            .iter()
            .filter(|keyword| begins(keyword))
            .map(|keyword| if lower { keyword.to_lowercase() } else { (*keyword).to_owned() });
        let names = self.names.0.iter().filter(|name| begins(name)).cloned();
        (start, names.chain(keywords).collect())
    }
}

impl Completer for Assistant {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        cursor: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.candidates(line, cursor))
    }
}

impl Validator for Assistant {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let input = context.input();
        Ok(if is_command(input) || is_complete(input) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {}

impl rustyline::Helper for Assistant {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_completed_from_names_and_keywords() {
        let mut names = Names::default();
        names.add(["orders", "order_id", "ORDINAL"].map(str::to_owned));
        let assistant = Assistant { names };
        let line = "SELECT ord";
        let expected = ["ORDINAL", "order_id", "orders", "order by"].map(str::to_owned);
        assert_eq!(assistant.candidates(line, line.len()), (7, expected.to_vec()));
        let upper = assistant.candidates("SEL", 3);
        assert_eq!(upper, (0, vec!["SELECT".to_owned()]));
        assert_eq!(assistant.candidates("SELECT ", 7), (7, Vec::new()));
        assert_eq!(assistant.candidates("SELECT ö.or", 12).0, 10);
    }
}
