//! The life of a connection; simple and extended queries.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, Sink, SinkExt, StreamExt};
use pgwire::api::auth::StartupHandler;
use pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use pgwire::api::portal::{Format, Portal, PortalExecutionState};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler, send_ready_for_query};
use pgwire::api::results::{QueryResponse, Response};
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{
    ClientInfo, ClientPortalStore, ConnectionHandle, DEFAULT_NAME, PgWireConnectionState,
    PgWireServerHandlers,
};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::data::RowDescription;
use pgwire::messages::extendedquery::{
    Describe, Execute, PortalSuspended, TARGET_TYPE_BYTE_PORTAL,
};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse, NoticeResponse};
use pgwire::messages::simplequery::Query;
use riverrun_sql::session::{Engine, RunningJob};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::cursors::CursorStatement;
use super::errors::{plain, to_wire};
use super::prepared::{Prepared, Preparer};
use super::statements::{Answer, Statements};
use super::{Clients, cursors, parameters, rows, types};
use crate::sql::script::split;

/// How many rows go out between two looks at whether the client has cancelled.
const ROWS_BETWEEN_LOOKS: usize = 1024;

/// How often a connection is looked at while a query runs and the client has said more already.
const LOOK: Duration = Duration::from_secs(1);

/// One client.
pub(super) struct Connection {
    pub(super) statements: Statements,
    pub(super) clients: Clients,
    watch: TcpStream,
    pub(super) cursors: Cursors,
}

/// The cursors that are open, by name.
pub(super) type Cursors = Arc<Mutex<BTreeMap<String, QueryResponse>>>;

impl Connection {
    /// A new session for a client; `watch` is its socket, too.
    pub(super) fn new(engine: Arc<Engine>, clients: Clients, watch: TcpStream) -> Self {
        Self { statements: Statements::new(engine), clients, watch, cursors: Cursors::default() }
    }

    /// Answers a statement on a thread that may wait.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Statements) -> PgWireResult<T> + Send + 'static,
    ) -> PgWireResult<T> {
        let statements = self.statements.clone();
        match tokio::task::spawn_blocking(move || work(&statements)).await {
            Ok(answer) => answer,
            Err(error) => Err(plain("XX000", format!("the statement failed: {error}"))),
        }
    }

    /// Comes back when the client has gone.
    async fn gone(&self) {
        let mut byte = [0];
        // What the client has said already stays to be read: looking at it again at once would not wait.
        while let Ok(1..) = self.watch.peek(&mut byte).await {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Does something that may take long, unless the client cancels it or goes away.
    pub(super) async fn unless_cancelled<T>(
        &self,
        cancelled: &mut Cancelled,
        work: impl Future<Output = T>,
    ) -> PgWireResult<T> {
        tokio::select! {
            biased;
            () = cancelled => Err(PgWireError::QueryCanceled),
            done = work => Ok(done),
            () = self.gone() => {
                Err(std::io::Error::from(std::io::ErrorKind::ConnectionAborted).into())
            }
        }
    }

    /// Sends rows as they come, at most `limit` of them (0: all). Returns how many there were, and whether there may be more.
    pub(super) async fn send_rows<C>(
        &self,
        client: &mut C,
        response: &mut QueryResponse,
        limit: usize,
        cancelled: &mut Cancelled,
    ) -> PgWireResult<(usize, bool)>
    where
        C: Sink<PgWireBackendMessage> + Unpin + Send,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let mut sent = 0;
        while limit == 0 || sent < limit {
            let row = match response.data_rows().next().now_or_never() {
                Some(row) => row,
                None => {
                    // Nothing is there now: what was sent so far is to be seen.
                    client.flush().await?;
                    self.unless_cancelled(cancelled, response.data_rows().next()).await?
                }
            };
            let Some(row) = row else { return Ok((sent, false)) };
            client.feed(PgWireBackendMessage::DataRow(row?)).await?;
            sent += 1;
            if sent % ROWS_BETWEEN_LOOKS == 0 && cancelled.now_or_never().is_some() {
                return Err(PgWireError::QueryCanceled);
            }
        }
        Ok((sent, true))
    }

    /// Sends the description of a cursor's columns.
    async fn describe_cursor<C>(&self, client: &mut C, name: &str) -> PgWireResult<()>
    where
        C: Sink<PgWireBackendMessage> + Unpin + Send,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let cursors = self.cursors.lock().await;
        let cursor = cursors.get(name).ok_or_else(|| cursors::unknown(name))?;
        let fields = RowDescription::new(cursor.row_schema().iter().map(Into::into).collect());
        client.feed(PgWireBackendMessage::RowDescription(fields)).await?;
        Ok(())
    }

    /// As [`Connection::send_rows`], with the description of the columns in front.
    async fn send_result<C>(
        &self,
        client: &mut C,
        response: &mut QueryResponse,
        limit: usize,
        cancelled: &mut Cancelled,
    ) -> PgWireResult<(usize, bool)>
    where
        C: Sink<PgWireBackendMessage> + Unpin + Send,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let fields = RowDescription::new(response.row_schema().iter().map(Into::into).collect());
        client.feed(PgWireBackendMessage::RowDescription(fields)).await?;
        self.send_rows(client, response, limit, cancelled).await
    }

    /// Tells that a statement without rows is done.
    async fn send_done<C>(
        &self,
        client: &mut C,
        answer: Answer,
        cancelled: &mut Cancelled,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match answer {
            Answer::Done(tag) => client.feed(complete(&tag)).await?,
            Answer::Begin => {
                client.feed(complete("BEGIN")).await?;
                let status = client.transaction_status().to_in_transaction_state();
                client.set_transaction_status(status);
            }
            Answer::End(tag) => {
                // Their queries stop.
                self.cursors.lock().await.clear();
                client.feed(complete(tag)).await?;
                let status = client.transaction_status().to_idle_state();
                client.set_transaction_status(status);
            }
            Answer::Job(job, waits) => self.send_job(client, job, waits, cancelled).await?,
            Answer::Rows(..) | Answer::Query(_) => {
                return Err(plain("XX000", "the rows of the statement were not sent"));
            }
        }
        Ok(())
    }

    /// Tells of a job that was started, or of its end if the statement waits for that.
    async fn send_job<C>(
        &self,
        client: &mut C,
        job: Arc<dyn RunningJob>,
        waits: bool,
        cancelled: &mut Cancelled,
    ) -> PgWireResult<()>
    where
        C: Sink<PgWireBackendMessage> + Unpin + Send,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = job.name();
        let (notice, rows) = if waits {
            let wait = self.ask(move |_| {
                let end = job.wait().map_err(|error| to_wire(&error, "", 0))?;
                Ok((end, job.rows_written()))
            });
            self.unless_cancelled(cancelled, wait).await??
        } else {
            (format!("job `{name}` is running; SHOW JOBS lists jobs"), 0)
        };
        let notice = ErrorInfo::new("NOTICE".to_owned(), "00000".to_owned(), notice);
        client.feed(PgWireBackendMessage::NoticeResponse(NoticeResponse::from(notice))).await?;
        client.feed(complete(&format!("INSERT 0 {rows}"))).await?;
        Ok(())
    }
}

