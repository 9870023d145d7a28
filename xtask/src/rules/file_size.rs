//! No Rust file has more than 500 lines outside tests.
//!
//! `xtask/file-size-exceptions.txt` lists files that may be larger, one `path lines` a line. The list only shrinks: a file must have
//! exactly the lines it is listed with or the number has to be lowered, and the number of exceptions has a ceiling, which
//! is a constant here so that raising it is seen in a review.

use crate::finding::Finding;
use crate::tree::Tree;

/// The most lines outside tests that a file may have.
const MOST_LINES: usize = 500;

/// The most exceptions the list may have. May only be lowered.
pub const MOST_EXCEPTIONS: usize = 0;

const LIST: &str = "xtask/file-size-exceptions.txt";

/// Complains about files that are too large, and about exceptions that are no longer needed.
pub fn check(tree: &Tree, most_exceptions: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let exceptions = read_list(tree, &mut findings);
    if exceptions.len() > most_exceptions {
        findings.push(Finding::in_file(
            LIST,
            format!("{} exceptions, at most {most_exceptions} are allowed", exceptions.len()),
        ));
    }
    for (path, source) in tree.sources().filter(|(path, _)| !is_test(path)) {
        let lines = source.lines_outside_tests();
        let exception = exceptions.iter().find(|exception| exception.path == path);
        let allowed = exception.map_or(MOST_LINES, |exception| exception.lines);
        if lines > allowed {
            findings.push(Finding::in_file(
                path,
                format!("{lines} lines outside tests, at most {allowed}: split it by noun"),
            ));
        }
    }
    for exception in &exceptions {
        let source = tree.sources().find(|(path, _)| *path == exception.path);
        let complaint = match source.map(|(_, source)| source.lines_outside_tests()) {
            None => format!("{} is gone: remove the exception", exception.path),
            Some(lines) if lines <= MOST_LINES => {
                format!("{} has only {lines} lines now: remove the exception", exception.path)
            }
            Some(lines) if lines < exception.lines => {
                format!("{} has only {lines} lines now: lower the number", exception.path)
            }
            Some(_) => continue,
        };
        findings.push(Finding::in_line(LIST, exception.at, complaint));
    }
    findings
}

/// Whether the whole file is test code, told by its name.
fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == "tests.rs"
        || name.ends_with("_tests.rs")
        || path.split('/').rev().skip(1).any(|folder| folder == "tests")
}

struct Exception<'a> {
    /// Line in the list.
    at: usize,
    path: &'a str,
    lines: usize,
}

fn read_list<'a>(tree: &'a Tree, findings: &mut Vec<Finding>) -> Vec<Exception<'a>> {
    let mut exceptions = Vec::new();
    for (index, line) in tree.text(LIST).unwrap_or_default().lines().enumerate() {
        let at = index + 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match line.rsplit_once(' ').map(|(path, lines)| (path.trim(), lines.parse())) {
            Some((path, Ok(lines))) => exceptions.push(Exception { at, path, lines }),
            _ => findings.push(Finding::in_line(LIST, at, "expected `path lines`")),
        }
    }
    exceptions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::made_up;

    fn complaints(list: &str, lines: usize, most_exceptions: usize) -> Vec<String> {
        let text = "// line\n".repeat(lines);
        let tree = made_up::tree(&[("a/src/b.rs", &text), (LIST, list)]);
        check(&tree, most_exceptions).into_iter().map(|f| f.to_string()).collect()
    }

    #[test]
    fn five_hundred_lines_are_enough() {
        assert_eq!(complaints("", 500, 0), [""; 0]);
        assert_eq!(
            complaints("", 501, 0),
            ["a/src/b.rs: 501 lines outside tests, at most 500: split it by noun"]
        );
    }

    #[test]
    fn tests_may_be_as_long_as_they_are() {
        let long = "// line\n".repeat(900);
        let with_module = format!("fn a() {{}}\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
        let tree = made_up::tree(&[
            ("tests/recovery.rs", &long),
            ("a/tests/simulation/model.rs", &long),
            ("a/src/b_tests.rs", &long),
            ("a/src/b/tests.rs", &long),
            ("a/src/b.rs", &with_module),
        ]);
        assert_eq!(check(&tree, 0), []);
    }

    #[test]
    fn an_exception_fits_exactly_or_is_lowered() {
        assert_eq!(complaints("# why\na/src/b.rs 600\n", 600, 1), [""; 0]);
        let found = complaints("a/src/b.rs 600\n", 601, 1);
        assert_eq!(found, ["a/src/b.rs: 601 lines outside tests, at most 600: split it by noun"]);
        let found = complaints("a/src/b.rs 600\n", 599, 1);
        assert_eq!(
            found,
            [format!("{LIST}:1: a/src/b.rs has only 599 lines now: lower the number")]
        );
        let found = complaints("a/src/b.rs 600\n", 500, 1);
        assert_eq!(
            found,
            [format!("{LIST}:1: a/src/b.rs has only 500 lines now: remove the exception")]
        );
    }

    #[test]
    fn an_exception_without_its_file_or_beyond_the_ceiling_fails() {
        let found = complaints("\na/src/gone.rs 600\n", 1, 1);
        assert_eq!(found, [format!("{LIST}:2: a/src/gone.rs is gone: remove the exception")]);
        let found = complaints("a/src/b.rs 600\n", 600, 0);
        assert_eq!(found, [format!("{LIST}: 1 exceptions, at most 0 are allowed")]);
        let found = complaints("a/src/b.rs many\n", 1, 1);
        assert_eq!(found, [format!("{LIST}:1: expected `path lines`")]);
    }
}
