//! What queries may look like: Flink's SQL.

use std::any::TypeId;

use datafusion::sql::sqlparser::ast::{Expr, Ident};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

/// Name of the function call that `TABLE t [PARTITION BY ..]` becomes as an argument.
pub(crate) const TABLE_ARGUMENT: &str = "__table";

/// The dialect: identifiers keep their case and are quoted by backticks (or double quotes, as psql's users are used to).
#[derive(Debug, Default)]
pub(crate) struct StreamDialect;

impl Dialect for StreamDialect {
    /// Some of what the parser can do (UNNEST in FROM, say) it does only for dialects that it knows by name.
    fn dialect(&self) -> TypeId {
        TypeId::of::<GenericDialect>()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        ch == '`' || ch == '"'
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_alphabetic() || ch == '_'
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        ch.is_alphanumeric() || ch == '_' || ch == '$'
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_within_after_array_aggregation(&self) -> bool {
        true
    }

    fn supports_named_fn_args_with_rarrow_operator(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_string_literal_backslash_escape(&self) -> bool {
        false
    }

    fn parse_prefix(&self, parser: &mut Parser) -> Option<Result<Expr, ParserError>> {
        let [first, second] = parser.peek_tokens_ref::<2>();
        let Token::Word(word) = &first.token else { return None };
        match (word.keyword, &second.token) {
            (Keyword::TABLE, Token::Word(_)) => {
                parser.next_token();
                Some(table_argument(parser))
            }
            _ => crate::function::parse_prefix(parser),
        }
    }
}

/// `t [PARTITION BY a, b]` behind `TABLE`.
fn table_argument(parser: &mut Parser) -> Result<Expr, ParserError> {
    let name = parser.parse_object_name(false)?;
    let parts: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
    let mut arguments = vec![Expr::CompoundIdentifier(parts)];
    if parser.parse_keywords(&[Keyword::PARTITION, Keyword::BY]) {
        loop {
            arguments.push(parser.parse_expr()?);
            // A comma separates keys, but the one before DESCRIPTOR ends them.
            let [comma, next] = parser.peek_tokens_ref::<2>();
            let more = comma.token == Token::Comma
                && !matches!(&next.token, Token::Word(w) if w.value.eq_ignore_ascii_case("DESCRIPTOR"))
                && !is_named_argument(parser);
            if !more {
                break;
            }
            parser.next_token();
        }
    }
    Ok(crate::function::call(TABLE_ARGUMENT, arguments))
}

/// Whether `, name =>` follows.
fn is_named_argument(parser: &Parser) -> bool {
    let [_, _, arrow] = parser.peek_tokens_ref::<3>();
    arrow.token == Token::RArrow
}
