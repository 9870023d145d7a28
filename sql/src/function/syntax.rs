//! Calls whose arguments are not only expressions: JSON functions with their clauses, `MAP[..]`, `TRIM(LEADING FROM x)`.
//!
//! The `sqlparser` crate cannot read them, but asks its dialect first what an expression begins with; a dialect that answers with
//! [`parse_prefix`] reads them as plain calls.

use datafusion::sql::sqlparser::ast::{DataType, Expr, Value};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::rewrite::{call, null, text};

type Parsed<T> = Result<T, ParserError>;

/// Reads an expression with a syntax of its own; `None`, with nothing read, if the next token does not begin one.
///
/// To be called from [`Dialect::parse_prefix`](datafusion::sql::sqlparser::dialect::Dialect::parse_prefix).
pub fn parse_prefix(parser: &mut Parser) -> Option<Parsed<Expr>> {
    let Token::Word(word) = &parser.peek_token_ref().token else { return None };
    if word.quote_style.is_some() {
        return None;
    }
    let read: fn(&mut Parser) -> Parsed<Expr> = match word.value.to_ascii_uppercase().as_str() {
        "MAP" if parser.peek_nth_token_ref(1).token == Token::LBracket => map,
        _ if parser.peek_nth_token_ref(1).token != Token::LParen => return None,
        "JSON_VALUE" => json_value,
        "JSON_QUERY" => json_query,
        "JSON_EXISTS" => json_exists,
        "JSON_OBJECT" => json_object,
        "JSON_ARRAY" => json_array,
        "TRIM" => trim,
        "ROW" => row,
        _ => return None,
    };
    parser.next_token();
    parser.next_token();
    Some(read(parser))
}

/// Whether the next word is this one; it is read then.
fn word(parser: &mut Parser, expected: &str) -> bool {
    let found = matches!(&parser.peek_token_ref().token,
        Token::Word(word) if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(expected));
    if found {
        parser.next_token();
    }
    found
}

fn expect_words(parser: &mut Parser, expected: &[&str]) -> Parsed<()> {
    for one in expected {
        if !word(parser, one) {
            let found = parser.peek_token();
            return parser.expected(one, found);
        }
    }
    Ok(())
}

/// The expressions up to a closing token.
fn list(parser: &mut Parser, close: &Token) -> Parsed<Vec<Expr>> {
    if parser.consume_token(close) {
        return Ok(Vec::new());
    }
    let items = parser.parse_comma_separated(Parser::parse_expr)?;
    parser.expect_token(close)?;
    Ok(items)
}

/// `MAP[key, value, ...]`
fn map(parser: &mut Parser) -> Parsed<Expr> {
    let items = list(parser, &Token::RBracket)?;
    if items.len() % 2 != 0 {
        return Err(ParserError::ParserError(format!(
            "MAP[..] takes keys and values in turn, not {} expressions",
            items.len()
        )));
    }
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for (index, item) in items.into_iter().enumerate() {
        if index % 2 == 0 { keys.push(item) } else { values.push(item) }
    }
    Ok(call("map", vec![call("make_array", keys), call("make_array", values)]))
}

/// `ROW(a, b)`
fn row(parser: &mut Parser) -> Parsed<Expr> {
    Ok(call("row", list(parser, &Token::RParen)?))
}

/// `TRIM([BOTH | LEADING | TRAILING] [characters] FROM string)`, `TRIM(string)`
fn trim(parser: &mut Parser) -> Parsed<Expr> {
    let side = parser.parse_one_of_keywords(&[Keyword::BOTH, Keyword::LEADING, Keyword::TRAILING]);
    let name = match side {
        Some(Keyword::LEADING) => "ltrim",
        Some(Keyword::TRAILING) => "rtrim",
        _ => "btrim",
    };
    if parser.parse_keyword(Keyword::FROM) {
        let string = parser.parse_expr()?;
        parser.expect_token(&Token::RParen)?;
        return Ok(call(name, vec![string]));
    }
    let first = parser.parse_expr()?;
    let args = if parser.parse_keyword(Keyword::FROM) {
        vec![parser.parse_expr()?, first]
    } else if parser.consume_token(&Token::Comma) {
        vec![first, parser.parse_expr()?]
    } else {
        vec![first]
    };
    parser.expect_token(&Token::RParen)?;
    Ok(call(name, args))
}

