//! Records into columns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StructArray, new_null_array,
};
use arrow_schema::{DataType, FieldRef, Fields, SchemaRef};
use riverrun_dataflow::{Columns, Result};
use riverrun_log_store::Record;

use super::column::Column;
use super::debezium::{Change, DebeziumOptions};
use super::fault::{Fault, UnfitTable};
use super::layout::{Origin, Reader, TableFormat, TableLayout};
use super::metadata::Metadata;
use super::{csv, nginx, raw};
use crate::format::{BatchRecords, ColumnDecoder, Rejects};

/// Makes columns of declared types of a topic's records, or of lines.
///
/// * The batches have the schema of [`TableLayout::schema`].
/// * Formats whose records take rows back give every row a weight in a last column, [`WEIGHT`](super::WEIGHT).
/// * Of an **upsert** table every record with a value is a row of weight +1, though it may replace an earlier one of its key;
///   a record without a value is a row of weight -1 that holds its key's fields, nulls in all other columns, and stands for
///   *whatever row its key has*. What comes next has to know the last row of each key to make changes of this.
/// * A record that cannot be decoded adds no row and goes to [`Rejects`].
pub struct TableDecoder {
    layout: Arc<TableLayout>,
    needed: Arc<Needed>,
    reader: Reader,
    rows: RowsInTheMaking,
    schema: SchemaRef,
}

/// The rows since the last `finish`.
struct RowsInTheMaking {
    columns: Vec<Column>,
    weights: Option<Vec<i64>>,
    rows: usize,
    key: Option<Reader>,
    tombstone: Option<Reader>,
    metadata: Vec<(usize, Metadata)>,
    /// Columns whose rows lack the fields that nobody reads, until they are finished.
    narrow: Vec<usize>,
    ignore_errors: bool,
}

impl TableDecoder {
    /// A decoder for this layout.
    ///
    /// # Errors
    /// [`UnfitTable`] if the format has no such columns, or no way to read their types.
    pub fn new(layout: TableLayout) -> Result<Self, UnfitTable> {
        Self::reading(layout, Needed::new())
    }

    /// As [`TableDecoder::new`], for readers who need only these fields of some columns that hold rows (by the column's index). The
    /// others are null where leaving them out saves work.
    ///
    /// # Errors
    /// As [`TableDecoder::new`].
    pub fn reading(
        layout: TableLayout,
        fields: BTreeMap<usize, BTreeSet<String>>,
    ) -> Result<Self, UnfitTable> {
        Self::of(Arc::new(layout), Arc::new(fields))
    }

    fn of(layout: Arc<TableLayout>, needed: Arc<Needed>) -> Result<Self, UnfitTable> {
        check(&layout.format, &layout.fields)?;
        let targets = layout.targets(false);
        let mut fields = layout.fields.clone();
        let mut made: Vec<FieldRef> =
            layout.columns.iter().map(|column| column.field.clone()).collect();
        let narrow = narrowed(&layout, &needed);
        for (field, column) in &targets {
            if let Some(narrow) = narrow.get(column) {
                fields[*field] = narrow.clone();
                made[*column] = narrow.clone();
            }
        }
        let reader = Reader::new(&layout.format, &fields, &targets)?;
        let (key, tombstone) = match &layout.key {
            None => (None, None),
            Some(key) => {
                if key.format.retracts() {
                    return Err(UnfitTable(format!("a key cannot be {}", key.format.name())));
                }
                check(&key.format, &key.fields)?;
                let reader = |targets: Vec<_>| Reader::new(&key.format, &key.fields, &targets);
                let targets = layout.targets(true);
                let of_rows = (!targets.is_empty()).then(|| reader(targets)).transpose()?;
                (of_rows, Some(reader(layout.tombstone_targets())?))
            }
        };
        if layout.upsert && tombstone.is_none() {
            return Err(UnfitTable("an upsert table needs a format for its keys".to_owned()));
        }
        let mut metadata = Vec::new();
        for (index, column) in layout.columns.iter().enumerate() {
            match column.origin {
                Origin::Metadata(kind) => {
                    kind.check(&column.field)?;
                    metadata.push((index, kind));
                }
                Origin::Key(_) if layout.key.is_none() => {
                    return Err(UnfitTable(format!(
                        "column `{}` comes from the key, which has no format",
                        column.field.name()
                    )));
                }
                Origin::Key(_) | Origin::Value(_) => {}
            }
        }
        let columns = made.iter().map(|field| Column::new(field));
        let ignore_errors = match &reader {
            Reader::Json(reader) => reader.ignores_parse_errors(),
            Reader::Csv(reader) => reader.ignores_parse_errors(),
            Reader::Raw(_) | Reader::Nginx(_) => false,
        };
        let rows = RowsInTheMaking {
            columns: columns.collect::<Result<_, _>>()?,
            weights: layout.retracts().then(Vec::new),
            rows: 0,
            key,
            tombstone: if layout.upsert { tombstone } else { None },
            metadata,
            narrow: narrow.into_keys().collect(),
            ignore_errors,
        };
        Ok(Self { schema: layout.schema(), layout, needed, reader, rows })
    }

