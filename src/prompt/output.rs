//! Rows as tables, JSON lines and CSV.

use std::io::Write;

use comfy_table::{CellAlignment, Table};

use super::result::{Cell, CellKind, Complaint, Heading, RowSource};
use crate::sql::values::write_quoted;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum ResultFormat {
    /// For people
    #[default]
    Table,
    /// One JSON object a line
    Json,
    /// RFC 4180, with the names of the columns in the first line
    Csv,
}

/// As many rows are put into one table: their widths are worked out together. A larger result is several tables.
const ROWS_OF_A_TABLE: usize = 1000;

/// Prints all rows as they come; rows of a changelog have `op` in front. Returns how many there were.
pub(super) fn print(
    out: &mut impl Write,
    source: &mut dyn RowSource,
    format: ResultFormat,
) -> anyhow::Result<Result<u64, Complaint>> {
    let mut headings = source.headings().to_vec();
    if source.is_changelog() {
        headings.insert(0, Heading { name: "op".to_owned(), kind: CellKind::Text });
    }
    let mut printer = Printer { headings, format, waiting: Vec::new(), tables: 0 };
    printer.begin(out)?;
    let mut count = 0;
    loop {
        let rows = match source.next_rows() {
            Ok(Some(rows)) => rows,
            Ok(None) => break,
            Err(complaint) => {
                printer.end(out)?;
                return Ok(Err(complaint));
            }
        };
        for (weight, cells) in rows {
            let mut cells = cells;
            if source.is_changelog() {
                cells.insert(0, Some(if weight < 0 { "-" } else { "+" }.to_owned()));
            }
            for _ in 0..weight.unsigned_abs() {
                count += 1;
                printer.row(out, cells.clone())?;
            }
        }
        if !source.is_bounded() {
            printer.flush(out)?;
        }
    }
    printer.end(out)?;
    Ok(Ok(count))
}

struct Printer {
    headings: Vec<Heading>,
    format: ResultFormat,
    waiting: Vec<Vec<Cell>>,
    tables: u64,
}

impl Printer {
    fn begin(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        if self.format == ResultFormat::Csv {
            let names = self.headings.iter().map(|heading| Some(heading.name.clone())).collect();
            write_csv(out, names)?;
        }
        Ok(())
    }

    fn row(&mut self, out: &mut impl Write, cells: Vec<Cell>) -> std::io::Result<()> {
        match self.format {
            ResultFormat::Csv => write_csv(out, cells),
            ResultFormat::Json => write_json(out, &self.headings, &cells),
            ResultFormat::Table => {
                self.waiting.push(cells);
                if self.waiting.len() == ROWS_OF_A_TABLE { self.table(out) } else { Ok(()) }
            }
        }
    }

    /// Shows what was taken so far.
    fn flush(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        if !self.waiting.is_empty() {
            self.table(out)?;
        }
        out.flush()
    }

    fn end(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        if self.format == ResultFormat::Table && (self.tables == 0 || !self.waiting.is_empty()) {
            self.table(out)?;
        }
        out.flush()
    }

    fn table(&mut self, out: &mut impl Write) -> std::io::Result<()> {
        let rows = std::mem::take(&mut self.waiting);
        // The names are told once; tables below the first only go on with its rows.
        let text = table(&self.headings, &rows, self.tables == 0);
        self.tables += 1;
        writeln!(out, "{text}")
    }
}

/// A table as text; NULL is an empty cell with `NULL` in it.
pub(super) fn table(headings: &[Heading], rows: &[Vec<Cell>], with_names: bool) -> String {
    let mut table = Table::new();
    table.load_preset("     --            ");
    if with_names {
        table.set_header(headings.iter().map(|heading| &heading.name));
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")));
    }
    for (column, heading) in table.column_iter_mut().zip(headings) {
        if heading.kind == CellKind::Number {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

fn write_csv(out: &mut impl Write, cells: Vec<Cell>) -> std::io::Result<()> {
    let mut line = String::new();
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            line.push(',');
        }
        write_quoted(&mut line, cell.as_deref().unwrap_or_default());
    }
    writeln!(out, "{line}")
}

fn write_json(out: &mut impl Write, headings: &[Heading], cells: &[Cell]) -> std::io::Result<()> {
    let mut line = "{".to_owned();
    for (at, (heading, cell)) in headings.iter().zip(cells).enumerate() {
        if at > 0 {
            line.push(',');
        }
        line += &serde_json::Value::from(heading.name.as_str()).to_string();
        line.push(':');
        match cell {
            None => line += "null",
            // NaN and infinities are no JSON.
            Some(text) if heading.kind == CellKind::Number && text.ends_with(['N', 'y']) => {
                line += &serde_json::Value::from(text.as_str()).to_string();
            }
            Some(text) if heading.kind != CellKind::Text => line += text,
            Some(text) => line += &serde_json::Value::from(text.as_str()).to_string(),
        }
    }
    line.push('}');
    writeln!(out, "{line}")
}

#[cfg(test)]
mod tests {
    use super::super::result::Rows;
    use super::*;

    struct Source {
        headings: Vec<Heading>,
        batches: Vec<Rows>,
        changelog: bool,
    }

    impl RowSource for Source {
        fn headings(&self) -> &[Heading] {
            &self.headings
        }
        fn is_changelog(&self) -> bool {
            self.changelog
        }
        fn is_bounded(&self) -> bool {
            true
        }
        fn next_rows(&mut self) -> Result<Option<Rows>, Complaint> {
            Ok(self.batches.pop())
        }
    }

    fn printed(format: ResultFormat, changelog: bool) -> String {
        let heading = |name: &str, kind| Heading { name: name.to_owned(), kind };
        let row = |name: &str, n: Cell| vec![Some(name.to_owned()), n];
        let mut source = Source {
            headings: vec![heading("name", CellKind::Text), heading("n", CellKind::Number)],
            batches: vec![vec![
                (1, row("a,b", Some("10".to_owned()))),
                (if changelog { -1 } else { 2 }, row("c\"", None)),
            ]],
            changelog,
        };
        let mut out = Vec::new();
        print(&mut out, &mut source, format).unwrap().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn rows_are_printed_in_each_format_as_often_as_they_are_there() {
        assert_eq!(
            printed(ResultFormat::Csv, false),
            "name,n\n\"a,b\",10\n\"c\"\"\",\n\"c\"\"\",\n"
        );
        assert_eq!(
            printed(ResultFormat::Json, true),
            "{\"op\":\"+\",\"name\":\"a,b\",\"n\":10}\n{\"op\":\"-\",\"name\":\"c\\\"\",\"n\":null}\n"
        );
        let table = printed(ResultFormat::Table, false);
        assert_eq!(table.lines().count(), 5, "{table}");
        assert!(table.lines().nth(2).unwrap().ends_with("  10"), "{table}");
    }
}
