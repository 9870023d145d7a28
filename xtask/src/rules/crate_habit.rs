//! Every crate opens with its story and takes the lints of the workspace; every program that cargo finds by its place says what it is.

use crate::finding::Finding;
use crate::manifest::Workspace;
use crate::tree::Tree;

/// Complains about crates, examples, benchmarks and integration tests without docs, and crates without our lints.
pub fn check(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &workspace.crates {
        let manifest = member.manifest();
        let text = tree.text(&manifest).unwrap_or_default();
        let takes_lints = text.lines().skip_while(|line| line.trim() != "[lints]").nth(1);
        if takes_lints.map(str::trim) != Some("workspace = true") {
            let complaint = "must take the workspace's lints: `[lints]`, `workspace = true`";
            findings.push(Finding::in_file(&manifest, complaint));
        }
    }
    let libraries: Vec<_> = workspace.crates.iter().filter_map(|m| m.library.as_deref()).collect();
    for (path, source) in tree.sources() {
        if (libraries.contains(&path) || is_program(path)) && !source.has_inner_docs() {
            let complaint = "must open with `//!` and say what it is for";
            findings.push(Finding::in_file(path, complaint));
        }
    }
    findings
}

/// Whether cargo builds this file as a program of its own: a binary, an example, a benchmark or an integration test.
fn is_program(path: &str) -> bool {
    let mut folders = path.rsplit('/').skip(1);
    path.ends_with("src/main.rs")
        || folders.next().is_some_and(|folder| ["examples", "benches", "tests"].contains(&folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Crate;
    use crate::tree::made_up;

    #[test]
    fn crates_and_programs_say_what_they_are() {
        let tree = made_up::tree(&[
            ("a/Cargo.toml", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"),
            ("a/src/lib.rs", "//! Story.\n"),
            ("a/src/inner.rs", "fn a() {}\n"),
            ("b/Cargo.toml", "[package]\nname = \"b\"\n"),
            ("b/src/lib.rs", "mod inner;\n"),
            ("examples/c.rs", "fn main() {}\n"),
            ("tests/d.rs", "//! What it shows.\n"),
        ]);
        let member = |name: &str| Crate {
            name: name.to_owned(),
            folder: name.to_owned(),
            library: Some(format!("{name}/src/lib.rs")),
            dependencies: Vec::new(),
        };
        let workspace = Workspace { crates: vec![member("a"), member("b")] };
        let found: Vec<_> = check(&tree, &workspace).into_iter().map(|f| f.path).collect();
        assert_eq!(found, ["b/Cargo.toml", "b/src/lib.rs", "examples/c.rs"]);
    }
}
