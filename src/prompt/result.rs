//! Results on their way to the screen, wherever they come from.

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};
use riverrun_sql::Position;

use crate::sql::values::write_text;

/// A value as text; `None` for NULL.
pub(super) type Cell = Option<String>;

/// Rows, each with its weight: below 0 for rows that are taken back.
pub(super) type Rows = Vec<(i64, Vec<Cell>)>;

/// A column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heading {
    /// Its name.
    pub name: String,
    /// What its values are.
    pub kind: CellKind,
}

/// What the values of a column are: how they are aligned, and how JSON writes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CellKind {
    /// A number.
    Number,
    /// `true` or `false`.
    Bool,
    /// JSON already.
    Json,
    /// Everything else.
    Text,
}

/// What came of a statement.
pub(super) enum Reply {
    /// It is done.
    Done(String),
    /// It has rows.
    Rows(Box<dyn RowSource>),
}

/// Rows that come bit by bit.
pub(super) trait RowSource: Send {
    /// The columns.
    fn headings(&self) -> &[Heading];

    /// Whether rows may be taken back.
    fn is_changelog(&self) -> bool;

    /// Whether the rows have an end.
    fn is_bounded(&self) -> bool;

    /// The next rows; `None` at the end. Waits until there are some.
    ///
    /// # Errors
    /// What went wrong; also if it was stopped.
    fn next_rows(&mut self) -> Result<Option<Rows>, Complaint>;

    /// Whether the result is best seen as it stands now, and not as a list of what has come.
    fn is_live(&self) -> bool {
        false
    }

    /// What stops the rows, from any thread.
    fn stop(&self) -> Box<dyn Fn() + Send + Sync> {
        // Rows that are there already come to their end by themselves.
        Box::new(|| ())
    }
}

/// What is wrong with a statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Complaint {
    /// What is wrong, and what to do.
    pub message: String,
    /// Where in the statement.
    pub position: Option<Position>,
    /// What else might help.
    pub hint: Option<String>,
}

impl From<riverrun_sql::Error> for Complaint {
    fn from(error: riverrun_sql::Error) -> Self {
        use riverrun_sql::Error;
        let position = error.position();
        let message = match error {
            // Their text begins with the place, which is shown in another way here.
            Error::Syntax { reason, .. } | Error::Invalid { reason, .. } => reason,
            other => other.to_string(),
        };
        Self { message, position, hint: None }
    }
}

impl Complaint {
    /// The complaint about a statement that begins at `start` of a script, as people read it: the place, the line, and a caret below.
    pub(super) fn show(&self, file: Option<&str>, script: &str, start: usize) -> String {
        let mut out = "error: ".to_owned();
        let position = self.position.map(|position| within(script, start, position));
        if let Some(file) = file {
            out += &format!("{file}: ");
        }
        match position {
            None => out += &self.message,
            Some(position) => {
                out += &format!("{position}: {}", self.message);
                let line = usize::try_from(position.line).unwrap_or(usize::MAX);
                if let Some(text) = script.lines().nth(line.saturating_sub(1)) {
                    let margin = " ".repeat(line.to_string().len());
                    let before: String = text
                        .chars()
                        .take(usize::try_from(position.column).unwrap_or(1).saturating_sub(1))
                        .map(|c| if c == '\t' { '\t' } else { ' ' })
                        .collect();
                    out += &format!("\n{margin} |\n{line} | {text}\n{margin} | {before}^");
                }
            }
        }
        if let Some(hint) = &self.hint {
            out += &format!("\nhint: {hint}");
        }
        out
    }
}

/// A place in a statement as a place in the script.
fn within(script: &str, start: usize, position: Position) -> Position {
    let before = &script[..start];
    let lines = before.matches('\n').count() as u64;
    let column = if position.line == 1 {
        let line = before.rsplit('\n').next().unwrap_or_default();
        line.chars().count() as u64 + position.column
    } else {
        position.column
    };
    Position { line: lines + position.line, column }
}

/// The columns of a schema.
pub(super) fn headings(schema: &Schema) -> Vec<Heading> {
    let kind = |data_type: &DataType| match data_type {
        t if t.is_numeric() => CellKind::Number,
        DataType::Boolean => CellKind::Bool,
        t if t.is_nested() => CellKind::Json,
        _ => CellKind::Text,
    };
    let fields = schema.fields().iter();
    fields
        .map(|field| Heading { name: field.name().clone(), kind: kind(field.data_type()) })
        .collect()
}

/// The rows of a batch.
pub(super) fn rows(batch: &RecordBatch, weight: impl Fn(usize) -> i64) -> Rows {
    let cell = |column: &arrow_array::ArrayRef, row| {
        let mut text = String::new();
        write_text(&mut text, column.as_ref(), row).then_some(text)
    };
    (0..batch.num_rows())
        .map(|row| (weight(row), batch.columns().iter().map(|c| cell(c, row)).collect()))
        .collect()
}

/// Rows that are there already.
pub(super) struct Fixed {
    headings: Vec<Heading>,
    rows: Option<Rows>,
}

impl Fixed {
    /// The rows of some batches.
    pub(super) fn of(schema: &Schema, batches: &[RecordBatch]) -> Self {
        let rows = batches.iter().flat_map(|batch| rows(batch, |_| 1)).collect();
        Self { headings: headings(schema), rows: Some(rows) }
    }
}

impl RowSource for Fixed {
    fn headings(&self) -> &[Heading] {
        &self.headings
    }

    fn is_changelog(&self) -> bool {
        false
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn next_rows(&mut self) -> Result<Option<Rows>, Complaint> {
        Ok(self.rows.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_show_the_place_in_the_script() {
        let script = "SELECT 1;\nSELECT 2; SELECT\n\tnope FROM t;";
        let complaint = Complaint {
            message: "no column `nope`".to_owned(),
            position: Some(Position { line: 2, column: 2 }),
            hint: Some("t has a".to_owned()),
        };
        let start = script.rfind("SELECT").unwrap();
        let expected = "error: a.sql: line 3, column 2: no column `nope`\n  |\n3 | \tnope FROM t;\n  | \t^\nhint: t has a";
        assert_eq!(complaint.show(Some("a.sql"), script, start), expected);
        let first = Complaint { position: Some(Position { line: 1, column: 8 }), ..complaint };
        let shown = first.show(None, script, start);
        assert!(shown.starts_with("error: line 2, column 18: no column"), "{shown}");
    }
}
