//! `riverrun server`: store, JobManager, TaskManagers and the network faces in one process.
//!
//! In the order of its life: the store is opened; jobs that were submitted and are still wanted go on from their last
//! checkpoints; the faces listen; at the first SIGTERM or SIGINT each job takes a last checkpoint and stops, and the store is
//! closed. A server that was killed instead leaves the same: its jobs stay wanted, and the next server goes on with them.
//!
//! | file | what |
//! |---|---|
//! | `listener.rs` | where a face listens, and whether it may |
//! | `http.rs` | health, metrics and jobs over HTTP |
//! | `metrics.rs` | figures in Prometheus' text format |
//! | `client.rs` | asks a server over HTTP |

mod client;
mod http;
mod listener;
mod metrics;

use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::Context;

pub use client::HttpClient;
pub(crate) use client::path_segment;
use riverrun_sql::session::Engine;

use crate::embedded::{EmbeddedCluster, Jobs};
use crate::sql::{EmbeddedHost, resume};
use crate::{StopSignal, postgres};
use listener::Face;

/// How long connections have for their last words when the server stops.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How a server is started.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Folder of the store; made if it is not there.
    pub data_dir: PathBuf,
    /// HOST:PORT of HTTP, `None` to leave it out.
    pub http: Option<String>,
    /// HOST:PORT of the PostgreSQL protocol, `None` to leave it out.
    pub pg: Option<String>,
    /// Listen on addresses that other machines can reach.
    pub insecure: bool,
}

/// Runs a server until `stop` is raised. `ready` is called once, with the line that says where it listens.
///
/// # Errors
/// If the store cannot be opened or closed, or an address cannot be listened on.
pub fn serve(
    options: &ServerOptions,
    stop: &StopSignal,
    ready: impl FnOnce(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let bind = |name: &str, address: &Option<String>| {
        address.as_deref().map(|address| Face::bind(name, address, options.insecure)).transpose()
    };
    let (pg, http) = (bind("pg", &options.pg)?, bind("http", &options.http)?);
    let cluster = Arc::new(EmbeddedCluster::open(&options.data_dir)?);
    let jobs = Jobs::new(cluster.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("network")
        .enable_all()
        .build()
        .context("cannot start the threads for the network")?;
    let mut line = format!("riverrun is ready: data-dir {}", options.data_dir.display());
    let engine = Engine::open(Arc::new(EmbeddedHost::new(jobs.clone())))?;
    let resumed = resume(&engine, &jobs)?;
    if let Some(face) = pg {
        line += &format!(", pg {}", face.address());
        let listener = face.listen(&runtime)?;
        runtime.spawn(postgres::serve(listener, engine.clone()));
    }
    if let Some(face) = http {
        line += &format!(", http {}", face.address());
        let listener = face.listen(&runtime)?;
        runtime.spawn(http::serve(listener, jobs.clone()));
    }
    if resumed > 0 {
        line += &format!(", {resumed} jobs go on");
    }
    let (raised, wait) = mpsc::channel();
    stop.on_raise(move || {
        // The server is over already, if nobody listens.
        let _ = raised.send(());
    });
    ready(&line)?;
    // The sender is dropped only after it has sent.
    let _ = wait.recv();
    for report in jobs.stop_all() {
        eprintln!("{report}");
    }
    runtime.shutdown_timeout(LAST_WORDS);
    cluster.store().close().context("cannot close the store")
}
