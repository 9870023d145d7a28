//! JSON: taking values out of texts, and making texts of values.
//!
//! `syntax.rs` turns the clauses of these functions (`RETURNING`, `ON EMPTY`, `WITH WRAPPER`, `KEY .. VALUE ..`) into arguments.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Float64Array, Int32Array};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::DataType;
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::ScalarUDF;

use super::argument::TextArgument;
use super::json_path::{Found, Path, write_compact};
use super::registry::FunctionContext;
use super::scalar::{Call, Returns, Scalar, any, text};
use super::text::written;

/// The paths of an argument.
struct Paths<'a> {
    argument: TextArgument<'a>,
    current: Option<(&'a str, Path)>,
}

impl<'a> Paths<'a> {
    fn of(call: &Call<'a>) -> Result<Self> {
        Ok(Self { argument: call.text(1)?, current: None })
    }

    fn get(&mut self, call: &Call<'_>, row: usize) -> Result<Option<&Path>> {
        let Some(text) = self.argument.get(row) else { return Ok(None) };
        if self.current.as_ref().is_none_or(|(known, _)| *known != text) {
            let path = Path::new(text).map_err(|error| call.wrong(1, error))?;
            self.current = Some((text, path));
        }
        Ok(self.current.as_ref().map(|(_, path)| path))
    }
}

fn failed(call: &Call<'_>, found: &Found<'_>) -> DataFusionError {
    call.wrong(
        0,
        match found {
            Found::Empty => "has nothing at the path, and ERROR ON EMPTY was asked for",
            _ => "is no JSON or has no such value at the path, and ERROR ON ERROR was asked for",
        },
    )
}

/// What JSON_VALUE or JSON_QUERY does where there is no value: `NULL`, `ERROR`, or a value.
struct Otherwise<'a> {
    on_empty: &'a str,
    on_error: &'a str,
}

impl<'a> Otherwise<'a> {
    /// The names of what to do are arguments `index` and `index + 2`; a value may stand behind each.
    fn of(call: &Call<'a>, on_empty: usize, on_error: usize) -> Result<Self> {
        let name = |index| if index < call.len() { call.constant_text(index) } else { Ok("NULL") };
        Ok(Self { on_empty: name(on_empty)?, on_error: name(on_error)? })
    }

    fn of_found(&self, found: &Found<'_>) -> &'a str {
        if *found == Found::Empty { self.on_empty } else { self.on_error }
    }
}

/// A scalar of JSON as text: strings without quotes. `None` for an object, an array, or a string that is malformed.
fn scalar_text(json: &str) -> Option<std::borrow::Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'{' | b'[' => None,
        b'"' if !json.contains('\\') => Some(json[1..json.len() - 1].into()),
        b'"' => serde_json::from_str::<String>(json).ok().map(Into::into),
        _ => Some(json.into()),
    }
}

/// The scalar at the path for each row, or what stands in its place; `put` tells whether it could take it.
fn values(call: &Call<'_>, mut put: impl FnMut(usize, Option<&str>) -> bool) -> Result<()> {
    let (texts, mut paths) = (call.text(0)?, Paths::of(call)?);
    let otherwise = Otherwise::of(call, 2, 4)?;
    let default = |index| if index < call.len() { call.text(index).map(Some) } else { Ok(None) };
    let (empty_value, error_value) = (default(3)?, default(5)?);
    for row in 0..call.rows {
        let (Some(text), Some(path)) = (texts.get(row), paths.get(call, row)?) else {
            put(row, None);
            continue;
        };
        let mut found = path.find(text);
        if let Found::One(json) = found {
            match scalar_text(json) {
                Some(value) if put(row, Some(&value)) => continue,
                _ => found = Found::Wrong,
            }
        }
        let default = if found == Found::Empty { &empty_value } else { &error_value };
        let value = match otherwise.of_found(&found) {
            "DEFAULT" => default.as_ref().and_then(|values| values.get(row)),
            "ERROR" => return Err(failed(call, &found)),
            _ => None,
        };
        if !put(row, value) {
            let shown = value.unwrap_or("NULL");
            return Err(call.wrong(
                0,
                format!("has the default '{shown}', which is not of the type it returns"),
            ));
        }
    }
    Ok(())
}

