//! Statements answered by a server, over the PostgreSQL protocol.

use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context;
use futures_util::{StreamExt, future, stream};
use riverrun_sql::Position;
use tokio::runtime::Runtime;
use tokio_postgres::error::ErrorPosition;
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage, SimpleQueryStream};

use super::Backend;
use super::completion::Names;
use super::interrupts::Interrupts;
use super::result::{Cell, CellKind, Complaint, Heading, Reply, RowSource, Rows};

/// Rows that are handed on together, if they are there together.
const ROWS_TOGETHER: usize = 256;

/// A connection to a server.
pub(super) struct Remote {
    runtime: Arc<Runtime>,
    client: Client,
    interrupts: Interrupts,
}

impl Remote {
    /// Connects to HOST:PORT.
    ///
    /// # Errors
    /// If nobody answers there.
    pub(super) fn connect(address: &str, interrupts: Interrupts) -> anyhow::Result<Self> {
        let (host, port) = address
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)))
            .with_context(|| {
                format!("--server {address}: not an address such as 127.0.0.1:5433")
            })?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("connection")
            .enable_all()
            .build()
            .context("cannot start a thread for the connection")?;
        let mut config = tokio_postgres::Config::new();
        config.host(host.trim_matches(['[', ']'])).port(port).user("riverrun");
        config.dbname("riverrun").application_name("riverrun sql");
        let (client, mut connection) =
            runtime.block_on(config.connect(NoTls)).with_context(|| {
                format!("no server answers at {address}: start one with `riverrun server`, or name its --pg address")
            })?;
        runtime.spawn(async move {
            let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notice(notice) = message {
                    eprintln!("{}", notice.message());
                }
            }
        });
        Ok(Self { runtime: Arc::new(runtime), client, interrupts })
    }

    fn stop(&self) -> impl Fn() + Send + Sync + use<> {
        let (token, runtime) = (self.client.cancel_token(), self.runtime.clone());
        move || {
            // If the server cannot be reached any more, the query is over, too.
            let _ = runtime.block_on(token.cancel_query(NoTls));
        }
    }
}

impl Backend for Remote {
    fn execute(&mut self, statement: &str) -> Result<Reply, Complaint> {
        let client = &self.client;
        let begin = async {
            let types = client.prepare(statement).await?;
            let kinds: Vec<CellKind> =
                types.columns().iter().map(|column| kind(column.type_())).collect();
            let mut messages = Box::pin(client.simple_query_raw(statement).await?);
            let first = messages.next().await.transpose()?;
            Ok::<_, tokio_postgres::Error>((kinds, messages, first))
        };
        let begun = self.interrupts.during(self.stop(), || self.runtime.block_on(begin));
        let (kinds, messages, first) = begun.map_err(|error| complaint(&error, statement))?;
        let Some(SimpleQueryMessage::RowDescription(columns)) = first else {
            return Ok(Reply::Done("done".to_owned()));
        };
        let headings = columns
            .iter()
            .enumerate()
            .map(|(at, column)| Heading {
                name: column.name().to_owned(),
                kind: kinds.get(at).copied().unwrap_or(CellKind::Text),
            })
            .collect();
        Ok(Reply::Rows(Box::new(Coming {
            runtime: self.runtime.clone(),
            stop: Arc::new(self.stop()),
            messages,
            headings,
            over: false,
        })))
    }

    fn finish(&mut self, _: bool) -> Result<Vec<String>, Complaint> {
        // Jobs are the server's.
        Ok(Vec::new())
    }

    fn names(&mut self) -> Names {
        let mut names = Names::default();
        let columns = "SELECT table_name, column_name FROM information_schema.columns";
        let answer = self.runtime.block_on(self.client.simple_query(columns));
        for message in answer.unwrap_or_default() {
            if let SimpleQueryMessage::Row(row) = message {
                names.add((0..row.len()).filter_map(|at| row.get(at).map(str::to_owned)));
            }
        }
        names
    }

    fn interrupts(&self) -> Interrupts {
        self.interrupts.clone()
    }
}

fn kind(data_type: &Type) -> CellKind {
    match *data_type {
        Type::BOOL => CellKind::Bool,
        Type::INT2
        | Type::INT4
        | Type::INT8
        | Type::OID
        | Type::FLOAT4
        | Type::FLOAT8
        | Type::NUMERIC => CellKind::Number,
        Type::JSON | Type::JSONB => CellKind::Json,
        // Arrays come in PostgreSQL's spelling, which is not JSON.
        ref other if matches!(other.kind(), Kind::Array(_)) => CellKind::Text,
        _ => CellKind::Text,
    }
}

fn complaint(error: &tokio_postgres::Error, statement: &str) -> Complaint {
    let Some(told) = error.as_db_error() else {
        return Complaint {
            message: format!("the server does not answer any more: {error}"),
            ..Complaint::default()
        };
    };
    let character = match told.position() {
        Some(ErrorPosition::Original(character)) => usize::try_from(*character).ok(),
        _ => None,
    };
    let position = character.map(|character| {
        let before: String = statement.chars().take(character.saturating_sub(1)).collect();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
        Position { line: before.matches('\n').count() as u64 + 1, column }
    });
    let hint = told.hint().map(str::to_owned);
    Complaint { message: told.message().to_owned(), position, hint }
}

/// Rows from the server. They come with `op` in front already if they are changes, so here they are rows like others.
struct Coming {
    runtime: Arc<Runtime>,
    stop: Arc<dyn Fn() + Send + Sync>,
    messages: Pin<Box<SimpleQueryStream>>,
    headings: Vec<Heading>,
    over: bool,
}

impl RowSource for Coming {
    fn headings(&self) -> &[Heading] {
        &self.headings
    }

    fn is_changelog(&self) -> bool {
        false
    }

    fn is_bounded(&self) -> bool {
        // It is not known: rows are shown as they come.
        false
    }

    fn next_rows(&mut self) -> Result<Option<Rows>, Complaint> {
        if self.over {
            return Ok(None);
        }
        let messages = &mut self.messages;
        let together = self.runtime.block_on(async {
            let mut together = Vec::new();
            if let Some(first) = messages.next().await {
                together.push(first);
            }
            while together.len() < ROWS_TOGETHER {
                let next = future::poll_immediate(messages.next()).await;
                match next.flatten() {
                    Some(message) => together.push(message),
                    None => break,
                }
            }
            together
        });
        let mut rows = Rows::new();
        self.over = together.is_empty();
        for message in together {
            match message {
                Ok(SimpleQueryMessage::Row(row)) => {
                    let cell = |at: usize| -> Cell {
                        let text = row.get(at)?;
                        Some(match (self.headings[at].kind, text) {
                            (CellKind::Bool, "t") => "true".to_owned(),
                            (CellKind::Bool, "f") => "false".to_owned(),
                            _ => text.to_owned(),
                        })
                    };
                    rows.push((1, (0..row.len()).map(cell).collect()));
                }
                Ok(_) => self.over = true,
                Err(error) => return Err(complaint(&error, "")),
            }
        }
        Ok((!rows.is_empty()).then_some(rows))
    }

    fn stop(&self) -> Box<dyn Fn() + Send + Sync> {
        let stop = self.stop.clone();
        Box::new(move || stop())
    }
}
