//! The life of a connection; simple and extended queries.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, Sink, SinkExt, StreamExt};
use pgwire::api::auth::{
    ServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::cancel::{CancelHandler, DefaultCancelHandler};
use pgwire::api::portal::{Format, Portal, PortalExecutionState};
use pgwire::api::query::{ExtendedQueryHandler, SimpleQueryHandler, send_ready_for_query};
use pgwire::api::results::{FieldInfo, QueryResponse, Response};
use pgwire::api::stmt::QueryParser;
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{
    ClientInfo, ClientPortalStore, ConnectionHandle, DEFAULT_NAME, METADATA_USER,
    PgWireConnectionState, PgWireServerHandlers, PidSecretKeyGenerator, Type,
};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::data::RowDescription;
use pgwire::messages::extendedquery::{Execute, PortalSuspended};
use pgwire::messages::response::{CommandComplete, EmptyQueryResponse, NoticeResponse};
use pgwire::messages::simplequery::Query;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use tokio::net::TcpStream;

use super::Clients;
use super::errors::{plain, to_wire};
use super::settings::Settings;
use super::statements::{Answer, Statements};
use super::{parameters, rows, types};
use crate::sql::script::{self, split};
use riverrun_sql::session::{Engine, RunningJob};

/// How many rows go out between two looks at whether the client has cancelled.
const ROWS_BETWEEN_LOOKS: usize = 1024;

/// How often a connection is looked at while a query runs and the client has said more already.
const LOOK: Duration = Duration::from_secs(1);

/// One client.
pub(super) struct Connection {
    statements: Statements,
    clients: Clients,
    watch: TcpStream,
}

impl Connection {
    /// A new session for a client; `watch` is its socket, too.
    pub(super) fn new(engine: Arc<Engine>, clients: Clients, watch: TcpStream) -> Self {
        Self { statements: Statements::new(engine), clients, watch }
    }

    /// Answers a statement on a thread that may wait.
    async fn ask<T: Send + 'static>(
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
    async fn unless_cancelled<T>(
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
    async fn send_rows<C>(
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
                client.feed(complete(tag)).await?;
                let status = client.transaction_status().to_idle_state();
                client.set_transaction_status(status);
            }
            Answer::Job(job) => self.send_job(client, job, cancelled).await?,
            Answer::Rows(..) | Answer::Query(_) => {
                return Err(plain("XX000", "the rows of the statement were not sent"));
            }
        }
        Ok(())
    }

    /// Tells of a job that was started; waits for it if the session wants that.
    async fn send_job<C>(
        &self,
        client: &mut C,
        job: Arc<dyn RunningJob>,
        cancelled: &mut Cancelled,
    ) -> PgWireResult<()>
    where
        C: Sink<PgWireBackendMessage> + Unpin + Send,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = job.name();
        let waits = self.ask(|statements| Ok(statements.waits_for_jobs())).await?;
        let notice = if waits {
            let wait = self.ask(move |_| job.wait().map_err(|error| to_wire(&error, "", 0)));
            self.unless_cancelled(cancelled, wait).await??
        } else {
            format!("job `{name}` is running; SHOW JOBS lists jobs")
        };
        let notice = ErrorInfo::new("NOTICE".to_owned(), "00000".to_owned(), notice);
        client.feed(PgWireBackendMessage::NoticeResponse(NoticeResponse::from(notice))).await?;
        client.feed(complete("INSERT 0 0")).await?;
        Ok(())
    }
}

