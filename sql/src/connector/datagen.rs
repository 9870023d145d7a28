//! Made-up rows.
//!
//! A row is a function of its number and the table's seed, so that a job that goes on from a checkpoint gets the same rows; only
//! times are of the moment at which a row is made.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    ListArray, MapArray, RecordBatch, RecordBatchOptions, StringArray, StructArray,
    Time32MillisecondArray, TimestampMillisecondArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields, Schema, SchemaRef};
use riverrun_dataflow::{Columns, Environment, Timestamp};
use riverrun_operators::format::table::sql_type;
use riverrun_operators::{GeneratorInput, Numbers, Sources};

use super::options::Options;
use super::{ScanOptions, SourceStream};
use crate::catalog::{ColumnKind, Table};
use crate::{Error, Result};

/// A table of made-up rows.
pub(super) struct DatagenTable<'a> {
    table: &'a Table,
    rows: Option<u64>,
    rate: u64,
    columns: Vec<Option<Maker>>,
}

/// Makes the values of a column.
#[derive(Debug, Clone)]
struct Maker {
    data_type: DataType,
    /// Of 2^32 values as many are null.
    nulls: u64,
    salt: u64,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Sequence(i64),
    Boolean,
    Integer { min: i64, max: i64 },
    Float { min: f64, max: f64 },
    Decimal { min: i128, max: i128 },
    Text { length: usize, varies: bool },
    Bytes { length: usize, varies: bool },
    Date { past: u64 },
    Time,
    Timestamp { past: u64 },
    List { length: usize, item: Box<Maker> },
    Map { length: usize, key: Box<Maker>, value: Box<Maker> },
    Row(Vec<Maker>),
}

const DAY: i64 = 86_400_000;

/// Longest text, bytes, list or map.
const LONGEST: i64 = 1 << 20;

impl<'a> DatagenTable<'a> {
    pub(super) fn of(table: &'a Table) -> Result<Self> {
        let options = Options::new(table);
        super::no_metadata(table)?;
        options.accept(&["scan.parallelism"]);
        let rate = options.number("rows-per-second", 1)?.unwrap_or(10_000).cast_unsigned();
        let mut rows = options.number("number-of-rows", 0)?.map(i64::cast_unsigned);
        let seed = options.number("seed", 0)?.unwrap_or(0).cast_unsigned();
        let mut columns = Vec::new();
        for (at, column) in table.columns.iter().enumerate() {
            if column.kind != ColumnKind::Physical {
                columns.push(None);
                continue;
            }
            let salt = mix(seed ^ mix(at as u64 + 1));
            let (maker, end) = maker(&options, &column.name, &column.field(), salt)?;
            rows = match (rows, end) {
                (Some(rows), Some(end)) => Some(rows.min(end)),
                (rows, end) => rows.or(end),
            };
            columns.push(Some(maker));
        }
        options.finish()?;
        Ok(Self { table, rows, rate, columns })
    }

    pub(super) fn source(
        &self,
        env: &Environment,
        columns: &[usize],
        scan: &ScanOptions,
    ) -> Result<SourceStream> {
        if scan.bounded && self.rows.is_none() {
            return Err(Error::invalid(format!(
                "table `{}` has no end: set 'number-of-rows', or read it as a stream",
                self.table.name
            )));
        }
        let input = match self.rows {
            Some(rows) => GeneratorInput::bounded(rows),
            None => GeneratorInput::endless(),
        };
        // Nobody waits for rows that are read up to their end.
        let input = if scan.bounded { input } else { input.rate(self.rate) };
        let makers: Vec<Maker> =
            columns.iter().filter_map(|at| self.columns[*at].clone()).collect();
        let fields: Vec<_> = columns.iter().map(|at| self.table.columns[*at].field()).collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let stream = env.from_generator_columns(&self.table.name, input, move |numbers, now| {
            rows_of(&makers, &schema, numbers, now)
        });
        Ok(SourceStream {
            stream,
            retracts: false,
            upsert: None,
            parallelism: env.parallelism(),
            bounded: self.rows.is_some(),
        })
    }
}

