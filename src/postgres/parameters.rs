//! Parameters of prepared statements: from the wire into the statement, as literals.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use pgwire::api::Type;
use pgwire::error::PgWireResult;
use postgres_types::{FromSql, Kind};

use super::errors::plain;
use super::types::array_of;
use crate::sql::script::replace_parameters;
use crate::sql::values::write_hex;

mod arrays;

/// The type that a parameter has for the client: the one it named, else the one that the statement says in a cast behind it
/// (`$1::BIGINT`, `CAST($1 AS BIGINT)`), else the one that follows from what it stands beside (`id = $1`), else TEXT.
pub(super) fn types(
    statement: &str,
    count: usize,
    named: &[Option<Type>],
    inferred: &BTreeMap<usize, Type>,
) -> Vec<Type> {
    (0..count)
        .map(|at| {
            let named = named.get(at).cloned().flatten().filter(|named| *named != Type::UNKNOWN);
            let cast = named.or_else(|| cast_type(statement, at + 1));
            cast.or_else(|| inferred.get(&(at + 1)).cloned()).unwrap_or(Type::TEXT)
        })
        .collect()
}

/// The type in the cast around a parameter.
fn cast_type(statement: &str, number: usize) -> Option<Type> {
    let words = crate::sql::script::words(statement);
    let at = words.iter().position(|word| *word == format!("${number}"))?;
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let name = match (word(at + 1), word(at + 2)) {
        (":", ":") => word(at + 3),
        ("AS", name) => name,
        _ => return None,
    };
    let item = match name {
        "BOOLEAN" | "BOOL" => Type::BOOL,
        "TINYINT" | "SMALLINT" | "INT2" => Type::INT2,
        "INT" | "INTEGER" | "INT4" => Type::INT4,
        "BIGINT" | "INT8" => Type::INT8,
        "FLOAT" | "REAL" | "FLOAT4" => Type::FLOAT4,
        "DOUBLE" | "FLOAT8" => Type::FLOAT8,
        "DATE" => Type::DATE,
        "TIME" => Type::TIME,
        "TIMESTAMP" => Type::TIMESTAMP,
        "TIMESTAMP_LTZ" | "TIMESTAMPTZ" => Type::TIMESTAMPTZ,
        "TEXT" | "STRING" | "VARCHAR" => Type::TEXT,
        "OID" => Type::OID,
        _ => return None,
    };
    // `$1::BIGINT[]`
    let is_array = word(at + 2) == ":" && word(at + 4) == "[" && word(at + 5) == "]";
    Some(if is_array { array_of(&item) } else { item })
}

/// The statement with literals for its parameters.
///
/// # Errors
/// If there are too few values, or one cannot be read.
pub(super) fn bind(
    statement: &str,
    types: &[Type],
    values: &[Option<Bytes>],
    is_binary: impl Fn(usize) -> bool,
) -> PgWireResult<String> {
    if values.len() < types.len() {
        let reason = format!("{} values for {} parameters", values.len(), types.len());
        return Err(plain("08P01", reason));
    }
    let literals: Vec<String> = types
        .iter()
        .zip(values)
        .enumerate()
        .map(|(at, (data_type, value))| match value {
            None => Ok("NULL".to_owned()),
            Some(bytes) if is_binary(at) => from_binary(data_type, bytes),
            Some(bytes) => match (std::str::from_utf8(bytes), data_type.kind()) {
                (Ok(text), Kind::Array(item)) => arrays::from_text(item, text),
                (Ok(text), _) => Ok(literal(data_type, text)),
                (Err(_), _) => Err("not UTF-8".into()),
            },
        })
        .enumerate()
        .map(|(at, literal)| {
            literal.map_err(|error: Unreadable| {
                plain("22P03", format!("parameter ${}: {error}", at + 1))
            })
        })
        .collect::<PgWireResult<_>>()?;
    let text = |number: usize| {
        // `$0` is no parameter.
        let at = number.checked_sub(1).and_then(|at| literals.get(at));
        at.cloned().unwrap_or_else(|| format!("${number}"))
    };
    Ok(replace_parameters(statement, text))
}

type Unreadable = Box<dyn std::error::Error + Sync + Send>;

