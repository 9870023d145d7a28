//! Column types: Flink's names, Arrow's types.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, IntervalUnit, TimeUnit};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::script::{StatementParser, position};
use crate::{Error, Result};

/// The type of a TIMESTAMP of so many digits behind the second.
pub(crate) fn timestamp_type(precision: u64, local: bool) -> DataType {
    let unit = match precision {
        0..=3 => TimeUnit::Millisecond,
        4..=6 => TimeUnit::Microsecond,
        _ => TimeUnit::Nanosecond,
    };
    DataType::Timestamp(unit, local.then(|| "UTC".into()))
}

impl StatementParser<'_> {
    /// A type, and whether its values may be missing.
    pub(super) fn column_type(&mut self) -> Result<(DataType, bool)> {
        let place = self.parser.peek_token();
        let Token::Word(word) = &place.token else { return Err(self.unexpected("a type")) };
        self.parser.next_token();
        let name = word.value.to_ascii_uppercase();
        let mut data_type = match name.as_str() {
            "STRING" | "TEXT" => DataType::Utf8,
            "CHAR" | "VARCHAR" | "CHARACTER" => {
                let _ = self.word("VARYING");
                self.arguments(1)?;
                DataType::Utf8
            }
            "BOOLEAN" | "BOOL" => DataType::Boolean,
            "BYTES" => DataType::Binary,
            "BINARY" | "VARBINARY" => {
                self.arguments(1)?;
                DataType::Binary
            }
            "TINYINT" => DataType::Int8,
            "SMALLINT" => DataType::Int16,
            "INT" | "INTEGER" => DataType::Int32,
            "BIGINT" => DataType::Int64,
            "FLOAT" | "REAL" => DataType::Float32,
            "DOUBLE" => {
                let _ = self.word("PRECISION");
                DataType::Float64
            }
            "DECIMAL" | "DEC" | "NUMERIC" => {
                let given = self.arguments(2)?;
                let precision = given.first().copied().unwrap_or(10);
                let scale = given.get(1).copied().unwrap_or(0);
                if !(1..=38).contains(&precision) || scale > precision {
                    return Err(Error::Invalid {
                        position: Some(position(place.span.start)),
                        reason: format!(
                            "DECIMAL({precision}, {scale}): the precision is 1 to 38, the scale at most the precision"
                        ),
                    });
                }
                DataType::Decimal128(precision as u8, scale as i8)
            }
            "DATE" => DataType::Date32,
            "TIME" => {
                self.arguments(1)?;
                let _ = self.words(&["WITHOUT", "TIME", "ZONE"]);
                DataType::Time32(TimeUnit::Millisecond)
            }
            "TIMESTAMP" => {
                let precision = self.arguments(1)?.first().copied().unwrap_or(6);
                let local = self.words(&["WITH", "LOCAL", "TIME", "ZONE"])
                    || self.words(&["WITH", "TIME", "ZONE"]);
                let _ = self.words(&["WITHOUT", "TIME", "ZONE"]);
                timestamp_type(precision, local)
            }
            "TIMESTAMP_LTZ" | "TIMESTAMPTZ" => {
                timestamp_type(self.arguments(1)?.first().copied().unwrap_or(6), true)
            }
            "INTERVAL" => {
                while ["YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND", "TO"]
                    .iter()
                    .any(|word| self.word(word))
                {
                    self.arguments(2)?;
                }
                DataType::Interval(IntervalUnit::MonthDayNano)
            }
            "ARRAY" => {
                self.expect(&Token::Lt)?;
                let (element, nullable) = self.column_type()?;
                self.close_angle()?;
                DataType::List(Arc::new(Field::new_list_field(element, nullable)))
            }
            "MULTISET" => return Err(unknown_type(&place, &name)),
            "MAP" => {
                self.expect(&Token::Lt)?;
                let (key, _) = self.column_type()?;
                self.expect(&Token::Comma)?;
                let (value, nullable) = self.column_type()?;
                self.close_angle()?;
                map_type(key, value, nullable)
            }
            "ROW" => self.row_type()?,
            _ => return Err(unknown_type(&place, &name)),
        };
        if self.half_closed {
            // The `>>` behind it has closed what is around it as well: what follows belongs to that.
            return Ok((data_type, true));
        }
        // `INT ARRAY` is `ARRAY<INT>`.
        while self.next_is("ARRAY") {
            self.parser.next_token();
            data_type = DataType::List(Arc::new(Field::new_list_field(data_type, true)));
        }
        let nullable = if self.words(&["NOT", "NULL"]) {
            false
        } else {
            let _ = self.word("NULL");
            true
        };
        Ok((data_type, nullable))
    }

    /// `<name TYPE, ...>` or `(name TYPE, ...)`.
    fn row_type(&mut self) -> Result<DataType> {
        let round = self.parser.consume_token(&Token::LParen);
        if !round {
            self.expect(&Token::Lt)?;
        }
        let mut fields = Vec::new();
        loop {
            let name = self.name("a field of the ROW")?;
            let (data_type, nullable) = self.column_type()?;
            fields.push(Field::new(name, data_type, nullable));
            if self.half_closed {
                self.close_angle()?;
                return Ok(DataType::Struct(Fields::from(fields)));
            }
            if self.word("COMMENT") {
                self.string("a comment")?;
            }
            if self.parser.consume_token(&Token::Comma) {
                continue;
            }
            if round {
                self.expect(&Token::RParen)?;
            } else {
                self.close_angle()?;
            }
            return Ok(DataType::Struct(Fields::from(fields)));
        }
    }

    /// `>`, which may be half of a `>>`.
    fn close_angle(&mut self) -> Result<()> {
        if self.half_closed {
            self.half_closed = false;
            return Ok(());
        }
        if self.parser.consume_token(&Token::ShiftRight) {
            self.half_closed = true;
            return Ok(());
        }
        self.expect(&Token::Gt)
    }

    /// `(n, ...)`, at most `most` numbers; nothing if there are no parentheses.
    fn arguments(&mut self, most: usize) -> Result<Vec<u64>> {
        let mut numbers = Vec::new();
        if !self.parser.consume_token(&Token::LParen) {
            return Ok(numbers);
        }
        loop {
            match self.parser.peek_token().token {
                Token::Number(text, _) if numbers.len() < most => match text.parse() {
                    Ok(number) => numbers.push(number),
                    Err(_) => return Err(self.unexpected("a whole number")),
                },
                _ => return Err(self.unexpected("a whole number")),
            }
            self.parser.next_token();
            if self.parser.consume_token(&Token::RParen) {
                return Ok(numbers);
            }
            self.expect(&Token::Comma)?;
        }
    }
}

/// A MAP in Arrow's form.
fn map_type(key: DataType, value: DataType, nullable: bool) -> DataType {
    let entries = DataType::Struct(Fields::from(vec![
        Field::new("key", key, false),
        Field::new("value", value, nullable),
    ]));
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

fn unknown_type(place: &datafusion::sql::sqlparser::tokenizer::TokenWithSpan, name: &str) -> Error {
    Error::Syntax {
        position: Some(position(place.span.start)),
        reason: format!(
            "`{name}` is not a type; there are STRING, CHAR(n), VARCHAR(n), BOOLEAN, BYTES, TINYINT, SMALLINT, INT, BIGINT, \
             FLOAT, DOUBLE, DECIMAL(p, s), DATE, TIME, TIMESTAMP(p), TIMESTAMP_LTZ(p), ARRAY<t>, MAP<k, v> and ROW<name t, ...>"
        ),
    }
}
