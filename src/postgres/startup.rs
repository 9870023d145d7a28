//! How a connection begins.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use async_trait::async_trait;
use futures_util::Sink;
use pgwire::api::auth::{
    ServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::{ClientInfo, METADATA_USER, PidSecretKeyGenerator};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};

use super::connection::Connection;
use super::settings::Settings;

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
fn startup_settings(parameters: &BTreeMap<String, String>) -> Vec<(String, String)> {
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
