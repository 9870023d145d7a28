//! PostgreSQL's wire protocol, so that psql, drivers and tools can define, query and follow.
//!
//! A connection is a [`Session`](riverrun_sql::session::Session) of the SQL engine. A statement goes through three hands: settings,
//! transactions and the like are answered by `settings.rs`; questions about tables and types by `catalog.rs`; everything else by the
//! engine. Rows are encoded on a thread of the query and go out as they come, so a query without end shows what it has. A result that
//! takes rows back has a column `op` in front: `+I` for a row that is there now, `-D` for one that is not any more.
//!
//! | file | what |
//! |---|---|
//! | `startup.rs`, `connection.rs` | how a connection begins; simple and extended queries |
//! | `prepared.rs` | prepared statements |
//! | `cursors.rs` | results read bit by bit |
//! | `statements.rs` | from a statement to an answer |
//! | `settings.rs` | settings, transactions and what else is not about data |
//! | `parameters.rs` | values for `$1` |
//! | `catalog.rs`, `catalog/` | `pg_catalog` and `information_schema` |
//! | `rows.rs` | rows on their way |
//! | `types.rs`, `encoding.rs` | types and values |
//! | `errors.rs` | errors with SQLSTATE and place |

mod catalog;
mod connection;
mod cursors;
mod encoding;
mod errors;
mod parameters;
mod prepared;
mod rows;
mod settings;
mod startup;
mod statements;
mod types;

use std::sync::Arc;

use pgwire::api::{ConnectionManager, RandomPidSecretKeyGenerator};
use pgwire::tokio::process_socket;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use connection::{Connection, Handlers};
use riverrun_sql::session::Engine;

/// How many clients are served at the same time; more wait to be accepted.
const MOST_CONNECTIONS: usize = 256;

/// Serves clients until the runtime is shut down.
pub(crate) async fn serve(listener: TcpListener, engine: Arc<Engine>) {
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let clients = Clients::default();
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                // Too many open files, say: others may close theirs.
                tracing::warn!(%error, "cannot accept a PostgreSQL client");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let (engine, clients) = (engine.clone(), clients.clone());
        tokio::spawn(async move {
            if let Err(error) = converse(socket, engine, clients).await {
                tracing::debug!(%error, "a PostgreSQL client's connection broke");
            }
            drop(place);
        });
    }
}

/// What connections know of each other: who can cancel whose query.
#[derive(Clone, Default)]
struct Clients {
    manager: Arc<ConnectionManager>,
    keys: Arc<RandomPidSecretKeyGenerator>,
}

async fn converse(socket: TcpStream, engine: Arc<Engine>, clients: Clients) -> std::io::Result<()> {
    let socket = socket.into_std()?;
    // A second look at the same socket, to notice that the client has gone while a query runs.
    let watch = TcpStream::from_std(socket.try_clone()?)?;
    let connection = Arc::new(Connection::new(engine, clients, watch));
    process_socket(TcpStream::from_std(socket)?, None, Handlers(connection)).await
}
