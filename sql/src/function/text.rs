//! Text: taking apart, searching, padding.
//!
//! Positions count characters from 1, whatever the encoding; [`characters`] has the arithmetic.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, BooleanArray, Int32Array, StringArray};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use super::registry::FunctionContext;
use super::scalar::{Call, Returns, Scalar, int, text};

/// A STRING for each row that is part of an argument; `None` is NULL.
pub(super) fn parts<'a>(
    call: &Call<'a>,
    of: impl FnMut(usize) -> Option<&'a str>,
) -> Result<ArrayRef> {
    Ok(Arc::new((0..call.rows).map(of).collect::<StringArray>()))
}

/// A STRING for each row that is written piece by piece; where the closure returns false, having written nothing, it is NULL.
pub(super) fn written(
    call: &Call<'_>,
    mut write: impl FnMut(usize, &mut StringBuilder) -> Result<bool>,
) -> Result<ArrayRef> {
    let mut out = StringBuilder::with_capacity(call.rows, call.rows * 16);
    for row in 0..call.rows {
        match write(row, &mut out)? {
            // What was written so far becomes the value.
            true => out.append_value(""),
            false => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn numbers(call: &Call<'_>, of: impl FnMut(usize) -> Option<i32>) -> Result<ArrayRef> {
    Ok(Arc::new((0..call.rows).map(of).collect::<Int32Array>()))
}

fn truths(call: &Call<'_>, of: impl FnMut(usize) -> Option<bool>) -> Result<ArrayRef> {
    Ok(Arc::new((0..call.rows).map(of).collect::<BooleanArray>()))
}

/// Characters of a string by number.
pub(super) mod characters {
    /// How many there are.
    #[inline]
    pub(in super::super) fn count(text: &str) -> usize {
        if text.is_ascii() { text.len() } else { text.chars().count() }
    }

    /// The byte at which a character begins, or the end.
    #[inline]
    pub(in super::super) fn offset(text: &str, character: usize) -> usize {
        if text.is_ascii() {
            return character.min(text.len());
        }
        text.char_indices().nth(character).map_or(text.len(), |(at, _)| at)
    }

    /// The number of the character that begins at a byte.
    #[inline]
    pub(super) fn number(text: &str, offset: usize) -> usize {
        count(&text[..offset])
    }
}

/// A length as a number of characters that exist.
fn clamped(length: i64) -> usize {
    usize::try_from(length.max(0)).unwrap_or(usize::MAX)
}

/// From a 1-based position that counts from the end if negative, at most `length` characters.
fn substring(text: &str, position: i64, length: Option<i64>) -> Option<&str> {
    let length = match length {
        Some(length) if length < 0 => return None,
        Some(length) => clamped(length),
        None => usize::MAX,
    };
    let start = match position {
        0 => 0,
        1.. => clamped(position - 1),
        _ => {
            let back = clamped(position.checked_neg().unwrap_or(i64::MAX));
            match characters::count(text).checked_sub(back) {
                Some(start) => start,
                None => return Some(""),
            }
        }
    };
    let rest = &text[characters::offset(text, start)..];
    Some(&rest[..characters::offset(rest, length)])
}

fn substrings(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, positions) = (call.text(0)?, call.int(1)?);
    let lengths = if call.len() > 2 { Some(call.int(2)?) } else { None };
    parts(call, |row| {
        let length = match &lengths {
            Some(lengths) => Some(lengths.get(row)?),
            None => None,
        };
        substring(texts.get(row)?, positions.get(row)?, length)
    })
}

fn left(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, lengths) = (call.text(0)?, call.int(1)?);
    parts(call, |row| {
        let text = texts.get(row)?;
        Some(&text[..characters::offset(text, clamped(lengths.get(row)?))])
    })
}

fn right(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, lengths) = (call.text(0)?, call.int(1)?);
    parts(call, |row| {
        let text = texts.get(row)?;
        let skipped = characters::count(text).saturating_sub(clamped(lengths.get(row)?));
        Some(&text[characters::offset(text, skipped)..])
    })
}

