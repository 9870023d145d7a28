//! Splits a script into statements, without understanding them: what the prompt needs to know whether a statement is whole, and
//! what every face needs to say on which line of the script an error is.

/// One statement of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The statement, without the semicolon, without space and comments around it.
    pub text: &'a str,
    /// Where it begins in the script, in bytes.
    pub start: usize,
    /// Whether a semicolon ends it.
    pub ended: bool,
}

/// The statements of a script in their order; the last one may lack its end. Semicolons in literals, in quoted names, in comments
/// and inside a statement set (`EXECUTE STATEMENT SET BEGIN ... END`) end nothing.
pub fn split(script: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut open = Statement::default();
    for token in tokens(script) {
        if token.kind == TokenKind::Space {
            continue;
        }
        let text = &script[token.start..token.end];
        if text == ";" && !open.inside_set() {
            if let Some((start, end)) = open.range {
                pieces.push(Piece { text: &script[start..end], start, ended: true });
            }
            open = Statement::default();
        } else {
            open.add(token, text);
        }
    }
    if let Some((start, end)) = open.range {
        pieces.push(Piece { text: &script[start..end], start, ended: false });
    }
    pieces
}

/// True if the script ends within a literal, a quoted name or a comment.
pub fn is_open(script: &str) -> bool {
    tokens(script).last().is_some_and(|token| token.open)
}

/// The statement that is being read.
#[derive(Default)]
struct Statement {
    range: Option<(usize, usize)>,
    /// Its first words, which tell a statement set.
    words: Vec<String>,
    /// Its last word.
    last: String,
}

impl Statement {
    fn add(&mut self, token: Token, text: &str) {
        let start = self.range.map_or(token.start, |(start, _)| start);
        self.range = Some((start, token.end));
        self.last = text.to_ascii_uppercase();
        if self.words.len() < 4 {
            self.words.push(self.last.clone());
        }
    }

    /// True between BEGIN and END of a statement set. Without its BEGIN it is not one yet.
    fn inside_set(&self) -> bool {
        let is = |words: &[&str]| self.words.iter().take(words.len()).eq(words.iter());
        (is(&["EXECUTE", "STATEMENT", "SET", "BEGIN"]) || is(&["BEGIN", "STATEMENT", "SET"]))
            && self.last != "END"
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// White space and comments.
    Space,
    Word,
    Literal,
    /// A parameter such as `$1`.
    Parameter(usize),
    Symbol,
}

#[derive(Clone, Copy)]
pub(crate) struct Token {
    pub kind: TokenKind,
    pub start: usize,
    pub end: usize,
    /// Its closing quote or mark is missing.
    pub open: bool,
}

pub(crate) fn tokens(script: &str) -> impl Iterator<Item = Token> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &script[at..];
        let first = rest.chars().next()?;
        let (kind, length, open) = match first {
            c if c.is_whitespace() => (TokenKind::Space, c.len_utf8(), false),
            '-' if rest.starts_with("--") => {
                (TokenKind::Space, rest.find('\n').map_or(rest.len(), |end| end + 1), false)
            }
            '/' if rest.starts_with("/*") => {
                let end = rest[2..].find("*/").map(|end| end + 4);
                (TokenKind::Space, end.unwrap_or(rest.len()), end.is_none())
            }
            '\'' | '"' | '`' => {
                // A doubled quote is two literals in a row, which is as good here.
                let end = rest[1..].find(first).map(|end| end + 2);
                (TokenKind::Literal, end.unwrap_or(rest.len()), end.is_none())
            }
            '$' => {
                let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
                match rest[1..=digits].parse() {
                    Ok(number) => (TokenKind::Parameter(number), digits + 1, false),
                    Err(_) => (TokenKind::Symbol, 1, false),
                }
            }
            c if c.is_alphanumeric() || c == '_' => {
                let more = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
                (TokenKind::Word, rest.find(|c| !more(c)).unwrap_or(rest.len()), false)
            }
            c => (TokenKind::Symbol, c.len_utf8(), false),
        };
        let token = Token { kind, start: at, end: at + length, open };
        at = token.end;
        Some(token)
    })
}

