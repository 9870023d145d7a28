//! `riverrun bench`: known workloads, measured and checked.

mod nexmark;

/// What can be measured.
#[derive(clap::Subcommand)]
pub(super) enum Bench {
    /// The queries of the Nexmark benchmark, in SQL
    Nexmark(nexmark::Nexmark),
}

impl Bench {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Nexmark(command) => command.run(),
        }
    }
}
