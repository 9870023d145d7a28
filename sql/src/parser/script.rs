//! Tokens and their places; several statements in one text.

use datafusion::sql::sqlparser::ast::Expr;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::{Statement, StreamDialect};
use crate::{Error, Position, Result};

/// A statement with its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Parsed {
    /// The statement.
    pub statement: Statement,
    /// Its text, without the semicolon.
    pub text: String,
    /// Where it begins in the script: positions in errors are within the whole script.
    pub begin: Position,
}

/// Parses the statements of a script; they are separated by semicolons.
///
/// # Errors
/// [`Error::Syntax`] with the place of the first thing that cannot be understood. Nothing is executed then.
///
/// ```
/// use riverrun_sql::parser::{Statement, parse_script};
/// let script = parse_script("SET 'a' = 'b'; SELECT 1").unwrap();
/// assert_eq!(script.len(), 2);
/// assert!(matches!(script[1].statement, Statement::Query(_)));
/// assert!(parse_script("SELEC 1").unwrap_err().to_string().starts_with("line 1, column 1: "));
/// ```
pub fn parse_script(text: &str) -> Result<Vec<Parsed>> {
    let source = Source::new(text)?;
    let dialect = StreamDialect;
    let mut parser = StatementParser::new(&source, &dialect);
    let mut statements = Vec::new();
    loop {
        while parser.parser.consume_token(&Token::SemiColon) {}
        let first = parser.parser.peek_token();
        if first.token == Token::EOF {
            return Ok(statements);
        }
        let statement = parser.statement().map_err(|error| parser.placed(error))?;
        let next = parser.parser.peek_token();
        if !matches!(next.token, Token::SemiColon | Token::EOF) {
            return Err(parser.unexpected("`;` or the end of the statement"));
        }
        statements.push(Parsed {
            statement,
            text: parser.text_from(first.span.start),
            begin: position(first.span.start),
        });
    }
}

/// Whether a text that is being typed is whole: every statement ends in a semicolon, and no quote or `BEGIN` is open.
pub fn is_complete(text: &str) -> bool {
    let Ok(tokens) = Tokenizer::new(&StreamDialect, text).tokenize() else { return false };
    let solid: Vec<&Token> =
        tokens.iter().filter(|token| !matches!(token, Token::Whitespace(_))).collect();
    let Some(last) = solid.last() else { return true };
    let count = |keyword: Keyword| {
        solid.iter().filter(|t| matches!(t, Token::Word(w) if w.keyword == keyword)).count()
    };
    let in_set = count(Keyword::BEGIN) > 0
        && solid.iter().any(|t| matches!(t, Token::Word(w) if w.keyword == Keyword::STATEMENT))
        && count(Keyword::END) <= count(Keyword::CASE);
    **last == Token::SemiColon && !in_set
}

/// Parses an expression that stands alone.
///
/// # Errors
/// As [`parse_script`].
pub(crate) fn parse_expression(text: &str) -> Result<Expr> {
    let source = Source::new(text)?;
    let dialect = StreamDialect;
    let mut parser = StatementParser::new(&source, &dialect);
    let mut expr = parser.parser.parse_expr().map_err(syntax)?;
    if parser.parser.peek_token().token != Token::EOF {
        return Err(parser.unexpected("the end of the expression"));
    }
    crate::function::rewrite_expr(&mut expr)?;
    Ok(expr)
}

/// A text and its tokens.
pub(super) struct Source<'a> {
    text: &'a str,
    tokens: Vec<TokenWithSpan>,
    line_starts: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Result<Self> {
        let tokens =
            Tokenizer::new(&StreamDialect, text).tokenize_with_location().map_err(|error| {
                Error::Syntax { position: Some(position(error.location)), reason: error.message }
            })?;
        let line_starts =
            std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Ok(Self { text, tokens, line_starts })
    }

    /// Byte offset of a place.
    fn offset(&self, at: Location) -> usize {
        let line = (at.line.max(1) - 1) as usize;
        let Some(start) = self.line_starts.get(line) else { return self.text.len() };
        let column = (at.column.max(1) - 1) as usize;
        let rest = &self.text[*start..];
        start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
    }
}

/// A parser of our statements on sqlparser's.
pub(super) struct StatementParser<'a> {
    pub(super) parser: Parser<'a>,
    pub(super) source: &'a Source<'a>,
    /// Half of a `>>` was taken: the other half closes the type around.
    pub(super) half_closed: bool,
}

impl<'a> StatementParser<'a> {
    fn new(source: &'a Source<'a>, dialect: &'a StreamDialect) -> Self {
        let parser = Parser::new(dialect).with_tokens_with_locations(source.tokens.clone());
        Self { parser, source, half_closed: false }
    }
}

