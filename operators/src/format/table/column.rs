//! Columns in the making: every type that a table's column can have, with a way back when a record turns out to be broken.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray,
    StructArray,
};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};

use super::fault::{Fault, UnfitTable};
use crate::validity::Validity;

/// A column that grows row by row.
#[derive(Debug)]
pub(crate) struct Column {
    data_type: DataType,
    nullable: bool,
    pub(super) values: Values,
    validity: Validity,
}

/// The values of a [`Column`]; nulls have one as well, which nobody reads.
#[derive(Debug)]
pub(super) enum Values {
    Bool(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal { precision: u8, scale: i8, values: Vec<i128> },
    Date(Vec<i32>),
    Time { unit: TimeUnit, values: Vec<i64> },
    Timestamp { unit: TimeUnit, zoned: bool, values: Vec<i64> },
    Text(Texts),
    Binary(Texts),
    List { field: FieldRef, ends: Vec<i32>, item: Box<Column> },
    Map { field: FieldRef, ends: Vec<i32>, key: Box<Column>, value: Box<Column> },
    Row { fields: Fields, columns: Vec<Column> },
}

impl Column {
    /// An empty column of a field's type.
    ///
    /// # Errors
    /// [`UnfitTable`] for types that no format knows.
    pub(super) fn new(field: &Field) -> Result<Self, UnfitTable> {
        let of = |field: &FieldRef| Column::new(field);
        let values = match field.data_type() {
            DataType::Boolean => Values::Bool(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Values::Int8(Vec::new()),
            DataType::Int16 => Values::Int16(Vec::new()),
            DataType::Int32 => Values::Int32(Vec::new()),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::Float32 => Values::Float32(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Decimal128(precision, scale) => {
                Values::Decimal { precision: *precision, scale: *scale, values: Vec::new() }
            }
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Time32(unit) | DataType::Time64(unit) => {
                Values::Time { unit: *unit, values: Vec::new() }
            }
            DataType::Timestamp(unit, zone) => {
                Values::Timestamp { unit: *unit, zoned: zone.is_some(), values: Vec::new() }
            }
            DataType::Utf8 => Values::Text(Texts::default()),
            DataType::Binary => Values::Binary(Texts::default()),
            DataType::List(item) => {
                Values::List { field: item.clone(), ends: Vec::new(), item: Box::new(of(item)?) }
            }
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => Values::Map {
                    field: entries.clone(),
                    ends: Vec::new(),
                    key: Box::new(of(&fields[0])?),
                    value: Box::new(of(&fields[1])?),
                },
                _ => return Err(unfit(field)),
            },
            DataType::Struct(fields) => Values::Row {
                fields: fields.clone(),
                columns: fields.iter().map(of).collect::<Result<_, _>>()?,
            },
            _ => return Err(unfit(field)),
        };
        Ok(Self {
            data_type: field.data_type().clone(),
            nullable: field.is_nullable(),
            values,
            validity: Validity::default(),
        })
    }

    /// Number of rows.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.validity.len()
    }

    /// The type as SQL calls it.
    pub(super) fn sql_type(&self) -> String {
        sql_type(&self.data_type)
    }

    pub(super) fn is_nullable(&self) -> bool {
        self.nullable
    }

    /// The value that was just added to `values` is one.
    #[inline]
    pub(super) fn valid(&mut self) {
        self.validity.push(true);
    }

    /// Adds a null, if the column may have some.
    #[inline]
    pub(super) fn push_null(&mut self) -> Result<(), Fault> {
        if !self.nullable {
            return Err(Fault::new(format!("expected {} NOT NULL, found null", self.sql_type())));
        }
        self.push_masked();
        Ok(())
    }

    /// Adds a null, whether the column may have some or not: for what lies in a row or a column that is null itself.
    pub(super) fn push_masked(&mut self) {
        match &mut self.values {
            Values::Bool(values) => values.append(false),
            Values::Int8(values) => values.push(0),
            Values::Int16(values) => values.push(0),
            Values::Int32(values) | Values::Date(values) => values.push(0),
            Values::Int64(values)
            | Values::Time { values, .. }
            | Values::Timestamp { values, .. } => values.push(0),
            Values::Float32(values) => values.push(0.0),
            Values::Float64(values) => values.push(0.0),
            Values::Decimal { values, .. } => values.push(0),
            Values::Text(texts) | Values::Binary(texts) => texts.repeat_end(),
            Values::List { ends, .. } | Values::Map { ends, .. } => {
                ends.push(ends.last().copied().unwrap_or(0));
            }
            Values::Row { columns, .. } => columns.iter_mut().for_each(Column::push_masked),
        }
        self.validity.push(false);
    }