/// Part number `index` (from 0) of a text between delimiters.
fn part<'a>(text: &'a str, delimiter: &str, index: i64) -> Option<&'a str> {
    if text.is_empty() {
        return None;
    }
    let index = usize::try_from(index).ok()?;
    match delimiter.as_bytes() {
        // As in Flink, no delimiter means white space.
        [] => text.split(char::is_whitespace).nth(index),
        [one] if one.is_ascii() => text.split(char::from(*one)).nth(index),
        _ => text.split(delimiter).nth(index),
    }
}

fn split_index(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, delimiters, indices) = (call.text(0)?, call.text(1)?, call.int(2)?);
    parts(call, |row| part(texts.get(row)?, delimiters.get(row)?, indices.get(row)?))
}

/// Longest text that padding and repeating may make.
const MAX_TEXT: usize = 64 << 20;

fn padded(call: &Call<'_>, at_left: bool) -> Result<ArrayRef> {
    let (texts, lengths, pads) = (call.text(0)?, call.int(1)?, call.text(2)?);
    written(call, |row, out| {
        let (Some(text), Some(length), Some(pad)) =
            (texts.get(row), lengths.get(row), pads.get(row))
        else {
            return Ok(false);
        };
        let Ok(length) = usize::try_from(length) else { return Ok(false) };
        if length > MAX_TEXT {
            return Err(call.wrong(1, format!("is {length}, more than {MAX_TEXT}")));
        }
        let missing = length.saturating_sub(characters::count(text));
        if missing > 0 && pad.is_empty() {
            return Ok(false);
        }
        let kept = &text[..characters::offset(text, length)];
        if !at_left {
            out.write_str(kept)?;
        }
        for character in pad.chars().cycle().take(missing) {
            out.write_char(character)?;
        }
        if at_left {
            out.write_str(kept)?;
        }
        Ok(true)
    })
}

/// 1-based position of `sought` at or behind position `from`; 0 if it is not there.
fn position(text: &str, sought: &str, from: i64) -> i32 {
    if sought.is_empty() {
        return 1;
    }
    let start = characters::offset(text, clamped(from.saturating_sub(1)));
    match text[start..].find(sought) {
        Some(at) => characters::number(text, start + at) as i32 + 1,
        None => 0,
    }
}

fn locate(call: &Call<'_>) -> Result<ArrayRef> {
    let (sought, texts, from) = (call.text(0)?, call.text(1)?, call.int_or(2, 1)?);
    numbers(call, |row| Some(position(texts.get(row)?, sought.get(row)?, from.get(row)?)))
}

/// Position of appearance number `nth`, searched forwards from `from`, or backwards from the end if that is negative.
fn appearance(text: &str, sought: &str, from: i64, nth: i64) -> i32 {
    let nth = clamped(nth - 1);
    if sought.is_empty() || from == 0 {
        return 0;
    }
    let starts = text.char_indices().map(|(at, _)| at).enumerate();
    let found = starts.filter(|(_, at)| text[*at..].starts_with(sought));
    let number = if from > 0 {
        let first = clamped(from - 1);
        found.map(|(number, _)| number).filter(|number| *number >= first).nth(nth)
    } else {
        let count = characters::count(text) as i64;
        let last = count.saturating_add(from);
        let mut numbers: Vec<usize> = found
            .map(|(number, _)| number)
            .take_while(|number| i64::try_from(*number).is_ok_and(|number| number <= last))
            .collect();
        numbers.reverse();
        numbers.get(nth).copied()
    };
    number.map_or(0, |number| number as i32 + 1)
}

