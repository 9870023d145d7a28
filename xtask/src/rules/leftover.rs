//! Nothing unfinished and nothing printed for debugging is left in the tree, tests and examples included.

use crate::finding::Finding;
use crate::tree::Tree;

const LEFTOVERS: &[&str] = &["todo", "unimplemented", "dbg"];

/// Complains about every call of a macro that marks unfinished work.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, source) in tree.sources() {
        for (line, name) in source.macro_calls(LEFTOVERS) {
            findings.push(Finding::in_line(
                path,
                line,
                format!("`{name}!` is left over: finish the work, or return an error"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::made_up;

    #[test]
    fn leftovers_are_named_with_file_and_line() {
        let tree = made_up::tree(&[
            ("a/src/lib.rs", "//! A.\nfn a() {\n    unimplemented!()\n}\n"),
            ("a/tests/b.rs", "fn b() { dbg!(1); }\n"),
            ("examples/c.rs", "// todo!()\nfn main() {}\n"),
        ]);
        let places: Vec<_> = check(&tree).into_iter().map(|f| (f.path, f.line)).collect();
        assert_eq!(places, [("a/src/lib.rs".to_owned(), 3), ("a/tests/b.rs".to_owned(), 1)]);
    }
}