    /// Takes back all rows from `rows` on, and what a value that was not finished has left behind.
    pub(super) fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Bool(values) => values.truncate(rows.min(values.len())),
            Values::Int8(values) => values.truncate(rows),
            Values::Int16(values) => values.truncate(rows),
            Values::Int32(values) | Values::Date(values) => values.truncate(rows),
            Values::Int64(values)
            | Values::Time { values, .. }
            | Values::Timestamp { values, .. } => values.truncate(rows),
            Values::Float32(values) => values.truncate(rows),
            Values::Float64(values) => values.truncate(rows),
            Values::Decimal { values, .. } => values.truncate(rows),
            Values::Text(texts) | Values::Binary(texts) => texts.truncate(rows),
            Values::List { ends, item, .. } => {
                ends.truncate(rows);
                item.truncate(ends.last().map_or(0, |end| *end as usize));
            }
            Values::Map { ends, key, value, .. } => {
                ends.truncate(rows);
                let end = ends.last().map_or(0, |end| *end as usize);
                key.truncate(end);
                value.truncate(end);
            }
            Values::Row { columns, .. } => {
                columns.iter_mut().for_each(|column| column.truncate(rows))
            }
        }
        self.validity.truncate(rows);
    }

    /// Adds bytes that need no parsing; only for text (then they must be UTF-8) and binary columns.
    #[inline]
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if let Values::Text(texts) | Values::Binary(texts) = &mut self.values {
            texts.push(bytes)?;
            self.validity.push(true);
        }
        Ok(())
    }

    /// The rows so far; the column is empty again and has room for as many.
    pub(super) fn finish(&mut self) -> ArrayRef {
        let rows = self.len();
        let nulls = self.validity.finish();
        match &mut self.values {
            Values::Bool(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int8(values) => primitive::<Int8Type>(replace(values), nulls),
            Values::Int16(values) => primitive::<Int16Type>(replace(values), nulls),
            Values::Int32(values) => primitive::<Int32Type>(replace(values), nulls),
            Values::Int64(values) => primitive::<Int64Type>(replace(values), nulls),
            Values::Float32(values) => primitive::<Float32Type>(replace(values), nulls),
            Values::Float64(values) => primitive::<Float64Type>(replace(values), nulls),
            Values::Decimal { values, .. } => {
                let array = PrimitiveArray::<Decimal128Type>::new(replace(values).into(), nulls);
                Arc::new(array.with_data_type(self.data_type.clone()))
            }
            Values::Date(values) => primitive::<Date32Type>(replace(values), nulls),
            Values::Time { unit, values } => {
                let values = replace(values);
                match unit {
                    TimeUnit::Second => primitive::<Time32SecondType>(narrow(values), nulls),
                    TimeUnit::Millisecond => {
                        primitive::<Time32MillisecondType>(narrow(values), nulls)
                    }
                    TimeUnit::Microsecond => primitive::<Time64MicrosecondType>(values, nulls),
                    TimeUnit::Nanosecond => primitive::<Time64NanosecondType>(values, nulls),
                }
            }
            Values::Timestamp { unit, values, .. } => {
                let values = ScalarBuffer::from(replace(values));
                let data_type = self.data_type.clone();
                macro_rules! of {
                    ($kind:ty) => {
                        Arc::new(
                            PrimitiveArray::<$kind>::new(values, nulls).with_data_type(data_type),
                        )
                    };
                }
                match unit {
                    TimeUnit::Second => of!(TimestampSecondType),
                    TimeUnit::Millisecond => of!(TimestampMillisecondType),
                    TimeUnit::Microsecond => of!(TimestampMicrosecondType),
                    TimeUnit::Nanosecond => of!(TimestampNanosecondType),
                }
            }
            Values::Text(texts) => {
                let (offsets, bytes) = texts.finish();
                Arc::new(StringArray::new(offsets, bytes.into(), nulls))
            }
            Values::Binary(texts) => {
                let (offsets, bytes) = texts.finish();
                Arc::new(BinaryArray::new(offsets, bytes.into(), nulls))
            }
            Values::List { field, ends, item } => {
                let offsets = offsets(ends);
                Arc::new(ListArray::new(field.clone(), offsets, item.finish(), nulls))
            }
            Values::Map { field, ends, key, value } => {
                let offsets = offsets(ends);
                let sorted = matches!(&self.data_type, DataType::Map(_, true));
                let entries = vec![key.finish(), value.finish()];
                let entries = StructArray::new(fields_of(field), entries, None);
                Arc::new(MapArray::new(field.clone(), offsets, entries, nulls, sorted))
            }
            Values::Row { fields, columns } => {
                let arrays: Vec<ArrayRef> = columns.iter_mut().map(Column::finish).collect();
                match arrays.is_empty() {
                    true => Arc::new(StructArray::new_empty_fields(rows, nulls)),
                    false => Arc::new(StructArray::new(fields.clone(), arrays, nulls)),
                }
            }
        }
    }
}

