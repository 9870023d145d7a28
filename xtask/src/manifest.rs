//! The crates of the workspace and what each depends on, from `cargo metadata`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The crates of the workspace.
pub struct Workspace {
    /// One entry a crate, in the order of `cargo metadata`.
    pub crates: Vec<Crate>,
}

/// One crate of the workspace.
pub struct Crate {
    /// Its package name.
    pub name: String,
    /// Its folder from the root of the repository: empty for the root package.
    pub folder: String,
    /// Path of its library from the root, if it has one.
    pub library: Option<String>,
    /// What it depends on, for its code, its build and its tests alike.
    pub dependencies: Vec<Dependency>,
}

/// One line under `[dependencies]`, `[dev-dependencies]` or `[build-dependencies]`.
pub struct Dependency {
    /// Name of the package.
    pub name: String,
    /// Whether it is a folder rather than a package of a registry.
    pub is_path: bool,
}

impl Workspace {
    /// Asks cargo what the manifests below `root` say. Needs no network and writes nothing.
    pub fn read(root: &Path) -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
            .arg("--manifest-path")
            .arg(root.join("Cargo.toml"))
            .output()
            .context("cannot run cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        Self::from_metadata(&metadata)
    }

    fn from_metadata(metadata: &Value) -> Result<Self> {
        let root = text(metadata, "workspace_root")?;
        let crates = list(metadata, "packages")?.iter().map(|package| Crate::read(package, root));
        Ok(Self { crates: crates.collect::<Result<_>>()? })
    }
}

impl Crate {
    fn read(package: &Value, root: &str) -> Result<Self> {
        let from_root =
            |path: &str| path.strip_prefix(root).unwrap_or(path).trim_start_matches('/').to_owned();
        let manifest = from_root(text(package, "manifest_path")?);
        let mut library = None;
        for target in list(package, "targets")? {
            let kinds = list(target, "kind")?;
            if kinds.iter().any(|kind| kind == "lib" || kind == "proc-macro") {
                library = Some(from_root(text(target, "src_path")?));
            }
        }
        let mut dependencies = Vec::new();
        for dependency in list(package, "dependencies")? {
            dependencies.push(Dependency {
                name: text(dependency, "name")?.to_owned(),
                is_path: dependency.get("path").is_some_and(Value::is_string),
            });
        }
        Ok(Self {
            name: text(package, "name")?.to_owned(),
            folder: manifest.trim_end_matches("Cargo.toml").trim_end_matches('/').to_owned(),
            library,
            dependencies,
        })
    }

    /// Path of the crate's manifest from the root.
    pub fn manifest(&self) -> String {
        if self.folder.is_empty() {
            "Cargo.toml".to_owned()
        } else {
            format!("{}/Cargo.toml", self.folder)
        }
    }
}

fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str> {
    value.get(field).and_then(Value::as_str).with_context(|| format!("metadata without `{field}`"))
}

fn list<'a>(value: &'a Value, field: &str) -> Result<&'a Vec<Value>> {
    let list = value.get(field).and_then(Value::as_array);
    list.with_context(|| format!("metadata without `{field}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::made_up;

    #[test]
    fn cargo_says_what_the_manifests_say() {
        let folder = made_up::folder(&[
            (
                "Cargo.toml",
                "[workspace]\nmembers = [\"a\"]\nresolver = \"3\"\n[package]\nname = \"r\"\n[dependencies]\na = { path = \"a\" }\n",
            ),
            ("src/lib.rs", ""),
            ("a/Cargo.toml", "[package]\nname = \"a\"\n[dev-dependencies]\nserde = \"1\"\n"),
            ("a/src/main.rs", "fn main() {}"),
        ]);
        let root = folder.path().canonicalize().unwrap();
        let workspace = Workspace::read(&root).unwrap();
        let find = |name: &str| workspace.crates.iter().find(|c| c.name == name).unwrap();
        let (root_package, a) = (find("r"), find("a"));
        assert_eq!(root_package.manifest(), "Cargo.toml");
        assert_eq!(root_package.library.as_deref(), Some("src/lib.rs"));
        assert_eq!(root_package.dependencies[0].name, "a");
        assert!(root_package.dependencies[0].is_path);
        assert_eq!((a.manifest().as_str(), &a.library), ("a/Cargo.toml", &None));
        assert_eq!(a.dependencies[0].name, "serde");
        assert!(!a.dependencies[0].is_path);
        assert!(!root.join("Cargo.lock").exists(), "tidy writes nothing");
    }
}