fn json_value(call: &Call<'_>) -> Result<ArrayRef> {
    let mut out = StringBuilder::with_capacity(call.rows, call.rows * 8);
    values(call, |_, value| {
        out.append_option(value);
        true
    })?;
    Ok(Arc::new(out.finish()))
}

fn json_value_of<T: std::str::FromStr>(call: &Call<'_>) -> Result<Vec<Option<T>>> {
    let mut out = Vec::with_capacity(call.rows);
    values(call, |_, value| {
        let parsed = value.map(|value| value.trim().parse().ok());
        match parsed {
            Some(None) => return false,
            Some(Some(value)) => out.push(Some(value)),
            None => out.push(None),
        }
        true
    })?;
    Ok(out)
}

fn json_exists(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, mut paths) = (call.text(0)?, Paths::of(call)?);
    let on_error = if call.len() > 2 { call.constant_text(2)? } else { "FALSE" };
    let mut out = BooleanBuilder::with_capacity(call.rows);
    for row in 0..call.rows {
        let (Some(text), Some(path)) = (texts.get(row), paths.get(call, row)?) else {
            out.append_null();
            continue;
        };
        match path.find(text) {
            Found::One(_) | Found::Many(_) => out.append_value(true),
            Found::Empty => out.append_value(false),
            Found::Wrong => match on_error {
                "TRUE" => out.append_value(true),
                "UNKNOWN" => out.append_null(),
                "ERROR" => return Err(failed(call, &Found::Wrong)),
                _ => out.append_value(false),
            },
        }
    }
    Ok(Arc::new(out.finish()))
}

fn json_query(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, mut paths) = (call.text(0)?, Paths::of(call)?);
    let wrapper = if call.len() > 2 { call.constant_text(2)? } else { "WITHOUT" };
    let otherwise = Otherwise::of(call, 3, 4)?;
    written(call, |row, out| {
        let (Some(text), Some(path)) = (texts.get(row), paths.get(call, row)?) else {
            return Ok(false);
        };
        let found = path.find(text);
        match &found {
            Found::One(json) => {
                let nested = json.starts_with(['{', '[']);
                let wrapped = wrapper == "UNCONDITIONAL" || (wrapper == "CONDITIONAL" && !nested);
                if nested || wrapped {
                    let (open, close) = if wrapped { ("[", "]") } else { ("", "") };
                    out.write_str(open)?;
                    write_compact(json, out)?;
                    out.write_str(close)?;
                    return Ok(true);
                }
            }
            Found::Many(all) => {
                let wrapped = wrapper == "UNCONDITIONAL";
                out.write_str(if wrapped { "[[" } else { "[" })?;
                for (index, json) in all.iter().enumerate() {
                    if index > 0 {
                        out.write_char(',')?;
                    }
                    write_compact(json, out)?;
                }
                out.write_str(if wrapped { "]]" } else { "]" })?;
                return Ok(true);
            }
            Found::Empty | Found::Wrong => {}
        }
        match otherwise.of_found(&found) {
            "EMPTY ARRAY" => out.write_str("[]")?,
            "EMPTY OBJECT" => out.write_str("{}")?,
            "ERROR" => return Err(failed(call, &found)),
            _ => return Ok(false),
        }
        Ok(true)
    })
}

/// Writes the value of a row as JSON.
type WriteValue<'a> = Box<dyn Fn(usize, &mut StringBuilder) -> Result<()> + 'a>;

fn quoted(text: &str, out: &mut StringBuilder) -> Result<()> {
    out.write_char('"')?;
    for character in text.chars() {
        match character {
            '"' => out.write_str("\\\"")?,
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            '\u{8}' => out.write_str("\\b")?,
            '\u{c}' => out.write_str("\\f")?,
            control if control < ' ' => write!(out, "\\u{:04X}", u32::from(control))?,
            other => out.write_char(other)?,
        }
    }
    Ok(out.write_char('"')?)
}

