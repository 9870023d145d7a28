//! Values as text, as CAST writes them.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use super::registry::FunctionContext;
use super::scalar::{Call, Returns, Scalar, any};
use super::time_format::Pattern;

/// Writes the value of a row, which is not NULL.
type WriteValue<'a> = Box<dyn Fn(usize, &mut StringBuilder) -> Result<()> + 'a>;

/// Writes the value of a row or NULL.
fn nullable(
    array: &dyn Array,
    write: &WriteValue<'_>,
    row: usize,
    out: &mut StringBuilder,
) -> Result<()> {
    match array.is_valid(row) {
        true => write(row, out),
        false => Ok(out.write_str("NULL")?),
    }
}

/// Java writes numbers from a thousandth up to ten million with a point, others with an exponent.
fn write_double(shown: &str, out: &mut StringBuilder) -> Result<()> {
    let (mantissa, exponent) = match shown.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap_or(0)),
        None => {
            out.write_str(match shown {
                "inf" => "Infinity",
                "-inf" => "-Infinity",
                other => other,
            })?;
            return Ok(());
        }
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let (first, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    out.write_str(sign)?;
    if !(-3..7).contains(&exponent) {
        let behind = if behind.is_empty() { "0" } else { behind };
        write!(out, "{first}.{behind}E{exponent}")?;
    } else if exponent < 0 {
        out.write_str("0.")?;
        for _ in 0..-exponent - 1 {
            out.write_char('0')?;
        }
        write!(out, "{first}{behind}")?;
    } else {
        let whole = exponent as usize;
        let (front, rest) = behind.split_at(behind.len().min(whole));
        write!(out, "{first}{front:0<whole$}.{}", if rest.is_empty() { "0" } else { rest })?;
    }
    Ok(())
}

/// How the values of an array are written.
fn writer<'a>(array: &'a dyn Array) -> Result<WriteValue<'a>> {
    Ok(match array.data_type() {
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            Box::new(|row, out| Ok(out.write_str(texts.value(row))?))
        }
        DataType::Boolean => {
            let truths = array.as_boolean();
            Box::new(|row, out| {
                Ok(out.write_str(if truths.value(row) { "TRUE" } else { "FALSE" })?)
            })
        }
        DataType::Float64 => {
            let numbers = array.as_primitive::<Float64Type>();
            Box::new(|row, out| write_double(&format!("{:e}", numbers.value(row)), out))
        }
        DataType::Float32 => {
            let numbers = array.as_primitive::<Float32Type>();
            Box::new(|row, out| write_double(&format!("{:e}", numbers.value(row)), out))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            let times = array.as_primitive::<TimestampMillisecondType>();
            let pattern = Pattern::new("yyyy-MM-dd HH:mm:ss.SSS")
                .map_err(datafusion::common::DataFusionError::Execution)?;
            Box::new(move |row, out| {
                pattern.format(times.value(row), out)?;
                Ok(())
            })
        }
        DataType::Binary => {
            let bytes = array.as_binary::<i32>();
            Box::new(|row, out| Ok(out.write_str(&String::from_utf8_lossy(bytes.value(row)))?))
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let write = writer(lists.values())?;
            Box::new(move |row, out| {
                out.write_char('[')?;
                let offsets = lists.value_offsets();
                for at in offsets[row]..offsets[row + 1] {
                    if at > offsets[row] {
                        out.write_str(", ")?;
                    }
                    nullable(lists.values(), &write, at as usize, out)?;
                }
                Ok(out.write_char(']')?)
            })
        }
        DataType::Map(..) => {
            let maps = array.as_map();
            let (keys, values) = (writer(maps.keys())?, writer(maps.values())?);
            Box::new(move |row, out| {
                out.write_char('{')?;
                let offsets = maps.value_offsets();
                for at in offsets[row]..offsets[row + 1] {
                    if at > offsets[row] {
                        out.write_str(", ")?;
                    }
                    nullable(maps.keys(), &keys, at as usize, out)?;
                    out.write_char('=')?;
                    nullable(maps.values(), &values, at as usize, out)?;
                }
                Ok(out.write_char('}')?)
            })
        }
        DataType::Struct(_) => {
            let rows = array.as_struct();
            let columns = rows
                .columns()
                .iter()
                .map(|column| Ok((column.as_ref(), writer(column)?)))
                .collect::<Result<Vec<(&dyn Array, WriteValue<'_>)>>>()?;
            Box::new(move |row, out| {
                out.write_char('(')?;
                for (index, (column, write)) in columns.iter().enumerate() {
                    if index > 0 {
                        out.write_str(", ")?;
                    }
                    nullable(*column, write, row, out)?;
                }
                Ok(out.write_char(')')?)
            })
        }
        _ => {
            let options = FormatOptions::default()
                .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
                .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.f"));
            let formatter = ArrayFormatter::try_new(array, &options)?;
            Box::new(move |row, out| Ok(write!(out, "{}", formatter.value(row))?))
        }
    })
}

fn cast_to_string(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let given = array.data_type();
    if given.is_integer() || given.is_decimal() || given.is_string() || given.is_null() {
        return Ok(arrow_cast::cast(&array, &DataType::Utf8)?);
    }
    let write = writer(&array)?;
    let mut out = StringBuilder::with_capacity(call.rows, call.rows * 16);
    for row in 0..array.len() {
        match array.is_valid(row) {
            true => {
                write(row, &mut out)?;
                out.append_value("");
            }
            false => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// The functions of this file.
pub(super) fn functions(context: &Arc<FunctionContext>) -> Vec<Arc<ScalarUDF>> {
    vec![
        Scalar::new("cast_to_string", [any("value")], Returns::TEXT, cast_to_string)
            .build(&[], context),
    ]
}
