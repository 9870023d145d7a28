//! Regular expressions, as Java writes them.
//!
//! The `regex` crate runs them: in linear time, whatever the pattern, and without look-around and back-references. A pattern that it does not take is
//! an error, where Flink answers NULL to a pattern that Java does not take: a typing error should not look like data that does not match.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, BooleanArray, Int32Array};
use arrow_schema::{DataType, Field};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;
use hashbrown::HashMap;
use regex::{CaptureLocations, Regex};

use super::argument::TextArgument;
use super::registry::FunctionContext;
use super::scalar::{Call, Returns, Scalar, int, text};
use super::text::{characters, parts, written};

/// A Java pattern in the words of the `regex` crate: Java's `\d`, `\w`, `\s` and `\b` mean ASCII only, and `\Q..\E` quotes.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut in_class = 0;
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('d') if in_class > 0 => out.push_str("0-9"),
                Some('w') if in_class > 0 => out.push_str("a-zA-Z0-9_"),
                Some('s') if in_class > 0 => out.push_str(r" \t\n\x0B\f\r"),
                Some('d') => out.push_str("[0-9]"),
                Some('w') => out.push_str("[a-zA-Z0-9_]"),
                Some('s') => out.push_str(r"[ \t\n\x0B\f\r]"),
                Some('D') => out.push_str("[^0-9]"),
                Some('W') => out.push_str("[^a-zA-Z0-9_]"),
                Some('S') => out.push_str(r"[^ \t\n\x0B\f\r]"),
                Some('b') => out.push_str(r"(?-u:\b)"),
                Some('B') => out.push_str(r"(?-u:\B)"),
                Some('Q') => {
                    let mut quoted = String::new();
                    while let Some(character) = characters.next() {
                        if character == '\\' && characters.peek() == Some(&'E') {
                            characters.next();
                            break;
                        }
                        quoted.push(character);
                    }
                    out.push_str(&regex::escape(&quoted));
                }
                Some(other) => out.extend(['\\', other]),
                None => out.push('\\'),
            },
            '[' => {
                in_class += 1;
                out.push('[');
            }
            ']' if in_class > 0 => {
                in_class -= 1;
                out.push(']');
            }
            other => out.push(other),
        }
    }
    out
}

/// A pattern of SIMILAR TO: `%` is any text, `_` any character, and all of the text must match.
fn of_similar(pattern: &str) -> String {
    let mut out = String::from("^(?s:");
    for character in pattern.chars() {
        match character {
            '%' => out.push_str(".*"),
            '_' => out.push('.'),
            '.' | '^' | '$' | '\\' => out.extend(['\\', character]),
            other => out.push(other),
        }
    }
    out.push_str(")$");
    out
}

fn compiled(call: &Call<'_>, index: usize, pattern: &str) -> Result<Regex> {
    let expression =
        if call.name() == "similar_to" { of_similar(pattern) } else { translated(pattern) };
    Regex::new(&expression).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
        call.wrong(
            index,
            format!("is '{pattern}', which is not a pattern that can be run: {reason}"),
        )
    })
}

/// Patterns of a column differ; more than these are not kept.
const KEPT_PATTERNS: usize = 1_000;

/// The patterns of an argument, compiled once each.
struct Patterns<'a, 'c> {
    call: &'c Call<'a>,
    index: usize,
    argument: TextArgument<'a>,
    constant: Option<Regex>,
    known: HashMap<&'a str, Regex, foldhash::fast::FixedState>,
}

impl<'a, 'c> Patterns<'a, 'c> {
    fn of(call: &'c Call<'a>, index: usize) -> Result<Self> {
        let argument = call.text(index)?;
        let constant = match argument {
            TextArgument::Constant(Some(pattern)) => Some(compiled(call, index, pattern)?),
            _ => None,
        };
        Ok(Self { call, index, argument, constant, known: HashMap::default() })
    }

    /// The pattern of a row; `None` is NULL.
    fn get(&mut self, row: usize) -> Result<Option<&Regex>> {
        if self.constant.is_some() {
            return Ok(self.constant.as_ref());
        }
        let Some(pattern) = self.argument.get(row) else { return Ok(None) };
        if !self.known.contains_key(pattern) {
            if self.known.len() >= KEPT_PATTERNS {
                self.known.clear();
            }
            let regex = compiled(self.call, self.index, pattern)?;
            self.known.insert(pattern, regex);
        }
        Ok(self.known.get(pattern))
    }
}