fn nullable(
    array: &dyn Array,
    write: &WriteValue<'_>,
    row: usize,
    out: &mut StringBuilder,
) -> Result<()> {
    if array.is_valid(row) { write(row, out) } else { Ok(out.write_str("null")?) }
}

/// How values of an array are written as JSON; `raw` texts are JSON already.
fn writer<'a>(array: &'a dyn Array, raw: bool) -> Result<WriteValue<'a>> {
    let given = array.data_type();
    Ok(match given {
        DataType::Utf8 if raw => {
            let texts = array.as_string::<i32>();
            Box::new(|row, out| Ok(out.write_str(texts.value(row))?))
        }
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            Box::new(|row, out| quoted(texts.value(row), out))
        }
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let write = writer(lists.values(), false)?;
            Box::new(move |row, out| {
                out.write_char('[')?;
                let offsets = lists.value_offsets();
                for at in offsets[row]..offsets[row + 1] {
                    if at > offsets[row] {
                        out.write_char(',')?;
                    }
                    nullable(lists.values(), &write, at as usize, out)?;
                }
                Ok(out.write_char(']')?)
            })
        }
        DataType::Map(..) => {
            let maps = array.as_map();
            let Some(keys) = maps.keys().as_string_opt::<i32>() else {
                return Err(DataFusionError::Execution(format!(
                    "{} cannot be JSON: keys of an object are strings",
                    super::type_name(given)
                )));
            };
            let write = writer(maps.values(), false)?;
            Box::new(move |row, out| {
                out.write_char('{')?;
                let offsets = maps.value_offsets();
                for at in offsets[row]..offsets[row + 1] {
                    if at > offsets[row] {
                        out.write_char(',')?;
                    }
                    quoted(keys.value(at as usize), out)?;
                    out.write_char(':')?;
                    nullable(maps.values(), &write, at as usize, out)?;
                }
                Ok(out.write_char('}')?)
            })
        }
        DataType::Struct(fields) => {
            let rows = array.as_struct();
            let columns = rows
                .columns()
                .iter()
                .map(|column| Ok((column.as_ref(), writer(column, false)?)))
                .collect::<Result<Vec<(&dyn Array, WriteValue<'_>)>>>()?;
            Box::new(move |row, out| {
                out.write_char('{')?;
                for (index, ((column, write), field)) in columns.iter().zip(fields).enumerate() {
                    if index > 0 {
                        out.write_char(',')?;
                    }
                    quoted(field.name(), out)?;
                    out.write_char(':')?;
                    nullable(*column, write, row, out)?;
                }
                Ok(out.write_char('}')?)
            })
        }
        _ => {
            let options = FormatOptions::default();
            let formatter = ArrayFormatter::try_new(array, &options)?;
            if given.is_numeric() || matches!(given, DataType::Boolean | DataType::Null) {
                Box::new(move |row, out| Ok(write!(out, "{}", formatter.value(row))?))
            } else {
                Box::new(move |row, out| Ok(write!(out, "\"{}\"", formatter.value(row))?))
            }
        }
    })
}

fn json_string(call: &Call<'_>) -> Result<ArrayRef> {
    let array = call.array(0)?;
    let write = writer(&array, false)?;
    written(call, |row, out| {
        let some = array.is_valid(row);
        if some {
            write(row, out)?;
        }
        Ok(some)
    })
}

/// The parts of a JSON_OBJECT or JSON_ARRAY: whether NULLs are left out, and the arguments, each with whether it is JSON already.
fn parts(call: &Call<'_>) -> Result<(bool, Vec<(ArrayRef, bool)>)> {
    let raw = call.constant_text(1)?.as_bytes();
    let arrays = (2..call.len())
        .map(|index| Ok((call.array(index)?, raw.get(index - 2) == Some(&b'r'))))
        .collect::<Result<_>>()?;
    Ok((call.constant_text(0)? == "ABSENT", arrays))
}