impl StatementParser<'_> {
    /// The text from a place to the end of the last token that was taken.
    pub(super) fn text_from(&self, start: Location) -> String {
        let end = self.last_end();
        let (start, end) = (self.source.offset(start), self.source.offset(end));
        self.source.text[start..end.max(start)].trim().to_owned()
    }

    /// Where the last token that was taken ends.
    fn last_end(&self) -> Location {
        let taken = self.source.tokens[..self.parser.index().min(self.source.tokens.len())].iter();
        taken
            .rev()
            .find(|token| !matches!(token.token, Token::Whitespace(_)))
            .map_or(Location::new(1, 1), |token| token.span.end)
    }

    /// What sqlparser says about the end of the text has no place: it is behind the last token.
    fn placed(&self, error: Error) -> Error {
        match error {
            Error::Syntax { position: None, reason } => {
                Error::Syntax { position: Some(position(self.last_end())), reason }
            }
            error => error,
        }
    }

    /// The next token is not what has to stand here.
    pub(super) fn unexpected(&self, expected: &str) -> Error {
        let found = self.parser.peek_token();
        let what = match &found.token {
            Token::EOF => "the end".to_owned(),
            token => format!("`{token}`"),
        };
        Error::Syntax {
            position: Some(match found.token {
                Token::EOF => position(self.last_end()),
                _ => position(found.span.start),
            }),
            reason: format!("expected {expected}, found {what}"),
        }
    }

    /// Whether the next word is this one, which need not be a keyword of sqlparser's; takes it if so.
    pub(super) fn word(&mut self, word: &str) -> bool {
        let found = self.next_is(word);
        if found {
            self.parser.next_token();
        }
        found
    }

    /// Whether the next word is this one.
    pub(super) fn next_is(&self, word: &str) -> bool {
        matches!(&self.parser.peek_token_ref().token,
            Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    }

    /// Takes all these words, or none.
    pub(super) fn words(&mut self, words: &[&str]) -> bool {
        let all = words.iter().enumerate().all(|(at, word)| {
            matches!(&self.parser.peek_nth_token_ref(at).token,
                Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
        });
        if all {
            words.iter().for_each(|_| {
                self.parser.next_token();
            });
        }
        all
    }

    /// The next word must be this one.
    pub(super) fn expect_word(&mut self, word: &str) -> Result<()> {
        if self.word(word) { Ok(()) } else { Err(self.unexpected(&format!("`{word}`"))) }
    }

    /// The next token must be this one.
    pub(super) fn expect(&mut self, token: &Token) -> Result<()> {
        if self.parser.consume_token(token) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("`{token}`")))
        }
    }

    /// A name of one part; a name with catalog or database before it is taken by its last part.
    pub(super) fn name(&mut self, what: &str) -> Result<String> {
        if !matches!(self.parser.peek_token_ref().token, Token::Word(_)) {
            return Err(self.unexpected(&format!("the name of {what}")));
        }
        loop {
            let ident = self.parser.parse_identifier().map_err(syntax)?;
            if !self.parser.consume_token(&Token::Period) {
                return Ok(ident.value);
            }
        }
    }

    /// A text in quotes.
    pub(super) fn string(&mut self, what: &str) -> Result<String> {
        match &self.parser.peek_token_ref().token {
            Token::SingleQuotedString(text) => {
                let text = text.clone();
                self.parser.next_token();
                Ok(text)
            }
            _ => Err(self.unexpected(&format!("{what} in quotes"))),
        }
    }
}

/// A place of the tokenizer's.
pub(super) fn position(at: Location) -> Position {
    Position { line: at.line.max(1), column: at.column.max(1) }
}

/// What sqlparser says, with the place taken out of its text.
pub(super) fn syntax(error: ParserError) -> Error {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => {
            return Error::Syntax {
                position: None,
                reason: "the statement is nested too deeply: split it with views".to_owned(),
            };
        }
    };
    let Some((reason, place)) = text.rsplit_once(" at Line: ") else {
        return Error::Syntax { position: None, reason: lowered(&text) };
    };
    let position = place.split_once(", Column: ").and_then(|(line, column)| {
        Some(Position { line: line.trim().parse().ok()?, column: column.trim().parse().ok()? })
    });
    Error::Syntax { position, reason: lowered(reason) }
}

/// `Expected: an expression, found: FROM` as the end of a sentence.
fn lowered(text: &str) -> String {
    text.replacen("Expected: ", "expected ", 1).replacen(", found: ", ", found ", 1)
}