fn regexp(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.text(0)?;
    let mut patterns = Patterns::of(call, 1)?;
    let mut out = BooleanArray::builder(call.rows);
    for row in 0..call.rows {
        match (texts.get(row), patterns.get(row)?) {
            // As in Flink, the empty pattern matches nothing.
            (Some(text), Some(regex)) => {
                out.append_value(!regex.as_str().is_empty() && regex.is_match(text));
            }
            _ => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// A group of the first match.
fn group<'t>(
    regex: &Regex,
    text: &'t str,
    group: i64,
    places: &mut Option<CaptureLocations>,
) -> Option<&'t str> {
    if group == 0 {
        return regex.find(text).map(|found| found.as_str());
    }
    let group = usize::try_from(group).ok().filter(|group| *group < regex.captures_len())?;
    let places = match places {
        Some(places) if places.len() == regex.captures_len() => places,
        places => places.insert(regex.capture_locations()),
    };
    regex.captures_read(places, text)?;
    places.get(group).map(|(from, to)| &text[from..to])
}

fn regexp_extract(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, groups) = (call.text(0)?, call.int_or(2, 0)?);
    let mut patterns = Patterns::of(call, 1)?;
    let mut places = None;
    let mut found = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        found.push(match (texts.get(row), patterns.get(row)?, groups.get(row)) {
            (Some(text), Some(regex), Some(number)) => group(regex, text, number, &mut places),
            _ => None,
        });
    }
    parts(call, |row| found[row])
}

fn regexp_replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, replacements) = (call.text(0)?, call.text(2)?);
    let mut patterns = Patterns::of(call, 1)?;
    written(call, |row, out| {
        let (Some(text), Some(regex), Some(new)) =
            (texts.get(row), patterns.get(row)?, replacements.get(row))
        else {
            return Ok(false);
        };
        // The replacement stands for itself: as in Flink, `$1` is not a group.
        let mut behind = 0;
        for found in regex.find_iter(text) {
            out.write_str(&text[behind..found.start()])?;
            out.write_str(new)?;
            behind = found.end();
        }
        out.write_str(&text[behind..])?;
        Ok(true)
    })
}

fn regexp_count(call: &Call<'_>) -> Result<ArrayRef> {
    counted(call, |regex, text| regex.find_iter(text).count())
}

fn regexp_instr(call: &Call<'_>) -> Result<ArrayRef> {
    counted(call, |regex, text| {
        regex.find(text).map_or(0, |found| characters::count(&text[..found.start()]) + 1)
    })
}

fn counted(call: &Call<'_>, count: impl Fn(&Regex, &str) -> usize) -> Result<ArrayRef> {
    let texts = call.text(0)?;
    let mut patterns = Patterns::of(call, 1)?;
    let mut out = Int32Array::builder(call.rows);
    for row in 0..call.rows {
        match (texts.get(row), patterns.get(row)?) {
            (Some(text), Some(regex)) => out.append_value(count(regex, text) as i32),
            _ => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn regexp_extract_all(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, groups) = (call.text(0)?, call.int_or(2, 1)?);
    let mut patterns = Patterns::of(call, 1)?;
    let mut out = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        let (Some(text), Some(regex), Some(group)) =
            (texts.get(row), patterns.get(row)?, groups.get(row))
        else {
            out.append_null();
            continue;
        };
        match usize::try_from(group).ok().filter(|group| *group < regex.captures_len()) {
            Some(group) => {
                for found in regex.captures_iter(text) {
                    out.values().append_option(found.get(group).map(|found| found.as_str()));
                }
                out.append(true);
            }
            None => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// The functions of this file.
pub(super) fn functions(context: &Arc<FunctionContext>) -> Vec<Arc<ScalarUDF>> {
    let string = || text("string");
    let pattern = || text("pattern");
    let texts = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    vec![
        Scalar::new("regexp", [string(), pattern()], Returns::BOOL, regexp).build(&[], context),
        Scalar::new("similar_to", [string(), pattern()], Returns::BOOL, regexp).build(&[], context),
        Scalar::new(
            "regexp_extract",
            [string(), pattern(), int("group")],
            Returns::TEXT,
            regexp_extract,
        )
        .optional(1)
        .build(&[], context),
        Scalar::new("regexp_substr", [string(), pattern()], Returns::TEXT, regexp_extract)
            .build(&[], context),
        Scalar::new(
            "regexp_extract_all",
            [string(), pattern(), int("group")],
            Returns::Is(texts),
            regexp_extract_all,
        )
        .optional(1)
        .build(&[], context),
        Scalar::new(
            "regexp_replace",
            [string(), pattern(), text("replacement")],
            Returns::TEXT,
            regexp_replace,
        )
        .build(&[], context),
        Scalar::new("regexp_count", [string(), pattern()], Returns::INT, regexp_count)
            .build(&[], context),
        Scalar::new("regexp_instr", [string(), pattern()], Returns::INT, regexp_instr)
            .build(&[], context),
    ]
}