    /// The schema of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

/// The fields that are read of some columns.
type Needed = BTreeMap<usize, BTreeSet<String>>;

/// The columns of which not all fields are read, as they are while they are made. Only where fields are found by their names, and
/// not for what must not be null.
fn narrowed(layout: &TableLayout, needed: &Needed) -> BTreeMap<usize, FieldRef> {
    let mut narrow = BTreeMap::new();
    if !matches!(layout.format, TableFormat::Json(_) | TableFormat::DebeziumJson(_)) {
        return narrow;
    }
    let keys: Vec<usize> = layout.tombstone_targets().iter().map(|(_, column)| *column).collect();
    for (at, names) in needed {
        let Some(column) = layout.columns.get(*at).filter(|_| !keys.contains(at)) else { continue };
        if let DataType::Struct(fields) = column.field.data_type() {
            let reads = |field: &&FieldRef| !field.is_nullable() || names.contains(field.name());
            let some: Fields = fields.iter().filter(reads).cloned().collect();
            if some.len() < fields.len() && !some.is_empty() {
                let field = column.field.as_ref().clone().with_data_type(DataType::Struct(some));
                narrow.insert(*at, Arc::new(field));
            }
        }
    }
    narrow
}

/// Rows with all their fields: those that were not read are null.
fn widened(array: &ArrayRef, whole: &DataType) -> ArrayRef {
    let (DataType::Struct(fields), Some(row)) = (whole, array.as_struct_opt()) else {
        return array.clone();
    };
    let child = |field: &FieldRef| match row.column_by_name(field.name()) {
        Some(child) => child.clone(),
        None => new_null_array(field.data_type(), row.len()),
    };
    let children = fields.iter().map(child).collect();
    Arc::new(StructArray::new(fields.clone(), children, row.nulls().cloned()))
}

/// Whether a format can have these fields.
pub(super) fn check(format: &TableFormat, fields: &[FieldRef]) -> Result<(), UnfitTable> {
    match format {
        TableFormat::Json(_) | TableFormat::DebeziumJson(_) => Ok(()),
        TableFormat::Csv(_) => csv::check(fields),
        TableFormat::Raw(_) => raw::check(fields),
        TableFormat::Nginx => nginx::check(fields),
    }?;
    fields.iter().try_for_each(|field| Column::new(field).map(|_| ()))
}

impl Clone for TableDecoder {
    /// An empty decoder of the same layout.
    fn clone(&self) -> Self {
        Self::of(self.layout.clone(), self.needed.clone())
            .expect("the layout was checked when the original was made")
    }
}

impl Reader {
    /// One value, into its columns. False if it stands for no row.
    #[inline]
    fn read(&mut self, value: &[u8], columns: &mut [Column], row: usize) -> Result<bool, Fault> {
        match self {
            Self::Json(reader) => reader.read(value, columns, row).map(|()| true),
            Self::Csv(reader) => reader.read(value, columns),
            Self::Raw(reader) => reader.read(value, columns).map(|()| true),
            Self::Nginx(reader) => reader.read(value, columns).map(|()| true),
        }
    }
}

impl RowsInTheMaking {
    /// Adds a row that `read` puts into the value's columns; nothing if it says that there is none, or fails.
    #[inline]
    fn add(
        &mut self,
        records: &BatchRecords<'_>,
        record: &Record<'_>,
        weight: i64,
        read: impl FnOnce(&mut [Column], usize) -> Result<bool, Fault>,
    ) -> Result<(), Fault> {
        let rows = self.rows;
        let added = match read(&mut self.columns, rows) {
            Ok(true) if self.key.is_none() && self.metadata.is_empty() => Ok(true),
            Ok(true) => self.add_key_and_metadata(records, record).map(|()| true),
            other => other,
        };
        match added {
            Ok(true) => {
                self.rows += 1;
                if let Some(weights) = &mut self.weights {
                    weights.push(weight);
                }
                Ok(())
            }
            not_added => {
                self.truncate(rows);
                not_added.map(|_| ())
            }
        }
    }

    fn add_key_and_metadata(
        &mut self,
        records: &BatchRecords<'_>,
        record: &Record<'_>,
    ) -> Result<(), Fault> {
        if let Some(reader) = &mut self.key {
            let key = record.key.ok_or_else(|| Fault::new("expected a key, found none"))?;
            let read = reader.read(key, &mut self.columns, self.rows);
            match read.map_err(|fault| fault.within("(key)"))? {
                true => {}
                false => return Err(Fault::new("expected a key, found a comment")),
            }
        }
        for (column, kind) in &self.metadata {
            let column = &mut self.columns[*column];
            kind.push(record, records.topic(), records.partition(), column)
                .map_err(|fault| fault.within(kind.name()))?;
        }
        Ok(())
    }

