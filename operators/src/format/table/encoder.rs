//! Columns into records.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, Int64Array, MapArray, RecordBatch, new_empty_array};
use arrow_schema::FieldRef;
use hashbrown::HashMap;
use riverrun_dataflow::{Columns, Error, NO_TIMESTAMP, Result, Timestamp};

use super::cell::{Cell, Kind};
use super::csv::{self, CsvOptions};
use super::fault::{Fault, UnfitTable};
use super::json::{JsonCells, JsonWriter};
use super::layout::TableFormat;
use super::metadata::Metadata;
use super::raw::{self, RawOptions};
use super::time::per_second;
use crate::format::{ColumnEncoder, RecordOut};

/// What becomes of the weights of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WriteMode {
    /// Every row is a record. A row that takes another one back is an error.
    #[default]
    Append,
    /// A row replaces the earlier one of its key; a row that is taken back, and not replaced in the same batch, becomes a record
    /// of its key without a value.
    Upsert,
    /// Insertions and retractions are both written; the format must be able to say which is which.
    Changelog,
}

/// What an encoder makes of a batch's columns.
#[derive(Debug, Clone)]
pub struct EncoderLayout {
    /// How values are written.
    pub format: TableFormat,
    /// The columns that a value holds: where they stand in the batch, and what they are called.
    pub value: Vec<(usize, FieldRef)>,
    /// How keys are written, and of which columns.
    pub key: Option<(TableFormat, Vec<(usize, FieldRef)>)>,
    /// The columns that are written as metadata.
    pub metadata: Vec<(usize, Metadata)>,
    /// What becomes of weights.
    pub mode: WriteMode,
}

/// Makes records of a table's columns. The weight column may be there or not.
#[derive(Debug, Clone)]
pub struct TableEncoder {
    layout: Arc<EncoderLayout>,
    value: Writer,
    key: Option<Writer>,
    buffer: Vec<u8>,
    key_buffer: Vec<u8>,
}

/// Writes some columns of a row.
#[derive(Debug, Clone)]
enum Writer {
    Json(JsonWriter),
    Debezium(JsonWriter),
    Csv(CsvOptions, Vec<usize>),
    Raw(RawOptions, usize),
}

