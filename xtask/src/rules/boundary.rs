//! What a crate must not touch, although it could without any dependency: the log knows no network and no async runtime, and the
//! engine's vocabulary does no I/O.

use crate::finding::Finding;
use crate::tree::Tree;

/// Folders with the paths that their code must not name, and why.
const BOUNDARIES: &[(&str, &[&str], &str)] = &[
    (
        "log-store/src/",
        &["std::net", "tokio", "async fn"],
        "the log knows no network and no async runtime",
    ),
    (
        "dataflow/src/",
        &["std::fs", "std::net", "std::process", "tokio", "async fn"],
        "the engine's vocabulary does no I/O",
    ),
];

/// Complains about code that reaches across a boundary.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (folder, paths, why) in BOUNDARIES {
        for (path, source) in tree.sources().filter(|(path, _)| path.starts_with(folder)) {
            for (line, named) in source.mentions(paths) {
                findings.push(Finding::in_line(path, line, format!("`{named}`: {why}")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::made_up;

    #[test]
    fn reaching_across_a_boundary_is_named() {
        let tree = made_up::tree(&[
            ("log-store/src/lib.rs", "//! No std::net here.\nuse std::net::TcpStream;\n"),
            ("log-store/tests/a.rs", "use std::net::TcpStream;\n"),
            ("operators/src/lib.rs", "use std::net::TcpStream;\n"),
        ]);
        let found: Vec<_> = check(&tree).iter().map(ToString::to_string).collect();
        let why = "the log knows no network and no async runtime";
        assert_eq!(found, [format!("log-store/src/lib.rs:2: `std::net`: {why}")]);
    }
}
