//! `CREATE TABLE`.

use datafusion::sql::sqlparser::tokenizer::{Location, Token};

use super::CreateTable;
use super::script::{StatementParser, position, syntax};
use crate::catalog::{Column, ColumnKind, Table, WatermarkDefinition};
use crate::{Error, Result};

impl StatementParser<'_> {
    /// What follows `CREATE [TEMPORARY] TABLE`.
    pub(super) fn create_table(&mut self, start: Location, temporary: bool) -> Result<CreateTable> {
        let if_not_exists = self.if_not_exists();
        let name_at = self.parser.peek_token().span.start;
        let name = self.name("the table")?;
        let mut table = Table {
            name,
            columns: Vec::new(),
            watermark: None,
            primary_key: Vec::new(),
            partitioned_by: Vec::new(),
            options: Default::default(),
        };
        if self.parser.consume_token(&Token::LParen) {
            loop {
                self.element(&mut table)?;
                if self.parser.consume_token(&Token::RParen) {
                    break;
                }
                if !self.parser.consume_token(&Token::Comma) {
                    return Err(self.unexpected("`,` or `)`"));
                }
            }
        }
        if self.word("COMMENT") {
            self.string("a comment")?;
        }
        if self.words(&["PARTITIONED", "BY"]) {
            self.expect(&Token::LParen)?;
            table.partitioned_by = self.names("a column that folders are named by")?;
        }
        if self.word("LIKE") {
            self.parser.prev_token();
            return Err(self.unexpected("WITH (...) or AS: LIKE is not supported"));
        }
        if self.word("WITH") {
            table.options = self.options()?;
        }
        let query = if self.word("AS") { Some(self.query()?) } else { None };
        if query.is_none() && table.columns.is_empty() {
            return Err(self.unexpected("the columns of the table, as (name TYPE, ...)"));
        }
        if query.is_none() {
            check(&table, name_at)?;
        }
        Ok(CreateTable { table, temporary, if_not_exists, query, text: self.text_from(start) })
    }

    /// A column, a watermark or a key.
    fn element(&mut self, table: &mut Table) -> Result<()> {
        let place = self.parser.peek_token().span.start;
        if self.next_is("WATERMARK") && self.words(&["WATERMARK", "FOR"]) {
            if table.watermark.is_some() {
                return Err(at(place, "the table has a WATERMARK already"));
            }
            let column = self.name("the event time column")?;
            self.expect_word("AS")?;
            let expression = self.expression()?;
            table.watermark = Some(WatermarkDefinition { column, expression });
            return Ok(());
        }
        if self.word("CONSTRAINT") {
            self.name("the constraint")?;
            return self.primary_key(table);
        }
        if self.next_is("PRIMARY") {
            return self.primary_key(table);
        }
        let name = self.name("a column")?;
        if table.position(&name).is_some() {
            return Err(at(place, &format!("the table has two columns `{name}`")));
        }
        if self.word("AS") {
            let expression = self.expression()?;
            // Its type is found when the expression is planned.
            table.columns.push(Column {
                name,
                data_type: arrow_schema::DataType::Null,
                nullable: true,
                kind: ColumnKind::Computed { expression },
            });
            return self.column_comment();
        }
        let (data_type, mut nullable) = self.column_type()?;
        let mut kind = ColumnKind::Physical;
        if self.word("METADATA") {
            let key = if self.word("FROM") { self.string("a metadata key")? } else { name.clone() };
            let is_virtual = self.word("VIRTUAL");
            kind = ColumnKind::Metadata { key, is_virtual };
        }
        if self.words(&["PRIMARY", "KEY"]) {
            self.expect_word("NOT")?;
            self.expect_word("ENFORCED")?;
            if !table.primary_key.is_empty() {
                return Err(at(place, "the table has a PRIMARY KEY already"));
            }
            table.primary_key = vec![name.clone()];
            nullable = false;
        }
        table.columns.push(Column { name, data_type, nullable, kind });
        self.column_comment()
    }

    fn column_comment(&mut self) -> Result<()> {
        if self.word("COMMENT") {
            self.string("a comment")?;
        }
        Ok(())
    }

    fn primary_key(&mut self, table: &mut Table) -> Result<()> {
        let place = self.parser.peek_token().span.start;
        self.expect_word("PRIMARY")?;
        self.expect_word("KEY")?;
        self.expect(&Token::LParen)?;
        if !table.primary_key.is_empty() {
            return Err(at(place, "the table has a PRIMARY KEY already"));
        }
        table.primary_key = self.names("a column of the key")?;
        if !self.words(&["NOT", "ENFORCED"]) {
            return Err(self.unexpected(
                "NOT ENFORCED: that rows are unique is promised by who writes them, not checked",
            ));
        }
        Ok(())
    }

    /// Names with commas in between, to the `)` behind them.
    fn names(&mut self, what: &str) -> Result<Vec<String>> {
        let mut names = vec![self.name(what)?];
        while !self.parser.consume_token(&Token::RParen) {
            self.expect(&Token::Comma)?;
            names.push(self.name(what)?);
        }
        Ok(names)
    }

    /// An expression, as text.
    fn expression(&mut self) -> Result<String> {
        let start = self.parser.peek_token().span.start;
        self.parser.parse_expr().map_err(syntax)?;
        Ok(self.text_from(start))
    }
}

fn at(place: Location, reason: &str) -> Error {
    Error::Invalid { position: Some(position(place)), reason: reason.to_owned() }
}

/// What parts of the definition say about each other.
fn check(table: &Table, place: Location) -> Result<()> {
    let known = || {
        let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
        names.join(", ")
    };
    let key = table.primary_key.iter().map(|name| ("the PRIMARY KEY", name));
    let parts = table.partitioned_by.iter().map(|name| ("PARTITIONED BY", name));
    for (clause, name) in key.chain(parts) {
        match table.position(name).map(|at| &table.columns[at].kind) {
            Some(ColumnKind::Physical) => {}
            Some(_) => {
                let reason = format!("column `{name}` of {clause} is not one of the record's own");
                return Err(at(place, &reason));
            }
            None => {
                let reason = format!(
                    "{clause} names `{name}`, which is no column of the table ({})",
                    known()
                );
                return Err(at(place, &reason));
            }
        }
    }
    if let Some(watermark) = &table.watermark
        && table.position(&watermark.column).is_none()
    {
        let reason = format!(
            "WATERMARK FOR names `{}`, which is no column of the table ({})",
            watermark.column,
            known()
        );
        return Err(at(place, &reason));
    }
    if table.source_columns().is_empty() {
        return Err(at(
            place,
            "the table has only computed columns: it needs one that records hold",
        ));
    }
    Ok(())
}
