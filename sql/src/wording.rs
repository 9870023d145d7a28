//! What the libraries below say about a statement, in the words of SQL: without the names of their parts, and with SQL's types and constants.

use crate::catalog::nearest;
use crate::session::readable;

/// Which part of a library speaks is of no use to who wrote the statement.
const SPEAKERS: [&str; 12] = [
    "Error during planning: ",
    "DataFusion error: ",
    "This feature is not implemented: ",
    "Execution error: ",
    "execution error: ",
    "External error: ",
    "Arrow error: ",
    "Schema error: ",
    "Cast error: ",
    "Parser error: ",
    "Invalid argument error: ",
    "[return_type] ",
];

/// Beginnings of sentences that print the insides of a plan, and what is said instead.
const INSIDES: [(&str, &str); 4] = [
    (
        "Physical plan does not support logical expression WindowFunction",
        "functions with OVER stand in SELECT and ORDER BY only: compute it in a sub-query, and filter that one's rows",
    ),
    (
        "Physical plan does not support logical expression AggregateFunction",
        "an aggregate function cannot stand here: compute it in a sub-query",
    ),
    (
        "Unsupported ast node Pivot",
        "PIVOT: write an aggregate with FILTER (WHERE ..) for each column",
    ),
    ("Unsupported ast node Unpivot", "UNPIVOT: write a UNION ALL of a query for each column"),
];

/// Types as Arrow calls them, and as SQL does; longer names before those that they begin with.
const TYPES: [(&str, &str); 16] = [
    ("Timestamp(ms, \"UTC\")", "TIMESTAMP_LTZ(3)"),
    ("Timestamp(ms)", "TIMESTAMP(3)"),
    ("Timestamp(µs)", "TIMESTAMP(6)"),
    ("Time32(ms)", "TIME"),
    ("Date32", "DATE"),
    ("Int8", "TINYINT"),
    ("Int16", "SMALLINT"),
    ("Int32", "INT"),
    ("Int64", "BIGINT"),
    ("Float32", "FLOAT"),
    ("Float64", "DOUBLE"),
    ("Decimal128", "DECIMAL"),
    ("Utf8", "STRING"),
    ("Binary", "BYTES"),
    ("Boolean", "BOOLEAN"),
    ("Interval(MonthDayNano)", "INTERVAL"),
];

/// A library's sentence in the words of SQL.
pub(crate) fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    for speaker in SPEAKERS {
        text = text.replace(speaker, "");
    }
    for (begin, instead) in INSIDES {
        if text.contains(begin) {
            return instead.to_owned();
        }
    }
    if let Some((_, node)) = text.split_once("Unsupported ast node TableFunction") {
        let name = node.split("value: \"").nth(1).and_then(|rest| rest.split('"').next());
        let name = name.unwrap_or_default();
        return format!("`{name}`: TABLE(..) takes TUMBLE, HOP, CUMULATE and SESSION");
    }
    if let Some((function, forms)) = text.split_once(" failed to match any signature, errors: ") {
        let function = function.trim_start_matches("Internal error: ");
        let given = forms.split("(DataType: ").nth(1).and_then(|rest| rest.split(')').next());
        return format!("{function} takes no {}: CAST it", typed(given.unwrap_or("such argument")));
    }
    if let Some((_, unknown)) = text.split_once("No field named ") {
        return unknown_column(unknown);
    }
    if let Some((_, unknown)) = text.split_once("Invalid function '") {
        return unknown_function(unknown);
    }
    // Signatures that a function has, in DataFusion's words; the sentence before says what is wrong.
    if let Some((reason, _)) = text.split_once(" No function matches the given name") {
        text = reason.to_owned();
    }
    text = text
        .replace("While expanding wildcard, ", "")
        .replace("user-defined coercion failed with: ", "");
    let text = typed(&readable(text.trim()));
    text.trim_end_matches('.').to_owned()
}

