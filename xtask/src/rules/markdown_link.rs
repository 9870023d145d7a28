//! A relative link in a Markdown file leads to a file of the repository.

use crate::finding::Finding;
use crate::tree::Tree;

/// Complains about every link that leads nowhere. Links to other sites are not followed.
pub fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.texts(".md") {
        let mut in_fence = false;
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_fence = !in_fence;
            }
            if in_fence || line.starts_with("    ") {
                continue;
            }
            for target in links_in(line) {
                if !tree.has(&resolve(path, target)) {
                    let complaint = format!("the link to `{target}` leads nowhere");
                    findings.push(Finding::in_line(path, index + 1, complaint));
                }
            }
        }
    }
    findings
}

/// The targets of `[text](target)` that are paths, without their `#anchor`.
fn links_in(line: &str) -> impl Iterator<Item = &str> {
    // What stands between backticks is code: every second piece.
    let prose = line.split('`').step_by(2);
    prose.flat_map(|text| text.split("](").skip(1)).filter_map(|rest| {
        let target = rest.split([')', '#', ' ']).next()?;
        (!target.is_empty() && !target.contains(':')).then_some(target)
    })
}

/// The path from the root that `target` means when it stands in the file `path`.
fn resolve(path: &str, target: &str) -> String {
    let mut folders: Vec<&str> = path.split('/').collect();
    folders.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(folders.pop()),
            name => folders.push(name),
        }
    }
    folders.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::made_up;

    #[test]
    fn links_lead_to_files_and_folders() {
        let page = "[a](../README.md#top) [b](other.md), [c](https://example.org/x) [d](#here) [e](..)\n\
                    [f](gone.md) and `[g](code.md)` and [`h`](design/gone.md)\n\
                    ```\n[i](fence.md)\n```\n";
        let tree =
            made_up::tree(&[("README.md", ""), ("docs/page.md", page), ("docs/other.md", "")]);
        let found: Vec<_> = check(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "docs/page.md:2: the link to `gone.md` leads nowhere",
                "docs/page.md:2: the link to `design/gone.md` leads nowhere",
            ]
        );
    }
}