/// Resolves when the client cancels its query, and never otherwise.
type Cancelled = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn complete(tag: &str) -> PgWireBackendMessage {
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
            let answer =
                self.ask(move |statements| statements.answer(&query, start, &query[start..end]));
            let answer = self.unless_cancelled(&mut cancelled, answer).await??;
            match answer {
                Answer::Rows(..) | Answer::Query(_) => {
                    let mut response = respond(answer, &Format::UnifiedText)?;
                    let fields = response.row_schema().iter().map(Into::into).collect();
                    let fields = RowDescription::new(fields);
                    client.feed(PgWireBackendMessage::RowDescription(fields)).await?;
                    let (sent, _) =
                        self.send_rows(client, &mut response, 0, &mut cancelled).await?;
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
fn respond(answer: Answer, format: &Format) -> PgWireResult<QueryResponse> {
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

/// A prepared statement.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    text: String,
    types: Vec<Type>,
}

/// Prepares statements, and tells what they take and return.
pub(super) struct Preparer(Statements);

#[async_trait]
impl QueryParser for Preparer {
    type Statement = Prepared;

    async fn parse_sql<C>(
        &self,
        _: &C,
        sql: &str,
        named: &[Option<Type>],
    ) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        match split(sql).as_slice() {
            [] => Ok(None),
            [piece] => {
                let text = piece.text.to_owned();
                let types = parameters::types(&text, script::parameters(&text), named);
                Ok(Some(Prepared { text, types }))
            }
            _ => Err(plain("42601", "several statements cannot be prepared as one")),
        }
    }

    fn get_parameter_types(&self, statement: &Prepared) -> PgWireResult<Vec<Type>> {
        Ok(statement.types.clone())
    }

    fn get_result_schema(
        &self,
        statement: &Prepared,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let text = parameters::unbound(&statement.text, &statement.types);
        // Planning computes; the runtime is told that this thread is busy.
        let shape = tokio::task::block_in_place(|| self.0.shape(&text))?;
        let format = format.unwrap_or(&Format::UnifiedText);
        Ok(shape.map_or_else(Vec::new, |shape| {
            types::fields(&shape.schema, shape.changelog, format).as_ref().clone()
        }))
    }
}

#[async_trait]
impl ExtendedQueryHandler for Connection {
    type Statement = Prepared;
    type QueryParser = Preparer;

    fn query_parser(&self) -> Arc<Preparer> {
        Arc::new(Preparer(self.statements.clone()))
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

/// What a client is told about the server when it connects.
struct ServerParameters;

impl ServerParameterProvider for ServerParameters {
    fn server_parameters<C: ClientInfo>(&self, _: &C) -> Option<HashMap<String, String>> {
        let told = [
            ("client_encoding", "client_encoding"),
            ("DateStyle", "datestyle"),
            ("default_transaction_read_only", "default_transaction_read_only"),
            ("in_hot_standby", "in_hot_standby"),
            ("integer_datetimes", "integer_datetimes"),
            ("IntervalStyle", "intervalstyle"),
            ("is_superuser", "is_superuser"),
            ("server_encoding", "server_encoding"),
            ("server_version", "server_version"),
            ("standard_conforming_strings", "standard_conforming_strings"),
            ("TimeZone", "timezone"),
        ];
        let settings = Settings::default();
        let value = |name| settings.get(name).unwrap_or_default().to_owned();
        Some(told.iter().map(|(shown, name)| ((*shown).to_owned(), value(name))).collect())
    }
}

#[async_trait]
impl StartupHandler for Connection {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let PgWireFrontendMessage::Startup(startup) = message else { return Ok(()) };
        protocol_negotiation(client, &startup).await?;
        save_startup_parameters_to_metadata(client, &startup);
        if let Some(user) = client.metadata().get(METADATA_USER) {
            self.statements.set_user(user);
        }
        let settings = startup_settings(&startup.parameters);
        self.ask(move |statements| {
            settings.iter().try_for_each(|(name, value)| statements.set(name, value))
        })
        .await?;
        let (pid, key) = self.clients.keys.generate(client);
        client.set_pid_and_secret_key(pid, key.clone());
        let (handle, guard) = self.clients.manager.register(pid, key);
        client.session_extensions().insert(handle);
        client.session_extensions().insert(guard);
        finish_authentication(client, &ServerParameters).await
    }
}

/// The settings that a client brings: as parameters of their own, and in `options` as `-c name=value`.
fn startup_settings(
    parameters: &std::collections::BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    for (name, value) in parameters {
        match name.as_str() {
            "user" | "database" | "replication" => {}
            "options" => {
                let words = value.split_whitespace().map(|word| {
                    let word = word.strip_prefix("-c").unwrap_or(word);
                    word.strip_prefix("--").unwrap_or(word)
                });
                settings.extend(words.filter_map(|word| {
                    let (name, value) = word.split_once('=')?;
                    Some((name.to_owned(), value.to_owned()))
                }));
            }
            _ if name.starts_with("_pq_.") => {}
            _ => settings.push((name.clone(), value.clone())),
        }
    }
    settings
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_with_the_connection() {
        let parameters = [
            ("user", "anna"),
            ("DateStyle", "ISO"),
            ("options", "-c execution.runtime_mode=batch --geqo=off"),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let expected = [("DateStyle", "ISO"), ("execution.runtime_mode", "batch"), ("geqo", "off")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(startup_settings(&parameters), expected);
    }
}
