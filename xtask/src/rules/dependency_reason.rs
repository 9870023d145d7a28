//! Every package that we depend on stands in `docs/dependencies.md`, with a reason, and nothing else does.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::manifest::Workspace;
use crate::tree::Tree;

const PAGE: &str = "docs/dependencies.md";

/// Complains about packages that are used without a line, and lines whose package nobody uses.
pub fn check(tree: &Tree, workspace: &Workspace) -> Vec<Finding> {
    let mut used = BTreeSet::new();
    for dependency in workspace.crates.iter().flat_map(|member| &member.dependencies) {
        if !dependency.is_path {
            used.insert(dependency.name.as_str());
        }
    }
    let listed: Vec<_> = rows(tree.text(PAGE).unwrap_or_default()).collect();
    let mut findings = Vec::new();
    for name in used.iter().filter(|name| !listed.iter().any(|(_, listed)| listed == *name)) {
        findings.push(Finding::in_file(PAGE, format!("`{name}` has no line: say why it is used")));
    }
    for (line, name) in listed.iter().filter(|(_, name)| !used.contains(name)) {
        let complaint = format!("`{name}` is not used: remove the line");
        findings.push(Finding::in_line(PAGE, *line, complaint));
    }
    findings
}

/// The names in the first column of the page's tables, with their lines: rows that begin with "| `name` |".
fn rows(page: &str) -> impl Iterator<Item = (usize, &str)> {
    page.lines().enumerate().filter_map(|(index, line)| {
        let name = line.strip_prefix("| `")?.split('`').next()?;
        Some((index + 1, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Crate, Dependency};
    use crate::tree::made_up;

    #[test]
    fn the_page_and_the_manifests_agree() {
        let page = "| crate | why |\n|---|---|\n| `bytes` | buffers |\n| `gone` | nothing |\n";
        let dependency = |name: &str, is_path| Dependency { name: name.to_owned(), is_path };
        let member = Crate {
            name: "a".to_owned(),
            folder: "a".to_owned(),
            library: None,
            dependencies: vec![
                dependency("bytes", false),
                dependency("serde", false),
                dependency("ours", true),
            ],
        };
        let findings = check(&made_up::tree(&[(PAGE, page)]), &Workspace { crates: vec![member] });
        let found: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "docs/dependencies.md: `serde` has no line: say why it is used",
                "docs/dependencies.md:4: `gone` is not used: remove the line",
            ]
        );
    }
}