/// Resolves when the client cancels its query, and never otherwise.
pub(super) type Cancelled = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// The message that a statement is done.
pub(super) fn complete(tag: &str) -> PgWireBackendMessage {
    PgWireBackendMessage::CommandComplete(CommandComplete::new(tag.to_owned()))
}

/// From now on, cancelling means what begins now.
async fn begin<C: ClientInfo>(client: &C) -> PgWireResult<Cancelled> {
    let handle = client.session_extensions().get::<Arc<ConnectionHandle>>();
    let handle = handle.ok_or_else(|| plain("08P01", "the connection was not started"))?;
    let request = handle.start_query().await;
    Ok(Box::pin(async move {
        if request.await.is_err() {
            std::future::pending::<()>().await;
        }
    }))
}

fn ready(state: PgWireConnectionState) -> PgWireResult<()> {
    match state {
        PgWireConnectionState::ReadyForQuery => Ok(()),
        _ => Err(PgWireError::NotReadyForQuery),
    }
}

#[async_trait]
impl SimpleQueryHandler for Connection {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        ready(client.state())?;
        client.set_state(PgWireConnectionState::QueryInProgress);
        let mut cancelled = begin(client).await?;
        let text: Arc<str> = query.query.into();
        let pieces = split(&text);
        if pieces.is_empty() {
            client
                .feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()))
                .await?;
        }
        for piece in pieces {
            let (query, start, end) = (text.clone(), piece.start, piece.start + piece.text.len());
            if let Some(statement) = cursors::parse(piece.text) {
                if let CursorStatement::Fetch { name, .. } = &statement {
                    self.describe_cursor(client, name).await?;
                }
                self.use_cursor(client, statement, &text, start..end, &mut cancelled).await?;
                continue;
            }
            let answer =
                self.ask(move |statements| statements.answer(&query, start, &query[start..end]));
            let answer = self.unless_cancelled(&mut cancelled, answer).await??;
            match answer {
                Answer::Rows(..) | Answer::Query(_) => {
                    let mut response = respond(answer, &Format::UnifiedText)?;
                    let (sent, _) =
                        self.send_result(client, &mut response, 0, &mut cancelled).await?;
                    client.feed(complete(&format!("SELECT {sent}"))).await?;
                }
                answer => self.send_done(client, answer, &mut cancelled).await?,
            }
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        send_ready_for_query(client, status).await
    }

    async fn do_query<C>(&self, _: &mut C, _: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // Only `on_query` of the trait calls it, which is replaced above.
        Err(PgWireError::NotReadyForQuery)
    }
}