/// `nope. Did you mean 'a.b'?` and a list of columns.
fn unknown_column(text: &str) -> String {
    let (head, valid) = match text.split_once("\nValid fields are ") {
        Some((head, valid)) => (head, valid.trim_end_matches('.')),
        None => (text, ""),
    };
    let name = head.split([' ', '\n']).next().unwrap_or_default().trim_end_matches('.');
    let known: Vec<&str> = valid.split(", ").filter(|name| !name.is_empty()).collect();
    let guess = head.split_once("Did you mean '").and_then(|(_, rest)| rest.split_once("'?"));
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().replace('"', "");
    let columns: Vec<String> = known.iter().map(|known| last(known)).collect();
    let near = nearest(&last(name), columns.iter().map(String::as_str));
    let meant = match (guess, near) {
        (Some((guess, _)), _) => Some(guess.to_owned()),
        (None, Some(near)) => {
            known.iter().find(|known| last(known) == near).map(|known| (*known).to_owned())
        }
        (None, None) => None,
    };
    let mut said = format!("column `{}` is not known", name.replace('"', ""));
    if let Some(meant) = meant {
        said.push_str(&format!("; did you mean `{}`?", meant.replace('"', "")));
    }
    if !known.is_empty() {
        let mut seen = Vec::new();
        for column in known {
            let column = column.replace('"', "`");
            if !seen.contains(&column) {
                seen.push(column);
            }
        }
        let begin = if said.ends_with('?') { " There are " } else { "; there are " };
        said.push_str(&format!("{begin}{}", seen.join(", ")));
    }
    said
}

/// `uper'.` and perhaps `Did you mean 'upper'?`
fn unknown_function(text: &str) -> String {
    let (name, rest) = text.split_once('\'').unwrap_or((text, ""));
    let guess = rest.split_once("Did you mean '").and_then(|(_, rest)| rest.split_once('\''));
    let meant = guess.and_then(|(guess, _)| nearest(name, [guess]));
    let meant = meant.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    let list = if meant.is_empty() { "; SHOW FUNCTIONS lists what there is" } else { "" };
    format!("function `{name}` is not known{meant}{list}")
}

/// The text with SQL's names of types, but for what stands in quotes.
fn typed(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut behind_word = false;
    while let Some(next) = rest.chars().next() {
        if next == '\''
            && !behind_word
            && let Some(end) = rest[1..].find('\'')
        {
            out.push_str(&rest[..end + 2]);
            rest = &rest[end + 2..];
            continue;
        }
        let found = TYPES.iter().find(|(arrow, _)| {
            !behind_word
                && rest.strip_prefix(arrow).is_some_and(|rest| {
                    !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
                })
        });
        if let Some((arrow, sql)) = found {
            out.push_str(sql);
            rest = &rest[arrow.len()..];
            continue;
        }
        behind_word = next.is_alphanumeric() || next == '_';
        out.push(next);
        rest = &rest[next.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_speak_as_sql() {
        for (theirs, ours) in [
            (
                "Arrow error: Cast error: Cannot cast string 'ann' to value of Int64 type",
                "Cannot cast string 'ann' to value of BIGINT type",
            ),
            (
                "Cannot cast string 'Int64 of' to value of Date32 type",
                "Cannot cast string 'Int64 of' to value of DATE type",
            ),
            (
                "No field named prize.\nValid fields are bids.auction, bids.price.",
                "column `prize` is not known; did you mean `bids.price`? There are bids.auction, bids.price",
            ),
            (
                "Schema error: No field named zzzz.\nValid fields are b.a, b.\"C d\", b.a.",
                "column `zzzz` is not known; there are b.a, b.`C d`",
            ),
            (
                "No field named BIDDER.\nColumn names are case sensitive. You can use double quotes to refer to the \"bidder\" column \
                 or disable the datafusion.sql_parser configuration.\nValid fields are bidder.",
                "column `BIDDER` is not known; did you mean `bidder`? There are bidder",
            ),
            (
                "Invalid function 'uppr'.\nDid you mean 'upper'?",
                "function `uppr` is not known; did you mean `upper`?",
            ),
            (
                "Invalid function 'match'.\nDid you mean 'atan'?",
                "function `match` is not known; SHOW FUNCTIONS lists what there is",
            ),
            (
                "Function 'lower' expects 1 arguments but received 2. No function matches the given name and argument types 'lower(Utf8)'.",
                "Function 'lower' expects 1 arguments but received 2",
            ),
            (
                "cannot coerce Timestamp(ms) + Int64, nor HAVING a > Int64(1), nor MyInt64",
                "cannot coerce TIMESTAMP(3) + BIGINT, nor HAVING a > 1, nor MyInt64",
            ),
        ] {
            assert_eq!(plain(theirs), ours);
        }
        let dump =
            plain("Physical plan does not support logical expression WindowFunction(Window { x })");
        assert!(dump.contains("sub-query") && !dump.contains("Window {"), "{dump}");
    }
}
