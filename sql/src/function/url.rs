//! URLs and other texts made of keys and values.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{MapBuilder, MapFieldNames, StringBuilder};
use arrow_schema::{DataType, Field};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use super::registry::FunctionContext;
use super::scalar::{Call, Returns, Scalar, text};
use super::text::{parts, written};

/// The parts of a URL, each `None` where it does not have it.
#[derive(Debug, PartialEq, Eq)]
struct Url<'a> {
    protocol: &'a str,
    authority: Option<&'a str>,
    /// Path and query.
    file: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    reference: Option<&'a str>,
}

impl<'a> Url<'a> {
    /// `None` without a protocol in front.
    fn parse(text: &'a str) -> Option<Self> {
        let (protocol, rest) = text.trim().split_once(':')?;
        let well_formed = protocol.starts_with(|c: char| c.is_ascii_alphabetic())
            && protocol.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        if !well_formed {
            return None;
        }
        let (rest, reference) = match rest.split_once('#') {
            Some((rest, reference)) => (rest, Some(reference)),
            None => (rest, None),
        };
        let (authority, file) = match rest.strip_prefix("//") {
            Some(rest) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                (Some(&rest[..end]), &rest[end..])
            }
            None => (None, rest),
        };
        let (path, query) = match file.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (file, None),
        };
        Some(Self { protocol, authority, file, path, query, reference })
    }

    fn host(&self) -> Option<&'a str> {
        let authority = self.authority?;
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(name),
            _ => Some(host),
        }
    }

    fn part(&self, name: &str) -> Option<&'a str> {
        match name {
            "HOST" => self.host(),
            "PATH" => Some(self.path),
            "QUERY" => self.query,
            "REF" => self.reference,
            "PROTOCOL" => Some(self.protocol),
            "FILE" => Some(self.file),
            "AUTHORITY" => self.authority,
            "USERINFO" => self.authority?.rsplit_once('@').map(|(user, _)| user),
            _ => None,
        }
    }
}

/// The value of a key in `a=1&b=2`.
fn query_value<'a>(query: &'a str, key: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| match pair.split_once('=') {
        Some((name, value)) if name == key => Some(value),
        _ => None,
    })
}

fn parse_url(call: &Call<'_>) -> Result<ArrayRef> {
    let (urls, names) = (call.text(0)?, call.text(1)?);
    let keys = if call.len() > 2 { Some(call.text(2)?) } else { None };
    parts(call, |row| {
        let url = Url::parse(urls.get(row)?)?;
        let name = names.get(row)?;
        match &keys {
            None => url.part(name),
            Some(keys) if name == "QUERY" => query_value(url.query?, keys.get(row)?),
            Some(_) => None,
        }
    })
}

fn url_encode(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.text(0)?;
    written(call, |row, out| {
        let Some(text) = texts.get(row) else { return Ok(false) };
        for byte in text.bytes() {
            match byte {
                b' ' => out.write_char('+')?,
                byte if byte.is_ascii_alphanumeric() || b"*-._".contains(&byte) => {
                    out.write_char(char::from(byte))?;
                }
                byte => write!(out, "%{byte:02X}")?,
            }
        }
        Ok(true)
    })
}

/// The text behind `a+b%20c`; `None` if it is malformed.
fn url_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, behind @ ..] = rest {
        rest = behind;
        match byte {
            b'+' => decoded.push(b' '),
            b'%' => {
                let [high, low, behind @ ..] = rest else { return None };
                let digit = |byte: u8| char::from(byte).to_digit(16);
                decoded.push((digit(*high)? << 4 | digit(*low)?) as u8);
                rest = behind;
            }
            byte => decoded.push(*byte),
        }
    }
    // As in Java, bytes that are no UTF-8 become replacement characters.
    Some(Cow::Owned(String::from_utf8_lossy(&decoded).into_owned()))
}

fn url_decode(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.text(0)?;
    written(call, |row, out| match texts.get(row).and_then(url_decoded) {
        Some(text) => {
            out.write_str(&text)?;
            Ok(true)
        }
        None => Ok(false),
    })
}

fn str_to_map(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.text(0)?;
    let delimiter = |index, default: &'static str| -> Result<_> {
        let given = if call.len() > index { Some(call.text(index)?) } else { None };
        Ok(move |row| given.map_or(Some(default), |given| given.get(row)))
    };
    let (between, inside) = (delimiter(1, ",")?, delimiter(2, "=")?);
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let builders = (StringBuilder::new(), StringBuilder::new());
    let mut out = MapBuilder::new(Some(names), builders.0, builders.1);
    for row in 0..call.rows {
        let (Some(text), Some(between), Some(inside)) = (texts.get(row), between(row), inside(row))
        else {
            out.append(false)?;
            continue;
        };
        if between.is_empty() || inside.is_empty() {
            return Err(call.wrong(1, "and the next are delimiters and must not be empty"));
        }
        // What has no value has NULL; a key given twice keeps its last value; what follows a second delimiter is dropped.
        let mut entries: Vec<(&str, Option<&str>)> = Vec::new();
        for pair in text.split(between) {
            let mut pieces = pair.split(inside);
            let (key, value) = (pieces.next().unwrap_or(pair), pieces.next());
            match entries.iter_mut().find(|(known, _)| *known == key) {
                Some(entry) => entry.1 = value,
                None => entries.push((key, value)),
            }
        }
        for (key, value) in entries {
            out.keys().append_value(key);
            out.values().append_option(value);
        }
        out.append(true)?;
    }
    Ok(Arc::new(out.finish()))
}

/// `MAP<STRING, STRING>`.
fn text_map() -> DataType {
    let fields =
        vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(fields.into()), false)), false)
}

/// The functions of this file.
pub(super) fn functions(context: &Arc<FunctionContext>) -> Vec<Arc<ScalarUDF>> {
    vec![
        Scalar::new(
            "parse_url",
            [text("url"), text("part"), text("key")],
            Returns::TEXT,
            parse_url,
        )
        .optional(1)
        .build(&[], context),
        Scalar::new("url_encode", [text("string")], Returns::TEXT, url_encode).build(&[], context),
        Scalar::new("url_decode", [text("string")], Returns::TEXT, url_decode).build(&[], context),
        Scalar::new(
            "str_to_map",
            [text("string"), text("between entries"), text("inside an entry")],
            Returns::Of(|_| Ok(text_map())),
            str_to_map,
        )
        .optional(2)
        .build(&[], context),
    ]
}
