//! `riverrun server`: everything in one process, until it is told to stop.

use std::io::Write;
use std::path::PathBuf;

use crate::StopSignal;
use crate::server::{ServerOptions, serve};

/// Options of `server`.
#[derive(clap::Args)]
pub(super) struct Server {
    /// Folder of the store; made if it is not there
    #[arg(long, env = "RIVERRUN_DATA_DIR", default_value = "./riverrun-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Where the PostgreSQL protocol listens; `off` to leave it out
    #[arg(long, default_value = "127.0.0.1:5433", value_name = "HOST:PORT|off")]
    pg: String,
    /// Where HTTP listens (health, metrics, jobs); `off` to leave it out
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "HOST:PORT|off")]
    http: String,
    /// Where the Kafka protocol listens: it is not served yet, so `off` is all there is
    #[arg(long, default_value = "off", value_name = "off", value_parser = ["off"])]
    kafka: String,
    /// Listen on addresses that other machines can reach: nothing asks who they are, nothing is encrypted
    #[arg(long)]
    insecure: bool,
}

impl Server {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let address = |text: String| (text != "off").then_some(text);
        let options = ServerOptions {
            data_dir: self.data_dir,
            http: address(self.http),
            pg: address(self.pg),
            insecure: self.insecure,
        };
        let stop = StopSignal::default();
        super::stop_on_signals(&stop)?;
        serve(&options, &stop, |line| {
            let mut out = std::io::stdout();
            writeln!(out, "{line}")?;
            Ok(out.flush()?)
        })
    }
}