/// The statement with something of the right type for each parameter, to find out what it would return.
pub(super) fn unbound(statement: &str, types: &[Type]) -> String {
    replace_parameters(statement, |number| {
        let data_type = number.checked_sub(1).and_then(|at| types.get(at)).unwrap_or(&Type::TEXT);
        match sql_type(data_type) {
            Some(name) => format!("CAST(NULL AS {name})"),
            None => "CAST(NULL AS STRING)".to_owned(),
        }
    })
}

/// What a type is called in SQL; `None` if its literals say it themselves.
fn sql_type(data_type: &Type) -> Option<String> {
    if let Kind::Array(item) = data_type.kind() {
        let item = sql_type(item);
        return Some(format!("ARRAY<{}>", item.as_deref().unwrap_or("STRING")));
    }
    let name = match *data_type {
        Type::BOOL => "BOOLEAN",
        Type::INT2 => "SMALLINT",
        Type::INT4 => "INT",
        Type::INT8 | Type::OID => "BIGINT",
        Type::FLOAT4 => "FLOAT",
        Type::FLOAT8 => "DOUBLE",
        Type::NUMERIC => "DECIMAL(38, 18)",
        Type::DATE => "DATE",
        Type::TIME => "TIME",
        Type::TIMESTAMP => "TIMESTAMP(3)",
        Type::TIMESTAMPTZ => "TIMESTAMP_LTZ(3)",
        Type::BYTEA => "BYTES",
        _ => return None,
    };
    Some(name.to_owned())
}

/// A literal from a value's text.
fn literal(data_type: &Type, text: &str) -> String {
    let quoted = format!("'{}'", text.replace('\'', "''"));
    match *data_type {
        // The text is a number, or the cast says what is wrong with it.
        Type::NUMERIC if text.bytes().all(|b| b.is_ascii_digit() || b".-+".contains(&b)) => {
            format!("({text})")
        }
        Type::BOOL => match text {
            "t" | "true" | "1" | "on" | "yes" => "TRUE".to_owned(),
            "f" | "false" | "0" | "off" | "no" => "FALSE".to_owned(),
            _ => format!("CAST({quoted} AS BOOLEAN)"),
        },
        Type::BYTEA => match text.strip_prefix("\\x") {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_hexdigit()) => format!("X'{digits}'"),
            _ => format!("CAST({quoted} AS BYTES)"),
        },
        _ => match sql_type(data_type) {
            Some(name) => format!("CAST({quoted} AS {name})"),
            None => quoted,
        },
    }
}

/// A literal from a value in binary.
fn from_binary(data_type: &Type, bytes: &[u8]) -> Result<String, Unreadable> {
    if let Kind::Array(item) = data_type.kind() {
        return arrays::from_binary(item, bytes);
    }
    fn read<'a, T: FromSql<'a>>(data_type: &Type, bytes: &'a [u8]) -> Result<T, Unreadable> {
        T::from_sql(data_type, bytes)
    }
    let text = match *data_type {
        Type::BOOL => read::<bool>(data_type, bytes)?.to_string(),
        Type::INT2 => read::<i16>(data_type, bytes)?.to_string(),
        Type::INT4 => read::<i32>(data_type, bytes)?.to_string(),
        Type::INT8 => read::<i64>(data_type, bytes)?.to_string(),
        Type::OID => read::<u32>(data_type, bytes)?.to_string(),
        Type::FLOAT4 => read::<f32>(data_type, bytes)?.to_string(),
        Type::FLOAT8 => read::<f64>(data_type, bytes)?.to_string(),
        Type::DATE => read::<NaiveDate>(data_type, bytes)?.to_string(),
        Type::TIME => read::<NaiveTime>(data_type, bytes)?.to_string(),
        Type::TIMESTAMP => read::<NaiveDateTime>(data_type, bytes)?.to_string(),
        Type::TIMESTAMPTZ => {
            let time = read::<chrono::DateTime<chrono::Utc>>(data_type, bytes)?;
            time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
        }
        Type::NUMERIC => numeric(bytes).ok_or("not a NUMERIC")?,
        Type::BYTEA => {
            let mut text = "\\x".to_owned();
            write_hex(&mut text, bytes);
            text
        }
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON | Type::UNKNOWN => {
            read::<&str>(&Type::TEXT, bytes)?.to_owned()
        }
        _ => {
            return Err(format!(
                "values of type {data_type} cannot be read in binary: send text, or another type"
            )
            .into());
        }
    };
    Ok(literal(data_type, &text))
}