fn instr(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, sought) = (call.text(0)?, call.text(1)?);
    let (from, nth) = (call.int_or(2, 1)?, call.int_or(3, 1)?);
    let mut out = Int32Array::builder(call.rows);
    for row in 0..call.rows {
        let (Some(text), Some(sought)) = (texts.get(row), sought.get(row)) else {
            out.append_null();
            continue;
        };
        match (from.get(row), nth.get(row)) {
            (Some(1), Some(1)) => out.append_value(position(text, sought, 1)),
            (Some(_), Some(nth)) if nth < 1 => {
                return Err(call.wrong(3, format!("is {nth}; appearances count from 1")));
            }
            (Some(from), Some(nth)) => out.append_value(appearance(text, sought, from, nth)),
            _ => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn overlay(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, new, from) = (call.text(0)?, call.text(1)?, call.int(2)?);
    let lengths = if call.len() > 3 { Some(call.int(3)?) } else { None };
    written(call, |row, out| {
        let (Some(text), Some(new), Some(from)) = (texts.get(row), new.get(row), from.get(row))
        else {
            return Ok(false);
        };
        let length = match &lengths {
            None => Some(characters::count(new) as i64),
            Some(lengths) => lengths.get(row),
        };
        let Some(length) = length else { return Ok(false) };
        let count = characters::count(text) as i64;
        if from < 1 || from > count {
            out.write_str(text)?;
            return Ok(true);
        }
        out.write_str(&text[..characters::offset(text, clamped(from - 1))])?;
        out.write_str(new)?;
        // As in Flink, a length that is not positive replaces all that follows.
        let behind = from.saturating_sub(1).saturating_add(length);
        if length > 0 && behind < count {
            out.write_str(&text[characters::offset(text, clamped(behind))..])?;
        }
        Ok(true)
    })
}

fn concat(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = (0..call.len()).map(|index| call.text(index)).collect::<Result<Vec<_>>>()?;
    written(call, |row, out| {
        if texts.iter().any(|text| text.get(row).is_none()) {
            return Ok(false);
        }
        for piece in texts.iter().filter_map(|text| text.get(row)) {
            out.write_str(piece)?;
        }
        Ok(true)
    })
}

fn concat_ws(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = (0..call.len()).map(|index| call.text(index)).collect::<Result<Vec<_>>>()?;
    written(call, |row, out| {
        let Some(separator) = texts[0].get(row) else { return Ok(false) };
        for (index, piece) in texts[1..].iter().filter_map(|text| text.get(row)).enumerate() {
            if index > 0 {
                out.write_str(separator)?;
            }
            out.write_str(piece)?;
        }
        Ok(true)
    })
}

fn repeat(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, times) = (call.text(0)?, call.int(1)?);
    written(call, |row, out| {
        let (Some(text), Some(times)) = (texts.get(row), times.get(row)) else {
            return Ok(false);
        };
        if clamped(times).saturating_mul(text.len()) > MAX_TEXT {
            return Err(call.wrong(1, format!("is {times}: the result exceeds {MAX_TEXT} bytes")));
        }
        for _ in 0..times {
            out.write_str(text)?;
        }
        Ok(true)
    })
}

fn chr(call: &Call<'_>) -> Result<ArrayRef> {
    let codes = call.int(0)?;
    written(call, |row, out| {
        let Some(code) = codes.get(row) else { return Ok(false) };
        if code >= 0 {
            // The low byte alone, as in Flink.
            out.write_char(char::from((code & 0xff) as u8))?;
        }
        Ok(true)
    })
}

fn elt(call: &Call<'_>) -> Result<ArrayRef> {
    let indices = call.int(0)?;
    let texts = (1..call.len()).map(|index| call.text(index)).collect::<Result<Vec<_>>>()?;
    parts(call, |row| {
        let index = usize::try_from(indices.get(row)?).ok()?.checked_sub(1)?;
        texts.get(index)?.get(row)
    })
}

fn is_alpha(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.text(0)?;
    truths(call, |row| {
        let text = texts.get(row);
        Some(text.is_some_and(|text| !text.is_empty() && text.chars().all(char::is_alphabetic)))
    })
}

