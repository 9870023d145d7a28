//! Where in a statement something is wrong, when what complains does not know it: where the statement names the thing that the complaint names.

use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::parser::{Parsed, StreamDialect};
use crate::{Error, Position};

/// The error with a place, if it is the statement's fault.
pub(super) fn placed(error: Error, parsed: &Parsed) -> Error {
    match error {
        Error::Invalid { position: None, reason } => {
            let position = find(&reason, parsed).unwrap_or(parsed.begin);
            Error::Invalid { position: Some(position), reason }
        }
        other => other,
    }
}

/// The place of the first thing in quotes that stands in the statement, too.
fn find(reason: &str, parsed: &Parsed) -> Option<Position> {
    let tokens = Tokenizer::new(&StreamDialect, &parsed.text).tokenize_with_location().ok()?;
    let names: Vec<&str> =
        ['`', '\''].iter().flat_map(|quote| reason.split(*quote).skip(1).step_by(2)).collect();
    names.iter().find_map(|name| {
        // Of a column of a table, the column.
        let last = name.rsplit('.').next().unwrap_or(name);
        let token = tokens.iter().find(|token| match &token.token {
            Token::Word(word) => word.value.eq_ignore_ascii_case(last),
            Token::SingleQuotedString(text) => text == name,
            Token::Number(number, _) => number == name,
            _ => false,
        })?;
        let at = token.span.start;
        Some(Position {
            line: parsed.begin.line + at.line.max(1) - 1,
            // Only the first line begins where the statement does.
            column: if at.line <= 1 {
                parsed.begin.column + at.column.max(1) - 1
            } else {
                at.column
            },
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::parse_script;

    fn place(script: &str, reason: &str) -> (u64, u64) {
        let parsed = parse_script(script).unwrap().pop().unwrap();
        let position = placed(Error::invalid(reason), &parsed).position().unwrap();
        (position.line, position.column)
    }

    #[test]
    fn the_thing_that_is_named_is_found() {
        let set = "SELECT 1; SET 'a.b' = 'x'";
        assert_eq!(place(set, "setting 'a.b' takes a number, not 'x'"), (1, 15));
        let select = "SELECT 1;\nSELECT price,\n  t.Prize FROM t";
        assert_eq!(place(select, "column `t.prize` is not known"), (3, 5));
        assert_eq!(place(select, "nothing in it"), (2, 1));
    }

    #[test]
    fn a_place_that_is_known_stays() {
        let parsed = parse_script("SELECT 1").unwrap().pop().unwrap();
        let position = Some(Position { line: 7, column: 8 });
        let error = placed(Error::Invalid { position, reason: "`1`".to_owned() }, &parsed);
        assert_eq!(error.position(), position);
        assert!(matches!(placed(Error::Cancelled, &parsed), Error::Cancelled));
    }
}
