//! Why a record is not what its table says.

use std::fmt;

/// Longest piece of a record that is quoted in a message.
const QUOTED: usize = 60;

/// What is wrong with a record: the field, what was found there, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault(Box<Inner>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Inner {
    /// The way to the field, innermost first.
    path: Vec<String>,
    reason: String,
}

impl Fault {
    /// A fault of the record as a whole, until [`Fault::within`] says where.
    #[cold]
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self(Box::new(Inner { path: Vec::new(), reason: reason.into() }))
    }

    /// A value that is not what its field's type takes.
    #[cold]
    pub(crate) fn expected(expected: impl fmt::Display, found: &str) -> Self {
        Self::new(format!("expected {expected}, found {}", quoted(found)))
    }

    /// The fault lies in the field `name` of what is around it.
    #[cold]
    pub(crate) fn within(mut self, name: &str) -> Self {
        self.0.path.push(name.to_owned());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.path.is_empty() {
            let path: Vec<&str> = self.0.path.iter().rev().map(String::as_str).collect();
            write!(f, "field `{}`: ", path.join("."))?;
        }
        f.write_str(&self.0.reason)
    }
}

/// A piece of a record for a message: what is long is cut, what cannot be shown is escaped.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{:?} (cut)", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A table that a format cannot read or write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnfitTable(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_way_to_the_field() {
        let fault = Fault::expected("BIGINT", "x\n").within("price").within("bid");
        assert_eq!(fault.to_string(), r#"field `bid.price`: expected BIGINT, found "x\n""#);
        let long = Fault::expected("INT", &"é".repeat(100)).to_string();
        assert!(long.ends_with("(cut)") && long.chars().count() < 100, "{long}");
    }
}