/// The maker of a column, and how many rows there can be.
fn maker(
    options: &Options<'_>,
    path: &str,
    field: &Field,
    salt: u64,
) -> Result<(Maker, Option<u64>)> {
    let key = |name: &str| format!("fields.{path}.{name}");
    let data_type = field.data_type().clone();
    let nulls = match options.text(&key("null-rate")) {
        None => 0,
        Some(text) => match text.parse::<f64>() {
            Ok(0.0) => 0,
            Ok(rate) if (0.0..=1.0).contains(&rate) && field.is_nullable() => {
                (rate * (1u64 << 32) as f64) as u64
            }
            Ok(rate) if (0.0..=1.0).contains(&rate) => {
                return Err(options.bad(&key("null-rate"), text, "0: the column is NOT NULL"));
            }
            _ => return Err(options.bad(&key("null-rate"), text, "a number from 0 to 1")),
        },
    };
    let sequence =
        options.choice(&key("kind"), &[("random", false), ("sequence", true)])?.unwrap_or(false);
    let numeric = data_type.is_numeric();
    if sequence {
        if !numeric && data_type != DataType::Utf8 {
            let of = sql_type(&data_type);
            return Err(options.bad(&key("kind"), "sequence", &format!("'random' for {of}")));
        }
        let start = options.required(&key("start"), "the first value of the sequence")?;
        options.required(&key("end"), "the last value of the sequence")?;
        let start =
            start.parse().map_err(|_| options.bad(&key("start"), start, "a whole number"))?;
        let end = options.number(&key("end"), start)?.unwrap_or(start);
        let rows = end.abs_diff(start).saturating_add(1);
        return Ok((Maker { data_type, nulls, salt, kind: Kind::Sequence(start) }, Some(rows)));
    }
    let kind = random(options, path, &data_type, salt)?;
    Ok((Maker { data_type, nulls, salt, kind }, None))
}

fn random(options: &Options<'_>, path: &str, data_type: &DataType, salt: u64) -> Result<Kind> {
    let key = |name: &str| format!("fields.{path}.{name}");
    let length = |default: i64| -> Result<usize> {
        match options.number(&key("length"), 0)?.unwrap_or(default) {
            length if length <= LONGEST => Ok(length as usize),
            length => {
                let most = format!("at most {LONGEST}");
                Err(options.bad(&key("length"), &length.to_string(), &most))
            }
        }
    };
    let inner = |name: &str, field: &Field, nth: u64| {
        let path = format!("{path}.{name}");
        maker(options, &path, field, mix(salt ^ mix(nth + 1))).map(|(maker, _)| maker)
    };
    let number = |name: &str, default: f64| -> Result<f64> {
        match options.text(&key(name)) {
            None => Ok(default),
            Some(text) => match text.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(number),
                _ => Err(options.bad(&key(name), text, "a number")),
            },
        }
    };
    let ordered = |fits: bool| match fits {
        true => Ok(()),
        false => Err(options.wrong(format!("'{}' is above '{}'", key("min"), key("max")))),
    };
    let past = || -> Result<u64> {
        let past = options.duration(&key("max-past"))?;
        Ok(past.map_or(0, |past| past.as_millis() as u64))
    };
    Ok(match data_type {
        DataType::Boolean => Kind::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            let (least, most) = match data_type {
                DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
                DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
                DataType::Int32 => (i32::MIN.into(), i32::MAX.into()),
                _ => (i64::MIN, i64::MAX),
            };
            let within = |name: &str, default: i64| -> Result<i64> {
                match options.number(&key(name), least)?.unwrap_or(default) {
                    number if number <= most => Ok(number),
                    number => {
                        let of = format!("a value of {}", sql_type(data_type));
                        Err(options.bad(&key(name), &number.to_string(), &of))
                    }
                }
            };
            let (min, max) = (within("min", least)?, within("max", most)?);
            ordered(min <= max)?;
            Kind::Integer { min, max }
        }
        DataType::Float32 | DataType::Float64 => {
            let most = if *data_type == DataType::Float32 { f64::from(f32::MAX) } else { f64::MAX };
            let (min, max) = (number("min", -most)?, number("max", most)?);
            ordered(min <= max)?;
            Kind::Float { min, max }
        }
        DataType::Decimal128(precision, scale) => {
            let most = 10i128.pow(u32::from(*precision)) - 1;
            let scaled = |name: &str, default: i128| -> Result<i128> {
                let value = number(name, f64::NAN)?;
                let value = value * 10f64.powi((*scale).into());
                Ok(if value.is_nan() {
                    default
                } else {
                    (value.round() as i128).clamp(-most, most)
                })
            };
            let (min, max) = (scaled("min", -most)?, scaled("max", most)?);
            ordered(min <= max)?;
            Kind::Decimal { min, max }
        }
        DataType::Utf8 => {
            Kind::Text { length: length(100)?, varies: options.boolean(&key("var-len"), false)? }
        }
        DataType::Binary => {
            Kind::Bytes { length: length(100)?, varies: options.boolean(&key("var-len"), false)? }
        }
        DataType::Date32 => Kind::Date { past: past()? },
        DataType::Time32(_) | DataType::Time64(_) => Kind::Time,
        DataType::Timestamp(..) => Kind::Timestamp { past: past()? },
        DataType::List(item) => {
            Kind::List { length: length(3)?, item: Box::new(inner("element", item, 0)?) }
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => Kind::Map {
                length: length(3)?,
                key: Box::new(inner("key", &fields[0], 0)?),
                value: Box::new(inner("value", &fields[1], 1)?),
            },
            _ => return Err(unfit(options, path, data_type)),
        },
        DataType::Struct(fields) => {
            let made = fields.iter().zip(0..).map(|(field, nth)| inner(field.name(), field, nth));
            Kind::Row(made.collect::<Result<_>>()?)
        }
        _ => return Err(unfit(options, path, data_type)),
    })
}