/// The rows of an answer that has some.
pub(super) fn respond(answer: Answer, format: &Format) -> PgWireResult<QueryResponse> {
    match answer {
        Answer::Rows(schema, batches) => {
            Ok(rows::of_batches(types::fields(&schema, false, format), &batches))
        }
        Answer::Query(query) => {
            rows::of_query(types::fields(query.schema(), query.retracts(), format), query)
        }
        _ => Err(plain("XX000", "the statement has no rows")),
    }
}

#[async_trait]
impl ExtendedQueryHandler for Connection {
    type Statement = Prepared;
    type QueryParser = Preparer;

    fn query_parser(&self) -> Arc<Preparer> {
        Arc::new(Preparer { statements: self.statements.clone(), cursors: self.cursors.clone() })
    }

    async fn on_describe<C>(&self, client: &mut C, message: Describe) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // A cursor is a portal, too.
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        if message.target_type == TARGET_TYPE_BYTE_PORTAL
            && client.portal_store().get_portal(name).is_none()
            && self.cursors.lock().await.contains_key(name)
        {
            return self.describe_cursor(client, name).await;
        }
        self._on_describe(client, message).await
    }

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        ready(client.state())?;
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal = match client.portal_store().get_portal(name) {
            Some(Entry::Value(portal)) => portal,
            Some(Entry::Empty) => {
                client
                    .feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()))
                    .await?;
                return Ok(());
            }
            None => return Err(PgWireError::PortalNotFound(name.to_owned())),
        };
        let mut cancelled = begin(client).await?;
        let state = portal.state();
        let mut state = state.lock().await;
        if matches!(*state, PortalExecutionState::Initial) {
            let prepared = &portal.statement.statement;
            let text =
                parameters::bind(&prepared.text, &prepared.types, &portal.parameters, |at| {
                    parameter_is_binary(&portal.parameter_format, at)
                })?;
            if let Some(statement) = cursors::parse(&text) {
                let (query, end): (Arc<str>, _) = (text.as_str().into(), text.len());
                self.use_cursor(client, statement, &query, 0..end, &mut cancelled).await?;
                return Ok(());
            }
            let answer = self.ask(move |statements| statements.answer(&text, 0, &text));
            let answer = self.unless_cancelled(&mut cancelled, answer).await??;
            if matches!(answer, Answer::Rows(..) | Answer::Query(_)) {
                let response = respond(answer, &portal.result_column_format)?;
                *state = PortalExecutionState::Suspended(response);
            } else {
                self.send_done(client, answer, &mut cancelled).await?;
            }
        }
        let limit = usize::try_from(message.max_rows).unwrap_or(0);
        match &mut *state {
            PortalExecutionState::Suspended(response) => {
                match self.send_rows(client, response, limit, &mut cancelled).await {
                    Ok((_, true)) => {
                        let suspended =
                            PgWireBackendMessage::PortalSuspended(PortalSuspended::new());
                        client.feed(suspended).await?;
                    }
                    Ok((sent, false)) => {
                        *state = PortalExecutionState::Finished;
                        client.feed(complete(&format!("SELECT {sent}"))).await?;
                    }
                    Err(error) => {
                        // Dropped, so that the query is stopped.
                        *state = PortalExecutionState::Finished;
                        return Err(error);
                    }
                }
            }
            PortalExecutionState::Finished => client.feed(complete("SELECT 0")).await?,
            PortalExecutionState::Initial => {}
        }
        Ok(())
    }

    async fn do_query<C>(&self, _: &mut C, _: &Portal<Prepared>, _: usize) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // Only `on_execute` of the trait calls it, which is replaced above.
        Err(PgWireError::NotReadyForQuery)
    }
}

fn parameter_is_binary(format: &Format, at: usize) -> bool {
    match format {
        Format::UnifiedText => false,
        Format::UnifiedBinary => true,
        Format::Individual(codes) => codes.get(at) == Some(&1),
    }
}

/// A connection in all its roles.
pub(super) struct Handlers(pub(super) Arc<Connection>);

impl PgWireServerHandlers for Handlers {
    fn simple_query_handler(&self) -> Arc<impl SimpleQueryHandler> {
        self.0.clone()
    }

    fn extended_query_handler(&self) -> Arc<impl ExtendedQueryHandler> {
        self.0.clone()
    }

    fn startup_handler(&self) -> Arc<impl StartupHandler> {
        self.0.clone()
    }

    fn cancel_handler(&self) -> Arc<impl CancelHandler> {
        Arc::new(DefaultCancelHandler::new(self.0.clients.manager.clone()))
    }
}
