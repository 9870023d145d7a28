//! Columns that are the names of the folders a file lies in: `dt=2015-07-15/hm=00%3A00`.
//!
//! What a sink spreads rows by is not in its files ([`to_folders_columns`](crate::ColumnSinks::to_folders_columns)). [`FolderValues`]
//! reads it off a file's path, [`InFolders`] adds it to the rows that another decoder makes of the file.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::{FieldRef, Schema};
use bytes::Bytes;
use riverrun_dataflow::{Columns, Error, Result};

use super::table::{
    JsonOptions, LayoutColumn, Origin, TableDecoder, TableFormat, TableLayout, UnfitTable,
};
use super::{BatchRecords, ColumnDecoder, OnError, Rejects};
use crate::Line;

/// The name of a folder for rows without a value.
pub(crate) const NO_VALUE: &str = "__DEFAULT_PARTITION__";

/// Reads the values of some columns off the path of a file.
#[derive(Clone)]
pub struct FolderValues {
    fields: Vec<FieldRef>,
    decoder: TableDecoder,
}

impl FolderValues {
    /// For these columns, which are in the names of folders in any order.
    ///
    /// # Errors
    /// [`UnfitTable`] for a column whose type cannot be written as text.
    pub fn new(fields: Vec<FieldRef>) -> Result<Self, UnfitTable> {
        let column = |(at, field): (usize, &FieldRef)| LayoutColumn {
            field: field.clone(),
            origin: Origin::Value(at),
        };
        let decoder = TableDecoder::new(TableLayout {
            format: TableFormat::Json(JsonOptions::default()),
            columns: fields.iter().enumerate().map(column).collect(),
            fields: fields.clone(),
            key: None,
            upsert: false,
        })?;
        Ok(Self { fields, decoder })
    }

    /// The values of a file's rows, as one row.
    ///
    /// # Errors
    /// [`Error::Format`] naming the file, if a folder is missing or its name is no value of the column's type.
    pub fn of(&mut self, path: &str) -> Result<RecordBatch> {
        let wrong = |reason: String| Error::Format { place: path.to_owned(), reason };
        let mut values = serde_json::Map::new();
        for field in &self.fields {
            let text = Path::new(path).ancestors().skip(1).find_map(|folder| {
                let (name, value) = folder.file_name()?.to_str()?.split_once('=')?;
                (unescaped(name)? == *field.name()).then(|| value.to_owned())
            });
            let Some(text) = text else {
                let reason = format!(
                    "it lies in no folder `{}=..`, as files of a table that is PARTITIONED BY it do: move it into one",
                    field.name()
                );
                return Err(wrong(reason));
            };
            if text == NO_VALUE {
                values.insert(field.name().clone(), serde_json::Value::Null);
                continue;
            }
            let text = unescaped(&text).ok_or_else(|| {
                wrong(format!("the name of its folder `{}={text}` is not UTF-8", field.name()))
            })?;
            // Of what is nested the text is JSON, of all else the value.
            let nested = field.data_type().is_nested().then(|| serde_json::from_str(&text).ok());
            let value = nested.flatten().unwrap_or(serde_json::Value::String(text));
            values.insert(field.name().clone(), value);
        }
        let line = Line::from(Bytes::from(serde_json::Value::Object(values).to_string()));
        let lines = [line];
        let records = BatchRecords::of_lines(&lines, &[0], path);
        let mut rejects = Rejects::new(OnError::Fail, path, None);
        self.decoder.decode(&records, &mut rejects)?;
        Ok(self.decoder.finish().batch)
    }
}

/// The name without escapes; `None` if they make no text.
fn unescaped(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => {
                let digits = [*high, *low];
                std::str::from_utf8(&digits).ok().and_then(|text| u8::from_str_radix(text, 16).ok())
            }
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}

/// Where a column's values come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderColumn {
    /// The file: the column with this index that its decoder makes.
    File(usize),
    /// The name of a folder: the column with this index of [`FolderValues`].
    Folder(usize),
}

/// Decodes files whose folders say some of the columns.
#[derive(Clone)]
pub struct InFolders<D> {
    file: D,
    folders: FolderValues,
    columns: Arc<[FolderColumn]>,
    /// The values of the file that was decoded last.
    values: Option<(String, RecordBatch)>,
}

impl<D: ColumnDecoder> InFolders<D> {
    /// A decoder that makes these columns; the weights that `file` makes follow them.
    pub fn new(file: D, folders: FolderValues, columns: Vec<FolderColumn>) -> Self {
        Self { file, folders, columns: columns.into(), values: None }
    }
}

impl<D: ColumnDecoder> ColumnDecoder for InFolders<D> {
    fn describe(&self) -> String {
        let names: Vec<&str> =
            self.folders.fields.iter().map(|field| field.name().as_str()).collect();
        format!("{}, in folders by {}", self.file.describe(), names.join(", "))
    }

    fn decode(&mut self, records: &BatchRecords<'_>, rejects: &mut Rejects) -> Result<()> {
        if self.values.as_ref().is_none_or(|(place, _)| place != records.place()) {
            let values = self.folders.of(records.place())?;
            self.values = Some((records.place().to_owned(), values));
        }
        self.file.decode(records, rejects)
    }

    fn len(&self) -> usize {
        self.file.len()
    }

    fn finish(&mut self) -> Columns {
        let Columns { batch, weight_column, .. } = self.file.finish();
        let rows = batch.num_rows();
        let first = UInt32Array::from_value(0, rows);
        let repeated = |at: usize| -> (FieldRef, ArrayRef) {
            let field = self.folders.fields[at].clone();
            let array = match &self.values {
                Some((_, values)) => arrow_select::take::take(values.column(at), &first, None)
                    .expect("there is a first row"),
                None => arrow_array::new_empty_array(field.data_type()),
            };
            (field, array)
        };
        let own = |at: usize| (batch.schema_ref().fields()[at].clone(), batch.column(at).clone());
        let made = self.columns.iter().map(|column| match column {
            FolderColumn::File(at) => own(*at),
            FolderColumn::Folder(at) => repeated(*at),
        });
        let (fields, arrays): (Vec<FieldRef>, Vec<ArrayRef>) =
            made.chain(weight_column.map(own)).unzip();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let weight_column = weight_column.map(|_| fields.len() - 1);
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new_with_options(schema, arrays, &options)
            .expect("every column has the type of its field and one value per row");
        Columns { batch, time_column: None, weight_column }
    }
}

#[cfg(test)]
mod tests;