/// The highest number of a parameter (`$1`, `$2`, ...) in a statement; 0 if it has none.
pub fn parameters(statement: &str) -> usize {
    let number = |token: Token| match token.kind {
        TokenKind::Parameter(number) => number,
        _ => 0,
    };
    tokens(statement).map(number).max().unwrap_or(0)
}

/// The statement with something else in the place of each parameter.
pub fn replace_parameters(statement: &str, mut with: impl FnMut(usize) -> String) -> String {
    let mut out = String::with_capacity(statement.len());
    for token in tokens(statement) {
        match token.kind {
            TokenKind::Parameter(number) => out += &with(number),
            _ => out += &statement[token.start..token.end],
        }
    }
    out
}

/// The words and symbols of a statement without space and comments, words in upper case: for faces that have to recognise
/// what the engine is not asked.
pub fn words(statement: &str) -> Vec<String> {
    let word = |token: &Token| match token.kind {
        TokenKind::Word => statement[token.start..token.end].to_ascii_uppercase(),
        _ => statement[token.start..token.end].to_owned(),
    };
    tokens(statement)
        .filter(|token| token.kind != TokenKind::Space)
        .map(|token| word(&token))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(script: &str) -> Vec<&str> {
        split(script).iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn semicolons_end_statements_where_they_are_meant_to() {
        let script = "-- first; line\nSELECT ';', \"a;b\", `c;d` /* ; */ FROM t ;;\n  SELECT 'it''s;' ; SELECT 3";
        let pieces = split(script);
        let expected = ["SELECT ';', \"a;b\", `c;d` /* ; */ FROM t", "SELECT 'it''s;'", "SELECT 3"];
        assert_eq!(texts(script), expected);
        assert_eq!(pieces.iter().map(|p| p.ended).collect::<Vec<_>>(), [true, true, false]);
        assert!(pieces.iter().all(|piece| script[piece.start..].starts_with(piece.text)));
        assert!(texts("  -- nothing\n ; ;").is_empty());
    }

    #[test]
    fn a_statement_set_is_one_statement() {
        let set =
            "EXECUTE STATEMENT SET BEGIN\n INSERT INTO a SELECT 1; INSERT INTO b SELECT 2;\nEND";
        assert_eq!(texts(&format!("{set}; SELECT 1;")), [set, "SELECT 1"]);
        let old = "BEGIN STATEMENT SET; INSERT INTO a SELECT 1; END";
        assert_eq!(texts(&format!("{old};")), [old]);
        assert_eq!(texts("BEGIN; SELECT 1; END"), ["BEGIN", "SELECT 1", "END"]);
    }

    #[test]
    fn what_is_not_closed_is_open() {
        for open in ["SELECT 'a", "SELECT \"a;", "SELECT 1 /* ", "`"] {
            assert!(is_open(open), "{open}");
        }
        for closed in ["SELECT 'a'", "SELECT 1 -- it's", "", "SELECT 1 /* ' */"] {
            assert!(!is_open(closed), "{closed}");
        }
    }

    #[test]
    fn parameters_are_found_and_replaced_outside_of_literals() {
        let statement = "SELECT $1, '$3', a$4 FROM t WHERE x = $12 -- $13";
        assert_eq!(parameters(statement), 12);
        let replaced = replace_parameters(statement, |number| format!("<{number}>"));
        assert_eq!(replaced, "SELECT <1>, '$3', a$4 FROM t WHERE x = <12> -- $13");
        assert_eq!(parameters("SELECT $"), 0);
    }

    #[test]
    fn words_are_told_in_upper_case() {
        assert_eq!(words("set x=/* */'Ab'"), ["SET", "X", "=", "'Ab'"]);
    }
}