/// What a function does in a case that it has no value for.
#[derive(Clone)]
struct Behaviour {
    name: &'static str,
    value: Expr,
}

/// The behaviours in front of `ON EMPTY` and `ON ERROR`, as far as they are there.
fn behaviours(parser: &mut Parser, otherwise: &'static str) -> Parsed<[Behaviour; 2]> {
    let plain = Behaviour { name: otherwise, value: null() };
    let mut found = [plain.clone(), plain];
    loop {
        let behaviour = if word(parser, "NULL") {
            Behaviour { name: "NULL", value: null() }
        } else if word(parser, "ERROR") {
            Behaviour { name: "ERROR", value: null() }
        } else if word(parser, "TRUE") {
            Behaviour { name: "TRUE", value: null() }
        } else if word(parser, "FALSE") {
            Behaviour { name: "FALSE", value: null() }
        } else if word(parser, "UNKNOWN") {
            Behaviour { name: "UNKNOWN", value: null() }
        } else if word(parser, "EMPTY") {
            let name = if word(parser, "OBJECT") { "EMPTY OBJECT" } else { "EMPTY ARRAY" };
            word(parser, "ARRAY");
            Behaviour { name, value: null() }
        } else if word(parser, "DEFAULT") {
            Behaviour { name: "DEFAULT", value: parser.parse_expr()? }
        } else {
            return Ok(found);
        };
        expect_words(parser, &["ON"])?;
        let at = if word(parser, "EMPTY") { 0 } else { 1 };
        if at == 1 {
            expect_words(parser, &["ERROR"])?;
        }
        found[at] = behaviour;
    }
}

/// `(json, path` of a JSON function; or all its arguments, if it is a plain call already.
fn json_and_path(parser: &mut Parser) -> Parsed<(Vec<Expr>, bool)> {
    let json = parser.parse_expr()?;
    parser.expect_token(&Token::Comma)?;
    let mut args = vec![json, parser.parse_expr()?];
    let plain = parser.consume_token(&Token::Comma);
    if plain {
        args.extend(list(parser, &Token::RParen)?);
    }
    Ok((args, plain))
}

/// `JSON_VALUE(json, path [RETURNING type] [.. ON EMPTY] [.. ON ERROR])`
fn json_value(parser: &mut Parser) -> Parsed<Expr> {
    let (mut args, plain) = json_and_path(parser)?;
    if plain {
        return Ok(call("json_value", args));
    }
    let name = if word(parser, "RETURNING") {
        match parser.parse_data_type()? {
            DataType::Boolean | DataType::Bool => "json_value_boolean",
            DataType::Int(_) | DataType::Integer(_) => "json_value_int",
            DataType::Double(_) | DataType::DoublePrecision => "json_value_double",
            DataType::String(_) | DataType::Varchar(_) | DataType::Text => "json_value",
            other => {
                return Err(ParserError::ParserError(format!(
                    "JSON_VALUE returns STRING, BOOLEAN, INTEGER or DOUBLE, not {other}; use CAST for more"
                )));
            }
        }
    } else {
        "json_value"
    };
    let [empty, error] = behaviours(parser, "NULL")?;
    parser.expect_token(&Token::RParen)?;
    let as_text = |value| match value {
        Expr::Value(value) if value.value == Value::Null => null(),
        value => call("cast_to_string", vec![value]),
    };
    args.extend([text(empty.name), as_text(empty.value), text(error.name), as_text(error.value)]);
    Ok(call(name, args))
}

