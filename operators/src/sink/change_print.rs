//! Columns as text, for people: one change a line.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use riverrun_dataflow::{Batch, Error, Operator, OperatorContext, Output, Result};

use super::SharedWriter;
use crate::format::table::{Cell, Kind, TimestampFormat};

/// Prints rows as Flink does: `+I[1, a]` for one that is inserted, `-D[1, a]` for one that is taken back.
pub(super) struct ChangePrintSink {
    writer: SharedWriter,
    identifier: String,
    operator: String,
    prefix: String,
    buffer: Vec<u8>,
}

impl ChangePrintSink {
    /// Puts `identifier` before each line, unless it is empty.
    pub(super) fn new(writer: SharedWriter, identifier: String) -> Self {
        Self {
            writer,
            identifier,
            operator: "print".into(),
            prefix: String::new(),
            buffer: Vec::new(),
        }
    }
}

impl Operator for ChangePrintSink {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        let subtask = (context.parallelism > 1).then(|| (context.subtask.index + 1).to_string());
        self.prefix = match (self.identifier.as_str(), subtask) {
            ("", None) => String::new(),
            ("", Some(subtask)) => format!("{subtask}> "),
            (identifier, None) => format!("{identifier}> "),
            (identifier, Some(subtask)) => format!("{identifier}:{subtask}> "),
        };
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Output) -> Result<()> {
        let columns = batch.into_columns(&self.operator)?;
        let (batch, weight_column) = (columns.batch, columns.weight_column);
        let schema = batch.schema_ref();
        let cells = (0..batch.num_columns()).filter(|at| Some(*at) != weight_column);
        let cells = cells.map(|at| Cell::of(schema.field(at).name(), batch.column(at)));
        let cells = cells.collect::<Result<Vec<_>, _>>().map_err(|error| Error::Format {
            place: self.operator.clone(),
            reason: error.to_string(),
        })?;
        let weights = weight_column.and_then(|at| batch.column(at).as_primitive_opt::<Int64Type>());
        self.buffer.clear();
        for row in 0..batch.num_rows() {
            let weight = weights.map_or(1, |weights| weights.value(row));
            let start = self.buffer.len();
            self.buffer.extend_from_slice(self.prefix.as_bytes());
            self.buffer.extend_from_slice(if weight > 0 { b"+I" } else { b"-D" });
            write_row(&cells, row, &mut self.buffer);
            self.buffer.push(b'\n');
            let end = self.buffer.len();
            for _ in 1..weight.unsigned_abs() {
                self.buffer.extend_from_within(start..end);
            }
        }
        self.writer.write(&self.buffer)
    }
}

fn write_row(cells: &[Cell<'_>], row: usize, out: &mut Vec<u8>) {
    out.push(b'[');
    for (nth, cell) in cells.iter().enumerate() {
        if nth > 0 {
            out.extend_from_slice(b", ");
        }
        write(cell, row, out);
    }
    out.push(b']');
}

fn write(cell: &Cell<'_>, row: usize, out: &mut Vec<u8>) {
    if cell.is_null(row) {
        out.extend_from_slice(b"null");
        return;
    }
    match &cell.kind {
        Kind::Text(array) => out.extend_from_slice(array.value(row).as_bytes()),
        Kind::List(list, items) => {
            let ends = list.value_offsets();
            out.push(b'[');
            for (nth, item) in (ends[row]..ends[row + 1]).enumerate() {
                if nth > 0 {
                    out.extend_from_slice(b", ");
                }
                write(items, item as usize, out);
            }
            out.push(b']');
        }
        Kind::Map(map, keys, values) => {
            let ends = map.value_offsets();
            out.push(b'{');
            for (nth, entry) in (ends[row]..ends[row + 1]).enumerate() {
                if nth > 0 {
                    out.extend_from_slice(b", ");
                }
                write(keys, entry as usize, out);
                out.push(b'=');
                write(values, entry as usize, out);
            }
            out.push(b'}');
        }
        Kind::Row(_, fields) => {
            out.extend_from_slice(b"+I");
            write_row(fields, row, out);
        }
        _ => {
            cell.write_plain(row, TimestampFormat::Iso8601, out);
        }
    }
}
