//! Takes out of a query what only PostgreSQL's parser knows.

use super::columns::is_always_empty;
use crate::sql::script::{TokenKind, tokens};

/// The query with the same meaning in words that DataFusion knows: functions and types without `pg_catalog.`, operators without
/// `OPERATOR(...)`, no collations, and casts to PostgreSQL's own types as casts to what stands for them.
pub(super) fn rewrite(query: &str) -> String {
    let tokens: Vec<&str> = tokens(query)
        .filter(|token| token.kind != TokenKind::Space)
        .map(|token| &query[token.start..token.end])
        .collect();
    let mut out: Vec<String> = Vec::with_capacity(tokens.len());
    let is = |at: usize, text: &str| {
        tokens.get(at).is_some_and(|token| token.eq_ignore_ascii_case(text))
    };
    let mut at = 0;
    while at < tokens.len() {
        if is(at, "OPERATOR") && is(at + 1, "(") {
            let end = (at..tokens.len()).find(|&end| is(end, ")")).unwrap_or(tokens.len());
            let operator = (at + 2..end).filter(|&n| !is(n, "pg_catalog") && !is(n, "."));
            out.push(operator.map(|n| tokens[n]).collect());
            at = end + 1;
        } else if is(at, "COLLATE") {
            at += if is(at + 2, ".") { 4 } else { 2 };
        } else if is(at, ":") && is(at + 1, ":") {
            at = cast(&tokens, at + 2, &mut out);
        } else if is(at, "pg_catalog") && is(at + 1, ".") && is(at + 3, "(") {
            at += 2;
        } else if is(at, "ARRAY") && is(at + 1, "(") && is(at + 2, "SELECT") {
            // Members of roles, roles of policies: there are none of them here.
            out.push("make_array()".to_owned());
            at = closed(&tokens, at + 1);
        } else if let Some(end) = nothing(&tokens, at, out.last()) {
            out.push("NULL".to_owned());
            at = end;
        } else if is(at, "current_schema") && !is(at + 1, "(") {
            out.push("current_schema()".to_owned());
            at += 1;
        } else {
            out.push(tokens[at].to_owned());
            at += 1;
        }
    }
    join(&out)
}

/// The number of columns of a query that has no rows whatever it says of them: every SELECT of its UNIONs begins its FROM with a table that
/// is always empty, and adds nothing up.
pub(super) fn columns_of_nothing(query: &str) -> Option<usize> {
    let tokens: Vec<&str> = tokens(query)
        .filter(|token| token.kind != TokenKind::Space)
        .map(|token| &query[token.start..token.end])
        .collect();
    let (mut depth, mut in_list, mut first, mut columns) = (0, false, None, 0);
    for (at, token) in tokens.iter().enumerate() {
        match token.to_ascii_uppercase().as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ if depth > 0 => {}
            "SELECT" if !in_list => (in_list, columns) = (true, 1),
            "," if in_list => columns += 1,
            "FROM" if in_list => {
                let qualified = tokens.get(at + 1)?.eq_ignore_ascii_case("pg_catalog");
                let table = tokens.get(if qualified { at + 3 } else { at + 1 })?;
                if !is_always_empty(&table.to_ascii_lowercase()) {
                    return None;
                }
                in_list = false;
                first.get_or_insert(columns);
            }
            "COUNT" | "SUM" | "MIN" | "MAX" | "STRING_AGG" | "ARRAY_AGG" | "BOOL_OR" => {
                return None;
            }
            _ => {}
        }
    }
    first.filter(|_| !in_list)
}

/// Whether a query behind this token stands for a value.
fn begins_value(before: Option<&String>) -> bool {
    before.is_some_and(|token| {
        let token = token.to_ascii_uppercase();
        matches!(
            token.as_str(),
            "," | "SELECT" | "(" | "=" | "||" | "THEN" | "ELSE" | "WHEN" | "AND" | "OR"
        )
    })
}