/// `JSON_QUERY(json, path [wrapper] [.. ON EMPTY] [.. ON ERROR])`
fn json_query(parser: &mut Parser) -> Parsed<Expr> {
    let (mut args, plain) = json_and_path(parser)?;
    if plain {
        return Ok(call("json_query", args));
    }
    let wrapper = if word(parser, "WITHOUT") {
        word(parser, "ARRAY");
        expect_words(parser, &["WRAPPER"])?;
        "WITHOUT"
    } else if word(parser, "WITH") {
        let conditional = word(parser, "CONDITIONAL");
        word(parser, "UNCONDITIONAL");
        word(parser, "ARRAY");
        expect_words(parser, &["WRAPPER"])?;
        if conditional { "CONDITIONAL" } else { "UNCONDITIONAL" }
    } else {
        "WITHOUT"
    };
    let [empty, error] = behaviours(parser, "NULL")?;
    parser.expect_token(&Token::RParen)?;
    args.extend([text(wrapper), text(empty.name), text(error.name)]);
    Ok(call("json_query", args))
}

/// `JSON_EXISTS(json, path [TRUE | FALSE | UNKNOWN | ERROR ON ERROR])`
fn json_exists(parser: &mut Parser) -> Parsed<Expr> {
    let (mut args, plain) = json_and_path(parser)?;
    if plain {
        return Ok(call("json_exists", args));
    }
    let [_, error] = behaviours(parser, "FALSE")?;
    parser.expect_token(&Token::RParen)?;
    args.push(text(error.name));
    Ok(call("json_exists", args))
}

/// `NULL ON NULL` or `ABSENT ON NULL`, and the parenthesis behind it.
fn on_null(parser: &mut Parser, otherwise: &'static str) -> Parsed<&'static str> {
    let nulls = if word(parser, "NULL") {
        "NULL"
    } else if word(parser, "ABSENT") {
        "ABSENT"
    } else {
        parser.expect_token(&Token::RParen)?;
        return Ok(otherwise);
    };
    expect_words(parser, &["ON", "NULL"])?;
    parser.expect_token(&Token::RParen)?;
    Ok(nulls)
}

/// Calls that make JSON are put into other JSON as they are; every other text becomes a string of it.
fn makes_json(expr: &Expr) -> bool {
    matches!(expr, Expr::Function(function)
        if matches!(function.name.to_string().as_str(), "json_object_of" | "json_array_of"))
}

fn made(name: &str, nulls: &str, parts: Vec<Expr>) -> Expr {
    let kinds: String = parts.iter().map(|part| if makes_json(part) { 'r' } else { 'v' }).collect();
    let mut args = vec![text(nulls), text(kinds)];
    args.extend(parts);
    call(name, args)
}

/// Whether an argument list ends here, before a clause about NULLs.
fn at_clause(parser: &Parser) -> bool {
    let is = |nth: usize, expected: &str| matches!(&parser.peek_nth_token_ref(nth).token, Token::Word(word) if word.value.eq_ignore_ascii_case(expected));
    parser.peek_token_ref().token == Token::RParen
        || ((is(0, "NULL") || is(0, "ABSENT")) && is(1, "ON"))
}

/// `JSON_OBJECT([[KEY] key VALUE value, ...] [NULL | ABSENT ON NULL])`
fn json_object(parser: &mut Parser) -> Parsed<Expr> {
    let mut parts = Vec::new();
    while !at_clause(parser) {
        word(parser, "KEY");
        parts.push(parser.parse_expr()?);
        if !parser.consume_token(&Token::Colon) {
            expect_words(parser, &["VALUE"])?;
        }
        parts.push(parser.parse_expr()?);
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    let nulls = on_null(parser, "NULL")?;
    Ok(made("json_object_of", nulls, parts))
}

/// `JSON_ARRAY([value, ...] [NULL | ABSENT ON NULL])`
fn json_array(parser: &mut Parser) -> Parsed<Expr> {
    let mut parts = Vec::new();
    while !at_clause(parser) {
        parts.push(parser.parse_expr()?);
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    let nulls = on_null(parser, "ABSENT")?;
    Ok(made("json_array_of", nulls, parts))
}
