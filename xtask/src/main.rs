//! Checks of the project that the compiler does not make: `cargo run -p xtask -- tidy`.
//!
//! `tidy` only reads the tree (and asks `cargo metadata` what the manifests say), so it takes well under a second. One run
//! goes through the files in this order:
//!
//! - [`tree`]: which files there are;
//! - [`source`]: a Rust file with its comments and literals told apart from its code;
//! - [`manifest`]: the crates of the workspace and what each depends on;
//! - [`rules`]: one file a rule, each from the above to a list of findings;
//! - [`finding`]: what a rule complains about, printed as `file:line: complaint`.

mod finding;
mod manifest;
mod rules;
mod source;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use finding::Finding;
use manifest::Workspace;
use tree::Tree;

const USAGE: &str = "usage: cargo run -p xtask -- tidy";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => run_tidy(),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn run_tidy() -> ExitCode {
    match tidy(&repository_root()) {
        Ok(findings) if findings.is_empty() => {
            println!("tidy: nothing to complain about");
            ExitCode::SUCCESS
        }
        Ok(findings) => {
            for finding in &findings {
                eprintln!("{finding}");
            }
            eprintln!("tidy: {} finding(s)", findings.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("tidy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The repository to look at: the folder above this crate's manifest. Cargo says at run time where that is; what was known
/// when this was built may be another clone that shares the target folder.
fn repository_root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().expect("xtask is a folder of the repository").to_path_buf()
}

/// Runs every rule on the repository at `root`.
fn tidy(root: &Path) -> Result<Vec<Finding>> {
    let tree = Tree::read(root).with_context(|| format!("cannot read {}", root.display()))?;
    let workspace = Workspace::read(root)?;
    let mut findings = Vec::new();
    findings.extend(rules::file_size::check(&tree, rules::file_size::MOST_EXCEPTIONS));
    findings.extend(rules::leftover::check(&tree));
    findings.extend(rules::markdown_link::check(&tree));
    findings.extend(rules::crate_habit::check(&tree, &workspace));
    findings.extend(rules::dependency_direction::check(&workspace));
    findings.extend(rules::boundary::check(&tree));
    findings.extend(rules::dependency_reason::check(&tree, &workspace));
    findings.sort();
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let findings = tidy(&repository_root()).unwrap();
        let list: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
        assert!(findings.is_empty(), "cargo run -p xtask -- tidy\n{list}");
    }
}
