//! The option that every command on an embedded store takes.

use std::path::{Path, PathBuf};

use anyhow::Context;
use riverrun_log_store::{Store, StoreOptions};

/// Where the embedded store is.
#[derive(Debug, clap::Args)]
pub(super) struct DataDir {
    /// Folder of the embedded store
    #[arg(
        long,
        env = "RIVERRUN_DATA_DIR",
        default_value = "./riverrun-data",
        value_name = "DIR",
        global = true
    )]
    data_dir: PathBuf,
}

impl DataDir {
    pub(super) fn path(&self) -> &Path {
        &self.data_dir
    }

    /// Opens the store, making it if it is not there.
    pub(super) fn open(&self) -> anyhow::Result<Store> {
        Store::open(&self.data_dir, StoreOptions::default())
            .with_context(|| format!("cannot open the store in {}", self.data_dir.display()))
    }

    /// Opens the store for reading: a folder that is not a store is an error, not a new store.
    pub(super) fn open_existing(&self) -> anyhow::Result<Store> {
        self.check_exists()?;
        self.open()
    }

    /// An error that says what to do, if there is no store.
    pub(super) fn check_exists(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.data_dir.join("topics").is_dir(),
            "there is no store in {}: name the right folder with --data-dir, or make one with `riverrun topic create`",
            self.data_dir.display()
        );
        Ok(())
    }
}
