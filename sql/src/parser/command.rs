//! The statements themselves.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use super::script::{StatementParser, syntax};
use super::{
    CreateMaterializedView, CreateView, DropKind, Insert, QueryText, ShowKind, Statement,
    group_window,
};
use crate::Result;

/// What a statement can begin with, for messages.
const STATEMENTS: &str = "SELECT, WITH, VALUES, INSERT INTO, CREATE, DROP, SHOW, DESCRIBE, EXPLAIN, SET, RESET, STOP JOB \
     or EXECUTE STATEMENT SET";

impl StatementParser<'_> {
    /// One statement, up to its semicolon.
    pub(super) fn statement(&mut self) -> Result<Statement> {
        let Token::Word(first) = &self.parser.peek_token_ref().token else {
            if self.parser.peek_token_ref().token == Token::LParen {
                return self.query().map(Statement::Query);
            }
            return Err(self.unexpected(STATEMENTS));
        };
        match first.value.to_ascii_uppercase().as_str() {
            "SELECT" | "WITH" | "VALUES" => self.query().map(Statement::Query),
            "INSERT" => self.insert().map(Statement::Insert),
            "EXECUTE" => self.statement_set(),
            "BEGIN" => {
                // The form of Flink's SQL client before 1.15, too.
                self.parser.next_token();
                self.expect_word("STATEMENT")?;
                self.expect_word("SET")?;
                self.expect(&Token::SemiColon)?;
                self.inserts()
            }
            "CREATE" => self.create(),
            "DROP" => self.drop(),
            "SHOW" => self.show(),
            "DESCRIBE" | "DESC" => {
                self.parser.next_token();
                self.name("a table").map(Statement::Describe)
            }
            "EXPLAIN" => {
                self.parser.next_token();
                let _ = self.words(&["PLAN", "FOR"]);
                if self.statement_kind_can_be_explained() {
                    Ok(Statement::Explain(Box::new(self.statement()?)))
                } else {
                    Err(self.unexpected("a query, INSERT INTO or EXECUTE STATEMENT SET"))
                }
            }
            "SET" => self.set(),
            "RESET" => {
                self.parser.next_token();
                if self.at_end() {
                    return Ok(Statement::Reset(None));
                }
                self.key().map(|key| Statement::Reset(Some(key)))
            }
            "STOP" => {
                self.parser.next_token();
                self.expect_word("JOB")?;
                let job = self.string("the name of a job")?;
                let with_savepoint = self.words(&["WITH", "SAVEPOINT"]);
                Ok(Statement::StopJob { job, with_savepoint })
            }
            _ => Err(self.unexpected(STATEMENTS)),
        }
    }

    fn statement_kind_can_be_explained(&self) -> bool {
        ["SELECT", "WITH", "VALUES", "INSERT", "EXECUTE"].iter().any(|word| self.next_is(word))
            || self.parser.peek_token_ref().token == Token::LParen
    }

    fn at_end(&self) -> bool {
        matches!(self.parser.peek_token_ref().token, Token::SemiColon | Token::EOF)
    }

    /// A query.
    pub(super) fn query(&mut self) -> Result<QueryText> {
        let start = self.parser.peek_token().span.start;
        let mut query = self.parser.parse_query().map_err(syntax)?;
        group_window::rewrite(&mut query)?;
        Ok(QueryText { query, text: self.text_from(start) })
    }

    fn insert(&mut self) -> Result<Insert> {
        let start = self.parser.peek_token().span.start;
        self.expect_word("INSERT")?;
        self.expect_word("INTO")?;
        let table = self.name("a table")?;
        let columns = if self.parser.peek_token_ref().token == Token::LParen
            && !matches!(&self.parser.peek_nth_token_ref(1).token,
                Token::Word(w) if matches!(w.keyword, Keyword::SELECT | Keyword::VALUES | Keyword::WITH))
        {
            self.parser.next_token();
            let names =
                self.parser.parse_comma_separated(Parser::parse_identifier).map_err(syntax)?;
            self.expect(&Token::RParen)?;
            Some(names.into_iter().map(|name| name.value).collect())
        } else {
            None
        };
        let query = self.query()?;
        Ok(Insert { table, columns, query, text: self.text_from(start) })
    }

    fn statement_set(&mut self) -> Result<Statement> {
        self.parser.next_token();
        if self.next_is("INSERT") {
            return self.insert().map(Statement::Insert);
        }
        if ["SELECT", "WITH", "VALUES"].iter().any(|word| self.next_is(word)) {
            return self.query().map(Statement::Query);
        }
        self.expect_word("STATEMENT")?;
        self.expect_word("SET")?;
        self.expect_word("BEGIN")?;
        self.inserts()
    }

    fn inserts(&mut self) -> Result<Statement> {
        let mut inserts = Vec::new();
        loop {
            while self.parser.consume_token(&Token::SemiColon) {}
            if self.word("END") {
                break;
            }
            if !self.next_is("INSERT") {
                return Err(self.unexpected("INSERT INTO or END"));
            }
            inserts.push(self.insert()?);
            if !self.at_end() {
                return Err(self.unexpected("`;`"));
            }
        }
        if inserts.is_empty() {
            return Err(self.unexpected("at least one INSERT INTO before END"));
        }
        Ok(Statement::StatementSet(inserts))
    }

    fn create(&mut self) -> Result<Statement> {
        let start = self.parser.peek_token().span.start;
        self.parser.next_token();
        let or_replace = self.words(&["OR", "REPLACE"]);
        let temporary = self.word("TEMPORARY");
        if self.word("TABLE") {
            if or_replace {
                return Err(
                    self.unexpected("CREATE TABLE without OR REPLACE; DROP the table first")
                );
            }
            return self.create_table(start, temporary).map(Statement::CreateTable);
        }
        if self.word("VIEW") {
            return self.create_view(start, temporary, or_replace);
        }
        if !temporary && !or_replace && self.words(&["MATERIALIZED", "VIEW"]) {
            return self.create_materialized_view(start);
        }
        Err(self.unexpected("TABLE, VIEW or MATERIALIZED VIEW"))
    }

    pub(super) fn if_not_exists(&mut self) -> bool {
        self.words(&["IF", "NOT", "EXISTS"])
    }

    fn create_view(
        &mut self,
        start: datafusion::sql::sqlparser::tokenizer::Location,
        temporary: bool,
        or_replace: bool,
    ) -> Result<Statement> {
        let if_not_exists = self.if_not_exists();
        let name = self.name("the view")?;
        let mut columns = Vec::new();
        if self.parser.consume_token(&Token::LParen) {
            let names =
                self.parser.parse_comma_separated(Parser::parse_identifier).map_err(syntax)?;
            columns = names.into_iter().map(|name| name.value).collect();
            self.expect(&Token::RParen)?;
        }
        if self.word("COMMENT") {
            self.string("a comment")?;
        }
        self.expect_word("AS")?;
        let query = self.query()?;
        let text = self.text_from(start);
        Ok(Statement::CreateView(CreateView {
            name,
            columns,
            query,
            temporary,
            or_replace,
            if_not_exists,
            text,
        }))
    }

    fn create_materialized_view(
        &mut self,
        start: datafusion::sql::sqlparser::tokenizer::Location,
    ) -> Result<Statement> {
        let if_not_exists = self.if_not_exists();
        let name = self.name("the materialized view")?;
        let options = if self.word("WITH") { self.options()? } else { BTreeMap::new() };
        self.expect_word("AS")?;
        let query = self.query()?;
        let text = self.text_from(start);
        Ok(Statement::CreateMaterializedView(CreateMaterializedView {
            name,
            query,
            options,
            if_not_exists,
            text,
        }))
    }

    fn drop(&mut self) -> Result<Statement> {
        self.parser.next_token();
        let temporary = self.word("TEMPORARY");
        let kind = if self.word("TABLE") {
            DropKind::Table
        } else if self.word("VIEW") {
            DropKind::View
        } else if !temporary && self.words(&["MATERIALIZED", "VIEW"]) {
            DropKind::MaterializedView
        } else {
            return Err(self.unexpected("TABLE, VIEW or MATERIALIZED VIEW"));
        };
        let if_exists = self.words(&["IF", "EXISTS"]);
        let name = self.name("what is to be dropped")?;
        Ok(Statement::Drop { kind, name, if_exists })
    }

    fn show(&mut self) -> Result<Statement> {
        self.parser.next_token();
        let kind = if self.word("TABLES") {
            ShowKind::Tables
        } else if self.word("VIEWS") {
            ShowKind::Views
        } else if self.words(&["MATERIALIZED", "VIEWS"]) {
            ShowKind::MaterializedViews
        } else if self.word("FUNCTIONS") || self.words(&["USER", "FUNCTIONS"]) {
            ShowKind::Functions
        } else if self.word("JOBS") {
            ShowKind::Jobs
        } else if self.word("COLUMNS") {
            if !self.word("FROM") {
                self.expect_word("IN")?;
            }
            ShowKind::Columns(self.name("a table")?)
        } else if self.word("CREATE") {
            if !(self.word("TABLE") || self.word("VIEW")) {
                let _ = self.words(&["MATERIALIZED", "VIEW"]);
            }
            ShowKind::Create(self.name("a table or view")?)
        } else if self.word("ALL") || self.word("SETTINGS") {
            ShowKind::Setting(None)
        } else if matches!(self.parser.peek_token_ref().token, Token::Word(_)) {
            ShowKind::Setting(Some(self.key()?))
        } else {
            return Err(self.unexpected(
                "TABLES, VIEWS, MATERIALIZED VIEWS, FUNCTIONS, JOBS, COLUMNS FROM, CREATE TABLE or a setting",
            ));
        };
        Ok(Statement::Show(kind))
    }

    fn set(&mut self) -> Result<Statement> {
        self.parser.next_token();
        if self.at_end() {
            return Ok(Statement::Set(None));
        }
        let key = self.key()?;
        if !self.parser.consume_token(&Token::Eq) && !self.word("TO") {
            return Err(self.unexpected("`=` and the value of the setting"));
        }
        let value = self.value()?;
        Ok(Statement::Set(Some((key, value))))
    }

    /// A setting's name: in quotes, or as words with dots and dashes between.
    fn key(&mut self) -> Result<String> {
        if let Token::SingleQuotedString(key) = self.parser.peek_token().token {
            self.parser.next_token();
            return Ok(key);
        }
        let mut key = String::new();
        loop {
            match self.parser.peek_token().token {
                Token::Word(word) => key.push_str(&word.value),
                _ => return Err(self.unexpected("the name of a setting")),
            }
            self.parser.next_token();
            match self.parser.peek_token().token {
                Token::Period => key.push('.'),
                Token::Minus => key.push('-'),
                _ => return Ok(key),
            }
            self.parser.next_token();
        }
    }

    /// A setting's value: in quotes, or everything up to the end of the statement.
    fn value(&mut self) -> Result<String> {
        if let Token::SingleQuotedString(value) = self.parser.peek_token().token {
            self.parser.next_token();
            return Ok(value);
        }
        let start = self.parser.peek_token().span.start;
        if self.at_end() {
            return Err(self.unexpected("the value of the setting"));
        }
        while !self.at_end() {
            self.parser.next_token();
        }
        Ok(self.text_from(start))
    }

    /// `('key' = 'value', ...)`.
    pub(super) fn options(&mut self) -> Result<BTreeMap<String, String>> {
        self.expect(&Token::LParen)?;
        let mut options = BTreeMap::new();
        loop {
            if self.parser.consume_token(&Token::RParen) {
                return Ok(options);
            }
            let place = self.parser.peek_token();
            let key = self.string("the name of an option")?;
            self.expect(&Token::Eq)?;
            let value = self.string("the value of the option")?;
            if options.insert(key.clone(), value).is_some() {
                return Err(crate::Error::Syntax {
                    position: Some(super::script::position(place.span.start)),
                    reason: format!("option '{key}' is set twice"),
                });
            }
            if !self.parser.consume_token(&Token::Comma)
                && self.parser.peek_token_ref().token != Token::RParen
            {
                return Err(self.unexpected("`,` or `)`"));
            }
        }
    }
}