/// Reads PostgreSQL's binary NUMERIC; `None` if it is damaged, or not a number.
fn numeric(bytes: &[u8]) -> Option<String> {
    let mut words = bytes.chunks_exact(2).map(|word| i16::from_be_bytes([word[0], word[1]]));
    let (count, weight) = (words.next()?, i32::from(words.next()?));
    let (sign, scale) = (words.next()? as u16, usize::try_from(words.next()?).ok()?);
    let digits: Vec<i16> = words.collect();
    if digits.len() != usize::try_from(count).ok()? || sign > 0x4000 {
        return None;
    }
    let digit = |position: i32| {
        let at = usize::try_from(weight - position).ok();
        at.and_then(|at| digits.get(at)).copied().unwrap_or(0)
    };
    let mut text = String::new();
    for position in (0..=weight.max(0)).rev() {
        text += &format!("{:04}", digit(position));
    }
    let whole = text.trim_start_matches('0');
    let mut out = if sign == 0x4000 { "-".to_owned() } else { String::new() };
    out += if whole.is_empty() { "0" } else { whole };
    if scale > 0 {
        let groups = scale.div_ceil(4) as i32;
        let fraction: String = (1..=groups).map(|n| format!("{:04}", digit(-n))).collect();
        out.push('.');
        out += &fraction[..scale];
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_become_literals() {
        let statement =
            "SELECT a FROM t WHERE a = $1 AND b = $2 AND c = $3 AND d = $4 AND e = '$1'";
        let types = [Type::INT8, Type::TEXT, Type::BOOL, Type::NUMERIC];
        let text = |text: &str| Some(Bytes::copy_from_slice(text.as_bytes()));
        let values = [text("-5"), text("it's"), text("t"), None];
        let bound = bind(statement, &types, &values, |_| false).unwrap();
        let expected = "SELECT a FROM t WHERE a = CAST('-5' AS BIGINT) AND b = 'it''s' AND c = TRUE \
                        AND d = NULL AND e = '$1'";
        assert_eq!(bound, expected);
        assert!(bind(statement, &types, &values[..2], |_| false).is_err());
    }

    #[test]
    fn binary_values_are_read() {
        let one = |data_type: Type, bytes: &[u8]| {
            let values = [Some(Bytes::copy_from_slice(bytes))];
            bind("$1", &[data_type], &values, |_| true)
        };
        assert_eq!(one(Type::INT4, &7i32.to_be_bytes()).unwrap(), "CAST('7' AS INT)");
        assert_eq!(one(Type::BYTEA, &[1, 255]).unwrap(), "X'01ff'");
        assert_eq!(one(Type::DATE, &1i32.to_be_bytes()).unwrap(), "CAST('2000-01-02' AS DATE)");
        // 12345.67: digits 1, 2345, 6700 with the first of weight 1.
        let digits: Vec<u8> =
            [3i16, 1, 0, 2, 1, 2345, 6700].iter().flat_map(|w| w.to_be_bytes()).collect();
        assert_eq!(one(Type::NUMERIC, &digits).unwrap(), "(12345.67)");
        let small: Vec<u8> =
            [1i16, -1, 0x4000, 3, 50].iter().flat_map(|w| w.to_be_bytes()).collect();
        assert_eq!(one(Type::NUMERIC, &small).unwrap(), "(-0.005)");
        assert!(one(Type::INT4, &[1]).is_err());
        assert!(one(Type::POINT, &[0; 16]).is_err());
    }

    #[test]
    fn types_come_from_the_client_or_from_casts() {
        let statement = "SELECT $1, $2::BIGINT, CAST($3 AS DOUBLE), $4";
        let inferred = BTreeMap::from([(1, Type::BOOL), (4, Type::DATE)]);
        let types = types(statement, 5, &[Some(Type::INT4)], &inferred);
        assert_eq!(types, [Type::INT4, Type::INT8, Type::FLOAT8, Type::DATE, Type::TEXT]);
        let unbound = unbound("SELECT $1, $2", &[Type::INT4, Type::TEXT]);
        assert_eq!(unbound, "SELECT CAST(NULL AS INT), CAST(NULL AS STRING)");
    }
}