enum Cells<'a> {
    Json(JsonCells<'a>),
    Plain(Vec<Cell<'a>>),
}

impl Writer {
    fn new(format: &TableFormat, columns: &[(usize, FieldRef)]) -> Result<Self, UnfitTable> {
        let fields: Vec<FieldRef> = columns.iter().map(|(_, field)| field.clone()).collect();
        for field in &fields {
            Cell::of(field.name(), &new_empty_array(field.data_type()))?;
        }
        let json = |options| {
            let named = columns.iter().map(|(column, field)| (*column, field.name().as_str()));
            JsonWriter::new(named, options)
        };
        Ok(match format {
            TableFormat::Json(options) => Self::Json(json(options.clone())),
            TableFormat::DebeziumJson(options) if options.schema_include => {
                return Err(UnfitTable(
                    "'debezium-json.schema-include' is for reading: leave it out of a table that is written".into(),
                ));
            }
            TableFormat::DebeziumJson(options) => Self::Debezium(json(options.json.clone())),
            TableFormat::Csv(options) => {
                csv::check(&fields)?;
                Self::Csv(options.clone(), columns.iter().map(|(column, _)| *column).collect())
            }
            TableFormat::Raw(options) => {
                raw::check(&fields)?;
                Self::Raw(*options, columns[0].0)
            }
            TableFormat::Nginx => {
                return Err(UnfitTable(
                    "the format nginx is for reading: write json, csv or raw".into(),
                ));
            }
        })
    }

    fn cells<'a>(&'a self, batch: &'a RecordBatch) -> Result<Cells<'a>, UnfitTable> {
        let cell = |column: &usize| {
            Cell::of(batch.schema_ref().field(*column).name(), batch.column(*column))
        };
        Ok(match self {
            Self::Json(writer) | Self::Debezium(writer) => Cells::Json(writer.cells(batch)?),
            Self::Csv(_, columns) => {
                Cells::Plain(columns.iter().map(cell).collect::<Result<_, _>>()?)
            }
            Self::Raw(_, column) => Cells::Plain(vec![cell(column)?]),
        })
    }

    /// Appends a row. False if it is to be a record without a value.
    #[inline]
    fn write(
        &self,
        cells: &Cells<'_>,
        row: usize,
        insert: bool,
        out: &mut Vec<u8>,
    ) -> Result<bool, Fault> {
        match (self, cells) {
            (Self::Json(writer), Cells::Json(cells)) => writer.write(cells, row, out)?,
            (Self::Debezium(writer), Cells::Json(cells)) => {
                let (front, back): (&[u8], &[u8]) = match insert {
                    true => (br#"{"before":null,"after":"#, br#","op":"c"}"#),
                    false => (br#"{"before":"#, br#","after":null,"op":"d"}"#),
                };
                out.extend_from_slice(front);
                writer.write(cells, row, out)?;
                out.extend_from_slice(back);
            }
            (Self::Csv(options, _), Cells::Plain(cells)) => {
                for (nth, cell) in cells.iter().enumerate() {
                    if nth > 0 {
                        out.push(options.field_delimiter);
                    }
                    csv::write(cell, row, options, out)?;
                }
            }
            (Self::Raw(options, _), Cells::Plain(cells)) => match &cells[0] {
                cell if cell.is_null(row) => return Ok(false),
                cell => raw::write(cell, row, *options, out),
            },
            // A writer's cells are always its own.
            _ => {}
        }
        Ok(true)
    }
}

impl TableEncoder {
    /// An encoder for this layout.
    ///
    /// # Errors
    /// [`UnfitTable`] if the format cannot say the columns' types, or the mode's weights.
    pub fn new(layout: EncoderLayout) -> Result<Self, UnfitTable> {
        if layout.mode == WriteMode::Changelog && !layout.format.retracts() {
            return Err(UnfitTable(format!(
                "the format {} cannot say that a row is taken back: use debezium-json",
                layout.format.name()
            )));
        }
        if layout.mode == WriteMode::Upsert && layout.key.is_none() {
            return Err(UnfitTable("an upsert table needs a format for its keys".to_owned()));
        }
        for (_, kind) in &layout.metadata {
            if !kind.is_writable() {
                let name = kind.name();
                return Err(UnfitTable(format!(
                    "the metadata `{name}` is the log's to give: declare its column VIRTUAL"
                )));
            }
        }
        let value = Writer::new(&layout.format, &layout.value)?;
        let key = layout.key.as_ref().map(|(format, columns)| Writer::new(format, columns));
        let key = key.transpose()?;
        if let Some(Writer::Debezium(_)) = key {
            return Err(UnfitTable("a key cannot be debezium-json".to_owned()));
        }
        Ok(Self {
            layout: Arc::new(layout),
            value,
            key,
            buffer: Vec::new(),
            key_buffer: Vec::new(),
        })
    }
}

const ENCODER: &str = "table encoder";

fn failed(row: usize, reason: impl std::fmt::Display) -> Error {
    Error::Format {
        place: format!("row {} of a batch to be written", row + 1),
        reason: reason.to_string(),
    }
}

/// The columns of a batch that are written as metadata.
struct Extras<'a> {
    timestamps: Option<(&'a [i64], i64, &'a dyn Array)>,
    headers: Option<&'a MapArray>,
}

impl<'a> Extras<'a> {
    fn of(layout: &EncoderLayout, batch: &'a RecordBatch) -> Result<Self, UnfitTable> {
        let mut extras = Self { timestamps: None, headers: None };
        for (column, kind) in &layout.metadata {
            let array = batch.column(*column);
            match kind {
                Metadata::Headers => extras.headers = array.as_map_opt(),
                _ => {
                    let (values, per_second) =
                        match Cell::of(batch.schema_ref().field(*column).name(), array)?.kind {
                            Kind::Timestamp { unit, values, .. } => (values, per_second(unit)),
                            Kind::Int64(values) => (values, 1000),
                            _ => continue,
                        };
                    extras.timestamps = Some((values, per_second, array.as_ref()));
                }
            }
        }
        Ok(extras)
    }

    #[inline]
    fn push(
        &self,
        row: usize,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        out: &mut impl RecordOut,
    ) -> Result<()> {
        let timestamp: Timestamp = match &self.timestamps {
            Some((values, per_second, array)) if !array.is_null(row) => {
                let scaled = i128::from(values[row]) * 1000;
                // A long has room for it: the unit is never coarser than seconds of a timestamp that was read.
                i64::try_from(scaled.div_euclid(i128::from(*per_second))).unwrap_or(NO_TIMESTAMP)
            }
            _ => NO_TIMESTAMP,
        };
        let Some(headers) = self.headers.filter(|headers| !headers.is_null(row)) else {
            return out.push(timestamp, key, value);
        };
        let (names, values) =
            (headers.keys().as_string::<i32>(), headers.values().as_binary::<i32>());
        let ends = headers.value_offsets();
        let named: Vec<(&str, &[u8])> = (ends[row] as usize..ends[row + 1] as usize)
            .filter(|entry| !values.is_null(*entry))
            .map(|entry| (names.value(entry), values.value(entry)))
            .collect();
        out.push_with_headers(timestamp, key, value, &named)
    }
}

impl ColumnEncoder for TableEncoder {
    fn describe(&self) -> String {
        let names: Vec<&str> =
            self.layout.value.iter().map(|(_, field)| field.name().as_str()).collect();
        format!("{} {}", self.layout.format.name(), names.join(", "))
    }

    fn encode(&mut self, columns: &Columns, out: &mut impl RecordOut) -> Result<()> {
        let batch = &columns.batch;
        let weights = columns.weight_column.map(|at| batch.column(at));
        let weights = weights.and_then(|weights| weights.as_primitive_opt::<Int64Type>());
        let unfit = |error: UnfitTable| Error::Format {
            place: ENCODER.to_owned(),
            reason: error.to_string(),
        };
        if self.layout.mode == WriteMode::Upsert {
            return self.upsert(batch, weights, out).map_err(unfit)?;
        }
        let Self { layout, value, key, buffer, key_buffer } = self;
        let extras = Extras::of(layout, batch).map_err(unfit)?;
        let cells = value.cells(batch).map_err(unfit)?;
        let keys = key.as_ref().map(|key| Ok((key, key.cells(batch)?)));
        let keys = keys.transpose().map_err(unfit)?;
        for row in 0..batch.num_rows() {
            let weight = weights.map_or(1, |weights| weights.value(row));
            if weight < 0 && layout.mode == WriteMode::Append {
                return Err(failed(
                    row,
                    "it takes a row back, but the table only takes rows that stay",
                ));
            }
            buffer.clear();
            let some = value.write(&cells, row, weight > 0, buffer).map_err(|f| failed(row, f))?;
            let value = some.then_some(buffer.as_slice());
            let key = match &keys {
                None => None,
                Some((key, cells)) => {
                    key_buffer.clear();
                    let some =
                        key.write(cells, row, true, key_buffer).map_err(|f| failed(row, f))?;
                    some.then_some(key_buffer.as_slice())
                }
            };
            for _ in 0..weight.unsigned_abs() {
                extras.push(row, key, value, out)?;
            }
        }
        Ok(())
    }
}

impl TableEncoder {
    /// The last row of each key that stays, or its removal. The outer error is about the columns, the inner one about a row.
    fn upsert(
        &mut self,
        batch: &RecordBatch,
        weights: Option<&Int64Array>,
        out: &mut impl RecordOut,
    ) -> Result<Result<()>, UnfitTable> {
        let Self { layout, value, key, buffer, key_buffer } = self;
        let Some(key) = key else { return Ok(Ok(())) };
        let extras = Extras::of(layout, batch)?;
        let (cells, key_cells) = (value.cells(batch)?, key.cells(batch)?);
        key_buffer.clear();
        let mut ends = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            match key.write(&key_cells, row, true, key_buffer) {
                Ok(true) => ends.push(key_buffer.len()),
                Ok(false) => return Ok(Err(failed(row, "its key is null"))),
                Err(fault) => return Ok(Err(failed(row, fault.within("(key)")))),
            }
        }
        let key_of = |row: usize| {
            let start = if row == 0 { 0 } else { ends[row - 1] };
            &key_buffer[start..ends[row]]
        };
        let weight = |row: usize| weights.map_or(1, |weights| weights.value(row));
        // By key the row to be written, and whether it stays.
        let mut last: HashMap<&[u8], (usize, bool), foldhash::fast::FixedState> =
            HashMap::with_capacity_and_hasher(batch.num_rows(), Default::default());
        for row in 0..batch.num_rows() {
            let stays = weight(row) > 0;
            last.entry(key_of(row))
                .and_modify(|known| {
                    if stays || !known.1 {
                        *known = (row, stays);
                    }
                })
                .or_insert((row, stays));
        }
        for row in 0..batch.num_rows() {
            let key = key_of(row);
            let Some(&(chosen, stays)) = last.get(key) else { continue };
            if chosen != row {
                continue;
            }
            buffer.clear();
            let written = match stays {
                true => value.write(&cells, row, true, buffer),
                false => Ok(false),
            };
            let pushed = match written {
                Ok(some) => extras.push(row, Some(key), some.then_some(buffer.as_slice()), out),
                Err(fault) => Err(failed(row, fault)),
            };
            if let Err(error) = pushed {
                return Ok(Err(error));
            }
        }
        Ok(Ok(()))
    }
}