/// What comes behind the parenthesis that closes the one at `at`.
fn closed(tokens: &[&str], at: usize) -> usize {
    let mut depth = 0;
    for (end, token) in tokens.iter().enumerate().skip(at) {
        match *token {
            "(" => depth += 1,
            ")" if depth == 1 => return end + 1,
            ")" => depth -= 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Where a query for one value ends, if it begins at `at` and reads a table that is always empty: it stands for NULL. DataFusion
/// does not plan all of those that psql has.
fn nothing(tokens: &[&str], at: usize, before: Option<&String>) -> Option<usize> {
    let is = |at: usize, text: &str| {
        tokens.get(at).is_some_and(|token| token.eq_ignore_ascii_case(text))
    };
    if !(is(at, "(") && is(at + 1, "SELECT") && begins_value(before)) {
        return None;
    }
    let (mut depth, mut from) = (0, None);
    for (end, token) in tokens.iter().enumerate().skip(at + 1) {
        match *token {
            "(" => depth += 1,
            ")" if depth == 0 => {
                let table = from? + if is(from?, "pg_catalog") { 2 } else { 0 };
                let name = tokens.get(table)?.to_ascii_lowercase();
                return is_always_empty(&name).then_some(end + 1);
            }
            ")" => depth -= 1,
            _ if depth == 0 && is(end, "FROM") => from = Some(end + 1),
            _ if depth == 0 && is(end, "COUNT") => return None,
            _ => {}
        }
    }
    None
}

/// Writes a cast to the type that begins at `at`; returns where the query goes on.
fn cast(tokens: &[&str], mut at: usize, out: &mut Vec<String>) -> usize {
    let is = |at: usize, text: &str| {
        tokens.get(at).is_some_and(|token| token.eq_ignore_ascii_case(text))
    };
    if is(at, "pg_catalog") && is(at + 1, ".") {
        at += 2;
    }
    let name = tokens.get(at).map_or(String::new(), |name| name.trim_matches('"').to_lowercase());
    let is_array = is(at + 1, "[") && is(at + 2, "]");
    let after = if is_array { at + 3 } else { at + 1 };
    let text = match name.as_str() {
        "regclass" => {
            // The name of a table in quotes is looked up; a number is the answer already.
            if let Some(literal) = out.pop_if(|token| token.starts_with('\'')) {
                out.push(format!("to_regclass({literal})"));
            }
            return after;
        }
        "regproc" | "regtype" | "regnamespace" | "regrole" | "int2vector" | "oidvector" => {
            return after;
        }
        "oid" | "xid" => "bigint",
        "name" | "char" | "text" | "information_schema" => "varchar",
        "anyarray" => return after,
        other => other,
    };
    out.push(format!("::{text}{}", if is_array { "[]" } else { "" }));
    after
}

/// Puts spaces between tokens where they are needed, and where they do no harm.
fn join(tokens: &[String]) -> String {
    let mut out = String::new();
    let mut glue = true;
    for token in tokens {
        // Operators of several characters come as several tokens.
        let symbol = token.len() == 1 && "<>=!~*|:-@#&^?".contains(token.as_str());
        let tight = token == "." || token.starts_with("::") || (symbol && out.ends_with(is_symbol));
        // The second half of a doubled quote.
        let quote = token.starts_with('\'') && (out.ends_with('\'') || out.ends_with(" E"));
        if !glue && !tight && !quote {
            out.push(' ');
        }
        out += token;
        glue = token == ".";
    }
    out
}

fn is_symbol(c: char) -> bool {
    "<>=!~*|:-@#&^?".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_of_empty_tables_have_no_rows() {
        for (query, columns) in [
            ("SELECT a, f(b, c) FROM pg_catalog.pg_publication p JOIN x ON (p.a = x.a)", Some(2)),
            ("SELECT a FROM pg_publication UNION SELECT b FROM pg_policy ORDER BY 1", Some(1)),
            ("SELECT a FROM pg_publication UNION SELECT b FROM pg_class", None),
            ("SELECT count(*) FROM pg_publication", None),
            ("SELECT 1", None),
        ] {
            assert_eq!(columns_of_nothing(query), columns, "{query}");
        }
    }

    #[test]
    fn queries_keep_their_meaning() {
        for (query, expected) in [
            (
                "SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(t)$' COLLATE pg_catalog.default",
                "SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relname ~ '^(t)$'",
            ),
            (
                "SELECT pg_catalog.format_type(a.atttypid, a.atttypmod)",
                "SELECT format_type ( a.atttypid , a.atttypmod )",
            ),
            ("SELECT 't'::regclass::oid", "SELECT to_regclass('t')::bigint"),
            ("SELECT a::pg_catalog.text[], b::\"char\"", "SELECT a::varchar[] , b::varchar"),
            (
                "SELECT nspname !~ '^pg_' AND a <> 'it''s'",
                "SELECT nspname !~ '^pg_' AND a <> 'it''s'",
            ),
            ("SELECT current_user, current_schema", "SELECT current_user , current_schema()"),
            ("SELECT a, (SELECT f(b) FROM pg_catalog.pg_attrdef WHERE c = (1))", "SELECT a , NULL"),
            ("SELECT a, (SELECT b FROM pg_class)", "SELECT a , ( SELECT b FROM pg_class )"),
            ("SELECT a IN (SELECT b FROM t)", "SELECT a IN ( SELECT b FROM t )"),
            ("SELECT a || b", "SELECT a || b"),
            ("SELECT f(ARRAY(SELECT g(b) FROM t), E'\\n')", "SELECT f ( make_array() , E'\\n' )"),
        ] {
            assert_eq!(rewrite(query), expected);
        }
    }
}
