//! Paths into JSON texts: `$.a.b[0]`, `strict $['x'][*]`.
//!
//! A text is walked without building a tree of it: what a path passes over is checked for syntax and skipped, what it leads to is a piece of the text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// The value of a key.
    Key(String),
    /// An element, from 0; negative: from the end.
    Index(i64),
    /// All elements, or all values.
    All,
}

/// A path, ready to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    /// What a path does not find is nothing, rather than an error.
    lax: bool,
    steps: Vec<Step>,
}

/// What a path led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'t> {
    /// A piece of the text.
    One(&'t str),
    /// Pieces, of a path with `*`.
    Many(Vec<&'t str>),
    /// Nothing, or JSON's null.
    Empty,
    /// The text is no JSON, or a strict path does not fit it.
    Wrong,
}

impl Path {
    /// Reads a path; without `lax` or `strict` in front it is strict, as in Flink.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn new(path: &str) -> Result<Self, String> {
        let path_error = |what: &str| format!("is '{path}', which is no path into JSON: {what}");
        let text = path.trim();
        let (lax, text) = match (text.strip_prefix("lax "), text.strip_prefix("strict ")) {
            (Some(rest), _) => (true, rest.trim_start()),
            (_, Some(rest)) => (false, rest.trim_start()),
            _ => (false, text),
        };
        let mut rest =
            text.strip_prefix('$').ok_or_else(|| path_error("it does not begin with $"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(behind) = rest.strip_prefix('.') {
                let end = behind.find(['.', '[']).unwrap_or(behind.len());
                let (name, behind) = behind.split_at(end);
                match name {
                    "" => return Err(path_error("a name is missing behind '.'")),
                    "*" => steps.push(Step::All),
                    name => steps.push(Step::Key(name.to_owned())),
                }
                rest = behind;
            } else if let Some(behind) = rest.strip_prefix('[') {
                let (step, behind) = bracketed(behind).map_err(path_error)?;
                steps.push(step);
                rest = behind;
            } else {
                return Err(path_error("steps begin with '.' or '['"));
            }
        }
        Ok(Self { lax, steps })
    }

    /// Where the path leads in a text.
    pub(super) fn find<'t>(&self, text: &'t str) -> Found<'t> {
        let Ok(root) = serde_json::from_str::<&RawValue>(text) else { return Found::Wrong };
        let mut found = vec![root.get()];
        let mut many = false;
        for step in &self.steps {
            let mut next = Vec::with_capacity(found.len());
            for value in &found {
                let walked = serde_json::Deserializer::from_str(value)
                    .deserialize_any(Walk { step, out: &mut next });
                // Only a path that has spread out may pass over values that a step does not fit.
                if !matches!(walked, Ok(true)) && !many {
                    return if self.lax { Found::Empty } else { Found::Wrong };
                }
            }
            many |= *step == Step::All;
            found = next;
        }
        match found.as_slice() {
            _ if many => Found::Many(found),
            [one] if *one != "null" => Found::One(one),
            _ => Found::Empty,
        }
    }
}

/// The step between brackets, and what is behind them.
fn bracketed(text: &str) -> Result<(Step, &str), &'static str> {
    let quote = text.chars().next().filter(|first| matches!(first, '\'' | '"'));
    if let Some(quote) = quote {
        let (name, behind) = text[1..].split_once(quote).ok_or("a quote does not end")?;
        let behind = behind.strip_prefix(']').ok_or("']' is missing")?;
        return Ok((Step::Key(name.to_owned()), behind));
    }
    let (inside, behind) = text.split_once(']').ok_or("']' is missing")?;
    match inside.trim() {
        "*" => Ok((Step::All, behind)),
        index => match index.parse() {
            Ok(index) => Ok((Step::Index(index), behind)),
            Err(_) => Err("between brackets stands an index, a quoted name or *"),
        },
    }
}

/// Takes a step into the value being read; tells whether it fits.
struct Walk<'s, 'o, 't> {
    step: &'s Step,
    out: &'o mut Vec<&'t str>,
}