fn fields_of(entries: &FieldRef) -> Fields {
    match entries.data_type() {
        DataType::Struct(fields) => fields.clone(),
        _ => Fields::empty(),
    }
}

fn primitive<T: ArrowPrimitiveType>(values: Vec<T::Native>, nulls: Option<NullBuffer>) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(values.into(), nulls))
}

/// Times of a day in seconds or milliseconds fit.
fn narrow(values: Vec<i64>) -> Vec<i32> {
    values.into_iter().map(|value| value as i32).collect()
}

/// Takes the values and leaves room for as many.
fn replace<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = values.len();
    std::mem::replace(values, Vec::with_capacity(room))
}

fn offsets(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.append(ends);
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}

/// Number of items as an end in a list or map.
pub(super) fn end_of(items: usize) -> Result<i32, Fault> {
    i32::try_from(items)
        .map_err(|_| Fault::new("the batch has more than two gigabytes in a column"))
}

/// Text or bytes, one after the other.
#[derive(Debug, Default)]
pub(super) struct Texts {
    pub(super) bytes: Vec<u8>,
    ends: Vec<i32>,
}

impl Texts {
    /// Adds a text.
    #[inline]
    pub(super) fn push(&mut self, text: &[u8]) -> Result<(), Fault> {
        self.bytes.extend_from_slice(text);
        self.end()
    }

    /// What was appended to `bytes` since the last end is a text.
    #[inline]
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        self.ends.push(end_of(self.bytes.len())?);
        Ok(())
    }

    /// An empty text, even if something was appended and then given up.
    fn repeat_end(&mut self) {
        let end = self.ends.last().copied().unwrap_or(0);
        self.bytes.truncate(end as usize);
        self.ends.push(end);
    }

    fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.bytes.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Vec<u8>) {
        let room = self.ends.len();
        let finished = (offsets(&mut self.ends), replace(&mut self.bytes));
        self.ends.reserve(room);
        finished
    }
}

fn unfit(field: &Field) -> UnfitTable {
    UnfitTable(format!(
        "column `{}` has the type {}, which no format can read or write",
        field.name(),
        field.data_type()
    ))
}

/// A type as SQL calls it.
pub fn sql_type(data_type: &DataType) -> String {
    let precision = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Date32 => "DATE".into(),
        DataType::Time32(unit) | DataType::Time64(unit) => format!("TIME({})", precision(unit)),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", precision(unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", precision(unit)),
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "STRING".into(),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => "BYTES".into(),
        DataType::List(item) => format!("ARRAY<{}>", sql_type(item.data_type())),
        DataType::Struct(fields) => {
            let field =
                |field: &FieldRef| format!("{} {}", field.name(), sql_type(field.data_type()));
            let fields: Vec<String> = fields.iter().map(field).collect();
            format!("ROW<{}>", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => format!(
                "MAP<{}, {}>",
                sql_type(fields[0].data_type()),
                sql_type(fields[1].data_type())
            ),
            other => other.to_string(),
        },
        other => other.to_string(),
    }
}