fn json_object(call: &Call<'_>) -> Result<ArrayRef> {
    let (absent, arrays) = parts(call)?;
    let mut members = Vec::with_capacity(arrays.len() / 2);
    for (index, pair) in arrays.chunks_exact(2).enumerate() {
        let Some(keys) = pair[0].0.as_string_opt::<i32>() else {
            return Err(call.wrong(2 + 2 * index, "is a key, which must be a STRING"));
        };
        members.push((keys, &pair[1].0, writer(&pair[1].0, pair[1].1)?));
    }
    written(call, |row, out| {
        out.write_char('{')?;
        let mut first = true;
        for (keys, values, write) in &members {
            if absent && values.is_null(row) {
                continue;
            }
            if keys.is_null(row) {
                return Err(call.wrong(2, "is a key that is NULL"));
            }
            if !std::mem::take(&mut first) {
                out.write_char(',')?;
            }
            quoted(keys.value(row), out)?;
            out.write_char(':')?;
            nullable(values, write, row, out)?;
        }
        out.write_char('}')?;
        Ok(true)
    })
}

fn json_array(call: &Call<'_>) -> Result<ArrayRef> {
    let (absent, arrays) = parts(call)?;
    let elements = arrays
        .iter()
        .map(|(array, raw)| Ok((array, writer(array, *raw)?)))
        .collect::<Result<Vec<_>>>()?;
    written(call, |row, out| {
        out.write_char('[')?;
        let mut first = true;
        for (values, write) in &elements {
            if absent && values.is_null(row) {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.write_char(',')?;
            }
            nullable(values, write, row, out)?;
        }
        out.write_char(']')?;
        Ok(true)
    })
}

fn json_quote(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.text(0)?;
    written(call, |row, out| {
        let Some(text) = texts.get(row) else { return Ok(false) };
        quoted(text, out)?;
        Ok(true)
    })
}

fn json_unquote(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.text(0)?;
    written(call, |row, out| {
        let Some(text) = texts.get(row) else { return Ok(false) };
        match serde_json::from_str::<String>(text) {
            Ok(unquoted) => out.write_str(&unquoted)?,
            // What is no string of JSON stays as it is.
            Err(_) => out.write_str(text)?,
        }
        Ok(true)
    })
}

/// The functions of this file.
pub(super) fn functions(context: &Arc<FunctionContext>) -> Vec<Arc<ScalarUDF>> {
    let value = |name, returns, evaluate| {
        let parameters = [
            text("json"),
            text("path"),
            text("on empty"),
            text("value on empty"),
            text("on error"),
            text("value on error"),
        ];
        Scalar::new(name, parameters, returns, evaluate).optional(4).build(&[], context)
    };
    let made = |name, evaluate| {
        let parameters = [text("nulls"), text("kinds"), any("part")];
        Scalar::new(name, parameters, Returns::TEXT, evaluate)
            .optional(1)
            .variadic()
            .build(&[], context)
    };
    vec![
        value("json_value", Returns::TEXT, json_value),
        value("json_value_boolean", Returns::BOOL, |call| {
            Ok(Arc::new(arrow_array::BooleanArray::from(json_value_of::<bool>(call)?)))
        }),
        value("json_value_int", Returns::INT, |call| {
            Ok(Arc::new(Int32Array::from(json_value_of::<i32>(call)?)))
        }),
        value("json_value_double", Returns::DOUBLE, |call| {
            Ok(Arc::new(Float64Array::from(json_value_of::<f64>(call)?)))
        }),
        Scalar::new(
            "json_exists",
            [text("json"), text("path"), text("on error")],
            Returns::BOOL,
            json_exists,
        )
        .optional(1)
        .build(&[], context),
        Scalar::new(
            "json_query",
            [text("json"), text("path"), text("wrapper"), text("on empty"), text("on error")],
            Returns::TEXT,
            json_query,
        )
        .optional(3)
        .build(&[], context),
        Scalar::new("json_string", [any("value")], Returns::TEXT, json_string).build(&[], context),
        Scalar::new("json_quote", [text("string")], Returns::TEXT, json_quote).build(&[], context),
        Scalar::new("json_unquote", [text("string")], Returns::TEXT, json_unquote)
            .build(&[], context),
        made("json_object_of", json_object),
        made("json_array_of", json_array),
    ]
}