    /// Adds the row that a record without a value stands for.
    #[cold]
    fn add_tombstone(
        &mut self,
        records: &BatchRecords<'_>,
        record: &Record<'_>,
    ) -> Result<(), Fault> {
        let Some(mut reader) = self.tombstone.take() else {
            return Err(Fault::new("the record has no value"));
        };
        let (key, metadata) = (self.key.take(), std::mem::take(&mut self.metadata));
        let added = self.add(records, record, -1, |columns, row| {
            let key = record.key.ok_or_else(|| Fault::new("expected a key, found none"))?;
            reader.read(key, columns, row).map_err(|fault| fault.within("(key)"))?;
            for (column, kind) in &metadata {
                let column = &mut columns[*column];
                if column.len() == row {
                    kind.push(record, records.topic(), records.partition(), column)?;
                }
            }
            for column in columns.iter_mut().filter(|column| column.len() == row) {
                column.push_masked();
            }
            Ok(true)
        });
        (self.tombstone, self.key, self.metadata) = (Some(reader), key, metadata);
        added
    }

    fn truncate(&mut self, rows: usize) {
        self.columns.iter_mut().for_each(|column| column.truncate(rows));
        if let Some(weights) = &mut self.weights {
            weights.truncate(rows);
        }
        self.rows = rows;
    }

    /// A record's outcome: what is broken is rejected, or counted where errors are ignored.
    #[inline]
    fn settle(
        &self,
        outcome: Result<(), Fault>,
        record: &Record<'_>,
        rejects: &mut Rejects,
    ) -> Result<()> {
        match outcome {
            Ok(()) => Ok(()),
            Err(fault) if self.ignore_errors => {
                rejects.ignore(record, fault);
                Ok(())
            }
            Err(fault) => rejects.reject(record, fault),
        }
    }

    /// All records of a batch, by a reader whose type is known.
    #[inline]
    fn add_all(
        &mut self,
        records: &BatchRecords<'_>,
        rejects: &mut Rejects,
        mut read: impl FnMut(&[u8], &mut [Column], usize) -> Result<bool, Fault>,
    ) -> Result<()> {
        records.try_for_each(|record| {
            let outcome = match record.value {
                Some(value) => {
                    self.add(records, record, 1, |columns, row| read(value, columns, row))
                }
                None => self.add_tombstone(records, record),
            };
            self.settle(outcome, record, rejects)
        })
    }

    /// All changes of a batch.
    fn add_changes(
        &mut self,
        records: &BatchRecords<'_>,
        rejects: &mut Rejects,
        options: &DebeziumOptions,
        reader: &mut Reader,
    ) -> Result<()> {
        records.try_for_each(|record| {
            let Some(value) = record.value else { return Ok(()) };
            let before = self.rows;
            let mut add = || {
                let change = Change::of(value, options)?;
                for (image, weight, name) in
                    [(change.before, -1, "before"), (change.after, 1, "after")]
                {
                    let Some(image) = image else { continue };
                    self.add(records, record, weight, |columns, row| {
                        reader.read(image, columns, row).map_err(|fault| fault.within(name))
                    })?;
                }
                Ok(())
            };
            let outcome = add();
            if outcome.is_err() {
                // Both rows of an update, or none.
                self.truncate(before);
            }
            self.settle(outcome, record, rejects)
        })
    }
}

impl ColumnDecoder for TableDecoder {
    fn describe(&self) -> String {
        let names: Vec<&str> =
            self.layout.columns.iter().map(|column| column.field.name().as_str()).collect();
        format!("{} {}", self.layout.format.name(), names.join(", "))
    }

    fn decode(&mut self, records: &BatchRecords<'_>, rejects: &mut Rejects) -> Result<()> {
        let Self { layout, reader, rows, .. } = self;
        if let TableFormat::DebeziumJson(options) = &layout.format {
            return rows.add_changes(records, rejects, options, reader);
        }
        match reader {
            Reader::Json(reader) => rows.add_all(records, rejects, |value, columns, row| {
                reader.read(value, columns, row).map(|()| true)
            }),
            Reader::Csv(reader) => {
                rows.add_all(records, rejects, |value, columns, _| reader.read(value, columns))
            }
            Reader::Raw(reader) => rows.add_all(records, rejects, |value, columns, _| {
                reader.read(value, columns).map(|()| true)
            }),
            Reader::Nginx(reader) => rows.add_all(records, rejects, |value, columns, _| {
                reader.read(value, columns).map(|()| true)
            }),
        }
    }

    fn len(&self) -> usize {
        self.rows.rows
    }

    fn finish(&mut self) -> Columns {
        let rows = std::mem::take(&mut self.rows.rows);
        let mut arrays: Vec<ArrayRef> = self.rows.columns.iter_mut().map(Column::finish).collect();
        for column in &self.rows.narrow {
            let whole = self.schema.field(*column).data_type();
            arrays[*column] = widened(&arrays[*column], whole);
        }
        let mut weight_column = None;
        if let Some(weights) = &mut self.rows.weights {
            weight_column = Some(arrays.len());
            arrays.push(Arc::new(Int64Array::from(std::mem::take(weights))));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .expect("every column has the type of its field and one value per row");
        Columns { batch, time_column: None, weight_column }
    }
}