fn unfit(options: &Options<'_>, path: &str, data_type: &DataType) -> Error {
    options.wrong(format!("values of {} cannot be made up (column `{path}`)", sql_type(data_type)))
}

/// Spreads a number over all bits (the finaliser of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn rows_of(makers: &[Maker], schema: &SchemaRef, numbers: Numbers, now: Timestamp) -> Columns {
    let numbers: Vec<u64> = numbers.collect();
    let arrays: Vec<ArrayRef> = makers.iter().map(|maker| maker.make(&numbers, now)).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(numbers.len()));
    let batch = RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
        .expect("each maker makes values of its field's type");
    Columns { batch, time_column: None, weight_column: None }
}

impl Maker {
    /// 64 random bits for a row.
    fn draw(&self, number: u64) -> u64 {
        mix(number ^ self.salt)
    }

    /// A length up to `length`, at least 1; or always `length`.
    fn length(&self, number: u64, length: usize, varies: bool) -> usize {
        match varies && length > 0 {
            true => 1 + (self.draw(!number) % length as u64) as usize,
            false => length,
        }
    }

    fn is_null(&self, number: u64) -> bool {
        self.nulls > 0 && (mix(self.draw(number)) >> 32) < self.nulls
    }

    /// The values of the rows with these numbers.
    fn make(&self, numbers: &[u64], now: Timestamp) -> ArrayRef {
        let some = |number: &u64| (!self.is_null(*number)).then_some(*number);
        let rows = numbers.iter().map(some);
        let nulls = || {
            let valid = numbers.iter().map(|number| !self.is_null(*number)).collect::<Vec<_>>();
            (self.nulls > 0).then(|| NullBuffer::from(valid))
        };
        let made: ArrayRef = match &self.kind {
            Kind::Sequence(start) if self.data_type == DataType::Utf8 => {
                let text = |number: u64| start.wrapping_add_unsigned(number).to_string();
                Arc::new(rows.map(|row| row.map(text)).collect::<StringArray>())
            }
            Kind::Sequence(start) => Arc::new(
                rows.map(|row| row.map(|number| start.wrapping_add_unsigned(number)))
                    .collect::<Int64Array>(),
            ),
            Kind::Boolean => Arc::new(
                rows.map(|row| row.map(|number| self.draw(number) & 1 == 1))
                    .collect::<BooleanArray>(),
            ),
            Kind::Integer { min, max } => {
                let span = max.abs_diff(*min);
                let value = |number| min.wrapping_add_unsigned(scaled(self.draw(number), span));
                Arc::new(rows.map(|row| row.map(value)).collect::<Int64Array>())
            }
            Kind::Float { min, max } => {
                let value = |number| {
                    let part = self.draw(number) as f64 / u64::MAX as f64;
                    // Halves, since the whole span may be more than a number holds.
                    (min / 2.0 + part * (max / 2.0 - min / 2.0)) * 2.0
                };
                let value = |number| f64::clamp(value(number), *min, *max);
                Arc::new(rows.map(|row| row.map(value)).collect::<Float64Array>())
            }
            Kind::Decimal { min, max } => {
                let span = max.abs_diff(*min).saturating_add(1);
                let value = |number| {
                    let bits = u128::from(self.draw(number)) << 64 | u128::from(self.draw(!number));
                    min.wrapping_add_unsigned(bits % span)
                };
                let array = rows.map(|row| row.map(value)).collect::<Decimal128Array>();
                Arc::new(array.with_data_type(self.data_type.clone()))
            }
            Kind::Text { length, varies } => {
                let text = |number: u64| {
                    let length = self.length(number, *length, *varies);
                    let digit = |at: usize| {
                        let bits = self.draw(number.wrapping_add((at as u64 / 16) << 48));
                        char::from_digit((bits >> (at % 16 * 4) & 15) as u32, 16).unwrap_or('0')
                    };
                    (0..length).map(digit).collect::<String>()
                };
                Arc::new(rows.map(|row| row.map(text)).collect::<StringArray>())
            }
            Kind::Bytes { length, varies } => {
                let bytes = |number: u64| {
                    let length = self.length(number, *length, *varies);
                    let byte = |at: usize| {
                        let bits = self.draw(number.wrapping_add((at as u64 / 8) << 48));
                        (bits >> (at % 8 * 8)) as u8
                    };
                    (0..length).map(byte).collect::<Vec<u8>>()
                };
                Arc::new(rows.map(|row| row.map(bytes)).collect::<BinaryArray>())
            }
            Kind::Date { past } => {
                let value = |number| self.past(number, now, *past).div_euclid(DAY) as i32;
                Arc::new(rows.map(|row| row.map(value)).collect::<Date32Array>())
            }
            Kind::Time => {
                let value = |number| (self.draw(number) % DAY.cast_unsigned()) as i32;
                Arc::new(rows.map(|row| row.map(value)).collect::<Time32MillisecondArray>())
            }
            Kind::Timestamp { past } => {
                let value = |number| self.past(number, now, *past);
                let array = rows.map(|row| row.map(value)).collect::<TimestampMillisecondArray>();
                match &self.data_type {
                    DataType::Timestamp(_, Some(zone)) => {
                        Arc::new(array.with_timezone(zone.clone()))
                    }
                    _ => Arc::new(array),
                }
            }
            Kind::List { length, item } => {
                let inner = inner_numbers(numbers, *length);
                let offsets =
                    OffsetBuffer::from_lengths(std::iter::repeat_n(*length, numbers.len()));
                match &self.data_type {
                    DataType::List(field) => Arc::new(ListArray::new(
                        field.clone(),
                        offsets,
                        item.make(&inner, now),
                        nulls(),
                    )),
                    _ => arrow_array::new_null_array(&self.data_type, numbers.len()),
                }
            }
            Kind::Map { length, key, value } => {
                let inner = inner_numbers(numbers, *length);
                let offsets =
                    OffsetBuffer::from_lengths(std::iter::repeat_n(*length, numbers.len()));
                match &self.data_type {
                    DataType::Map(field, sorted) => {
                        let fields = match field.data_type() {
                            DataType::Struct(fields) => fields.clone(),
                            _ => Fields::empty(),
                        };
                        let entries = vec![key.make(&inner, now), value.make(&inner, now)];
                        let entries = StructArray::new(fields, entries, None);
                        Arc::new(MapArray::new(field.clone(), offsets, entries, nulls(), *sorted))
                    }
                    _ => arrow_array::new_null_array(&self.data_type, numbers.len()),
                }
            }
            Kind::Row(makers) => {
                let fields = match &self.data_type {
                    DataType::Struct(fields) => fields.clone(),
                    _ => Fields::empty(),
                };
                let arrays = makers.iter().map(|maker| maker.make(numbers, now)).collect();
                Arc::new(StructArray::new(fields, arrays, nulls()))
            }
        };
        match made.data_type() == &self.data_type {
            true => made,
            false => arrow_cast::cast(&made, &self.data_type)
                .unwrap_or_else(|_| arrow_array::new_null_array(&self.data_type, numbers.len())),
        }
    }

    /// A time up to `past` milliseconds before now.
    fn past(&self, number: u64, now: Timestamp, past: u64) -> Timestamp {
        now - scaled(self.draw(number), past).cast_signed()
    }
}

/// A number from 0 to `span`, evenly.
fn scaled(bits: u64, span: u64) -> u64 {
    ((u128::from(bits) * (u128::from(span) + 1)) >> 64) as u64
}

/// Numbers for the elements of each row's list or map.
fn inner_numbers(numbers: &[u64], length: usize) -> Vec<u64> {
    let elements = |number: &u64| {
        let first = mix(*number);
        (0..length as u64).map(move |nth| first.wrapping_add(nth))
    };
    numbers.iter().flat_map(elements).collect()
}