fn is_digit(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.text(0)?;
    truths(call, |row| {
        let text = texts.get(row);
        Some(text.is_some_and(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())))
    })
}

fn is_decimal(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.text(0)?;
    truths(call, |row| Some(texts.get(row).is_some_and(decimal)))
}

/// Whether a text is a number: digits with at most one point, perhaps a sign and an exponent.
fn decimal(text: &str) -> bool {
    let named = text.bytes().any(|byte| byte.is_ascii_alphabetic() && !matches!(byte, b'e' | b'E'));
    !named && text.parse::<f64>().is_ok()
}

/// How often a character appears in a text; NULL if either is NULL.
fn count_char(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, sought) = (call.text(0)?, call.text(1)?);
    let counts = (0..call.rows).map(|row| {
        let (text, sought) = (texts.get(row)?, sought.get(row)?);
        let mut characters = sought.chars();
        let character = characters.next()?;
        Some(match character.is_ascii() {
            true => memchr::memchr_iter(character as u8, text.as_bytes()).count() as i64,
            false => text.chars().filter(|other| *other == character).count() as i64,
        })
    });
    Ok(Arc::new(counts.collect::<arrow_array::Int64Array>()))
}

/// The functions of this file.
pub(super) fn functions(context: &Arc<FunctionContext>) -> Vec<Arc<ScalarUDF>> {
    let declare = |name, parameters: Vec<_>, returns, evaluate| {
        Scalar::new(name, parameters, returns, evaluate)
    };
    let string = || text("string");
    vec![
        declare(
            "substring",
            vec![string(), int("position"), int("length")],
            Returns::TEXT,
            substrings,
        )
        .optional(1)
        .build(&["substr"], context),
        declare("left", vec![string(), int("length")], Returns::TEXT, left).build(&[], context),
        declare("right", vec![string(), int("length")], Returns::TEXT, right).build(&[], context),
        declare(
            "split_index",
            vec![string(), text("delimiter"), int("index")],
            Returns::TEXT,
            split_index,
        )
        .build(&[], context),
        declare("lpad", vec![string(), int("length"), text("pad")], Returns::TEXT, |call| {
            padded(call, true)
        })
        .build(&[], context),
        declare("rpad", vec![string(), int("length"), text("pad")], Returns::TEXT, |call| {
            padded(call, false)
        })
        .build(&[], context),
        declare("locate", vec![text("sought"), string(), int("from")], Returns::INT, locate)
            .optional(1)
            .build(&["position"], context),
        declare(
            "instr",
            vec![string(), text("sought"), int("from"), int("appearance")],
            Returns::INT,
            instr,
        )
        .optional(2)
        .build(&[], context),
        declare(
            "overlay",
            vec![string(), text("new"), int("from"), int("length")],
            Returns::TEXT,
            overlay,
        )
        .optional(1)
        .build(&[], context),
        declare("concat", vec![string()], Returns::TEXT, concat).variadic().build(&[], context),
        declare("concat_ws", vec![text("separator"), string()], Returns::TEXT, concat_ws)
            .optional(1)
            .variadic()
            .build(&[], context),
        declare("repeat", vec![string(), int("times")], Returns::TEXT, repeat).build(&[], context),
        declare("chr", vec![int("code")], Returns::TEXT, chr).build(&[], context),
        declare("elt", vec![int("index"), string()], Returns::TEXT, elt)
            .variadic()
            .build(&[], context),
        declare("is_alpha", vec![string()], Returns::BOOL, is_alpha).build(&[], context),
        declare("is_digit", vec![string()], Returns::BOOL, is_digit).build(&[], context),
        declare("is_decimal", vec![string()], Returns::BOOL, is_decimal).build(&[], context),
        declare("count_char", vec![string(), text("character")], Returns::BIGINT, count_char)
            .build(&[], context),
    ]
}