impl<'t> Visitor<'t> for Walk<'_, '_, 't> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<bool, A::Error> {
        let mut fits = *self.step == Step::All;
        while let Some(key) = map.next_key_seed(Key)? {
            match self.step {
                Step::Key(sought) if *sought == key => {
                    // Of a key that stands there twice, the last counts.
                    if fits {
                        self.out.pop();
                    }
                    self.out.push(map.next_value::<&RawValue>()?.get());
                    fits = true;
                }
                Step::All => self.out.push(map.next_value::<&RawValue>()?.get()),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(fits)
    }

    fn visit_seq<A: SeqAccess<'t>>(self, mut elements: A) -> Result<bool, A::Error> {
        match self.step {
            Step::Key(_) => {
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                Ok(false)
            }
            Step::All => {
                while let Some(element) = elements.next_element::<&RawValue>()? {
                    self.out.push(element.get());
                }
                Ok(true)
            }
            Step::Index(index) => {
                let mut all = Vec::new();
                while let Some(element) = elements.next_element::<&RawValue>()? {
                    all.push(element.get());
                }
                let from_end = if *index < 0 { all.len() as i64 } else { 0 };
                let place = usize::try_from(index.saturating_add(from_end)).ok();
                match place.and_then(|place| all.get(place)) {
                    Some(element) => {
                        self.out.push(element);
                        Ok(true)
                    }
                    None => Ok(false),
                }
            }
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
}

/// A key, without a copy unless it has escapes.
struct Key;

impl<'t> DeserializeSeed<'t> for Key {
    type Value = Cow<'t, str>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Cow<'t, str>, D::Error> {
        struct Text;
        impl<'t> Visitor<'t> for Text {
            type Value = Cow<'t, str>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'t str) -> Result<Cow<'t, str>, E> {
                Ok(Cow::Borrowed(text))
            }
            fn visit_str<E>(self, text: &str) -> Result<Cow<'t, str>, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Writes a piece of JSON without the white space between its parts.
pub(super) fn write_compact(text: &str, out: &mut impl fmt::Write) -> fmt::Result {
    let mut rest = text;
    while let Some(quote) = rest.find('"') {
        rest[..quote]
            .chars()
            .filter(|c| !c.is_ascii_whitespace())
            .try_for_each(|c| out.write_char(c))?;
        let inside = &rest[quote + 1..];
        let mut escaped = false;
        let end = inside.bytes().position(|byte| {
            let ends = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            ends
        });
        let length = end.map_or(inside.len(), |end| end + 1);
        out.write_str(&rest[quote..quote + 1 + length])?;
        rest = &inside[length..];
    }
    rest.chars().filter(|c| !c.is_ascii_whitespace()).try_for_each(|c| out.write_char(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_pieces_of_the_text() {
        let text = r#"{"a": {"b": [1, {"c d": null}, 2.50]}, "e": "x\"y", "a2": 1}"#;
        let find = |path: &str| Path::new(path).unwrap().find(text);
        assert_eq!(find("$.a.b[0]"), Found::One("1"));
        assert_eq!(find("$.a.b[-1]"), Found::One("2.50"));
        assert_eq!(find("$['e']"), Found::One(r#""x\"y""#));
        assert_eq!(find("$.a.b[1]['c d']"), Found::Empty);
        assert_eq!(find("$.a.b[*]"), Found::Many(vec!["1", r#"{"c d": null}"#, "2.50"]));
        assert_eq!(find("$.a.b[7]"), Found::Wrong);
        assert_eq!(find("lax $.a.b[7]"), Found::Empty);
        assert_eq!(find("strict $.nothing.at.all"), Found::Wrong);
        assert_eq!(Path::new("$").unwrap().find("{"), Found::Wrong);
    }

    #[test]
    fn a_wrong_path_says_why() {
        for (path, what) in [
            ("a.b", "does not begin with $"),
            ("$.", "a name is missing"),
            ("$[x]", "between brackets"),
            ("$['x]", "a quote does not end"),
            ("$a", "steps begin with"),
        ] {
            let error = Path::new(path).unwrap_err();
            assert!(error.contains(what), "{path}: {error}");
        }
    }

    #[test]
    fn white_space_goes_but_not_that_of_strings() {
        let mut out = String::new();
        write_compact(r#" { "a b" : [ 1 , "c\" d" ] } "#, &mut out).unwrap();
        assert_eq!(out, r#"{"a b":[1,"c\" d"]}"#);
    }
}
