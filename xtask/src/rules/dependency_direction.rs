//! Who may depend on whom, tests included.

use crate::finding::Finding;
use crate::manifest::Workspace;

/// Each crate of ours with those of ours that it may depend on. The root package wires all parts together.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("riverrun-log-store", &[]),
    ("riverrun-broker", &["riverrun-log-store"]),
    ("riverrun-dataflow", &[]),
    ("riverrun-operators", &["riverrun-dataflow", "riverrun-log-store", "riverrun-broker"]),
    ("riverrun-taskmanager", &["riverrun-dataflow"]),
    ("riverrun-jobmanager", &["riverrun-dataflow"]),
    ("riverrun-sql", &["riverrun-dataflow", "riverrun-operators"]),
    (
        "riverrun",
        &[
            "riverrun-log-store",
            "riverrun-broker",
            "riverrun-dataflow",
            "riverrun-operators",
            "riverrun-taskmanager",
            "riverrun-jobmanager",
            "riverrun-sql",
        ],
    ),
    ("xtask", &[]),
];

/// Complains about every dependency that points the wrong way, and about a crate that has no place in the table.
pub fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &workspace.crates {
        let Some((_, allowed)) = DIRECTIONS.iter().find(|(name, _)| *name == member.name) else {
            findings.push(Finding::in_file(
                &member.manifest(),
                format!(
                    "`{}` has no place among the dependency directions: give it one",
                    member.name
                ),
            ));
            continue;
        };
        for dependency in &member.dependencies {
            let ours = workspace.crates.iter().any(|other| other.name == dependency.name);
            if (ours || dependency.is_path) && !allowed.contains(&dependency.name.as_str()) {
                findings.push(Finding::in_file(
                    &member.manifest(),
                    format!("`{}` must not depend on `{}`", member.name, dependency.name),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Crate, Dependency};

    fn workspace(crates: &[(&str, &[&str])]) -> Workspace {
        let dependency = |name: &&str| Dependency {
            name: (*name).to_owned(),
            is_path: name.starts_with("riverrun"),
        };
        let member = |(name, dependencies): &(&str, &[&str])| Crate {
            name: (*name).to_owned(),
            folder: name.trim_start_matches("riverrun").trim_start_matches('-').to_owned(),
            library: None,
            dependencies: dependencies.iter().map(dependency).collect(),
        };
        Workspace { crates: crates.iter().map(member).collect() }
    }

    #[test]
    fn allowed_directions_pass() {
        let findings = check(&workspace(&[
            ("riverrun", &["riverrun-jobmanager", "riverrun-operators", "serde"]),
            ("riverrun-operators", &["riverrun-dataflow", "riverrun-log-store"]),
            ("riverrun-jobmanager", &["riverrun-dataflow"]),
            ("riverrun-dataflow", &["serde"]),
            ("riverrun-log-store", &[]),
        ]));
        assert_eq!(findings, []);
    }

    #[test]
    fn a_wrong_direction_is_named() {
        let findings = check(&workspace(&[
            ("riverrun-taskmanager", &["riverrun-dataflow", "riverrun-operators"]),
            ("riverrun-log-store", &["riverrun"]),
        ]));
        let found: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "taskmanager/Cargo.toml: `riverrun-taskmanager` must not depend on `riverrun-operators`",
                "log-store/Cargo.toml: `riverrun-log-store` must not depend on `riverrun`",
            ]
        );
    }

    #[test]
    fn a_crate_without_a_place_is_named() {
        let findings = check(&workspace(&[("riverrun-common", &[])]));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].path, "common/Cargo.toml");
    }
}
