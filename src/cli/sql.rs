//! `riverrun sql`: SQL over streams, typed or from a script.

use std::path::PathBuf;

use crate::prompt::{Input, Place, ResultFormat, SqlOptions, run};

/// Options of `sql`.
#[derive(clap::Args)]
pub(super) struct Sql {
    /// Execute these statements
    #[arg(short = 'e', long, value_name = "SQL")]
    execute: Option<String>,
    /// Execute the statements of this file; of several, one after the other
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "execute")]
    file: Vec<PathBuf>,
    /// PostgreSQL address of a running server, which is asked instead of the data dir
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    /// Folder of the embedded store; made if it is not there
    #[arg(long, env = "RIVERRUN_DATA_DIR", default_value = "./riverrun-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Streaming queries and jobs end where their sources end now; jobs are waited for
    #[arg(long)]
    until_caught_up: bool,
    /// How results are printed
    #[arg(long, value_enum, default_value_t)]
    output: ResultFormat,
}

impl Sql {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let input = match self.execute {
            Some(text) => Input::Text(text),
            None if self.file.is_empty() => Input::Standard,
            None => Input::Files(self.file),
        };
        let place = match self.server {
            Some(address) => Place::Server(address),
            None => Place::DataDir(self.data_dir),
        };
        let (until_caught_up, output) = (self.until_caught_up, self.output);
        run(&SqlOptions { input, place, until_caught_up, output })
    }
}
